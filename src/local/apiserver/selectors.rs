//! Label and field selectors, in Kubernetes' grammar.

use crate::local::apiserver::{
    refusal::{Answer, Refusal},
    resources::Resource,
    store::Object,
};

/// What both selectors of a request demand; the default demands nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Debug, Clone, PartialEq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

#[derive(Debug, Clone, PartialEq)]
struct FieldRequirement {
    field: String,
    value: String,
    equal: bool,
}

/// The fields, beside name and namespace, that Kubernetes can select a kind by, and where they stand.
pub fn selectable(resource: &Resource) -> &'static [(&'static str, &'static str)] {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => &[
            ("spec.nodeName", "/spec/nodeName"),
            ("spec.restartPolicy", "/spec/restartPolicy"),
            ("spec.schedulerName", "/spec/schedulerName"),
            ("spec.serviceAccountName", "/spec/serviceAccountName"),
            ("status.phase", "/status/phase"),
            ("status.podIP", "/status/podIP"),
            ("status.nominatedNodeName", "/status/nominatedNodeName"),
        ],
        ("", "events") => &[
            ("involvedObject.kind", "/involvedObject/kind"),
            ("involvedObject.namespace", "/involvedObject/namespace"),
            ("involvedObject.name", "/involvedObject/name"),
            ("involvedObject.uid", "/involvedObject/uid"),
            ("involvedObject.apiVersion", "/involvedObject/apiVersion"),
            ("involvedObject.resourceVersion", "/involvedObject/resourceVersion"),
            ("involvedObject.fieldPath", "/involvedObject/fieldPath"),
            ("reason", "/reason"),
            ("reportingComponent", "/reportingComponent"),
            ("source", "/source/component"),
            ("type", "/type"),
        ],
        ("events.k8s.io", "events") => &[
            ("regarding.kind", "/regarding/kind"),
            ("regarding.namespace", "/regarding/namespace"),
            ("regarding.name", "/regarding/name"),
            ("regarding.uid", "/regarding/uid"),
            ("reason", "/reason"),
            ("type", "/type"),
        ],
        ("", "secrets") => &[("type", "/type")],
        ("", "namespaces") => &[("status.phase", "/status/phase")],
        (_, _) => &[],
    }
}

