//! What suppliers may not learn of each other: who sends two prices beside a rival's one can compute the rival's price from
//! whatever is told of the three.

use axum::body::Body;
use http::Request;
use rates::{database::Database, statistics::fill_in, summaries::summarize};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use crate::{
    explorer::{attributes, page},
    supplier_client::CSV,
    support::Instance,
};

/// The rival's price.
const SECRET: f64 = 91_234.0;

/// 5 January has the prices of three suppliers; the day after one of a rival and two of the attacker, who is acme.
async fn store_prices(pool: &PgPool) {
    let prices = "
        insert into suppliers values ('third');
        insert into batches (id, supplier, state, content_sha256, content_bytes, prices, days, lanes, data_version, ended_at)
        overriding system value
        select id, supplier, 'done', sha256('x'), 1, 1, 1, 1, 1, now()
        from unnest(array['acme', 'other', 'third']) with ordinality batch (supplier, id);
        alter table batches alter id restart with 4;
        insert into prices values
            ('CNSGH', 'NLRTM', '2021-01-05', 1000, 1), ('CNSGH', 'NLRTM', '2021-01-05', 1101, 2),
            ('CNSGH', 'NLRTM', '2021-01-05', 1203, 3), ('CNSGH', 'NLRTM', '2021-01-06', 91234, 2),
            ('CNSGH', 'NLRTM', '2021-01-06', 1, 1), ('CNSGH', 'NLRTM', '2021-01-06', 1, 1)";
    sqlx::raw_sql(AssertSqlSafe(prices)).execute(pool).await.unwrap();
}

async fn instance(pool: &PgPool, settings: &[(&str, &str)]) -> Instance {
    Instance::with(Database::of(pool.clone()), settings).listening().await
}

/// Does what the workers do.
async fn work(pool: &PgPool, instance: &Instance) {
    let mut connection = pool.acquire().await.unwrap();
    while fill_in(&mut connection, std::time::Duration::ZERO).await.unwrap() {}
    let today = chrono::Utc::now().date_naive();
    summarize(&mut connection, today, 3, instance.app.api_settings.privacy()).await.unwrap();
}

