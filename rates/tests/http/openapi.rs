use sqlx::PgPool;

use crate::support::Instance;

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn the_description_is_served_as_it_is_committed(pool: PgPool) {
    let answer = Instance::new(&pool).get("/openapi.json").await.expect(200);
    let committed = include_str!("../../openapi.json");
    assert!(
        answer.text() == committed,
        "openapi.json is outdated: cargo run -p rates -- openapi > rates/openapi.json"
    );
    assert_eq!(answer.json()["openapi"], "3.1.0");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn the_description_says_what_a_price_is_for(pool: PgPool) {
    let text = async |variables: &[(&str, &str)]| {
        let instance = Instance::with(rates::database::Database::of(pool.clone()), variables);
        let description = instance.get("/openapi.json").await.expect(200).json();
        description["info"]["description"].as_str().unwrap().to_owned()
    };
    let plain = text(&[]).await;
    assert!(plain.contains("Prices are US dollars for a container."), "{plain}");
    let told = text(&[("RATES__API__UNIT", "40 ft dry container")]).await;
    assert_eq!(told, format!("{plain} A container is here: 40 ft dry container."));
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn every_operation_has_an_id_and_every_response_a_description(pool: PgPool) {
    let description = Instance::new(&pool).get("/openapi.json").await.expect(200).json();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["operationId"].is_string(), "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let text = response["description"].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{method} {path}: {status}");
            }
        }
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn the_documentation_is_interactive_and_needs_no_other_server(pool: PgPool) {
    let instance = Instance::new(&pool);
    let page = instance.get("/docs/").await.expect(200);
    assert!(page.header("content-type").starts_with("text/html"), "{page}");
    let text = page.text();
    assert!(!text.contains("//cdn") && !text.contains("https://"), "{text}");
    let scripts: Vec<_> = text.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(!scripts.is_empty(), "{text}");
    for script in scripts {
        instance.get(&format!("/docs/{}", script.trim_start_matches("./"))).await.expect(200);
    }
}
