//! What requests are answered, by the router without a socket. No worker runs.

mod support;

use std::time::Instant;

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use chassis::testing::{Answer, Client};
use http::Request;
use multivac::Multivac;
use support::{PATIENCE, Place};

struct Instance {
    client: Client,
    place: Place,
}

impl Instance {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let place = Place::file();
        let client = Client::start::<Multivac>(&[&place.variables(), variables].concat()).await;
        Self { client, place }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.client.send(request.body(body.into()).unwrap()).await
    }

    async fn post(&self, media_type: &str, body: impl Into<Body>) -> Answer {
        self.send("POST", "/multivac/data", &[("content-type", media_type)], body).await
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const MULTIPART: &str = "multipart/form-data; boundary=cut";

fn part(name: &str, value: &str) -> String {
    format!("--cut\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

#[track_caller]
fn expect_text(answer: &Answer, status: u16, text: &str) {
    assert_eq!((answer.status.as_u16(), &*answer.text()), (status, text), "{answer}");
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "{answer}");
}

#[tokio::test]
async fn texts_and_paths_are_those_that_clients_know() {
    let service = Instance::start(&[]).await;
    expect_text(&service.client.get("/").await, 200, "Welcome to MultiVAC!");
    for slash in ["", "/"] {
        let answer = service.client.get(&format!("/multivac{slash}")).await;
        expect_text(&answer, 200, "INSUFFICIENT DATA FOR MEANINGFUL ANSWER.");
        let answer = service.send("DELETE", &format!("/multivac/zzz{slash}"), &[], "").await;
        expect_text(&answer, 200, "no such data");
        for method in ["POST", "PUT"] {
            let path = format!("/multivac/data{slash}");
            let answer = service.send(method, &path, &[("content-type", FORM)], "data=fiat+lux").await;
            let answer = answer.expect_json(200, r#"{"response":"MultiVAC updated!"}"#);
            let location = format!("{}{slash}", answer.header("location"));
            assert!(location.starts_with("/multivac/data/"), "{answer}");
            service.client.get(&location).await.expect_any_problem(404);
            expect_text(&service.send("DELETE", &location, &[], "").await, 200, "Deleted!");
            let gone = service.send("DELETE", &location, &[], "").await.expect_any_problem(404);
            assert_eq!(gone["detail"], "no such data");
        }
    }
    assert_eq!(service.client.get("/multivac/data").await.header("allow"), "POST,PUT");
    assert_eq!(service.client.get("/multivac/zzz").await.header("allow"), "DELETE");
}

#[tokio::test]
async fn data_comes_as_any_kind_of_form() {
    let service = Instance::start(&[]).await;
    let mut expected = Vec::new();
    let multipart = part("other", "x") + &part("data", "a\r\nb=ü") + &part("data", "second") + "--cut--\r\n";
    for (media_type, body, text) in [
        (FORM, "data=a%20b+%C3%BC&data=second", "a b ü"),
        ("Application/X-WWW-Form-URLencoded; charset=utf-8", "x=1&data==", "="),
        (JSON, r#" {"other": [1], "data": "größer \u00e9"} "#, "größer é"),
        (MULTIPART, &multipart, "a\r\nb=ü"),
    ] {
        let answer = service.post(media_type, body.to_owned()).await.expect(200);
        let id = answer.header("location").trim_start_matches("/multivac/data/").to_owned();
        expected.push((id, text));
    }
    // The file is this service's own while it lives.
    let Instance { client, place } = service;
    drop(client);
    let backend = place.open().await;
    for (id, text) in expected {
        assert_eq!(backend.queue.find(&id).await.unwrap().unwrap().job.payload, text);
    }
}

#[tokio::test]
async fn what_is_no_data_is_refused_and_named() {
    let service = Instance::start(&[]).await;
    for (media_type, body, code) in [
        (FORM, &b""[..], "missing"),
        (FORM, b"Data=x", "missing"),
        (FORM, b"data=", "empty"),
        (FORM, b"data=%00", "invalid"),
        (FORM, b"data=%ff", "invalid"),
        (JSON, b"{}", "missing"),
        (JSON, b"[\"x\"]", "missing"),
        (JSON, b"\"data\"", "missing"),
        (JSON, b"{\"data\":null}", "missing"),
        (JSON, b"{\"data\":\"\"}", "empty"),
        (JSON, b"{\"data\":1}", "invalid"),
        (JSON, b"{\"data\":[\"x\"]}", "invalid"),
        (JSON, b"{\"data\":\"\\u0000\"}", "invalid"),
        (MULTIPART, part("x", "1").as_bytes(), ""),
        (MULTIPART, (part("x", "1") + "--cut--\r\n").as_bytes(), "missing"),
        (MULTIPART, (part("data", "") + "--cut--\r\n").as_bytes(), "empty"),
        (JSON, b"{\"data\":", ""),
        (JSON, b"{\"data\":\"\xff\"}", ""),
        (JSON, b"{\"data\":\"\\ud800\"}", ""),
        (MULTIPART, b"data=x", ""),
        ("multipart/form-data", b"data=x", ""),
    ] {
        let answer = service.post(media_type, body.to_vec()).await;
        let shown = format!("{media_type} {:?}: {answer}", String::from_utf8_lossy(body));
        assert_eq!(answer.status, 400, "{shown}");
        if code.is_empty() {
            answer.expect_any_problem(400);
        } else {
            let problem = answer.expect_problem(400, &[("data", code)]);
            assert!(problem["detail"].as_str().unwrap().starts_with("data"), "{problem}");
        }
    }
    service.send("POST", "/multivac/data", &[], "").await.expect_problem(400, &[("data", "missing")]);
    for other in ["text/plain", "json", ""] {
        service.post(other, "data=x").await.expect_any_problem(415);
    }
    assert!(service.client.metrics().await.contains("jobs_done_total 0"));
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_however_it_is_sent() {
    let service = Instance::start(&[("MULTIVAC__SERVER__BODY_LIMIT_BYTES", "20")]).await;
    service.post(FORM, "data=45678901234567890").await.expect(413);
    service.post(FORM, "data=456789012345678").await.expect(200);
    // In pieces, so that no length is declared.
    let pieces = ["data=4567890", "12345678901234567890"].map(Ok::<_, std::convert::Infallible>);
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    service.post(FORM, body).await.expect_any_problem(413);
}

fn login(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(user))
}

/// An entry for `alice` with the password `secret`, at a cost that a test can pay often.
fn alice() -> String {
    use argon2::{Argon2, Params, PasswordHasher, password_hash::phc::PasswordHash};
    let cheap = Argon2::new(
        argon2::Algorithm::Argon2id,
        argon2::Version::V0x13,
        Params::new(16, 1, 1, None).unwrap(),
    );
    let hash: PasswordHash = cheap.hash_password(b"secret").unwrap();
    format!("alice:{hash}")
}

#[tokio::test]
async fn users_alone_change_data() {
    let service = Instance::start(&[("AUTH_USERS", &alice())]).await;
    expect_text(&service.client.get("/").await, 200, "Welcome to MultiVAC!");
    service.client.get("/multivac").await.expect(200);
    let right = login("alice:secret");
    for (method, path, status) in [
        ("POST", "/multivac/data", 200),
        ("PUT", "/multivac/data/", 200),
        ("GET", "/multivac/data/77", 404),
        ("DELETE", "/multivac/data/77/", 404),
        ("DELETE", "/multivac/zzz", 200),
        ("DELETE", "/multivac/zzz/", 200),
    ] {
        let send = async |login: &str| {
            let headers = [("content-type", FORM), ("authorization", login)];
            service.send(method, path, &headers, "data=x").await
        };
        let answer = send("").await;
        assert!(answer.header("www-authenticate").starts_with("Basic realm="), "{answer}");
        answer.expect_any_problem(401);
        for wrong in ["alice:Secret", "alice:", "bob:secret"].map(login) {
            send(&wrong).await.expect_any_problem(401);
        }
        send("Bearer secret").await.expect_any_problem(401);
        send("Basic secret").await.expect_any_problem(401);
        assert_eq!(send(&right).await.status, status, "{method} {path}");
        assert_eq!(send(&right.replace("Basic", "bAsIc")).await.status, status, "{method} {path}");
    }
    let foreign = [("content-type", FORM), ("authorization", &*right), ("sec-fetch-site", "cross-site")];
    service.send("POST", "/multivac/data", &foreign, "data=x").await.expect_any_problem(403);
}

#[tokio::test]
async fn logins_are_limited_and_a_right_one_is_remembered() {
    let users = [("AUTH_USERS", &*alice()), ("MULTIVAC__AUTH__ATTEMPTS_PER_MINUTE", "3")];
    let service = Instance::start(&users).await;
    let send = async |user: &str| {
        let headers = [("authorization", &*login(user))];
        service.send("DELETE", "/multivac/zzz", &headers, "").await.status.as_u16()
    };
    assert_eq!([send("alice:secret").await, send("alice:1").await, send("bob:2").await], [200, 401, 401]);
    let refused = service.send("DELETE", "/multivac/zzz", &[("authorization", &*login("alice:3"))], "").await;
    assert!(refused.header("retry-after").parse::<u32>().unwrap() <= 21, "{refused}");
    refused.expect_any_problem(429);
    // Who is known still passes, as often as they like.
    for _ in 0..100 {
        assert_eq!(send("alice:secret").await, 200);
    }
}

/// At the cost that `user add` sets, a thousand requests would take a minute and more if each were verified.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_logins_are_cheap() {
    use argon2::{Argon2, PasswordHasher, password_hash::phc::PasswordHash};
    let hash: PasswordHash = Argon2::default().hash_password(b"secret").unwrap();
    let service = Instance::start(&[("AUTH_USERS", &format!("alice:{hash}"))]).await;
    let headers = [("authorization", &*login("alice:secret"))];
    let started = Instant::now();
    service.send("DELETE", "/multivac/zzz", &headers, "").await.expect(200);
    let first = started.elapsed();
    let started = Instant::now();
    for _ in 0..50 {
        service
            .client
            .send(
                Request::get("/multivac/data/1")
                    .header("authorization", headers[0].1)
                    .body(Body::empty())
                    .unwrap(),
            )
            .await
            .expect(404);
    }
    let later = started.elapsed() / 50;
    assert!(later * 3 < first && first < PATIENCE, "first {first:?}, later {later:?}");
}

#[tokio::test]
async fn the_description_names_every_route() {
    let service = Instance::start(&[]).await;
    let description = service.client.get("/openapi.json").await.expect(200).json();
    let mut methods: Vec<_> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    methods.sort();
    assert_eq!(
        methods,
        [
            "delete /multivac/data/{id}",
            "delete /multivac/zzz",
            "get /",
            "get /multivac",
            "get /multivac/data/{id}",
            "post /multivac/data",
            "put /multivac/data"
        ]
    );
}

#[test]
fn the_table_of_settings_is_the_code() {
    let table = chassis::settings::markdown::<multivac::settings::Settings>();
    let is_current = include_str!("../../docs/settings.md").contains(&table);
    assert!(is_current, "docs/settings.md is outdated: run `make settings`");
}
