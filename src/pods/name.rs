//! Names of pods. At home they are Argo's (v4.1.2, `workflow/util/pod_name.go`, format v2), because its UI and CLI work
//! them out by themselves. Elsewhere they also depend on who owns them, because homes share targets.

use crate::api::ids::ClusterName;

/// Longest name of a pod.
const NAME_LENGTH_MAX: usize = 253;
/// Room for `-` and the decimal digits of a 32-bit hash.
const HASH_LENGTH_MAX: usize = 11;

/// The name at home, in the workflow's own namespace.
pub fn at_home(workflow_name: &str, template_name: &str, node_name: &str) -> String {
    if workflow_name == node_name {
        return workflow_name.to_owned();
    }
    let prefix = prefix(workflow_name, template_name, NAME_LENGTH_MAX - HASH_LENGTH_MAX);
    format!("{prefix}-{}", fnv1a_32(node_name.as_bytes()))
}

/// The name at home of a node whose 32-bit hash is another node's too.
pub fn at_home_long(workflow_name: &str, template_name: &str, node_name: &str) -> String {
    let hash = fnv1a_128(node_name.as_bytes()).to_string();
    let prefix = prefix(workflow_name, template_name, NAME_LENGTH_MAX - 1 - hash.len());
    format!("{prefix}-{hash}")
}

/// The name in another cluster or namespace: fixed by home, the workflow's UID and the node, so that same-named
/// workflows of two homes or namespaces never meet in a shared target.
pub fn elsewhere(home: &ClusterName, workflow_uid: &str, names: [&str; 3]) -> String {
    let [workflow_name, template_name, node_name] = names;
    let identity = format!("{home}/{workflow_uid}/{node_name}");
    // Half of the 128 bits keep the name short; owner labels decide should two identities share them.
    let hash = format!("{:016x}", fnv1a_128(identity.as_bytes()) as u64);
    let prefix = prefix(workflow_name, template_name, NAME_LENGTH_MAX - 1 - hash.len());
    format!("{prefix}-{hash}")
}

/// `<workflow>-<template>`, or `<workflow>` for an inline template, cut to a length.
fn prefix(workflow_name: &str, template_name: &str, length_max: usize) -> String {
    let mut prefix = workflow_name.to_owned();
    if !template_name.is_empty() {
        prefix.push('-');
        prefix.push_str(template_name);
    }
    prefix.truncate(prefix.floor_char_boundary(length_max));
    prefix
}

/// FNV-1a with 32 bits, as Go's `fnv.New32a`.
pub fn fnv1a_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619))
}

/// FNV-1a with 128 bits, as Go's `fnv.New128a`.
pub fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_home_are_those_of_argo() {
        assert_eq!(at_home("wf", "main", "wf"), "wf");
        assert_eq!(at_home("wf", "main", "wf.a"), format!("wf-main-{}", fnv1a_32(b"wf.a")));
        assert_eq!(at_home("wf", "", "wf.a"), format!("wf-{}", fnv1a_32(b"wf.a")));
        assert_eq!(at_home(&"w".repeat(300), "t", "x").len(), 242 + 1 + fnv1a_32(b"x").to_string().len());
    }

    #[test]
    fn names_elsewhere_differ_by_owner() {
        let home = ClusterName::home();
        let names = ["wf", "main", "wf.a"];
        let name = elsewhere(&home, "uid-1", names);
        assert!(name.starts_with("wf-main-"), "{name}");
        assert_ne!(name, elsewhere(&home, "uid-2", names));
        assert_eq!(name, elsewhere(&home, "uid-1", names));
    }

    #[test]
    fn hashes_are_those_of_go() {
        assert_eq!(fnv1a_32(b"build-wf-kpxvm.A"), 2_225_940_411);
        assert_eq!(fnv1a_128(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv1a_128(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
