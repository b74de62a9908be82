//! From a pod to containers that are ready to run: everything that can be decided or looked up before the first process starts.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::{self as core, Pod};
use kube::ResourceExt;

use crate::local::runtime::{
    Shared,
    container::{Container, Place, Restart},
    env::{self, Facts, expand},
    images, machine,
    objects::{Objects, Unready},
    spec::{Isolation, Mount},
    status::{Progress, State},
    volumes,
};

/// Where the termination log is unless the container says otherwise.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// The kernel takes no longer host name.
const HOSTNAME_CHARS_MAX: usize = 63;

/// The containers of a pod, ready to run, in their order.
pub struct Ready {
    /// To be run one after the other.
    pub init: Vec<Container>,
    /// To be run side by side.
    pub main: Vec<Container>,
}

/// Makes the pod's folder and volumes and works out what each container runs.
pub async fn prepare(shared: &Shared, pod: &Pod, folder: &Path) -> Result<Ready, Unready> {
    let objects = Objects::read(&shared.client, pod).await?;
    let isolation = shared.machine.isolation().await;
    if isolation == Isolation::Plain && volumes::wanted(pod) {
        return Err(Unready::Refused("volumes need mount namespaces, which this system doesn't allow".to_owned()));
    }
    let facts = Facts { pod, node_name: &shared.node_name };
    let places = volumes::Places { pod: folder, claims: &shared.folder.join("claims") };
    let surroundings = Surroundings {
        shared,
        isolation,
        folder,
        objects: &objects,
        volumes: volumes::make(&facts, &objects, &places)?,
        facts,
    };
    let Some(spec) = &pod.spec else { return Err(Unready::Refused("the pod has no spec".to_owned())) };
    let policy = match spec.restart_policy.as_deref() {
        None | Some("Always") => Restart::Always,
        Some("OnFailure") => Restart::OnFailure,
        Some(_) => Restart::Never,
    };
    let mut ready = Ready { init: Vec::new(), main: Vec::new() };
    for (number, container) in spec.init_containers.iter().flatten().enumerate() {
        let restart = match policy {
            _ if is_sidecar(container) => Restart::Always,
            Restart::Never => Restart::Never,
            Restart::Always | Restart::OnFailure => Restart::OnFailure,
        };
        ready.init.push(surroundings.container(container, Place::Init(number), restart)?);
    }
    for (number, container) in spec.containers.iter().enumerate() {
        ready.main.push(surroundings.container(container, Place::Main(number), policy)?);
    }
    Ok(ready)
}

/// How far the pod's containers are before anything is done: init containers, then the others.
pub fn not_yet(pod: &Pod) -> (Vec<Progress>, Vec<Progress>) {
    let Some(spec) = &pod.spec else { return (Vec::new(), Vec::new()) };
    let progress = |container: &core::Container, sidecar| {
        Progress::new(&container.name, container.image.as_deref().unwrap_or_default(), sidecar)
    };
    let mut init: Vec<Progress> =
        spec.init_containers.iter().flatten().map(|container| progress(container, is_sidecar(container))).collect();
    let mut main: Vec<Progress> = spec.containers.iter().map(|container| progress(container, false)).collect();
    if !init.is_empty() {
        for waiting in init.iter_mut().skip(1).chain(&mut main) {
            waiting.state = State::Waiting { reason: "PodInitializing".to_owned(), message: None };
        }
    }
    (init, main)
}

fn is_sidecar(container: &core::Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// What the containers of a pod have in common.
struct Surroundings<'a> {
    shared: &'a Shared,
    isolation: Isolation,
    folder: &'a Path,
    objects: &'a Objects,
    volumes: std::collections::BTreeMap<String, volumes::Made>,
    facts: Facts<'a>,
}

impl Surroundings<'_> {
    fn container(&self, container: &core::Container, place: Place, restart: Restart) -> Result<Container, Unready> {
        let pod = self.facts.pod;
        let line = images::command_line(container, &self.shared.images.borrow()).map_err(Unready::Refused)?;
        let wanted = pod.spec.as_ref().and_then(|spec| spec.hostname.clone()).unwrap_or_else(|| pod.name_any());
        let hostname: String = wanted.chars().take(HOSTNAME_CHARS_MAX).collect();
        let variables = env::environment(container, &self.facts, self.objects, &machine::environment(&hostname))?;
        let own = self.folder.join("containers").join(&container.name);
        let root = own.join("root");
        let log = own.join("termination-log");
        make(&root, &log).map_err(|error| Unready::Refused(format!("can't make {}: {error}", own.display())))?;

        let mut spec = self.shared.machine.spec(self.isolation, root);
        spec.command = line.iter().map(|word| expand(word, &variables)).collect();
        spec.mounts = volumes::mounts(container, &self.volumes, &variables).map_err(Unready::Refused)?;
        let target = container.termination_message_path.as_deref().unwrap_or(TERMINATION_LOG);
        spec.mounts.push(Mount { source: log.clone(), target: PathBuf::from(target), read_only: false });
        spec.env = variables.into_iter().collect();
        spec.hostname = hostname;
        if let Some(folder) = container.working_dir.as_deref().filter(|folder| !folder.is_empty()) {
            spec.working_folder = Path::new("/").join(folder);
        }
        (spec.user, spec.group) = self.identity(container)?;
        Ok(Container {
            place,
            spec,
            name: container.name.clone(),
            pod_uid: pod.uid().unwrap_or_default(),
            restart,
            termination_log: log,
            message_from_log: container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"),
        })
    }

    /// The user and group to become. Only root can become another, so elsewhere everything runs as who started us.
    fn identity(&self, container: &core::Container) -> Result<(Option<u32>, Option<u32>), Unready> {
        if self.isolation != Isolation::Root {
            return Ok((None, None));
        }
        let own = container.security_context.as_ref();
        let of_pod = self.facts.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let user = own.and_then(|it| it.run_as_user).or(of_pod.and_then(|it| it.run_as_user));
        let group = own.and_then(|it| it.run_as_group).or(of_pod.and_then(|it| it.run_as_group));
        let number = |id: Option<i64>| {
            let checked = id.map(u32::try_from).transpose();
            checked.map_err(|_| {
                Unready::Refused(format!("container {}: user or group {id:?} is out of range", container.name))
            })
        };
        // As with an image that names no group: a user alone has group 0.
        Ok((number(user)?, number(group.or(user.map(|_| 0)))?))
    }
}

fn make(root: &Path, log: &Path) -> io::Result<()> {
    fs::create_dir_all(root)?;
    fs::write(log, "")?;
    // Any user of the container may leave a message.
    fs::set_permissions(log, fs::Permissions::from_mode(0o666))
}
