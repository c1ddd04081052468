//! Prices come in over HTTP, all of a batch or none.

use std::{io::Write, time::Duration};

use axum::body::Body;
use chassis::{
    edge::{Edge, Edged, Limits},
    health::{self, Readiness},
    metrics::RequestMetrics,
};
use flate2::{Compression, write::GzEncoder};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use rates::{
    app::App,
    batches::worker::{Stopping, work},
    database::Database,
    settings::Settings,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt;

const CSV: &str = "text/csv";
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// A server over a database with three ports and two keys.
struct Server {
    app: App,
    router: Edged,
    pool: PgPool,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Value,
}

impl Server {
    async fn start(pool: PgPool) -> Self {
        Self::with(pool, &[]).await
    }

    async fn with(pool: PgPool, settings: &[(&str, &str)]) -> Self {
        sqlx::raw_sql(
            "insert into regions values ('asia', 'Asia', null), ('europe', 'Europe', null);
             insert into ports values ('CNSGH', 'Shanghai', 'asia'), ('NLRTM', 'Rotterdam', 'europe'),
                                      ('GBFXT', 'Felixstowe', 'europe');
             insert into suppliers values ('acme'), ('other');
             insert into api_keys (supplier, secret_hash) values
                 ('acme', sha256('one')), ('other', sha256('two'));",
        )
        .execute(&pool)
        .await
        .unwrap();
        let environment = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = chassis::settings::load::<Settings>(environment).unwrap().settings;
        let mut registry = prometheus_client::registry::Registry::default();
        let limits =
            Limits { timeout: Duration::from_mins(1), body_bytes: settings.batches.body_limit_bytes };
        let edge =
            Edge::new(&settings.server, false, RequestMetrics::register(&mut registry, "rates", "test"))
                .except("/prices", limits);
        let app = App::new(Database::of(pool.clone()), settings.api, &settings.cache, settings.batches);
        let readiness = Readiness::new(Duration::from_secs(1), || async { Ok(()) });
        let router = edge.around(rates::http::router::routes(app.clone()), health::router(readiness));
        Self { app, router, pool }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn post(&self, content_type: &str, body: impl Into<Body>) -> Answer {
        self.post_with(content_type, body, &[]).await
    }

    async fn post_with(&self, content_type: &str, body: impl Into<Body>, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post("/prices")
            .header("content-type", content_type)
            .header("authorization", "Bearer rates_1_one");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn ask(&self, method: &str, path: &str, key: &str) -> Answer {
        let request =
            Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.pool).await.unwrap()
    }

    async fn prices(&self) -> i64 {
        self.count("select count(*) from prices").await
    }
}

impl Answer {
    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Row, field and code of each fault.
    fn faults(&self) -> Vec<(Option<u64>, &str, &str)> {
        let errors = self.body["errors"].as_array().unwrap_or_else(|| panic!("{self:#?}"));
        let text = |error: &'_ Value, name: &str| error[name].as_str().unwrap().to_owned();
        errors
            .iter()
            .map(|error| {
                let _ = text(error, "detail");
                (error["row"].as_u64(), error["field"].as_str().unwrap(), error["code"].as_str().unwrap())
            })
            .collect()
    }
}

const ROWS: &str = "orig_code,dest_code,day,price\nCNSGH,NLRTM,2021-01-01,100\nCNSGH,NLRTM,2021-01-01,200\nCNSGH,GBFXT,2021-01-02,300\n";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[sqlx::test(migrations = "../db/migrations")]
async fn every_format_plain_or_gzip_puts_in_the_same(pool: PgPool) {
    let server = Server::start(pool).await;
    let rows = [("CNSGH", "NLRTM", "2021-01-01", 100), ("CNSGH", "GBFXT", "2021-01-02", 300)];
    let objects: Vec<Value> = rows
        .iter()
        .map(|(orig, dest, day, price)| json!({"price": price, "day": day, "dest_code": dest, "orig_code": orig}))
        .collect();
    let lines = objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let csv =
        "dest_code, orig_code, price, day\r\nNLRTM, CNSGH, 100, 2021-01-01\r\n\"GBFXT\",CNSGH,300,2021-01-02";
    let bare = json!(objects).to_string();
    let wrapped = json!({ "prices": objects }).to_string();
    let formats =
        [(JSON, bare), (JSON, wrapped), (NDJSON, lines), ("text/csv; charset=utf-8", csv.to_owned())];
    for (content_type, text) in formats {
        for zipped in [false, true] {
            sqlx::raw_sql("delete from prices; update batches set state = 'withdrawn' where state = 'done'")
                .execute(&server.pool)
                .await
                .unwrap();
            let answer = if zipped {
                server.post_with(content_type, gzip(&text), &[("content-encoding", "gzip")]).await
            } else {
                server.post(content_type, text.clone()).await
            };
            let answer = answer.expect(201);
            let batch = &answer.body;
            assert_eq!(answer.headers["location"], format!("/batches/{}", batch["id"]).as_str());
            for (name, wanted) in [
                ("supplier", json!("acme")),
                ("state", json!("done")),
                ("rows", json!(2)),
                ("days", json!(2)),
                ("lanes", json!(2)),
                ("content_bytes", json!(text.len())),
            ] {
                assert_eq!(batch[name], wanted, "{content_type} {zipped}: {batch}");
            }
            let sha256: String = sqlx::query_scalar("select encode(sha256(convert_to($1, 'UTF8')), 'hex')")
                .bind(&text)
                .fetch_one(&server.pool)
                .await
                .unwrap();
            assert_eq!(batch["content_sha256"], sha256, "of the content as it is unzipped");
            let version = server.count("select version from data_version").await;
            assert_eq!(batch["data_version"], version);
            let stored: Vec<(String, String, String, i32, i64)> = sqlx::query_as(
                "select orig_code, dest_code, day::text, price, batch_id from prices order by day",
            )
            .fetch_all(&server.pool)
            .await
            .unwrap();
            let id = batch["id"].as_i64().unwrap();
            let wanted: Vec<_> = rows
                .iter()
                .map(|(orig, dest, day, price)| {
                    ((*orig).to_owned(), (*dest).to_owned(), (*day).to_owned(), *price, id)
                })
                .collect();
            assert_eq!(stored, wanted, "{content_type} {zipped}");
        }
    }
}

#[sqlx::test(migrations = "../db/migrations")]
async fn a_read_after_the_answer_sees_the_batch_and_not_after_its_withdrawal(pool: PgPool) {
    let server = Server::start(pool).await;
    let listening = tokio::spawn({
        let app = server.app.clone();
        async move { app.lanes.listen().await }
    });
    while server.app.freshness.current().is_none() {
        tokio::task::yield_now().await;
    }
    let rates = "/rates?date_from=2021-01-01&date_to=2021-01-01&origin=asia&destination=europe";
    let count = async |server: &Server| {
        server.ask("GET", rates, "").await.expect(200).body["rates"][0]["count"].clone()
    };
    assert_eq!(count(&server).await, Value::Null);
    let batch = server.post(CSV, ROWS).await.expect(201).body;
    assert_eq!(count(&server).await, 2);
    let path = format!("/batches/{}", batch["id"]);
    let withdrawn = server.ask("DELETE", &path, "rates_1_one").await.expect(200).body;
    assert_eq!(withdrawn["state"], "withdrawn");
    assert!(withdrawn["data_version"].as_i64() > batch["data_version"].as_i64());
    assert_eq!(count(&server).await, Value::Null);
    listening.abort();
}

#[sqlx::test(migrations = "../db/migrations")]
async fn a_withdrawal_takes_exactly_the_batchs_prices(pool: PgPool) {
    let server = Server::start(pool).await;
    sqlx::raw_sql("insert into prices values ('CNSGH', 'NLRTM', '2021-01-01', 100)")
        .execute(&server.pool)
        .await
        .unwrap();
    let first = server.post(CSV, ROWS).await.expect(201).body;
    server.post_with(CSV, ROWS, &[("idempotency-key", "again")]).await.expect(201);
    assert_eq!(server.prices().await, 7);
    let path = format!("/batches/{}", first["id"]);
    for _ in 0..2 {
        assert_eq!(server.ask("DELETE", &path, "rates_1_one").await.expect(200).body["state"], "withdrawn");
        assert_eq!(server.prices().await, 4, "a second withdrawal changes nothing");
    }
    let sql =
        "select sum(price_count)::bigint from daily_rates where origin = 'asia' and destination = 'europe'";
    assert_eq!(server.count(sql).await, 4);
    // The same content counts as new once it was withdrawn.
    server.post(CSV, ROWS.to_owned()).await.expect(200);
    let again = "select count(*) from batches";
    assert_eq!(server.count(again).await, 2, "the other batch of this content is still in");
}

#[sqlx::test(migrations = "../db/migrations")]
async fn every_bad_row_is_named_and_nothing_is_put_in(pool: PgPool) {
    let server = Server::start(pool).await;
    let good = r#"{"orig_code":"CNSGH","dest_code":"NLRTM","day":"2021-01-01","price":1}"#;
    let with = |from: &str, to: &str| good.replace(from, to);
    let line = |row: &str| (NDJSON, format!("{good}\n{row}\n"));
    let csv = |row: &str| (CSV, format!("orig_code,dest_code,day,price\nCNSGH,NLRTM,2021-01-01,1\n{row}\n"));
    let two = Some(2);
    let table = vec![
        (line(&with("NLRTM", "XXXXX")), vec![(two, "dest_code", "unknown")]),
        (line(&with("CNSGH", "europe")), vec![(two, "orig_code", "unknown")]),
        (line(&with("CNSGH", "CN\\u0000")), vec![(two, "orig_code", "malformed")]),
        (line(&with("2021-01-01", "2021-02-30")), vec![(two, "day", "not_a_day")]),
        (line(&with("2021-01-01", "infinity")), vec![(two, "day", "malformed")]),
        (line(&with("\"2021-01-01\"", "20210101")), vec![(two, "day", "malformed")]),
        (line(&with(":1", ":0")), vec![(two, "price", "out_of_range")]),
        (line(&with(":1", ":2147483648")), vec![(two, "price", "out_of_range")]),
        (line(&with(":1", ":1e400")), vec![(two, "row", "malformed")]),
        (line(&with(":1", ":1.5")), vec![(two, "price", "malformed")]),
        (line(&with(":1", ":\"1\"")), vec![(two, "price", "malformed")]),
        (line(&with(":1", ":null")), vec![(two, "price", "malformed")]),
        (line(&with(":1", ":{\"a\":[[]]}")), vec![(two, "price", "malformed")]),
        (line(&with(",\"price\":1", "")), vec![(two, "price", "missing")]),
        (line(&with("price", "prize")), vec![(two, "prize", "unknown"), (two, "price", "missing")]),
        (line(&with("\"price\"", "\"price\":1,\"price\"")), vec![(two, "price", "repeated")]),
        (line("[]"), vec![(two, "row", "malformed")]),
        (line("{"), vec![(two, "row", "malformed")]),
        (csv("CNSGH,NLRTM,2021-01-01"), vec![(two, "row", "wrong_column_count")]),
        (csv("CNSGH,NLRTM,2021-01-01,1,1"), vec![(two, "row", "wrong_column_count")]),
        (csv("CNSGH,,2021-01-01,+1"), vec![(two, "dest_code", "missing"), (two, "price", "malformed")]),
        (csv("CNSGH,NLRTM,2021-01-01,99999999999999999999"), vec![(two, "price", "out_of_range")]),
        (csv("CNSGH,NL\tTM,2021-01-01,1"), vec![(two, "dest_code", "malformed")]),
        (csv("CNSGH,\\N,2021-01-01,1"), vec![(two, "dest_code", "malformed")]),
        ((CSV, "orig_code,dest_code,day,price,price\n".into()), vec![(None, "price", "repeated")]),
        (
            (CSV, "orig_code,dest_code,day,cost\n".into()),
            vec![(None, "cost", "unknown"), (None, "price", "missing")],
        ),
        ((CSV, String::new()), vec![(None, "content", "missing")]),
        ((CSV, "orig_code,dest_code,day,price\n".into()), vec![(None, "content", "missing")]),
        ((JSON, "[]".into()), vec![(None, "content", "missing")]),
        ((JSON, "{}".into()), vec![(None, "prices", "missing")]),
        ((JSON, format!("{{\"prices\":[{good}],\"x\":[{{}}]}}")), vec![(None, "x", "unknown")]),
        ((JSON, format!("[{good},{good}")), vec![(Some(3), "content", "malformed")]),
        ((JSON, format!("[{good}] x")), vec![(two, "content", "malformed")]),
        ((JSON, "[".repeat(100_000)), vec![(Some(1), "content", "malformed")]),
        ((JSON, "17".into()), vec![(Some(1), "content", "malformed")]),
        (
            (JSON, format!("[{good},{}]", with("CNSGH", &"A".repeat(3 << 20)))),
            vec![(two, "content", "too_long")],
        ),
    ];
    for ((content_type, text), faults) in table {
        let answer = server.post(content_type, text.clone()).await;
        let text = text.chars().take(300).collect::<String>();
        assert_eq!(answer.status, 422, "{text}: {answer:#?}");
        assert_eq!(answer.faults(), faults, "{text}");
        assert_eq!(answer.body["total"], faults.len(), "{text}");
    }
    let not_utf8 = [b"orig_code,dest_code,day,price\nCN\xffGH,NLRTM,2021-01-01,1\n".as_slice()].concat();
    assert_eq!(server.post(CSV, not_utf8).await.expect(422).faults(), [(Some(1), "orig_code", "malformed")]);
    let not_utf8 = good
        .replace("CNSGH", "C\u{1}")
        .into_bytes()
        .iter()
        .map(|byte| if *byte == 1 { 0xff } else { *byte })
        .collect::<Vec<_>>();
    server.post(NDJSON, not_utf8).await.expect(422);
    let mut cut = gzip(&ROWS.repeat(100));
    cut.truncate(40);
    let answer = server.post_with(CSV, cut, &[("content-encoding", "gzip")]).await.expect(422);
    assert_eq!(answer.faults().last().map(|fault| fault.1), Some("content"));
    assert_eq!(server.prices().await, 0);
    assert_eq!(server.count("select count(*) from batches").await, 0);
}

#[sqlx::test(migrations = "../db/migrations")]
async fn of_many_faults_the_first_hundred_are_listed_and_all_are_counted(pool: PgPool) {
    let server = Server::start(pool).await;
    let mut text = String::from("orig_code,dest_code,day,price\n");
    for row in 0..150 {
        text.push_str(if row % 2 == 0 { "CNSGH,XXXXX,2021-01-01,1\n" } else { "CNSGH,NLRTM,x,1\n" });
    }
    let answer = server.post(CSV, text).await.expect(422);
    assert_eq!(answer.body["total"], 150);
    assert_eq!(answer.body["rows"], 150);
    let rows: Vec<_> = answer.faults().iter().map(|(row, ..)| row.unwrap()).collect();
    assert_eq!(rows, (1..=100).collect::<Vec<_>>());
}

#[sqlx::test(migrations = "../db/migrations")]
async fn a_repeated_request_is_answered_with_the_first_result(pool: PgPool) {
    let server = Server::start(pool).await;
    let key = [("idempotency-key", "january")];
    let first = server.post_with(CSV, ROWS, &key).await.expect(201).body;
    assert_eq!(server.post_with(CSV, ROWS, &key).await.expect(200).body, first);
    assert_eq!(server.post(CSV, ROWS).await.expect(200).body, first, "the content alone tells");
    let other = ROWS.replace("300", "301");
    server.post_with(CSV, other.clone(), &key).await.expect(409);
    server.post(CSV, other).await.expect(201);
    assert_eq!(server.prices().await, 6);
    // Another supplier's batch is another batch.
    let request = Request::post("/prices")
        .header("content-type", CSV)
        .header("idempotency-key", "january")
        .header("authorization", "Bearer rates_2_two")
        .body(Body::from(ROWS))
        .unwrap();
    server.send(request).await.expect(201);
    // After the configured time, the same content is a new batch.
    sqlx::raw_sql("update batches set created_at = created_at - interval '2 days'")
        .execute(&server.pool)
        .await
        .unwrap();
    server.post(CSV, ROWS).await.expect(201);
}

#[sqlx::test(migrations = "../db/migrations")]
async fn of_equal_requests_at_once_one_puts_in(pool: PgPool) {
    let server = Server::start(pool).await;
    for headers in [&[("idempotency-key", "k")][..], &[]] {
        let text = format!("{ROWS}CNSGH,NLRTM,2021-01-05,{}\n", headers.len() + 1);
        let posts = (0..4).map(|_| server.post_with(CSV, text.clone(), headers));
        let mut statuses: Vec<u16> =
            futures_util::future::join_all(posts).await.iter().map(|answer| answer.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 200, 201]);
    }
    assert_eq!(server.prices().await, 8);
}

#[sqlx::test(migrations = "../db/migrations")]
async fn only_keys_that_hold_open_the_door(pool: PgPool) {
    let server = Server::start(pool).await;
    let batch = server.post(CSV, ROWS).await.expect(201).body;
    let path = format!("/batches/{}", batch["id"]);
    for key in ["", "nonsense", "rates_1_two", "rates_3_one", "rates_9999999999999999999999_one"] {
        let refused = server.ask("GET", &path, key).await.expect(401);
        assert_eq!(refused.headers["www-authenticate"], "Bearer", "{key}");
    }
    let bare = Request::post("/prices").header("content-type", CSV).body(Body::from(ROWS)).unwrap();
    server.send(bare).await.expect(401);
    server.ask("GET", &path, "rates_2_two").await.expect(403);
    server.ask("DELETE", &path, "rates_2_two").await.expect(403);
    server.ask("GET", "/batches/999", "rates_1_one").await.expect(404);
    server.ask("GET", "/batches/x", "rates_1_one").await.expect(400);
    assert_eq!(server.count("select count(*) from api_keys where last_used_at is not null").await, 2);
    for end in ["expires_at = now()", "expires_at = null, revoked_at = now()"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("update api_keys set {end} where id = 1")))
            .execute(&server.pool)
            .await
            .unwrap();
        server.ask("GET", &path, "rates_1_one").await.expect(401);
    }
    assert_eq!(server.prices().await, 3);
}

