//! What the tests of `messages` share.

#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

pub mod redis;

use std::sync::Arc;

use axum::body::Body;
use chassis::{edge::Edged, settings::load};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use messages::{
    router::routers,
    settings::Settings,
    store::{self, Store},
};
use serde_json::Value;
use tower::ServiceExt;

/// SHA-256 of `foo`.
pub const FOO: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

/// Settings as they are with these variables and no others.
#[track_caller]
pub fn settings(variables: &[(&str, &str)]) -> Settings {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load::<Settings>(variables).unwrap_or_else(|faults| panic!("{faults}")).settings
}

/// The store that these variables name.
#[track_caller]
pub fn store(variables: &[(&str, &str)]) -> Arc<dyn Store> {
    store::open(&settings(variables)).unwrap()
}

/// An instance of the service over a file, without a socket.
pub struct Instance {
    router: Edged,
    _folder: tempfile::TempDir,
}

impl Instance {
    pub fn new(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("messages.redb");
        let variables = [&[("MESSAGES_FILE", file.to_str().unwrap())], variables].concat();
        let (router, _) = routers(&store(&variables), &settings(&variables), None, "test");
        Self { router, _folder: folder }
    }

    /// An instance whose Redis is nowhere.
    pub fn with_redis_away() -> Self {
        Self::new(&[("MESSAGES_REDIS_HOST", "127.0.0.1:1")])
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, body: impl Into<Body>) -> Answer {
        let request = Request::post("/messages").header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let asked = format!("{} {}", request.method(), request.uri());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Answer { asked, status, headers, body }
    }
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub asked: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in the answer to {self}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// This status and exactly this body, as `application/json`.
    #[track_caller]
    pub fn expect(self, status: u16, body: &str) -> Self {
        assert_eq!((self.status.as_u16(), &*self.text()), (status, body), "{self}");
        assert_eq!(self.header("content-type"), "application/json", "{self}");
        self
    }

    #[track_caller]
    pub fn expect_created(self) {
        assert_eq!(self.status, 201, "{self}");
    }

    /// A problem of this status that says what is wrong as `err_msg`, too.
    #[track_caller]
    pub fn expect_problem(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self}");
        let body = self.json();
        let said = body.get("detail").unwrap_or(&body["title"]);
        assert!(said.is_string() && *said == body["err_msg"], "{self}");
        assert_eq!(body["status"], status, "{self}");
        assert_eq!(body["request_id"], self.header("x-request-id"), "{self}");
        body
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text: String = self.text().chars().take(300).collect();
        write!(f, "{}: {} {:?}\n{text}", self.asked, self.status, self.headers)
    }
}
