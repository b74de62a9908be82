//! What policy decided, and how it stands.

use std::{
    collections::HashSet,
    fmt,
    sync::{Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::policy::{
    Policies,
    audit::{Observer, Record},
    decision::Answer,
    state::{AtFault, Differences, Refusal},
};

/// Codes that get a number of their own. They come from modules, and each makes a time series for ever.
const CODES_MAX: usize = 100;
/// Stands for all codes after those.
const CODE_OTHER: &str = "other";
/// Upper bounds in seconds: the built-in module takes some microseconds, an interpreter a millisecond, and ten milliseconds
/// are the limit of a module, of which a chain has several.
const DECISION_SECONDS: [f64; 13] = [5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2.5e-2, 1e-1];

/// From now on, what `policies` decides is counted.
pub fn register(registry: &mut Registry, policies: &Policies) {
    let decisions = Decisions::register(registry);
    policies.observe(Observer::new(move |record| decisions.count(record)));
    registry.register_collector(Box::new(Standing(policies.clone())));
}

/// What policy decided.
struct Decisions {
    answers: Family<AnswerLabels, Counter>,
    seconds: Histogram,
    codes: Mutex<HashSet<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    verdict: &'static str,
    code: String,
}

impl Decisions {
    fn register(registry: &mut Registry) -> Decisions {
        let decisions = Decisions {
            answers: Family::default(),
            seconds: Histogram::new(DECISION_SECONDS),
            codes: Mutex::default(),
        };
        let help = "Decisions of policy, by verdict and, for denials, by reason code";
        registry.register("policy_decisions", help, decisions.answers.clone());
        let help = "How long decisions took, all modules together";
        registry.register("policy_decision_seconds", help, decisions.seconds.clone());
        decisions
    }

    fn count(&self, record: &Record) {
        let (verdict, code) = match &record.answer {
            Answer::Allow => ("allow", String::new()),
            Answer::Deny { code, .. } | Answer::Failed { code, .. } => ("deny", self.bounded(code)),
        };
        self.answers.get_or_create(&AnswerLabels { verdict, code }).inc();
        self.seconds.observe(record.nanoseconds as f64 / 1e9);
    }

    fn bounded(&self, code: &str) -> String {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.contains(code) || codes.len() < CODES_MAX && codes.insert(code.to_owned()) {
            return code.to_owned();
        }
        CODE_OTHER.to_owned()
    }
}

/// How policy stands when somebody asks.
struct Standing(Policies);

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Standing")
    }
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let state = self.0.state();
        let gauges = [
            ("policy_generation", "The generation of policy in force; 0 before the first", state.generation),
            ("policy_in_force", "Whether a set of modules is in force", u64::from(state.is_ready())),
        ];
        for (name, help, value) in gauges {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        let help = "Whether what is configured was refused, by what has to be mended; something older is in force then, or nothing";
        let mut refused = encoder.encode_descriptor("policy_refused", help, None, MetricType::Gauge)?;
        let found = state.refusal.as_ref().map(Refusal::at_fault);
        for at_fault in AtFault::ALL {
            let labels = [("reason", at_fault.as_str())];
            ConstGauge::new(u64::from(found == Some(at_fault))).encode(refused.encode_family(&labels)?)?;
        }
        let help = "New sets of modules and configurations, by what became of them";
        let mut reloads = encoder.encode_descriptor("policy_reloads", help, None, MetricType::Counter)?;
        for (outcome, count) in [("in-force", state.generation), ("refused", state.refusals)] {
            ConstCounter::new(count).encode(reloads.encode_family(&[("outcome", outcome)])?)?;
        }
        let help = "Decisions from which a shadow module differed, by module and by how";
        let name = "policy_shadow_differences";
        let mut differences = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for Differences { module, difference, count } in self.0.differences() {
            let labels = [("module", module.as_str()), ("kind", difference.as_str())];
            ConstCounter::new(count).encode(differences.encode_family(&labels)?)?;
        }
        let help = "Decisions that should have been recorded and are not";
        let lost = encoder.encode_descriptor("policy_records_lost", help, None, MetricType::Counter)?;
        ConstCounter::new(self.0.records_lost()).encode(lost)?;
        let help = "Decisions that no shadow module was asked about, because they came too fast";
        let skipped = encoder.encode_descriptor("policy_shadows_skipped", help, None, MetricType::Counter)?;
        ConstCounter::new(self.0.shadows_skipped()).encode(skipped)
    }
}
