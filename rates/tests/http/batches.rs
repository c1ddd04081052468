//! `GET` and `DELETE /batches`, and what workers make of the batches that are queued.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use chassis::Stop;
use http::Request;
use rates::{database::Database, retire::retire};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    supplier_client::{CSV, ROWS, count, count_prices, gzip, work_off, work_until},
    support::Instance,
};

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_batch_that_failed_too_often_is_given_up_and_counted(pool: PgPool) {
    let instance = Instance::new(&pool);
    let queued = instance.post_with(CSV, ROWS, &[("prefer", "respond-async")]).await.expect(202);
    sqlx::query("update jobs set attempts = 1000").execute(&pool).await.unwrap();
    work_off(&instance, &pool).await;
    let batch = instance.ask("GET", queued.header("location"), "rates_1_one").await.expect(200).json();
    assert_eq!((&batch["state"], count_prices(&pool).await), (&json!("failed"), 0), "{batch}");
    assert!(instance.metrics().await.contains("rates_batches_failed_total 1\n"));
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_read_after_the_answer_sees_the_batch_and_not_after_its_withdrawal(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    let rates = "/rates?date_from=2021-01-01&date_to=2021-01-01&origin=asia&destination=europe";
    let rate_count = async |instance: &Instance| {
        instance.ask("GET", rates, "").await.expect(200).json()["rates"][0]["count"].clone()
    };
    assert_eq!(rate_count(&instance).await, Value::Null);
    let batch = instance.post(CSV, ROWS).await.expect(201).json();
    assert_eq!(rate_count(&instance).await, 2);
    let path = format!("/batches/{}", batch["id"]);
    let withdrawn = instance.ask("DELETE", &path, "rates_1_one").await.expect(200).json();
    assert_eq!(withdrawn["state"], "withdrawn");
    assert!(withdrawn["data_version"].as_i64() > batch["data_version"].as_i64());
    assert_eq!(rate_count(&instance).await, Value::Null);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_withdrawal_deletes_exactly_the_prices_of_the_batch(pool: PgPool) {
    let instance = Instance::new(&pool);
    sqlx::raw_sql("insert into prices values ('CNSGH', 'NLRTM', '2021-01-01', 100)")
        .execute(&pool)
        .await
        .unwrap();
    let first = instance.post(CSV, ROWS).await.expect(201).json();
    let second = instance.post_with(CSV, ROWS, &[("idempotency-key", "again")]).await.expect(201).json();
    assert_eq!(count_prices(&pool).await, 7);
    let path = format!("/batches/{}", first["id"]);
    for _ in 0..2 {
        assert_eq!(
            instance.ask("DELETE", &path, "rates_1_one").await.expect(200).json()["state"],
            "withdrawn"
        );
        assert_eq!(count_prices(&pool).await, 4, "a second withdrawal changes nothing");
    }
    let sql = "select sum(price_count)::bigint from daily_rates 
         where origin = (select id from places where name = 'asia')
           and destination = (select id from places where name = 'europe')";
    assert_eq!(count(&pool, sql).await, 4);
    let repeated = instance.post(CSV, ROWS).await.expect(200).json();
    assert_eq!(repeated["id"], second["id"], "it repeats the batch that is still stored");
    instance.ask("DELETE", &format!("/batches/{}", second["id"]), "rates_1_one").await.expect(200);
    // Content counts as new once it was withdrawn.
    instance.post(CSV, ROWS).await.expect(201);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn own_batches_are_listed_newest_first(pool: PgPool) {
    let instance = Instance::new(&pool);
    let mut ids = Vec::new();
    for price in 1..=5 {
        let text = format!("orig_code,dest_code,day,price\nCNSGH,NLRTM,2021-01-01,{price}\n");
        ids.push(instance.post(CSV, text).await.expect(201).json()["id"].as_i64().unwrap());
    }
    ids.reverse();
    let (mut found, mut path) = (Vec::new(), "/batches?limit=2".to_owned());
    loop {
        let body = instance.ask("GET", &path, "rates_1_one").await.expect(200).json();
        assert!(body["batches"].as_array().unwrap().len() <= 2, "{body}");
        found.extend(body["batches"].as_array().unwrap().iter().map(|batch| batch["id"].as_i64().unwrap()));
        match body["next"].as_str() {
            Some(next) => next.clone_into(&mut path),
            None => break,
        }
    }
    assert_eq!(found, ids);
    assert_eq!(instance.ask("GET", "/batches", "rates_2_two").await.expect(200).json()["batches"], json!([]));
    instance.ask("GET", "/batches?after=x", "rates_1_one").await.expect(400);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_queued_batch_is_stored_once_by_a_worker(pool: PgPool) {
    let instance = Instance::new(&pool);
    let wish = [("prefer", "wait=10, respond-async"), ("content-encoding", "gzip")];
    let accepted = instance.post_with(CSV, gzip(ROWS), &wish).await.expect(202);
    assert_eq!(accepted.header("preference-applied"), "respond-async");
    assert_eq!(accepted.json()["state"], "queued");
    assert_eq!(count_prices(&pool).await, 0);
    let path = accepted.header("location").to_owned();
    instance.ask("DELETE", &path, "rates_1_one").await.expect(409);
    assert_eq!(
        instance.post(CSV, ROWS).await.expect(200).json()["id"],
        accepted.json()["id"],
        "it counts while it waits"
    );
    work_off(&instance, &pool).await;
    let done = instance.ask("GET", &path, "rates_1_one").await.expect(200).json();
    assert_eq!((&done["state"], &done["rows"], &done["lanes"]), (&json!("done"), &json!(3), &json!(2)));
    assert_eq!(count_prices(&pool).await, 3);
    assert_eq!(count(&pool, "select count(*) from batch_pieces").await, 0, "the content is kept no longer");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_queued_batch_that_fails_keeps_its_problem(pool: PgPool) {
    let instance = Instance::new(&pool);
    let text = ROWS.replace("GBFXT", "XXXXX");
    let wish = [("prefer", "respond-async"), ("idempotency-key", "k")];
    let accepted = instance.post_with(CSV, text.clone(), &wish).await.expect(202).json();
    work_off(&instance, &pool).await;
    let path = format!("/batches/{}", accepted["id"]);
    let failed = instance.ask("GET", &path, "rates_1_one").await.expect(200).json();
    assert_eq!((&failed["state"], &failed["rows"]), (&json!("failed"), &json!(3)));
    assert_eq!(failed["problem"]["status"], 422);
    assert_eq!(failed["problem"]["errors"][0]["row"], 4);
    instance.ask("DELETE", &path, "rates_1_one").await.expect(409);
    instance.ask("GET", &format!("{path}/prices"), "rates_1_one").await.expect(409);
    // Its name is free again: the port may come later.
    let again = instance.post_with(CSV, text, &wish).await.expect(202).json();
    assert_ne!(again["id"], failed["id"]);
    sqlx::raw_sql("insert into ports values ('XXXXX', 'Port', 'europe')").execute(&pool).await.unwrap();
    work_off(&instance, &pool).await;
    assert_eq!(count_prices(&pool).await, 3);
    sqlx::raw_sql("delete from prices").execute(&pool).await.unwrap();
    assert_eq!(count_prices(&pool).await, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_batch_whose_content_cannot_be_read_is_tried_again_later(pool: PgPool) {
    let instance = Instance::new(&pool);
    instance.post_with(CSV, ROWS, &[("prefer", "respond-async")]).await.expect(202);
    sqlx::raw_sql("alter table batch_pieces rename content to renamed").execute(&pool).await.unwrap();
    work_until(&instance, &pool, "select count(*) from jobs where attempts = 0").await;
    let failed = "select count(*) from jobs where attempts = 1 and last_error like '%content%'";
    assert_eq!(count(&pool, failed).await, 1);
    assert_eq!(count(&pool, "select count(*) from batches where state = 'queued'").await, 1);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_worker_that_stops_returns_its_batch_to_the_queue(pool: PgPool) {
    let instance = Instance::new(&pool);
    instance.post_with(CSV, ROWS, &[("prefer", "respond-async")]).await.expect(202);
    // Whoever holds the version holds off the worker.
    let mut holder = pool.begin().await.unwrap();
    sqlx::raw_sql("select move_data_version()").execute(&mut *holder).await.unwrap();
    let stop = Stop::default();
    let worker = tokio::spawn(instance.app.batch_workers().run(1, stop.clone()));
    // All was read and checked before.
    let storing =
        "select count(*) from batches where state = 'storing' and rows = 3 and checked_bytes = content_bytes";
    while count(&pool, storing).await == 0 {
        tokio::task::yield_now().await;
    }
    stop.force();
    worker.await.unwrap();
    assert_eq!(count(&pool, "select count(*) from batches where state = 'queued'").await, 1);
    assert_eq!(count(&pool, "select count(*) from jobs where attempts = 0").await, 1, "it did not fail");
    holder.rollback().await.unwrap();
    work_off(&instance, &pool).await;
    assert_eq!(count_prices(&pool).await, 3);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn an_attempt_at_a_batch_that_takes_too_long_has_failed(pool: PgPool) {
    let settings = [("RATES__BATCHES__TIMEOUT_SECONDS", "1")];
    let instance = Instance::with(Database::of(pool.clone()), &settings);
    instance.post_with(CSV, ROWS, &[("prefer", "respond-async")]).await.expect(202);
    // Whoever holds the version holds off the worker.
    let mut holder = pool.begin().await.unwrap();
    sqlx::raw_sql("select move_data_version()").execute(&mut *holder).await.unwrap();
    work_until(&instance, &pool, "select count(*) from jobs where last_error is null").await;
    holder.rollback().await.unwrap();
    let failed = "select count(*) from jobs where attempts = 1 and last_error = 'took longer than 1 s'";
    assert_eq!(count(&pool, failed).await, 1);
    assert_eq!(count(&pool, "select count(*) from batches where state = 'queued'").await, 1);
    work_off(&instance, &pool).await;
    assert_eq!(count_prices(&pool).await, 3);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_batch_fails_when_too_many_workers_died_at_it(pool: PgPool) {
    let instance = Instance::new(&pool);
    let accepted = instance.post_with(CSV, ROWS, &[("prefer", "respond-async")]).await.expect(202).json();
    sqlx::raw_sql("update jobs set attempts = 20").execute(&pool).await.unwrap();
    work_off(&instance, &pool).await;
    let failed =
        instance.ask("GET", &format!("/batches/{}", accepted["id"]), "rates_1_one").await.expect(200).json();
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["problem"]["status"], 500);
    assert_eq!(count_prices(&pool).await, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_batch_tells_how_much_of_it_was_checked(pool: PgPool) {
    let instance = Instance::new(&pool);
    let text = ROWS.to_owned() + &"CNSGH,NLRTM,2021-01-03,5\n".repeat(30_000);
    let path = instance
        .post_with(CSV, text, &[("prefer", "respond-async")])
        .await
        .expect(202)
        .header("location")
        .to_owned();
    let stop = Stop::default();
    let worker = tokio::spawn(instance.app.batch_workers().run(1, stop.clone()));
    let (mut before, mut states) = (0, Vec::new());
    loop {
        let batch = instance.ask("GET", &path, "rates_1_one").await.expect(200).json();
        let checked = batch["checked_bytes"].as_i64().unwrap();
        assert!(before <= checked && checked <= batch["content_bytes"].as_i64().unwrap(), "{batch}");
        before = checked;
        let state = batch["state"].as_str().unwrap().to_owned();
        if states.last() != Some(&state) {
            states.push(state);
        }
        if batch["state"] == "done" {
            break;
        }
    }
    stop.begin();
    worker.await.unwrap();
    let order = ["queued", "checking", "storing", "done"];
    let places: Vec<_> =
        states.iter().map(|state| order.iter().position(|one| one == state).unwrap()).collect();
    assert!(places.is_sorted() && places.len() > 2, "{states:?}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn the_progress_of_a_batch_is_recorded_while_it_is_checked(pool: PgPool) {
    let instance = Instance::new(&pool);
    instance.post_with(CSV, ROWS, &[("prefer", "respond-async")]).await.expect(202);
    // Whoever holds the ports holds off the check of the batch.
    let mut holder = pool.begin().await.unwrap();
    sqlx::raw_sql("lock table ports").execute(&mut *holder).await.unwrap();
    let stop = Stop::default();
    let worker = tokio::spawn(instance.app.batch_workers().run(1, stop.clone()));
    let recorded = async {
        let read = "select count(*) from batches where rows = 3 and checked_bytes = content_bytes";
        while count(&pool, read).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), recorded).await.expect("the progress is recorded");
    holder.rollback().await.unwrap();
    stop.begin();
    worker.await.unwrap();
    assert_eq!(count_prices(&pool).await, 3);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_correction_takes_the_place_of_a_batch_in_one_version(pool: PgPool) {
    let instance = Instance::new(&pool);
    let other = ROWS.replace("300", "1");
    for headers in [&[][..], &[("prefer", "respond-async")]] {
        sqlx::raw_sql("delete from prices; update batches set state = 'withdrawn'")
            .execute(&pool)
            .await
            .unwrap();
        let first = instance.post(CSV, ROWS).await.expect(201).json();
        let path = format!("/prices?replaces={}", first["id"]);
        let corrected = ROWS.replace("300", "333");
        let answer = instance.post_to(&path, CSV, corrected.clone(), headers).await;
        assert_eq!(answer.status, if headers.is_empty() { 201 } else { 202 }, "{answer}");
        work_off(&instance, &pool).await;
        let show =
            async |location: &str| instance.ask("GET", location, "rates_1_one").await.expect(200).json();
        let second = show(answer.header("location")).await;
        assert_eq!((&second["state"], &second["replaces"]), (&json!("done"), &first["id"]));
        let first = show(&format!("/batches/{}", first["id"])).await;
        assert_eq!(first["state"], "withdrawn");
        assert_eq!(first["data_version"], second["data_version"], "readers see both changes at once");
        assert_eq!(count(&pool, "select sum(price)::bigint from prices").await, 633);
        let repeated = instance.post_to(&path, CSV, corrected, headers).await.expect(200).json();
        assert_eq!(repeated["id"], second["id"]);
        instance.post_to(&path, CSV, other.clone(), headers).await.expect(409);
        assert_eq!(count(&pool, "select sum(price)::bigint from prices").await, 633);
    }
    assert_eq!(count(&pool, "select count(*) from batches where state = 'queued'").await, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn only_own_batches_with_prices_can_be_replaced(pool: PgPool) {
    let instance = Instance::new(&pool);
    let first = instance.post(CSV, ROWS).await.expect(201).json();
    let path = format!("/prices?replaces={}", first["id"]);
    let corrected = ROWS.replace("300", "333");
    sqlx::raw_sql("update batches set supplier = 'other'").execute(&pool).await.unwrap();
    instance.post_to(&path, CSV, corrected.clone(), &[]).await.expect(403);
    sqlx::raw_sql("update batches set supplier = 'acme'").execute(&pool).await.unwrap();
    instance.post_to("/prices?replaces=99", CSV, corrected.clone(), &[]).await.expect(404);
    instance.post_to(&path, CSV, ROWS, &[]).await.expect(409);
    instance.post_to(&path, CSV, corrected.replace("NLRTM", "XXXXX"), &[]).await.expect(422);
    assert_eq!(count(&pool, "select sum(price)::bigint from prices").await, 600, "nothing was replaced");
    // What is withdrawn while the correction waits fails the correction.
    let waiting = instance.post_to(&path, CSV, corrected, &[("prefer", "respond-async")]).await.expect(202);
    instance.ask("DELETE", &format!("/batches/{}", first["id"]), "rates_1_one").await.expect(200);
    work_off(&instance, &pool).await;
    let failed = instance.ask("GET", waiting.header("location"), "rates_1_one").await.expect(200).json();
    assert_eq!((&failed["state"], &failed["problem"]["status"]), (&json!("failed"), &json!(409)));
    assert_eq!(count_prices(&pool).await, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_batch_gives_back_what_was_sent(pool: PgPool) {
    let instance = Instance::new(&pool);
    let mut sent = ROWS.replace("100", "200") + &"CNSGH,NLRTM,2021-01-03,5\n".repeat(10_000);
    for price in 1..=60_000 {
        std::fmt::Write::write_fmt(&mut sent, format_args!("CNSGH,NLRTM,2021-01-04,{price}\n")).unwrap();
    }
    let batch = instance.post(CSV, sent.clone()).await.expect(201).json();
    instance.post(CSV, ROWS).await.expect(201);
    let path = format!("/batches/{}/prices", batch["id"]);
    let answer = instance.ask("GET", &path, "rates_1_one").await.expect(200);
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert!(sorted(&answer.text()) == sorted(&sent), "{} bytes of {}", answer.text().len(), sent.len());
    instance.ask("GET", &path, "rates_2_two").await.expect(403);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_batch_gives_back_what_was_not_retired(pool: PgPool) {
    let instance = Instance::new(&pool);
    let batch = instance.post(CSV, ROWS).await.expect(201).json();
    let path = format!("/batches/{}/prices", batch["id"]);
    let mut connection = pool.acquire().await.unwrap();
    for (before, left) in [("2021-01-02", "CNSGH,GBFXT,2021-01-02,300\n"), ("2021-01-03", "")] {
        retire(&mut connection, before.parse().unwrap(), 1000).await.unwrap();
        let prices = instance.ask("GET", &path, "rates_1_one").await.expect(200).text();
        assert_eq!(prices, format!("orig_code,dest_code,day,price\n{left}"));
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_download_is_cut_off_if_the_batch_is_withdrawn_meanwhile(pool: PgPool) {
    let instance = Instance::new(&pool);
    let path = instance.post(CSV, ROWS).await.expect(201).header("location").to_owned();
    let request = Request::get(format!("{path}/prices")).header("authorization", "Bearer rates_1_one");
    let response = instance.client.open(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), 200);
    instance.ask("DELETE", &path, "rates_1_one").await.expect(200);
    to_bytes(response.into_body(), usize::MAX).await.expect_err("a part is not taken for the whole");
}
