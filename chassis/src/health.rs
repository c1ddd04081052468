//! `/healthz`: the process is alive (load balancers ask this; it touches nothing, or one hiccup of a database would
//! restart every task). `/readyz`: it can do its work (people and alarms ask this).

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};

use crate::{Problem, stop::Stop};

type CheckFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What `/readyz` asks: a check that says why the service cannot work, in words that may be shown to anyone.
#[derive(Clone)]
pub struct Readiness {
    check: Arc<dyn Fn() -> CheckFuture + Send + Sync>,
    timeout: Duration,
    stop: Option<Stop>,
}

impl Readiness {
    /// A check that counts as failed when it takes longer than `timeout`.
    pub fn new<F, Fut>(timeout: Duration, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { check: Arc::new(move || Box::pin(check())), timeout, stop: None }
    }

    /// The same, until a stop begins.
    pub(crate) fn until(self, stop: Stop) -> Self {
        Self { stop: Some(stop), ..self }
    }

    async fn ask(&self) -> Result<(), String> {
        if self.stop.as_ref().is_some_and(Stop::has_begun) {
            return Err("the process is stopping".into());
        }
        tokio::time::timeout(self.timeout, (self.check)())
            .await
            .unwrap_or_else(|_| Err("the check took too long".into()))
    }
}

/// The two routes. They stand outside the concurrency limit: an overloaded instance is slow, not dead.
pub fn router(readiness: Readiness) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz).with_state(readiness))
}

async fn healthz() -> Json<Value> {
    Json(json!({"status": "alive"}))
}

async fn readyz(State(readiness): State<Readiness>) -> Result<Json<Value>, Problem> {
    match readiness.ask().await {
        Ok(()) => Ok(Json(json!({"status": "ready"}))),
        Err(reason) => Err(Problem::unavailable("Not ready.", 1).detail(format!("Not ready: {reason}."))),
    }
}
