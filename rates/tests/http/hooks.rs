//! Webhooks: who is told of what, and what becomes of a message that is not received.

use std::time::{Duration, Instant};

use axum::{body::Body, response::Response};
use futures_util::stream;
use http::{StatusCode, header};
use rates::database::Database;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    supplier_client::{CSV, ROWS, count, work_hooks_off, work_off, work_until},
    support::{
        Instance,
        receiver::{Receiver, SECRET, status},
    },
};

const ALLOWED: [(&str, &str); 4] = [
    ("RATES__HOOKS__ALLOW_HTTP", "true"),
    ("RATES__HOOKS__ALLOW_PRIVATE_ADDRESSES", "true"),
    ("RATES__HOOKS__TIMEOUT_SECONDS", "1"),
    ("RATES__HOOKS__DATA_CHANGED_SECONDS", "1"),
];

fn instance(pool: &PgPool) -> Instance {
    Instance::with(Database::of(pool.clone()), &ALLOWED)
}

async fn add_hook(pool: &PgPool, url: &str, supplier: Option<&str>, events: &str) {
    sqlx::query(
        "insert into hooks (supplier, url, events, secret, sent_version)
         select $1, $2, string_to_array($3, ','), convert_to($4, 'UTF8'), version from data_version",
    )
    .bind(supplier)
    .bind(url)
    .bind(events)
    .bind(SECRET)
    .execute(pool)
    .await
    .unwrap();
}

async fn waiting(pool: &PgPool) -> i64 {
    count(pool, "select count(*) from jobs where queue = 'hooks'").await
}

