//! Requests without a socket.

use axum::{body::Body, extract::Request};
use prometheus_client::registry::Registry;
use tower::ServiceExt;

use super::Answer;
use crate::{
    Context, Parts, Role, Service, Stop, VERSION,
    edge::Edged,
    metrics::{self, RequestMetrics},
    process,
    settings::ShellSettings,
};

/// A client of a service's routes, with the edge around them; cheap to clone.
#[derive(Clone)]
pub struct Client {
    routes: Edged,
    metrics: axum::Router,
}

impl Client {
    /// A client of a whole service, built with these variables. Its background tasks do not run.
    pub async fn start<S: Service>(variables: &[(&str, &str)]) -> Self {
        let loaded = super::settings::<S>(variables);
        let mut registry = Registry::default();
        let context = Context {
            settings: &loaded.service,
            shell: &loaded.shell,
            role: Role::Serve,
            registry: &mut registry,
            stop: &Stop::default(),
        };
        let parts = S::build(context).await.unwrap_or_else(|failure| panic!("{failure}"));
        Self::new::<S>(parts, &loaded.shell, registry)
    }

    /// A client of these parts. `registry` holds the service's own metrics.
    #[must_use]
    pub fn new<S: Service>(parts: Parts, shell: &ShellSettings, mut registry: Registry) -> Self {
        let request_metrics = RequestMetrics::register(&mut registry, S::NAME, VERSION);
        let routes = process::assemble::<S>(parts, shell, &Stop::default(), request_metrics, None);
        Self { routes, metrics: metrics::router(registry) }
    }

    /// Sends a GET.
    pub async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).expect("a request")).await
    }

    /// Sends a request.
    pub async fn send(&self, request: Request) -> Answer {
        let sent = format!("{} {}", request.method(), request.uri());
        let Ok(response) = self.routes.clone().oneshot(request).await;
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body").to_vec();
        Answer { request: sent, status: head.status, headers: head.headers, body }
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> String {
        let request = Request::get("/metrics").body(Body::empty()).expect("a request");
        let Ok(response) = self.metrics.clone().oneshot(request).await;
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a whole body");
        String::from_utf8_lossy(&body).into_owned()
    }
}
