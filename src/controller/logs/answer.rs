//! Why a request is not answered: as a Kubernetes `Status`, which every client of Kubernetes can read.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;

/// No answer, with the HTTP code and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    code: StatusCode,
    message: String,
}

impl Denied {
    /// It is not known who asks.
    pub fn unknown(message: impl Into<String>) -> Denied {
        Denied { code: StatusCode::UNAUTHORIZED, message: message.into() }
    }

    /// Who asks may not.
    pub fn forbidden(message: impl Into<String>) -> Denied {
        Denied { code: StatusCode::FORBIDDEN, message: message.into() }
    }

    /// It is nothing that can be asked.
    pub fn bad(message: impl Into<String>) -> Denied {
        Denied { code: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// There is no such thing.
    pub fn missing(message: impl Into<String>) -> Denied {
        Denied { code: StatusCode::NOT_FOUND, message: message.into() }
    }

    /// Too much is asked at once.
    pub fn too_many(message: impl Into<String>) -> Denied {
        Denied { code: StatusCode::TOO_MANY_REQUESTS, message: message.into() }
    }

    /// Not now.
    pub fn unavailable(message: impl Into<String>) -> Denied {
        Denied { code: StatusCode::SERVICE_UNAVAILABLE, message: message.into() }
    }

    /// Not before an operator mends it.
    pub fn broken(message: impl Into<String>) -> Denied {
        Denied { code: StatusCode::INTERNAL_SERVER_ERROR, message: message.into() }
    }

    fn reason(&self) -> &'static str {
        match self.code.as_u16() {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            429 => "TooManyRequests",
            503 => "ServiceUnavailable",
            _ => "InternalError",
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "reason": self.reason(), "message": self.message, "code": self.code.as_u16(),
        });
        (self.code, [(header::CONTENT_TYPE, "application/json")], format!("{status}\n")).into_response()
    }
}
