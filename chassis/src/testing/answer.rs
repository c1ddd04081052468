//! An answer, read to its end.

use std::fmt;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Method and target of the request.
    pub request: String,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in the answer to {self}"))
    }

    /// A header as text; empty where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The same, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// The same, if it has this status and exactly this JSON.
    #[track_caller]
    pub fn expect_json(self, status: u16, text: &str) -> Self {
        assert_eq!((self.status.as_u16(), &*self.text()), (status, text), "{self}");
        assert_eq!(self.header("content-type"), "application/json", "{self}");
        self
    }

    /// The body of a problem of this status, whatever fields it names.
    #[track_caller]
    pub fn expect_any_problem(self, status: u16) -> Value {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{answer}");
        let body = answer.json();
        assert_eq!(body["status"], status, "{answer}");
        assert!(body["title"].is_string() && body["type"].is_string(), "{answer}");
        assert_eq!(body["request_id"], answer.header("x-request-id"), "{answer}");
        body
    }

    /// The body of a problem of this status that names these fields and codes.
    #[track_caller]
    pub fn expect_problem(self, status: u16, fields: &[(&str, &str)]) -> Value {
        let body = self.expect_any_problem(status);
        let text = |error: &Value, member: &str| error[member].as_str().unwrap_or_default().to_owned();
        let errors = body["errors"].as_array().into_iter().flatten();
        let named: Vec<_> = errors.map(|error| (text(error, "field"), text(error, "code"))).collect();
        let expected: Vec<_> =
            fields.iter().map(|(field, code)| ((*field).to_owned(), (*code).to_owned())).collect();
        assert_eq!(named, expected, "{body}");
        body
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self.text().chars().take(2000).collect();
        write!(f, "{}: {} {:?}\n{start}", self.request, self.status, self.headers)
    }
}
