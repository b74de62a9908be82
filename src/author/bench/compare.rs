//! Figures beside those of an earlier run: what became more, and whether that is too much.

use serde::Serialize;

use crate::author::bench::Figures;

/// How much more is too much, in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// Of instructions, memory and size.
    pub exact: f64,
    /// Of times; without it times are only shown.
    pub times: Option<f64>,
}

/// Two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// What is compared, in order.
    pub rows: Vec<Row>,
    /// Questions of only one of the runs, which are not compared.
    pub only_one: usize,
    /// The earlier run was made by another version of the program, which may count differently.
    pub other_version: Option<String>,
}

/// One figure of both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// What it is.
    pub metric: String,
    /// Its unit.
    pub unit: Unit,
    /// Of the earlier run.
    pub old: u64,
    /// Of this one.
    pub new: u64,
    /// The new as a multiple of the old; none where there was nothing before.
    pub ratio: Option<f64>,
    /// It is more than the gate lets pass.
    pub regressed: bool,
    /// It can't regress: it is shown only.
    pub shown_only: bool,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Instructions.
    Fuel,
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Nanoseconds,
}

/// Compares `new` with `old`. Of decisions, those are compared whose questions are in both.
pub fn compare(old: &Figures, new: &Figures, gate: Gate) -> Comparison {
    let (before, now) = (&old.exact.decision_fuel, &new.exact.decision_fuel);
    let both: Vec<(&str, u64, u64)> =
        now.iter().filter_map(|(name, new)| before.get(name).map(|old| (name.as_str(), *old, *new))).collect();
    let mean = |of: fn(&(&str, u64, u64)) -> u64| both.iter().map(of).sum::<u64>() / both.len().max(1) as u64;
    let row = |metric: &str, unit, old, new| Row::new(metric.to_owned(), unit, (old, new), gate);
    let mut rows = vec![
        row("fuel of a decision, mean", Unit::Fuel, mean(|(_, old, _)| *old), mean(|(_, _, new)| *new)),
        row("fuel of configure", Unit::Fuel, old.exact.configure_fuel, new.exact.configure_fuel),
        row("memory of a decision", Unit::Bytes, old.exact.decision_memory_bytes, new.exact.decision_memory_bytes),
        row("memory after configure", Unit::Bytes, old.exact.configure_memory_bytes, new.exact.configure_memory_bytes),
        row("size", Unit::Bytes, old.size_bytes, new.size_bytes),
        row("p50 of a decision", Unit::Nanoseconds, old.times.p50_nanoseconds, new.times.p50_nanoseconds),
        row("p99 of a decision", Unit::Nanoseconds, old.times.p99_nanoseconds, new.times.p99_nanoseconds),
    ];
    // The mean can hide one question that became slow: the worst of those is named.
    let ratio = |(_, old, new): &(&str, u64, u64)| *new as f64 / (*old).max(1) as f64;
    let worst = both.iter().max_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    if let Some((name, old, new)) = worst.filter(|(_, old, new)| new > old) {
        rows.insert(1, row(&format!("fuel of {name:?}"), Unit::Fuel, *old, *new));
    }
    let only_one = before.len() + now.len() - 2 * both.len();
    let other_version = (old.landfall != new.landfall).then(|| old.landfall.clone());
    Comparison { rows, only_one, other_version }
}

impl Comparison {
    /// The figures that are too much.
    pub fn regressed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.regressed)
    }
}

impl Row {
    fn new(metric: String, unit: Unit, (old, new): (u64, u64), gate: Gate) -> Row {
        let percent = match unit {
            Unit::Fuel | Unit::Bytes => Some(gate.exact),
            Unit::Nanoseconds => gate.times,
        };
        let regressed = percent.is_some_and(|percent| new as f64 > old as f64 * (1.0 + percent / 100.0));
        let ratio = (old > 0).then(|| new as f64 / old as f64);
        Row { metric, unit, old, new, ratio, regressed, shown_only: percent.is_none() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Gate, compare};
    use crate::author::bench::{Exact, Figures, Times};

    fn figures(fuel: &[(&str, u64)], p50: u64) -> Figures {
        let decision_fuel: BTreeMap<String, u64> =
            fuel.iter().map(|(name, fuel)| ((*name).to_owned(), *fuel)).collect();
        Figures {
            module: "m".to_owned(),
            digest: String::new(),
            landfall: "1".to_owned(),
            size_bytes: 10,
            exact: Exact { configure_fuel: 5, configure_memory_bytes: 1, decision_memory_bytes: 1, decision_fuel },
            times: Times {
                compile_nanoseconds: 1,
                configure_nanoseconds: 1,
                p50_nanoseconds: p50,
                p99_nanoseconds: p50,
                samples: 1,
            },
            left_out: 0,
            no_snapshot_because: None,
        }
    }

    #[test]
    fn exact_figures_gate_and_times_only_where_that_is_asked_for() {
        let old = figures(&[("a", 100), ("b", 100), ("gone", 1)], 100);
        let check = |new: &Figures, gate: (f64, Option<f64>), expected: &[&str]| {
            let compared = compare(&old, new, Gate { exact: gate.0, times: gate.1 });
            assert_eq!(compared.regressed().map(|row| row.metric.as_str()).collect::<Vec<_>>(), expected);
        };
        check(&old, (0.0, Some(0.0)), &[]);
        let slower = figures(&[("a", 101), ("b", 99), ("new", 9_999)], 1_000);
        check(&slower, (0.0, None), &["fuel of \"a\""]);
        check(&slower, (1.0, None), &[]);
        check(&slower, (1.0, Some(50.0)), &["p50 of a decision", "p99 of a decision"]);
        check(&figures(&[("a", 150), ("b", 150)], 1), (49.0, None), &["fuel of a decision, mean", "fuel of \"b\""]);
        assert_eq!(compare(&old, &slower, Gate { exact: 0.0, times: None }).only_one, 2);
    }
}
