//! Every label, annotation and exit code shared by controller, pods and tools. Argo's are from v4.1.2, `workflow/common/common.go`.

/// Label on pods: the workflow's name.
pub const LABEL_WORKFLOW: &str = "workflows.argoproj.io/workflow";
/// Label on workflows and pods: `"true"` once ended.
pub const LABEL_COMPLETED: &str = "workflows.argoproj.io/completed";
/// Label on workflows: the phase.
pub const LABEL_PHASE: &str = "workflows.argoproj.io/phase";
/// Annotation on pods: the node's name.
pub const ANNOTATION_NODE_NAME: &str = "workflows.argoproj.io/node-name";
/// Annotation on pods: the node's ID.
pub const ANNOTATION_NODE_ID: &str = "workflows.argoproj.io/node-id";
/// Annotation on workflows: how pods are named.
pub const ANNOTATION_POD_NAME_FORMAT: &str = "workflows.argoproj.io/pod-name-format";
/// Annotation on pods: which container `kubectl logs` shows.
pub const ANNOTATION_DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Owner label on pods: the home cluster's name.
pub const LABEL_HOME_CLUSTER: &str = "landfall.dev/home-cluster";
/// Owner label on pods: the UID of the home cluster's namespace `kube-system`. Names of clusters repeat, as `default` does in
/// most of them, so this one decides which home a pod belongs to.
pub const LABEL_HOME_UID: &str = "landfall.dev/home-uid";
/// Owner label on pods: the workflow's namespace at home.
pub const LABEL_HOME_NAMESPACE: &str = "landfall.dev/home-namespace";
/// Owner label on pods: the workflow's UID. Names repeat, UIDs don't: ownership is decided by this one.
pub const LABEL_WORKFLOW_UID: &str = "landfall.dev/workflow-uid";
/// Label on what `landfall cluster add` makes in a target, beside those of home: the controller's namespace at home, as there
/// may be controllers in several.
pub const LABEL_CONTROLLER_NAMESPACE: &str = "landfall.dev/controller-namespace";
/// Annotation on a namespace of another cluster, its owner's consent: the homes that may run pods in it, separated by commas,
/// each `HOME` or `HOME/NAMESPACE` with the home cluster's name and the workflows' namespace.
pub const ANNOTATION_ACCEPT_FROM: &str = "landfall.dev/accept-from";
/// Annotation on a namespace of another cluster: the service accounts that pods of ours may use, separated by commas. Without
/// it they may use any.
pub const ANNOTATION_ACCEPT_SERVICE_ACCOUNTS: &str = "landfall.dev/accept-service-accounts";
/// Labels and annotations that begin with this, of workflows and of the namespaces that pods go to, are told to policy.
pub const PREFIX_POLICY: &str = "policy.landfall.dev/";
/// Annotations on the Secret [`CLUSTERS_SECRET`] that begin with this and end with a cluster's name hold, as JSON, what is
/// known of it beside its connection.
pub const ANNOTATION_CLUSTER: &str = "clusters.landfall.dev/";
/// Finalizer on workflows that had pods where no owner reference reaches.
pub const FINALIZER_PODS_ELSEWHERE: &str = "landfall.dev/pods-elsewhere";

/// Header of requests to the controller for logs: the caller's token. A proxy of an API server takes `Authorization` for itself.
pub const HEADER_TOKEN: &str = "x-landfall-token";
/// Service of the controller for logs.
pub const LOGS_SERVICE: &str = "landfall-logs";
/// Name of the port of [`LOGS_SERVICE`].
pub const LOGS_PORT: &str = "logs";

/// The container that does the template's work.
pub const CONTAINER_MAIN: &str = "main";

/// ConfigMap with the controller's configuration, in the controller's namespace; keys as Argo's, and ours beside them.
pub const CONFIG_MAP: &str = "workflow-controller-configmap";
/// Secret with one rest.Config JSON a cluster, in the controller's namespace.
pub const CLUSTERS_SECRET: &str = "clusters";
/// ConfigMap that the controller writes in its own namespace: which policy is in force, and what was refused.
pub const POLICY_STATUS_CONFIG_MAP: &str = "landfall-policy-status";
