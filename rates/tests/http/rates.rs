use axum::body::Body;
use http::Request;
use rates::lanes::query::RatesQuery;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    explorer::page,
    support::{Answer, Instance},
};

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
            "date_from=x&date_to=2021-02-29&orig_code=CNGGX&dest_code=b%0Ac".into(),
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
        (
            "date_from=x&date_to=2021-01-02&lane=CNGGZ:EETLL&lane=nowhere:CNGGZ".into(),
            &[("date_from", "malformed"), ("lane", "unknown")],
        ),
        (good.replace("date_to=2021-01-02", "date_to=2020-12-31"), &[("date_from", "after_date_to")]),
        (good.replace("date_to=2021-01-02", "date_to=2031-01-09"), &[("date_to", "range_too_long")]),
        (format!("{good}&orig_code=CNGGZ"), &[("orig_code", "repeated")]),
        (format!("{good}&origin=CNGGZ"), &[("origin", "repeated")]),
        (format!("{good}&order=sideways"), &[("order", "malformed")]),
        (good.replace("dest_code", "dest_cod"), &[("dest_code", "missing")]),
        (good.replace("CNGGZ", "%00"), &[("orig_code", "malformed")]),
        (good.replace("CNGGZ", "%FF%FE"), &[("orig_code", "malformed")]),
        (good.replace("CNGGZ", "--"), &[("orig_code", "malformed")]),
        (good.replace("CNGGZ", &"x".repeat(201)), &[("orig_code", "malformed")]),
        (good.replace("CNGGZ", "'; drop table prices --"), &[("orig_code", "unknown")]),
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
async fn of_very_many_faults_the_first_are_listed(pool: PgPool) {
    let instance = Instance::new(&pool);
    let good = "date_from=2021-01-01&date_to=2021-01-02&orig_code=CNGGZ&dest_code=EETLL";
    for (fault, times) in [("&compare=", 6_000), (&*format!("&compare={}", "x".repeat(60_000)), 1)] {
        let answer = instance.get(&format!("/rates.svg?{good}{}", fault.repeat(times))).await;
        assert!(answer.body.len() < 8_000, "{} bytes", answer.body.len());
        let listed = vec![("compare", "malformed"); times.min(20)];
        let body = answer.expect_problem(400, &listed);
        let more = body["detail"].as_str().unwrap().contains("there are 5980 more");
        assert_eq!(more, times > 1, "{body}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_misspelt_parameter_is_refused_and_a_foreign_one_ignored(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    let good = format!("{DAYS}&orig_code=CNGGZ&dest_code=EETLL");
    instance.get(&format!("/rates?{good}")).await.expect(200);
    for (path, written, meant) in [
        ("/rates", "orgin", "origin"),
        ("/rates", "staistics", "statistics"),
        ("/rates", "oder", "order"),
        ("/rates", "Order", "order"),
        ("/rates.csv", "dest_cod", "dest_code"),
        ("/rates.svg", "them", "theme"),
        ("/rates.svg", "compares", "compare"),
    ] {
        let answer = instance.get(&format!("{path}?{good}&{written}=full")).await;
        let body = answer.expect_problem(400, &[(written, "unknown_parameter")]);
        assert_eq!(body["errors"][0]["suggestions"], json!([meant]), "{body}");
    }
    let missing = instance.get(&format!("/rates?{}", good.replace("orig_code", "orgi_code"))).await;
    let body = missing.expect_problem(400, &[("orig_code", "missing")]);
    assert_eq!(body["errors"][0]["suggestions"], json!(["orig_code"]), "{body}");
    for foreign in ["utm_source=x&utm_medium=y", "_=1", "fbclid=1", "width=1", "q=a", "lang=en"] {
        instance.get(&format!("/rates?{good}&{foreign}")).await.expect(200);
    }
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
    let unchanged = instance.send(again(&tag)).await.expect(304);
    assert!(unchanged.body.is_empty() && unchanged.header("etag") == tag, "{unchanged}");
    instance.send(again("\"other\"")).await.expect(200);
    instance.send(again("*")).await.expect(304);
    let unknown = "/rates?date_from=2021-01-01&date_to=2021-01-02&orig_code=CNGGX&dest_code=EETLL";
    let any = Request::get(unknown).header("if-none-match", "*").body(Body::empty()).unwrap();
    instance.send(any).await.expect(400);
    let other = instance.rates("CNSZX", "EETLL", "2021-01-01", "2021-01-02").await;
    assert_ne!(other.header("etag"), tag, "another question has another tag");

    let version = instance.app.lanes.freshness.current();
    sqlx::query("update prices set price = price + 1 where orig_code = 'CNGGZ'")
        .execute(&pool)
        .await
        .unwrap();
    instance.until(|instance| instance.app.lanes.freshness.current() != version).await;
    let fresh = instance.send(again(&tag)).await.expect(200);
    assert!(fresh.text().contains("\"price\":1002"), "{fresh}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_repeated_question_is_answered_from_the_cache(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    let ask = || instance.rates("china", "europe", "2021-01-01", "2021-01-02");
    let (miss, hit) = (ask().await, ask().await);
    assert_eq!(miss.header("cache-status"), "rates; fwd=miss");
    assert_eq!(hit.header("cache-status"), "rates; hit");
    assert_eq!(miss.body, hit.body);
    let but_own = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.remove("cache-status");
        headers.remove("x-request-id");
        // Of what the router did not pass, hyper counts it.
        headers.remove("content-length");
        headers
    };
    assert_eq!(but_own(&miss), but_own(&hit));
    assert_eq!((instance.app.lanes.store.hits.get(), instance.app.lanes.store.misses.get()), (1, 1));
    let off = Instance::with(rates::database::Database::of(pool), &[("RATES__CACHE__SIZE_BYTES", "0")])
        .listening()
        .await;
    for _ in 0..2 {
        let answer = off.rates("china", "europe", "2021-01-01", "2021-01-02").await;
        assert_eq!(answer.header("cache-status"), "rates; fwd=miss");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn what_the_cache_holds_is_told_as_asked_for_and_to_those_who_may(pool: PgPool) {
    let uri = format!("/rates?{DAYS}&orig_code=china&dest_code=europe");
    let instance = Instance::new(&pool).listening().await;
    let tag = instance.get(&uri).await.expect(200).header("etag").to_owned();
    let ask = async |method: &str, name: &str, value: &str| {
        let request = Request::builder().method(method).uri(&uri).header(name, value);
        instance.send(request.body(Body::empty()).unwrap()).await
    };
    let hit = ask("GET", "accept", "application/json").await.expect(200);
    assert_eq!((hit.header("cache-status"), hit.header("etag")), ("rates; hit", &*tag));
    assert!(ask("GET", "if-none-match", &tag).await.expect(304).body.is_empty());
    assert!(ask("HEAD", "accept", "*/*").await.expect(200).body.is_empty());
    let csv = ask("GET", "accept", "text/csv").await.expect(200);
    assert!(csv.header("content-type").starts_with("text/csv"), "{csv}");

    let variables = [("RATES__API__READS_NEED_KEY", "true")];
    let closed = Instance::with(rates::database::Database::of(pool), &variables).listening().await;
    let query = RatesQuery::parse(uri.split_once('?').unwrap().1, closed.app.lanes.limits).unwrap();
    closed.app.lanes.read(std::slice::from_ref(&query)).await.unwrap();
    assert!(closed.app.lanes.find(&[query]).is_some());
    closed.get(&uri).await.expect_problem(401, &[]);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_day_in_full_has_percentiles_where_it_has_a_mean(pool: PgPool) {
    let instance = Instance::new(&pool);
    let ask = async |origin: &str, destination: &str, from: &str, to: &str| {
        let uri = format!(
            "/rates?statistics=full&date_from={from}&date_to={to}&origin={origin}&destination={destination}"
        );
        instance.get(&uri).await.expect(200).text()
    };
    assert_eq!(
        ask("CNGGZ", "EETLL", "2021-01-03", "2021-01-05").await,
        concat!(
            r#"{"rates":[{"day":"2021-01-05","price":250,"count":4,"low":107.5,"midlow":175,"median":250,"midhigh":325,"high":392.5},"#,
            r#"{"day":"2021-01-04","price":null,"count":1,"low":null,"midlow":null,"median":null,"midhigh":null,"high":null},"#,
            r#"{"day":"2021-01-03","price":null,"count":null,"low":null,"midlow":null,"median":null,"midhigh":null,"high":null}]}"#,
        )
    );
    // 7, 1000, 1000, 1003, 2000 and 5000, from two regions deep on both sides.
    assert_eq!(
        ask("china", "europe", "2021-01-01", "2021-01-01").await,
        r#"{"rates":[{"day":"2021-01-01","price":1668.3333333333333,"count":6,"low":131.125,"midlow":1000,"median":1001.5,"midhigh":1750.75,"high":4625}]}"#
    );
    // Each price once, though its ports lie in several regions; those outside are not counted.
    assert_eq!(
        ask("europe", "europe", "2021-01-01", "2021-01-01").await,
        r#"{"rates":[{"day":"2021-01-01","price":11,"count":3,"low":10.05,"midlow":10.5,"median":11,"midhigh":11.5,"high":11.95}]}"#
    );
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_day_in_full_is_cached_apart_from_the_mean(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    let uri = "/rates?date_from=2021-01-01&date_to=2021-01-01&orig_code=CNGGZ&dest_code=EETLL";
    let mean = instance.get(uri).await.expect(200);
    let full = instance.get(&format!("{uri}&statistics=full")).await.expect(200);
    assert_eq!(full.header("cache-status"), "rates; fwd=miss");
    assert!(full.text().contains("\"median\":1000") && !mean.text().contains("median"), "{mean} {full}");
    assert_ne!(full.header("etag"), mean.header("etag"));
    let again = instance.get(&format!("{uri}&statistics=full")).await.expect(200);
    assert_eq!((again.header("cache-status"), again.text()), ("rates; hit", full.text()));
    let default = instance.get(&format!("{uri}&statistics=mean")).await.expect(200);
    assert_eq!(default.header("etag"), mean.header("etag"), "the default by its name is the same question");
}

const DAYS: &str = "date_from=2021-01-01&date_to=2021-01-05";

fn accepting(uri: &str, accept: &str) -> Request<Body> {
    Request::get(uri).header("accept", accept).body(Body::empty()).unwrap()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_spreadsheet_reads_the_rates_as_csv(pool: PgPool) {
    let instance = Instance::new(&pool);
    let uri = format!("/rates.csv?{DAYS}&orig_code=CNGGZ&dest_code=EETLL&order=asc&statistics=full");
    let answer = instance.get(&uri).await.expect(200);
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(
        answer.header("content-disposition"),
        "attachment; filename=\"rates_CNGGZ_EETLL_2021-01-01_2021-01-05.csv\""
    );
    let lines: Vec<_> = answer.text().split("\r\n").map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "orig_code,dest_code,day,price,count,low,midlow,median,midhigh,high",
            "CNGGZ,EETLL,2021-01-01,1001,3,1000,1000,1000,1001.5,1002.85",
            "CNGGZ,EETLL,2021-01-02,,2,,,,,",
            "CNGGZ,EETLL,2021-01-03,,,,,,,",
            "CNGGZ,EETLL,2021-01-04,,1,,,,,",
            "CNGGZ,EETLL,2021-01-05,250,4,107.5,175,250,325,392.5",
            ""
        ]
    );
    // What a CSV library reads is what the JSON says.
    let json = instance.get(&uri.replace(".csv", "")).await.expect(200).json();
    let mut rows = csv::Reader::from_reader(answer.body.as_slice());
    let mut read = 0;
    for (row, day) in rows.records().zip(json["rates"].as_array().unwrap()) {
        let row = row.unwrap();
        assert_eq!(row[2], *day["day"].as_str().unwrap());
        for (at, field) in [(3, "price"), (4, "count"), (5, "low"), (9, "high")] {
            assert_eq!(row[at].parse::<f64>().ok(), day[field].as_f64(), "{field} of {row:?}");
        }
        read += 1;
    }
    assert_eq!(read, 5);
    let short =
        instance.get("/rates.csv?date_from=2021-01-03&date_to=2021-01-03&origin=CNGGZ&destination=EETLL");
    assert_eq!(
        short.await.expect(200).text(),
        "orig_code,dest_code,day,price,count\r\nCNGGZ,EETLL,2021-01-03,,\r\n"
    );
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn no_field_of_the_csv_is_taken_for_a_formula(pool: PgPool) {
    // Only a dump older than the constraint can hold such a name.
    sqlx::raw_sql(
        "alter table regions drop constraint regions_slug_format;
         insert into regions (slug, name) values ('-2_3', 'x');",
    )
    .execute(&pool)
    .await
    .unwrap();
    let answer = Instance::new(&pool).get(&format!("/rates.csv?{DAYS}&origin=-2_3&destination=EETLL")).await;
    for line in answer.expect(200).text().lines().skip(1) {
        assert!(line.starts_with("'-2_3,EETLL,2021-"), "{line}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn accept_chooses_the_form_and_caches_are_told(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    let uri = format!("/rates?{DAYS}&orig_code=CNGGZ&dest_code=EETLL");
    let mut tags = Vec::new();
    for (accept, content_type) in [
        ("*/*", "application/json"),
        ("text/csv", "text/csv; charset=utf-8; header=present"),
        ("image/svg+xml,image/*;q=0.8", "image/svg+xml"),
    ] {
        let answer = instance.send(accepting(&uri, accept)).await.expect(200);
        assert_eq!(answer.header("content-type"), content_type);
        let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
        assert!(vary.iter().any(|name| *name == "accept"), "{answer}");
        tags.push(answer.header("etag").to_owned());
        let again = Request::get(&uri).header("accept", accept).header("if-none-match", tags.last().unwrap());
        instance.send(again.body(Body::empty()).unwrap()).await.expect(304);
    }
    tags.dedup();
    assert_eq!(tags.len(), 3, "each form has a tag of its own");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_picture_is_drawn_as_it_was_looked_at(pool: PgPool) {
    let instance = Instance::new(&pool);
    for (query, snapshot) in [
        ("orig_code=CNGGZ&dest_code=EETLL&width=480&height=300", "one_lane.svg"),
        (
            "orig_code=china&dest_code=europe&compare=CNSGH:EETLL&compare=CNGGZ:EETLL&theme=dark",
            "compared.svg",
        ),
        ("orig_code=empty&dest_code=EETLL&width=320&height=240&theme=light", "no_prices.svg"),
    ] {
        let answer = instance.get(&format!("/rates.svg?{DAYS}&{query}")).await.expect(200);
        assert_eq!(answer.header("content-type"), "image/svg+xml");
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(snapshot);
        if std::option_env!("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(&path, &answer.body).unwrap();
        }
        let wanted = std::fs::read_to_string(&path).unwrap();
        assert!(
            answer.text() == wanted,
            "{snapshot} differs; look at the picture, and if it is right: UPDATE_SNAPSHOTS=1 cargo test -p rates\n{answer}"
        );
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_picture_says_in_words_what_it_shows(pool: PgPool) {
    sqlx::query("update ports set name = 'A<b>&\"c\" \u{1}' where code = 'EETLL'")
        .execute(&pool)
        .await
        .unwrap();
    let instance = Instance::new(&pool);
    let answer =
        instance.get(&format!("/rates.svg?{DAYS}&orig_code=CNGGZ&dest_code=EETLL")).await.expect(200);
    let text = answer.text();
    assert!(
        text.contains("<title id=\"title\">Guangzhou (CNGGZ) to A&lt;b&gt;&amp;\"c\"   (EETLL), 1 Jan 2021"),
        "{text}"
    );
    assert!(
        text.contains("2 of 5 days have an average, from 1,001 on 1 Jan 2021 to 250 on 5 Jan 2021"),
        "{text}"
    );
    assert!(!text.contains("<b>") && !text.contains('\u{1}'), "{text}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn what_is_wrong_with_a_picture_is_a_problem_too(pool: PgPool) {
    let instance = Instance::new(&pool);
    for (query, fields) in [
        ("orig_code=CNGGZ&dest_code=EETLL&width=1", &[("width", "out_of_range")][..]),
        ("orig_code=CNGGZ&dest_code=EETLL&compare=CNGGZ:nowhere", &[("compare", "unknown")]),
        ("lane=CNGGZ:EETLL&lane=CNGGZ:nowhere", &[("lane", "unknown")]),
        ("orig_code=nowhere&dest_code=EETLL&previous_year=true", &[("orig_code", "unknown")]),
        ("lane=CNGGZ:EETLL&interval=week&moving_average=7", &[("interval", "conflict")]),
        ("lane=CNGGZ:EETLL&dest_code=EETLL", &[("lane", "conflict")]),
        (
            "orig_code=CNGGX&theme=x",
            &[("dest_code", "missing"), ("theme", "malformed"), ("orig_code", "unknown")],
        ),
    ] {
        instance.get(&format!("/rates.svg?{DAYS}&{query}")).await.expect_problem(400, fields);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn pictures_that_differ_in_anything_are_cached_apart(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    let mut tags = std::collections::HashSet::new();
    for query in [
        "",
        "&theme=dark",
        "&width=961",
        "&height=481",
        "&compare=CNGGZ:EETLL",
        "&compare=EETLL:CNGGZ",
        "&compare=CNGGZ:EETLL&compare=CNGGZ:EETLL",
    ] {
        let uri = format!("/rates.svg?{DAYS}&orig_code=CNGGZ&dest_code=EETLL{query}");
        let first = instance.get(&uri).await.expect(200);
        let again = instance.get(&uri).await.expect(200);
        assert_eq!((again.header("cache-status"), &again.body), ("rates; hit", &first.body));
        assert!(tags.insert(first.header("etag").to_owned()), "{query}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn lanes_of_a_list_are_drawn_as_those_that_are_compared(pool: PgPool) {
    let instance = Instance::new(&pool);
    let draw = async |lanes: &str| {
        instance.get(&format!("/rates.svg?{DAYS}&values=difference&{lanes}")).await.expect(200).text()
    };
    let drawn = draw("lane=CNGGZ:EETLL&lane=china:Europe").await;
    assert_eq!(drawn, draw("orig_code=CNGGZ&dest_code=EETLL&compare=china:Europe").await);
    assert!(drawn.contains("difference to Guangzhou"), "{drawn}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_place_is_known_by_code_slug_and_name_in_any_case_as_on_the_page(pool: PgPool) {
    sqlx::raw_sql(
        "insert into ports values ('USPTM', 'Portsmouth', 'empty'), ('GBPME', 'Portsmouth', 'baltic');
         update ports set name = 'København' where code = 'SESTO'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let instance = Instance::new(&pool).listening().await;
    let csv = async |origin: &str, destination: &str| {
        let uri = format!("/rates.csv?{DAYS}&orig_code={origin}&dest_code={destination}");
        instance.get(&uri).await.expect(200)
    };
    for (origin, destination, same) in [
        ("cnggz", "eetll", "CNGGZ,EETLL"),
        ("Guangzhou", "TALLINN", "CNGGZ,EETLL"),
        ("China%20South", "north+europe", "china_south,north_europe"),
        ("CHINA_SOUTH", "K%C3%B8benhavn", "china_south,SESTO"),
        ("china-south", "kobenhavn", "china_south,SESTO"),
    ] {
        let answer = csv(origin, destination).await;
        let (code, rest) = same.split_once(',').unwrap();
        assert_eq!(answer.text(), csv(code, rest).await.text(), "{origin} {destination}");
        assert!(answer.text().lines().nth(1).unwrap().starts_with(same), "{answer}");
        assert!(answer.header("content-disposition").contains(&same.replace(',', "_")), "{answer}");
    }
    // One name, two ports.
    let uri = format!("/rates?{DAYS}&orig_code=cnggz&dest_code=portsmouth");
    let body = instance.get(&uri).await.expect_problem(400, &[("dest_code", "ambiguous")]);
    assert_eq!(body["errors"][0]["suggestions"], json!(["GBPME", "USPTM"]));
    assert!(body["errors"][0]["detail"].as_str().unwrap().contains("may be GBPME or USPTM"), "{body}");
    let uri = "/places?role=origin&other_end=portsmouth";
    let body = instance.get(uri).await.expect_problem(400, &[("other_end", "ambiguous")]);
    assert_eq!(body["errors"][0]["suggestions"], json!(["GBPME", "USPTM"]));
    let html = page(&instance, &format!("{DAYS}&orig_code=cnggz&dest_code=portsmouth")).await;
    let html = html.expect(400).text();
    assert!(html.contains("several places “portsmouth” for the destination. Did you mean "), "{html}");
    assert!(html.contains("Portsmouth (GBPME)") && html.contains("Portsmouth (USPTM)"), "{html}");
    // When the name goes to another port, so does the answer, and its tag differs although both lanes are empty.
    let uri = format!("/rates.csv?{DAYS}&orig_code=cnggz&dest_code=Stockholm");
    sqlx::query("update ports set name = 'Stockholm' where code = 'GBPME'").execute(&pool).await.unwrap();
    let other = Instance::new(&pool);
    let first = other.get(&uri).await.expect(200);
    assert!(first.text().contains("CNGGZ,GBPME"), "{first}");
    sqlx::raw_sql("update ports set name = 'x' where code = 'GBPME'; update ports set name = 'Stockholm' where code = 'USPTM'")
        .execute(&pool)
        .await
        .unwrap();
    let second = Instance::new(&pool).get(&uri).await.expect(200);
    assert!(second.text().contains("CNGGZ,USPTM"), "{second}");
    assert_ne!(first.header("etag"), second.header("etag"));
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn prices_in_a_spreadsheet_have_two_decimals_unless_asked(pool: PgPool) {
    let instance = Instance::new(&pool);
    // The mean is 1668.3333333333333, the lowest percentile 131.125, the median 1001.5.
    for (decimals, mean, low, median) in [
        ("", "1668.33", "131.12", "1001.5"),
        ("&decimals=0", "1668", "131", "1002"),
        ("&decimals=1", "1668.3", "131.1", "1001.5"),
        ("&decimals=3", "1668.333", "131.125", "1001.5"),
        ("&decimals=20", "1668.3333333333333", "131.125", "1001.5"),
    ] {
        let uri = format!(
            "/rates.csv?date_from=2021-01-01&date_to=2021-01-01&orig_code=china&dest_code=europe&statistics=full{decimals}"
        );
        let text = instance.get(&uri).await.expect(200).text();
        let row: Vec<_> = text.lines().nth(1).unwrap().split(',').collect();
        assert_eq!((row[3], row[5], row[7]), (mean, low, median), "{text}");
        let json = instance.get(&uri.replace(".csv", "")).await.expect(200).text();
        assert!(json.contains("\"price\":1668.3333333333333,"), "{json}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn intervals_sum_up_the_days_in_the_range(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    // 2021-01-01 is a Friday, 2021-01-04 a Monday.
    let uri = "/rates?date_from=2021-01-02&date_to=2021-01-12&orig_code=CNGGZ&dest_code=EETLL&interval=week";
    for source in ["rates; fwd=miss", "rates; hit"] {
        let answer = instance.get(uri).await.expect(200);
        assert_eq!(answer.header("cache-status"), source);
        assert_eq!(
            answer.text(),
            concat!(
                r#"{"rates":[{"day":"2021-01-11","last_day":"2021-01-12","price":null,"count":null,"priced_days":0},"#,
                r#"{"day":"2021-01-04","last_day":"2021-01-10","price":380,"count":5,"priced_days":2},"#,
                r#"{"day":"2021-01-02","last_day":"2021-01-03","price":null,"count":2,"priced_days":1}]}"#,
            )
        );
    }
    let csv = instance.get(&uri.replace("/rates", "/rates.csv").replace("week", "year")).await.expect(200);
    assert_eq!(
        csv.text(),
        "orig_code,dest_code,day,last_day,price,count,priced_days\r\n\
         CNGGZ,EETLL,2021-01-02,2021-01-12,600,7,3\r\n"
    );
    let svg = instance.get(&uri.replace("/rates", "/rates.svg")).await.expect(200).text();
    assert!(svg.contains("1 of 3 weeks have an average, from 380 in the week from 4 Jan 2021 to"), "{svg}");
    assert!(svg.contains("prices per week"), "{svg}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn intervals_in_full_have_the_percentiles_of_all_their_prices(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    let uri = "/rates?date_from=2021-01-02&date_to=2021-01-12&orig_code=CNGGZ&dest_code=EETLL&interval=week&statistics=full";
    // From Monday to Sunday: 900, and a day later 100, 200, 300 and 400.
    let week = concat!(
        r#"{"day":"2021-01-04","last_day":"2021-01-10","price":380,"count":5,"priced_days":2,"#,
        r#""low":110,"midlow":200,"median":300,"midhigh":400,"high":850}"#
    );
    let none = r#""low":null,"midlow":null,"median":null,"midhigh":null,"high":null}"#;
    let mut tags = Vec::new();
    for source in ["rates; fwd=miss", "rates; hit"] {
        let answer = instance.get(uri).await.expect(200);
        assert_eq!(answer.header("cache-status"), source);
        let text = answer.text();
        assert!(text.contains(week) && text.matches(none).count() == 2, "{text}");
        tags.push(answer.header("etag").to_owned());
    }
    assert_eq!(tags[0], tags[1]);
    let csv = instance.get(&uri.replace("/rates", "/rates.csv")).await.expect(200).text();
    assert!(csv.contains("CNGGZ,EETLL,2021-01-04,2021-01-10,380,5,2,110,200,300,400,850\r\n"), "{csv}");
    let svg = instance.get(&uri.replace("/rates", "/rates.svg")).await.expect(200).text();
    let plain = uri.replace("/rates", "/rates.svg").replace("&statistics=full", "");
    let bands = |svg: &str| svg.matches("<polygon opacity=\"0.16\"").count();
    assert_eq!((bands(&svg), bands(&instance.get(&plain).await.expect(200).text())), (1, 0), "{svg}");
    // Wider places: CNSZX has no price to EETLL, china_south those of CNGGZ.
    let wide = uri.replace("CNGGZ", "CNSZX");
    let wide = instance.get(&format!("{wide}&widen=each")).await.expect(200).json();
    assert_eq!(
        (&wide["rates"][1]["median"], &wide["rates"][1]["used_orig_code"]),
        (&json!(300), &json!("china_south"))
    );
    // Another price of the week, with the same sum.
    sqlx::raw_sql(
        "update prices set price = price + 100 where day = '2021-01-05' and price in (100, 200);
                   update prices set price = price - 200 where day = '2021-01-04'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let version: i64 = sqlx::query_scalar("select version from data_version").fetch_one(&pool).await.unwrap();
    instance.app.lanes.freshness.acknowledge(version).await;
    let answer = instance.get(uri).await.expect(200);
    assert_eq!(answer.json()["rates"][1]["price"], 380);
    assert_eq!(answer.json()["rates"][1]["low"], 210);
    assert_ne!(answer.header("etag"), tags[0]);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_mean_needs_as_many_prices_as_configured_or_asked_for(pool: PgPool) {
    let plain = Instance::new(&pool);
    let strict =
        Instance::with(rates::database::Database::of(pool.clone()), &[("RATES__API__MIN_COUNT", "4")]);
    for (instance, more, prices) in [
        (&plain, "", [json!(1001), json!(250)]),
        (&plain, "&min_count=4", [json!(null), json!(250)]),
        (&plain, "&min_count=5&statistics=full", [json!(null), json!(null)]),
        (&strict, "", [json!(null), json!(250)]),
        (&strict, "&min_count=5", [json!(null), json!(null)]),
    ] {
        let uri = format!("/rates?{DAYS}&orig_code=CNGGZ&dest_code=EETLL&order=asc{more}");
        let answer = instance.get(&uri).await.expect(200).json();
        assert_eq!(
            [&answer["rates"][0]["price"], &answer["rates"][4]["price"]],
            [&prices[0], &prices[1]],
            "{uri}"
        );
        if more.contains("full") {
            assert!(answer["rates"][4]["median"].is_null(), "{answer}");
        }
    }
    let uri = format!("/rates?{DAYS}&orig_code=CNGGZ&dest_code=EETLL&min_count=3");
    let body = strict.get(&uri).await.expect_problem(400, &[("min_count", "out_of_range")]);
    assert!(body["errors"][0]["detail"].as_str().unwrap().contains("from 4"), "{body}");
    let page =
        Request::get(uri.replace("/rates", "/").replace("&min_count=3", "")).header("accept", "text/html");
    let page = strict.send(page.body(Body::empty()).unwrap()).await.expect(200).text();
    assert!(page.contains("250") && !page.contains("1,001"), "{page}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn several_lanes_are_one_answer(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    let uri = "/rates?date_from=2021-01-01&date_to=2021-01-02&lane=CNGGZ:EETLL&lane=china:Europe";
    let answer = instance.get(uri).await.expect(200);
    assert_eq!(
        answer.text(),
        concat!(
            r#"{"rates":[{"day":"2021-01-02","price":null,"count":2,"orig_code":"CNGGZ","dest_code":"EETLL"},"#,
            r#"{"day":"2021-01-01","price":1001,"count":3,"orig_code":"CNGGZ","dest_code":"EETLL"},"#,
            r#"{"day":"2021-01-02","price":790,"count":3,"orig_code":"china","dest_code":"europe"},"#,
            r#"{"day":"2021-01-01","price":1668.3333333333333,"count":6,"orig_code":"china","dest_code":"europe"}]}"#,
        )
    );
    assert_eq!(instance.get(uri).await.header("cache-status"), "rates; hit");
    let csv = instance.get(&uri.replace("/rates", "/rates.csv")).await.expect(200);
    assert_eq!(
        csv.text(),
        "orig_code,dest_code,day,price,count\r\nCNGGZ,EETLL,2021-01-02,,2\r\nCNGGZ,EETLL,2021-01-01,1001,3\r\n\
         china,europe,2021-01-02,790,3\r\nchina,europe,2021-01-01,1668.33,6\r\n"
    );
    assert!(csv.header("content-disposition").contains("rates_2_lanes_2021-01-01_2021-01-02.csv"), "{csv}");
    // Percentiles of several lanes, none of which are stored.
    let full = instance.get(&format!("{uri}&statistics=full")).await.expect(200).json();
    let medians: Vec<_> = full["rates"].as_array().unwrap().iter().map(|day| day["median"].clone()).collect();
    assert_eq!(medians, [json!(null), json!(1000), json!(1100), json!(1001.5)]);
    // Ten lanes are drawn, and named, even where little room is left.
    let ten = format!("/rates.svg?{DAYS}&width=320&height=240{}", "&lane=Guangzhou:EETLL".repeat(10));
    let svg = instance.get(&ten).await.expect(200).text();
    assert_eq!(svg.matches("Guangzhou (CNGGZ) to Tallinn (EETLL): 2 of 5 days").count(), 10, "{svg}");
    instance.get(&format!("{ten}&lane=CNGGZ:EETLL")).await.expect_problem(400, &[("lane", "too_many")]);
    instance
        .get(&format!("/rates?{DAYS}&lane=CNGGZ:nowhere"))
        .await
        .expect_problem(400, &[("lane", "unknown")]);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn wider_places_stand_in_where_a_lane_has_too_few_prices(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    let lane = format!("{DAYS}&orig_code=CNSZX&dest_code=EETLL&order=asc");
    // CNSZX to EETLL has no price at all. One step up, china_south to EETLL has those of CNGGZ.
    for source in ["rates; fwd=miss", "rates; hit"] {
        let answer = instance.get(&format!("/rates?{lane}&widen=true&statistics=full")).await.expect(200);
        assert_eq!(answer.header("cache-status"), source);
        let days = answer.json();
        assert_eq!(days["rates"][0]["price"], 1001, "{days}");
        assert_eq!(days["rates"][0]["median"], 1000, "{days}");
        for day in days["rates"].as_array().unwrap() {
            assert_eq!(
                (&day["used_orig_code"], &day["used_dest_code"]),
                (&json!("china_south"), &json!("EETLL"))
            );
        }
    }
    let csv = instance.get(&format!("/rates.csv?{lane}&widen=true")).await.expect(200).text();
    assert!(
        csv.starts_with("orig_code,dest_code,day,price,count,used_orig_code,used_dest_code\r\n"),
        "{csv}"
    );
    assert!(csv.contains("CNSZX,EETLL,2021-01-01,1001,3,china_south,EETLL\r\n"), "{csv}");
    let svg = instance.get(&format!("/rates.svg?{lane}&widen=true")).await.expect(200).text();
    assert!(
        svg.contains("Shenzhen (CNSZX) to Tallinn (EETLL), by China South to Tallinn (EETLL): 2 of 5"),
        "{svg}"
    );
    // Day by day: 2 January has three prices only from China, and 4 January nowhere.
    let days = instance.get(&format!("/rates?{lane}&widen=each&statistics=full")).await.expect(200).json();
    let used: Vec<_> = days["rates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| (day["used_orig_code"].as_str().unwrap(), day["median"].as_f64()))
        .collect();
    let wanted = [
        ("china_south", Some(1000.0)),
        ("china", Some(1100.0)),
        ("CNSZX", None),
        ("CNSZX", None),
        ("china_south", Some(250.0)),
    ];
    assert_eq!(used, wanted, "{days}");
    // A lane with enough prices is left alone, and what is nowhere stays empty.
    for (origin, destination) in [("CNGGZ", "EETLL"), ("empty", "EETLL")] {
        let uri = format!("/rates?{DAYS}&orig_code={origin}&dest_code={destination}&widen=true");
        let day = instance.get(&uri).await.expect(200).json()["rates"][0].clone();
        assert_eq!((&day["used_orig_code"], &day["used_dest_code"]), (&json!(origin), &json!(destination)));
    }
}
