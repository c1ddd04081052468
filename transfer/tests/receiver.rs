//! The receiver's answers, and what is in its folder after them.

use std::{collections::BTreeMap, fs, path::Path};

use axum::{body::Body, extract::Request};
use chassis::testing::{Answer, Client};
use tempfile::TempDir;
use transfer::{Transfer, fernet::Key};

const BOUNDARY: &str = "----a-boundary";

/// A receiver in a folder of its own.
struct Receiver {
    client: Client,
    key: Key,
    folder: TempDir,
}

impl Receiver {
    async fn start(more: &[(&str, &str)]) -> Self {
        let (folder, key) = (tempfile::tempdir().unwrap(), Key::generate());
        let key_file = folder.path().join("key");
        fs::write(&key_file, format!("{}\n", key.reveal())).unwrap();
        let output = folder.path().join("output");
        let mut variables = more.to_vec();
        // The first of equal variables counts.
        variables.extend([
            ("OUTPUT_DIR", output.to_str().unwrap()),
            ("DECRYPTION_KEY", key_file.to_str().unwrap()),
        ]);
        let client = Client::start::<Transfer>(&variables).await;
        Self { client, key, folder }
    }

    async fn post_form(&self, name: &str, form: String) -> Answer {
        let request = Request::post(format!("/upload/{name}"))
            .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
            .body(Body::from(form));
        self.client.send(request.unwrap()).await
    }

    async fn post(&self, name: &str, token: &str) -> Answer {
        self.post_form(name, form("file", token)).await
    }

    fn files(&self) -> BTreeMap<String, String> {
        files(&self.folder.path().join("output"))
    }
}

fn form(field: &str, content: &str) -> String {
    let head = format!("content-disposition: form-data; name=\"{field}\"; filename=\"f\"");
    format!("--{BOUNDARY}\r\n{head}\r\n\r\n{content}\r\n--{BOUNDARY}--\r\n")
}

