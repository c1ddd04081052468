//! Requests with known answers, over a dump that is too large or not ours to keep: `RATES_PUBLIC_DUMP` names the dump,
//! `RATES_PUBLIC_CASES` the requests (`[{"query": {…}, "rates": […]}, …]`).

use std::path::Path;

use rates::load::{Mode, load_file};
use serde_json::Value;
use sqlx::PgPool;

use crate::support::{Instance, rules};

fn variable(name: &str) -> Option<String> {
    let value = std::env::vars().find(|(key, value)| key == name && !value.is_empty())?.1;
    Some(value)
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn the_public_cases_are_answered_exactly(pool: PgPool) {
    let (Some(dump), Some(cases)) = (variable("RATES_PUBLIC_DUMP"), variable("RATES_PUBLIC_CASES")) else {
        eprintln!("skipped: RATES_PUBLIC_DUMP and RATES_PUBLIC_CASES are not set");
        return;
    };
    let mut connection = pool.acquire().await.unwrap();
    load_file(&mut connection, Path::new(&dump), Mode::IntoEmpty, rules()).await.unwrap();
    drop(connection);
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(cases).unwrap()).unwrap();
    assert!(!cases.is_empty());
    let instance = Instance::new(&pool).listening().await;
    for case in &cases {
        let field = |name: &str| case["query"][name].as_str().unwrap();
        for _cold_then_warm in 0..2 {
            let answer = instance
                .rates(field("orig_code"), field("dest_code"), field("date_from"), field("date_to"))
                .await
                .expect(200)
                .json();
            let (got, wanted) = (answer["rates"].as_array().unwrap(), case["rates"].as_array().unwrap());
            assert_eq!(got.len(), wanted.len(), "{case}");
            for (got, wanted) in got.iter().zip(wanted) {
                assert_eq!((&got["day"], &got["count"]), (&wanted["day"], &wanted["count"]), "{case}");
                // 837 and 837.0 are one number.
                assert_eq!(got["price"].as_f64(), wanted["price"].as_f64(), "{case}");
            }
        }
    }
}
