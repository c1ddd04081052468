//! What holds for every route: ids, methods, compression, CORS, and a database that is away.

use axum::body::Body;
use http::Request;
use rates::database::Database;
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::support::Instance;

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn a_wrong_path_or_method_is_a_problem(pool: PgPool) {
    let instance = Instance::new(&pool);
    instance.get("/nowhere").await.expect_problem(404, &[]);
    let request = Request::post("/rates").body(Body::empty()).unwrap();
    let answer = instance.send(request).await.expect(405);
    assert_eq!(answer.header("allow"), "GET,HEAD");
    answer.expect_problem(405, &[]);
    let request = Request::get("/rates").header("content-length", "99999999").body(Body::empty()).unwrap();
    instance.send(request).await.expect_problem(413, &[]);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn the_id_of_a_request_is_taken_where_it_is_usable_and_made_where_not(pool: PgPool) {
    let instance = Instance::new(&pool);
    let id = async |given: &str| {
        let request = Request::get("/").header("x-request-id", given).body(Body::empty()).unwrap();
        instance.send(request).await.expect(200).header("x-request-id").to_owned()
    };
    assert_eq!(id("from-the-client").await, "from-the-client");
    assert_eq!(id("with blank").await.len(), 32);
    assert_eq!(id(&"x".repeat(129)).await.len(), 32);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn head_answers_like_get_without_the_body(pool: PgPool) {
    let instance = Instance::new(&pool);
    for uri in
        ["/", "/ports", "/rates?date_from=2021-01-01&date_to=2021-01-02&orig_code=CNGGZ&dest_code=EETLL"]
    {
        let answer = instance.send(Request::head(uri).body(Body::empty()).unwrap()).await.expect(200);
        assert!(answer.body.is_empty(), "{answer}");
        assert_ne!(answer.header("content-length"), "", "{answer}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn an_answer_is_compressed_as_the_client_prefers_and_revalidated_in_every_form(pool: PgPool) {
    for size in ["1000000", "0"] {
        let instance = Instance::with(Database::of(pool.clone()), &[("RATES__CACHE__SIZE_BYTES", size)]);
        let instance = instance.listening().await;
        for path in ["/rates", "/rates.csv", "/rates.svg"] {
            let uri =
                format!("{path}?date_from=2021-01-01&date_to=2021-03-02&orig_code=CNGGZ&dest_code=EETLL");
            let plain = instance.get(&uri).await.expect(200);
            for (encodings, coding) in
                [("gzip, deflate, br, zstd", "zstd"), ("br", "br"), ("gzip", "gzip"), ("gzip", "gzip")]
            {
                let ask = async |name: &str, value: &str| {
                    let request = Request::get(&uri).header("accept-encoding", encodings).header(name, value);
                    instance.send(request.body(Body::empty()).unwrap()).await
                };
                let packed = ask("x-request-id", "1").await.expect(200);
                assert_eq!(packed.header("content-encoding"), coding, "{uri}");
                assert!(packed.body.len() * 3 < plain.body.len(), "{} of {uri}", packed.body.len());
                assert_eq!(packed.header("etag"), format!("W/{}", plain.header("etag")));
                for tag in [packed.header("etag"), plain.header("etag")] {
                    let same = ask("if-none-match", tag).await.expect(304);
                    assert_eq!(same.header("etag"), packed.header("etag"), "{coding} of {uri}");
                    assert!(same.headers.get_all("vary").iter().any(|vary| vary == "accept-encoding"));
                }
            }
        }
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn other_origins_read_answers_where_that_is_configured(pool: PgPool) {
    let ask = async |origins: &str| {
        let instance =
            Instance::with(Database::of(pool.clone()), &[("RATES__SERVER__CORS_ORIGINS", origins)]);
        let request = Request::get("/").header("origin", "https://a.example").body(Body::empty()).unwrap();
        instance.send(request).await.expect(200).header("access-control-allow-origin").to_owned()
    };
    assert_eq!(ask("").await, "");
    assert_eq!(ask("*").await, "*");
    assert_eq!(ask("https://b.example, https://a.example").await, "https://a.example");
    assert_eq!(ask("https://b.example").await, "");
}

#[tokio::test]
async fn without_a_database_everything_that_needs_it_is_503_and_tells_nothing() {
    let nowhere = "postgres://secret-user:secret-word@127.0.0.1:1/secret-name";
    let pool = PgPoolOptions::new()
        .acquire_timeout(std::time::Duration::from_millis(200))
        .connect_lazy(nowhere)
        .unwrap();
    let instance = Instance::new(&pool);
    for uri in [
        "/rates?date_from=2021-01-01&date_to=2021-01-02&orig_code=CNGGZ&dest_code=EETLL",
        "/ports",
        "/ports/CNGGZ",
        "/regions",
        "/regions/asia",
        "/readyz",
    ] {
        let answer = instance.get(uri).await;
        assert_ne!(answer.header("retry-after"), "", "{answer}");
        let body = answer.expect_problem(503, &[]).to_string();
        for word in ["secret", "127.0.0.1", "sqlx", "Pool", "select", "onnection refused"] {
            assert!(!body.contains(word), "{word} in {body}");
        }
    }
    instance.get("/").await.expect(200);
    instance.get("/healthz").await.expect(200);
    instance.get("/rates?date_from=x").await.expect(400);
}

#[sqlx::test(migrations = false)]
async fn a_database_without_the_schema_is_not_ready(pool: PgPool) {
    let body = Instance::new(&pool).get("/readyz").await.expect_problem(503, &[]);
    assert!(body["detail"].as_str().unwrap().contains("rates migrate"), "{body}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn a_migrated_database_is_ready(pool: PgPool) {
    Instance::new(&pool).get("/readyz").await.expect(200);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_metrics_count_hits_and_tell_whether_the_database_is_up(pool: PgPool) {
    let instance = Instance::new(&pool);
    let before = instance.metrics().await;
    assert!(before.contains("\nrates_database_up 0\n"), "{before}");
    assert!(!before.contains("data_age"), "{before}");
    let instance = instance.listening().await;
    for _ in 0..3 {
        instance.rates("china", "europe", "2021-01-01", "2021-01-02").await.expect(200);
    }
    let text = instance.metrics().await;
    for line in [
        "# TYPE rates_cache_hits counter",
        "rates_cache_hits_total 2",
        "rates_cache_misses_total 1",
        "rates_database_up 1",
        "rates_database_listening 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is missing in {text}");
    }
    let value = |text: &str, name: &str| -> i64 {
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
    };
    assert!(value(&text, "rates_data_age_seconds ") < 3600, "{text}");
    let mut bytes = value(&text, "rates_cache_bytes ");
    assert!((500..10_000).contains(&bytes), "{text}");
    let lane = "date_from=2021-01-01&date_to=2021-01-02&orig_code=china&dest_code=europe";
    // The month is in memory; the percentiles of a week and the text of a CSV are not.
    for uri in [format!("/rates?{lane}&interval=week&statistics=full"), format!("/rates.csv?{lane}")] {
        instance.get(&uri).await.expect(200);
        let more = value(&instance.metrics().await, "rates_cache_bytes ");
        assert!((100..10_000).contains(&(more - bytes)), "{uri}: {bytes} {more}");
        bytes = more;
    }
}

#[tokio::test]
async fn a_database_that_fails_a_read_is_not_up() {
    let pool = PgPoolOptions::new()
        .acquire_timeout(std::time::Duration::from_millis(200))
        .connect_lazy("postgres://rates@127.0.0.1:1/rates")
        .unwrap();
    let instance = Instance::new(&pool);
    instance.app.database.health.worked();
    assert!(instance.metrics().await.contains("\nrates_database_up 1\n"));
    instance.rates("china", "europe", "2021-01-01", "2021-01-02").await.expect(503);
    assert!(instance.metrics().await.contains("\nrates_database_up 0\n"));
}
