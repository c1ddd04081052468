//! What the edge does to requests of any service.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chassis::{
    edge::{Edge, Edged, Limits},
    health::{self, Readiness},
    metrics::{RequestLabels, RequestMetrics},
    server::ServerSettings,
};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::ServiceExt;

const TAG: &str = "\"exact\"";

/// A service whose requests may take a second, have ten bytes and come one at a time.
struct Service {
    router: Edged,
    metrics: RequestMetrics,
    /// `/wait` says here that it waits, and goes on when it is told to.
    waiting: Arc<Notify>,
    go_on: Arc<Notify>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Service {
    fn start() -> Self {
        Self::with(|edge| edge, "")
    }

    fn with(configure: impl FnOnce(Edge) -> Edge, cors_origins: &str) -> Self {
        let settings: ServerSettings = serde_json::from_value(json!({
            "host": "127.0.0.1", "port": 0, "metrics_host": "127.0.0.1", "metrics_port": 0,
            "tls_certificate_file": "", "tls_key_file": "",
            "request_timeout_seconds": 1.0, "drain_seconds": 2.0, "idle_seconds": 1.0,
            "concurrency": 1, "body_limit_bytes": 10, "trusted_proxies": 0, "cors_origins": cors_origins,
        }))
        .unwrap();
        let metrics = RequestMetrics::register(&mut Registry::default(), "test", "0");
        let (waiting, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (says, hears) = (Arc::clone(&waiting), Arc::clone(&go_on));
        let wait = async move || {
            says.notify_one();
            hears.notified().await;
        };
        let routes = Router::new()
            .route("/text", get(async || ([(header::ETAG, TAG)], "many words ".repeat(1000))))
            .route("/short", get(async || ([(header::ETAG, TAG)], "few words ".repeat(50))))
            .route("/panic", get(async || -> () { panic!("the secret of {}", "the handler") }))
            .route("/slow", get(std::future::pending::<()>))
            .route("/patient", get(async || tokio::time::sleep(Duration::from_millis(1200)).await))
            .route("/wait", get(wait))
            .route("/body", post(async |body: Bytes| body));
        let patient = Limits { timeout: Duration::from_secs(5), body_bytes: 10 };
        let readiness = Readiness::new(Duration::from_secs(1), async || Ok(()));
        let edge = Edge::new(&settings, false, metrics.clone()).except("/patient", patient);
        let edged = configure(edge).around(routes, health::router(readiness));
        Self { router: edged, metrics, waiting, go_on }
    }

    async fn send(&self, request: Request) -> Answer {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }
}

impl Answer {
    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as a problem of this status that names the request.
    #[track_caller]
    fn expect_problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status);
        assert_eq!(self.header(header::CONTENT_TYPE), "application/problem+json");
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"], self.header("x-request-id"));
        body
    }
}

#[tokio::test]
async fn what_takes_too_long_is_cut_unless_its_route_may() {
    let service = Service::start();
    let answer = tokio::time::timeout(Duration::from_secs(10), service.get("/slow")).await.expect("cut");
    answer.expect_problem(503);
    assert_eq!(answer.header(header::RETRY_AFTER), "1");
    assert_eq!(service.get("/patient").await.status, 200);
}

#[tokio::test]
async fn a_panic_is_a_problem_that_does_not_tell_why() {
    let service = Service::start();
    let body = service.get("/panic").await.expect_problem(500);
    assert!(!body.to_string().contains("secret"), "{body}");
    assert_eq!(service.get("/text").await.status, 200, "and the place that it took is free again");
}