/// Every file in a folder and in those in it, with its content.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let (path, name) =
            entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap();
        if path.is_dir() {
            found.extend(
                files(&path).into_iter().map(|(inner, content)| (format!("{name}/{inner}"), content)),
            );
        } else {
            found.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn a_file_is_decrypted_and_stored_and_an_equal_one_changes_nothing() {
    let receiver = Receiver::start(&[]).await;
    receiver.client.get("/").await.expect_json(200, r#"{"msg":"Server is healthy","status_code":200}"#);
    let path = receiver.folder.path().join("output/a.b.xml");
    let expected =
        format!(r#"{{"msg":"File is decrypted and saved to {}","status_code":201}}"#, path.display());
    let mut modified = None;
    for _ in 0..2 {
        // Tokens of the same content differ.
        let token = receiver.key.seal(b"<x/>");
        receiver.post("a.b", &token).await.expect_json(201, &expected);
        assert_eq!(receiver.files(), BTreeMap::from([("a.b.xml".to_owned(), "<x/>".to_owned())]));
        let now = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(*modified.get_or_insert(now), now);
    }
    // Tokens from files end with a line end.
    receiver.post("line", &format!("{}\n", receiver.key.seal(b"x"))).await.expect(201);
}

#[tokio::test]
async fn a_replaced_content_is_kept() {
    let receiver = Receiver::start(&[]).await;
    for content in ["one", "two", "one", "three"] {
        receiver.post("a", &receiver.key.seal(content.as_bytes())).await.expect(201);
        assert_eq!(receiver.files()["a.xml"], content);
    }
    let kept = receiver.files().into_values().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(kept.into_iter().collect::<Vec<_>>(), ["one", "three", "two"]);
    assert_eq!(receiver.files().len(), 3);
}

#[tokio::test]
async fn bad_names_are_refused() {
    let receiver = Receiver::start(&[]).await;
    let token = receiver.key.seal(b"x");
    let long = "a".repeat(201);
    for name in [
        "a/b",
        "a%2Fb",
        "..%2Fa",
        "%2Fetc%2Fa",
        "..",
        "a..b",
        ".hidden",
        "%2e%2e",
        "a%5Cb",
        "a%00",
        "a%0Ab",
        "CON",
        "com1.x",
        &long,
    ] {
        let body = receiver.post(name, &token).await.expect_problem(400, &[("filename", "invalid")]);
        assert_eq!((&body["msg"], &body["status_code"]), (&body["detail"], &400.into()), "{name}");
    }
    assert_eq!(receiver.files(), BTreeMap::new());
    for name in ["%E6%9D%B1%E4%BA%AC", "a%20b", "console", &long[1..]] {
        receiver.post(name, &token).await.expect(201);
    }
}

#[tokio::test]
async fn what_is_no_token_of_a_known_key_is_refused() {
    let receiver = Receiver::start(&[]).await;
    let token = receiver.key.seal(&[b'x'; 5000]);
    let other = Key::generate().seal(b"x");
    for wrong in ["", "?", "AAAA", &other, &token[..token.len() - 4], &token.replace('A', "B")] {
        receiver.post("a", wrong).await.expect_problem(400, &[("file", "invalid")]);
    }
    let no_field = receiver.post_form("a", form("other", &token)).await;
    no_field.expect_problem(400, &[("file", "invalid")]);
    let whole = form("file", &token);
    receiver
        .post_form("a", whole[..whole.len() - 60].to_owned())
        .await
        .expect_problem(400, &[("file", "invalid")]);
    let request =
        Request::post("/upload/a").header("content-type", "text/plain").body(Body::from("x")).unwrap();
    receiver.client.send(request).await.expect_problem(400, &[("file", "invalid")]);
    assert_eq!(receiver.files(), BTreeMap::new());
}

#[tokio::test]
async fn an_upload_over_the_limit_is_refused_wherever_it_is_large() {
    let receiver = Receiver::start(&[("TRANSFER__SERVER__BODY_LIMIT_BYTES", "20000")]).await;
    let large = "A".repeat(30_000);
    for (field, declares) in [("file", true), ("file", false), ("other", false)] {
        let pieces: Vec<Result<String, std::io::Error>> = form(field, &large)
            .as_bytes()
            .chunks(1000)
            .map(|piece| Ok(String::from_utf8_lossy(piece).into_owned()))
            .collect();
        let mut request = Request::post("/upload/a")
            .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
        if declares {
            request = request.header("content-length", "30000");
        }
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let body = receiver.client.send(request.body(body).unwrap()).await.expect_any_problem(413);
        assert_eq!((&body["msg"], &body["status_code"]), (&body["detail"], &413.into()), "{field}");
    }
    assert_eq!(receiver.files(), BTreeMap::new());
    receiver.post("a", &receiver.key.seal(b"x")).await.expect(201);
}

#[tokio::test]
async fn a_slow_upload_ends() {
    let receiver = Receiver::start(&[("TRANSFER__SERVER__REQUEST_TIMEOUT_SECONDS", "0.2")]).await;
    let start = form("file", "AAAA")[..100].to_owned();
    let pieces = futures_util::StreamExt::chain(
        futures_util::stream::iter([Ok::<_, std::io::Error>(start)]),
        futures_util::stream::pending(),
    );
    let request = Request::post("/upload/a")
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(Body::from_stream(pieces));
    receiver.client.send(request.unwrap()).await.expect_any_problem(503);
    assert_eq!(receiver.files(), BTreeMap::new());
}

#[tokio::test]
async fn several_keys_are_read_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, path) = ([Key::generate(), Key::generate()], folder.path().join("keys"));
    fs::write(&path, format!("{}\r\n\n{}", keys[0].reveal().trim_end_matches('='), keys[1].reveal()))
        .unwrap();
    let receiver = Receiver::start(&[("DECRYPTION_KEY", path.to_str().unwrap())]).await;
    for (name, key) in ["new", "old"].into_iter().zip(&keys) {
        receiver.post(name, &key.seal(name.as_bytes())).await.expect(201);
    }
    assert_eq!(receiver.files().len(), 2);
}

#[tokio::test]
async fn a_leftover_of_a_killed_receiver_is_removed_once_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(2);
    for (name, is_old) in [(".transfer-old", true), (".transfer-new", false), ("mine.xml", true)] {
        let file = fs::File::create(folder.path().join(name)).unwrap();
        if is_old {
            file.set_modified(long_ago).unwrap();
        }
    }
    let _receiver = Receiver::start(&[("OUTPUT_DIR", folder.path().to_str().unwrap())]).await;
    assert_eq!(files(folder.path()).into_keys().collect::<Vec<_>>(), [".transfer-new", "mine.xml"]);
}

#[tokio::test]
async fn the_description_lists_both_routes() {
    let receiver = Receiver::start(&[]).await;
    let description = receiver.client.get("/openapi.json").await.expect(200).json();
    let paths: Vec<&String> = description["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/", "/upload/{filename}"]);
}

#[test]
fn the_documented_settings_are_current() {
    let table = chassis::settings::markdown::<transfer::settings::Settings>();
    let is_current = include_str!("../../docs/settings.md").contains(&table);
    assert!(is_current, "docs/settings.md is outdated: run `make settings`");
}
