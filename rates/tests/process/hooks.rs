//! `rates hook`, and a worker that is killed while it delivers.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::Value;
use sqlx::PgPool;

use super::{
    command, serve,
    suppliers::{run, text},
    support::{
        Instance,
        receiver::{Receiver, SECRET, status},
    },
    url,
};

const ROUNDS: u64 = 12;

/// A worker, or none after the end of a test.
struct Worker(Child);

impl Worker {
    fn start(database: &str) -> Self {
        let mut command = command(&[
            ("DATABASE_URL", database),
            ("RATES__HOOKS__ALLOW_HTTP", "true"),
            ("RATES__HOOKS__ALLOW_PRIVATE_ADDRESSES", "true"),
            ("RATES__HOOKS__DATA_CHANGED_SECONDS", "0.1"),
            // A killed worker has begun with what it did not end.
            ("RATES__HOOKS__MAX_ATTEMPTS", "1000"),
            ("RATES__BATCHES__MAX_ATTEMPTS", "1000"),
        ]);
        Self(command.arg("work").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Worker {
    /// SIGKILL.
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Queues a batch with a price that no other has; every third names an unknown port.
async fn queue_batch(instance: &Instance, number: u64) {
    let destination = if number.is_multiple_of(3) { "XXXXX" } else { "EETLL" };
    let content = format!("orig_code,dest_code,day,price\nCNGGZ,{destination},2021-02-01,{}\n", number + 1);
    let request = Request::post("/prices")
        .header("content-type", "text/csv")
        .header("authorization", "Bearer rates_1_one")
        .header("prefer", "respond-async")
        .body(Body::from(content))
        .unwrap();
    instance.send(request).await.expect(202);
}

/// Until no job waits, finished or failed for now; the pauses between attempts are cut short.
async fn work_off(pool: &PgPool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while sqlx::query_scalar::<_, i64>("select count(*) from jobs").fetch_one(pool).await.unwrap() > 0 {
        assert!(Instant::now() < deadline, "messages wait");
        // Not at once: a job that was just taken is not due before its worker has locked it.
        sqlx::query("update jobs set due_at = now() where due_at > now() + interval '5 seconds'")
            .execute(pool)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Adds a hook whose receiver has been told of nothing yet.
async fn add_hook(pool: &PgPool, receiver: &Receiver, events: &str) {
    sqlx::query(
        "insert into hooks (url, events, secret, sent_version) values ($1, $2::text[], convert_to($3, 'UTF8'), 0)",
    )
    .bind(&receiver.url)
    .bind(events)
    .bind(SECRET)
    .execute(pool)
    .await
    .unwrap();
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn each_batch_is_told_of_with_one_id_whatever_is_killed(pool: PgPool) {
    sqlx::raw_sql(
        "insert into suppliers values ('acme'); insert into api_keys (supplier, secret_hash) values ('acme', sha256('one'))",
    )
    .execute(&pool)
    .await
    .unwrap();
    let receiver = Receiver::replying(|_| {
        status(if fastrand::u8(..4) == 0 { StatusCode::BAD_GATEWAY } else { StatusCode::OK })
    })
    .await;
    add_hook(&pool, &receiver, "{batch.done,batch.failed,data.changed}").await;
    let instance = Instance::new(&pool);
    let database = url(&pool);
    for round in 0..ROUNDS {
        let worker = Worker::start(&database);
        for number in 0..6 {
            queue_batch(&instance, round * 6 + number).await;
        }
        // From before it works to after it has done all.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(50..1500))).await;
        drop(worker);
    }
    let killed = receiver.received().len();
    let worker = Worker::start(&database);
    work_off(&pool).await;
    // The last change of the data is told of when the one before has been received.
    let last = "select sent_version = version from hooks, data_version";
    while !sqlx::query_scalar::<_, bool>(last).fetch_one(&pool).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    work_off(&pool).await;
    drop(worker);

    let received = receiver.received();
    let mut bodies = BTreeMap::new();
    let (mut told, mut versions) = (BTreeMap::<_, BTreeSet<_>>::new(), Vec::new());
    for message in &received {
        let body = bodies.entry(&message.id).or_insert(&message.body);
        assert_eq!(*body, &message.body, "an id stands for one message");
        let (event, data) = (message.body["type"].as_str().unwrap(), &message.body["data"]);
        if let Some(version) = data["version"].as_i64() {
            versions.push(version);
        } else {
            told.entry((event, data["id"].as_i64().unwrap())).or_default().insert(&message.id);
        }
    }
    let ended: Vec<(String, i64)> = sqlx::query_as("select 'batch.' || state, id from batches order by 1, 2")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(ended.len(), 6 * usize::try_from(ROUNDS).unwrap());
    let told_of: Vec<_> = told.keys().map(|(event, id)| ((*event).to_owned(), *id)).collect();
    assert_eq!(told_of, ended, "each batch as it ended, and nothing else");
    assert!(told.values().all(|ids| ids.len() == 1), "each by one message: {told:?}");
    let version: i64 = sqlx::query_scalar("select version from data_version").fetch_one(&pool).await.unwrap();
    assert_eq!(versions.iter().max(), Some(&version));
    println!("{killed} of {} messages arrived before the last worker", received.len());
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_delivery_is_logged_with_the_id_that_the_receiver_got(pool: PgPool) {
    let receiver = Receiver::start().await;
    add_hook(&pool, &receiver, "{data.changed}").await;
    let server = serve(&[
        ("DATABASE_URL", &url(&pool)),
        ("RATES__HOOKS__ALLOW_HTTP", "true"),
        ("RATES__HOOKS__ALLOW_PRIVATE_ADDRESSES", "true"),
    ]);
    let delivered = "select delivered_at is not null from hooks";
    while !sqlx::query_scalar::<_, bool>(delivered).fetch_one(&pool).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.signal("-TERM");
    let log = tokio::task::spawn_blocking(move || server.end()).await.unwrap().log;
    let line = log.lines().find(|line| line.contains("\"message delivered\"")).expect("a line");
    assert_eq!(line.matches("\"message\":").count(), 1, "no field has this name: {line}");
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["webhook_id"], receiver.received()[0].id, "{line}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn an_operator_adds_tests_lists_and_removes_a_hook(pool: PgPool) {
    let database = url(&pool);
    let strict = [("DATABASE_URL", database.as_str())];
    let allowed =
        [strict[0], ("RATES__HOOKS__ALLOW_HTTP", "true"), ("RATES__HOOKS__ALLOW_PRIVATE_ADDRESSES", "true")];
    let receiver = Receiver::start().await;

    let refused = run(&strict, &["hook", "add", &receiver.url]).await;
    assert_eq!(refused.status.code(), Some(64));
    assert!(text(&refused.stderr).contains("hooks.allow_http"), "{}", text(&refused.stderr));
    let nobody = run(&allowed, &["hook", "add", &receiver.url, "--supplier", "nobody"]).await;
    assert_eq!(nobody.status.code(), Some(65));
    assert_eq!(run(&allowed, &["hook", "add", &receiver.url, "--events", "x"]).await.status.code(), Some(64));
    let added = run(&allowed, &["hook", "add", &receiver.url, "--events", "batch.done,data.changed"]).await;
    let secret = text(&added.stdout).trim().to_owned();
    assert!(
        secret.starts_with("whsec_") && !secret.contains('\n'),
        "only the secret is on standard output: {secret}"
    );

    // The receiver of tests knows one secret.
    sqlx::query("update hooks set secret = convert_to($1, 'UTF8')")
        .bind(SECRET)
        .execute(&pool)
        .await
        .unwrap();
    let tested = run(&allowed, &["hook", "test", "1"]).await;
    assert_eq!(tested.status.code(), Some(0), "{}", text(&tested.stderr));
    assert_eq!(receiver.received()[0].body["type"], "test");
    let unsent = run(&strict, &["hook", "test", "1"]).await;
    assert_eq!(unsent.status.code(), Some(69));
    let listed = text(&run(&strict, &["hook", "list"]).await.stdout);
    for part in ["batch.done,data.changed", &receiver.url, "active"] {
        assert!(listed.contains(part), "{listed}");
    }
    assert!(!listed.contains(&secret), "{listed}");

    sqlx::query("update hooks set disabled_at = now(), disabled_reason = 'why'")
        .execute(&pool)
        .await
        .unwrap();
    assert!(text(&run(&strict, &["hook", "list"]).await.stdout).contains("disabled: why"));
    assert_eq!(run(&allowed, &["hook", "test", "1"]).await.status.code(), Some(65));
    assert_eq!(run(&strict, &["hook", "enable", "1"]).await.status.code(), Some(0));
    assert_eq!(run(&strict, &["hook", "enable", "1"]).await.status.code(), Some(65));
    assert_eq!(run(&strict, &["hook", "remove", "1"]).await.status.code(), Some(0));
    assert_eq!(run(&strict, &["hook", "remove", "1"]).await.status.code(), Some(65));
}
