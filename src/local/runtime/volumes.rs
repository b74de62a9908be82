//! Volumes: each becomes a folder of the machine, made before the pod starts, and is mounted into the containers that ask for it.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, Pod, Volume, VolumeProjection,
};

use crate::local::runtime::{
    env::{Facts, expand, field},
    objects::{Entries, Objects, Unready},
    spec::Mount,
};

/// Mode of a file in a volume unless the volume says otherwise.
const FILE_MODE: i32 = 0o644;
/// Mode of a folder that any user of any container may write to, as an emptyDir is.
const OPEN_MODE: u32 = 0o777;

/// Where volumes are kept on the machine.
pub struct Places<'a> {
    /// The pod's own folder.
    pub pod: &'a Path,
    /// The folder of all claims, which outlive pods.
    pub claims: &'a Path,
}

/// A volume that stands on the machine.
#[derive(Debug)]
pub struct Made {
    path: PathBuf,
    read_only: bool,
}

/// Makes all volumes of the pod.
pub fn make(facts: &Facts<'_>, objects: &Objects, places: &Places<'_>) -> Result<BTreeMap<String, Made>, Unready> {
    let mut all = BTreeMap::new();
    for volume in facts.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        all.insert(volume.name.clone(), make_one(volume, facts, objects, places)?);
    }
    Ok(all)
}

fn make_one(volume: &Volume, facts: &Facts<'_>, objects: &Objects, places: &Places<'_>) -> Result<Made, Unready> {
    let name = &volume.name;
    let broken = |error: io::Error| Unready::Refused(format!("volume {name}: {error}"));
    let folder = places.pod.join("volumes").join(name);
    if volume.empty_dir.is_some() {
        open_folder(&folder).map_err(broken)?;
        return Ok(Made { path: folder, read_only: false });
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        let folder = places.claims.join(objects.claim(&claim.claim_name)?);
        open_folder(&folder).map_err(broken)?;
        return Ok(Made { path: folder, read_only: claim.read_only.unwrap_or_default() });
    }
    if let Some(host) = &volume.host_path {
        let path = on_host(host).map_err(|why| Unready::Refused(format!("volume {name}: {why}")))?;
        return Ok(Made { path, read_only: false });
    }
    let files = files(volume, facts, objects)?;
    fs::create_dir_all(&folder).map_err(broken)?;
    for file in files {
        write(&folder, &file).map_err(|why| Unready::Refused(format!("volume {name}: {why}")))?;
    }
    Ok(Made { path: folder, read_only: true })
}

fn open_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(OPEN_MODE))
}

/// A path of the machine itself: whoever asks for it wants to leave the container.
fn on_host(host: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = PathBuf::from(&host.path);
    let kind = host.type_.as_deref().unwrap_or_default();
    if kind == "DirectoryOrCreate" {
        fs::create_dir_all(&path).map_err(|error| format!("can't make {}: {error}", host.path))?;
    }
    let fits = match kind {
        "" => path.exists(),
        "Directory" | "DirectoryOrCreate" => path.is_dir(),
        "File" => path.is_file(),
        other => return Err(format!("hostPath type {other} is not supported by the local runtime")),
    };
    if fits { Ok(path) } else { Err(format!("hostPath type check failed: {} is not there as {kind:?}", host.path)) }
}

/// A file to be written into a volume.
#[derive(Debug, PartialEq, Eq)]
struct File {
    path: String,
    bytes: Vec<u8>,
    mode: i32,
}

fn files(volume: &Volume, facts: &Facts<'_>, objects: &Objects) -> Result<Vec<File>, Unready> {
    if let Some(it) = &volume.config_map {
        let optional = it.optional.unwrap_or_default();
        let entries = objects.config_map(&it.name, optional)?;
        return chosen(entries, it.items.as_deref(), it.default_mode.unwrap_or(FILE_MODE), optional);
    }
    if let Some(it) = &volume.secret {
        let optional = it.optional.unwrap_or_default();
        let entries = objects.secret(it.secret_name.as_deref().unwrap_or_default(), optional)?;
        return chosen(entries, it.items.as_deref(), it.default_mode.unwrap_or(FILE_MODE), optional);
    }
    if let Some(it) = &volume.downward_api {
        return described(it.items.as_deref(), it.default_mode.unwrap_or(FILE_MODE), facts);
    }
    if let Some(it) = &volume.projected {
        let mut all = Vec::new();
        for source in it.sources.iter().flatten() {
            all.extend(projected(source, it.default_mode.unwrap_or(FILE_MODE), &volume.name, facts, objects)?);
        }
        return Ok(all);
    }
    Err(Unready::Refused(format!(
        "volume {}: the local runtime knows emptyDir, configMap, secret, downwardAPI, projected, persistentVolumeClaim and hostPath",
        volume.name
    )))
}