impl Selector {
    pub fn parse(resource: &Resource, labels: &str, fields: &str) -> Answer<Selector> {
        let labels =
            parse_labels(labels).map_err(|why| Refusal::bad_request(format!("unable to parse requirement: {why}")))?;
        let fields = parse_fields(fields).map_err(Refusal::bad_request)?;
        for FieldRequirement { field, .. } in &fields {
            let known = matches!(field.as_str(), "metadata.name" | "metadata.namespace")
                || selectable(resource).iter().any(|(name, _)| name == field);
            if !known {
                return Err(Refusal::bad_request(format!("field label not supported: {field}")));
            }
        }
        Ok(Selector { labels, fields })
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn matches(&self, object: &Object) -> bool {
        let fields = self.fields.iter().all(|requirement| {
            let value = match requirement.field.as_str() {
                "metadata.name" => Some(&object.key.name),
                "metadata.namespace" => Some(&object.key.namespace),
                field => object.fields.iter().find(|(name, _)| *name == field).map(|(_, value)| value),
            };
            (value == Some(&requirement.value)) == requirement.equal
        });
        fields
            && self.labels.iter().all(|Requirement { key, test }| {
                let label = object.labels.get(key);
                match test {
                    Test::Exists => label.is_some(),
                    Test::Absent => label.is_none(),
                    Test::In(values) => label.is_some_and(|label| values.contains(label)),
                    Test::NotIn(values) => label.is_none_or(|label| !values.contains(label)),
                    Test::Above(bound) => {
                        label.and_then(|label| label.parse().ok()).is_some_and(|label: i64| *bound < label)
                    }
                    Test::Below(bound) => {
                        label.and_then(|label| label.parse().ok()).is_some_and(|label: i64| label < *bound)
                    }
                }
            })
    }
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, String> {
    let parts = split_outside_parentheses(text);
    parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).map(parse_requirement).collect()
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth <= 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => (),
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_requirement(text: &str) -> Result<Requirement, String> {
    let requirement = |key: &str, test| {
        let key = key.trim();
        if key.is_empty() || key.contains(|c: char| c.is_whitespace() || "()!".contains(c)) {
            return Err(format!("found '{text}', expected: a label key"));
        }
        Ok(Requirement { key: key.to_owned(), test })
    };
    if let Some(key) = text.strip_prefix('!') {
        return requirement(key, Test::Absent);
    }
    if let Some(head) = text.strip_suffix(')') {
        let Some((head, values)) = head.split_once('(') else { return Err(format!("found '{text}', expected: '('")) };
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let Some((key, operator)) = head.trim().rsplit_once(char::is_whitespace) else {
            return Err(format!("found '{head}', expected: in, notin"));
        };
        return match operator {
            "in" => requirement(key, Test::In(values)),
            "notin" => requirement(key, Test::NotIn(values)),
            other => Err(format!("found '{other}', expected: in, notin")),
        };
    }
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((key, value)) = text.split_once("!=") {
        return requirement(key, Test::NotIn(one(value)));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return requirement(key, Test::In(one(value)));
    }
    let number = |value: &str| {
        value.trim().parse().map_err(|_| format!("for 'Gt', 'Lt' operators, the value must be an integer: {value}"))
    };
    if let Some((key, value)) = text.split_once('>') {
        return requirement(key, Test::Above(number(value)?));
    }
    if let Some((key, value)) = text.split_once('<') {
        return requirement(key, Test::Below(number(value)?));
    }
    requirement(text, Test::Exists)
}

fn parse_fields(text: &str) -> Result<Vec<FieldRequirement>, String> {
    let mut requirements = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (field, value, equal) = if let Some((field, value)) = part.split_once("!=") {
            (field, value, false)
        } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (field, value, true)
        } else {
            return Err(format!("invalid selector: '{part}'; can't understand '{part}'"));
        };
        requirements.push(FieldRequirement { field: field.trim().to_owned(), value: value.trim().to_owned(), equal });
    }
    Ok(requirements)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::local::apiserver::{resources::untyped, store::Key};

    #[test]
    fn labels_select() {
        let cases = [
            ("", true),
            ("app", true),
            ("!app", false),
            ("!other", true),
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app!=web", false),
            ("none!=web", true),
            ("app in (api, web)", true),
            ("app in (api)", false),
            ("app notin (api,db),tier", true),
            ("none notin (a)", true),
            ("example.com/n>3", true),
            ("example.com/n<3", false),
        ];
        for (text, expected) in cases {
            check(text, "", Some(expected));
        }
        for text in ["a b", "app in web", "app within (a)", "x>y", "=a"] {
            check(text, "", None);
        }
    }

    #[test]
    fn fields_select() {
        let cases = [
            ("metadata.name=a", Some(true)),
            ("metadata.name==b", Some(false)),
            ("metadata.namespace!=ns", Some(false)),
            ("status.phase=Running", None),
            ("metadata.name", None),
        ];
        for (text, expected) in cases {
            check("", text, expected);
        }
    }

    fn check(labels: &str, fields: &str, expected: Option<bool>) {
        let pairs = [("app", "web"), ("tier", "front"), ("example.com/n", "5")];
        let object = Object {
            key: Key::new("ns", "a"),
            uid: String::new(),
            version: 1,
            labels: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            fields: Vec::new(),
            owners: Vec::new(),
            terminating: false,
            json: Bytes::new(),
        };
        let resource = untyped("", "v1", "ConfigMap", "configmaps", &[]);
        let selected = Selector::parse(&resource, labels, fields).ok().map(|selector| selector.matches(&object));
        assert_eq!(selected, expected, "{labels} {fields}");
    }
}
