//! Which namespaces of a cluster pods may run in, and for whose workflows: what the flags say, else what `namespaceRoles`
//! at home says. Pure.

use std::collections::BTreeSet;

use crate::{
    api::ids::{ClusterName, Namespace},
    cli::hint,
    clusters::grants::Places,
    policy::roles::{Roles, Rule},
};

/// What the flags say, else what the rules say of this cluster.
///
/// # Errors
/// If neither names a namespace, or the rules mean all, which is not taken as said.
pub fn of(given: &[Namespace], all: bool, roles: &Roles, cluster: &ClusterName) -> anyhow::Result<Places> {
    if all {
        return Ok(Places::All);
    }
    if !given.is_empty() {
        return Ok(Places::These(given.iter().cloned().collect()));
    }
    let rules = rules(roles).filter(|(_, rule)| names(&rule.cluster_names, cluster.as_str()));
    let named: BTreeSet<&str> = rules.flat_map(|(_, rule)| rule.namespaces.iter().map(String::as_str)).collect();
    if named.contains("") {
        return Err(hint::error(
            format!("namespaceRoles lets workflows use any namespace of cluster {cluster}"),
            "say --all-namespaces to give the controller rights in all of them, or name some with --target-namespace",
        ));
    }
    // A text that is no name allows nothing.
    let places: BTreeSet<Namespace> = named.into_iter().filter_map(|name| name.parse().ok()).collect();
    if places.is_empty() {
        return Err(hint::error(
            format!("no namespace of cluster {cluster} is named, here or in namespaceRoles"),
            "name those that pods may run in with --target-namespace, once for each, or say --all-namespaces",
        ));
    }
    Ok(Places::These(places))
}

/// The namespaces of workflows that may run pods there; `None` among them stands for all.
pub fn askers(roles: &Roles, cluster: &ClusterName, namespace: &Namespace) -> BTreeSet<Option<Namespace>> {
    rules(roles)
        .filter(|(_, rule)| names(&rule.cluster_names, cluster.as_str()) && names(&rule.namespaces, namespace.as_str()))
        .filter_map(|(of, _)| if of.is_empty() { Some(None) } else { of.parse().ok().map(Some) })
        .collect()
}

fn rules(roles: &Roles) -> impl Iterator<Item = (&str, &Rule)> {
    let entries = match roles {
        Roles::Absent => [].as_slice(),
        Roles::Entries(entries) => entries.as_slice(),
    };
    entries.iter().flat_map(|entry| entry.rules.iter().map(|rule| (entry.namespace.as_str(), rule)))
}

fn names(list: &[String], name: &str) -> bool {
    list.iter().any(|it| it.is_empty() || it == name)
}

#[cfg(test)]
mod tests {
    use crate::policy::config::Config;

    fn check(yaml: &str, expected: &str) {
        let (config, _) = Config::parse(Some(yaml), None).unwrap();
        let found = super::of(&[], false, &config.roles, &"other".parse().unwrap());
        let found = found.map_or_else(|error| error.to_string(), |places| format!("{places:?}"));
        assert!(found.contains(expected), "{yaml}: {found}");
    }

    #[test]
    fn rules_say_where_if_nothing_else_does() {
        check("[{namespace: argo, rules: [{clusterNames: [other], namespaces: [a, b]}]}]", "a");
        check("[{namespace: argo, rules: [{clusterNames: [''], namespaces: [a]}]}]", "a");
        check(
            "[{namespace: argo, rules: [{clusterNames: [other], namespaces: ['']}]}]",
            "any namespace of cluster other",
        );
        check(
            "[{namespace: argo, rules: [{clusterNames: [third], namespaces: [a]}]}]",
            "no namespace of cluster other",
        );
    }

    #[test]
    fn askers_are_those_whose_rules_fit() {
        let yaml = "[{namespace: argo, rules: [{clusterNames: [other], namespaces: [a]}]},
            {namespace: '', rules: [{clusterNames: [third], namespaces: [a]}]}]";
        let (config, _) = Config::parse(Some(yaml), None).unwrap();
        let check = |cluster: &str, namespace: &str, expected: &[Option<&str>]| {
            let found = super::askers(&config.roles, &cluster.parse().unwrap(), &namespace.parse().unwrap());
            let found: Vec<_> = found.iter().map(|it| it.as_ref().map(|it| it.as_str())).collect();
            assert_eq!(found, expected, "{cluster}/{namespace}");
        };
        check("other", "a", &[Some("argo")]);
        check("other", "b", &[]);
        check("third", "a", &[None]);
    }
}
