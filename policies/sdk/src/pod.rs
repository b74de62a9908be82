//! The parts of a pod that policies look at, with the names of Kubernetes' API reference, core/v1.
//!
//! What is not here is in [`Request::pod_value`](crate::Request::pod_value). A field that is here but has another type
//! makes the whole pod unreadable, and so denied: a policy must not look at less than the API server does. `null` is as
//! good as absent, as in Kubernetes.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

use crate::{
    decision::{CODE_UNREADABLE_POD, Denial},
    policy::at_path,
};

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default)]
pub struct Pod {
    /// Labels and annotations.
    #[serde(deserialize_with = "nullable")]
    pub metadata: Metadata,
    /// What runs.
    #[serde(deserialize_with = "nullable")]
    pub spec: Spec,
}

/// What a pod is called and bears.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default)]
pub struct Metadata {
    /// Labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(deserialize_with = "nullable")]
    pub annotations: BTreeMap<String, String>,
}

/// What runs, and with which rights.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct Spec {
    /// They run beside each other.
    #[serde(deserialize_with = "nullable")]
    pub containers: Vec<Container>,
    /// They run first, one after another; as sidecars they stay.
    #[serde(deserialize_with = "nullable")]
    pub init_containers: Vec<Container>,
    /// They are added for debugging.
    #[serde(deserialize_with = "nullable")]
    pub ephemeral_containers: Vec<Container>,
    /// What can be mounted.
    #[serde(deserialize_with = "nullable")]
    pub volumes: Vec<Volume>,
    /// Rights of all containers.
    #[serde(deserialize_with = "nullable")]
    pub security_context: PodSecurityContext,
    /// The node's network.
    #[serde(deserialize_with = "nullable")]
    pub host_network: bool,
    /// The node's processes.
    #[serde(rename = "hostPID", deserialize_with = "nullable")]
    pub host_pid: bool,
    /// The node's shared memory and semaphores.
    #[serde(rename = "hostIPC", deserialize_with = "nullable")]
    pub host_ipc: bool,
    /// Absent is true: the pod's users are the node's.
    pub host_users: Option<bool>,
    /// Absent is `default`.
    pub service_account_name: Option<String>,
    /// Absent is as the service account says.
    pub automount_service_account_token: Option<bool>,
    /// Absent is any.
    pub runtime_class_name: Option<String>,
    /// The node that it is bound to, past the scheduler.
    pub node_name: Option<String>,
    /// Labels that the node must bear.
    #[serde(deserialize_with = "nullable")]
    pub node_selector: BTreeMap<String, String>,
    /// The operating system.
    pub os: Option<Os>,
}

/// The operating system that a pod is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", default)]
pub struct Os {
    /// `linux` or `windows`.
    pub name: String,
}

/// A container of any kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct Container {
    /// Unique in the pod.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// As it is written, without the defaults of names.
    pub image: Option<String>,
    /// Its rights.
    #[serde(deserialize_with = "nullable")]
    pub security_context: SecurityContext,
    /// What it listens on.
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<Port>,
    /// Is it alive?
    pub liveness_probe: Option<Handler>,
    /// Is it ready?
    pub readiness_probe: Option<Handler>,
    /// Has it started?
    pub startup_probe: Option<Handler>,
    /// What is done after its start and before its end.
    pub lifecycle: Option<Lifecycle>,
}

/// Rights of all containers of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct PodSecurityContext {
    /// The user's number.
    pub run_as_user: Option<i64>,
    /// The user's number must not be 0.
    pub run_as_non_root: Option<bool>,
    /// Which system calls may be made.
    pub seccomp_profile: Option<Profile>,
    /// What AppArmor allows.
    pub app_armor_profile: Option<Profile>,
    /// What SELinux allows.
    pub se_linux_options: Option<SeLinuxOptions>,
    /// Parameters of the kernel.
    #[serde(deserialize_with = "nullable")]
    pub sysctls: Vec<Sysctl>,
    /// For Windows only.
    #[serde(deserialize_with = "nullable")]
    pub windows_options: WindowsOptions,
}

