//! Time, requests in flight, bytes of a body.

use std::time::Duration;

use axum::{body::Body, extract::Request, http::header};

use crate::support::Instance;

#[tokio::test]
async fn what_takes_too_long_is_cut_unless_its_route_may() {
    let service = Instance::start();
    let answer = tokio::time::timeout(Duration::from_secs(10), service.get("/slow")).await.expect("cut");
    assert_eq!(answer.header("retry-after"), "1");
    answer.expect_problem(503, &[]);
    service.get("/patient").await.expect(200);
}

#[tokio::test]
async fn a_panic_is_a_problem_that_does_not_tell_why() {
    let service = Instance::start();
    let body = service.get("/panic").await.expect_problem(500, &[]);
    assert!(!body.to_string().contains("secret"), "{body}");
    // Its place in flight is free again.
    service.get("/text").await.expect(200);
}

#[tokio::test]
async fn past_the_concurrency_requests_are_refused_and_health_is_not() {
    let service = Instance::start();
    let (first, ()) = tokio::join!(service.get("/wait"), async {
        service.waiting.notified().await;
        let refused = service.get("/text").await;
        assert_eq!(refused.header("retry-after"), "1");
        refused.expect_problem(503, &[]);
        service.get("/healthz").await.expect(200);
        service.get("/readyz").await.expect(200);
        let metrics = service.metrics().await;
        assert!(metrics.contains("http_requests_shed_total 1\n"), "{metrics}");
        service.go_on.notify_one();
    });
    first.expect(200);
    service.get("/text").await.expect(200);
    assert_eq!(service.in_flight().await, 0);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let service = Instance::start();
    let waiting = service.waiting.notified();
    tokio::select! {
        _ = service.get("/wait") => unreachable!("nobody tells it to go on"),
        () = waiting => {}
    }
    service.get("/text").await.expect(200);
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_whether_declared_or_not() {
    let service = Instance::start();
    let post = async |bytes: usize, declared: bool| {
        let mut request = Request::post("/body");
        if declared {
            request = request.header(header::CONTENT_LENGTH, bytes);
        }
        service.send(request.body(Body::from("x".repeat(bytes))).unwrap()).await
    };
    for declared in [true, false] {
        assert_eq!(post(10, declared).await.text(), "xxxxxxxxxx");
        assert_eq!(post(11, declared).await.status, 413, "declared: {declared}");
    }
    post(11, true).await.expect_problem(413, &[]);
}

#[tokio::test]
async fn it_is_not_ready_once_a_stop_has_begun() {
    let service = Instance::start();
    service.get("/readyz").await.expect(200);
    service.stop();
    let body = service.get("/readyz").await.expect_problem(503, &[]);
    assert_eq!(body["detail"], "Not ready: the process is stopping.");
    service.get("/healthz").await.expect(200);
    service.get("/text").await.expect(200);
}
