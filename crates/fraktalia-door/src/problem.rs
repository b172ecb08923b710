//! Errors as problem details: RFC 9457.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fraktalia_model::Note;
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, as RFC 9457 writes it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What kind of problem it is; stays the same from release to release.
    #[serde(rename = "type")]
    #[schema(example = "urn:fraktalia:problem:findings", pattern = "^urn:fraktalia:problem:[a-z-]+$")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is the case here, and what to do next.
    detail: String,
    /// Each finding, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Finding>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Finding {
    /// What kind of finding it is.
    #[schema(example = "proposal.sandbox")]
    pub code: String,
    /// What is the case.
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where in a JSON body: a JSON Pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/sandbox")]
    pub pointer: Option<String>,
    /// Where in a YAML body: the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Where in a YAML body: the column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl Finding {
    /// A finding of the desk, without a place.
    pub(crate) fn of(note: &Note) -> Self {
        Self {
            code: note.code.clone(),
            detail: note.text.clone(),
            hint: note.hint.clone(),
            pointer: None,
            line: None,
            column: None,
        }
    }
}

/// The kinds of problems: status, name, title.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $status:ident $kind:literal $title:literal;)*) => {
        impl Problem {
            $($(#[$doc])* pub(crate) fn $name(detail: impl Into<String>) -> Self {
                Self::new(StatusCode::$status, $kind, $title, detail)
            })*
        }
    };
}

kinds! {
    /// The request is none.
    bad_request BAD_REQUEST "bad-request" "The request cannot be read";
    /// No token, or none that counts.
    unauthorized UNAUTHORIZED "unauthorized" "A token is needed";
    /// The token may not.
    forbidden FORBIDDEN "forbidden" "The token may not do that";
    /// There is no such thing.
    not_found NOT_FOUND "not-found" "There is no such thing";
    /// The path has no such method.
    method METHOD_NOT_ALLOWED "method-not-allowed" "That cannot be done here";
    /// The answer would be in a form that is not accepted.
    not_acceptable NOT_ACCEPTABLE "not-acceptable" "Answers are JSON";
    /// The body did not come in time.
    timeout REQUEST_TIMEOUT "timeout" "The request did not come in time";
    /// Something is in the way.
    conflict CONFLICT "conflict" "Something is in the way";
    /// The body is too large.
    too_large PAYLOAD_TOO_LARGE "too-large" "The body is too large";
    /// The body is in a form that is not read.
    media_type UNSUPPORTED_MEDIA_TYPE "media-type" "The body has to be JSON or YAML";
    /// The body is understood, and cannot be done.
    findings UNPROCESSABLE_ENTITY "findings" "This cannot be planned";
    /// The key was used for something else.
    key_reused UNPROCESSABLE_ENTITY "idempotency-key-reused" "The idempotency key belongs to another request";
    /// Too much.
    too_many TOO_MANY_REQUESTS "too-many" "That is too much at once";
    /// It was tried.
    failed INTERNAL_SERVER_ERROR "failed" "It was tried, and failed";
    /// Not now.
    unavailable SERVICE_UNAVAILABLE "unavailable" "That is not possible now";
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:fraktalia:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// With findings.
    pub(crate) fn with(mut self, errors: Vec<Finding>) -> Self {
        self.errors = errors;
        self
    }

    /// With a header. One that cannot be sent is left away.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// To be tried again after so many seconds.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, &seconds.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}
