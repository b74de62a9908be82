//! The program side of a container: this program, started again by the runtime, becomes the container's first process.
//!
//! Two stages. [`outer`] makes the namespaces, which only its children enter; [`inner`] is process 1 in there: it mounts the
//! root file system, starts the command, passes signals on, reaps, and reports. When it ends the kernel ends all that is left.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, fs::PermissionsExt, net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
};

use anyhow::{Context, anyhow, bail};
use nix::{
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{Pid, dup2_stdout, getgid, getuid, sethostname, setsid},
};

use crate::local::runtime::{
    root,
    spec::{Isolation, Report, Spec},
};

/// First argument that makes this program a sandbox. It is no command for people.
pub const COMMAND: &str = "local-sandbox";
/// Second argument of the stage inside the namespaces.
const INNER: &str = "inner";
/// Exit code of a sandbox that could not do its work; the reason went over the socket or to standard error.
const EXIT_BROKEN: u8 = 125;

/// Runs the stage that `stage` names: `root`, `user` or `plain` from the runtime, `inner` from the stage before.
pub fn run(stage: Option<OsString>) -> ExitCode {
    let result = match stage.as_deref().and_then(OsStr::to_str) {
        Some("root") => outer(Isolation::Root),
        Some("user") => outer(Isolation::User),
        Some("plain" | INNER) => inner(),
        other => Err(anyhow!("{COMMAND} is started by the local runtime only, not with {other:?}")),
    };
    result.unwrap_or_else(|error| {
        eprintln!("{COMMAND}: {error:#}");
        ExitCode::from(EXIT_BROKEN)
    })
}

/// Makes the namespaces and waits for the stage inside. It never reads the socket: that is for the stage inside alone.
fn outer(isolation: Isolation) -> anyhow::Result<ExitCode> {
    let namespaces =
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if isolation == Isolation::User {
        let (user, group) = (getuid(), getgid());
        unshare(namespaces | CloneFlags::CLONE_NEWUSER).context("can't make a user namespace")?;
        // The kernel lets an ordinary user map a group only after this.
        fs::write("/proc/self/setgroups", "deny").context("can't give up setgroups")?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1")).context("can't map the user")?;
        fs::write("/proc/self/gid_map", format!("0 {group} 1")).context("can't map the group")?;
    } else {
        unshare(namespaces).context("can't make namespaces")?;
    }
    let program = std::env::current_exe().context("can't find this program")?;
    // From the start of the inner stage on, which changes the root of this process too, no path here is what it was.
    let nowhere = fs::File::open("/dev/null").context("can't open /dev/null")?;
    let mut inner = Command::new(program).args([COMMAND, INNER]).spawn().context("can't start the inner stage")?;
    // The log ends when the last writer is gone; this process must not be one.
    dup2_stdout(&nowhere).context("can't let go of the output")?;
    nix::unistd::dup2_stderr(&nowhere).context("can't let go of the error output")?;
    let status = inner.wait().context("can't wait for the inner stage")?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(EXIT_BROKEN)))
}

/// Process 1 of the container.
fn inner() -> anyhow::Result<ExitCode> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("can't bind this process's life to its parent's")?;
    let socket = io::stdin().as_fd().try_clone_to_owned().context("can't take the socket")?;
    let mut reports = UnixStream::from(socket);
    let mut orders = BufReader::new(reports.try_clone().context("can't share the socket")?);
    let mut line = String::new();
    orders.read_line(&mut line).context("can't read the spec")?;
    let spec: Spec = serde_json::from_str(&line).context("can't understand the spec")?;
    let command = match start(&spec) {
        Ok(command) => command,
        Err(error) => {
            report(&mut reports, &Report::Refused { message: format!("{error:#}") })?;
            return Ok(ExitCode::from(EXIT_BROKEN));
        }
    };
    report(&mut reports, &Report::Started)?;
    let isolation = spec.isolation;
    thread::spawn(move || obey(orders, command, isolation));
    let end = reap(command)?;
    if isolation == Isolation::Plain {
        // No namespace ends what the command left behind. That nothing is left is no error.
        let _ = kill(group(command), Signal::SIGKILL);
    }
    report(&mut reports, &end)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the container's surroundings and starts its command.
