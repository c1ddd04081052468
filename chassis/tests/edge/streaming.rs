//! Answers that are sent piece by piece.

use std::time::{Duration, Instant};

use axum::body::{Bytes, to_bytes};
use futures_util::StreamExt;

use crate::support::{Instance, request};

#[tokio::test]
async fn a_streamed_body_is_in_flight_until_it_has_ended_and_its_bytes_are_logged() {
    let mut service = Instance::start();
    let response = service.open(request("GET", "/stream", &[("user-agent", "reader")])).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body().into_data_stream();
    let pieces = service.pieces.take().unwrap();
    pieces.send(Bytes::from_static(b"first ")).unwrap();
    assert_eq!(body.next().await.unwrap().unwrap(), "first ");
    assert_eq!(service.in_flight().await, 1);
    // The only place is taken.
    service.get("/text").await.expect_problem(503, &[]);
    assert!(!service.access_log().contains("/stream"), "{}", service.access_log());

    pieces.send(Bytes::from_static(b"second")).unwrap();
    drop(pieces);
    assert_eq!(body.next().await.unwrap().unwrap(), "second");
    assert!(body.next().await.is_none());
    assert_eq!(service.in_flight().await, 0);
    let log = service.access_log();
    assert!(log.ends_with("\"GET /stream HTTP/1.1\" 200 12 \"-\" \"reader\"\n"), "{log}");
    service.get("/text").await.expect(200);
    assert!(service.access_log().contains("\"GET /text HTTP/1.1\" 200 11000 "), "{}", service.access_log());
}

#[tokio::test]
async fn a_streamed_body_is_cut_at_the_time_limit() {
    let service = Instance::start();
    let started = Instant::now();
    let body = service.open(request("GET", "/stream", &[])).await.into_body();
    service.pieces.as_ref().unwrap().send(Bytes::from_static(b"piece")).unwrap();
    let read = tokio::time::timeout(Duration::from_secs(10), to_bytes(body, 100)).await.expect("cut");
    assert!(read.is_err(), "a body that was cut must not look whole");
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(service.in_flight().await, 0);
    assert!(service.access_log().contains("\"GET /stream HTTP/1.1\" 200 5 "), "{}", service.access_log());
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_frees_its_place() {
    let service = Instance::start();
    let mut body = service.open(request("GET", "/stream", &[])).await.into_body().into_data_stream();
    service.pieces.as_ref().unwrap().send(Bytes::from_static(b"piece")).unwrap();
    body.next().await.unwrap().unwrap();
    drop(body);
    assert_eq!(service.in_flight().await, 0);
    assert!(service.access_log().contains("\"GET /stream HTTP/1.1\" 200 5 "), "{}", service.access_log());
}

#[tokio::test]
async fn the_bytes_of_a_compressed_answer_are_those_that_were_sent() {
    let service = Instance::start();
    let sent = service.send(request("GET", "/text", &[("accept-encoding", "gzip")])).await.body.len();
    let line = format!("\"GET /text HTTP/1.1\" 200 {sent} ");
    assert!(sent < 1000 && service.access_log().contains(&line), "{sent}: {}", service.access_log());
    service.send(request("HEAD", "/text", &[])).await.expect(200);
    assert!(service.access_log().contains("\"HEAD /text HTTP/1.1\" 200 0 "), "{}", service.access_log());
}
