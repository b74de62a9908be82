//! `landfall policy test --watch`: it runs again when a file changes that the suite depends on, and ends at an interrupt.

use std::{
    fs,
    io::{BufRead, BufReader, Lines, Read as _},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use tempfile::TempDir;

use crate::cli::binary::{landfall, text};

/// The program while it watches.
struct Watching {
    child: Child,
    said: Lines<BufReader<ChildStderr>>,
    /// What is written is first written here, where nobody watches.
    aside: TempDir,
}

impl Watching {
    fn start(arguments: &[&str]) -> Watching {
        let mut command = landfall(&[&["policy", "test"], arguments, &["--watch"]].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut watching = Watching { child, said, aside: tempfile::tempdir().unwrap() };
        watching.wait_for("watching 1 suite; Ctrl-C ends");
        watching
    }

    fn wait_for(&mut self, line: &str) {
        let found = self.said.by_ref().map(Result::unwrap).find(|said| said == line);
        assert!(found.is_some(), "it ended before it said {line:?}");
    }

    /// Writes the file in one go, so that no half of it is run, and waits until that was noticed and the suite run again.
    fn change(&mut self, file: &Path, content: impl AsRef<[u8]>) {
        let next = self.aside.path().join("next");
        fs::write(&next, content).unwrap();
        fs::rename(&next, file).unwrap();
        self.wait_for(&format!("changed: {}", file.display()));
        self.wait_for("watching 1 suite; Ctrl-C ends");
    }

    /// Ends it as people do; what it printed.
    fn end(mut self) -> String {
        let interrupted = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(interrupted.success());
        let mut shown = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{shown}");
        shown
    }
}

#[test]
fn a_suite_runs_again_when_it_changes() {
    let suite = |expected: &str| {
        format!(
            "module: builtin\ncases:\n  - {{name: one, request: {{workflow: a/w, target: b/a}}, expect: {expected}}}\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.yaml");
    fs::write(&file, suite("allow")).unwrap();
    let mut watching = Watching::start(&[text(folder.path())]);
    watching.change(&file, suite("deny"));
    let shown = watching.end();
    let lines = |text: &str| shown.lines().filter(|line| line.starts_with(text)).count();
    assert_eq!((lines("failed: 1 of 1 question"), lines("ok: 1 suite")), (1, 1), "{shown}");
}

#[test]
fn a_suite_runs_again_when_what_it_depends_on_changes() {
    let place = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let folder = place.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let (suite, pods, modules) = (folder("suite"), folder("pods"), folder("modules/images"));
    fs::write(pods.join("one.yaml"), "spec: {containers: [{name: main, image: alpine}]}").unwrap();
    fs::copy("policies/images/images.wasm", modules.join("images.wasm")).unwrap();
    // Sources that nobody has to build: that they are others than those of the component is enough.
    fs::create_dir(modules.join("src")).unwrap();
    fs::write(modules.join("Cargo.toml"), "[package]\n").unwrap();
    fs::write(modules.join("src/lib.rs"), "").unwrap();
    let cases = "module: ../modules/images/images.wasm\nsettings: {rules: [{targets: ['*/*'], images: [docker.io/library/alpine]}]}\n\
                 request: {workflow: a/b, target: c/d}\ncases: [{name: one, request: {podFile: ../pods/one.yaml}, expect: deny}]\n";
    fs::write(suite.join("cases.yaml"), cases).unwrap();
    let mut watching = Watching::start(&[text(&suite)]);
    let named = |path: &str| suite.join("..").join(path);
    watching.change(&named("pods/one.yaml"), "spec: {containers: [{name: main, image: nginx}]}");
    watching.change(&named("modules/images/src/lib.rs"), "//! Another.\n");
    watching.change(&named("modules/images/src/more.rs"), "//! A new one.\n");
    watching.change(&named("modules/images/images.wasm"), crate::support::modules::DENY_ALL);
    watching.change(&suite.join("cases.yaml"), cases.replace("one.yaml", "two.yaml"));
    watching.change(&named("pods/two.yaml"), "spec: {containers: [{name: main, image: nginx}]}");
    let shown = watching.end();
    let lines = |text: &str| shown.lines().filter(|line| line.starts_with(text)).count();
    assert_eq!((lines("failed: "), lines("ok: 1 suite")), (2, 5), "{shown}");
}
