//! The line of a request.

use std::sync::LazyLock;

use chassis::{edge::EdgeOptions, logfile::LogWriter};
use serde_json::Value;

use crate::support::{Instance, request};

/// The log of all tests: a subscriber of one thread would miss lines while others have none.
static LOG: LazyLock<LogWriter> = LazyLock::new(|| {
    let writer = LogWriter::default();
    let lines = writer.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true);
    subscriber.with_writer(move || lines.clone()).init();
    writer
});

const ID: &str = "mine-in-the-log";

/// The lines of requests with this id.
fn lines_of(id: &str) -> Vec<Value> {
    let lines =
        LOG.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    lines.into_iter().filter(|line| line["target"] == "request" && line["request_id"] == id).collect()
}

#[tokio::test]
async fn a_request_has_one_line_and_one_that_failed_says_what_was_asked_and_answered() {
    let service = Instance::with(EdgeOptions::default(), &[("SAMPLE__SERVER__TRUSTED_PROXIES", "1")]);
    LazyLock::force(&LOG);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = [("x-forwarded-for", "192.0.2.7"), ("x-request-id", ID), ("traceparent", &parent)];
    for (path, route, status, message, url, reason, cause) in [
        ("/text?q=1", "/text", 200, "request answered", None, None, None),
        (
            "/wrong?q=1",
            "/wrong",
            400,
            "request answered",
            Some("/wrong?q=1"),
            Some("a is missing; b is missing"),
            None,
        ),
        (
            "/nowhere?q=1",
            "unmatched",
            404,
            "request answered",
            Some("/nowhere?q=1"),
            Some("There is nothing at this path; GET /openapi.json lists what is."),
            None,
        ),
        (
            "/panic",
            "/panic",
            500,
            "request failed",
            Some("/panic"),
            Some("The server failed to answer this request. Report it with the request id."),
            Some("panic: the secret of the handler"),
        ),
        (
            "/slow",
            "/slow",
            503,
            "request refused",
            Some("/slow"),
            Some("The answer took too long."),
            Some("request timeout"),
        ),
    ] {
        service.send(request("GET", path, &headers)).await.expect(status);
        let line = lines_of(ID).pop().unwrap();
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["message"], message, "{line}");
        assert_eq!((&line["method"], &line["route"]), (&"GET".into(), &route.into()), "{line}");
        assert_eq!((&line["request_id"], &line["trace_id"]), (&ID.into(), &trace.into()), "{line}");
        assert!(line["duration_ms"].is_number(), "{line}");
        assert_eq!(line["url"].as_str(), url, "{line}");
        assert_eq!(line["client"].as_str(), url.map(|_| "192.0.2.7"), "{line}");
        assert_eq!(line["reason"].as_str(), reason, "{line}");
        assert_eq!(line["cause"].as_str(), cause, "{line}");
    }
    assert_eq!(lines_of(ID).len(), 5);
}

#[tokio::test]
async fn a_request_whose_client_leaves_before_its_answer_has_a_line_and_is_measured() {
    let service = Instance::start();
    LazyLock::force(&LOG);
    let waiting = service.waiting.notified();
    tokio::select! {
        _ = service.send(request("GET", "/wait?q=1", &[("x-request-id", "left")])) => unreachable!("nobody tells it to go on"),
        () = waiting => {}
    }
    let lines = lines_of("left");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&line["status"], &line["url"]), (&499.into(), &"/wait?q=1".into()), "{line}");
    assert_eq!(line["message"], "request ended without an answer", "{line}");
    let metrics = service.metrics().await;
    let count = "http_request_duration_seconds_count{method=\"GET\",route=\"/wait\",status=\"499\"} 1\n";
    assert!(metrics.contains(count), "{metrics}");
    assert_eq!(service.in_flight().await, 0);
    let log = service.access_log();
    assert!(log.contains("\"GET /wait?q=1 HTTP/1.1\" 499 0 "), "{log}");
}

#[tokio::test]
async fn a_line_has_the_time_that_the_request_took_in_milliseconds() {
    let service = Instance::start();
    LazyLock::force(&LOG);
    service.send(request("GET", "/slow", &[("x-request-id", "slow")])).await.expect(503);
    let took = lines_of("slow")[0]["duration_ms"].as_f64().unwrap();
    assert!((1000.0..10_000.0).contains(&took), "{took}");
}

#[tokio::test]
async fn a_line_that_a_handler_logs_names_its_request() {
    let service = Instance::start();
    LazyLock::force(&LOG);
    service.send(request("GET", "/logs", &[("x-request-id", "logs")])).await.expect(200);
    let log = LOG.text();
    let line = log.lines().find(|line| line.contains("the handler is at work")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let span = &line["span"];
    assert_eq!((&span["request_id"], &span["route"]), (&"logs".into(), &"/logs".into()), "{line}");
}