#[sqlx::test(migrations = "../db/migrations")]
async fn a_key_revoked_during_the_upload_ends_it(pool: PgPool) {
    let server = Server::start(pool).await;
    let revoke = server.pool.clone();
    let pieces = futures_util::stream::unfold(0, move |at| {
        let pool = revoke.clone();
        async move {
            if at == 1 {
                sqlx::raw_sql("update api_keys set revoked_at = now()").execute(&pool).await.unwrap();
            }
            [Some(ROWS), Some("CNSGH,NLRTM,2021-01-03,5\n")]
                .get(at)
                .copied()
                .flatten()
                .map(|text| (Ok::<_, std::io::Error>(text), at + 1))
        }
    });
    server.post(CSV, Body::from_stream(Box::pin(pieces))).await.expect(401);
    assert_eq!(server.prices().await, 0);
}

#[sqlx::test(migrations = "../db/migrations")]
async fn reads_are_open_unless_configured_otherwise(pool: PgPool) {
    let server = Server::with(pool, &[("RATES__API__READS_NEED_KEY", "true")]).await;
    let rates = "/rates?date_from=2021-01-01&date_to=2021-01-01&origin=asia&destination=europe";
    server.ask("GET", rates, "").await.expect(401);
    server.ask("GET", "/ports", "rates_1_x").await.expect(401);
    server.ask("GET", rates, "rates_1_one").await.expect(200);
    server.ask("GET", "/healthz", "").await.expect(200);
}

