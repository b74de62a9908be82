//! Pods may only be created in the clusters that are listed.

use landfall_policy_sdk::{Allow, Decision, Policy, Request, deny};
use serde::Deserialize;

/// What stands under `settings` for this module in the configuration. Anything else is refused when it is loaded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Clusters {
    clusters: Vec<String>,
}

impl Policy for Clusters {
    /// Asked for every pod. The request is that of wit/policy.wit; when in doubt, deny.
    fn authorize(&self, request: &Request) -> Decision {
        let cluster = &request.target.cluster;
        if self.clusters.contains(cluster) {
            return Ok(Allow);
        }
        deny!("cluster-not-listed", "cluster {cluster:?} is not one of {}", self.clusters.join(", "))
    }
}

landfall_policy_sdk::export!(Clusters);

#[cfg(test)]
mod tests {
    use landfall_policy_sdk::{Policy, Request, configured};

    use super::Clusters;

    #[test]
    fn only_clusters_that_are_listed() {
        let policy = configured::<Clusters>(r#"{"clusters": ["batch"]}"#).unwrap();
        assert!(policy.authorize(&Request::new("team-a", "batch/team-a")).is_ok());
        assert_eq!(policy.authorize(&Request::new("team-a", "other/team-a")).unwrap_err().code, "cluster-not-listed");
    }
}