/// Rights of one container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct SecurityContext {
    /// All rights of the node's root.
    #[serde(deserialize_with = "nullable")]
    pub privileged: bool,
    /// More rights than its parent had, as through set-user-ID files. Absent is true.
    pub allow_privilege_escalation: Option<bool>,
    /// Parts of root's rights.
    #[serde(deserialize_with = "nullable")]
    pub capabilities: Capabilities,
    /// The user's number.
    pub run_as_user: Option<i64>,
    /// The user's number must not be 0.
    pub run_as_non_root: Option<bool>,
    /// How `/proc` is mounted.
    pub proc_mount: Option<String>,
    /// Which system calls may be made.
    pub seccomp_profile: Option<Profile>,
    /// What AppArmor allows.
    pub app_armor_profile: Option<Profile>,
    /// What SELinux allows.
    pub se_linux_options: Option<SeLinuxOptions>,
    /// For Windows only.
    #[serde(deserialize_with = "nullable")]
    pub windows_options: WindowsOptions,
}

/// Parts of root's rights, as `NET_ADMIN`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", default)]
pub struct Capabilities {
    /// More than the runtime gives by itself.
    #[serde(deserialize_with = "nullable")]
    pub add: Vec<String>,
    /// Less than the runtime gives by itself.
    #[serde(deserialize_with = "nullable")]
    pub drop: Vec<String>,
}

/// A profile of seccomp or AppArmor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", default)]
pub struct Profile {
    /// `RuntimeDefault`, `Localhost` or `Unconfined`.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub kind: String,
}

/// A label of SELinux.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", default)]
pub struct SeLinuxOptions {
    /// The type; empty is the runtime's own.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub kind: String,
    /// The user; empty is the runtime's own.
    #[serde(deserialize_with = "nullable")]
    pub user: String,
    /// The role; empty is the runtime's own.
    #[serde(deserialize_with = "nullable")]
    pub role: String,
}

/// A parameter of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", default)]
pub struct Sysctl {
    /// Its name, with dots or slashes.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
}

/// Rights on Windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct WindowsOptions {
    /// It runs on the node itself.
    #[serde(deserialize_with = "nullable")]
    pub host_process: bool,
}

/// What a container listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct Port {
    /// The port of the node; 0 is none.
    #[serde(deserialize_with = "nullable")]
    pub host_port: i64,
}

/// What is done after a container's start and before its end.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct Lifecycle {
    /// After its start.
    pub post_start: Option<Handler>,
    /// Before its end.
    pub pre_stop: Option<Handler>,
}

/// A question to a container, asked by the node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct Handler {
    /// By HTTP.
    pub http_get: Option<Connection>,
    /// By connecting.
    pub tcp_socket: Option<Connection>,
}

/// Where the node connects to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", default)]
pub struct Connection {
    /// Empty is the pod itself.
    #[serde(deserialize_with = "nullable")]
    pub host: String,
}

/// What can be mounted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self")]
pub struct Volume {
    /// Its name.
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// Everything else by its name, such as `hostPath`: one of them, if the API server takes it.
    #[serde(flatten)]
    sources: Map<String, Value>,
}

impl Pod {
    /// Reads JSON.
    ///
    /// # Errors
    ///
    /// A denial that names the field.
    pub fn read(json: &str) -> Result<Pod, Denial> {
        let unreadable = |why: String| Denial::new(CODE_UNREADABLE_POD, format!("the pod can't be read: {why}"));
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let pod = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| unreadable(at_path(&error)))?;
        deserializer.end().map_err(|error| unreadable(error.to_string()))?;
        Ok(pod)
    }

    /// All containers: those that run first, those that run, those for debugging.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        let Spec { init_containers, containers, ephemeral_containers, .. } = &self.spec;
        init_containers.iter().chain(containers).chain(ephemeral_containers)
    }
}

impl Volume {
    /// The names of what it is made from, such as `hostPath`. None is an empty folder.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str())
    }

    /// What it is made from, if that is `name`.
    pub fn source(&self, name: &str) -> Option<&Value> {
        self.sources.get(name).filter(|value| !value.is_null())
    }
}

