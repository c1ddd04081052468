//! `/healthz`: the process is alive. It is for load balancers and checks no dependency, because a short failure of the
//! database must not restart every task. `/readyz`: the service can do its work. It is for people and alarms.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};

use crate::{Problem, stop::Stop};

type CheckFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The check of `/readyz`. Its error says why the service cannot work, and is shown to any client.
#[derive(Clone)]
pub struct Readiness {
    check: Arc<dyn Fn() -> CheckFuture + Send + Sync>,
    timeout: Duration,
    stop: Option<Stop>,
}

impl Readiness {
    /// A check that fails if it takes longer than `timeout`.
    pub fn new<F, Fut>(timeout: Duration, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { check: Arc::new(move || Box::pin(check())), timeout, stop: None }
    }

    /// A check that may block, such as one of a folder. It runs on a thread for blocking work.
    pub fn blocking<F>(timeout: Duration, check: F) -> Self
    where
        F: Fn() -> Result<(), String> + Clone + Send + Sync + 'static,
    {
        Self::new(timeout, move || {
            let checked = tokio::task::spawn_blocking(check.clone());
            async move { checked.await.unwrap_or_else(|died| Err(died.to_string())) }
        })
    }

    /// The same check, which fails once a stop has begun.
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

/// The two routes. The concurrency limit does not apply to them: an overloaded instance is slow, not dead.
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
