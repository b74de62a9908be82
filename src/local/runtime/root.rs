//! The root file system of a container: the machine's files below, what the container writes above, in memory.
//!
//! Runs in the container's own mount namespace as its process 1, so nothing here needs undoing: it all goes with the namespace.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::Context;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::pivot_root,
};

use crate::local::runtime::spec::{Isolation, Mount, Spec};

/// Where the machine's own file system stands while the container's is built.
const MACHINE: &str = "/.machine";
/// Where built-in programs are found by name. It is last in the PATH: a machine that has its own uses that.
pub const PROGRAMS: &str = "/.landfall/bin";
/// Devices that a container gets.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const NOTHING: Option<&str> = None;

/// Makes the root file system that the spec describes and goes there.
pub fn enter(spec: &Spec) -> anyhow::Result<()> {
    // Else what is mounted here would appear on the machine.
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)
        .context("can't make the mounts private")?;
    // The upper layers are kept in memory: they vanish with the namespace and their unmount waits for no disk.
    mount(Some("tmpfs"), &spec.folder, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
        .context("can't mount a file system in memory")?;
    let merged = spec.folder.join("root");
    fs::create_dir(&merged).context("can't make a folder for the root file system")?;
    match spec.isolation {
        Isolation::Root | Isolation::Plain => {
            overlay(Path::new("/"), &merged, &spec.folder.join("layer"), spec.isolation)?;
        }
        Isolation::User => folders(&merged, &spec.folder)?,
    }
    let machine = merged.join(&MACHINE[1..]);
    fs::create_dir(&machine).context("can't make a folder for the machine's file system")?;
    pivot_root(&merged, &machine).context("can't change the root file system")?;
    std::env::set_current_dir("/").context("can't go to the root file system")?;

    // From here on links inside the container lead to places inside the container.
    let layers = on_machine(&spec.folder);
    for (number, folder) in spec.machine_folders.iter().enumerate() {
        let layer = layers.join(format!("layer-{number}"));
        // A folder that can't be layered is left out: a container may miss a file, but must not write to the machine's.
        if folder.is_dir() {
            let _ = overlay(&on_machine(folder), folder, &layer, spec.isolation);
        }
    }
    processes()?;
    devices()?;
    // What the machine keeps in /tmp is nobody's business, and a name taken there would be in the way.
    mount(Some("tmpfs"), "/tmp", Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=1777")).context("can't mount /tmp")?;
    hardware();
    applets(spec)?;
    names(spec);
    for it in &spec.mounts {
        bind(it).with_context(|| format!("can't mount {}", it.target.display()))?;
    }
    umount2(MACHINE, MntFlags::MNT_DETACH).context("can't leave the machine's file system")?;
    // An empty folder that stays would be ugly but harmless.
    let _ = fs::remove_dir(MACHINE);
    Ok(())
}

/// The root file system for a user namespace. There the kernel lays nothing over a folder on which something is mounted, as it
/// is with `/` always: so each folder in it gets its own layer, and those with mounts in them are shown read-only.
fn folders(merged: &Path, layers: &Path) -> anyhow::Result<()> {
    // pivot_root wants a mount point.
    mount(Some(merged), merged, NOTHING, MsFlags::MS_BIND, NOTHING).context("can't make the root a mount point")?;
    for entry in fs::read_dir("/").context("can't read the root folder")?.flatten() {
        let (source, name) = (entry.path(), entry.file_name());
        let target = merged.join(&name);
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            let link = fs::read_link(&source).with_context(|| format!("can't read the link {}", source.display()))?;
            symlink(link, &target).with_context(|| format!("can't link {}", target.display()))?;
        } else if kind.is_dir() {
            fs::create_dir(&target).with_context(|| format!("can't make {}", target.display()))?;
            let own = ["dev", "proc", "sys", "tmp"].iter().any(|own| name == *own);
            let layer = layers.join("layers").join(&name);
            if !own && overlay(&source, &target, &layer, Isolation::User).is_err() {
                let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
                if mount(Some(&source), &target, NOTHING, flags, NOTHING).is_ok() {
                    // What can't be made read-only isn't writable for this user either, or is the user's own.
                    let _ = read_only(&target);
                }
            }
        }
    }
    Ok(())
}

/// Shows `lower` at `target`; writes go to `layer`.
fn overlay(lower: &Path, target: &Path, layer: &Path, isolation: Isolation) -> anyhow::Result<()> {
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    fs::create_dir_all(&upper).context("can't make a folder for the upper layer")?;
    fs::create_dir_all(&work).context("can't make a folder for the overlay's work")?;
    let mut options = format!("lowerdir={},upperdir={},workdir={}", escaped(lower), escaped(&upper), escaped(&work));
    if isolation == Isolation::User {
        // The attributes that an overlay uses by itself are root's alone.
        options.push_str(",userxattr");
    }
    mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .with_context(|| format!("can't lay a writable layer over {}", lower.display()))
}