#[tokio::test]
async fn past_the_concurrency_requests_are_refused_and_health_is_not() {
    let service = Service::start();
    let (first, ()) = tokio::join!(service.get("/wait"), async {
        service.waiting.notified().await;
        let refused = service.get("/text").await;
        refused.expect_problem(503);
        assert_eq!(refused.header(header::RETRY_AFTER), "1");
        assert_eq!(service.get("/healthz").await.status, 200);
        assert_eq!(service.get("/readyz").await.status, 200);
        assert_eq!(service.metrics.shed.get(), 1);
        service.go_on.notify_one();
    });
    assert_eq!(first.status, 200);
    assert_eq!(service.get("/text").await.status, 200);
    assert_eq!(service.metrics.in_flight.get(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let service = Service::start();
    let waiting = service.waiting.notified();
    tokio::select! {
        _ = service.get("/wait") => unreachable!("nobody tells it to go on"),
        () = waiting => {}
    }
    assert_eq!(service.get("/text").await.status, 200);
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_whether_declared_or_not() {
    let service = Service::start();
    let post = async |bytes: usize, declared: bool| {
        let mut request = Request::post("/body");
        if declared {
            request = request.header(header::CONTENT_LENGTH, bytes);
        }
        service.send(request.body(Body::from("x".repeat(bytes))).unwrap()).await
    };
    for declared in [true, false] {
        assert_eq!(post(10, declared).await.body, "xxxxxxxxxx");
        assert_eq!(post(11, declared).await.status, 413, "declared: {declared}");
    }
    post(11, true).await.expect_problem(413);
}

#[tokio::test]
async fn an_answer_is_compressed_where_it_is_asked_and_pays() {
    let service = Service::start();
    let get = async |path: &str, encoding: &str| {
        let request = Request::get(path).header(header::ACCEPT_ENCODING, encoding);
        service.send(request.body(Body::empty()).unwrap()).await
    };
    let packed = get("/text", "br;q=1, gzip;q=0.5").await;
    assert_eq!(packed.header(header::CONTENT_ENCODING), "gzip");
    assert_eq!(packed.header(header::ETAG), format!("W/{TAG}"));
    assert!(packed.body.len() < 1000, "{}", packed.body.len());
    for plain in [
        service.get("/text").await,
        get("/text", "br").await,
        get("/text", "gzip;q=0").await,
        get("/short", "gzip").await,
    ] {
        assert_eq!(plain.header(header::CONTENT_ENCODING), "");
        assert_eq!(plain.header(header::ETAG), TAG);
        assert!(plain.body.starts_with(b"many words") || plain.body.starts_with(b"few words"));
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let service = Service::start();
    let head = service.send(Request::head("/text").body(Body::empty()).unwrap()).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header(header::CONTENT_LENGTH), "11000");
    assert_eq!(head.header(header::ETAG), TAG);
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn the_id_of_a_request_is_given_back_or_made() {
    let service = Service::start();
    let request = Request::get("/text").header("x-request-id", "mine").body(Body::empty()).unwrap();
    assert_eq!(service.send(request).await.header("x-request-id"), "mine");
    let (one, other) = (service.get("/text").await, service.get("/text").await);
    assert_eq!(one.header("x-request-id").len(), 32);
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
}

/// Has an answer for `/short` without a query.
fn at_once(request: &Request) -> Option<Response> {
    match request.uri().query() {
        None => Some("at once".into_response()),
        Some("panic") => panic!("while it looks"),
        Some(_) => None,
    }
}

#[tokio::test]
async fn what_is_tried_first_passes_the_edge_like_everything() {
    let service = Service::with(|edge| edge.try_first("/short", at_once), "");
    let answer = service.get("/short").await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b"at once"[..]));
    assert_eq!(answer.header("x-request-id").len(), 32);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let mut metrics = String::new();
    let labels = RequestLabels { method: "GET", route: "/short".into(), status: 200 };
    let mut registry = Registry::default();
    registry.register("seconds", "", service.metrics.seconds.get_or_create(&labels).clone());
    prometheus_client::encoding::text::encode(&mut metrics, &registry).unwrap();
    assert!(metrics.contains("seconds_count 1"), "{metrics}");

    let (first, refused) = tokio::join!(service.get("/wait"), async {
        service.waiting.notified().await;
        let refused = service.get("/short").await;
        service.go_on.notify_one();
        refused
    });
    assert_eq!(first.status, 200);
    refused.expect_problem(503);
    assert_eq!(service.metrics.in_flight.get(), 0);
}

#[tokio::test]
async fn what_is_not_there_at_once_is_routed() {
    let service = Service::with(|edge| edge.try_first("/short", at_once), "");
    let request =
        |method: &str, path: &str| Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    for (method, path) in [("GET", "/short?x"), ("GET", "/short?panic"), ("HEAD", "/short"), ("GET", "/text")]
    {
        let answer = service.send(request(method, path)).await;
        assert_eq!((answer.status, answer.header(header::ETAG)), (StatusCode::OK, TAG), "{method} {path}");
    }
    assert_eq!(service.send(request("POST", "/short")).await.status, 405);

    let other_origins = Service::with(|edge| edge.try_first("/short", at_once), "https://example.com");
    let request = Request::get("/short").header(header::ORIGIN, "https://example.com").body(Body::empty());
    let answer = other_origins.send(request.unwrap()).await;
    assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "https://example.com");
}