#[sqlx::test(migrations = "../db/migrations")]
async fn what_is_too_much_or_of_an_unknown_kind_is_refused(pool: PgPool) {
    let settings = [
        ("RATES__BATCHES__BODY_LIMIT_BYTES", "1000"),
        ("RATES__BATCHES__PER_MINUTE_BY_KEY", "7"),
        ("RATES__BATCHES__PER_MINUTE_BY_ADDRESS", "9"),
    ];
    let server = Server::with(pool, &settings).await;
    for (content_type, encoding) in
        [("text/plain", "identity"), ("text/csv; charset=latin1", "gzip"), (CSV, "br")]
    {
        server.post_with(content_type, ROWS, &[("content-encoding", encoding)]).await.expect(415);
    }
    server.post_with(CSV, ROWS, &[("idempotency-key", " ")]).await.expect(400);
    let large = ROWS.to_owned() + &"\n".repeat(2000);
    server.post(CSV, large.clone()).await.expect(413);
    server.post_with(CSV, gzip(&large), &[("content-encoding", "gzip")]).await.expect(413);
    server
        .post_with(CSV, gzip(&large), &[("content-encoding", "gzip"), ("prefer", "respond-async")])
        .await
        .expect(413);
    let refused = server.post(CSV, ROWS).await.expect(429);
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
    server.ask("DELETE", "/batches/1", "nonsense").await.expect(401);
    server.ask("DELETE", "/batches/1", "nonsense").await.expect(429);
    server.ask("GET", "/batches", "rates_1_one").await.expect(200);
    assert_eq!(server.prices().await, 0);
}

