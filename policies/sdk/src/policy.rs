//! What a module is: settings that can be read, and a function.

use serde::de::DeserializeOwned;

use crate::{Decision, Request};

/// A policy module. The type is its settings, as they stand in the configuration under `settings`.
///
/// Derive `Deserialize` with `#[serde(deny_unknown_fields)]`, so that a misspelt setting is refused.
pub trait Policy: DeserializeOwned {
    /// Whether [`Request::pod`] is wanted. Ask for it only if you use it: it costs time.
    const NEEDS_POD: bool = false;

    /// Checks the settings together and prepares what [`authorize`](Policy::authorize) needs. Called once, when the
    /// module is loaded; what it returns is what every decision starts from.
    ///
    /// # Errors
    ///
    /// What is wrong with which setting: the operator reads it, and the set of modules in force before stays.
    fn check(self) -> Result<Self, String> {
        Ok(self)
    }

    /// Answers one request. When in doubt, deny.
    ///
    /// # Errors
    ///
    /// A denial.
    fn authorize(&self, request: &Request) -> Decision;
}

/// The module with the settings of a JSON document, as the host does it. For tests.
///
/// # Errors
///
/// The field that is wrong, and what is wrong with it: `rules[0].targets[1]: "other" is not cluster/namespace`.
pub fn configured<P: Policy>(settings: &str) -> Result<P, String> {
    // A list would be read as the fields in their order.
    if !settings.trim_start().starts_with('{') {
        return Err("settings are not an object".to_owned());
    }
    let mut deserializer = serde_json::Deserializer::from_str(settings);
    let policy: P = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| at_path(&error))?;
    deserializer.end().map_err(|error| error.to_string())?;
    policy.check()
}

/// `path: message`, without the line and column: the host made the document, so they mean nothing to whoever reads this.
pub(crate) fn at_path(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    let message = error.inner().to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    if path == "." { message.to_owned() } else { format!("{path}: {message}") }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::{Allow, Decision, Policy, Request, configured};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[serde(default)]
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        port: u16,
    }

    impl Policy for Settings {
        fn check(self) -> Result<Settings, String> {
            if self.rules.iter().any(|rule| rule.port == 0) { Err("port 0 is none".to_owned()) } else { Ok(self) }
        }

        fn authorize(&self, _: &Request) -> Decision {
            Ok(Allow)
        }
    }

    #[test]
    fn a_mistake_in_settings_names_its_place() {
        let check = |settings: &str, expected: &str| {
            assert_eq!(configured::<Settings>(settings).unwrap_err(), expected, "{settings}");
        };
        check("[]", "settings are not an object");
        check(r#"{"rulez": []}"#, "rulez: unknown field `rulez`, expected `rules`");
        check(r#"{"rules": 1}"#, "rules: invalid type: integer `1`, expected a sequence");
        check(r#"{"rules": [{"port": 1}, {"port": "x"}]}"#, "rules[1].port: invalid type: string \"x\", expected u16");
        check(r#"{"rules": [{}]}"#, "rules[0]: missing field `port`");
        check(r#"{"rules": [{"port": 0}]}"#, "port 0 is none");
        check("{} x", "trailing characters at line 1 column 4");
        assert!(configured::<Settings>("{}").is_ok());
    }
}
