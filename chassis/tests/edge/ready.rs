//! Answers that are at hand before a request is routed.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use chassis::edge::EdgeOptions;

use crate::support::{Instance, TAG, request};

/// Has an answer for `/short` without a query.
fn at_hand(request: &Request) -> Option<Response> {
    match request.uri().query() {
        None => Some("at hand".into_response()),
        Some("long") => Some("at hand ".repeat(1000).into_response()),
        Some("panic") => panic!("while it looks"),
        Some(_) => None,
    }
}

fn options() -> EdgeOptions {
    EdgeOptions::default().ready("/short", at_hand)
}

#[tokio::test]
async fn a_ready_answer_passes_the_edge_like_every_other() {
    let service = Instance::with(options(), &[]);
    let answer = service.get("/short").await.expect(200);
    assert_eq!(answer.text(), "at hand");
    assert_eq!(answer.header("x-request-id").len(), 32);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let metrics = service.metrics().await;
    let line = "http_request_duration_seconds_count{method=\"GET\",route=\"/short\",status=\"200\"} 1\n";
    assert!(metrics.contains(line), "{metrics}");
    assert!(service.access_log().contains("\"GET /short HTTP/1.1\" 200 7 "), "{}", service.access_log());

    let (first, refused) = tokio::join!(service.get("/wait"), async {
        service.waiting.notified().await;
        let refused = service.get("/short").await;
        service.go_on.notify_one();
        refused
    });
    first.expect(200);
    refused.expect_problem(503, &[]);
    assert_eq!(service.in_flight().await, 0);
}

#[tokio::test]
async fn what_is_not_at_hand_is_routed() {
    let service = Instance::with(options(), &[]);
    for (method, path) in [("GET", "/short?x"), ("GET", "/short?panic"), ("HEAD", "/short"), ("GET", "/text")]
    {
        let answer = service.send(request(method, path, &[])).await.expect(200);
        assert_eq!(answer.header("etag"), TAG, "{method} {path}");
    }
    service.send(request("POST", "/short", &[])).await.expect(405);

    let origin = "https://example.com";
    let other_origins = Instance::with(options(), &[("SAMPLE__SERVER__CORS_ORIGINS", origin)]);
    let answer = other_origins.send(request("GET", "/short", &[("origin", origin)])).await;
    assert_eq!(answer.header("access-control-allow-origin"), origin);
}

#[tokio::test]
async fn a_ready_answer_is_compressed() {
    let service = Instance::with(options(), &[]);
    let asked = request("GET", "/short?long", &[("accept-encoding", "zstd")]);
    let answer = service.send(asked).await.expect(200);
    assert_eq!(answer.header("content-encoding"), "zstd");
    assert_eq!(zstd::decode_all(answer.body.as_slice()).unwrap(), "at hand ".repeat(1000).as_bytes());
    assert_eq!(answer.header("etag"), "", "it was routed");
    assert_eq!(service.in_flight().await, 0);
}
