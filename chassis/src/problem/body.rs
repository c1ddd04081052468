//! The body of an error, as it is sent and as API descriptions show it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One wrong field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// The row of the content, from 1; none if the fault is not in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(examples(17))]
    pub row: Option<u64>,
    /// The parameter or field that is wrong, as the client named it.
    #[schema(examples("orig_code"))]
    pub field: Cow<'static, str>,
    /// The value that is wrong, cut where it is long; given for rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong with it, for programs.
    #[schema(examples("unknown"))]
    pub code: Cow<'static, str>,
    /// What is wrong with it and what would be right, for people.
    #[schema(examples("no port has the code CNGGX; did you mean CNGGZ?"))]
    pub detail: String,
    /// Values that would have been accepted, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<String>,
}

impl FieldError {
    /// An error without suggestions.
    pub fn new(
        field: impl Into<Cow<'static, str>>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            row: None,
            field: field.into(),
            value: None,
            code: code.into(),
            detail: detail.into(),
            suggestions: Vec::new(),
        }
    }

    /// The same in a row of the content.
    #[must_use]
    pub fn at(mut self, row: u64, value: Option<String>) -> Self {
        self.row = Some(row);
        self.value = value;
        self
    }

    /// The same with values that would have been accepted.
    #[must_use]
    pub fn suggest(mut self, suggestions: Vec<String>) -> Self {
        self.suggestions = suggestions;
        self
    }
}

/// An error (RFC 9457). Problems of some kinds have further members.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `about:blank`, or a URN that names this kind of problem.
    #[serde(rename = "type")]
    #[schema(examples("urn:problem:invalid-parameters"))]
    pub kind: String,
    /// The kind of problem in words; the same for every problem of one type.
    #[schema(examples("Invalid parameters"))]
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, examples(400))]
    pub status: u16,
    /// What happened this time, and what to do.
    pub detail: Option<String>,
    /// Each wrong field of the request.
    #[serde(default)]
    pub errors: Vec<FieldError>,
    /// The id of the request; name it when you report the problem.
    pub request_id: Option<String>,
}

/// A body as it is sent, with the most important members first.
#[derive(Serialize)]
pub(super) struct Wire<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    pub(super) title: &'a str,
    pub(super) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<&'a str>,
    #[serde(flatten)]
    pub(super) members: &'a Map<String, Value>,
}
