//! What the tests of `messages` share.

#![allow(dead_code, unused_imports, clippy::allow_attributes, reason = "each test binary uses a part of it")]

use std::{ops::Deref, sync::Arc};

use axum::body::Body;
pub use chassis::testing::redis;
use chassis::testing::{Answer, Client};
use http::Request;
use messages::{
    Messages,
    store::{self, Store},
};
use serde_json::Value;

/// SHA-256 of `foo`.
pub const FOO: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

/// Settings as they are with these variables and no others.
#[track_caller]
pub fn settings(variables: &[(&str, &str)]) -> messages::settings::Settings {
    chassis::testing::settings::<Messages>(variables).service
}

/// The store that these variables name.
#[track_caller]
pub fn store(variables: &[(&str, &str)]) -> Arc<dyn Store> {
    store::open(&settings(variables)).unwrap()
}

/// A client of the service over a file of its own.
pub struct Instance {
    client: Client,
    _folder: tempfile::TempDir,
}

impl Instance {
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("messages.redb");
        let own = [("MESSAGES_FILE", file.to_str().unwrap()), ("MESSAGES__TLS__ENABLED", "false")];
        let client = Client::start::<Messages>(&[&own, variables].concat()).await;
        Self { client, _folder: folder }
    }

    /// One whose Redis does not answer.
    pub async fn without_redis() -> Self {
        Self::start(&[("MESSAGES_REDIS_HOST", "127.0.0.1:1")]).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, body: impl Into<Body>) -> Answer {
        let request = Request::post("/messages").header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }
}

impl Deref for Instance {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The body of a problem of this status that also says what is wrong as `err_msg`.
#[track_caller]
pub fn expect_problem(answer: Answer, status: u16) -> Value {
    let body = answer.expect_any_problem(status);
    let reason = body.get("detail").unwrap_or(&body["title"]);
    assert!(reason.is_string() && *reason == body["err_msg"], "{body}");
    body
}
