//! The strict check and what is read and written, as data.

use serde_json::{Value, json};

use crate::api::{cron_workflow::CronWorkflow, manifest, strict, workflow::Workflow};

/// The problems of a Workflow with this spec, one a line.
fn check(spec: &str, expected: &[&str]) {
    let value = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": { "name": "w" },
        "spec": manifest::parse(spec).unwrap()[0].value,
    });
    let found: Vec<String> = match strict::decode::<Workflow>(&value) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(found, expected, "{spec}");
}

#[test]
fn unknown_fields_are_refused_with_the_nearest_name() {
    check(
        "templates: [{name: a}, {name: b, container: {comand: [x]}}]",
        &[r#"spec.templates[1].container.comand: unknown field, did you mean "command"?"#],
    );
    check("entryPoint: a", &[r#"spec.entryPoint: unknown field, did you mean "entrypoint"?"#]);
    check(
        "templates: [{clustername: a}]",
        &[r#"spec.templates[0].clustername: unknown field, did you mean "clusterName"?"#],
    );
    check("qqq: 1", &["spec.qqq: unknown field"]);
    check(
        "templates: [{steps: [[{name: a, inline: {script: {imag: x, source: z}}}]]}]",
        &[r#"spec.templates[0].steps[0][0].inline.script.imag: unknown field, did you mean "image"?"#],
    );
    check(
        "templates: [{inputs: {artifacts: [{name: a, s3: {bukket: b}, arcive: {none: {}}}]}}]",
        &[
            r#"spec.templates[0].inputs.artifacts[0].arcive: unknown field, did you mean "archive"?"#,
            r#"spec.templates[0].inputs.artifacts[0].s3.bukket: unknown field, did you mean "bucket"?"#,
        ],
    );
    check(
        "templates: [{inputs: {artifacts: [{name: a, archive: {none: {x: 1}}}]}}]",
        &["spec.templates[0].inputs.artifacts[0].archive.none.x: unknown field"],
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    check("entrypoint: 3", &["spec.entrypoint: expected text, found 3"]);
    check("parallelism: two", &[r#"spec.parallelism: expected a whole number, found "two""#]);
    check("parallelism: 1.5", &["spec.parallelism: expected a whole number, found 1.5"]);
    check("priority: 3000000000", &["spec.priority: 3000000000 is out of range"]);
    check("templates: {name: a}", &["spec.templates: expected a list, found an object"]);
    check("suspend: 'yes'", &[r#"spec.suspend: expected true or false, found "yes""#]);
    check(
        "entrypoint: on",
        &[
            "spec.entrypoint: expected text, found true (y, n, yes, no, on and off are booleans in YAML: put text in quotes)",
        ],
    );
    check("nodeSelector: {a: 1}", &["spec.nodeSelector.a: expected text, found 1"]);
    check(
        "arguments: {parameters: [{name: a, value: {b: 1}}]}",
        &["spec.arguments.parameters[0].value: expected text, a number or a boolean, found an object"],
    );
    check("templates: [{container: {args: [1]}}]", &["spec.templates[0].container.args[0]: expected text, found 1"]);
}

#[test]
fn sound_objects_are_taken() {
    check("{entrypoint: a, onExit: '', suspend: null, templates: null, arguments: {}}", &[]);
    check("templates: [{name: a, container: {image: x, resources: {limits: {cpu: 0.5, memory: 1}}}}]", &[]);
    check("templates: [{steps: [[{name: a, withItems: [1, {b: c}, [d]]}]], retryStrategy: {limit: '2'}}]", &[]);
    check("templates: [{plugin: {slack: {text: hi}}, volumes: [{name: v, emptyDir: {}}]}]", &[]);
}

#[test]
fn the_kind_is_checked() {
    let problems = strict::check::<CronWorkflow>(&json!({ "apiVersion": "v1", "kind": "Pod", "spec": {} }));
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [r#"apiVersion: expected "argoproj.io/v1alpha1", found "v1""#, r#"kind: expected "CronWorkflow", found "Pod""#]
    );
    assert_eq!(strict::check::<Workflow>(&json!([]))[0].to_string(), ": expected an object, found a list");
}

/// What a Workflow with this spec is once it has been read and written.
fn check_rewritten(spec: Value, expected: Value) {
    let workflow: Workflow = serde_json::from_value(json!({ "metadata": { "name": "w" }, "spec": spec })).unwrap();
    let written = serde_json::to_value(&workflow).unwrap();
    assert_eq!(written["spec"], expected, "{workflow:?}");
    assert_eq!(written["kind"], "Workflow");
    assert_eq!(serde_json::from_value::<Workflow>(written).unwrap(), workflow);
}

#[test]
fn what_is_not_given_is_not_written() {
    check_rewritten(
        json!({ "entrypoint": "a", "onExit": "", "templates": null, "arguments": {}, "hooks": null, "unheard": 1 }),
        json!({ "entrypoint": "a" }),
    );
    check_rewritten(
        json!({ "arguments": { "parameters": [
            { "name": "a", "value": 1 }, { "name": "b", "value": "" }, { "name": "c", "value": true },
            { "name": "d", "value": 1.5 }, { "name": "e", "value": 1e21 }, { "name": "f", "default": null },
        ] } }),
        json!({ "arguments": { "parameters": [
            { "name": "a", "value": "1" }, { "name": "b", "value": "" }, { "name": "c", "value": "true" },
            { "name": "d", "value": "1.5" }, { "name": "e", "value": "1000000000000000000000" }, { "name": "f" },
        ] } }),
    );
    check_rewritten(
        json!({ "podGC": { "strategy": "Whenever" }, "suspend": false, "templates": [{ "name": "s", "suspend": {} }] }),
        json!({ "podGC": { "strategy": "Whenever" }, "suspend": false, "templates": [{ "name": "s", "suspend": {} }] }),
    );
}
