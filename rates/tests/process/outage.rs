//! The log during an outage of the database.

use std::time::Duration;

use serde_json::Value;
use sqlx::PgPool;

use super::{LANE, get, serve, url};

#[tokio::test]
async fn the_log_tells_once_why_the_database_cannot_be_reached_and_each_error_does() {
    let server = serve(&[
        ("DATABASE_URL", "postgres://rates@127.0.0.1:1/rates"),
        ("RATES__DATABASE__ACQUIRE_TIMEOUT_SECONDS", "0.3"),
    ]);
    // The listener tries several times.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(get(&server.address, LANE).starts_with("HTTP/1.1 503"));
    assert!(get(&server.address, "/readyz").starts_with("HTTP/1.1 503"));
    server.signal("-TERM");
    let log = tokio::task::spawn_blocking(move || server.end()).await.unwrap().log;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = |line: &&Value| line.to_string().contains("Connection refused");
    let of = |target: &str| {
        let lines = lines.iter().filter(|line| line["target"].as_str().unwrap().starts_with(target));
        lines.filter(refused).count()
    };
    assert_eq!(of("rates::lanes::listener"), 1, "{log}");
    assert_eq!(of("request"), 1, "the line of the request names the cause: {log}");
    assert_eq!(of("rates::app"), 1, "so does that of /readyz: {log}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn requests_go_through_the_pooler_and_what_listens_past_it(pool: PgPool) {
    let server = serve(&[
        ("DATABASE_URL", &url(&pool)),
        ("DATABASE_DIRECT_URL", "postgres://rates@127.0.0.1:1/rates"),
    ]);
    let answer = get(&server.address, LANE);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.signal("-TERM");
    let log = tokio::task::spawn_blocking(move || server.end()).await.unwrap().log;
    let listens =
        |line: &&str| line.contains("rates::lanes::listener") && line.contains("Connection refused");
    assert_eq!(log.lines().filter(listens).count(), 1, "{log}");
}
