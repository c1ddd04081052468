use axum::body::Body;
use http::Request;
use serde_json::json;
use sqlx::PgPool;

use crate::support::Instance;

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn each_day_of_the_range_is_answered_newest_first(pool: PgPool) {
    let answer = Instance::new(&pool).rates("CNGGZ", "EETLL", "2021-01-01", "2021-01-05").await.expect(200);
    assert_eq!(
        answer.text(),
        concat!(
            r#"{"rates":[{"day":"2021-01-05","price":250,"count":4},"#,
            r#"{"day":"2021-01-04","price":null,"count":1},"#,
            r#"{"day":"2021-01-03","price":null,"count":null},"#,
            r#"{"day":"2021-01-02","price":null,"count":2},"#,
            r#"{"day":"2021-01-01","price":1001,"count":3}]}"#
        )
    );
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-cache");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_region_stands_for_every_port_below_it_at_any_depth(pool: PgPool) {
    let instance = Instance::new(&pool);
    for (origin, destination, price, count) in [
        ("china_south", "baltic", Some(5003.0 / 4.0), 4),
        ("china_south", "north_europe", Some(10003.0 / 5.0), 5),
        ("china", "europe", Some(10010.0 / 6.0), 6),
        ("asia", "EETLL", Some(3010.0 / 4.0), 4),
        ("CNSZX", "europe", None, 2),
        ("europe", "asia", Some(154.0 / 3.0), 3),
        ("baltic", "baltic", None, 2),
        ("europe", "europe", Some(11.0), 3),
    ] {
        let answer = instance.rates(origin, destination, "2021-01-01", "2021-01-01").await.expect(200);
        let wanted = json!({"rates": [{"day": "2021-01-01", "price": price, "count": count}]});
        let (got, wanted) = (answer.json(), wanted);
        let close = |value: &serde_json::Value| value["rates"][0]["price"].as_f64();
        assert_eq!(close(&got), close(&wanted), "{origin} to {destination}");
        assert_eq!(got["rates"][0]["count"], wanted["rates"][0]["count"], "{origin} to {destination}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn places_without_prices_answer_nulls(pool: PgPool) {
    let instance = Instance::new(&pool);
    for (origin, destination) in
        [("empty", "CNGGZ"), ("CNGGZ", "empty"), ("empty", "empty"), ("CNGGZ", "CNGGZ")]
    {
        let answer = instance.rates(origin, destination, "2021-01-01", "2021-01-01").await.expect(200);
        assert_eq!(answer.text(), r#"{"rates":[{"day":"2021-01-01","price":null,"count":null}]}"#);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_other_names_and_the_other_order_are_accepted(pool: PgPool) {
    let instance = Instance::new(&pool);
    let uri =
        "/rates?date_from=2021-01-01&date_to=2021-01-02&origin=CNGGZ&destination=EETLL&order=asc&foreign=1";
    let answer = instance.get(uri).await.expect(200);
    assert!(answer.text().starts_with(r#"{"rates":[{"day":"2021-01-01""#), "{answer}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn every_wrong_parameter_is_named_at_once(pool: PgPool) {
    let instance = Instance::new(&pool);
    let good = "date_from=2021-01-01&date_to=2021-01-02&orig_code=CNGGZ&dest_code=EETLL";
    for (query, fields) in [
        (
            String::new(),
            &[
                ("date_from", "missing"),
                ("date_to", "missing"),
                ("orig_code", "missing"),
                ("dest_code", "missing"),
            ][..],
        ),
        (
            "date_from=x&date_to=2021-02-29&orig_code=CNGGX&dest_code=b%20c".into(),
            &[
                ("date_from", "malformed"),
                ("date_to", "not_a_day"),
                ("dest_code", "malformed"),
                ("orig_code", "unknown"),
            ],
        ),
        (
            "date_from=2021-01-01&date_to=2021-01-02&origin=nowhere&destination=EETLX".into(),
            &[("origin", "unknown"), ("destination", "unknown")],
        ),
        (good.replace("date_to=2021-01-02", "date_to=2020-12-31"), &[("date_from", "after_date_to")]),
        (good.replace("date_to=2021-01-02", "date_to=2031-01-09"), &[("date_to", "range_too_long")]),
        (format!("{good}&orig_code=CNGGZ"), &[("orig_code", "repeated")]),
        (format!("{good}&origin=CNGGZ"), &[("origin", "repeated")]),
        (format!("{good}&order=sideways"), &[("order", "malformed")]),
        (good.replace("dest_code", "dest_cod"), &[("dest_code", "missing")]),
        (good.replace("CNGGZ", "cnggz"), &[("orig_code", "unknown")]),
        (good.replace("CNGGZ", "%00"), &[("orig_code", "malformed")]),
        (good.replace("CNGGZ", "%FF%FE"), &[("orig_code", "malformed")]),
        (good.replace("CNGGZ", "'; drop table prices --"), &[("orig_code", "malformed")]),
    ] {
        let query = query.replace(' ', "%20");
        instance.get(&format!("/rates?{query}")).await.expect_problem(400, fields);
    }
    let body = instance
        .get(&format!("/rates?{}", good.replace("CNGGZ", "CNGZG")))
        .await
        .expect_problem(400, &[("orig_code", "unknown")]);
    assert_eq!(body["errors"][0]["suggestions"][0], "CNGGZ");
    let longest = good.replace("date_to=2021-01-02", "date_to=2031-01-08");
    assert_eq!(
        instance.get(&format!("/rates?{longest}")).await.expect(200).json()["rates"]
            .as_array()
            .unwrap()
            .len(),
        3660
    );
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn an_answer_that_a_client_holds_is_not_sent_again_until_the_data_changes(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    let first = instance.rates("CNGGZ", "EETLL", "2021-01-01", "2021-01-02").await.expect(200);
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"'), "strong: {tag}");
    let again = |tag: &str| {
        Request::get("/rates?date_from=2021-01-01&date_to=2021-01-02&orig_code=CNGGZ&dest_code=EETLL")
            .header("if-none-match", tag)
            .body(Body::empty())
            .unwrap()
    };
    let held = instance.send(again(&tag)).await.expect(304);
    assert!(held.body.is_empty() && held.header("etag") == tag, "{held}");
    instance.send(again("\"other\"")).await.expect(200);
    let other = instance.rates("CNSZX", "EETLL", "2021-01-01", "2021-01-02").await;
    assert_ne!(other.header("etag"), tag, "another question has another tag");

    let version = instance.app.freshness.current();
    sqlx::query("update prices set price = price + 1 where orig_code = 'CNGGZ'")
        .execute(&pool)
        .await
        .unwrap();
    instance.until(|instance| instance.app.freshness.current() != version).await;
    let fresh = instance.send(again(&tag)).await.expect(200);
    assert!(fresh.text().contains("\"price\":1002"), "{fresh}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_repeated_question_is_answered_from_the_cache(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    let ask = || instance.rates("china", "europe", "2021-01-01", "2021-01-02");
    assert_eq!(ask().await.header("cache-status"), "rates; fwd=miss");
    assert_eq!(ask().await.header("cache-status"), "rates; hit");
    let off = Instance::with(rates::database::Database::of(pool), &[("RATES__CACHE__SIZE_BYTES", "0")])
        .listening()
        .await;
    for _ in 0..2 {
        let answer = off.rates("china", "europe", "2021-01-01", "2021-01-02").await;
        assert_eq!(answer.header("cache-status"), "rates; fwd=miss");
    }
}
