//! `GET /lanes`.

use axum::body::Body;
use chrono::Utc;
use http::Request;
use rates::{privacy::Privacy, summaries::summarize};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::Instance;

async fn summarized(pool: &PgPool) -> Instance {
    summarize(&mut pool.acquire().await.unwrap(), Utc::now().date_naive(), 3, Privacy::default())
        .await
        .unwrap();
    Instance::new(pool).listening().await
}

async fn lanes(instance: &Instance, query: &str) -> Vec<String> {
    let answer = instance.get(&format!("/lanes?{query}")).await.expect(200).json();
    let lane = |lane: &Value| {
        format!("{} {}", lane["orig_code"].as_str().unwrap(), lane["dest_code"].as_str().unwrap())
    };
    answer["lanes"].as_array().unwrap().iter().map(lane).collect()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_lane_is_told_with_its_extent_and_its_changes(pool: PgPool) {
    sqlx::raw_sql("insert into prices select 'CNGGZ', 'EETLL', day::date, 500 from unnest(array['2020-12-29', '2020-12-01']) day, generate_series(1, 3)")
        .execute(&pool)
        .await
        .unwrap();
    let instance = summarized(&pool).await;
    let answer = instance.get("/lanes?origin=guangzhou&destination=EETLL").await.expect(200);
    assert_eq!(
        answer.json(),
        json!({
            "lanes": [{
                "orig_code": "CNGGZ", "dest_code": "EETLL", "orig_name": "Guangzhou", "dest_name": "Tallinn",
                "first_day": "2020-12-01", "last_day": "2021-01-05", "priced_days": 6, "mean_days": 4, "prices": 16,
                "latest_day": "2021-01-05", "latest_price": 250.0,
                "change_7": -0.5, "change_30": -0.5, "change_365": null,
            }],
            "next": null,
        })
    );
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn lanes_are_found_by_place_kind_and_words(pool: PgPool) {
    let instance = summarized(&pool).await;
    let all = lanes(&instance, "").await;
    let pairs = "select count(*) from (select distinct origin, destination from daily_rates) pairs";
    let pairs: i64 = sqlx::query_scalar(pairs).fetch_one(&pool).await.unwrap();
    assert_eq!(i64::try_from(all.len()).unwrap(), pairs, "{all:?}");
    for (query, wanted) in [
        ("origin=CNSGH&kind=ports", &["CNSGH EETLL"][..]),
        (
            "destination=cnggz&sort=prices",
            &["EETLL CNGGZ", "baltic CNGGZ", "north_europe CNGGZ", "europe CNGGZ"],
        ),
        ("destination=europe&kind=regions&origin=china", &["china europe"]),
        ("q=shangh+tallinn", &["CNSGH EETLL"]),
        ("q=nowhere", &[]),
        ("origin=empty", &[]),
        ("kind=ports&sort=latest_price&limit=2", &["CNGGZ EETLL", "EETLL CNGGZ"]),
        ("kind=ports&sort=latest_price&order=asc&limit=2", &["EETLL CNGGZ", "CNGGZ EETLL"]),
        ("kind=ports&sort=mean_days&limit=1", &["CNGGZ EETLL"]),
    ] {
        let mut found = lanes(&instance, query).await;
        if query.starts_with("destination=cnggz") {
            // All have three prices.
            found.sort_by_key(|lane| wanted.iter().position(|wanted| wanted == lane));
        }
        assert_eq!(found, wanted, "{query}");
    }
    for (query, field, code) in [
        ("origin=nowhere", "origin", "unknown"),
        ("destination=nowhere", "destination", "unknown"),
        ("sort=colour", "sort", "malformed"),
        ("kind=ships", "kind", "malformed"),
        ("limit=0", "limit", "out_of_range"),
        ("offset=-1", "offset", "out_of_range"),
        ("offest=1", "offest", "unknown_parameter"),
    ] {
        instance.get(&format!("/lanes?{query}")).await.expect_problem(400, &[(field, code)]);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn all_lanes_are_on_some_page_once(pool: PgPool) {
    let instance = summarized(&pool).await;
    for sort in ["prices", "change_7", "latest_price&order=asc"] {
        let (mut next, mut paged) = (Some(format!("limit=7&sort={sort}&q=a")), Vec::new());
        while let Some(query) = next {
            let page = instance.get(&format!("/lanes?{query}")).await.expect(200).json();
            next = page["next"].as_str().map(|path| path.split_once('?').unwrap().1.to_owned());
            paged.extend(lanes(&instance, &query).await);
        }
        assert_eq!(paged, lanes(&instance, &format!("limit=1000&sort={sort}&q=a")).await);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_list_of_lanes_has_a_tag_and_follows_the_data(pool: PgPool) {
    let instance = summarized(&pool).await;
    let tag = instance.get("/lanes").await.expect(200).header("etag").to_owned();
    let again = |tag: &str| Request::get("/lanes").header("if-none-match", tag).body(Body::empty()).unwrap();
    assert!(instance.send(again(&tag)).await.expect(304).body.is_empty());
    for query in ["limit=1", "limit=1&foreign=1", "foreign=1&limit=1"] {
        let answer = instance.get(&format!("/lanes?{query}")).await.expect(200);
        assert_ne!(answer.header("etag"), tag);
        let next = answer.json()["next"].as_str().unwrap().to_owned();
        assert_eq!(next, format!("/lanes?{query}&offset=1"));
    }
    sqlx::raw_sql("insert into prices values ('EETLL', 'NLRTM', '2021-01-01', 5)")
        .execute(&pool)
        .await
        .unwrap();
    // What the service does each second.
    summarize(&mut pool.acquire().await.unwrap(), Utc::now().date_naive(), 3, Privacy::default())
        .await
        .unwrap();
    let newer = async {
        while instance.send(again(&tag)).await.status == 304 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), newer)
        .await
        .expect("followed within five seconds");
    assert_eq!(lanes(&instance, "origin=EETLL&destination=NLRTM").await, ["EETLL NLRTM"]);
}
