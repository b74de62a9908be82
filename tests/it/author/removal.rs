//! What of the settings matters: elements are taken out, and everything is asked again.

use landfall::{
    author::removal::{self, Effect, Path, Removal, Removals, Step, Target},
    policy::{
        host::Host,
        module::{LoadError, Prepared},
        request::Request,
        store::BUILTIN,
        yaml,
    },
};

use crate::{author::support::request, support::modules};

const SETTINGS: &str = r#"
roles:
- namespace: argo
  rules:
  - clusterNames: [""]
    namespaces: [argo]
  - clusterNames: [other, third]
    namespaces: [shared]
- namespace: team-a
  rules:
  - clusterNames: [default]
    namespaces: [team-a]
"#;

fn find(bytes: &[u8], settings: &str, questions: &[Request]) -> Result<Removals, LoadError> {
    let host = Host::new().unwrap();
    let prepared = Prepared::new(&host, bytes.into())?;
    let settings = yaml::parse(settings).unwrap().to_json();
    let questions: Vec<&Request> = questions.iter().collect();
    let target = Target { host: &host, prepared: &prepared, name: "module" };
    removal::find(target, &settings, &questions, &mut |_, _| {})
}

fn shown(removal: &Removal, root: &yaml::Node) -> String {
    let line = removal::line(root, &removal.path).unwrap();
    let effect = match &removal.effect {
        Effect::Required(message) => format!("required: {message}"),
        Effect::Nothing => "nothing".to_owned(),
        Effect::Changes(changes) => {
            let change = |change: &removal::Change| {
                let answer = change.answer.as_ref().map_or("allow", |denial| &denial.code);
                let reason = if change.only_reason { " (reason only)" } else { "" };
                format!("{} becomes {answer}{reason}", change.question)
            };
            changes.iter().map(change).collect::<Vec<_>>().join(", ")
        }
    };
    format!("{line} {}: {effect}\n", removal.path)
}

#[test]
fn an_element_matters_if_an_answer_changes_without_it() {
    let questions =
        [request("argo", "default/argo"), request("argo", "other/shared"), request("team-b", "default/argo")];
    let found = find(BUILTIN, SETTINGS, &questions).unwrap();
    assert_eq!(found.answers.iter().map(Option::is_none).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(found.left_out, 0);
    let root = yaml::parse(SETTINGS).unwrap();
    let text: String = found.removals.iter().map(|removal| shown(removal, &root)).collect();
    crate::golden::check("tests/cli/policy-removals.txt", &text);
}

/// What the module keeps between decisions does not make it look as if an element mattered.
#[test]
fn state_of_the_instance_is_no_effect() {
    let questions = ["count", "trap", "count"].map(|word| Request { template: word.to_owned(), ..request("a", "b/c") });
    let found = find(modules::DENY_ALL, r#"{"a": {"b": ["c"]}}"#, &questions).unwrap();
    let effects: Vec<_> = found.removals.iter().map(|removal| (removal.path.to_string(), removal.matters())).collect();
    assert_eq!(effects, [("a".to_owned(), false)]);
}

#[test]
fn settings_that_are_refused_have_no_elements() {
    let error = find(modules::DENY_ALL, r#"{"refuse": 1}"#, &[]).unwrap_err();
    assert_eq!(error.to_string(), r#"refuses its settings: setting "refuse": told to"#);
}

#[test]
fn paths_read_as_people_write_them() {
    let entry = |name: &str| Step::Entry(name.to_owned());
    let check = |steps: Vec<Step>, expected: &str| assert_eq!(Path(steps).to_string(), expected);
    check(vec![entry("roles"), Step::Item(0), entry("rules"), Step::Item(1)], "roles[0].rules[1]");
    check(vec![Step::Item(0), entry("a.b")], r#"[0]["a.b"]"#);
    check(vec![], "");
}
