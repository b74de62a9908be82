//! Refusals: every error this server answers, as the `v1` Status object that Kubernetes sends, in Kubernetes' wording.

use serde_json::{Value, json};

use crate::local::apiserver::resources::Resource;

/// An error answer. Its fields are those of a Status object.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Value,
}

/// One field that validation refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    pub field: String,
    pub reason: &'static str,
    pub message: String,
}

pub type Answer<T> = Result<T, Refusal>;

impl Cause {
    pub fn required(field: impl Into<String>, detail: &str) -> Cause {
        let message = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Cause { field: field.into(), reason: "FieldValueRequired", message }
    }

    pub fn invalid(field: impl Into<String>, value: &str, detail: &str) -> Cause {
        Cause {
            field: field.into(),
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {value:?}: {detail}"),
        }
    }

    pub fn duplicate(field: impl Into<String>, value: &str) -> Cause {
        Cause { field: field.into(), reason: "FieldValueDuplicate", message: format!("Duplicate value: {value:?}") }
    }

    pub fn forbidden(field: impl Into<String>, detail: &str) -> Cause {
        Cause { field: field.into(), reason: "FieldValueForbidden", message: format!("Forbidden: {detail}") }
    }

    pub fn unsupported(field: impl Into<String>, value: &str, supported: &[&str]) -> Cause {
        let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        let message = format!("Unsupported value: {value:?}: supported values: {}", supported.join(", "));
        Cause { field: field.into(), reason: "FieldValueNotSupported", message }
    }
}

impl Refusal {
    fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, reason, message: message.into(), details: Value::Null }
    }

    fn about(code: u16, reason: &'static str, resource: &Resource, name: &str, message: String) -> Refusal {
        let mut details = json!({"name": name, "kind": resource.plural});
        if !resource.group.is_empty() {
            details["group"] = json!(resource.group);
        }
        Refusal { code, reason, message, details }
    }

    pub fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::plain(400, "BadRequest", message)
    }

    /// The caller doesn't say who it is.
    pub fn unauthorized() -> Refusal {
        Refusal::plain(401, "Unauthorized", "Unauthorized")
    }

    pub fn not_found(resource: &Resource, name: &str) -> Refusal {
        let message = format!("{} {name:?} not found", resource.qualified());
        Refusal::about(404, "NotFound", resource, name, message)
    }

    pub fn no_such_path() -> Refusal {
        Refusal::plain(404, "NotFound", "the server could not find the requested resource")
    }

    pub fn method_not_allowed() -> Refusal {
        Refusal::plain(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    pub fn already_exists(resource: &Resource, name: &str) -> Refusal {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Refusal::about(409, "AlreadyExists", resource, name, message)
    }

    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Refusal {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified());
        Refusal::about(409, "Conflict", resource, name, message)
    }

    /// The writer's view is older than what is stored.
    pub fn modified(resource: &Resource, name: &str) -> Refusal {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Refusal::conflict(resource, name, why)
    }

    /// Server-side apply met fields of another manager.
    pub fn apply_conflict(manager: &str, fields: &[String]) -> Refusal {
        let plural = if fields.len() == 1 { "" } else { "s" };
        let listed =
            if fields.len() == 1 { format!(": {}", fields[0]) } else { format!(":\n- {}", fields.join("\n- ")) };
        let causes: Vec<Value> = fields
            .iter()
            .map(|field| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager:?}"), "field": field})
            })
            .collect();
        Refusal {
            code: 409,
            reason: "Conflict",
            message: format!(
                "Apply failed with {} conflict{plural}: conflict{plural} with {manager:?}{listed}",
                fields.len()
            ),
            details: json!({"causes": causes}),
        }
    }

    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Refusal {
        let message = format!("{} {name:?} is forbidden: {why}", resource.qualified());
        Refusal::about(403, "Forbidden", resource, name, message)
    }

    /// The caller lacks a right. The resource may be one that isn't stored, as a review.
    pub fn denied(resource: Option<&Resource>, (group, plural): (&str, &str), name: &str, why: &str) -> Refusal {
        let qualified = match resource {
            Some(resource) => resource.qualified(),
            None => format!("{plural}.{group}"),
        };
        let name_text = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        let mut details = json!({"kind": plural});
        for (field, value) in [("name", name), ("group", group)] {
            if !value.is_empty() {
                details[field] = json!(value);
            }
        }
        Refusal {
            code: 403,
            reason: "Forbidden",
            message: format!("{qualified}{name_text} is forbidden: {why}"),
            details,
        }
    }

    pub fn invalid(resource: &Resource, name: &str, causes: &[Cause]) -> Refusal {
        Refusal::invalid_as(&resource.kind, resource, name, causes)
    }

    /// An update must say which version it was made from. Kubernetes names the plural here and not the kind.
    pub fn unversioned(resource: &Resource, name: &str) -> Refusal {
        let cause = Cause {
            field: "metadata.resourceVersion".to_owned(),
            reason: "FieldValueInvalid",
            message: "Invalid value: 0: must be specified for an update".to_owned(),
        };
        Refusal::invalid_as(&resource.plural, resource, name, &[cause])
    }

    fn invalid_as(word: &str, resource: &Resource, name: &str, causes: &[Cause]) -> Refusal {
        let texts: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let listed = if texts.len() == 1 { texts[0].clone() } else { format!("[{}]", texts.join(", ")) };
        let kind = if resource.group.is_empty() { word.to_owned() } else { format!("{word}.{}", resource.group) };
        let causes: Vec<Value> = causes
            .iter()
            .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
            .collect();
        let mut details = json!({"name": name, "kind": word, "causes": causes});
        if !resource.group.is_empty() {
            details["group"] = json!(resource.group);
        }
        Refusal { code: 422, reason: "Invalid", message: format!("{kind} {name:?} is invalid: {listed}"), details }
    }

    pub fn unprocessable(message: impl Into<String>) -> Refusal {
        Refusal::plain(422, "Invalid", message)
    }

    /// The version asked for is older than the history that is kept.
    pub fn too_old(asked: u64, oldest: u64) -> Refusal {
        Refusal::plain(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    pub fn continue_too_old() -> Refusal {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new \
                       list without the continue parameter.";
        Refusal::plain(410, "Expired", message)
    }

    /// The version asked for hasn't happened yet.
    pub fn too_new(asked: u64, current: u64) -> Refusal {
        let causes = json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        Refusal {
            code: 504,
            reason: "Timeout",
            message: format!("Timeout: Too large resource version: {asked}, current: {current}"),
            details: json!({"causes": causes, "retryAfterSeconds": 1}),
        }
    }

    pub fn too_large(message: impl Into<String>) -> Refusal {
        Refusal::plain(413, "RequestEntityTooLarge", message)
    }

    pub fn unsupported_media_type(given: &str) -> Refusal {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {given}");
        Refusal::plain(415, "UnsupportedMediaType", message)
    }

    pub fn internal(message: impl Into<String>) -> Refusal {
        Refusal::plain(500, "InternalError", format!("Internal error occurred: {}", message.into()))
    }

    /// The Status object that is sent.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
