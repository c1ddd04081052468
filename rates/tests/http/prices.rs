//! `POST /prices`: a batch is stored as a whole or not at all.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Request};
use rates::database::Database;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    supplier_client::{CSV, ExpectFaults, JSON, NDJSON, ROWS, XLSX, count, count_prices, gzip, work_off},
    support::Instance,
};

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn every_format_plain_or_gzip_is_stored_alike(pool: PgPool) {
    let instance = Instance::new(&pool);
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
                .execute(&pool)
                .await
                .unwrap();
            let answer = if zipped {
                instance.post_with(content_type, gzip(&text), &[("content-encoding", "gzip")]).await
            } else {
                instance.post(content_type, text.clone()).await
            };
            let answer = answer.expect(201);
            let batch = &answer.json();
            assert_eq!(answer.header("location"), format!("/batches/{}", batch["id"]).as_str());
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
                .fetch_one(&pool)
                .await
                .unwrap();
            assert_eq!(batch["content_sha256"], sha256, "of the content as it is unzipped");
            let version = count(&pool, "select version from data_version").await;
            assert_eq!(batch["data_version"], version);
            let stored: Vec<(String, String, String, i32, i64)> = sqlx::query_as(
                "select orig_code, dest_code, day::text, price, batch_id from prices order by day",
            )
            .fetch_all(&pool)
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

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn every_bad_row_is_named_and_nothing_is_stored(pool: PgPool) {
    let instance = Instance::new(&pool);
    let good = r#"{"orig_code":"CNSGH","dest_code":"NLRTM","day":"2021-01-01","price":1}"#;
    let with = |from: &str, to: &str| good.replace(from, to);
    let line = |row: &str| (NDJSON, format!("{good}\n{row}\n"));
    let csv = |row: &str| (CSV, format!("orig_code,dest_code,day,price\nCNSGH,NLRTM,2021-01-01,1\n{row}\n"));
    let window = |row: &str| (CSV, format!("orig_code,dest_code,valid_from,valid_to,price\n{row}\n"));
    let (two, three) = (Some(2), Some(3));
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
        (
            line(&with("{", r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"#)),
            ["a", "b", "c", "d"].map(|name| (two, name, "unknown")).to_vec(),
        ),
        (line(&with("\"price\"", "\"price\":1,\"price\"")), vec![(two, "price", "repeated")]),
        (line("[]"), vec![(two, "row", "malformed")]),
        (line("{"), vec![(two, "row", "malformed")]),
        (csv("CNSGH,NLRTM,2021-01-01"), vec![(three, "row", "wrong_column_count")]),
        (csv("CNSGH,NLRTM,2021-01-01,1,1"), vec![(three, "row", "wrong_column_count")]),
        (csv("CNSGH,,2021-01-01,+1"), vec![(three, "dest_code", "missing"), (three, "price", "malformed")]),
        (csv("CNSGH,NLRTM,2021-01-01,99999999999999999999"), vec![(three, "price", "out_of_range")]),
        (csv("CNSGH,NLRTM,.1.2021,1"), vec![(three, "day", "malformed")]),
        (csv("CNSGH,NL\tTM,2021-01-01,1"), vec![(three, "dest_code", "malformed")]),
        (csv(",,,\nCNSGH,NLRTM,2021-01-01,1.500"), vec![(Some(4), "price", "malformed")]),
        (csv("CNSGH,NLRTM,2021-01-01,\"1,50\""), vec![(three, "price", "malformed")]),
        (window("CNSGH,NLRTM,2021-01-03,2021-01-02,1"), vec![(two, "valid_to", "out_of_order")]),
        (window("CNSGH,NLRTM,2021-01-01,2022-01-02,1"), vec![(two, "valid_to", "out_of_range")]),
        (window("CNSGH,NLRTM,,2022-01-02,1"), vec![(two, "valid_from", "missing")]),
        (window("CNSGH,XXXXX,2021-01-01,2021-01-09,1"), vec![(two, "dest_code", "unknown")]),
        (
            line(&with("\"price\"", "\"valid_from\":\"2021-01-01\",\"price\"")),
            vec![(two, "day", "conflicting")],
        ),
        (csv("CNSGH,\\N,2021-01-01,1"), vec![(three, "dest_code", "malformed")]),
        ((CSV, "orig_code,dest_code,day,price,price\n".into()), vec![(None, "header", "malformed")]),
        ((CSV, "orig_code,dest_code,day,cost\n".into()), vec![(None, "header", "malformed")]),
        ((CSV, String::new()), vec![(None, "content", "missing")]),
        ((CSV, "orig_code,dest_code,day,price\n".into()), vec![(None, "content", "missing")]),
        ((JSON, "[]".into()), vec![(None, "content", "missing")]),
        ((JSON, "{}".into()), vec![(None, "prices", "missing")]),
        ((JSON, format!("{{\"prices\":[{good}],\"x\":[{{}}]}}")), vec![(None, "x", "unknown")]),
        (
            (JSON, format!("{{\"x\":1,\"prices\":[{good}],\"prices\":[]}}")),
            vec![(None, "x", "unknown"), (None, "prices", "repeated")],
        ),
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
        println!("{content_type} {}", text.chars().take(300).collect::<String>());
        instance.post(content_type, text).await.expect_faults(&faults);
    }
    let not_utf8 = [b"orig_code,dest_code,day,price\nCN\xffGH,NLRTM,2021-01-01,1\n".as_slice()].concat();
    instance.post(CSV, not_utf8).await.expect_faults(&[(Some(2), "orig_code", "malformed")]);
    let not_utf8 = good
        .replace("CNSGH", "C\u{1}")
        .into_bytes()
        .iter()
        .map(|byte| if *byte == 1 { 0xff } else { *byte })
        .collect::<Vec<_>>();
    instance.post(NDJSON, not_utf8).await.expect(422);
    let mut cut = gzip(&ROWS.repeat(100));
    cut.truncate(40);
    let body = instance.post_with(CSV, cut, &[("content-encoding", "gzip")]).await.expect(422).json();
    assert_eq!(body["errors"].as_array().unwrap().last().unwrap()["field"], "content", "{body}");
    let headers = [("content-encoding", "gzip"), ("prefer", "respond-async")];
    let damaged = instance.post_with(CSV, "no gzip", &headers).await.expect(400).json();
    assert!(damaged["detail"].as_str().unwrap().contains("cannot be decompressed"), "{damaged}");
    assert_eq!(count_prices(&pool).await, 0);
    assert_eq!(count(&pool, "select count(*) from batches").await, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn all_faults_are_counted_and_the_first_hundred_listed(pool: PgPool) {
    let instance = Instance::new(&pool);
    let mut text = String::from("orig_code,dest_code,day,price\n");
    for row in 0..150 {
        text.push_str(if row % 2 == 0 { "CNSGH,XXXXX,2021-01-01,1\n" } else { "CNSGH,NLRTM,x,1\n" });
    }
    let answer = instance.post(CSV, text).await.expect(422);
    assert_eq!(answer.json()["total"], 150);
    assert_eq!(answer.json()["rows"], 150);
    let body = answer.json();
    let rows: Vec<_> =
        body["errors"].as_array().unwrap().iter().map(|error| error["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, (2..=101).collect::<Vec<_>>(), "the header is row 1");
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("150 faults, of which `errors` lists the first 100;"), "{detail}");
    let two = instance.post(CSV, "orig_code,dest_code,day,price\nCNSGH,NLRTM,x,y\n").await.expect(422).json();
    assert!(two["detail"].as_str().unwrap().contains("2 faults, listed in `errors`;"), "{two}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_batch_whose_port_is_deleted_while_it_is_stored_is_to_be_sent_again(pool: PgPool) {
    let instance = Instance::new(&pool);
    let mut deletion = pool.begin().await.unwrap();
    sqlx::query("delete from ports where code = 'GBFXT'").execute(&mut *deletion).await.unwrap();
    // The batch sees the port until the deletion is committed, and cannot be stored before that.
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    let committing = async {
        while count(&pool, waiting).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        deletion.commit().await.unwrap();
    };
    let posting = instance.post(CSV, "orig_code,dest_code,day,price\nCNSGH,GBFXT,2021-01-01,1\n");
    let (answer, ()) = tokio::join!(posting, committing);
    let answer = answer.expect(503);
    assert_eq!(answer.header("retry-after"), "1");
    assert!(answer.text().contains("The ports changed during the upload"), "{answer}");
    assert_eq!(count_prices(&pool).await, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn reading_stops_after_very_many_faults(pool: PgPool) {
    let instance = Instance::new(&pool);
    // Some 60 kB of gzip, which were read for seconds.
    let times = 500_000;
    let csv = format!("orig_code,dest_code,day,price\n{}", "CNSGH,NLRTM,x,1\n".repeat(times));
    let object = r#"{"orig_code":"CNSGH","dest_code":"NLRTM","day":"x","price":1}"#;
    let json = format!("[{}]", vec![object; times].join(","));
    for (content_type, text) in [(CSV, csv), (NDJSON, format!("{object}\n").repeat(times)), (JSON, json)] {
        let headers = [("content-encoding", "gzip")];
        let answer = instance.post_with(content_type, gzip(&text), &headers).await.expect(422);
        let body = answer.json();
        assert_eq!(body["errors"].as_array().unwrap().len(), 100, "{content_type}");
        let counts = (&body["total"], &body["rows"], &body["stopped"]);
        assert_eq!(counts, (&json!(1000), &json!(1000), &json!(true)), "{content_type}");
        let detail = body["detail"].as_str().unwrap();
        let last = if content_type == CSV { "only to row 1001" } else { "only to row 1000" };
        assert!(detail.contains(last), "{detail}");
    }
    assert_eq!(count_prices(&pool).await, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_repeated_request_is_answered_with_the_first_result(pool: PgPool) {
    let instance = Instance::new(&pool);
    let key = [("idempotency-key", "january")];
    let first = instance.post_with(CSV, ROWS, &key).await.expect(201).json();
    assert_eq!(instance.post_with(CSV, ROWS, &key).await.expect(200).json(), first);
    assert_eq!(instance.post(CSV, ROWS).await.expect(200).json(), first, "the content alone tells");
    let other = ROWS.replace("300", "301");
    instance.post_with(CSV, other.clone(), &key).await.expect(409);
    instance.post(CSV, other).await.expect(201);
    assert_eq!(count_prices(&pool).await, 6);
    // Another supplier's batch is another batch.
    let request = Request::post("/prices")
        .header("content-type", CSV)
        .header("idempotency-key", "january")
        .header("authorization", "Bearer rates_2_two")
        .body(Body::from(ROWS))
        .unwrap();
    instance.send(request).await.expect(201);
    // After the configured time, the same content is a new batch.
    sqlx::raw_sql("update batches set created_at = created_at - interval '2 days'")
        .execute(&pool)
        .await
        .unwrap();
    instance.post(CSV, ROWS).await.expect(201);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn one_of_several_equal_requests_stores_the_batch(pool: PgPool) {
    let settings = [("RATES__BATCHES__UPLOADS_BY_SUPPLIER", "4")];
    let instance = Instance::with(Database::of(pool.clone()), &settings);
    for headers in [&[("idempotency-key", "k")][..], &[]] {
        let text = format!("{ROWS}CNSGH,NLRTM,2021-01-05,{}\n", headers.len() + 1);
        let posts = (0..4).map(|_| instance.post_with(CSV, text.clone(), headers));
        let mut statuses: Vec<u16> =
            futures_util::future::join_all(posts).await.iter().map(|answer| answer.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 200, 201]);
    }
    assert_eq!(count_prices(&pool).await, 8);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn too_large_too_frequent_and_unsupported_uploads_are_rejected(pool: PgPool) {
    let settings = [
        ("RATES__BATCHES__BODY_LIMIT_BYTES", "1000"),
        ("RATES__BATCHES__PER_MINUTE_BY_KEY", "8"),
        ("RATES__BATCHES__PER_MINUTE_BY_ADDRESS", "10"),
    ];
    let instance = Instance::with(Database::of(pool.clone()), &settings);
    for (content_type, encoding) in
        [("text/plain", "identity"), ("text/csv; Charset=latin1", "gzip"), (CSV, "br")]
    {
        instance.post_with(content_type, ROWS, &[("content-encoding", encoding)]).await.expect(415);
    }
    for wrong in [HeaderValue::from_static(" "), HeaderValue::from_bytes(b"k\xf6ln").unwrap()] {
        let request = Request::post("/prices").header("content-type", CSV).header("idempotency-key", wrong);
        let request = request.header("authorization", "Bearer rates_1_one").body(Body::from(ROWS)).unwrap();
        instance.send(request).await.expect(400);
    }
    let large = ROWS.to_owned() + &"\n".repeat(2000);
    instance.post(CSV, large.clone()).await.expect(413);
    instance.post_with(CSV, gzip(&large), &[("content-encoding", "gzip")]).await.expect(413);
    instance
        .post_with(CSV, gzip(&large), &[("content-encoding", "gzip"), ("prefer", "respond-async")])
        .await
        .expect(413);
    let refused = instance.post(CSV, ROWS).await.expect(429);
    assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1);
    instance.ask("DELETE", "/batches/1", "nonsense").await.expect(401);
    instance.ask("DELETE", "/batches/1", "nonsense").await.expect(429);
    instance.ask("GET", "/batches", "rates_1_one").await.expect(200);
    assert_eq!(count_prices(&pool).await, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn outcomes_of_batches_are_counted(pool: PgPool) {
    let instance = Instance::new(&pool);
    let counts = || {
        let mut registry = prometheus_client::registry::Registry::default();
        instance.app.register_metrics(&mut registry);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        ["done", "refused", "failed"].map(|outcome| {
            let name = format!("rates_batches_{outcome}_total ");
            page.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap()
        })
    };
    assert_eq!(counts(), [0, 0, 0]);
    instance.post(CSV, ROWS).await.expect(201);
    instance.post(CSV, ROWS).await.expect(200);
    assert_eq!(counts(), [1, 0, 0], "a repetition is no batch");
    let wrong = ROWS.replace("GBFXT", "XXXXX");
    instance.post(CSV, wrong.clone()).await.expect(422);
    instance.post_with(CSV, wrong, &[("prefer", "respond-async")]).await.expect(202);
    work_off(&instance, &pool).await;
    assert_eq!(counts(), [1, 2, 0]);
    instance
        .post_with(CSV, format!("{ROWS}GBFXT,EETLL,2021-01-09,5\n"), &[("prefer", "respond-async")])
        .await;
    sqlx::raw_sql("update jobs set attempts = 20").execute(&pool).await.unwrap();
    work_off(&instance, &pool).await;
    assert_eq!(counts(), [1, 2, 1]);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_wrong_header_is_one_fault_that_says_what_would_be_right(pool: PgPool) {
    let instance = Instance::new(&pool);
    for (text, reason) in [
        ("orig_code|dest_code|day|price\nCNSGH|NLRTM|2021-01-01|100\n", "it names no column of prices"),
        ("from,to,day,price,note\n", "orig_code is missing, dest_code is missing, \"from\" is not a column"),
        ("orig_code,dest_code,day,price,price\n", "price appears twice"),
        ("CNSGH,NLRTM,2021-01-01,100\n", "it names no column of prices"),
        ("orig_code,dest_code,day,valid_from,price\n", "day cannot be combined with valid_from or valid_to"),
        ("orig_code,dest_code,valid_from,price\n", "valid_to is missing"),
    ] {
        let body = instance.post(CSV, text).await.expect_faults(&[(None, "header", "malformed")]);
        let detail = body["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(reason), "{detail}");
        assert!(detail.contains("orig_code, dest_code, price and day"), "{detail}");
    }
    assert_eq!(count_prices(&pool).await, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_day_far_in_the_future_and_a_very_high_price_are_refused_by_row(pool: PgPool) {
    let limits = [("RATES__BATCHES__MAX_DAYS_AHEAD", "10"), ("RATES__BATCHES__MAX_PRICE", "5000")];
    let instance = Instance::with(rates::database::Database::of(pool.clone()), &limits);
    let day = |ahead: u64| chrono::Utc::now().date_naive() + chrono::Days::new(ahead);
    let rows = |rows: &[(u64, i32)]| {
        let rows = rows.iter().map(|(ahead, price)| format!("CNSGH,NLRTM,{},{price}\n", day(*ahead)));
        format!("orig_code,dest_code,day,price\n{}", rows.collect::<String>())
    };
    // Eleven days could be ten when midnight comes in between; twelve cannot.
    let body = instance
        .post(CSV, rows(&[(0, 1), (12, 5000), (10, 5001)]))
        .await
        .expect_faults(&[(Some(3), "day", "out_of_range"), (Some(4), "price", "out_of_range")]);
    assert!(body["errors"][0]["detail"].as_str().unwrap().contains("too far in the future"), "{body}");
    assert!(body["errors"][1]["detail"].as_str().unwrap().contains("from 1 to 5000"), "{body}");
    instance.post(CSV, rows(&[(9, 5000)])).await.expect(201);
    assert_eq!(count_prices(&pool).await, 1);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn sheets_are_read_as_spreadsheets_write_them(pool: PgPool) {
    let settings = [("RATES__BATCHES__COLUMN_NAMES", "pol=orig_code, Port of Discharge=dest_code, note=-")];
    let instance = Instance::with(Database::of(pool.clone()), &settings);
    for text in [
        "\u{feff}orig_code;dest_code;day;price\r\nCNSGH;NLRTM;2021-01-01;100,00\r\n",
        "Orig Code\tDEST-CODE\tday\tprice\nCNSGH\tNLRTM\t2021-01-01\t100\n",
        ",price,day,pol,Note,port_of_discharge\n0,100.0,2021-01-01,CNSGH,\"a, b\nc\",NLRTM\n",
        "orig_code,dest_code,day,price,,\n,,,,,\nCNSGH,NLRTM,2021-01-01,100,,\n\n",
        "orig_code,dest_code,valid_from,valid_to,price\nCNSGH,NLRTM,2021-01-01,2021-01-01,100\n",
    ] {
        sqlx::raw_sql("delete from prices").execute(&pool).await.unwrap();
        let batch = instance.post(CSV, text).await.expect(201).json();
        assert_eq!((&batch["rows"], &batch["prices"]), (&json!(1), &json!(1)), "{text:?}");
        let right = "select count(*) from prices
                     where (orig_code, dest_code, day, price) = ('CNSGH', 'NLRTM', '2021-01-01', 100)";
        assert_eq!(count(&pool, right).await, 1, "{text:?}");
    }
    let quoted =
        "orig_code,dest_code,day,price,note\nCNSGH,NLRTM,2021-01-01,1,\"two\nlines\"\n\nCNSGH,NLRTM,x,1,\n";
    instance.post(CSV, quoted).await.expect_faults(&[(Some(4), "day", "malformed")]);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_window_is_a_price_for_each_of_its_days_and_windows_are_bounded(pool: PgPool) {
    let settings = [("RATES__BATCHES__MOST_PRICES", "40"), ("RATES__BATCHES__WINDOW_DAYS", "31")];
    let instance = Instance::with(Database::of(pool.clone()), &settings);
    let header = "orig_code,dest_code,valid_from,valid_to,price\n";
    let january = "CNSGH,NLRTM,2021-01-01,2021-01-31,100\n";
    let batch = instance.post(CSV, format!("{header}{january}")).await.expect(201).json();
    let counts = (&batch["rows"], &batch["prices"], &batch["days"], &batch["lanes"]);
    assert_eq!(counts, (&json!(1), &json!(31), &json!(31), &json!(1)));
    let object = r#"[{"orig_code":"CNSGH","dest_code":"NLRTM","valid_from":"2021-02-01","valid_to":"2021-02-03","price":1}]"#;
    assert_eq!(instance.post(JSON, object).await.expect(201).json()["prices"], 3);
    assert_eq!(count_prices(&pool).await, 34);
    for mode in [&[][..], &[("prefer", "respond-async")]] {
        let answer = instance.post_with(CSV, format!("{header}{january}{january}"), mode).await;
        if mode.is_empty() {
            answer.expect_faults(&[(Some(3), "content", "too_many_prices")]);
        } else {
            let path = answer.expect(202).header("location").to_owned();
            work_off(&instance, &pool).await;
            let failed = instance.ask("GET", &path, "rates_1_one").await.expect(200).json();
            assert_eq!(failed["problem"]["errors"][0]["code"], "too_many_prices");
        }
    }
    assert_eq!(count_prices(&pool).await, 34);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_dry_run_checks_all_and_stores_nothing(pool: PgPool) {
    let instance = Instance::new(&pool);
    let dry = async |text: &str, query: &str, headers: &[(&str, &str)]| {
        instance.post_to(&format!("/prices?dry_run=true{query}"), CSV, text.to_owned(), headers).await
    };
    let checked = dry(ROWS, "", &[("prefer", "respond-async")]).await.expect(200).json();
    let counts = (&checked["id"], &checked["rows"], &checked["prices"], &checked["days"], &checked["lanes"]);
    assert_eq!(counts, (&json!(0), &json!(3), &json!(3), &json!(2), &json!(2)));
    assert_eq!(checked["state"], "checked");
    let faults = dry(&ROWS.replace("GBFXT", "XXXXX"), "", &[]).await;
    faults.expect_faults(&[(Some(4), "dest_code", "unknown")]);
    dry(ROWS, "&replaces=1", &[]).await.expect(404);
    for table in ["prices", "batches", "jobs", "batch_pieces"] {
        assert_eq!(count(&pool, &format!("select count(*) from {table}")).await, 0, "{table}");
    }
    let stored = instance.post(CSV, ROWS).await.expect(201).json();
    for name in ["rows", "prices", "days", "lanes", "content_sha256", "content_bytes", "warnings"] {
        assert_eq!(stored[name], checked[name], "{name}");
    }
    assert_eq!(dry(ROWS, "", &[]).await.expect(200).json()["id"], stored["id"], "it would be a repetition");
    instance
        .post_to("/prices?dry_run=yes", CSV, ROWS, &[])
        .await
        .expect_problem(400, &[("dry_run", "malformed")]);
    instance
        .post_to("/prices?replace=1", CSV, ROWS, &[])
        .await
        .expect_problem(400, &[("replace", "unknown_parameter")]);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn prices_far_from_the_lanes_mean_are_stored_with_a_warning(pool: PgPool) {
    let instance = Instance::new(&pool);
    let csv = |rows: &str| format!("orig_code,dest_code,day,price\n{rows}");
    let first =
        instance.post(CSV, csv("CNSGH,NLRTM,2021-01-01,100\nCNSGH,NLRTM,2021-01-02,2\n")).await.expect(201);
    assert_eq!(first.json()["total_warnings"], 0, "nothing is known of the lane: {}", first.json());
    // The mean is 51; that of the other lane is unknown, and so is that of a year later.
    let rows = "CNSGH,NLRTM,2021-01-03,509\nCNSGH,NLRTM,2021-01-03,510\nCNSGH,NLRTM,2021-01-03,6\n\
                CNSGH,NLRTM,2021-01-03,5\nCNSGH,GBFXT,2021-01-03,9999\n";
    for (path, status) in [("/prices?dry_run=true", 200), ("/prices", 201)] {
        let batch = instance.post_to(path, CSV, csv(rows), &[]).await.expect(status).json();
        let warnings = batch["warnings"].as_array().unwrap();
        let rows: Vec<_> = warnings.iter().map(|warning| warning["row"].as_u64().unwrap()).collect();
        assert_eq!((rows, &batch["total_warnings"]), (vec![3, 5], &json!(2)), "{batch}");
        assert_eq!(warnings[0]["code"], "unusual");
        assert!(warnings[0]["detail"].as_str().unwrap().contains("which is 51"), "{batch}");
    }
    let later = instance.post(CSV, csv("CNSGH,NLRTM,2022-01-03,9999\n")).await.expect(201).json();
    assert_eq!(later["total_warnings"], 0);
    assert_eq!(count_prices(&pool).await, 8);
}

/// A batch costs what its own rows cost, however many prices there are.
#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_batch_reads_no_large_table_whole(pool: PgPool) {
    let mut connection = pool.acquire().await.unwrap();
    let stored = sqlx::query(
        "insert into prices (orig_code, dest_code, day, price)
         select o.code, d.code, day::date, 100
         from ports o, ports d, generate_series('2015-01-01', '2020-12-31', interval '1 day') day
         where o.code <> d.code",
    );
    let prices = stored.execute(&mut *connection).await.unwrap().rows_affected().cast_signed();
    assert!(prices > 10_000);
    sqlx::query("analyze prices, daily_rates").execute(&mut *connection).await.unwrap();
    // PostgreSQL counts what a connection has done once it is closed.
    connection.close().await.unwrap();
    let rows_read = async |stored: i64| {
        let is_counted =
            "select (n_tup_ins >= $1)::int::bigint from pg_stat_user_tables where relname = 'prices'";
        while sqlx::query_scalar::<_, i64>(is_counted).bind(stored).fetch_one(&pool).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let rows = "select sum(seq_tup_read)::bigint from pg_stat_user_tables where relname in ('prices', 'daily_rates')";
        count(&pool, rows).await
    };
    let before = rows_read(prices).await;
    let instance = Instance::new(&pool);
    let body = "orig_code,dest_code,day,price\nCNSGH,NLRTM,2021-01-01,5000\nNLRTM,CNSGH,2021-01-01,100\n";
    let batch = instance.post(CSV, body).await.expect(201).json();
    assert_eq!(batch["total_warnings"], 1, "the rollup was read: {batch}");
    assert_eq!(rows_read(prices + 2).await - before, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_workbook_is_stored_like_any_other_sheet(pool: PgPool) {
    let workbooks = [
        include_bytes!("../corpus/xlsx/pandas.xlsx").as_slice(),
        include_bytes!("../corpus/xlsx/openpyxl.xlsx").as_slice(),
    ];
    let instance = Instance::new(&pool);
    for (workbook, headers) in workbooks.into_iter().zip([&[][..], &[("prefer", "respond-async")]]) {
        let answer = instance.post_with(XLSX, workbook, headers).await;
        assert_eq!(answer.status, if headers.is_empty() { 201 } else { 202 }, "{answer}");
        work_off(&instance, &pool).await;
        let batch = instance.ask("GET", answer.header("location"), "rates_1_one").await.expect(200).json();
        assert_eq!((&batch["state"], &batch["prices"]), (&json!("done"), &json!(2)));
        assert_eq!(batch["content_bytes"], workbook.len());
        assert_eq!(instance.post_with(XLSX, workbook, headers).await.expect(200).json()["id"], batch["id"]);
    }
    assert_eq!(count(&pool, "select sum(price)::bigint from prices where batch_id > 0").await, 2 * 1151);
    instance.post(XLSX, ROWS).await.expect_faults(&[(Some(1), "content", "malformed")]);
    let settings = [("RATES__BATCHES__SHEET_LIMIT_BYTES", "10000")];
    let small = Instance::with(Database::of(pool.clone()), &settings);
    small.post_to("/prices?dry_run=true", XLSX, workbooks[0], &[]).await.expect(413);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_queued_workbook_waits_while_another_is_read(pool: PgPool) {
    let instance = Instance::new(&pool);
    let workbook = include_bytes!("../corpus/xlsx/pandas.xlsx").as_slice();
    instance.post_with(XLSX, workbook, &[("prefer", "respond-async")]).await.expect(202);
    let turn = instance.app.workbook_turn.acquire().await.unwrap();
    let reading = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(count_prices(&pool).await, 0);
        drop(turn);
    };
    tokio::join!(work_off(&instance, &pool), reading);
    assert_eq!(count_prices(&pool).await, 2);
}
