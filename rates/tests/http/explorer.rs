//! The page of `GET /`, its files, and the security headers.

use axum::body::Body;
use http::Request;
use sqlx::PgPool;

use crate::support::{Answer, Instance};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const LANE: &str = "orig_code=CNGGZ&dest_code=EETLL&date_from=2021-01-01&date_to=2021-01-31";

async fn page(instance: &Instance, query: &str) -> Answer {
    let request = Request::get(format!("/?{query}")).header("accept", BROWSER);
    instance.send(request.body(Body::empty()).unwrap()).await
}

/// The values of this attribute, in order.
fn attributes(html: &str, name: &str) -> Vec<String> {
    let start = format!(" {name}=\"");
    html.split(&start).skip(1).filter_map(|rest| rest.split('"').next()).map(ToOwned::to_owned).collect()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_browser_sees_the_explorer_and_a_program_the_greeting(pool: PgPool) {
    let instance = Instance::new(&pool);
    let html = page(&instance, "").await.expect(200);
    assert_eq!(html.header("content-type"), "text/html; charset=utf-8");
    let json = instance.get("/").await.expect(200);
    assert_eq!(json.text(), r#"{"message":"Hello world!"}"#);
    for answer in [html, json] {
        assert_eq!(answer.header("vary"), "accept", "{answer}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn every_address_on_the_page_answers(pool: PgPool) {
    let instance = Instance::new(&pool);
    let query = format!("{LANE}&orig_code=china_south&dest_code=EETLL");
    for query in [String::new(), LANE.to_owned(), query] {
        let html = page(&instance, &query).await.expect(200).text();
        let mut addresses = attributes(&html, "href");
        addresses.extend(attributes(&html, "src"));
        addresses.extend(attributes(&html, "srcset"));
        addresses.extend(attributes(&html, "data-curl"));
        assert!(addresses.len() > 3, "{html}");
        for address in addresses {
            let address = address.replace("&#38;", "&").replace("&amp;", "&");
            let request = Request::get(&address).header("accept", "*/*").body(Body::empty()).unwrap();
            instance.send(request).await.expect(200);
        }
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_file_of_the_page_is_kept_for_ever_under_its_hash_and_unknown_without(pool: PgPool) {
    let instance = Instance::new(&pool);
    let html = page(&instance, "").await.expect(200).text();
    let files: Vec<_> = attributes(&html, "href").into_iter().chain(attributes(&html, "src")).collect();
    let files: Vec<_> = files.iter().filter(|path| path.starts_with("/assets/")).collect();
    assert_eq!(files.len(), 3, "{html}");
    for file in files {
        let answer = instance.get(file).await.expect(200);
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable", "{answer}");
        let (name, rest) = file.split_once('.').unwrap();
        let (hash, extension) = rest.split_once('.').unwrap();
        assert_eq!(hash.len(), 32, "{file}");
        let other = format!("{name}.00000000000000000000000000000000.{extension}");
        assert_eq!(instance.get(&other).await.expect(404).header("cache-control"), "no-store");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn what_is_wrong_is_said_on_the_page(pool: PgPool) {
    let instance = Instance::new(&pool);
    for (query, words) in [
        ("orig_code=Guangzhuo&dest_code=EETLL", "Did you mean CNGGZ?"),
        ("orig_code=CNGGZ", "The destination is missing."),
        ("orig_code=CNGGZ&dest_code=EETLL&date_form=2021-01-01", "did you mean date_from?"),
        ("orig_code=CNGGZ&dest_code=EETLL&date_from=x", "is not a day like"),
        ("orig_code=CNGGZ&dest_code=EETLL&date_from=2021-02-01&date_to=2021-01-01", "is after the last"),
        ("orig_code=CNGGZ&dest_code=EETLL&date_from=1900-01-01&date_to=2021-01-01", "at most 3660"),
    ] {
        let html = page(&instance, query).await.expect(400);
        let alert = html
            .text()
            .split("role=\"alert\"")
            .nth(1)
            .map(|rest| rest.split("</div>").next().unwrap().to_owned());
        assert!(alert.is_some_and(|alert| alert.contains(words)), "{html}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn what_a_stranger_writes_stays_text(pool: PgPool) {
    let instance = Instance::new(&pool);
    let html =
        page(&instance, "orig_code=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&date_from=%22onfocus=%22x").await;
    let html = html.expect(400).text();
    assert_eq!(html.matches("<script").count(), 1, "{html}");
    assert!(!html.contains("\"onfocus"), "{html}");
}

/// Headers that browsers apply only to documents.
const OF_DOCUMENTS: [(&str, &str); 4] = [
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_page_runs_nothing_inline_and_every_answer_is_bound(pool: PgPool) {
    let instance = Instance::new(&pool);
    let html = page(&instance, LANE).await.expect(200);
    let text = html.text();
    for inline in ["<style", " style=", " onclick=", " onload=", "javascript:", "<script>"] {
        assert!(!text.contains(inline), "{inline} in {text}");
    }
    for (name, value) in OF_DOCUMENTS {
        assert_eq!(html.header(name), value, "{name} of {html}");
    }
    let policy = html.header("content-security-policy").to_owned();
    assert!(policy.contains("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let data = format!("/rates?{LANE}");
    let svg = format!("/rates.svg?{LANE}");
    for path in ["/", "/docs/", "/nowhere", "/rates", "/ports", "/healthz", &data, &svg] {
        let answer = instance.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer}");
        let is_document = path == "/docs/" || path == svg;
        for (name, value) in OF_DOCUMENTS {
            assert_eq!(answer.header(name), if is_document { value } else { "" }, "{name} of {answer}");
        }
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{answer}"
        );
        assert_eq!(policy.contains("script-src"), path == "/docs/", "{answer}");
        assert_eq!(answer.header("strict-transport-security"), "", "{answer}");
        let request = Request::get(path).header("x-forwarded-proto", "https").body(Body::empty()).unwrap();
        let answer = instance.send(request).await;
        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000", "{answer}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn where_reads_need_a_key_the_page_does_too(pool: PgPool) {
    let variables = [("RATES__API__READS_NEED_KEY", "true")];
    let instance = Instance::with(rates::database::Database::of(pool.clone()), &variables);
    assert!(page(&instance, LANE).await.expect(401).text().contains("A key is required"));
    instance.get("/").await.expect(200);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_default_view_ends_at_the_newest_day_with_a_mean_that_is_not_in_the_future(pool: PgPool) {
    // Newer than the newest mean: days with too few prices, and days in the future, with and without a mean.
    sqlx::raw_sql(
        "insert into prices select 'CNGGZ', 'EETLL', day::date, 7
         from unnest(array['2021-02-01', '9999-12-31']) day, generate_series(1, 2);
         insert into prices select 'CNGGZ', 'EETLL', current_date + 20, 7 from generate_series(1, 3)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let instance = Instance::new(&pool);
    for (lane, last) in [
        ("orig_code=CNGGZ&dest_code=EETLL", "2021-01-05"),
        // Has no mean at all.
        ("orig_code=CNSGH&dest_code=EETLL", "2021-01-02"),
    ] {
        let html = page(&instance, lane).await.expect(200).text();
        assert!(html.contains(&format!("date_to={last}")), "{lane}: {html}");
    }
}