#[sqlx::test(migrations = "../db/migrations")]
async fn batches_are_listed_newest_first_and_only_ones_own(pool: PgPool) {
    let server = Server::start(pool).await;
    let mut ids = Vec::new();
    for price in 1..=5 {
        let text = format!("orig_code,dest_code,day,price\nCNSGH,NLRTM,2021-01-01,{price}\n");
        ids.push(server.post(CSV, text).await.expect(201).body["id"].as_i64().unwrap());
    }
    ids.reverse();
    let (mut found, mut path) = (Vec::new(), "/batches?limit=2".to_owned());
    loop {
        let body = server.ask("GET", &path, "rates_1_one").await.expect(200).body;
        assert!(body["batches"].as_array().unwrap().len() <= 2, "{body}");
        found.extend(body["batches"].as_array().unwrap().iter().map(|batch| batch["id"].as_i64().unwrap()));
        match body["next"].as_str() {
            Some(next) => next.clone_into(&mut path),
            None => break,
        }
    }
    assert_eq!(found, ids);
    assert_eq!(server.ask("GET", "/batches", "rates_2_two").await.expect(200).body["batches"], json!([]));
    server.ask("GET", "/batches?after=x", "rates_1_one").await.expect(400);
}

/// Works until no job is left.
async fn work_off(server: &Server) {
    let stopping = Stopping::default();
    let worker = tokio::spawn(work(server.app.clone(), stopping.clone()));
    while server.count("select count(*) from batch_jobs").await > 0 {
        tokio::task::yield_now().await;
    }
    stopping.gently.cancel();
    worker.await.unwrap();
}

