//! How the content of a batch arrives: slowly, in parts, from many at once. Clients that make others wait are cut off.

use std::{io, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use http::Request;
use rates::database::Database;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    supplier_client::{CSV, ROWS, count, count_prices, gzip, work_off},
    support::{Answer, Instance},
};

/// A request whose body is sent by the test.
struct Upload {
    pieces: mpsc::UnboundedSender<Bytes>,
    answer: JoinHandle<Answer>,
}

impl Upload {
    /// Begins to send, as the supplier of this key.
    fn start(instance: &Instance, key: &str, headers: &[(&str, &str)]) -> Self {
        let (pieces, mut receiver) = mpsc::unbounded_channel::<Bytes>();
        let body = stream::poll_fn(move |context| receiver.poll_recv(context)).map(Ok::<_, io::Error>);
        let request = request(key, headers, Body::from_stream(body));
        let client = instance.client.clone();
        Self { pieces, answer: tokio::spawn(async move { client.send(request).await }) }
    }

    fn send(&self, text: &str) {
        self.pieces.send(Bytes::copy_from_slice(text.as_bytes())).unwrap();
    }

    /// Ends the content.
    async fn end(self) -> Answer {
        drop(self.pieces);
        tokio::time::timeout(Duration::from_secs(30), self.answer).await.expect("an answer").unwrap()
    }
}

