use chrono::Utc;
use rates::{privacy::Privacy, summaries::summarize};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::Instance;

fn codes(page: &Value) -> Vec<&str> {
    page["ports"].as_array().unwrap().iter().map(|port| port["code"].as_str().unwrap()).collect()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn ports_are_listed_and_found_by_words_and_region(pool: PgPool) {
    let instance = Instance::new(&pool);
    for (uri, wanted) in [
        ("/ports", &["CNGGZ", "CNSGH", "CNSZX", "EETLL", "NLRTM", "SESTO"][..]),
        ("/ports?q=SHEN", &["CNSZX"]),
        ("/ports?q=cn&region=china_south", &["CNGGZ", "CNSZX"]),
        ("/ports?region=north_europe", &["EETLL", "NLRTM", "SESTO"]),
        ("/ports?region=empty", &[]),
        ("/ports?q=nothing", &[]),
    ] {
        let page = instance.get(uri).await.expect(200).json();
        assert_eq!(codes(&page), wanted, "{uri}");
        assert_eq!(page["next"], Value::Null, "{uri}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_pages_of_a_list_hold_each_item_once(pool: PgPool) {
    let instance = Instance::new(&pool);
    for (first, list, key, wanted) in [
        ("/ports?limit=2", "ports", "code", vec!["CNGGZ", "CNSGH", "CNSZX", "EETLL", "NLRTM", "SESTO"]),
        ("/ports?limit=1&region=baltic&q=e", "ports", "code", vec!["EETLL", "SESTO"]),
        (
            "/regions?limit=3",
            "regions",
            "slug",
            vec!["asia", "china", "china_east", "china_south", "empty", "europe", "north_europe", "baltic"],
        ),
    ] {
        let mut next = Some(first.to_owned());
        let mut seen = Vec::new();
        while let Some(uri) = next {
            let page = instance.get(&uri).await.expect(200).json();
            seen.extend(
                page[list].as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()),
            );
            next = page["next"].as_str().map(str::to_owned);
            assert!(seen.len() <= wanted.len(), "{first}: {seen:?}");
        }
        assert_eq!(seen, wanted, "{first}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_port_and_a_region_have_their_path_in_the_tree(pool: PgPool) {
    let instance = Instance::new(&pool);
    assert_eq!(
        instance.get("/ports/EETLL").await.expect(200).json(),
        json!({"code": "EETLL", "name": "Tallinn", "parent_slug": "baltic", "path": [
            {"slug": "europe", "name": "Europe"}, {"slug": "north_europe", "name": "North Europe"},
            {"slug": "baltic", "name": "Baltic"}]})
    );
    assert_eq!(
        instance.get("/regions/north_europe").await.expect(200).json(),
        json!({"slug": "north_europe", "name": "North Europe", "parent_slug": "europe", "depth": 1, "port_count": 3,
            "path": [{"slug": "europe", "name": "Europe"}, {"slug": "north_europe", "name": "North Europe"}],
            "children": [{"slug": "baltic", "name": "Baltic"}],
            "ports": [{"code": "NLRTM", "name": "Rotterdam", "parent_slug": "north_europe"}],
            "all_ports": "/ports?region=north_europe"})
    );
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn unknown_places_and_wrong_parameters_are_problems(pool: PgPool) {
    let instance = Instance::new(&pool);
    let body = instance.get("/ports/EETLX").await.expect_problem(404, &[]);
    assert_eq!(body["suggestions"][0], "EETLL");
    instance.get("/ports/%FF").await.expect_problem(400, &[]);
    // Only places of the wanted kind are suggested.
    let body = instance.get("/ports/baltic").await.expect_problem(404, &[]);
    assert_eq!((&body["detail"], body.get("suggestions")), (&json!("There is no such port."), None));
    let body = instance.get("/regions/EETLL").await.expect_problem(404, &[]);
    assert_eq!((&body["detail"], body.get("suggestions")), (&json!("There is no such region."), None));
    let body = instance.get("/regions/baltics").await.expect_problem(404, &[]);
    assert_eq!(body["suggestions"][0], "baltic");
    let body = instance.get("/ports?region=baltics").await.expect_problem(400, &[("region", "unknown")]);
    assert_eq!(body["errors"][0]["suggestions"][0], "baltic");
    instance
        .get("/ports?limit=0&q=a&q=b")
        .await
        .expect_problem(400, &[("limit", "out_of_range"), ("q", "repeated")]);
    for (uri, written, meant) in [
        ("/ports?limt=5", "limt", "limit"),
        ("/ports?regoin=asia", "regoin", "region"),
        ("/regions?aftr=asia", "aftr", "after"),
        ("/places?limits=5", "limits", "limit"),
    ] {
        let body = instance.get(uri).await.expect_problem(400, &[(written, "unknown_parameter")]);
        assert_eq!(body["errors"][0]["suggestions"], json!([meant]), "{body}");
    }
    instance.get("/places?p=1&_=2&utm_source=x").await.expect(200);
    instance.get("/regions?after=nowhere").await.expect_problem(400, &[("after", "unknown")]);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_new_port_is_known_at_once(pool: PgPool) {
    let instance = Instance::new(&pool).listening().await;
    instance.get("/ports/DEHAM").await.expect(404);
    let version = instance.app.lanes.freshness.current();
    sqlx::query("insert into ports values ('DEHAM', 'Hamburg', 'north_europe')")
        .execute(&pool)
        .await
        .unwrap();
    instance.until(|instance| instance.app.lanes.freshness.current() != version).await;
    instance.get("/ports/DEHAM").await.expect(200);
    instance.rates("DEHAM", "asia", "2021-01-01", "2021-01-01").await.expect(200);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_search_gives_the_best_match_first(pool: PgPool) {
    let instance = Instance::new(&pool);
    let first = instance.get("/places?q=tallin&limit=1").await.expect(200).json();
    assert_eq!(
        first,
        json!({"places": [{"code": "EETLL", "kind": "port", "name": "Tallinn", "within": "Baltic"}]})
    );
    let all = instance.get("/places").await.expect(200).json();
    assert_eq!(all["places"][0]["kind"], "region", "{all}");
    assert_eq!(instance.get("/places?q=qqqqqq").await.expect(200).json(), json!({"places": []}));
    instance
        .get("/places?limit=0&q=a&q=b")
        .await
        .expect_problem(400, &[("limit", "out_of_range"), ("q", "repeated")]);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn completions_of_a_lane_are_places_that_have_prices_with_the_other_end(pool: PgPool) {
    summarize(&mut pool.acquire().await.unwrap(), Utc::now().date_naive(), 3, Privacy::default())
        .await
        .unwrap();
    let instance = Instance::new(&pool);
    let found = async |query: &str| {
        let answer = instance.get(&format!("/places?limit=20&{query}")).await.expect(200).json();
        let place = |place: &Value| {
            format!("{} {} {}", place["code"].as_str().unwrap(), place["lanes"], place["prices"])
        };
        answer["places"].as_array().unwrap().iter().map(place).collect::<Vec<_>>()
    };
    let prices = async |condition: &str| {
        let count = format!("select count(*) from prices where {condition}");
        sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(count)).fetch_one(&pool).await.unwrap()
    };
    let to_tallinn = prices("dest_code = 'EETLL' and orig_code like 'CN%'").await;
    let from_guangzhou = prices("orig_code = 'CNGGZ' and dest_code = 'EETLL'").await;
    let all = found("role=origin&other_end=EETLL").await;
    assert_eq!(all[0], format!("asia 1 {to_tallinn}"), "the most prices first: {all:?}");
    assert!(!all.iter().any(|place| place.starts_with("EETLL")), "{all:?}");
    assert_eq!(found("role=origin&other_end=tallinn&q=guang").await, [format!("CNGGZ 1 {from_guangzhou}")]);
    assert_eq!(found("role=destination&other_end=EETLL&q=shang").await, [""; 0]);
    // Without the other end a price counts once, though each is on lanes to a port and to all regions around it.
    let from_asia = prices("orig_code like 'CN%'").await;
    assert_eq!(found("role=origin&q=asia").await[0], format!("asia 3 {from_asia}"));
    for (query, field, code) in [
        ("role=both", "role", "malformed"),
        ("other_end=EETLL", "role", "missing"),
        ("role=origin&other_end=nowhere", "other_end", "unknown"),
        ("role=origin&other_end=--", "other_end", "malformed"),
    ] {
        instance.get(&format!("/places?{query}")).await.expect_problem(400, &[(field, code)]);
    }
}
