//! The one shape of an error on the wire: `application/problem+json` (RFC 9457).

mod body;
mod page;

use std::{borrow::Cow, error::Error, sync::Arc};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use body::Wire;
pub use body::{FieldError, ProblemBody};
pub(crate) use page::POLICY as PAGE_POLICY;

use crate::exit;

/// The media type of every error body.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The most wrong parameters that an error names. Without a limit, a query string of many short faults would be
/// answered with ten times its size.
const LISTED_PARAMETERS: usize = 20;

/// An error as the client will see it, with the cause that only the log will.
///
/// The response it turns into carries it as an extension, so that the [edge](crate::edge) can add the request id and
/// log the cause once.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    kind: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Option<Cow<'static, str>>,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem with a status and nothing else.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self(Box::new(Parts {
            status,
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            detail: None,
            errors: Vec::new(),
            members: Map::new(),
            headers: Vec::new(),
            cause: None,
        }))
    }

    /// 400 naming each wrong parameter; of very many, the first.
    #[must_use]
    pub fn invalid_parameters(mut errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => one.detail.clone(),
            many if many.len() > LISTED_PARAMETERS => format!(
                "{} parameters are wrong; `errors` names {LISTED_PARAMETERS}, and there are {} more.",
                many.len(),
                many.len() - LISTED_PARAMETERS
            ),
            many => format!("{} parameters are wrong; `errors` names each.", many.len()),
        };
        errors.truncate(LISTED_PARAMETERS);

        Self::new(StatusCode::BAD_REQUEST)
            .kind("invalid-parameters", "Invalid parameters")
            .detail(detail)
            .errors(errors)
    }

    /// 404 with what was looked for.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND).detail(detail)
    }

    /// 500 whose cause goes to the log and not to the client.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR)
            .detail("The server failed to answer this request. Report it with the request id.")
            .cause(cause)
    }

    /// 503: a dependency of the service is unavailable; `retry_after_seconds` says when to try again.
    #[must_use]
    pub fn unavailable(detail: &'static str, retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE).detail(detail).retry_after(retry_after_seconds)
    }

    /// Names the kind of problem: `name` in lower case with hyphens becomes the type `urn:problem:name`.
    #[must_use]
    pub fn kind(mut self, name: &str, title: &'static str) -> Self {
        self.0.kind = format!("urn:problem:{name}").into();
        self.0.title = title.into();
        self
    }

    /// Says what happened this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Names wrong fields.
    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Adds a member of its own to the body.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Repeats the detail, or else the title, as a member of this name.
    #[must_use]
    pub fn repeat_detail_as(self, name: &str) -> Self {
        let detail = self.0.detail.clone().unwrap_or_else(|| self.0.title.clone());
        self.member(name, detail)
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Adds `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(header::RETRY_AFTER, seconds.into())
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into().into());
        self
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What the client is told, in one line.
    #[must_use]
    pub fn reason(&self) -> Option<Cow<'_, str>> {
        match self.0.errors.as_slice() {
            [] | [_] => self.0.detail.as_deref().map(Cow::Borrowed),
            errors => Some(errors.iter().map(|error| &*error.detail).collect::<Vec<_>>().join("; ").into()),
        }
    }

    /// The cause and its causes in one line, outermost first.
    #[must_use]
    pub fn cause_chain(&self) -> Option<String> {
        self.0.cause.as_deref().map(|cause| exit::chain(cause))
    }

    /// The body as it is sent, naming the request when its id is known.
    #[must_use]
    pub fn json(&self, request_id: Option<&str>) -> Vec<u8> {
        let parts = &self.0;
        let body = Wire {
            kind: &parts.kind,
            title: &parts.title,
            status: parts.status.as_u16(),
            detail: parts.detail.as_deref(),
            errors: &parts.errors,
            request_id,
            members: &parts.members,
        };
        serde_json::to_vec(&body).expect("texts and numbers are JSON")
    }

    /// The same for people, as a page.
    pub(crate) fn page(&self, request_id: Option<&str>) -> String {
        let parts = &self.0;
        page::render(parts.status, &parts.title, parts.detail.as_deref(), &parts.errors, request_id)
    }

    /// The response, its body naming the request when its id is known.
    #[must_use]
    pub fn response(&self, request_id: Option<&str>) -> Response {
        let parts = &self.0;
        let mut response = Response::new(Body::from(self.json(request_id)));
        *response.status_mut() = parts.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in &parts.headers {
            headers.append(name.clone(), value.clone());
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.response(None);
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests;
