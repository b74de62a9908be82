//! Workflows, their pods, the queue and the clusters. Names are Argo's where the number means what it means there; see
//! <https://argo-workflows.readthedocs.io/en/latest/metrics/>. Argo tells some of them by namespace too, which we don't.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge, histogram::Histogram},
};

use crate::{api::status::WorkflowPhase, clusters::health::State, controller::Controller};

/// Upper bounds in seconds of how long a pass took: most write one status, and those of large workflows many pods.
const PASS_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// The name that Argo gives to what is our only queue.
const QUEUE: &str = "workflow_queue";

/// What is counted when it happens.
pub struct Counted {
    entered: Mutex<BTreeMap<&'static str, u64>>,
    /// How long passes took, in seconds.
    pub passes: Histogram,
}

impl Default for Counted {
    fn default() -> Counted {
        Counted { entered: Mutex::default(), passes: Histogram::new(PASS_SECONDS) }
    }
}

impl Counted {
    /// A workflow has entered a phase.
    pub fn entered(&self, phase: WorkflowPhase) {
        *self.entered.lock().unwrap_or_else(PoisonError::into_inner).entry(phase.as_str()).or_default() += 1;
    }
}

/// How the workflows stand when somebody asks.
pub struct Standing(pub Arc<Controller>);

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Standing")
    }
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let controller = &self.0;
        let by_phase = [
            ("gauge", "Workflows that are stored, by phase", controller.workflows.phases()),
            (
                "pods_gauge",
                "Pods of workflows that have not ended, over all clusters, by phase",
                controller.pods.phases(),
            ),
        ];
        for (name, help, counts) in by_phase {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (phase, count) in counts {
                ConstGauge::new(count as u64).encode(family.encode_family(&[("phase", phase.as_str())])?)?;
            }
        }
        let (waiting, running) = controller.queue.depth();
        let gauges = [
            ("queue_depth_gauge", "Workflows that wait for a pass", ("queue_name", QUEUE), waiting),
            ("workers_busy_count", "Passes under way", ("worker_type", QUEUE), running),
            ("version", "1, with the version of this controller", ("version", env!("CARGO_PKG_VERSION")), 1),
        ];
        for (name, help, label, value) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value as u64).encode(family.encode_family(&[label])?)?;
        }
        let help = "1: this controller works, there is no standby";
        ConstGauge::new(1u64).encode(encoder.encode_descriptor("is_leader", help, None, MetricType::Gauge)?)?;

        // Counters of Argo's have no suffix, which this format only allows where the type is not said.
        let help = "Workflows that have entered a phase, by phase";
        let mut family = encoder.encode_descriptor("total_count", help, None, MetricType::Unknown)?;
        for (phase, count) in &*controller.counted.entered.lock().unwrap_or_else(PoisonError::into_inner) {
            ConstGauge::new(*count).encode(family.encode_family(&[("phase", *phase)])?)?;
        }
        let help = "How long passes over one workflow took, in seconds";
        let passes = encoder.encode_descriptor("operation_duration_seconds", help, None, MetricType::Histogram)?;
        controller.counted.passes.encode(passes)
    }
}

/// How the clusters stand when somebody asks.
pub struct Clusters(pub Arc<Controller>);

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clusters")
    }
}

impl Collector for Clusters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let states = self.0.clusters.states();
        let ready = states.iter().filter(|(_, state)| **state == State::Ready).count();
        let help = "Clusters, home among them, by whether they can be used";
        let mut family = encoder.encode_descriptor("clusters", help, None, MetricType::Gauge)?;
        for (state, count) in [("ready", ready), ("unavailable", states.len() - ready)] {
            ConstGauge::new(count as u64).encode(family.encode_family(&[("state", state)])?)?;
        }
        Ok(())
    }
}
