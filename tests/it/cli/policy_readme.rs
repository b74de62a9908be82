//! The READMEs that policy authors follow: every command in them runs as it is written, and prints what stands there.
//!
//! They are those of `policies/` and of a new folder, in Rust: `.ci/policies-js-python` does the others, whose tools it may
//! install.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use landfall::author::build::{self, Language};

/// A fenced block: its language, and its lines.
type Block = (String, String);

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let text: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push((language.to_owned(), text.join("\n") + "\n"));
    }
    blocks
}

/// The commands of a block, each with what it reads up to an `END`.
fn commands(block: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut lines = block.lines();
    while let Some(line) = lines.next() {
        let mut command = line.to_owned();
        if line.contains("<<'END'") {
            for line in lines.by_ref() {
                command += &format!("\n{line}");
                if line == "END" {
                    break;
                }
            }
        }
        commands.push(command);
    }
    commands
}

/// Runs it as a shell does in which the program is installed, and crates come from those that this repository is built of.
fn shell(folder: &Path, command: &str) -> (Option<i32>, String, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_landfall")).parent().unwrap();
    let path = env::join_paths([program.to_owned()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())));
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .env("PATH", path.unwrap())
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/policies"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Whether new modules in Rust can be built; where it must be so, that they can't is a failure.
fn can_build() -> bool {
    match build::toolchain(Path::new("."), Language::Rust) {
        Ok(()) => true,
        Err(error) if env::var_os("CI").is_none() => {
            eprintln!("skipped: {error}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// A new folder is given the versions that this repository is built with: nothing has to be looked up.
fn lock(folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if folder.join("Cargo.toml").exists() && !folder.join("Cargo.lock").exists() {
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    }
}

#[test]
fn from_nothing_to_a_module_that_denies_something() {
    if !can_build() {
        return;
    }
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut printed = String::new();
    let mut seen = (0, 0);
    for (language, block) in blocks(&readme) {
        match language.as_str() {
            "sh" => {
                for command in commands(&block) {
                    let (code, stdout, stderr) = shell(folder.path(), &command);
                    let expected = if command.starts_with("landfall policy run ") { 1 } else { 0 };
                    assert_eq!(code, Some(expected), "$ {command}\n{stdout}{stderr}");
                    lock(&folder.path().join("allowed-clusters"));
                    printed = stdout;
                    seen.0 += 1;
                }
            }
            // What the last command prints, as far as it is shown.
            "text" => {
                assert!(printed.starts_with(&block), "the README shows\n{block}and this was printed\n{printed}");
                seen.1 += 1;
            }
            _ => {}
        }
    }
    assert_eq!(seen, (7, 1), "commands, and what they print");
}

#[test]
fn the_readme_of_a_new_folder() {
    if !can_build() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("a-new-one");
    assert_eq!(shell(place.path(), "landfall policy new a-new-one").0, Some(0));
    lock(&folder);
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut seen = 0;
    for (_, block) in blocks(&readme).into_iter().filter(|(language, _)| language == "sh") {
        // The one that installs something is the reader's.
        for command in commands(&block).into_iter().filter(|command| !command.starts_with("rustup ")) {
            let (code, stdout, stderr) = shell(&folder, &command);
            assert_eq!(code, Some(0), "$ {command}\n{stdout}{stderr}");
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
}

#[test]
fn a_module_is_built_where_it_is_told_to() {
    if !can_build() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("mine");
    let check = |command: &str, code: i32, out: &str, error: &str| {
        let (found, stdout, stderr) = shell(place.path(), command);
        assert_eq!(found, Some(code), "$ {command}\n{stdout}{stderr}");
        assert!(stdout.contains(out) && stderr.contains(error), "$ {command}\n{stdout}{stderr}");
    };
    check("landfall policy new mine --lang rust", 0, "\nnext:\n  landfall policy build mine\n", "");
    lock(&folder);
    check("landfall policy test mine", 1, "hint: build it first: landfall policy build mine\n", "");
    check("landfall policy build mine --out other.wasm", 0, "file        other.wasm\n", "");
    assert!(place.path().join("other.wasm").exists() && !folder.join("mine.wasm").exists());
    // Its suite asks the component of its folder, and there is none yet.
    check("landfall policy test mine --build", 0, "ok: 1 suite", "building mine …\n");
    let source = folder.join("src/lib.rs");
    fs::write(&source, format!("{}// Changed.\n", fs::read_to_string(&source).unwrap())).unwrap();
    let warning =
        "warning: mine/mine.wasm is older than its sources\nhint: build it again: landfall policy build mine\n";
    check("landfall policy test mine", 0, "ok: 1 suite", warning);
    let asked = "mine --settings mine/settings.yaml --workflow a/b --target default/a";
    check(&format!("landfall policy run {asked}"), 0, "", warning);
    check(&format!("landfall policy explain {asked}"), 0, "", warning);
    check("landfall policy diff mine/mine.wasm mine --generated 5", 0, "", warning);
    check("landfall policy fuzz mine --runs 5 --seed 1", 0, "", warning);
    fs::write(&source, "fn nonsense( {").unwrap();
    check("landfall policy build mine", 1, "", "error: cargo ended with ");
    check("landfall policy test mine --build", 1, "cargo ended with ", "");
}