/// Overlay options separate by commas and colons.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace('\\', "\\\\").replace(',', "\\,").replace(':', "\\:")
}

fn on_machine(path: &Path) -> PathBuf {
    Path::new(MACHINE).join(path.strip_prefix("/").unwrap_or(path))
}

fn processes() -> anyhow::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let own = mount(Some("proc"), "/proc", Some("proc"), flags, NOTHING);
    if own.is_err() {
        // A container engine that hides parts of /proc keeps us from mounting a fresh one; the machine's shows too much but works.
        let machine = on_machine(Path::new("/proc"));
        mount(Some(&machine), "/proc", NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING)
            .context("can't mount /proc")?;
    }
    Ok(())
}

/// Shows what the machine is made of, to look at only. Few programs need it, so it is left out where it isn't allowed.
fn hardware() {
    let (machine, flags) = (on_machine(Path::new("/sys")), MsFlags::MS_BIND);
    // In a user namespace a mount may only be taken together with those on top of it.
    if mount(Some(&machine), "/sys", NOTHING, flags, NOTHING).is_ok()
        || mount(Some(&machine), "/sys", NOTHING, flags | MsFlags::MS_REC, NOTHING).is_ok()
    {
        let _ = read_only(Path::new("/sys"));
    }
}

/// A small /dev of the container's own: the machine's would let containers meet in it.
fn devices() -> anyhow::Result<()> {
    mount(Some("tmpfs"), "/dev", Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=0755")).context("can't mount /dev")?;
    for name in DEVICES {
        let device = Path::new("/dev").join(name);
        if !on_machine(&device).exists() {
            continue;
        }
        fs::write(&device, "").with_context(|| format!("can't make {}", device.display()))?;
        mount(Some(&on_machine(&device)), &device, NOTHING, MsFlags::MS_BIND, NOTHING)
            .with_context(|| format!("can't mount {}", device.display()))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, Path::new("/dev").join(name)).with_context(|| format!("can't link /dev/{name}"))?;
    }
    let shared_memory = Path::new("/dev/shm");
    fs::create_dir(shared_memory).context("can't make /dev/shm")?;
    fs::set_permissions(shared_memory, fs::Permissions::from_mode(0o1777)).context("can't open up /dev/shm")?;
    // Terminals of the container's own are rarely wanted and not allowed everywhere.
    fs::create_dir("/dev/pts").context("can't make /dev/pts")?;
    let options = Some("newinstance,ptmxmode=0666,mode=0620");
    if mount(Some("devpts"), "/dev/pts", Some("devpts"), MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, options).is_ok() {
        symlink("pts/ptmx", "/dev/ptmx").context("can't link /dev/ptmx")?;
    }
    Ok(())
}

/// Puts the programs that are built into this one where images have them.
fn applets(spec: &Spec) -> anyhow::Result<()> {
    let argosay = Path::new("/argosay");
    let program = Mount { source: spec.program.clone(), target: argosay.to_owned(), read_only: true };
    bind(&program).context("can't mount /argosay")?;
    let folder = Path::new(PROGRAMS);
    fs::create_dir_all(folder).with_context(|| format!("can't make {PROGRAMS}"))?;
    for name in ["argosay", "cowsay"] {
        symlink(argosay, folder.join(name)).with_context(|| format!("can't link {PROGRAMS}/{name}"))?;
    }
    Ok(())
}

/// Lets the container find its own name and other hosts. Programs start without either, so failing is no reason to stop.
fn names(spec: &Spec) {
    let _ = fs::write("/etc/hosts", format!("127.0.0.1 localhost {}\n::1 localhost\n", spec.hostname));
    // The machine's may be a link into a file system that isn't shown here.
    if let Ok(text) = fs::read(on_machine(Path::new("/etc/resolv.conf")))
        && fs::metadata("/etc/resolv.conf").is_err()
    {
        let _ = fs::remove_file("/etc/resolv.conf");
        let _ = fs::write("/etc/resolv.conf", text);
    }
}

fn bind(it: &Mount) -> anyhow::Result<()> {
    let source = on_machine(&it.source);
    let found = source.metadata().with_context(|| format!("{} is not there", it.source.display()))?;
    if found.is_dir() {
        fs::create_dir_all(&it.target).context("can't make the folder")?;
    } else if !it.target.exists() {
        if let Some(parent) = it.target.parent() {
            fs::create_dir_all(parent).context("can't make the folder around it")?;
        }
        fs::write(&it.target, "").context("can't make the file")?;
    }
    mount(Some(&source), &it.target, NOTHING, MsFlags::MS_BIND, NOTHING)?;
    if it.read_only {
        read_only(&it.target).context("can't make it read-only")?;
    }
    Ok(())
}

fn read_only(target: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    // In a user namespace a flag that the machine's own mount has must be given again; which ones are there isn't told.
    mount(NOTHING, target, NOTHING, flags, NOTHING)
        .or_else(|_| mount(NOTHING, target, NOTHING, flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV, NOTHING))
}
