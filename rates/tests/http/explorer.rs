//! The page of `GET /`, its files, and the security headers.

use axum::body::Body;
use chrono::Utc;
use http::Request;
use rates::{privacy::Privacy, summaries::summarize};
use sqlx::PgPool;

use crate::support::{Answer, Instance};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const LANE: &str = "orig_code=CNGGZ&dest_code=EETLL&date_from=2021-01-01&date_to=2021-01-31";

pub(crate) async fn page(instance: &Instance, query: &str) -> Answer {
    let request = Request::get(format!("/?{query}")).header("accept", BROWSER);
    instance.send(request.body(Body::empty()).unwrap()).await
}

/// The values of this attribute, in order.
pub(crate) fn attributes(html: &str, name: &str) -> Vec<String> {
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
    summarize(&mut pool.acquire().await.unwrap(), Utc::now().date_naive(), 3, Privacy::default())
        .await
        .unwrap();
    let instance = Instance::new(&pool);
    let compared = format!("{LANE}&orig_code=china_south&dest_code=EETLL&values=index&moving_average=30");
    let before = format!("{LANE}&previous_year=true");
    for query in [String::new(), LANE.to_owned(), compared, before] {
        let html = page(&instance, &query).await.expect(200).text();
        let mut addresses = attributes(&html, "href");
        addresses.extend(attributes(&html, "src"));
        addresses.extend(attributes(&html, "srcset"));
        addresses.extend(attributes(&html, "data-copy"));
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

/// The faults that the page of this query lists.
async fn faults(instance: &Instance, query: &str) -> Vec<String> {
    let html = page(instance, query).await.expect(400).text();
    let alert = html.split("role=\"alert\"").nth(1).and_then(|rest| rest.split("</div>").next());
    alert.expect("a list of faults").split("<li>").skip(1).map(ToOwned::to_owned).collect()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn what_is_wrong_is_said_on_the_page(pool: PgPool) {
    let instance = Instance::new(&pool);
    let five = "orig_code=CNGGZ&dest_code=EETLL&".repeat(5);
    for (query, words) in [
        ("orig_code=CNGGZ", "The destination is missing."),
        ("orig_code=CNGGZ&dest_code=EETLL&date_form=2021-01-01", "did you mean date_from?"),
        ("orig_code=CNGGZ&dest_code=EETLL&date_from=x", "The first day: \"x\" is not a day like"),
        (
            "orig_code=CNGGZ&dest_code=EETLL&date_from=2021-02-01&date_to=2021-01-01",
            "The first day, 1 Feb 2021, is after the last, 1 Jan 2021.",
        ),
        ("orig_code=CNGGZ&dest_code=EETLL&date_from=1900-01-01&date_to=2021-01-01", "at most 3660"),
        ("orig_code=CNGGZ&dest_code=EETLL&values=x", "is none of price, difference and index"),
        (&five, "5 lanes are too many: at most 4 can be compared. Remove 1."),
    ] {
        let faults = faults(&instance, query).await;
        assert!(faults.len() == 1 && faults[0].replace("&#34;", "\"").contains(words), "{query}: {faults:?}");
    }
    assert_eq!(faults(&instance, "orig_code=&dest_code=&date_from=").await.len(), 2, "both ends are missing");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn all_faults_are_listed_with_what_was_typed_and_links_to_what_was_meant(pool: PgPool) {
    let instance = Instance::new(&pool);
    let query = "orig_code=Guangzhuo&dest_code=talin&orig_code=CNSGH&dest_code=EETLL&date_from=2021-02-30\
                 &date_to=2021-03-01&moving_average=7";
    let faults = faults(&instance, query).await;
    assert_eq!(faults.len(), 3, "{faults:?}");
    let meant = attributes(&faults[0], "href").remove(0).replace("&#38;", "&");
    let wanted = query.replace("Guangzhuo", "CNGGZ");
    assert_eq!(meant, format!("/?{wanted}"), "only the wrong place differs");
    assert!(faults[2].contains("The first day: 2021-02-30 is not in the calendar."), "{faults:?}");
    let html = page(&instance, query).await.expect(400).text();
    let values = attributes(&html, "value");
    for typed in ["Guangzhuo", "talin", "CNSGH", "EETLL", "2021-02-30", "2021-03-01"] {
        assert!(values.iter().any(|value| value == typed), "{typed}: {values:?}");
    }
    assert_eq!(html.matches("aria-invalid").count(), 3, "{html}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_latest_day_is_read_before_the_script_runs_and_prices_are_whole(pool: PgPool) {
    let instance = Instance::new(&pool);
    let html = page(&instance, LANE).await.expect(200).text();
    let reading = html.split("class=\"reading\"").nth(1).unwrap().split("</ul>").next().unwrap();
    let text: String =
        reading.replace("</span>", "").replace("<span>", "").replace("<b>", "").replace("</b>", "");
    for words in ["5 Jan 2021", "average $250", "median $250", "25 to 75 % $175 to $325", "prices 4"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // 2.5 % of the way from the third to the fourth price is 107.5, and half a dollar is none.
    assert!(text.contains("2.5 to 97.5 % $108 to $393"), "{text}");
    let data = html.split("id=\"readings\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let average = &data["lines"][0][0]["values"];
    assert_eq!((data["starts"].as_array().unwrap().len(), average.as_array().unwrap().len()), (31, 31));
    assert_eq!((&average[4], &average[3]), (&serde_json::json!([250.0]), &serde_json::Value::Null));
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn what_is_chosen_stays_while_lanes_and_days_change(pool: PgPool) {
    let instance = Instance::new(&pool);
    let query =
        format!("{LANE}&orig_code=china&dest_code=europe&values=index&moving_average=12&previous_year=true");
    let html = page(&instance, &query).await.expect(200).text();
    let links: Vec<String> =
        attributes(&html, "href").iter().map(|href| href.replace("&#38;", "&")).collect();
    let pages: Vec<_> = links.iter().filter(|href| href.starts_with("/?")).collect();
    assert_eq!(pages.len(), 9, "seven ranges, and each lane can be removed: {pages:?}");
    for href in pages {
        for part in ["values=index", "moving_average=12", "previous_year=true"] {
            assert!(href.contains(part), "{href}");
        }
    }
    let picture = links.iter().find(|href| href.starts_with("/rates.svg")).unwrap();
    assert!(
        picture.ends_with("&compare=china:europe&values=index&moving_average=12&previous_year=true"),
        "{picture}"
    );
    assert!(html.contains("<option value=\"12\" selected>12 days</option>"), "{html}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_range_chooses_the_interval_unless_it_is_chosen_by_hand(pool: PgPool) {
    let instance = Instance::new(&pool);
    for (query, interval, in_url) in [
        ("date_from=2020-07-01", "day", ""),
        ("date_from=2020-06-01", "week", ""),
        ("date_from=2017-01-03", "week", ""),
        ("date_from=2017-01-02", "month", ""),
        ("date_from=2020-07-01&interval=quarter", "quarter", "&interval=quarter"),
        ("date_from=2016-01-02&interval=day", "day", "&interval=day"),
        ("date_from=2016-01-02&interval=", "month", ""),
        ("date_from=2016-01-02&previous_year=true", "month", ""),
        ("date_from=2016-01-02&moving_average=7", "day", ""),
        ("date_from=2016-01-02&moving_average=7&interval=week", "day", ""),
    ] {
        let query = format!("orig_code=CNGGZ&dest_code=EETLL&date_to=2021-01-05&{query}");
        let html = page(&instance, &query).await.expect(200).text();
        assert_eq!(attributes(&html, "data-interval"), [interval], "{query}");
        let link = attributes(&html, "data-link").remove(0).replace("&#38;", "&");
        assert_eq!(link.contains("interval="), !in_url.is_empty(), "{query}: {link}");
        assert!(link.contains(in_url), "{query}: {link}");
        let has_percentiles = html.contains("statistics=full");
        assert_eq!(has_percentiles, interval == "day", "the API gives percentiles of days: {query}");
        for format in ["/rates.svg?", "/rates.csv?", "/rates?"] {
            let address =
                attributes(&html, "href").into_iter().find(|href| href.starts_with(format)).unwrap();
            let is_named = address.contains(&format!("interval={interval}"));
            assert_eq!(is_named, interval != "day", "{query}: {address}");
        }
        let cannot_choose = html.contains("<select name=\"interval\" disabled>");
        assert_eq!(cannot_choose, query.contains("moving_average"), "{query}");
    }
    let wrong = format!("{LANE}&interval=decade");
    assert!(faults(&instance, &wrong).await[0].contains("is not one of day, week"));
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_page_says_which_container_prices_are_for(pool: PgPool) {
    for (unit, words) in [("", "US dollars per container"), ("40 ft reefer", "US dollars per 40 ft reefer")] {
        let variables = [("RATES__API__UNIT", unit)];
        let instance = Instance::with(rates::database::Database::of(pool.clone()), &variables);
        assert!(page(&instance, LANE).await.expect(200).text().contains(&format!("Prices in {words}. ")));
        let picture = instance.get(&format!("/rates.svg?{LANE}")).await.expect(200).text();
        assert!(picture.contains(&format!("Average in {words}")), "{picture}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn all_days_are_from_the_first_price_to_the_last(pool: PgPool) {
    let instance = Instance::new(&pool);
    let days = async |query: &str| {
        let html = page(&instance, query).await.expect(200).text();
        let link = attributes(&html, "data-link").remove(0);
        link.split("date_from=").nth(1).unwrap().replace("&#38;date_to=", " ")
    };
    assert_eq!(days("orig_code=CNGGZ&dest_code=EETLL&range=all").await, "2021-01-01 2021-01-05");
    assert_eq!(
        days("orig_code=CNGGZ&dest_code=EETLL&range=all&date_to=2021-01-03").await,
        "2021-01-01 2021-01-03"
    );
    assert_eq!(days("orig_code=CNGGZ&dest_code=EETLL").await, "2020-10-06 2021-01-05");
}

/// The tables of the first page: each with its heading, then the text of its rows.
fn tables(html: &str) -> Vec<(String, Vec<String>)> {
    let text = |html: &str| {
        let parts = html.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text.trim());
        parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let sections = html.split("<section><h2>").skip(1).map(|section| {
        let (title, rest) = section.split_once("</h2>").unwrap();
        let body = rest.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
        (title.to_owned(), body.split("<tr>").skip(1).map(|row| text(&format!("<{row}"))).collect())
    });
    sections.collect()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_first_page_shows_how_far_the_data_go_and_the_largest_lanes(pool: PgPool) {
    let instance = Instance::new(&pool);
    let html = page(&instance, "").await.expect(200).text();
    assert!(
        html.contains("The list of lanes is being computed") && html.contains("RATES__BATCHES__WORKERS"),
        "{html}"
    );
    summarize(&mut pool.acquire().await.unwrap(), Utc::now().date_naive(), 3, Privacy::default())
        .await
        .unwrap();
    // The instance asks once in a second.
    let html = page(&Instance::new(&pool), "").await.expect(200).text();
    assert!(html.contains("The market up to 5 Jan 2021"), "{html}");
    assert_eq!(
        tables(&html),
        [(
            "The largest lanes".to_owned(),
            vec![
                "Asia to Europe 5 Jan 2021 $250 – –".to_owned(),
                "Europe to Europe 1 Jan 2021 $11 – –".to_owned(),
                "Europe to Asia 1 Jan 2021 $51 – –".to_owned(),
            ]
        )]
    );
    assert!(html.contains("/rates.svg?") && html.contains("interval=week"), "a chart of a year: {html}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_first_page_lists_lanes_that_moved_most_if_they_have_means_often_and_until_now(pool: PgPool) {
    // Forty days up to 1 February at 1000, then four ends: half, the same, one with few means, and one that ended before.
    sqlx::raw_sql(
        "delete from prices;
         create temporary table ends (origin text, destination text, days integer, last date, price integer);
         insert into ends values ('CNGGZ', 'EETLL', 40, '2021-02-01', 500), ('CNSGH', 'EETLL', 40, '2021-02-01', 1010),
             ('EETLL', 'CNGGZ', 20, '2021-02-01', 1), ('EETLL', 'CNSGH', 40, '2021-01-20', 1);
         insert into prices select origin, destination, last - day, case day when 0 then price else 1000 end
         from ends, generate_series(0, days - 1) day, generate_series(1, 3)",
    )
    .execute(&pool)
    .await
    .unwrap();
    summarize(&mut pool.acquire().await.unwrap(), Utc::now().date_naive(), 3, Privacy::default())
        .await
        .unwrap();
    let html = page(&Instance::new(&pool), "").await.expect(200).text();
    let moved = vec![
        "Guangzhou (CNGGZ) to Tallinn (EETLL) $500 −50.0 %".to_owned(),
        "Shanghai (CNSGH) to Tallinn (EETLL) $1,010 +1.0 %".to_owned(),
    ];
    let movers = |days: u8| (format!("Moved most in {days} days"), moved.clone());
    assert_eq!(tables(&html)[1..], [movers(7), movers(30)]);
    let points = attributes(&html, "points");
    // After the largest lanes, Asia to Europe and back.
    assert_eq!(points[2].split(' ').filter(|point| !point.is_empty()).count(), 40, "{points:?}");
    assert!(points[2].ends_with("99.0,22.0 "), "the last day is the lowest: {points:?}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn an_empty_database_says_what_to_do(pool: PgPool) {
    summarize(&mut pool.acquire().await.unwrap(), Utc::now().date_naive(), 3, Privacy::default())
        .await
        .unwrap();
    let html = page(&Instance::new(&pool), "").await.expect(200).text();
    assert!(html.contains("There are no prices yet") && html.contains("rates load FILE"), "{html}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_name_cannot_end_the_script_or_the_page(pool: PgPool) {
    let rename = "update ports set name = '</script><b>&amp;\"' where code = 'EETLL'";
    sqlx::query(rename).execute(&pool).await.unwrap();
    let html = page(&Instance::new(&pool), LANE).await.expect(200).text();
    assert!(!html.contains("<b>&amp;") && html.matches("</script>").count() == 2, "{html}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn what_does_not_exist_is_a_page_for_a_browser(pool: PgPool) {
    let instance = Instance::new(&pool);
    for path in ["/nowhere", "/assets/nothing.css"] {
        let request = Request::get(path).header("accept", BROWSER).body(Body::empty()).unwrap();
        let answer = instance.send(request).await.expect(404);
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{answer}");
        assert!(answer.text().contains("<a href=\"/\">Start page</a>"), "{answer}");
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
    for path in ["/", "/docs/", "/upload", "/nowhere", "/rates", "/ports", "/healthz", &data, &svg] {
        let answer = instance.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer}");
        let is_page = matches!(path, "/docs/" | "/upload");
        let is_document = is_page || path == svg;
        for (name, value) in OF_DOCUMENTS {
            assert_eq!(answer.header(name), if is_document { value } else { "" }, "{name} of {answer}");
        }
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{answer}"
        );
        assert_eq!(policy.contains("script-src"), is_page, "{answer}");
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
