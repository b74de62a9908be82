//! Metrics that a workflow or template gives out.

use serde_json::Number;

use crate::api::object::{choice, object};

object! {
    /// Metrics of a workflow or template.
    pub struct Metrics {
        /// The metrics.
        pub prometheus: Vec<Prometheus>,
    }

    /// One metric: a gauge, a histogram or a counter.
    pub struct Prometheus {
        /// Its name.
        pub name: String,
        /// Its labels.
        pub labels: Vec<MetricLabel>,
        /// What it means.
        pub help: String,
        /// The condition under which it is given out.
        pub when: Option<String>,
        /// A gauge.
        pub gauge: Option<Gauge>,
        /// A histogram.
        pub histogram: Option<Histogram>,
        /// A counter.
        pub counter: Option<Counter>,
    }

    /// A label of a metric.
    pub struct MetricLabel {
        /// Its name.
        pub key: String,
        /// Its value.
        pub value: String,
    }

    /// A value that goes up and down.
    pub struct Gauge {
        /// The value, or what is added or taken away.
        pub value: String,
        /// Whether it is given out while the node runs.
        pub realtime: Option<bool>,
        /// What is done with the value; it is set if not given.
        pub operation: Option<GaugeOperation>,
    }

    /// Values counted by size.
    pub struct Histogram {
        /// The value.
        pub value: String,
        /// The upper bounds.
        pub buckets: Vec<Number>,
    }

    /// A value that only goes up.
    pub struct Counter {
        /// What is added.
        pub value: String,
    }
}

choice! {
    /// What is done with the value of a gauge.
    pub enum GaugeOperation {
        /// It becomes the gauge's.
        Set = "Set",
        /// It is added.
        Add = "Add",
        /// It is taken away.
        Sub = "Sub",
    }
}
