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
    assert_eq!(told, format!("{plain} In this installation, a price is for one 40 ft dry container."));
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

/// The part of each form that runs an operation.
fn forms(page: &str) -> Vec<&str> {
    page.split("<form class=\"try\"").skip(1).filter_map(|rest| rest.split("</form>").next()).collect()
}

fn attribute(form: &str, name: &str) -> String {
    let value = form.split(&format!(" {name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
    value.unwrap_or_default().replace("&#38;", "&").replace("&#34;", "\"")
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn every_operation_is_on_the_page_with_an_example_that_runs(pool: PgPool) {
    let instance = Instance::new(&pool);
    let page = instance.get("/docs/").await.expect(200).text();
    let forms = forms(&page);
    let description = instance.get("/openapi.json").await.expect(200).json();
    let paths = description["paths"].as_object().unwrap();
    let operations: usize = paths.values().map(|methods| methods.as_object().unwrap().len()).sum();
    assert_eq!(forms.len(), operations);
    let mut run = 0;
    for form in forms {
        if attribute(form, "data-method") == "GET" && !form.contains(" data-key=") {
            instance.get(&attribute(form, "action")).await.expect(200);
            run += 1;
        }
    }
    assert!(run >= 9, "{run} operations need no key");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_examples_of_a_supplier_run_with_a_key(pool: PgPool) {
    let key = "insert into suppliers values ('acme');
               insert into api_keys (supplier, secret_hash) values ('acme', sha256('one'))";
    sqlx::raw_sql(key).execute(&pool).await.unwrap();
    let instance = Instance::new(&pool);
    let page = instance.get("/docs/").await.expect(200).text();
    let forms = forms(&page);
    let with_key: Vec<&str> = forms.into_iter().filter(|form| form.contains(" data-key=")).collect();
    let of = |method: &'static str| {
        with_key.iter().copied().filter(move |form| attribute(form, "data-method") == method)
    };
    let mut batch = String::new();
    for body in
        of("POST").flat_map(|form| form.split("<option").filter(|option| option.contains("data-example")))
    {
        let media_type = body.split('>').nth(1).unwrap().split('<').next().unwrap();
        let answer = instance.post(media_type, attribute(body, "data-example")).await.expect(201);
        answer.header("location").clone_into(&mut batch);
    }
    assert!(!batch.is_empty(), "{page}");
    for method in ["GET", "DELETE"] {
        for form in of(method) {
            // The id of an example is that of a batch elsewhere.
            let path = attribute(form, "data-path").replace("/batches/{id}", &batch);
            instance.ask(method, &path, "rates_1_one").await.expect(200);
        }
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn the_documentation_names_every_type_that_it_links_to(pool: PgPool) {
    let page = Instance::new(&pool).get("/docs/").await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let text = page.text();
    let targets: Vec<&str> =
        text.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(targets.len() > 40, "{targets:?}");
    for target in targets {
        assert!(text.contains(&format!("id=\"{target}\"")), "{target}");
    }
    assert!(!text.contains("https://"), "{text}");
}
