//! When a workflow that has ended is deleted: `spec.ttlStrategy`, as Argo (v4.1.2, `workflow/gccontroller`) reads it.

use jiff::{SignedDuration, Timestamp};

use crate::api::{status::WorkflowPhase, workflow::Workflow};

/// When it is to be deleted; `None`: it has not ended, or is kept.
pub fn delete_at(workflow: &Workflow) -> Option<Timestamp> {
    let strategy = workflow.spec.ttl_strategy.as_ref()?;
    let ended = workflow.status.finished_at.as_ref()?.0;
    let seconds = match workflow.status.phase {
        WorkflowPhase::Unknown | WorkflowPhase::Pending | WorkflowPhase::Running => return None,
        WorkflowPhase::Succeeded => strategy.seconds_after_success,
        WorkflowPhase::Failed => strategy.seconds_after_failure,
        WorkflowPhase::Error => None,
    };
    let seconds = seconds.or(strategy.seconds_after_completion)?;
    ended.checked_add(SignedDuration::from_secs(i64::from(seconds))).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    #[test]
    fn is_as_long_after_the_end_as_is_said_for_it() {
        let check = |phase: &str, strategy: Value, expected: Option<&str>| {
            let workflow = serde_json::from_value(json!({
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "metadata": {},
                "spec": {"ttlStrategy": strategy},
                "status": {"phase": phase, "finishedAt": "2026-11-24T00:00:00Z"},
            }));
            let expected = expected.map(|time| time.parse().unwrap());
            assert_eq!(super::delete_at(&workflow.unwrap()), expected, "{phase} {strategy}");
        };
        let all = json!({"secondsAfterCompletion": 60, "secondsAfterSuccess": 120, "secondsAfterFailure": 180});
        check("Succeeded", all.clone(), Some("2026-11-24T00:02:00Z"));
        check("Failed", all.clone(), Some("2026-11-24T00:03:00Z"));
        check("Error", all.clone(), Some("2026-11-24T00:01:00Z"));
        check("Running", all, None);
        check("Succeeded", json!({"secondsAfterCompletion": 0}), Some("2026-11-24T00:00:00Z"));
        check("Succeeded", json!({"secondsAfterFailure": 5}), None);
        check("Failed", json!({"secondsAfterSuccess": 5}), None);
        check("Failed", json!({}), None);
        check("Failed", Value::Null, None);
    }
}
