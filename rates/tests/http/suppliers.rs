//! Keys of suppliers, and what the role of the server may do for them.

use axum::{body::Body, extract::ConnectInfo};
use base64::{Engine, engine::general_purpose::STANDARD};
use chassis::edge::ClientAddress;
use http::Request;
use rates::{database::Database, privacy::Privacy};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    supplier_client::{CSV, ROWS, count, count_prices, work_hooks_off, work_off},
    support::Instance,
};

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn only_valid_keys_are_accepted(pool: PgPool) {
    let instance = Instance::new(&pool);
    let batch = instance.post(CSV, ROWS).await.expect(201).json();
    let path = format!("/batches/{}", batch["id"]);
    for key in [
        "",
        "nonsense",
        "rates_1_two",
        "rates_3_one",
        "rates_9999999999999999999999_one",
        "rates_01_one",
        "rates_+1_one",
    ] {
        let refused = instance.ask("GET", &path, key).await.expect(401);
        let challenges: Vec<_> = refused.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, ["Bearer", "Basic realm=\"rates\", charset=\"UTF-8\""], "{key}");
    }
    let bare = Request::post("/prices").header("content-type", CSV).body(Body::from(ROWS)).unwrap();
    instance.send(bare).await.expect(401);
    instance.ask("GET", &path, "rates_2_two").await.expect(403);
    instance.ask("DELETE", &path, "rates_2_two").await.expect(403);
    instance.ask("GET", "/batches/999", "rates_1_one").await.expect(404);
    instance.ask("GET", "/batches/x", "rates_1_one").await.expect(400);
    assert_eq!(count(&pool, "select count(*) from api_keys where last_used_at is not null").await, 2);
    for end in ["expires_at = now()", "expires_at = null, revoked_at = now()"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("update api_keys set {end} where id = 1")))
            .execute(&pool)
            .await
            .unwrap();
        instance.ask("GET", &path, "rates_1_one").await.expect(401);
    }
    assert_eq!(count_prices(&pool).await, 3);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_key_may_do_what_its_scope_says_and_nothing_else(pool: PgPool) {
    sqlx::raw_sql(
        "insert into api_keys (supplier, scope, secret_hash)
         values ('acme', 'read', sha256('three')), ('other', 'admin', sha256('four'))",
    )
    .execute(&pool)
    .await
    .unwrap();
    let instance = Instance::with(Database::of(pool.clone()), &[("RATES__API__READS_NEED_KEY", "true")]);
    let batch = instance.post(CSV, ROWS).await.expect(201).json();
    let path = format!("/batches/{}", batch["id"]);
    let (write, read, admin) = ("rates_1_one", "rates_3_three", "rates_4_four");
    for (method, path, statuses) in [
        ("GET", "/ports", [403, 200, 200]),
        ("GET", "/batches", [200, 403, 200]),
        ("GET", &path, [200, 403, 200]),
        ("POST", "/prices", [415, 403, 415]),
        ("DELETE", &path, [200, 403, 200]),
    ] {
        for (key, status) in [write, read, admin].into_iter().zip(statuses) {
            instance.ask(method, path, key).await.expect(status);
        }
    }
    let refused = instance.ask("GET", "/ports", write).await.expect_problem(403, &[]);
    let detail = "This key has the scope write; a key with the scope read is needed.";
    assert_eq!(refused["detail"], detail);
    let listed = instance.ask("GET", "/batches", admin).await.expect(200).json();
    assert_eq!(listed["batches"][0]["supplier"], "acme", "an admin sees the batches of all suppliers");
    assert_eq!(instance.ask("GET", "/batches", "rates_2_two").await.expect(200).json()["batches"], json!([]));
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_key_is_also_the_password_of_basic_authentication(pool: PgPool) {
    let instance = Instance::new(&pool);
    let get = async |login: &str| {
        let header = format!("Basic {}", STANDARD.encode(login));
        let request = Request::get("/batches").header("authorization", header).body(Body::empty()).unwrap();
        instance.send(request).await
    };
    get("anybody:rates_1_one").await.expect(200);
    get(":rates_1_one").await.expect(200);
    get("rates_1_one").await.expect(401);
    get("rates_1_one:").await.expect(401);
    get("anybody:rates_1_two").await.expect(401);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn reads_with_a_key_are_counted_and_limited(pool: PgPool) {
    sqlx::raw_sql("update api_keys set scope = 'read'").execute(&pool).await.unwrap();
    let settings = [("RATES__API__READS_NEED_KEY", "true"), ("RATES__API__READS_PER_MINUTE_BY_KEY", "3")];
    let instance = Instance::with(Database::of(pool.clone()), &settings);
    for _ in 0..3 {
        instance.ask("GET", "/ports", "rates_1_one").await.expect(200);
    }
    assert_ne!(instance.ask("GET", "/ports", "rates_1_one").await.expect(429).header("retry-after"), "");
    instance.ask("GET", "/ports", "rates_2_two").await.expect(200);
    let metrics = instance.metrics().await;
    for line in ["rates_reads_by_key_total{key=\"1\"} 3", "rates_reads_by_key_total{key=\"2\"} 1"] {
        assert!(metrics.lines().any(|one| one == line), "{line} is missing in {metrics}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn guesses_of_keys_are_limited_by_address_whatever_the_method(pool: PgPool) {
    sqlx::raw_sql("update api_keys set scope = 'admin'").execute(&pool).await.unwrap();
    for (reads_need_key, path) in [("false", "/batches"), ("true", "/ports"), ("true", "/")] {
        let settings =
            [("RATES__API__WRONG_KEYS_PER_MINUTE", "3"), ("RATES__API__READS_NEED_KEY", reads_need_key)];
        let instance = Instance::with(Database::of(pool.clone()), &settings);
        let get = async |client: &str, key: &str| {
            let mut request = Request::get(path)
                .header("authorization", format!("Bearer {key}"))
                .header("accept", "text/html")
                .body(Body::empty())
                .unwrap();
            let address = ClientAddress(client.parse().unwrap());
            request.extensions_mut().insert(ConnectInfo(address));
            instance.send(request).await
        };
        for key in ["nonsense", "rates_1_two", "rates_3_one"] {
            // Right keys are not counted.
            get("10.0.0.1", "rates_1_one").await.expect(200);
            get("10.0.0.1", key).await.expect(401);
        }
        let refused = get("10.0.0.1", "rates_1_two").await.expect(429);
        let seconds: u32 = refused.header("retry-after").parse().unwrap();
        assert!((1..=21).contains(&seconds), "{path}: {seconds}");
        get("10.0.0.1", "rates_1_one").await.expect(429);
        get("10.0.0.2", "rates_1_one").await.expect(200);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn a_key_revoked_during_the_upload_stores_nothing(pool: PgPool) {
    let instance = Instance::new(&pool);
    let revoke = pool.clone();
    let pieces = futures_util::stream::unfold(0, move |at| {
        let pool = revoke.clone();
        async move {
            if at == 1 {
                sqlx::raw_sql("update api_keys set revoked_at = now()").execute(&pool).await.unwrap();
            }
            [Some(ROWS), Some("CNSGH,NLRTM,2021-01-03,5\n")]
                .get(at)
                .copied()
                .flatten()
                .map(|text| (Ok::<_, std::io::Error>(text), at + 1))
        }
    });
    instance.post(CSV, Body::from_stream(Box::pin(pieces))).await.expect(401);
    assert_eq!(count_prices(&pool).await, 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn reads_are_open_unless_configured_otherwise(pool: PgPool) {
    sqlx::raw_sql("update api_keys set scope = 'read'").execute(&pool).await.unwrap();
    let instance = Instance::with(Database::of(pool.clone()), &[("RATES__API__READS_NEED_KEY", "true")]);
    let rates = "/rates?date_from=2021-01-01&date_to=2021-01-01&origin=asia&destination=europe";
    instance.ask("GET", rates, "").await.expect(401);
    instance.ask("GET", "/ports", "rates_1_x").await.expect(401);
    instance.ask("GET", rates, "rates_1_one").await.expect(200);
    assert_eq!(count(&pool, "select count(*) from api_keys where last_used_at is not null").await, 1);
    instance.ask("GET", "/healthz", "").await.expect(200);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn the_role_for_serve_may_do_all_that_batches_need(pool: PgPool) {
    let role = format!("batch_app_{}", std::process::id());
    let mut owner = pool.acquire().await.unwrap();
    let script = include_str!("../../src/app_role.sql");
    sqlx::query("select set_config('app.role', $1, false), set_config('app.password', 'x', false)")
        .bind(&role)
        .execute(&mut *owner)
        .await
        .unwrap();
    sqlx::raw_sql(script).execute(&mut *owner).await.unwrap();
    let options = (*pool.connect_options()).clone().username(&role).password("x");
    let as_app = sqlx::postgres::PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    let instance = Instance::new(&as_app);
    let batch = instance.post(CSV, ROWS).await.expect(201).json();
    instance.post_with(CSV, ROWS.replace("300", "1"), &[("prefer", "respond-async")]).await.expect(202);
    work_off(&instance, &pool).await;
    instance.ask("DELETE", &format!("/batches/{}", batch["id"]), "rates_1_one").await.expect(200);
    assert_eq!(count_prices(&pool).await, 3);
    sqlx::raw_sql(
        "insert into hooks (url, events, secret, sent_version)
         values ('http://127.0.0.1:1/', '{batch.done,data.changed}', 'x', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert!(instance.app.announce_change().await.unwrap());
    instance.post_with(CSV, ROWS.replace("300", "2"), &[]).await.expect(201);
    // Nobody may be sent to there: with one attempt, the first message disables the hook.
    assert_eq!(count(&pool, "select count(*) from jobs where queue = 'hooks'").await, 2);
    sqlx::query("update jobs set attempts = 24").execute(&pool).await.unwrap();
    work_hooks_off(&instance, &pool).await;
    assert_eq!(count(&pool, "select count(*) from hooks where disabled_at is not null").await, 1);
    let mut connection = as_app.acquire().await.unwrap();
    assert!(rates::statistics::fill_in(&mut connection, std::time::Duration::ZERO).await.unwrap());
    let today = chrono::Utc::now().date_naive();
    assert!(rates::summaries::summarize(&mut connection, today, 3, Privacy::default()).await.unwrap());
    drop(connection);
    for refused in [
        "update prices set price = 1",
        "insert into daily_rates values (1, 1, 1, '2021-01-01', 1)",
        "update api_keys set revoked_at = null",
        "insert into suppliers values ('me')",
        "delete from batches",
        "update hooks set url = 'http://elsewhere/'",
        "insert into hooks (url, events, secret, sent_version) values ('x', '{batch.done}', 'x', 0)",
    ] {
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(refused)).execute(&as_app).await.expect_err(refused);
        assert_eq!(
            error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(),
            Some("42501"),
            "{refused}"
        );
    }
    as_app.close().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("drop owned by {role}; drop role {role}")))
        .execute(&mut *owner)
        .await
        .unwrap();
}
