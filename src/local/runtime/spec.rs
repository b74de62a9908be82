//! What the runtime and the sandbox say to each other, one JSON line each, over the socket that is the sandbox's standard input.
//!
//! First the runtime sends a [`Spec`]. The sandbox answers with [`Report`]s. After the spec each byte from the runtime is the
//! number of a signal to pass on, and the end of the stream means that the runtime is gone: everything in the sandbox ends.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How far a container can be kept apart from the machine and from other containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Own mounts and processes, as root.
    Root,
    /// Own mounts and processes in a user namespace, without being root.
    User,
    /// A plain process of the machine: the system allows neither.
    Plain,
}

impl Isolation {
    /// The word on the command line of the sandbox.
    pub fn word(self) -> &'static str {
        match self {
            Isolation::Root => "root",
            Isolation::User => "user",
            Isolation::Plain => "plain",
        }
    }
}

/// One container, ready to run: nothing is left to look up but the command in its PATH.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// How far it is kept apart.
    pub isolation: Isolation,
    /// This program on the machine; inside the container it is `/argosay`.
    pub program: PathBuf,
    /// An empty folder of the machine that is this container's own; its root file system is mounted here at first.
    pub folder: PathBuf,
    /// Mount points of the machine below `/` that hold ordinary files, parents first.
    pub machine_folders: Vec<PathBuf>,
    /// Host name seen inside.
    pub hostname: String,
    /// The command with its arguments; never empty.
    pub command: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory inside; made if it isn't there.
    pub working_folder: PathBuf,
    /// Numeric user to become.
    pub user: Option<u32>,
    /// Numeric group to become.
    pub group: Option<u32>,
    /// Volumes and single files, parents first.
    pub mounts: Vec<Mount>,
}

/// A folder or file of the machine that appears inside the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is on the machine.
    pub source: PathBuf,
    /// Where it appears.
    pub target: PathBuf,
    /// Whether the container may not write to it.
    pub read_only: bool,
}

/// What the sandbox tells the runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// The command runs.
    Started,
    /// The command could not be started; nothing ran.
    Refused {
        /// Why, naming the thing.
        message: String,
    },
    /// The command ended with this exit code.
    Exited {
        /// 0 to 255.
        code: i32,
    },
    /// The command was ended by this signal.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
}
