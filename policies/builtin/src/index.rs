//! The rules as sorted numbers: each name is kept once, and who may go where is a search for three numbers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use crate::settings::Entry;

/// `""` in a rule: any cluster, any namespace, every workflow namespace. It sorts before all other names.
const ANY: u32 = 0;

/// A denial names so many of the places that are allowed, and counts the rest.
const NAMES_SHOWN_MAX: usize = 5;

/// All entries, added up.
#[derive(Debug)]
pub struct Index {
    /// Every name in a rule, sorted, [`ANY`] first. A name's number is its place.
    names: Vec<String>,
    /// The workflow namespaces that have an entry.
    entries: BTreeSet<u32>,
    /// By workflow namespace and cluster: the namespaces allowed, sorted.
    allowed: BTreeMap<(u32, u32), Vec<u32>>,
}

/// The entries that apply to workflows of one namespace: its own, and those for every namespace.
pub struct Tenant<'a> {
    index: &'a Index,
    entries: Vec<u32>,
}

/// Names as people read them: quoted, the first few.
pub struct Names<'a> {
    index: &'a Index,
    numbers: Vec<u32>,
}

impl Index {
    /// Adds up `entries`: several for one namespace count together.
    pub fn new(entries: &[Entry]) -> Index {
        let mut names = BTreeSet::from([""]);
        for entry in entries {
            names.insert(&entry.namespace);
            for rule in &entry.rules {
                names.extend(rule.cluster_names.iter().map(String::as_str));
                names.extend(rule.namespaces.iter().map(String::as_str));
            }
        }
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let mut index = Index { names, entries: BTreeSet::new(), allowed: BTreeMap::new() };
        for entry in entries {
            index.add(entry);
        }
        for namespaces in index.allowed.values_mut() {
            namespaces.sort_unstable();
            namespaces.dedup();
            namespaces.shrink_to_fit();
        }
        index
    }

    fn add(&mut self, entry: &Entry) {
        let Some(tenant) = self.number(&entry.namespace) else { return };
        self.entries.insert(tenant);
        for rule in &entry.rules {
            let namespaces: Vec<u32> = rule.namespaces.iter().filter_map(|name| self.number(name)).collect();
            if namespaces.is_empty() {
                continue;
            }
            for cluster in &rule.cluster_names {
                let Some(cluster) = self.number(cluster) else { continue };
                self.allowed.entry((tenant, cluster)).or_default().extend(&namespaces);
            }
        }
    }

    /// The entries for workflows of `namespace`.
    pub fn tenant(&self, namespace: &str) -> Tenant<'_> {
        let mut entries = Vec::with_capacity(2);
        for entry in [self.number(namespace), Some(ANY)].into_iter().flatten() {
            if self.entries.contains(&entry) && !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        Tenant { index: self, entries }
    }

    fn number(&self, name: &str) -> Option<u32> {
        let place = self.names.binary_search_by(|known| known.as_str().cmp(name)).ok()?;
        u32::try_from(place).ok()
    }

    fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", String::as_str)
    }
}

impl Tenant<'_> {
    /// No entry applies.
    pub fn has_no_entry(&self) -> bool {
        self.entries.is_empty()
    }

    /// A rule allows pods in `namespace` of `cluster`.
    pub fn allows(&self, cluster: &str, namespace: &str) -> bool {
        let namespace = self.index.number(namespace);
        self.lists_for(cluster).any(|allowed| {
            allowed.first() == Some(&ANY) || namespace.is_some_and(|number| allowed.binary_search(&number).is_ok())
        })
    }

    /// The namespaces of `cluster` that rules allow.
    pub fn namespaces_allowed_in(&self, cluster: &str) -> Names<'_> {
        Names::new(self.index, self.lists_for(cluster).flatten().copied().collect())
    }

    /// The clusters that rules allow something in.
    pub fn clusters_allowed(&self) -> Names<'_> {
        let keys = self.entries.iter().flat_map(|&entry| self.index.allowed.range((entry, ANY)..=(entry, u32::MAX)));
        Names::new(self.index, keys.map(|((_, cluster), _)| *cluster).collect())
    }

    fn lists_for(&self, cluster: &str) -> impl Iterator<Item = &Vec<u32>> {
        let clusters = [self.index.number(cluster).unwrap_or(ANY), ANY];
        self.entries
            .iter()
            .flat_map(move |&entry| clusters.map(|cluster| (entry, cluster)))
            .filter_map(|key| self.index.allowed.get(&key))
    }
}

impl<'a> Names<'a> {
    fn new(index: &'a Index, mut numbers: Vec<u32>) -> Names<'a> {
        numbers.sort_unstable();
        numbers.dedup();
        Names { index, numbers }
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Adds them to `text`.
    pub fn write(&self, text: &mut String) {
        for (place, number) in self.numbers.iter().take(NAMES_SHOWN_MAX).enumerate() {
            if place > 0 {
                text.push_str(", ");
            }
            quote(self.index.name(*number), text);
        }
        if let more @ 1.. = self.numbers.len().saturating_sub(NAMES_SHOWN_MAX) {
            // Writing to a string does not fail.
            let _ = write!(text, " and {more} more");
        }
    }
}

/// Adds `name` in quotes to `text`, as `{name:?}` does. That looks each character up in tables; most names need none.
pub fn quote(name: &str, text: &mut String) {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./: *".contains(&byte)) {
        text.push('"');
        text.push_str(name);
        text.push('"');
    } else {
        // Writing to a string does not fail.
        let _ = write!(text, "{name:?}");
    }
}
