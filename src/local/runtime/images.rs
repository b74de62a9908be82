//! What an image runs where the container doesn't say: images aren't pulled, so it must be known.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Container;
use serde::{Deserialize, Serialize};

/// What an image runs by itself: an entry under `images:` in the ConfigMap `workflow-controller-configmap`, Argo's own key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageCommand {
    /// The program, with arguments that always come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The arguments unless the container gives its own; without an entrypoint the whole command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
}

/// Public images that workflows often name, with what they run by themselves. By repository: all their tags do the same.
const KNOWN: [(&str, &str); 8] = [
    ("argoproj/argosay", "argosay"),
    ("docker/whalesay", "bash"),
    ("alpine", "sh"),
    ("bash", "bash"),
    ("busybox", "sh"),
    ("debian", "bash"),
    ("python", "python3"),
    ("ubuntu", "bash"),
];

/// The command and arguments that the container runs, by Kubernetes' rules; an error says what to do about an unknown image.
pub fn command_line(container: &Container, images: &BTreeMap<String, ImageCommand>) -> Result<Vec<String>, String> {
    let own = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let (command, args) = (own(&container.command), own(&container.args));
    if !command.is_empty() {
        return Ok([command, args].concat());
    }
    let image = container.image.as_deref().unwrap_or_default();
    let known = match images.get(image) {
        Some(found) => found.clone(),
        None => built_in(image).ok_or_else(|| unknown(image, &container.name))?,
    };
    let args = if args.is_empty() { known.cmd } else { args };
    let line = [known.entrypoint, args].concat();
    if line.is_empty() { Err(unknown(image, &container.name)) } else { Ok(line) }
}

fn unknown(image: &str, container: &str) -> String {
    format!(
        "container {container} has no command and what image {image:?} runs isn't known here: give the container a command, \
         or the image an entrypoint under images: in the ConfigMap workflow-controller-configmap"
    )
}

fn built_in(image: &str) -> Option<ImageCommand> {
    let repository = repository(image);
    let (_, program) = KNOWN.iter().find(|(name, _)| *name == repository)?;
    let program = vec![(*program).to_owned()];
    // An entrypoint takes arguments; a mere default command is replaced by them.
    Some(if repository == "argoproj/argosay" && !image.ends_with(":v1") {
        ImageCommand { entrypoint: program, cmd: Vec::new() }
    } else if repository == "argoproj/argosay" {
        ImageCommand { entrypoint: vec!["cowsay".to_owned()], cmd: Vec::new() }
    } else {
        ImageCommand { entrypoint: Vec::new(), cmd: program }
    })
}

/// The image without tag, digest and the names by which Docker's own registry goes.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let slash = image.rfind('/').map_or(0, |at| at + 1);
    let image = image[slash..].find(':').map_or(image, |at| &image[..slash + at]);
    ["docker.io/library/", "docker.io/", "index.docker.io/", "quay.io/", "library/"]
        .iter()
        .find_map(|prefix| image.strip_prefix(prefix))
        .unwrap_or(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(image: &str, command: &[&str], args: &[&str], expected: Result<&str, &str>) {
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        let container = Container {
            name: "main".to_owned(),
            image: Some(image.to_owned()),
            command: words(command),
            args: words(args),
            ..Container::default()
        };
        let images = BTreeMap::from([(
            "example/tool:1".to_owned(),
            ImageCommand { entrypoint: vec!["tool".to_owned()], cmd: vec!["--help".to_owned()] },
        )]);
        let line = command_line(&container, &images).map(|line| line.join(" "));
        match (line, expected) {
            (Ok(line), Ok(expected)) => assert_eq!(line, expected, "{image}"),
            (Err(message), Err(expected)) => assert!(message.contains(expected), "{image}: {message}"),
            (line, expected) => panic!("{image}: {line:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn commands_follow_kubernetes_rules() {
        check("anything", &["echo"], &["a"], Ok("echo a"));
        check("anything", &["echo"], &[], Ok("echo"));
        check("example/tool:1", &[], &[], Ok("tool --help"));
        check("example/tool:1", &[], &["run"], Ok("tool run"));
        check("example/tool:1", &["sh"], &[], Ok("sh"));
        check("argoproj/argosay:v2", &[], &["echo", "hi"], Ok("argosay echo hi"));
        check("docker.io/argoproj/argosay", &[], &[], Ok("argosay"));
        check("argoproj/argosay:v1", &[], &["hello"], Ok("cowsay hello"));
        check("alpine:3.23", &[], &[], Ok("sh"));
        check("docker.io/library/python:3.13@sha256:00", &[], &[], Ok("python3"));
        check("example/tool:2", &[], &[], Err("under images: in the ConfigMap workflow-controller-configmap"));
        check("localhost:5000/tool", &[], &["x"], Err("\"localhost:5000/tool\""));
    }
}
