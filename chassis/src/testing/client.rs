//! Requests without a socket.

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, header};
use prometheus_client::registry::Registry;
use tower::ServiceExt;

use super::Answer;
use crate::{
    Context, Parts, Role, Service, Stop, VERSION,
    edge::Edged,
    logfile::LogWriter,
    metrics::{self, RequestMetrics},
    process,
    settings::ShellSettings,
};

/// A client of a service's routes, with the edge around them; cheap to clone.
#[derive(Clone)]
pub struct Client {
    routes: Edged,
    metrics: axum::Router,
    access_log: LogWriter,
    stop: Stop,
}

impl Client {
    /// A client of a whole service, built with these variables. Its background tasks do not run.
    pub async fn start<S: Service>(variables: &[(&str, &str)]) -> Self {
        let loaded = super::settings::<S>(variables);
        let (mut registry, stop) = (Registry::default(), Stop::default());
        let context = Context {
            settings: &loaded.service,
            shell: &loaded.shell,
            role: Role::Serve,
            registry: &mut registry,
            stop: &stop,
        };
        let parts = S::build(context).await.unwrap_or_else(|failure| panic!("{failure}"));
        Self::with_stop::<S>(parts, &loaded.shell, registry, stop)
    }

    /// A client of these parts. `registry` holds the service's own metrics.
    #[must_use]
    pub fn new<S: Service>(parts: Parts, shell: &ShellSettings, registry: Registry) -> Self {
        Self::with_stop::<S>(parts, shell, registry, Stop::default())
    }

    fn with_stop<S: Service>(
        parts: Parts,
        shell: &ShellSettings,
        mut registry: Registry,
        stop: Stop,
    ) -> Self {
        let request_metrics = RequestMetrics::register(&mut registry, S::NAME, VERSION);
        // As in a process: only where the settings name a folder. The lines stay in memory.
        let has_log = !shell.logs.folder.as_os_str().is_empty();
        let access_log = LogWriter::default();
        let log = has_log.then(|| access_log.clone());
        let routes = process::assemble::<S>(parts, shell, &stop, request_metrics, log);
        Self { routes, metrics: metrics::router(registry), access_log, stop }
    }

    /// Sends a GET.
    pub async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).expect("a request")).await
    }

    /// Sends a request.
    pub async fn send(&self, request: Request) -> Answer {
        let sent = format!("{} {}", request.method(), request.uri());
        let (head, body) = self.open(request).await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body").to_vec();
        Answer { request: sent, status: head.status, headers: head.headers, body }
    }

    /// Sends a request and leaves the reading of the body to the caller.
    pub async fn open(&self, mut request: Request) -> Response {
        // As every client over HTTP/1.1 does.
        request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("test"));
        let Ok(response) = self.routes.clone().oneshot(request).await;
        response
    }

    /// The lines of the access log. Kept where the settings name a folder of log files, which is not used.
    #[must_use]
    pub fn access_log(&self) -> String {
        self.access_log.text()
    }

    /// Lets a stop begin, as SIGTERM does.
    pub fn stop(&self) {
        self.stop.begin();
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> String {
        let request = Request::get("/metrics").body(Body::empty()).expect("a request");
        let Ok(response) = self.metrics.clone().oneshot(request).await;
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a whole body");
        String::from_utf8_lossy(&body).into_owned()
    }
}
