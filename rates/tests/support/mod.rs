//! What the tests of `rates` share. A failing helper shows request, status and body.

#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

use axum::body::Body;
use chassis::{edge::Edged, settings::load};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use rates::{app::App, database::Database, http::router::routers, settings::Settings};
use serde_json::Value;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// Settings as they are with these variables and no others.
#[track_caller]
pub fn settings(variables: &[(&str, &str)]) -> Settings {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load::<Settings>(variables).unwrap_or_else(|faults| panic!("{faults}")).settings
}

/// An instance of the service over a database, without a socket.
pub struct Instance {
    pub app: App,
    pub router: Edged,
    listening: Option<JoinHandle<()>>,
}

impl Drop for Instance {
    /// Its connection would keep the test's database from being removed.
    fn drop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }
}

impl Instance {
    pub fn new(pool: &PgPool) -> Self {
        Self::with(Database::of(pool.clone()), &[])
    }

    pub fn with(database: Database, variables: &[(&str, &str)]) -> Self {
        let settings = settings(variables);
        let app = App::new(database, settings.api.clone(), &settings.cache, settings.batches.clone());
        let (router, _) = routers(&app, &settings, "test");
        Self::of(app, router)
    }

    /// One that shares another's state.
    pub fn of(app: App, router: Edged) -> Self {
        Self { app, router, listening: None }
    }

    /// The same, listening to changes of the data. Returns when it does.
    pub async fn listening(mut self) -> Self {
        let app = self.app.clone();
        self.listening = Some(tokio::spawn(async move { app.lanes.listen().await }));
        self.until(|instance| instance.app.freshness.current().is_some()).await;
        self
    }

    /// Waits for a state that must come by itself; gives up after ten seconds.
    pub async fn until(&self, state: impl Fn(&Self) -> bool) {
        let patience = tokio::time::Duration::from_secs(10);
        let reached = async {
            while !state(self) {
                tokio::time::sleep(tokio::time::Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(patience, reached).await.expect("the state was not reached within ten seconds");
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let asked = format!("{} {}", request.method(), request.uri());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Answer { asked, status, headers, body }
    }

    /// The rates of a lane.
    pub async fn rates(&self, origin: &str, destination: &str, from: &str, to: &str) -> Answer {
        self.get(&format!("/rates?date_from={from}&date_to={to}&orig_code={origin}&dest_code={destination}"))
            .await
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

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// A problem of this status with these wrong fields.
    #[track_caller]
    pub fn expect_problem(self, status: u16, fields: &[(&str, &str)]) -> Value {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{answer}");
        let body = answer.json();
        assert_eq!(body["status"], status, "{answer}");
        assert!(body["title"].is_string() && body["type"].is_string(), "{answer}");
        assert_eq!(body["request_id"], answer.header("x-request-id"), "{answer}");
        let wrong: Vec<_> = body["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|error| {
                (
                    error["field"].as_str().unwrap_or_default().to_owned(),
                    error["code"].as_str().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let wanted: Vec<_> =
            fields.iter().map(|(field, code)| ((*field).to_owned(), (*code).to_owned())).collect();
        assert_eq!(wrong, wanted, "{answer}");
        body
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} {:?}\n{}", self.asked, self.status, self.headers, self.text())
    }
}
