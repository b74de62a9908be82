//! Words of a command line that is printed, so that it runs as it stands.

use std::{fmt::Display, path::Path};

/// The path as one word for a shell.
pub fn quoted(path: &Path) -> String {
    word(path.display())
}

/// The text as one word for a shell.
pub fn word(text: impl Display) -> String {
    let text = text.to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=@:+%,".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else if !text.contains(['"', '$', '`', '\\', '!']) {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_shell_would_read_is_quoted() {
        let check = |text: &str, expected: &str| assert_eq!(super::word(text), expected);
        check("policies/images", "policies/images");
        check("", "\"\"");
        check("the company's", "\"the company's\"");
        check("tenants: argo -> default/argo", "\"tenants: argo -> default/argo\"");
        check("the company's $HOME", r"'the company'\''s $HOME'");
    }
}
