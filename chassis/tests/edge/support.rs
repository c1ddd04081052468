//! A service for tests: a request may take a second, its body may have ten bytes, and one is answered at a time.

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{StatusCode, header},
    routing::{get, post},
};
use chassis::{
    Configuration, Context, Exit, Failure, NoCommand, Parts, Problem, Service,
    compression::CompressibleBody,
    edge::{EdgeOptions, Limits},
    health::Readiness,
    problem::FieldError,
    settings::{Fault, Flat, Settings, ShellSettings},
    testing::Client,
};
use prometheus_client::registry::Registry;
use serde::Deserialize;
use tokio::sync::{Notify, mpsc};
use utoipa::openapi::OpenApi;

pub const TAG: &str = "\"exact\"";

pub struct Sample;

#[derive(Clone, Deserialize)]
pub struct NoSettings {}

impl Settings for NoSettings {
    const DEFAULTS: &'static [&'static str] = &["
        [server]
        request_timeout_seconds = 1.0
        drain_seconds = 2.0
        concurrency = 1
        body_limit_bytes = 10
        [logs]
        folder = 'kept in memory'
    "];
    const FLAT: &'static [&'static [Flat]] = &[];

    fn faults(&self, _: &ShellSettings) -> Vec<Fault> {
        Vec::new()
    }
}

impl Service for Sample {
    const NAME: &'static str = "sample";
    const ABOUT: &'static str = "For tests";
    type Settings = NoSettings;
    type Command = NoCommand;

    fn openapi() -> OpenApi {
        OpenApi::default()
    }

    async fn build(_: Context<'_, Self>) -> Result<Parts, Failure> {
        unreachable!("the tests build the parts themselves")
    }

    async fn run(command: NoCommand, _: &Configuration<Self>) -> Result<Exit, Failure> {
        match command {}
    }
}

/// A client, and what the routes wait for.
pub struct Instance {
    client: Client,
    /// `/wait` says here that it waits, and goes on at [`Self::go_on`].
    pub waiting: Arc<Notify>,
    pub go_on: Arc<Notify>,
    /// The pieces of the body of `/stream`, which ends when this is dropped.
    pub pieces: Option<mpsc::UnboundedSender<Bytes>>,
}

impl Instance {
    pub fn start() -> Self {
        Self::with(EdgeOptions::default(), &[])
    }

    pub fn with(options: EdgeOptions, variables: &[(&str, &str)]) -> Self {
        let (waiting, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (pieces, receiver) = mpsc::unbounded_channel();
        let routes = routes(Arc::clone(&waiting), Arc::clone(&go_on), receiver);
        let patient = Limits { timeout: Duration::from_secs(5), body_bytes: 10 };
        let readiness = Readiness::new(Duration::from_secs(1), async || Ok(()));
        let parts = Parts::new(routes, readiness).edge(options.limits("/patient", patient));
        let shell = chassis::testing::settings::<Sample>(variables).shell;
        let client = Client::new::<Sample>(parts, &shell, Registry::default());
        Self { client, waiting, go_on, pieces: Some(pieces) }
    }

    /// How many requests are in flight, as the metrics say.
    pub async fn in_flight(&self) -> u32 {
        let metrics = self.metrics().await;
        let value = metrics.lines().find_map(|line| line.strip_prefix("http_requests_in_flight "));
        value.unwrap().parse().unwrap()
    }
}

impl Deref for Instance {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

fn routes(waiting: Arc<Notify>, go_on: Arc<Notify>, receiver: mpsc::UnboundedReceiver<Bytes>) -> Router {
    let wait = async move || {
        waiting.notify_one();
        go_on.notified().await;
    };
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let stream = async move || {
        let mut receiver = receiver.lock().unwrap().take().unwrap();
        let next = move |context: &mut std::task::Context<'_>| receiver.poll_recv(context);
        Body::from_stream(futures_util::StreamExt::map(futures_util::stream::poll_fn(next), Ok::<_, Failure>))
    };
    let wrong = || {
        let errors = ["a", "b"].map(|field| FieldError::new(field, "missing", format!("{field} is missing")));
        Problem::invalid_parameters(errors.into())
    };
    let many_faults = || {
        let fault = |number| FieldError::new(format!("field {number}"), "missing", "it is missing");
        Problem::invalid_parameters((0..100).map(fault).collect())
    };
    let text = [(header::CONTENT_TYPE, "text/plain")];
    let kept = CompressibleBody::from("many words ".repeat(1000));
    let typed = |media_type: &'static str| {
        get(async move || ([(header::CONTENT_TYPE, media_type), (header::ETAG, TAG)], "x".repeat(2000)))
    };
    Router::new()
        .route("/text", get(async || ([(header::ETAG, TAG)], "many words ".repeat(1000))))
        .route("/short", get(async || ([(header::ETAG, TAG)], "few words ".repeat(50))))
        .route("/long", get(async || ([(header::ETAG, TAG)], "many words ".repeat(2000))))
        .route("/kept", get(async move || ([(header::ETAG, TAG)], text, kept.clone())))
        .route("/picture", typed("image/png"))
        .route(
            "/coded",
            get(async || ([(header::CONTENT_ENCODING, "x"), (header::ETAG, TAG)], "x".repeat(2000))),
        )
        .route(
            "/final",
            get(async || {
                ([(header::CACHE_CONTROL, "private, no-transform"), (header::ETAG, TAG)], "x".repeat(2000))
            }),
        )
        .route("/not-modified", get(async || (StatusCode::NOT_MODIFIED, [(header::ETAG, TAG)])))
        .route("/logs", get(async || tracing::info!("the handler is at work")))
        .route("/many-faults", get(async move || many_faults()))
        .route("/panic", get(async || -> () { panic!("the secret of {}", "the handler") }))
        .route("/slow", get(std::future::pending::<()>))
        .route("/patient", get(async || tokio::time::sleep(Duration::from_millis(1200)).await))
        .route("/wait", get(wait))
        .route("/stream", get(stream))
        .route("/wrong", get(async move || wrong()))
        .route("/body", post(async |body: Bytes| body).put(async || "put").patch(async || "patched"))
}

/// A request with these headers and no body.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).unwrap()
}
