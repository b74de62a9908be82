//! Processes that end with the test process, however that ends, and the folder that goes with them.
//!
//! All of them are in the process group of a keeper: a shell that reads its standard input. What it reads ends when the
//! test process ends, and then it kills the group, those that are stopped as well, and removes the folder.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// The last step has to leave the group, or it would kill itself. What still writes may make a removal fail.
const KEEPER: &str = r#"
read -r _
exec setsid -f sh -c 'kill -s KILL -- "-$0" 2>/dev/null; until rm -rf "$1"; do sleep 0.1; done' "$$" "$1"
"#;

/// The group.
pub struct Group {
    keeper: Child,
    folder: PathBuf,
}

/// One process of a group.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Group {
    /// An empty one with a folder of its own.
    pub fn new() -> Group {
        let folder = tempfile::Builder::new().prefix("landfall-real-").tempdir().unwrap().keep();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper"]).arg(&folder).process_group(0);
        let keeper = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        Group { keeper, folder }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a process that writes its log into the folder.
    pub fn spawn(&self, name: &str, mut command: Command) -> Process {
        let log = self.folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        command.current_dir(&self.folder).process_group(self.keeper.id().try_into().unwrap());
        Process { child: command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")), log }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // It only starts the rest, so this is short.
        drop(self.keeper.wait());
    }
}

impl Process {
    /// Stops it, and waits until the last of its threads stands still.
    pub fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
        let status = waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Waits until it is gone.
    pub fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    /// The end of its log, if it has ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().unwrap()?;
        Some(format!("{status}\n{}", self.last_words()))
    }

    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