#[sqlx::test(migrations = "../db/migrations")]
async fn a_batch_that_waits_is_stored_then_put_in_once(pool: PgPool) {
    let server = Server::start(pool).await;
    let wish = [("prefer", "wait=10, respond-async"), ("content-encoding", "gzip")];
    let accepted = server.post_with(CSV, gzip(ROWS), &wish).await.expect(202);
    assert_eq!(accepted.headers["preference-applied"], "respond-async");
    assert_eq!(accepted.body["state"], "queued");
    assert_eq!(server.prices().await, 0);
    let path = accepted.headers["location"].to_str().unwrap().to_owned();
    server.ask("DELETE", &path, "rates_1_one").await.expect(409);
    assert_eq!(
        server.post(CSV, ROWS).await.expect(200).body["id"],
        accepted.body["id"],
        "it counts while it waits"
    );
    work_off(&server).await;
    let done = server.ask("GET", &path, "rates_1_one").await.expect(200).body;
    assert_eq!((&done["state"], &done["rows"], &done["lanes"]), (&json!("done"), &json!(3), &json!(2)));
    assert_eq!(server.prices().await, 3);
    assert_eq!(server.count("select count(*) from batch_pieces").await, 0, "the content is kept no longer");
}

#[sqlx::test(migrations = "../db/migrations")]
async fn a_batch_that_waits_may_fail_with_its_reasons(pool: PgPool) {
    let server = Server::start(pool).await;
    let text = ROWS.replace("GBFXT", "XXXXX");
    let wish = [("prefer", "respond-async"), ("idempotency-key", "k")];
    let accepted = server.post_with(CSV, text.clone(), &wish).await.expect(202).body;
    work_off(&server).await;
    let path = format!("/batches/{}", accepted["id"]);
    let failed = server.ask("GET", &path, "rates_1_one").await.expect(200).body;
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["problem"]["status"], 422);
    assert_eq!(failed["problem"]["errors"][0]["row"], 3);
    assert_eq!(server.post_with(CSV, text, &wish).await.expect(200).body, failed);
    server.ask("DELETE", &path, "rates_1_one").await.expect(409);
    assert_eq!(server.prices().await, 0);
}

