//! Each control of the Pod Security Standards: which fields it looks at, and what it forbids in them.
//!
//! Source: <https://kubernetes.io/docs/concepts/security/pod-security-standards/>, as of Kubernetes 1.34. In one thing this
//! is stricter: the standard lets pods with users of their own (`hostUsers: false`) run as root in the restricted level.

use landfall_policy_sdk::pod::{Container, Handler, Pod, Profile, SeLinuxOptions};
use serde::Deserialize;

use crate::Level;

/// A control, by the name that exemptions and codes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Containers that run on a Windows node itself.
    HostProcess,
    /// The node's network, processes and shared memory.
    HostNamespaces,
    /// All rights of the node's root.
    Privileged,
    /// Parts of root's rights.
    Capabilities,
    /// Parts of root's rights that runtimes give by themselves.
    CapabilitiesRestricted,
    /// Folders of the node.
    HostPath,
    /// Ports of the node.
    HostPorts,
    /// Connections that the node makes for a pod.
    HostProbes,
    /// AppArmor's profile.
    AppArmor,
    /// SELinux' labels.
    SeLinux,
    /// All of `/proc`.
    ProcMount,
    /// Which system calls may be made.
    Seccomp,
    /// That this is said at all.
    SeccompRestricted,
    /// Parameters of the kernel.
    Sysctls,
    /// What volumes are made from.
    VolumeTypes,
    /// More rights than the parent had.
    PrivilegeEscalation,
    /// Root by default.
    RunAsNonRoot,
    /// Root by number.
    RunAsUser,
    /// A token of the service account. Not of the standard: on only where a setting says so.
    ServiceAccountToken,
}

/// What is looked at.
pub struct Subject<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What may be added although the level has it not.
    pub capabilities: &'a [&'a str],
}

/// A control, from which level on it counts, and what a pod does that it forbids.
pub struct Check {
    /// Which.
    pub control: Control,
    /// In this level and stricter ones.
    pub from: Level,
    /// What is forbidden, for people.
    pub violation: fn(&Subject) -> Option<String>,
}

/// All controls; the gravest come first, as the first one's code is the denial's.
pub const CONTROLS: &[Check] = &[
    baseline(Control::Privileged, privileged),
    baseline(Control::HostNamespaces, host_namespaces),
    baseline(Control::HostPath, host_path),
    baseline(Control::HostProcess, host_process),
    baseline(Control::Capabilities, capabilities_baseline),
    baseline(Control::HostPorts, host_ports),
    baseline(Control::HostProbes, host_probes),
    baseline(Control::AppArmor, app_armor),
    baseline(Control::SeLinux, se_linux),
    baseline(Control::ProcMount, proc_mount),
    baseline(Control::Seccomp, seccomp_baseline),
    baseline(Control::Sysctls, sysctls),
    restricted(Control::VolumeTypes, volume_types),
    restricted(Control::PrivilegeEscalation, privilege_escalation),
    restricted(Control::RunAsNonRoot, run_as_non_root),
    restricted(Control::RunAsUser, run_as_user),
    restricted(Control::SeccompRestricted, seccomp_restricted),
    restricted(Control::CapabilitiesRestricted, capabilities_restricted),
    baseline(Control::ServiceAccountToken, service_account_token),
];

const CAPABILITIES_BASELINE: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const CAPABILITIES_RESTRICTED: &[&str] = &["NET_BIND_SERVICE"];
const SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];
const SE_LINUX_TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
const PROFILES: &[&str] = &["RuntimeDefault", "Localhost"];
const VOLUME_TYPES: &[&str] =
    &["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
/// How AppArmor's profiles were named before there was a field.
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

impl Control {
    /// The code of denials.
    pub fn code(self) -> &'static str {
        match self {
            Control::HostProcess => "host-process",
            Control::HostNamespaces => "host-namespaces",
            Control::Privileged => "privileged",
            Control::Capabilities => "capabilities",
            Control::CapabilitiesRestricted => "capabilities-restricted",
            Control::HostPath => "host-path",
            Control::HostPorts => "host-ports",
            Control::HostProbes => "host-probes",
            Control::AppArmor => "app-armor",
            Control::SeLinux => "se-linux",
            Control::ProcMount => "proc-mount",
            Control::Seccomp => "seccomp",
            Control::SeccompRestricted => "seccomp-restricted",
            Control::Sysctls => "sysctls",
            Control::VolumeTypes => "volume-types",
            Control::PrivilegeEscalation => "privilege-escalation",
            Control::RunAsNonRoot => "run-as-non-root",
            Control::RunAsUser => "run-as-user",
            Control::ServiceAccountToken => "service-account-token",
        }
    }
}

const fn baseline(control: Control, violation: fn(&Subject) -> Option<String>) -> Check {
    Check { control, from: Level::Baseline, violation }
}

const fn restricted(control: Control, violation: fn(&Subject) -> Option<String>) -> Check {
    Check { control, from: Level::Restricted, violation }
}