fn projected(
    source: &VolumeProjection,
    mode: i32,
    volume: &str,
    facts: &Facts<'_>,
    objects: &Objects,
) -> Result<Vec<File>, Unready> {
    if let Some(it) = &source.config_map {
        let optional = it.optional.unwrap_or_default();
        return chosen(objects.config_map(&it.name, optional)?, it.items.as_deref(), mode, optional);
    }
    if let Some(it) = &source.secret {
        let optional = it.optional.unwrap_or_default();
        return chosen(objects.secret(&it.name, optional)?, it.items.as_deref(), mode, optional);
    }
    if let Some(it) = &source.downward_api {
        return described(it.items.as_deref(), mode, facts);
    }
    if let Some(it) = &source.service_account_token {
        let bytes = objects.token(it)?.as_bytes().to_vec();
        return Ok(vec![File { path: it.path.clone(), bytes, mode }]);
    }
    Err(Unready::Refused(format!(
        "volume {volume}: the local runtime projects configMap, secret, downwardAPI and serviceAccountToken only"
    )))
}

/// The files of a ConfigMap or Secret: all keys, or those that `items` names at the paths that it gives.
fn chosen(
    entries: Option<Entries>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
) -> Result<Vec<File>, Unready> {
    let Some(entries) = entries else { return Ok(Vec::new()) };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let all = entries.values.into_iter();
        return Ok(all.map(|(path, bytes)| File { path, bytes, mode }).collect());
    };
    let mut files = Vec::new();
    for item in items {
        if let Some(bytes) = entries.value(&item.key, optional)? {
            files.push(File { path: item.path.clone(), bytes: bytes.to_vec(), mode: item.mode.unwrap_or(mode) });
        }
    }
    Ok(files)
}

fn described(items: Option<&[DownwardAPIVolumeFile]>, mode: i32, facts: &Facts<'_>) -> Result<Vec<File>, Unready> {
    let mut files = Vec::new();
    for item in items.unwrap_or_default() {
        let reference = item.field_ref.as_ref();
        let path = reference.map(|it| it.field_path.as_str()).ok_or_else(|| {
            Unready::Refused(format!("downwardAPI file {}: only fieldRef is supported by the local runtime", item.path))
        })?;
        let text = field(path, facts).map_err(Unready::Refused)?;
        files.push(File { path: item.path.clone(), bytes: text.into_bytes(), mode: item.mode.unwrap_or(mode) });
    }
    Ok(files)
}

fn write(folder: &Path, file: &File) -> Result<(), String> {
    let path = folder.join(inside(&file.path)?);
    let broken = |error: io::Error| format!("can't write {}: {error}", file.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(broken)?;
    }
    // A second try writes again what an earlier one left unwritable.
    let _ = fs::remove_file(&path);
    fs::write(&path, &file.bytes).map_err(broken)?;
    let mode = u32::try_from(file.mode).map_err(|_| format!("mode {} of {} is negative", file.mode, file.path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o777)).map_err(broken)
}

/// A path that stays below the folder it is joined to.
fn inside(path: &str) -> Result<&Path, String> {
    let checked = Path::new(path);
    let plain = checked.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if plain { Ok(checked) } else { Err(format!("path {path:?} must be relative and must not contain '..'")) }
}

/// The mounts of one container, parents first.
pub fn mounts(
    container: &Container,
    made: &BTreeMap<String, Made>,
    env: &BTreeMap<String, String>,
) -> Result<Vec<Mount>, String> {
    let mut all = Vec::new();
    for wanted in container.volume_mounts.iter().flatten() {
        let volume = made
            .get(&wanted.name)
            .ok_or_else(|| format!("container {}: no volume is named {}", container.name, wanted.name))?;
        let within = match (&wanted.sub_path, &wanted.sub_path_expr) {
            (_, Some(expression)) => expand(expression, env),
            (Some(path), None) => path.clone(),
            (None, None) => String::new(),
        };
        let source = volume.path.join(inside(&within)?);
        if !source.exists() && !volume.read_only {
            open_folder(&source).map_err(|error| format!("can't make subPath {within}: {error}"))?;
        }
        all.push(Mount {
            source,
            target: Path::new("/").join(&wanted.mount_path),
            read_only: volume.read_only || wanted.read_only.unwrap_or_default(),
        });
    }
    all.sort_by_key(|mount| mount.target.components().count());
    Ok(all)
}

/// Whether the pod wants something mounted, which plain processes can't have.
pub fn wanted(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    spec.is_some_and(|spec| {
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        containers.flat_map(|container| container.volume_mounts.iter().flatten()).next().is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        let check = |path, expected| assert_eq!(inside(path).is_ok(), expected, "{path}");
        check("", true);
        check("a/b", true);
        check("./a", true);
        check("/a", false);
        check("a/../b", false);
        check("..", false);
    }
}