fn start(spec: &Spec) -> anyhow::Result<Pid> {
    // Away from the terminal's session, so that its signals don't reach the container. It fails for a group leader, which is away already.
    let _ = setsid();
    if spec.isolation != Isolation::Plain {
        root::enter(spec)?;
        sethostname(&spec.hostname).context("can't set the host name")?;
    }
    let name = spec.command.first().context("the command is empty")?;
    let program = match spec.isolation {
        Isolation::Plain if matches!(name.as_str(), "argosay" | "/argosay") => spec.program.clone(),
        Isolation::Root | Isolation::User | Isolation::Plain => look_up(name, spec)?,
    };
    if !spec.working_folder.is_dir() {
        fs::create_dir_all(&spec.working_folder)
            .with_context(|| format!("can't make the working directory {}", spec.working_folder.display()))?;
    }
    let mut command = Command::new(&program);
    command.arg0(name).args(&spec.command[1..]).env_clear().envs(spec.env.iter().map(|(key, value)| (key, value)));
    command.current_dir(&spec.working_folder).stdin(Stdio::null()).process_group(0);
    if let Some(group) = spec.group {
        command.gid(group);
    }
    if let Some(user) = spec.user {
        command.uid(user);
    }
    let child = command.spawn().map_err(|error| anyhow!("exec: {name:?}: {error}"))?;
    Ok(Pid::from_raw(i32::try_from(child.id()).context("odd process id")?))
}

/// Finds a command as `execvp` would, with the container's PATH, so that a missing one can be told by its name.
fn look_up(name: &str, spec: &Spec) -> anyhow::Result<PathBuf> {
    let runnable =
        |path: &Path| path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    if name.contains('/') {
        let path = spec.working_folder.join(name);
        return match path.metadata() {
            Err(error) => bail!("exec: {name:?}: {error}"),
            Ok(_) if runnable(&path) => Ok(path),
            Ok(_) => bail!("exec: {name:?}: permission denied"),
        };
    }
    let search = spec.env.iter().find(|(key, _)| key == "PATH").map_or("", |(_, value)| value.as_str());
    std::env::split_paths(OsStr::from_bytes(search.as_bytes()))
        .map(|folder| folder.join(name))
        .find(|path| runnable(path))
        .with_context(|| format!("exec: {name:?}: executable file not found in $PATH"))
}

/// Passes signals on until the runtime is gone, then ends the container.
fn obey(mut orders: impl Read, command: Pid, isolation: Isolation) {
    let mut order = [0];
    while let Ok(1) = orders.read(&mut order) {
        let Ok(signal) = Signal::try_from(i32::from(order[0])) else { continue };
        // Process 1 of a namespace reaches all others with -1; on the open machine only the command's own group is meant.
        let whom = match (signal, isolation) {
            (Signal::SIGKILL, Isolation::Root | Isolation::User) => Pid::from_raw(-1),
            _ => group(command),
        };
        // A command that ended meanwhile needs no signal.
        let _ = kill(whom, signal);
    }
    if isolation == Isolation::Plain {
        let _ = kill(group(command), Signal::SIGKILL);
    }
    std::process::exit(i32::from(EXIT_BROKEN));
}

fn group(command: Pid) -> Pid {
    Pid::from_raw(-command.as_raw())
}

/// Waits for every child, as process 1 must, until the command itself has ended.
fn reap(command: Pid) -> anyhow::Result<Report> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == command => return Ok(Report::Exited { code }),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == command => {
                return Ok(Report::Signalled { signal: signal as i32 });
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => bail!("can't wait for the command: {error}"),
        }
    }
}

fn report(socket: &mut UnixStream, report: &Report) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(report).context("can't write a report")?;
    line.push(b'\n');
    socket.write_all(&line).context("the runtime is gone")
}
