//! Ids, methods, compression.

use crate::support::{Instance, TAG, request};

#[tokio::test]
async fn an_answer_is_compressed_where_it_is_asked_and_pays() {
    let service = Instance::start();
    let get = async |path: &str, encoding: &str| {
        service.send(request("GET", path, &[("accept-encoding", encoding)])).await
    };
    let packed = get("/text", "br;q=1, gzip;q=0.5").await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(packed.header("etag"), format!("W/{TAG}"));
    assert!(packed.body.len() < 1000, "{}", packed.body.len());
    for plain in [
        service.get("/text").await,
        get("/text", "br").await,
        get("/text", "gzip;q=0").await,
        get("/short", "gzip").await,
    ] {
        assert_eq!(plain.header("content-encoding"), "");
        assert_eq!(plain.header("etag"), TAG);
        assert!(plain.body.starts_with(b"many words") || plain.body.starts_with(b"few words"));
    }
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
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
}

#[tokio::test]
async fn each_usual_method_is_counted_as_itself_and_the_others_as_one() {
    let service = Instance::start();
    for method in ["PUT", "PATCH", "DELETE", "PROPFIND", "MKCOL"] {
        service.send(request(method, "/body", &[])).await;
    }
    let metrics = service.metrics().await;
    for (method, status, count) in [("PUT", 200, 1), ("PATCH", 200, 1), ("DELETE", 405, 1), ("OTHER", 405, 2)]
    {
        let line = format!(
            "http_request_duration_seconds_count{{method=\"{method}\",route=\"/body\",status=\"{status}\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "{line} is missing in {metrics}");
    }
}