fn privileged(subject: &Subject) -> Option<String> {
    let named = containers(subject, |container| container.security_context.privileged)?;
    Some(format!("{named} must not set securityContext.privileged"))
}

fn host_namespaces(subject: &Subject) -> Option<String> {
    let spec = &subject.pod.spec;
    let set = [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)];
    let set: Vec<&str> = set.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    if set.is_empty() { None } else { Some(format!("the pod must not set {}", set.join(", "))) }
}

fn host_path(subject: &Subject) -> Option<String> {
    let volumes = subject.pod.spec.volumes.iter().filter(|volume| volume.source("hostPath").is_some());
    let named = listed("volume", volumes.map(|volume| volume.name.as_str()))?;
    Some(format!("{named} must not be a hostPath"))
}

fn host_process(subject: &Subject) -> Option<String> {
    let pod = subject.pod.spec.security_context.windows_options.host_process;
    let of = |container: &Container| container.security_context.windows_options.host_process;
    let named = pod_or_containers(subject, pod, of)?;
    Some(format!("{named} must not set securityContext.windowsOptions.hostProcess"))
}

fn capabilities_baseline(subject: &Subject) -> Option<String> {
    added(subject, CAPABILITIES_BASELINE)
}

fn capabilities_restricted(subject: &Subject) -> Option<String> {
    if is_windows(subject) {
        return None;
    }
    let keeps = |container: &Container| !container.security_context.capabilities.drop.iter().any(|name| name == "ALL");
    match containers(subject, keeps) {
        Some(named) => Some(format!("{named} must set securityContext.capabilities.drop to [ALL]")),
        None => added(subject, CAPABILITIES_RESTRICTED),
    }
}

/// Capabilities that are neither in `allowed` nor exempt.
fn added(subject: &Subject, allowed: &[&str]) -> Option<String> {
    let more = |container: &Container| {
        let add = &container.security_context.capabilities.add;
        add.iter()
            .find(|name| !allowed.contains(&name.as_str()) && !subject.capabilities.contains(&name.as_str()))
            .cloned()
    };
    let name = subject.pod.containers().find_map(&more)?;
    let named = containers(subject, |container| more(container).is_some())?;
    Some(format!("{named} must not add capabilities such as {name:?}"))
}

fn host_ports(subject: &Subject) -> Option<String> {
    let named = containers(subject, |container| container.ports.iter().any(|port| port.host_port != 0))?;
    Some(format!("{named} must not set ports[].hostPort"))
}

fn host_probes(subject: &Subject) -> Option<String> {
    let elsewhere = |handler: &Handler| {
        let connections = [&handler.http_get, &handler.tcp_socket];
        connections.into_iter().flatten().any(|connection| !connection.host.is_empty())
    };
    let named = containers(subject, |container| {
        let probes = [&container.liveness_probe, &container.readiness_probe, &container.startup_probe];
        let hooks = container.lifecycle.as_ref().map(|lifecycle| [&lifecycle.post_start, &lifecycle.pre_stop]);
        probes.into_iter().chain(hooks.into_iter().flatten()).flatten().any(elsewhere)
    })?;
    Some(format!("{named} must not set a host in probes and lifecycle hooks"))
}

fn app_armor(subject: &Subject) -> Option<String> {
    let annotated = subject.pod.metadata.annotations.iter().find(|(name, value)| {
        let fits = value.is_empty() || *value == "runtime/default" || value.starts_with("localhost/");
        name.starts_with(APP_ARMOR_ANNOTATION) && !fits
    });
    if let Some((name, value)) = annotated {
        return Some(format!("annotation {name:?} must not be {value:?}"));
    }
    let pod = subject.pod.spec.security_context.app_armor_profile.as_ref().is_some_and(is_unknown);
    let of = |container: &Container| container.security_context.app_armor_profile.as_ref().is_some_and(is_unknown);
    let named = pod_or_containers(subject, pod, of)?;
    Some(format!("{named} must set securityContext.appArmorProfile.type to {}", PROFILES.join(" or ")))
}

fn se_linux(subject: &Subject) -> Option<String> {
    let is_forbidden = |options: &SeLinuxOptions| {
        !SE_LINUX_TYPES.contains(&options.kind.as_str()) || !options.user.is_empty() || !options.role.is_empty()
    };
    let pod = subject.pod.spec.security_context.se_linux_options.as_ref().is_some_and(is_forbidden);
    let of = |container: &Container| container.security_context.se_linux_options.as_ref().is_some_and(is_forbidden);
    let named = pod_or_containers(subject, pod, of)?;
    Some(format!("{named} must not set the user, the role or another type in securityContext.seLinuxOptions"))
}

fn proc_mount(subject: &Subject) -> Option<String> {
    let is_other = |mount: &String| !mount.is_empty() && mount != "Default";
    let named = containers(subject, |container| container.security_context.proc_mount.as_ref().is_some_and(is_other))?;
    Some(format!("{named} must not set securityContext.procMount"))
}