#[sqlx::test(migrations = "../db/migrations")]
async fn a_worker_that_must_stop_gives_its_batch_back(pool: PgPool) {
    let server = Server::start(pool).await;
    server.post_with(CSV, ROWS, &[("prefer", "respond-async")]).await.expect(202);
    // Whoever holds the version holds off the worker.
    let mut holder = server.pool.begin().await.unwrap();
    sqlx::raw_sql("select move_data_version(false)").execute(&mut *holder).await.unwrap();
    let stopping = Stopping::default();
    let worker = tokio::spawn(work(server.app.clone(), stopping.clone()));
    while server.count("select count(*) from batches where state = 'processing'").await == 0 {
        tokio::task::yield_now().await;
    }
    stopping.gently.cancel();
    stopping.now.cancel();
    worker.await.unwrap();
    assert_eq!(server.count("select count(*) from batches where state = 'queued' and attempts = 0").await, 1);
    holder.rollback().await.unwrap();
    work_off(&server).await;
    assert_eq!(server.prices().await, 3);
}

#[sqlx::test(migrations = "../db/migrations")]
async fn a_batch_whose_workers_keep_dying_is_given_up(pool: PgPool) {
    let server = Server::start(pool).await;
    let accepted = server.post_with(CSV, ROWS, &[("prefer", "respond-async")]).await.expect(202).body;
    sqlx::raw_sql("update batches set attempts = 20").execute(&server.pool).await.unwrap();
    work_off(&server).await;
    let failed =
        server.ask("GET", &format!("/batches/{}", accepted["id"]), "rates_1_one").await.expect(200).body;
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["problem"]["status"], 500);
    assert_eq!(server.prices().await, 0);
}

