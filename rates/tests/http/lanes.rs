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

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn lanes_come_as_csv_by_path_and_by_what_is_accepted(pool: PgPool) {
    sqlx::raw_sql(
        "update ports set name = '=1+1, \"x\"' where code = 'EETLL';
         insert into prices select 'CNGGZ', 'EETLL', '2020-12-29', 374.995 from generate_series(1, 3)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let instance = summarized(&pool).await;
    let answer = instance.get("/lanes.csv?origin=guangzhou&destination=EETLL").await.expect(200);
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"lanes.csv\"");
    let header = "orig_code,dest_code,orig_name,dest_name,first_day,last_day,priced_days,mean_days,prices,latest_day,\
                  latest_price,change_7,change_30,change_365";
    let row =
        "CNGGZ,EETLL,Guangzhou,\"'=1+1, \"\"x\"\"\",2020-12-29,2021-01-05,5,3,13,2021-01-05,250,-0.3333,,";
    assert_eq!(answer.text(), format!("{header}\r\n{row}\r\n"));

    let accept = |accept: &str, tag: &str| {
        let request = Request::get("/lanes").header("accept", accept).header("if-none-match", tag);
        request.body(Body::empty()).unwrap()
    };
    let json = instance.send(accept("application/json", "")).await.expect(200);
    let csv = instance.send(accept("text/csv", json.header("etag"))).await.expect(200);
    assert!(csv.text().starts_with(header), "{csv}");
    for (answer, media_type) in [(&json, "application/json"), (&csv, "text/csv")] {
        assert!(answer.headers.get_all("vary").iter().any(|vary| vary == "accept"), "{answer}");
        instance.send(accept(media_type, answer.header("etag"))).await.expect(304);
    }
    // A spreadsheet gets all lanes, and as many as it asks for.
    let lanes = json.json()["lanes"].as_array().unwrap().len();
    assert_eq!(instance.get("/lanes.csv").await.expect(200).text().lines().count(), 1 + lanes);
    assert_eq!(instance.get("/lanes.csv?limit=2&offset=1").await.expect(200).text().lines().count(), 3);
    instance.get("/lanes.csv?limit=0").await.expect_problem(400, &[("limit", "out_of_range")]);
}
