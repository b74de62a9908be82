//! Where the programs of a control plane are: ready-made ones, or the Go module `tests/real`, which this builds.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The folder of ready-made programs, as envtest names it.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// One program, and the arguments that come before its own.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    role: Option<&'static str>,
}

/// All that a cluster consists of here.
#[derive(Clone, Debug)]
pub struct Programs {
    pub etcd: Program,
    pub apiserver: Program,
    pub manager: Program,
}

impl Program {
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(self.role);
        command
    }
}

/// The programs, or why there are none.
///
/// # Panics
/// Without them under `CI=true`, and if the Go module can't be built though Go is there.
pub fn find() -> Result<Programs, String> {
    let found = match env::var_os(ASSETS) {
        Some(assets) => ready_made(Path::new(&assets)),
        None => build().map(|path| all_in_one(&path)),
    };
    if let Err(why) = &found {
        assert!(env::var("CI").as_deref() != Ok("true"), "CI=true, but there is no Kubernetes API server: {why}");
    }
    found
}

/// kubectl of the PATH, or else that of the Go module.
pub fn kubectl() -> Option<Program> {
    if Command::new("kubectl").args(["version", "--client"]).output().is_ok() {
        return Some(Program { path: PathBuf::from("kubectl"), role: None });
    }
    build().ok().map(|path| role(&path, "kubectl"))
}

fn ready_made(assets: &Path) -> Result<Programs, String> {
    let program = |name: &str| {
        let path = assets.join(name);
        if path.is_file() { Ok(Program { path, role: None }) } else { Err(format!("{ASSETS} has no {name}")) }
    };
    // envtest ships no controllers, and without them a namespace never ends and has no service account.
    let manager = program("kube-controller-manager").or_else(|why| match build() {
        Ok(path) => Ok(role(&path, "kube-controller-manager")),
        Err(also) => Err(format!("{why}, and {also}")),
    });
    Ok(Programs { etcd: program("etcd")?, apiserver: program("kube-apiserver")?, manager: manager? })
}

fn all_in_one(path: &Path) -> Programs {
    Programs {
        etcd: role(path, "etcd"),
        apiserver: role(path, "kube-apiserver"),
        manager: role(path, "kube-controller-manager"),
    }
}

fn role(path: &Path, role: &'static str) -> Program {
    Program { path: path.to_owned(), role: Some(role) }
}

/// Builds the Go module beside what Cargo builds.
fn build() -> Result<PathBuf, String> {
    if Command::new("go").arg("version").stdout(Stdio::null()).status().is_err() {
        return Err("there is no `go` on the PATH to build tests/real with".to_owned());
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is below the target folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/build");
    let output = Command::new(script).arg(target.join("real")).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "tests/real/build failed");
    Ok(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()))
}
