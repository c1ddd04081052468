//! The log files.

use std::{fs, path::Path};

use crate::{
    server::{PLAIN, client, get, post, start},
    support::FOO,
};

fn sizes(folder: &Path, name: &str) -> Vec<u64> {
    let path = |number: usize| match number {
        0 => folder.join(name),
        number => folder.join(format!("{name}.{number}")),
    };
    (0..10).map_while(|number| Some(fs::metadata(path(number)).ok()?.len())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_in_access_log_and_events_in_app_log() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("elsewhere/logs");
    let server = start(folder.path(), &[PLAIN, ("MESSAGES_LOG_DIR", logs.to_str().unwrap())]);
    let client = client([]).user_agent("tester \"1\"").build().unwrap();
    post(&client, &server.url, "foo").await.unwrap();
    get(&client, &server.url, FOO).await.unwrap();
    get(&client, &server.url, "x").await.unwrap();
    server.signal("-TERM");
    let out = server.end().expect(0);
    let access = fs::read_to_string(logs.join("access.log")).unwrap();
    let lines: Vec<_> = access.lines().map(|line| line.split_once("] ").unwrap()).collect();
    assert!(lines.iter().all(|(head, _)| head.starts_with("127.0.0.1 - - [")), "{access}");
    let agent = r#""-" "tester \x221\x22""#;
    let wanted = [
        format!(r#""POST /messages HTTP/1.1" 201 77 {agent}"#),
        format!(r#""GET /messages/{FOO} HTTP/1.1" 200 17 {agent}"#),
        format!(r#""GET /messages/x HTTP/1.1" 404 43 {agent}"#),
    ];
    assert_eq!(lines.iter().map(|(_, tail)| *tail).collect::<Vec<_>>(), wanted);
    let app = fs::read_to_string(logs.join("app.log")).unwrap();
    assert!(app.contains("listening on") && app.contains("\"stopped\""), "{app}");
    assert!(!app.contains("request answered"), "{app}");
    // Standard output has both.
    assert_eq!(out.matches("request answered").count(), 3, "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_rolled_at_their_limit_and_five_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let small = [PLAIN, ("MESSAGES__LOGS__MAX_BYTES", "1000"), ("MESSAGES_REDIS_HOST", "127.0.0.1:1")];
    let server = start(folder.path(), &small);
    let client = client([]).build().unwrap();
    for _ in 0..60 {
        // Refused, so that app.log has a line as well.
        assert_eq!(get(&client, &server.url, FOO).await.unwrap().0, 503);
    }
    get(&client, &server.url, "last").await.unwrap();
    server.signal("-TERM");
    server.end().expect(0);
    let logs = folder.path().join("logs");
    for name in ["access.log", "app.log"] {
        let sizes = sizes(&logs, name);
        assert_eq!(sizes.len(), 6, "{name}: {sizes:?}");
        assert!(sizes.iter().all(|size| *size <= 1000), "{name}: {sizes:?}");
        assert!(sizes[1..].iter().all(|size| *size > 500), "{name}: {sizes:?}");
    }
    let newest = fs::read_to_string(logs.join("access.log")).unwrap();
    assert!(newest.contains("/messages/last "), "{newest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_fails_is_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = "127.0.0.1:1";
    let redis = [PLAIN, ("MESSAGES_REDIS_HOST", nowhere), ("MESSAGES_REDIS_READ_HOSTS", nowhere)];
    let server = start(folder.path(), &redis);
    let client = client([]).build().unwrap();
    for _ in 0..3 {
        assert_eq!(get(&client, &server.url, FOO).await.unwrap().0, 503);
    }
    server.signal("-TERM");
    let out = server.end().expect(0);
    assert_eq!(out.matches("a read replica failed").count(), 1, "{out}");
}

#[test]
fn no_files_are_written_where_none_are_wanted() {
    let by_file = tempfile::tempdir().unwrap();
    fs::write(by_file.path().join("messages.toml"), "logs.folder = \"\"\n").unwrap();
    let by_variable = tempfile::tempdir().unwrap();
    for (folder, variables) in [(by_file, &[PLAIN][..]), (by_variable, &[PLAIN, ("MESSAGES_LOG_DIR", "")])] {
        let server = start(folder.path(), variables);
        server.signal("-TERM");
        server.end().expect(0);
        assert!(!folder.path().join("logs").exists(), "{variables:?}");
    }
}