/// By itself, what serde derives takes a list for the fields in their order; the API server does not. So the derived
/// function, which `remote = "Self"` keeps out of the trait, is asked with objects only.
macro_rules! objects_only {
    ($($name:ident),+ $(,)?) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                struct Object;
                impl<'de> Visitor<'de> for Object {
                    type Value = $name;

                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        formatter.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<$name, A::Error> {
                        $name::deserialize(MapAccessDeserializer::new(fields))
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }
    )+};
}

objects_only!(
    Pod,
    Metadata,
    Spec,
    Os,
    Container,
    PodSecurityContext,
    SecurityContext,
    Capabilities,
    Profile,
    SeLinuxOptions,
    Sysctl,
    WindowsOptions,
    Port,
    Lifecycle,
    Handler,
    Connection,
    Volume,
);

fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Pod;

    #[test]
    fn null_is_as_good_as_absent() {
        let nulls = json!({"metadata": {"labels": null}, "spec": {
            "containers": [{"name": null, "securityContext": null, "ports": null}],
            "volumes": [{"name": "a", "hostPath": null}],
            "hostNetwork": null, "initContainers": null, "securityContext": {"sysctls": null},
        }});
        let pod = Pod::read(&nulls.to_string()).unwrap();
        assert_eq!((pod.containers().count(), pod.spec.volumes[0].sources().count()), (1, 0));
    }

    #[test]
    fn what_has_another_type_is_not_read_over() {
        let check = |pod: serde_json::Value, expected: &str| {
            let reason = Pod::read(&pod.to_string()).unwrap_err().reason;
            assert!(reason.contains(expected), "{reason}");
        };
        check(json!([]), "invalid type: sequence, expected an object");
        check(json!({"spec": {"hostNetwork": "true"}}), "spec.hostNetwork: invalid type");
        check(json!({"spec": {"containers": {}}}), "spec.containers: invalid type");
        check(
            json!({"spec": {"initContainers": [{"securityContext": {"privileged": 1}}]}}),
            "spec.initContainers[0].securityContext.privileged: invalid type",
        );
        check(json!({"spec": {"volumes": [{"name": 1}]}}), "spec.volumes[0]");
    }
    /// What is derived takes a list for the fields in their order: `[]` would be a container without any rights.
    #[test]
    fn a_list_is_no_object_wherever_one_stands() {
        let check = |path: &str, pod: serde_json::Value| {
            let reason = Pod::read(&pod.to_string()).unwrap_err().reason;
            assert!(reason.starts_with(&format!("the pod can't be read: {path}: invalid type: sequence")), "{reason}");
        };
        for field in ["metadata", "spec"] {
            check(field, json!({field: []}));
        }
        for field in ["securityContext", "os"] {
            check(&format!("spec.{field}"), json!({"spec": {field: []}}));
        }
        for field in ["seccompProfile", "appArmorProfile", "seLinuxOptions", "windowsOptions"] {
            check(&format!("spec.securityContext.{field}"), json!({"spec": {"securityContext": {field: []}}}));
        }
        check(
            "spec.securityContext.sysctls[0]",
            json!({"spec": {"securityContext": {"sysctls": [["kernel.msgmax"]]}}}),
        );
        for kind in ["containers", "initContainers", "ephemeralContainers"] {
            let check = |path: &str, container: serde_json::Value| {
                check(&format!("spec.{kind}[1]{path}"), json!({"spec": {kind: [{"name": "a"}, container]}}));
            };
            check("", json!([]));
            check("", json!(["b", "image"]));
            for field in ["securityContext", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
                check(&format!(".{field}"), json!({field: []}));
            }
            for field in ["capabilities", "seccompProfile", "appArmorProfile", "seLinuxOptions", "windowsOptions"] {
                check(&format!(".securityContext.{field}"), json!({"securityContext": {field: []}}));
            }
            check(".ports[0]", json!({"ports": [[]]}));
            for field in ["postStart", "preStop"] {
                check(&format!(".lifecycle.{field}"), json!({"lifecycle": {field: []}}));
            }
            for field in ["httpGet", "tcpSocket"] {
                check(&format!(".livenessProbe.{field}"), json!({"livenessProbe": {field: []}}));
            }
        }
        check("spec.volumes[0]", json!({"spec": {"volumes": [["v"]]}}));
    }
}