fn seccomp_baseline(subject: &Subject) -> Option<String> {
    let pod = subject.pod.spec.security_context.seccomp_profile.as_ref().is_some_and(is_unknown);
    let of = |container: &Container| container.security_context.seccomp_profile.as_ref().is_some_and(is_unknown);
    let named = pod_or_containers(subject, pod, of)?;
    Some(format!("{named} must set securityContext.seccompProfile.type to {}", PROFILES.join(" or ")))
}

/// Only what is absent: what is set is looked at in the baseline.
fn seccomp_restricted(subject: &Subject) -> Option<String> {
    if is_windows(subject) || subject.pod.spec.security_context.seccomp_profile.is_some() {
        return None;
    }
    let named = containers(subject, |container| container.security_context.seccomp_profile.is_none())?;
    Some(format!("the pod or {named} must set securityContext.seccompProfile.type to {}", PROFILES.join(" or ")))
}

fn sysctls(subject: &Subject) -> Option<String> {
    let sysctls = &subject.pod.spec.security_context.sysctls;
    // With slashes the kernel takes the same name.
    let is_unsafe = |name: &&str| !SYSCTLS.contains(&name.replace('/', ".").as_str());
    let named = listed("sysctl", sysctls.iter().map(|sysctl| sysctl.name.as_str()).filter(is_unsafe))?;
    Some(format!("the pod must not set {named}"))
}

fn volume_types(subject: &Subject) -> Option<String> {
    let volumes = subject.pod.spec.volumes.iter();
    let other = volumes.filter(|volume| volume.sources().any(|source| !VOLUME_TYPES.contains(&source)));
    let named = listed("volume", other.map(|volume| volume.name.as_str()))?;
    Some(format!("{named} must be one of {}", VOLUME_TYPES.join(", ")))
}

fn privilege_escalation(subject: &Subject) -> Option<String> {
    if is_windows(subject) {
        return None;
    }
    let named = containers(subject, |container| container.security_context.allow_privilege_escalation != Some(false))?;
    Some(format!("{named} must set securityContext.allowPrivilegeEscalation to false"))
}

fn run_as_non_root(subject: &Subject) -> Option<String> {
    let pod = subject.pod.spec.security_context.run_as_non_root;
    if pod == Some(false) {
        return Some("the pod must not set securityContext.runAsNonRoot to false".to_owned());
    }
    let named = containers(subject, |container| container.security_context.run_as_non_root.or(pod) != Some(true))?;
    Some(format!("the pod or {named} must set securityContext.runAsNonRoot to true"))
}

fn run_as_user(subject: &Subject) -> Option<String> {
    let pod = subject.pod.spec.security_context.run_as_user == Some(0);
    let named = pod_or_containers(subject, pod, |container| container.security_context.run_as_user == Some(0))?;
    Some(format!("{named} must not set securityContext.runAsUser to 0"))
}

fn service_account_token(subject: &Subject) -> Option<String> {
    if subject.pod.spec.automount_service_account_token != Some(false) {
        return Some("the pod must set automountServiceAccountToken to false".to_owned());
    }
    // A certificate of the pod says who it is just as well.
    let has_token = |source: &serde_json::Value| {
        let kinds = ["serviceAccountToken", "podCertificate"];
        kinds.iter().any(|kind| source.get(kind).is_some_and(|token| !token.is_null()))
    };
    let volumes = subject.pod.spec.volumes.iter().filter(|volume| {
        let sources = volume.source("projected").and_then(|projected| projected.get("sources")?.as_array());
        sources.is_some_and(|sources| sources.iter().any(has_token))
    });
    let named = listed("volume", volumes.map(|volume| volume.name.as_str()))?;
    Some(format!("{named} must not hold a token of the service account or a certificate of the pod"))
}

fn is_unknown(profile: &Profile) -> bool {
    !PROFILES.contains(&profile.kind.as_str())
}

fn is_windows(subject: &Subject) -> bool {
    subject.pod.spec.os.as_ref().is_some_and(|os| os.name == "windows")
}

fn pod_or_containers(subject: &Subject, pod: bool, has: impl Fn(&Container) -> bool) -> Option<String> {
    let named = containers(subject, has);
    match (pod, named) {
        (true, Some(named)) => Some(format!("the pod and {named}")),
        (true, None) => Some("the pod".to_owned()),
        (false, named) => named,
    }
}

/// `container "a"` or `containers "a", "b"`, if any is so.
fn containers(subject: &Subject, is_so: impl Fn(&Container) -> bool) -> Option<String> {
    let containers = subject.pod.containers().filter(|container| is_so(container));
    listed("container", containers.map(|container| container.name.as_str()))
}

fn listed<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    match names.as_slice() {
        [] => None,
        [name] => Some(format!("{what} {name}")),
        names => Some(format!("{what}s {}", names.join(", "))),
    }
}
