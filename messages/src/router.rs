//! Every route, where its handler is, and what describes it.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    routing::{get, post},
};
use chassis::{
    edge::{Edge, Edged},
    health::{self, Readiness},
    logfile::Lines,
    metrics::{self, RequestMetrics},
};
use prometheus_client::registry::Registry;
use utoipa::OpenApi;

use crate::{
    routes::{
        messages::{self, App},
        openapi,
    },
    settings::Settings,
    store::Store,
};

/// `/readyz` gives up on the store after this time.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the public port answers, and what the metrics port does.
pub fn routers(
    store: &Arc<dyn Store>,
    settings: &Settings,
    access_log: Option<Lines>,
    version: &'static str,
) -> (Edged, Router) {
    let mut registry = Registry::default();
    let request_metrics = RequestMetrics::register(&mut registry, "messages", version);
    let traces = !settings.telemetry.otlp_endpoint.is_empty();
    let edge = Edge::new(&settings.server, traces, request_metrics)
        .log_access(access_log)
        .repeat_detail_as("err_msg");
    let readiness = Readiness::new(READY_TIMEOUT, {
        let store = Arc::clone(store);
        move || {
            let store = Arc::clone(&store);
            async move {
                store.ping().await.map_err(|error| {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the store is away");
                    "the store does not answer".to_owned()
                })
            }
        }
    });
    let app = App { store: Arc::clone(store), message_limit_bytes: settings.api.message_limit_bytes };
    let public = edge.around(routes(app), health::router(readiness.clone()));
    (public, health::router(readiness).merge(metrics::router(registry)))
}

/// The routes of the API; the edge goes around them.
fn routes(app: App) -> Router {
    Router::new()
        .route("/messages", post(messages::post_message))
        .route("/messages/{digest}", get(messages::get_message).delete(messages::delete_message))
        .route("/openapi.json", get(openapi::get_openapi))
        .with_state(app)
}

/// What the API is, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Messages",
        description = "Store a message, get it back by its SHA-256. Every error has a text `err_msg`; all but \"not \
                       found\" are problems (RFC 9457) besides."
    ),
    paths(messages::post_message, messages::get_message, messages::delete_message),
    tags((name = "messages", description = "Texts by their digest")),
)]
struct Api;

/// The description as text, as `messages openapi` prints and `/openapi.json` serves it.
#[must_use]
pub fn openapi_json() -> String {
    let mut text = Api::openapi().to_pretty_json().expect("the description is plain data");
    text.push('\n');
    text
}
