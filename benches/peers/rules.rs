//! The rules of the built-in module's settings, as data for other languages, in two layouts.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

/// The same rules twice.
#[derive(Serialize)]
pub struct Rules {
    /// One after the other, each with the namespace of its entry: `namespace`, `clusterNames`, `namespaces`.
    pub list: Vec<Value>,
    /// By the namespace of workflows, then by cluster: the namespaces there. The built-in module makes the like itself.
    pub allowed: BTreeMap<String, BTreeMap<String, BTreeMap<String, bool>>>,
}

impl Rules {
    /// Reads the settings.
    pub fn new(settings: &Value) -> Rules {
        let mut rules = Rules { list: Vec::new(), allowed: BTreeMap::new() };
        for entry in items(&settings["roles"]) {
            for rule in items(&entry["rules"]) {
                rules.add(&entry["namespace"], &rule["clusterNames"], &rule["namespaces"]);
            }
        }
        rules
    }

    fn add(&mut self, workflows: &Value, clusters: &Value, namespaces: &Value) {
        self.list.push(json!({"namespace": workflows, "clusterNames": clusters, "namespaces": namespaces}));
        let allowed = self.allowed.entry(text(workflows)).or_default();
        for cluster in items(clusters) {
            let names = items(namespaces).iter().map(|namespace| (text(namespace), true));
            allowed.entry(text(cluster)).or_default().extend(names);
        }
    }
}

fn items(list: &Value) -> &Vec<Value> {
    list.as_array().expect("a list")
}

fn text(name: &Value) -> String {
    name.as_str().expect("a text").to_owned()
}
