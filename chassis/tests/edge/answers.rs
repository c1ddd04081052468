//! Ids, methods, compression.

use std::io::Read;

use chassis::testing::Answer;

use crate::support::{Instance, TAG, request};

/// The body without its coding.
fn decoded(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut body = answer.body.as_slice();
    match answer.header("content-encoding") {
        "gzip" => drop(flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap()),
        "zstd" => zstd::stream::copy_decode(body, &mut plain).unwrap(),
        "br" => brotli::BrotliDecompress(&mut body, &mut plain).unwrap(),
        other => assert_eq!(other, ""),
    }
    plain
}

#[tokio::test]
async fn an_answer_is_compressed_where_it_is_asked_and_pays() {
    let service = Instance::start();
    let get = async |path: &str, encoding: &str| {
        service.send(request("GET", path, &[("accept-encoding", encoding)])).await.expect(200)
    };
    // Twice: made, and then kept.
    for path in ["/text", "/long", "/kept", "/kept"] {
        for (encodings, expected) in [
            ("gzip, deflate, br, zstd", "zstd"),
            ("br, zstd;q=0.5", "br"),
            ("br;q=0.5, gzip, zstd;q=0.1", "gzip"),
        ] {
            let packed = get(path, encodings).await;
            assert_eq!(packed.header("content-encoding"), expected, "{path}");
            assert_eq!(packed.header("etag"), format!("W/{TAG}"));
            assert_eq!(packed.header("vary"), "accept-encoding");
            assert!(packed.body.len() < 1000, "{path} {expected}: {}", packed.body.len());
            assert_eq!(decoded(&packed), service.get(path).await.body, "{path} {expected}");
        }
    }
    for plain in [service.get("/text").await, get("/text", "gzip;q=0").await, get("/text", "deflate").await] {
        assert_eq!((plain.header("content-encoding"), plain.header("etag")), ("", TAG));
        assert_eq!(plain.header("vary"), "accept-encoding", "the plain form is one of several too");
        assert!(plain.body.starts_with(b"many words"));
    }
    for path in ["/short", "/picture", "/coded", "/final"] {
        let plain = get(path, "gzip").await;
        assert_eq!((plain.header("etag"), plain.header("vary")), (TAG, ""), "{path}");
    }
    let log = service.access_log();
    assert!(log.lines().all(|line| !line.contains("\" 200 0 ")), "the bytes that were sent: {log}");
    assert_eq!(service.in_flight().await, 0);
}

#[tokio::test]
async fn a_client_that_has_the_answer_is_told_so_by_the_tag_of_its_form() {
    let service = Instance::start();
    for (encodings, tag) in [("", TAG.to_owned()), ("br", format!("W/{TAG}"))] {
        let answer = service
            .send(request("GET", "/not-modified", &[("accept-encoding", encodings)]))
            .await
            .expect(304);
        assert_eq!((answer.header("etag"), answer.header("vary")), (&*tag, "accept-encoding"));
    }
}

#[tokio::test]
async fn errors_are_compressed_too() {
    let service = Instance::start();
    let answer =
        service.send(request("GET", "/many-faults", &[("accept-encoding", "gzip")])).await.expect(400);
    assert_eq!(answer.header("content-encoding"), "gzip");
    let body: serde_json::Value = serde_json::from_slice(&decoded(&answer)).unwrap();
    assert_eq!(body["errors"].as_array().unwrap().len(), 20, "no more are listed");
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let service = Instance::start();
    let head = service.send(request("HEAD", "/text", &[])).await.expect(200);
    assert_eq!(head.header("content-length"), "11000");
    assert_eq!(head.header("etag"), TAG);
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn the_id_of_a_request_is_given_back_or_made() {
    let service = Instance::start();
    let with_id = request("GET", "/text", &[("x-request-id", "mine")]);
    assert_eq!(service.send(with_id).await.header("x-request-id"), "mine");
    let (one, other) = (service.get("/text").await, service.get("/text").await);
    assert_eq!(one.header("x-request-id").len(), 32);
    assert_ne!(one.header("x-request-id")[1..], other.header("x-request-id")[1..]);
}

#[tokio::test]
async fn each_usual_method_is_counted_as_itself_and_the_others_as_one() {
    let service = Instance::start();
    for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL"] {
        service.send(request(method, "/body", &[])).await;
    }
    let metrics = service.metrics().await;
    for (method, status, count) in [
        ("HEAD", 405, 1),
        ("POST", 200, 1),
        ("PUT", 200, 1),
        ("PATCH", 200, 1),
        ("DELETE", 405, 1),
        ("OPTIONS", 405, 1),
        ("OTHER", 405, 2),
    ] {
        let line = format!(
            "http_request_duration_seconds_count{{method=\"{method}\",route=\"/body\",status=\"{status}\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "{line} is missing in {metrics}");
    }
}

#[tokio::test]
async fn browsers_keep_to_https_where_the_load_balancer_speaks_it() {
    let service = Instance::start();
    for (scheme, expected) in [("https", "max-age=31536000"), ("http", ""), ("", "")] {
        let answer =
            service.send(request("GET", "/text", &[("x-forwarded-proto", scheme)])).await.expect(200);
        assert_eq!(answer.header("strict-transport-security"), expected, "{scheme}");
    }
}