/// Delivers messages until none waits, without pauses between attempts.
async fn deliver(instance: &Instance, pool: &PgPool) {
    let hastening = async {
        loop {
            // Only what has failed: a job that a worker has just taken would be taken twice.
            let hasten = "update jobs set due_at = now() where last_error is not null";
            sqlx::query(hasten).execute(pool).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = work_hooks_off(instance, pool) => {}
        () = hastening => {}
    }
}

async fn disabled_reason(pool: &PgPool) -> Option<String> {
    sqlx::query_scalar("select disabled_reason from hooks").fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn receivers_are_told_of_their_batches_and_of_nothing_else(pool: PgPool) {
    let instance = instance(&pool);
    let [all, acme, other, failures] =
        [Receiver::start().await, Receiver::start().await, Receiver::start().await, Receiver::start().await];
    add_hook(&pool, &all.url, None, "batch.done,batch.failed").await;
    add_hook(&pool, &acme.url, Some("acme"), "batch.done").await;
    add_hook(&pool, &other.url, Some("other"), "batch.done,batch.failed").await;
    add_hook(&pool, &failures.url, None, "batch.failed").await;

    let wish = [("prefer", "respond-async")];
    instance.post_to("/prices?dry_run=true", CSV, ROWS, &[]).await.expect(200);
    instance.post(CSV, ROWS.replace("GBFXT", "XXXXX")).await.expect(422);
    assert_eq!(waiting(&pool).await, 0, "nothing has happened");
    let stored = instance.post(CSV, ROWS).await.expect(201).json();
    instance.post(CSV, ROWS).await.expect(200);
    let queued = instance.post_with(CSV, ROWS.replace("300", "1"), &wish).await.expect(202).json();
    let wrong = instance.post_with(CSV, ROWS.replace("GBFXT", "XXXXX"), &wish).await.expect(202).json();
    work_off(&instance, &pool).await;
    work_hooks_off(&instance, &pool).await;

    let told = |receiver: &Receiver| {
        let mut told: Vec<_> = receiver
            .received()
            .iter()
            .map(|message| (message.body["type"].clone(), message.body["data"]["id"].clone()))
            .collect();
        told.sort_by_key(|(_, id)| id.as_i64());
        told
    };
    let done = |batch: &serde_json::Value| (json!("batch.done"), batch["id"].clone());
    let failed = (json!("batch.failed"), wrong["id"].clone());
    assert_eq!(told(&all), [done(&stored), done(&queued), failed.clone()]);
    assert_eq!(told(&acme), [done(&stored), done(&queued)]);
    assert_eq!(told(&other), []);
    assert_eq!(told(&failures), [failed]);
    for message in all.received() {
        let path = format!("/batches/{}", message.body["data"]["id"]);
        let batch = instance.ask("GET", &path, "rates_1_one").await.expect(200).json();
        assert_eq!(message.body["data"], batch, "what GET /batches/{{id}} answers");
    }
    let ids: std::collections::BTreeSet<_> =
        [&all, &acme, &failures].iter().flat_map(|receiver| receiver.received()).map(|m| m.id).collect();
    assert_eq!(ids.len(), 6, "a message for each receiver has an id of its own");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_batch_whose_commit_fails_is_not_told_of(pool: PgPool) {
    let instance = instance(&pool);
    add_hook(&pool, "http://127.0.0.1:1/", None, "batch.done,batch.failed").await;
    sqlx::raw_sql(
        "create function fail() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
         create constraint trigger fail after insert or update on batches deferrable initially deferred
             for each row when (new.state in ('done', 'failed')) execute function fail();",
    )
    .execute(&pool)
    .await
    .unwrap();
    instance.post(CSV, ROWS).await.expect(500);
    for content in [ROWS.to_owned(), ROWS.replace("GBFXT", "XXXXX")] {
        instance.post_with(CSV, content, &[("prefer", "respond-async")]).await.expect(202);
    }
    let failed_once = "select count(*) from jobs where queue = 'batches' and last_error is null";
    work_until(&instance, &pool, failed_once).await;
    assert_eq!(waiting(&pool).await, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_message_is_sent_again_with_its_id_until_it_is_received(pool: PgPool) {
    let instance = instance(&pool);
    let elsewhere = Receiver::start().await;
    let location = elsewhere.url.clone();
    let receiver = Receiver::replying(move |number| match number {
        0 => status(StatusCode::INTERNAL_SERVER_ERROR),
        1 => Response::builder().status(307).header(header::LOCATION, &location).body(Body::empty()).unwrap(),
        _ => status(StatusCode::NO_CONTENT),
    })
    .await;
    add_hook(&pool, &receiver.url, None, "batch.done").await;
    instance.post(CSV, ROWS).await.expect(201);
    work_hooks_off(&instance, &pool).await;
    let received = receiver.received();
    assert_eq!(received, vec![received[0].clone(); 3]);
    assert_eq!(elsewhere.received(), [], "a redirect is not followed");
    assert_eq!(count(&pool, "select count(*) from hooks where delivered_at is not null").await, 1);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn an_endless_answer_is_not_read_and_one_that_does_not_come_is_not_waited_for(pool: PgPool) {
    let instance = instance(&pool);
    let endless = Receiver::replying(|_| {
        let pieces = stream::repeat_with(|| Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[0; 4096])));
        Response::new(Body::from_stream(pieces))
    })
    .await;
    // It accepts no connection, but the kernel does.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    add_hook(&pool, &endless.url, None, "batch.done").await;
    add_hook(&pool, &format!("http://{}/", silent.local_addr().unwrap()), None, "batch.done").await;
    instance.post(CSV, ROWS).await.expect(201);
    sqlx::query("update jobs set attempts = 23").execute(&pool).await.unwrap();
    let begun = Instant::now();
    let worker = async {
        let stop = chassis::Stop::default();
        let worker = tokio::spawn(instance.app.hook_workers().run(2, stop.clone()));
        while count(&pool, "select count(*) from jobs where last_error is not null").await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.begin();
        worker.await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(20), worker).await.unwrap();
    assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!((endless.received().len(), waiting(&pool).await), (1, 1));
    let error: String = sqlx::query_scalar("select last_error from jobs").fetch_one(&pool).await.unwrap();
    let later = "select count(*) from jobs where due_at > now() + interval '5 hours'";
    assert_eq!(count(&pool, later).await, 1, "the pauses grow to hours");
    assert!(error.starts_with("no answer: ") && !error.contains("127.0.0.1"), "{error}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_hook_is_disabled_when_a_message_is_given_up_or_the_receiver_is_gone(pool: PgPool) {
    let instance = instance(&pool);
    let broken = Receiver::replying(|_| status(StatusCode::INTERNAL_SERVER_ERROR)).await;
    add_hook(&pool, &broken.url, None, "batch.done").await;
    instance.post(CSV, ROWS).await.expect(201);
    sqlx::query("update jobs set attempts = 23").execute(&pool).await.unwrap();
    deliver(&instance, &pool).await;
    assert_eq!(broken.received().len(), 1);
    let reason = disabled_reason(&pool).await.unwrap();
    assert!(reason.contains("24 attempts") && reason.contains("answered 500"), "{reason}");
    instance.post(CSV, ROWS.replace("300", "1")).await.expect(201);
    assert_eq!(waiting(&pool).await, 0, "a disabled hook is told of nothing");

    sqlx::query("delete from hooks").execute(&pool).await.unwrap();
    let gone = Receiver::replying(|_| status(StatusCode::GONE)).await;
    add_hook(&pool, &gone.url, None, "batch.done").await;
    for price in ["2", "3", "4"] {
        instance.post(CSV, ROWS.replace("300", price)).await.expect(201);
    }
    work_hooks_off(&instance, &pool).await;
    assert!(gone.received().len() <= 2, "what still waited is dropped");
    assert_eq!(disabled_reason(&pool).await.as_deref(), Some("the receiver answered 410 Gone"));
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_message_that_is_given_up_does_not_disable_a_hook_that_receives_others(pool: PgPool) {
    let instance = instance(&pool);
    let receiver = Receiver::start().await;
    add_hook(&pool, &receiver.url, None, "batch.done").await;
    instance.post(CSV, ROWS).await.expect(201);
    sqlx::query("update jobs set attempts = 24, created_at = now() - interval '1 hour'")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("update hooks set delivered_at = now()").execute(&pool).await.unwrap();
    work_hooks_off(&instance, &pool).await;
    assert_eq!((receiver.received().len(), disabled_reason(&pool).await), (0, None));
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn an_address_inside_is_not_connected_to_unless_that_is_allowed(pool: PgPool) {
    let settings = [("RATES__HOOKS__ALLOW_HTTP", "true")];
    let instance = Instance::with(Database::of(pool.clone()), &settings);
    let receiver = Receiver::start().await;
    // As an address, and as a name that leads to it.
    let named = receiver.url.replace("127.0.0.1", "localhost");
    add_hook(&pool, &receiver.url, None, "batch.done").await;
    add_hook(&pool, &named, None, "batch.done").await;
    instance.post(CSV, ROWS).await.expect(201);
    sqlx::query("update jobs set attempts = 23").execute(&pool).await.unwrap();
    deliver(&instance, &pool).await;
    assert_eq!(receiver.received(), []);
    let reasons: Vec<String> =
        sqlx::query_scalar("select disabled_reason from hooks").fetch_all(&pool).await.unwrap();
    assert!(
        reasons.len() == 2 && reasons.iter().all(|it| it.contains("allow_private_addresses")),
        "{reasons:?}"
    );
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn changes_are_told_of_once_in_a_while_and_the_last_one_always(pool: PgPool) {
    let instance = instance(&pool);
    let receiver = Receiver::start().await;
    add_hook(&pool, &receiver.url, Some("other"), "data.changed").await;
    assert!(!instance.app.announce_change().await.unwrap(), "nothing has changed since it was added");
    let mut version = json!(0);
    for price in ["1", "2", "3"] {
        version =
            instance.post(CSV, ROWS.replace("300", price)).await.expect(201).json()["data_version"].clone();
        instance.app.announce_change().await.unwrap();
    }
    assert_eq!(waiting(&pool).await, 1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(!instance.app.announce_change().await.unwrap(), "the first has not been received");
    work_hooks_off(&instance, &pool).await;
    assert!(instance.app.announce_change().await.unwrap());
    assert!(!instance.app.announce_change().await.unwrap());
    work_hooks_off(&instance, &pool).await;
    let told: Vec<_> = receiver.received().iter().map(|it| it.body["data"]["version"].clone()).collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].as_i64() < told[1].as_i64() && told[1] == version, "{told:?}, {version}");
}
