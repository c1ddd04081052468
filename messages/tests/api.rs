//! What requests are answered, by the router without a socket.

mod support;

use axum::body::Body;
use chassis::testing::Answer;
use http::Request;
use messages::digest::Digest;
use serde_json::json;
use support::{FOO, Instance, expect_problem};

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn a_message_is_stored_once_read_and_deleted_once() {
    let service = Instance::start(&[]).await;
    let path = format!("/messages/{FOO}");
    let digest = format!("{{\"digest\":\"{FOO}\"}}");
    let missing = format!("{{\"err_msg\":\"Message not found for hash: {FOO}\"}}");
    service.get(&path).await.expect_json(404, &missing);
    let created = service.post(r#"{"message":"foo"}"#).await.expect_json(201, &digest);
    assert_eq!(created.header("location"), path);
    service.post(r#" { "other": [1, {}], "message" : "f\u006fo" } "#).await.expect_json(200, &digest);
    service.get(&path).await.expect_json(200, r#"{"message":"foo"}"#);
    service.delete(&path).await.expect_json(200, &format!("{{\"message_deleted\":\"{FOO}\"}}"));
    service.delete(&path).await.expect_json(404, &missing);
    service.get(&path).await.expect_json(404, &missing);
    service.post(r#"{"message":"foo"}"#).await.expect_json(201, &digest);
}

#[tokio::test]
async fn what_is_no_digest_is_not_found_and_named() {
    let service = Instance::start(&[]).await;
    service.post(r#"{"message":"foo"}"#).await;
    for (path, named) in [
        ("2c26", "2c26"),
        (&*FOO.to_uppercase(), &*FOO.to_uppercase()),
        (&format!("{FOO}0"), &format!("{FOO}0")),
        ("gr%C3%B6%C3%9Fer%22", r#"größer\""#),
        ("%2e%2e%2fmessages", "../messages"),
        ("%00", r"\u0000"),
    ] {
        let body = format!("{{\"err_msg\":\"Message not found for hash: {named}\"}}");
        service.get(&format!("/messages/{path}")).await.expect_json(404, &body);
        service.delete(&format!("/messages/{path}")).await.expect_json(404, &body);
    }
    expect_problem(service.get("/messages/%ff").await, 400);
}

/// Any text comes back as it was sent, however it was escaped; the digest is of its UTF-8 bytes.
#[tokio::test]
async fn any_text_comes_back_byte_for_byte() {
    let service = Instance::start(&[]).await;
    for (sent, text) in [
        (r#""""#, ""),
        (r#""größer 🚢 \ud83d\udea2 \u00e9 e\u0301""#, "größer 🚢 🚢 é e\u{301}"),
        (r#""\u0000\b\f\n\r\t\"\\\/""#, "\0\u{8}\u{c}\n\r\t\"\\/"),
        (r#"" leading, trailing ""#, " leading, trailing "),
        ("\"\u{feff}\u{202e}\u{fffe}\u{10ffff}\u{7f}\"", "\u{feff}\u{202e}\u{fffe}\u{10ffff}\u{7f}"),
        (r#""</script>' OR 1=1; --""#, "</script>' OR 1=1; --"),
    ] {
        let digest = Digest::of(text.as_bytes());
        let stored = service.post(format!("{{\"message\":{sent}}}")).await;
        stored.expect_json(201, &format!("{{\"digest\":\"{digest}\"}}"));
        let answer = service.get(&format!("/messages/{digest}")).await;
        assert_eq!(answer.json(), json!({"message": text}), "{answer}");
    }
    assert_eq!(Digest::of(b"").to_string(), EMPTY);
}

#[tokio::test]
async fn what_is_no_message_is_refused_and_the_error_says_why() {
    let service = Instance::start(&[]).await;
    for body in [
        &b""[..],
        b" ",
        b"foo",
        b"{",
        b"{}",
        b"[]",
        b"[\"foo\"]",
        b"null",
        b"\"foo\"",
        b"{\"message\"}",
        b"{\"message\":}",
        b"{\"message\":\"foo\"",
        b"{\"message\":\"foo\"}}",
        b"{\"message\":\"foo\"} x",
        b"{\"message\":\"foo\",}",
        b"{\"message\":'foo'}",
        b"{message:\"foo\"}",
        b"{\"Message\":\"foo\"}",
        b"{\"message\":null}",
        b"{\"message\":3}",
        b"{\"message\":true}",
        b"{\"message\":[\"foo\"]}",
        b"{\"message\":{\"message\":\"foo\"}}",
        b"{\"message\":\"foo\",\"message\":\"bar\"}",
        b"{\"message\":\"a\nb\"}",
        b"{\"message\":\"\x00\"}",
        b"{\"message\":\"\\x41\"}",
        b"{\"message\":\"\\u12\"}",
        b"{\"message\":\"\\ud800\"}",
        b"{\"message\":\"\\udc00\"}",
        b"{\"message\":\"\\ud800x\"}",
        b"{\"message\":\"\\ud800\\ud800\"}",
        b"{\"message\":\"\xff\"}",
        b"{\"message\":\"\xed\xa0\x80\"}",
        b"{\"message\":\"\xc0\xaf\"}",
        b"\xef\xbb\xbf{\"message\":\"foo\"}",
        b"\xff\xfe{\x00}\x00",
    ] {
        let answer = service.post(body).await;
        assert_eq!(answer.status, 400, "{:?}: {answer}", String::from_utf8_lossy(body));
        expect_problem(answer, 400);
    }
    // A text that nests deeper than anybody's stack.
    let deep = format!("{{\"message\":{}", "[".repeat(200_000));
    expect_problem(service.post(deep).await, 400);
}

#[tokio::test]
async fn other_media_types_are_refused() {
    let service = Instance::start(&[]).await;
    let post = async |media_type: Option<&str>| -> Answer {
        let mut request = Request::post("/messages");
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        service.send(request.body(Body::from(r#"{"message":"foo"}"#)).unwrap()).await
    };
    for wrong in [None, Some(""), Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("json")]
    {
        expect_problem(post(wrong).await, 415);
    }
    for right in ["application/json", "Application/JSON", "application/json; charset=utf-8"] {
        let status = post(Some(right)).await.status;
        assert!(status == 201 || status == 200, "{right}: {status}");
    }
}

#[tokio::test]
async fn a_message_of_the_limit_is_taken_and_one_byte_more_is_not() {
    let service = Instance::start(&[]).await;
    let limit = 1 << 20;
    let message = |text: &str| format!("{{\"message\":\"{text}\"}}");
    for (text, bytes) in [("x", 1), ("é", 2), (r"\u0000", 1), (r"\u00e8", 2)] {
        service.post(message(&text.repeat(limit / bytes))).await.expect(201);
        let more = message(&(text.repeat(limit / bytes) + "y"));
        let problem = expect_problem(service.post(more).await, 413);
        assert!(problem["detail"].as_str().unwrap().contains("1048576"), "{problem}");
    }
    // Sent in pieces, so that no length is declared.
    let piece = bytes::Bytes::from(vec![b' '; 1 << 20]);
    let pieces = (0..7).map(move |_| Ok::<_, std::convert::Infallible>(piece.clone()));
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    expect_problem(service.post(body).await, 413);
    let small = Instance::start(&[("MESSAGES__API__MESSAGE_LIMIT_BYTES", "3")]).await;
    small.post(message("foo")).await.expect(201);
    expect_problem(small.post(message("fooo")).await, 413);
}

#[tokio::test]
async fn every_other_error_has_an_err_msg_too() {
    let service = Instance::start(&[]).await;
    expect_problem(service.get("/").await, 404);
    expect_problem(service.get("/messages/").await, 404);
    expect_problem(service.get("/messages/a/b").await, 404);
    let refused = service.get("/messages").await;
    assert_eq!(refused.header("allow"), "POST", "{refused}");
    expect_problem(refused, 405);
    let put = Request::put(format!("/messages/{FOO}")).body(Body::empty()).unwrap();
    expect_problem(service.send(put).await, 405);
    let away = Instance::without_redis().await;
    expect_problem(away.get(&format!("/messages/{FOO}")).await, 503);
    expect_problem(away.delete(&format!("/messages/{FOO}")).await, 503);
    let refused = away.post(r#"{"message":"foo"}"#).await;
    assert_eq!(refused.header("retry-after"), "1", "{refused}");
    let problem = expect_problem(refused, 503).to_string();
    assert!(!problem.contains("127.0.0.1") && !problem.to_lowercase().contains("redis"), "{problem}");
    expect_problem(away.get("/readyz").await, 503);
    assert_eq!(away.get("/healthz").await.status, 200);
    // What is no digest is not asked for.
    assert_eq!(away.get("/messages/x").await.status, 404);
}

#[tokio::test]
async fn the_description_names_every_route() {
    let service = Instance::start(&[]).await;
    let description = service.get("/openapi.json").await.json();
    let paths: Vec<_> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, methods)| (path.as_str(), methods.as_object().unwrap().keys().collect::<Vec<_>>()))
        .collect();
    assert_eq!(
        format!("{paths:?}"),
        r#"[("/messages", ["post"]), ("/messages/{digest}", ["delete", "get"])]"#
    );
}

#[test]
fn the_table_of_settings_is_the_code() {
    let table = chassis::settings::markdown::<messages::settings::Settings>();
    let is_current = include_str!("../../docs/settings.md").contains(&table);
    assert!(is_current, "docs/settings.md is outdated: run `make settings`");
}
