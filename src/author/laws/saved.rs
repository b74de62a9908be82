//! What breaks a law, as a suite that `landfall policy test` runs: it fails until the module keeps the law.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use serde_json::{Value as Json, json};

use crate::{
    author::{
        laws::{Case, Wanted, run::Broken},
        pod,
        subject::Subject,
    },
    policy::{decision::Answer, request::Request},
};

/// Writes the suite of `broken` into `folder`, which is made if there is none. `command` is what finds it again.
///
/// # Errors
///
/// The file can't be written.
pub fn save(folder: &Path, subject: &Subject, seed: u64, broken: &Broken, command: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let module = match &subject.file {
        Some(file) => relative(&fs::canonicalize(folder)?, &fs::canonicalize(file)?),
        None => subject.name.clone(),
    };
    let file = folder.join(format!("{}-{seed}-{}.yaml", broken.law.name(), broken.run));
    fs::write(&file, suite(&module, broken, command))?;
    Ok(file)
}

/// The text of the suite.
pub fn suite(module: &str, broken: &Broken, command: &str) -> String {
    let name = broken.law.name();
    let mut text = format!("# {}\n# why: {}\n# found by: {command}\n", broken.breach.sentence, broken.law.why());
    for said in &broken.breach.said {
        text += &comment(&format!("{}: {}", said.when, said.what));
    }
    text += &format!("module: {}\n", yaml(&Json::from(module)));
    match &broken.breach.wanted {
        Wanted::Refusal(settings) => {
            text += &format!("refused:\n  - name: {name}\n    settings: {}\n", yaml(settings));
        }
        Wanted::Answer(case) => {
            let Case { settings, request, answer } = case.as_ref();
            if let Some(pod) = unwritable_pod(request) {
                text += &comment(&format!("no suite can say this pod, so another stands in its place: {pod}"));
            }
            text += &format!(
                "settings: {}\ncases:\n  - name: {name}\n    request: {}\n    expect: {}\n",
                yaml(settings),
                yaml(&written(request)),
                yaml(&expected(answer)),
            );
        }
    }
    text
}

/// The request as it can be read from a suite.
pub fn written(request: &Request) -> Json {
    let mut json = serde_json::to_value(request).unwrap_or(Json::Null);
    let pod = request.pod.as_ref().and_then(|pod| serde_json::from_str(pod.as_str()).ok());
    if let (Some(fields), Some(pod @ Json::Object(_))) = (json.as_object_mut(), pod) {
        if pod::is_odd(&pod) {
            fields.insert("podFields".to_owned(), json!("any"));
        }
        fields.insert("pod".to_owned(), pod);
    }
    json
}

/// The pod, where a suite can't say it: what it says is filled up to be a pod.
fn unwritable_pod(request: &Request) -> Option<String> {
    let Some(pod) = &request.pod else { return Some("none at all".to_owned()) };
    let shown = || Some(pod.as_str().to_owned());
    let Ok(Json::Object(fields)) = serde_json::from_str(pod.as_str()) else { return shown() };
    match fields.get("spec") {
        None => shown(),
        Some(Json::Object(spec)) if !spec.contains_key("containers") => shown(),
        Some(_) => None,
    }
}

fn expected(answer: &Answer) -> Json {
    match answer {
        Answer::Allow => json!("allow"),
        Answer::Deny { code, .. } | Answer::Failed { code, .. } if code.is_empty() => json!("deny"),
        Answer::Deny { code, reason } if reason.is_empty() => json!({ "deny": code }),
        Answer::Deny { code, reason } => json!({ "deny": code, "reason": reason }),
        Answer::Failed { code, .. } => json!({ "deny": code }),
    }
}

/// JSON is YAML, but for characters that YAML takes only when they are escaped.
fn yaml(json: &Json) -> String {
    let mut text = String::new();
    for c in json.to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                text += &format!("\\u{:04x}", u32::from(c));
            }
            _ => text.push(c),
        }
    }
    text
}

/// On one line, because what a module says can contain anything.
fn comment(text: &str) -> String {
    let printable = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') { ' ' } else { c };
    format!("# {}\n", text.chars().map(printable).collect::<String>())
}

/// `file` as it is named from `folder`; both are resolved.
fn relative(folder: &Path, file: &Path) -> String {
    let shared = folder.components().zip(file.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    let down = file.components().skip(shared);
    let path: PathBuf = up.chain(down).collect();
    path.display().to_string()
}