fn request(key: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request =
        Request::post("/prices").header("content-type", CSV).header("authorization", format!("Bearer {key}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// So many rows, without the header.
fn rows(number: usize) -> String {
    "CNSGH,NLRTM,2021-01-01,100\n".repeat(number)
}

const HEADER: &str = "orig_code,dest_code,day,price\n";

/// Waits until a query counts this many.
async fn until_counted(pool: &PgPool, sql: &str, wanted: impl Fn(i64) -> bool) {
    let counted = async {
        while !wanted(count(pool, sql).await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.unwrap_or_else(|_| panic!("{sql}"));
}

const CONTENTS: &str = "select count(distinct content_id) from batch_pieces";

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_client_that_sends_slowly_holds_no_connection(pool: PgPool) {
    let one = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with((*pool.connect_options()).clone())
        .await
        .unwrap();
    let instance = Instance::new(&one);
    let waiting = Upload::start(&instance, "rates_1_one", &[]);
    let queued = Upload::start(&instance, "rates_1_one", &[("prefer", "respond-async")]);
    // More than is kept in memory.
    let half = rows(90_000);
    for (upload, day) in [(&waiting, "2021-01-02"), (&queued, "2021-01-03")] {
        upload.send(HEADER);
        upload.send(&half.replace("2021-01-01", day));
    }
    until_counted(&pool, CONTENTS, |contents| contents == 2).await;
    instance.send(request("rates_2_two", &[], Body::from(ROWS))).await.expect(201);
    instance.get("/readyz").await.expect(200);
    assert_eq!(count_prices(&pool).await, 3);
    for upload in [&waiting, &queued] {
        upload.send(&half);
    }
    assert_eq!(waiting.end().await.expect(201).json()["rows"], 180_000);
    queued.end().await.expect(202);
    until_counted(&pool, CONTENTS, |contents| contents == 1).await;
    // Of another instance, because a worker holds a connection.
    work_off(&Instance::new(&pool), &pool).await;
    assert_eq!(count_prices(&pool).await, 360_003);
    assert_eq!(count(&pool, CONTENTS).await, 0);
    one.close().await;
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn faults_behind_the_first_piece_are_found_and_nothing_is_left(pool: PgPool) {
    let instance = Instance::new(&pool);
    let good = rows(100_000);
    let unknown = instance.post(CSV, format!("{HEADER}{good}CNSGH,XXXXX,2021-01-01,1\n")).await.expect(422);
    assert_eq!(unknown.json()["errors"][0]["row"], 100_002);
    let malformed = instance.post(CSV, format!("{HEADER}{good}CNSGH,NLRTM,x,1\n")).await.expect(422);
    assert_eq!(malformed.json()["total"], 1);
    // A client that leaves.
    let gone = Upload::start(&instance, "rates_1_one", &[("prefer", "respond-async")]);
    gone.send(HEADER);
    gone.send(&good);
    until_counted(&pool, CONTENTS, |contents| contents > 0).await;
    gone.answer.abort();
    until_counted(&pool, CONTENTS, |contents| contents == 0).await;
    // The same content is stored once, whichever way it comes.
    let content = format!("{HEADER}{good}");
    instance.post(CSV, content.clone()).await.expect(201);
    instance.post_with(CSV, content.clone(), &[("prefer", "respond-async")]).await.expect(200);
    instance.post_with(CSV, gzip(&content), &[("content-encoding", "gzip")]).await.expect(200);
    until_counted(&pool, CONTENTS, |contents| contents == 0).await;
    assert_eq!(count_prices(&pool).await, 100_000);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_supplier_has_its_share_of_the_uploads_and_all_have_a_limit(pool: PgPool) {
    let settings = [("RATES__BATCHES__UPLOADS", "3"), ("RATES__BATCHES__UPLOADS_BY_SUPPLIER", "2")];
    let instance = Instance::with(Database::of(pool.clone()), &settings);
    let ask = |key| instance.send(request(key, &[], Body::from(ROWS)));
    let start = |key| {
        let upload = Upload::start(&instance, key, &[]);
        upload.send(ROWS);
        upload
    };
    let (first, second) = (start("rates_1_one"), start("rates_1_one"));
    instance.until(|instance| instance.app.uploads.running() == 2).await;
    let refused = ask("rates_1_one").await.expect(429);
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.json()["detail"].as_str().unwrap().contains("2 uploads of acme"), "{refused}");
    ask("rates_2_two").await.expect(201);
    let third = start("rates_2_two");
    instance.until(|instance| instance.app.uploads.running() == 3).await;
    assert_eq!(ask("rates_2_two").await.expect(503).header("retry-after"), "1");
    assert!(instance.metrics().await.contains("rates_uploads 3"));
    // An upload that ends, well or not, gives its place to another.
    first.end().await.expect(201);
    ask("rates_2_two").await.expect(200);
    ask("rates_1_one").await.expect(200);
    third.answer.abort();
    second.answer.abort();
    instance.until(|instance| instance.app.uploads.running() == 0).await;
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn an_upload_that_is_too_slow_is_cut_off(pool: PgPool) {
    let settings =
        [("RATES__BATCHES__UPLOAD_BYTES_PER_SECOND", "1000"), ("RATES__BATCHES__UPLOAD_PERIOD_SECONDS", "1")];
    let instance = Instance::with(Database::of(pool.clone()), &settings);
    // A body of pieces, one every so often.
    let body = |pieces: usize, size: usize, pause: u64| {
        let text = format!("{HEADER}{}", rows(pieces * size / 27 + 1));
        let pieces = text.into_bytes().chunks(size).map(Bytes::copy_from_slice).collect::<Vec<_>>();
        Body::from_stream(stream::iter(pieces).then(move |piece| async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            Ok::<_, io::Error>(piece)
        }))
    };
    for headers in [&[][..], &[("prefer", "respond-async")]] {
        // Would be sent for minutes.
        let slow = instance.send(request("rates_1_one", headers, body(10_000, 1, 20)));
        let slow = tokio::time::timeout(Duration::from_secs(30), slow).await.expect("it is cut off");
        let problem = slow.expect_problem(408, &[]);
        assert_eq!(problem["type"], "urn:problem:upload-too-slow");
        assert!(problem["detail"].as_str().unwrap().contains("slower than 1000 bytes per second for 1 s"));
    }
    assert_eq!(count(&pool, "select count(*) from batches").await, 0);
    // For longer than the period, and fast enough.
    instance.send(request("rates_1_one", &[], body(40, 2000, 50))).await.expect(201);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn what_an_upload_that_never_ended_has_left_is_deleted_when_it_is_old(pool: PgPool) {
    let instance = Instance::new(&pool);
    instance.post_with(CSV, ROWS, &[("prefer", "respond-async")]).await.expect(202);
    let others =
        "insert into batch_pieces (content_id, number, content) values (1000, 1, 'old'), (1000, 2, 'old'),
                  (1001, 1, 'new');
                  update batch_pieces set stored_at = now() - interval '3 days' where content_id <> 1001";
    sqlx::raw_sql(others).execute(&pool).await.unwrap();
    assert_eq!(instance.app.delete_abandoned_uploads().await.unwrap(), 2);
    assert_eq!(count(&pool, "select count(*) from batch_pieces where content_id = 1000").await, 0);
    assert_eq!(count(&pool, "select count(*) from batch_pieces").await, 2);
    work_off(&instance, &pool).await;
    assert_eq!(count_prices(&pool).await, 3);
}