/// An attack: what is asked, and the rival's price as it follows from the answer.
type Attack = (&'static str, fn(&str) -> Option<f64>);

const DAY: &str = "date_from=2021-01-06&date_to=2021-01-06&orig_code=CNSGH&dest_code=NLRTM";
const WEEK: &str = "date_from=2021-01-04&date_to=2021-01-10&orig_code=CNSGH&dest_code=NLRTM";

/// The mean of the three prices as it is told, less the attacker's two.
fn of_mean(mean: f64) -> f64 {
    mean * 3.0 - 2.0
}

fn of_json(text: &str) -> Option<f64> {
    let answer: Value = serde_json::from_str(text).unwrap();
    answer["rates"].as_array()?.iter().find_map(|day| day["price"].as_f64()).map(of_mean)
}

/// The sum of the longer interval, less that of the day that is told and the attacker's two.
fn of_interval(text: &str) -> Option<f64> {
    let answer: Value = serde_json::from_str(text).unwrap();
    let element = answer["rates"].as_array()?.iter().find(|element| !element["price"].is_null())?;
    Some(element["price"].as_f64()? * element["count"].as_f64()? - 3304.0 - 2.0)
}

fn of_csv(text: &str) -> Option<f64> {
    let price = text.lines().nth(1)?.split(',').nth(3)?;
    price.parse().ok().map(of_mean)
}

fn of_percentiles(text: &str) -> Option<f64> {
    let answer: Value = serde_json::from_str(text).unwrap();
    answer["rates"][0]["midhigh"].as_f64().map(|midhigh| midhigh * 2.0 - 1.0)
}

/// Of an average in words.
fn of_words(text: &str) -> Option<f64> {
    let (_, average) = text.split_once(" have an average, from ")?;
    average.split(' ').next()?.replace(',', "").parse().ok().map(of_mean)
}

fn of_list(text: &str) -> Option<f64> {
    let answer: Value = serde_json::from_str(text).unwrap();
    let latest = answer["lanes"][0].clone();
    (latest["latest_day"] == "2021-01-06").then(|| latest["latest_price"].as_f64().map(of_mean))?
}

const ATTACKS: [Attack; 11] = [
    ("/rates?{DAY}", of_json),
    ("/rates?{DAY}&min_count=3&widen=each", of_json),
    ("/rates?{DAY}&lane=CNSGH:NLRTM", of_json),
    ("/rates?{DAY}&orig_code=asia&dest_code=europe", of_json),
    ("/rates?{DAY}&dest_code=GBFXT&widen=true", of_json),
    ("/rates?{WEEK}&interval=week", of_interval),
    ("/rates?{WEEK}&interval=year&lane=asia:NLRTM", of_interval),
    ("/rates?{DAY}&statistics=full", of_percentiles),
    ("/rates.csv?{DAY}&decimals=9", of_csv),
    ("/rates.svg?{DAY}", of_words),
    ("/?{DAY}", of_words),
];

/// The query of an attack; a parameter that it names replaces that of the day or week.
fn address(template: &str) -> String {
    let (base, name) = if template.contains("{DAY}") { (DAY, "{DAY}") } else { (WEEK, "{WEEK}") };
    let (path, more) = template.split_once(name).unwrap();
    let is_replaced = |pair: &&str| {
        let (parameter, _) = pair.split_once('=').unwrap();
        more.contains(&format!("&{parameter}=")) || (more.contains("lane=") && parameter.ends_with("_code"))
    };
    let kept: Vec<&str> = base.split('&').filter(|pair| !is_replaced(pair)).collect();
    format!("{path}{}{more}", kept.join("&"))
}

/// Whether an attack tells the secret, but for the rounding of whole dollars.
async fn tells(instance: &Instance, (template, compute): Attack) -> bool {
    let uri = address(template);
    let request =
        Request::get(&uri).header("accept", if uri.starts_with("/?") { "text/html" } else { "*/*" });
    let text = instance.send(request.body(Body::empty()).unwrap()).await.expect(200).text();
    compute(&text).is_some_and(|price| (price - SECRET).abs() < 4.0)
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn nobody_computes_the_price_of_a_rival_where_days_need_three_suppliers(pool: PgPool) {
    store_prices(&pool).await;
    for (min_suppliers, is_told) in [("1", true), ("3", false)] {
        let settings = [("RATES__API__MIN_SUPPLIERS", min_suppliers)];
        // Computed from the prices, and then from what is stored.
        for is_filled_in in [false, true] {
            let instance = instance(&pool, &settings).await;
            if is_filled_in {
                work(&pool, &instance).await;
                let list = instance.get("/lanes?kind=ports").await.expect(200).text();
                assert_eq!(of_list(&list) == Some(SECRET), is_told, "{list}");
                let page = Request::get("/").header("accept", "text/html").body(Body::empty()).unwrap();
                let home = instance.send(page).await.expect(200).text();
                // The latest average that may be shown.
                assert_eq!(home.contains("30,412"), is_told, "{home}");
                assert_eq!(home.contains("1,101"), !is_told, "{home}");
            }
            for attack in ATTACKS {
                assert_eq!(tells(&instance, attack).await, is_told, "{} by {min_suppliers}", attack.0);
            }
            // The day of three suppliers is there as ever.
            let shown = instance.rates("CNSGH", "NLRTM", "2021-01-05", "2021-01-06").await.expect(200).text();
            let (hidden, count) = if is_told { ("30412", "3") } else { ("null", "null") };
            let wanted = format!(
                r#"{{"rates":[{{"day":"2021-01-06","price":{hidden},"count":{count}}},{{"day":"2021-01-05","price":1101.3333333333333,"count":3}}]}}"#
            );
            assert_eq!(shown, wanted);
        }
    }
}

/// The first and the last day that the page of the lane shows.
async fn days_of_page(instance: &Instance, query: &str) -> (String, String) {
    let html = page(instance, &format!("orig_code=CNSGH&dest_code=NLRTM{query}")).await.expect(200).text();
    let link = attributes(&html, "data-link").remove(0);
    let (_, days) = link.split_once("date_from=").unwrap();
    let (first, last) = days.split_once("&#38;date_to=").unwrap();
    (first.to_owned(), last.to_owned())
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn the_page_begins_and_ends_with_days_that_are_told(pool: PgPool) {
    store_prices(&pool).await;
    sqlx::raw_sql("insert into prices values ('CNSGH', 'NLRTM', '2020-12-30', 9, 2)")
        .execute(&pool)
        .await
        .unwrap();
    for (settings, first, newest) in
        [(&[][..], "2020-12-30", "2021-01-06"), (MARKET, "2021-01-05", "2021-01-05")]
    {
        let instance = instance(&pool, settings).await;
        work(&pool, &instance).await;
        let all_days = days_of_page(&instance, "&range=all").await;
        assert_eq!(all_days, (first.to_owned(), newest.to_owned()));
        assert_eq!(days_of_page(&instance, "").await.1, newest);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn the_page_begins_with_a_new_day_as_soon_as_the_worker_has_seen_it(pool: PgPool) {
    store_prices(&pool).await;
    let instance = instance(&pool, MARKET).await;
    work(&pool, &instance).await;
    assert_eq!(days_of_page(&instance, "").await.1, "2021-01-05");
    sqlx::raw_sql("insert into prices select 'CNSGH', 'NLRTM', '2021-01-08', 7, id from batches")
        .execute(&pool)
        .await
        .unwrap();
    let version: i64 = sqlx::query_scalar("select version from data_version").fetch_one(&pool).await.unwrap();
    instance.app.lanes.freshness.acknowledge(version).await;
    assert_eq!(days_of_page(&instance, "").await.1, "2021-01-05");
    work(&pool, &instance).await;
    assert_eq!(days_of_page(&instance, "").await.1, "2021-01-08");
}

/// The settings of a market.
const MARKET: &[(&str, &str)] = &[("RATES__API__MIN_SUPPLIERS", "3")];

async fn is_told(instance: &Instance, day: &str) -> bool {
    let answer = instance.rates("CNSGH", "NLRTM", day, day).await.expect(200).json();
    assert_eq!(answer["rates"][0]["price"].is_null(), answer["rates"][0]["count"].is_null(), "{answer}");
    !answer["rates"][0]["price"].is_null()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_day_is_told_while_enough_suppliers_stand_behind_it(pool: PgPool) {
    store_prices(&pool).await;
    let instance = instance(&pool, MARKET).await;
    sqlx::raw_sql("insert into api_keys (supplier, secret_hash) values ('third', sha256('three'))")
        .execute(&pool)
        .await
        .unwrap();
    for is_filled_in in [false, true] {
        assert!(!is_told(&instance, "2021-01-06").await);
        let key = ("authorization", "Bearer rates_3_three");
        let rows = format!(
            "orig_code,dest_code,day,price\nCNSGH,NLRTM,2021-01-06,{}\n",
            7 + i32::from(is_filled_in)
        );
        let request = Request::post("/prices").header("content-type", CSV).header(key.0, key.1);
        let batch = instance.send(request.body(Body::from(rows)).unwrap()).await.expect(201).json();
        if is_filled_in {
            work(&pool, &instance).await;
        }
        assert!(is_told(&instance, "2021-01-06").await);
        instance.ask("DELETE", &format!("/batches/{}", batch["id"]), "rates_3_three").await.expect(200);
        if is_filled_in {
            work(&pool, &instance).await;
        }
        assert!(!is_told(&instance, "2021-01-06").await);
    }
    // All prices of dumps are of one supplier.
    sqlx::raw_sql("insert into prices select 'CNSGH', 'NLRTM', '2021-01-07', n, nullif(n, 3) from generate_series(2, 4) n where n < 4")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::raw_sql("insert into prices values ('CNSGH', 'NLRTM', '2021-01-07', 5)")
        .execute(&pool)
        .await
        .unwrap();
    assert!(!is_told(&instance, "2021-01-07").await);
    sqlx::raw_sql("insert into prices values ('CNSGH', 'NLRTM', '2021-01-07', 5, 1)")
        .execute(&pool)
        .await
        .unwrap();
    let version: i64 = sqlx::query_scalar("select version from data_version").fetch_one(&pool).await.unwrap();
    instance.app.lanes.freshness.acknowledge(version).await;
    assert!(is_told(&instance, "2021-01-07").await);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn no_warning_tells_what_answers_hide(pool: PgPool) {
    store_prices(&pool).await;
    for (settings, told) in [(&[][..], "which is 15757;"), (MARKET, "which is 1101;")] {
        let instance = instance(&pool, settings).await;
        work(&pool, &instance).await;
        let rows = "orig_code,dest_code,day,price\nCNSGH,NLRTM,2021-01-06,900000\n";
        let checked = instance.post_to("/prices?dry_run=true", CSV, rows, &[]).await.expect(200).json();
        let detail = checked["warnings"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(told), "{detail}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_list_that_was_computed_with_other_settings_is_not_told(pool: PgPool) {
    store_prices(&pool).await;
    let open = instance(&pool, &[]).await;
    work(&pool, &open).await;
    open.get("/lanes").await.expect(200);
    let rounded = [("RATES__API__PRICE_STEP", "5")];
    for settings in [MARKET, &rounded] {
        let instance = instance(&pool, settings).await;
        instance.get("/lanes").await.expect_problem(503, &[]);
        work(&pool, &instance).await;
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await; // a list is used for a second
        instance.get("/lanes").await.expect(200);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn means_are_rounded_and_prices_counted_in_bands_everywhere(pool: PgPool) {
    store_prices(&pool).await;
    sqlx::raw_sql("insert into prices values ('CNSGH', 'NLRTM', '2021-01-05', 1302, 1)")
        .execute(&pool)
        .await
        .unwrap();
    let rounded = [("RATES__API__PRICE_STEP", "5"), ("RATES__API__COUNT_BANDS", "true")];
    let (exact, rounded) = (instance(&pool, &[]).await, instance(&pool, &rounded).await);
    work(&pool, &rounded).await;
    let day = "date_from=2021-01-05&date_to=2021-01-05&orig_code=CNSGH&dest_code=NLRTM";
    // Four prices with the mean 1151.5; and seven.
    for (more, price, count) in [
        ("", "1150", "3"),
        ("&min_count=3", "1150", "3"),
        ("&min_count=4", "null", "3"),
        ("&interval=week&date_to=2021-01-06", "13690", "5"),
        ("&interval=week&date_to=2021-01-06&min_count=6", "null", "5"),
    ] {
        let base =
            if more.contains("date_to") { day.replace("&date_to=2021-01-05", "") } else { day.to_owned() };
        let text = rounded.get(&format!("/rates?{base}{more}")).await.expect(200).text();
        assert!(text.contains(&format!(r#""price":{price},"count":{count}"#)), "{more}: {text}");
    }
    let full = rounded.get(&format!("/rates?{day}&statistics=full")).await.expect(200).text();
    assert!(full.contains(r#""low":1010,"midlow":1075,"median":1150,"midhigh":1230,"high":1295"#), "{full}");
    let csv = rounded.get(&format!("/rates.csv?{day}&decimals=9")).await.expect(200);
    assert!(csv.text().contains("2021-01-05,1150,3\r\n"), "{}", csv.text());
    let svg = rounded.get(&format!("/rates.svg?{day}")).await.expect(200).text();
    assert!(svg.contains("from 1,150 on 5 Jan 2021"), "{svg}");
    let list = rounded.get("/lanes?kind=ports").await.expect(200).json();
    let lane = &list["lanes"][0];
    assert_eq!((lane["latest_price"].as_f64(), lane["prices"].as_i64()), (Some(30410.0), Some(5)), "{lane}");
    let tag = |answer: &crate::support::Answer| answer.header("etag").to_owned();
    let exact = exact.get(&format!("/rates?{day}")).await.expect(200);
    assert!(exact.text().contains(r#""price":1151.5,"count":4"#), "{}", exact.text());
    assert_ne!(tag(&exact), tag(&rounded.get(&format!("/rates?{day}")).await.expect(200)));
}
