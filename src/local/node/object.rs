//! What a node says of itself: the objects that stand for it in the API server.

use std::{net::SocketAddr, thread};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::local::runtime::architecture;

/// On nodes that are such a one, so that a real one of the same name is never taken over.
pub const LABEL: &str = "landfall.dev/local-node";
/// The value of [`LABEL`].
pub const LABEL_VALUE: &str = "true";
/// How long a lease is good for, in seconds, as that of a kubelet.
const LEASE_SECONDS: u32 = 40;
/// Pods that it takes, for a scheduler.
const PODS: &str = "1000";
/// Memory and disk that it says to have, for a scheduler. Nothing limits what pods take.
const MEMORY: &str = "64Gi";

/// What tells a node from others.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// Where the API server reaches it.
    pub address: SocketAddr,
}

impl Facts {
    /// The Node.
    pub fn object(&self) -> Value {
        let labels = json!({
            "kubernetes.io/hostname": self.name, "kubernetes.io/os": std::env::consts::OS,
            "kubernetes.io/arch": architecture(), LABEL: LABEL_VALUE,
        });
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels}})
    }

    /// How it is: ready.
    pub fn status(&self) -> Value {
        let now = Timestamp::now();
        let processors = thread::available_parallelism().map_or(1, usize::from).to_string();
        let size = json!({"cpu": processors, "memory": MEMORY, "ephemeral-storage": MEMORY, "pods": PODS});
        let conditions = [
            ("Ready", "True", "KubeletReady"),
            ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ];
        let conditions = conditions.map(|(kind, status, reason)| {
            json!({"type": kind, "status": status, "reason": reason, "message": "landfall local node runs",
                "lastHeartbeatTime": now, "lastTransitionTime": now})
        });
        let info = json!({
            "architecture": architecture(), "operatingSystem": std::env::consts::OS, "kubeletVersion": version(),
            "kubeProxyVersion": "", "bootID": "", "machineID": "", "systemUUID": "", "kernelVersion": "", "osImage": "",
            "containerRuntimeVersion": format!("landfall://{}", env!("CARGO_PKG_VERSION")),
        });
        let status = json!({
            // The name is none that can be looked up.
            "addresses": [{"type": "InternalIP", "address": self.address.ip()}],
            "capacity": size, "allocatable": size, "conditions": conditions, "nodeInfo": info,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.address.port()}},
        });
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name}, "status": status})
    }

    /// That it lives.
    pub fn lease(&self) -> Value {
        let now = format!("{:.6}", Timestamp::now());
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.name},
            "spec": {"holderIdentity": self.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
        })
    }
}

fn version() -> String {
    format!("landfall-{}", env!("CARGO_PKG_VERSION"))
}