#[sqlx::test(migrations = "../db/migrations")]
async fn how_batches_end_is_counted(pool: PgPool) {
    let server = Server::start(pool).await;
    let counts = || {
        let mut registry = prometheus_client::registry::Registry::default();
        server.app.register_metrics(&mut registry);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        ["done", "refused", "failed"].map(|outcome| {
            let name = format!("rates_batches_{outcome}_total ");
            page.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap()
        })
    };
    assert_eq!(counts(), [0, 0, 0]);
    server.post(CSV, ROWS).await.expect(201);
    server.post(CSV, ROWS).await.expect(200);
    assert_eq!(counts(), [1, 0, 0], "a repetition is no batch");
    let wrong = ROWS.replace("GBFXT", "XXXXX");
    server.post(CSV, wrong.clone()).await.expect(422);
    server.post_with(CSV, wrong, &[("prefer", "respond-async")]).await.expect(202);
    work_off(&server).await;
    assert_eq!(counts(), [1, 2, 0]);
    server.post_with(CSV, format!("{ROWS}GBFXT,EETLL,2021-01-09,5\n"), &[("prefer", "respond-async")]).await;
    sqlx::raw_sql("update batches set attempts = 20").execute(&server.pool).await.unwrap();
    work_off(&server).await;
    assert_eq!(counts(), [1, 2, 1]);
}

#[sqlx::test(migrations = "../db/migrations")]
async fn the_role_for_serve_may_do_all_that_batches_need(pool: PgPool) {
    let role = format!("batch_app_{}", std::process::id());
    let mut owner = pool.acquire().await.unwrap();
    let script = include_str!("../../src/sql/app_role.sql");
    sqlx::query("select set_config('rates.role', $1, false), set_config('rates.password', 'x', false)")
        .bind(&role)
        .execute(&mut *owner)
        .await
        .unwrap();
    sqlx::raw_sql(script).execute(&mut *owner).await.unwrap();
    let options = (*pool.connect_options()).clone().username(&role).password("x");
    let as_app = sqlx::postgres::PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    let server = Server::start(pool.clone()).await;
    let environment: [(String, String); 0] = [];
    let settings = chassis::settings::load::<Settings>(environment).unwrap().settings;
    let (api, batches) = (settings.api.clone(), settings.batches.clone());
    let app = App::new(Database::of(as_app.clone()), api, &settings.cache, batches);
    let (router, _) = rates::http::router::routers(&app, &settings, "test");
    let server = Server { app, router, ..server };
    let batch = server.post(CSV, ROWS).await.expect(201).body;
    server.post_with(CSV, ROWS.replace("300", "1"), &[("prefer", "respond-async")]).await.expect(202);
    work_off(&server).await;
    server.ask("DELETE", &format!("/batches/{}", batch["id"]), "rates_1_one").await.expect(200);
    assert_eq!(server.prices().await, 3);
    for refused in [
        "update prices set price = 1",
        "insert into daily_rates values ('a', 'b', '2021-01-01', 1, 1)",
        "update api_keys set revoked_at = null",
        "insert into suppliers values ('me')",
        "delete from batches",
    ] {
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(refused)).execute(&as_app).await.expect_err(refused);
        assert_eq!(
            error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(),
            Some("42501"),
            "{refused}"
        );
    }
    as_app.close().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("drop owned by {role}; drop role {role}")))
        .execute(&mut *owner)
        .await
        .unwrap();
}
