//! Batches of prices, passed on to a rates service that is played here.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, body::Bytes, routing::post};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::place::Place;

const BATCH: &str =
    r#"{"prices": [{"orig_code": "CNGGZ", "dest_code": "EETLL", "day": "2021-01-01", "price": 1234}]}"#;

/// Requests: their key, their idempotency key and their body.
type Requests = Arc<Mutex<Vec<(String, String, String)>>>;

/// A rates service that answers with these statuses, one after the other, and keeps what it was asked.
async fn rates(statuses: &[u16]) -> (String, Requests) {
    let (requests, statuses) = (Requests::default(), Arc::new(Mutex::new(statuses.to_vec())));
    let kept = Arc::clone(&requests);
    let answer = async move |headers: HeaderMap, body: Bytes| {
        let header = |name: &str| {
            headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let body = String::from_utf8(body.to_vec()).unwrap();
        kept.lock().unwrap().push((header("authorization"), header("idempotency-key"), body));
        (StatusCode::from_u16(statuses.lock().unwrap().remove(0)).unwrap(), Json(json!({"id": 7})))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/prices", post(answer));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_passed_on_once_and_its_answer_is_beside_it() {
    let (url, requests) = rates(&[503, 201]).await;
    let place = Place::new();
    let _receiver = place.receiver();
    place.drop_file("batch.json", BATCH);
    place.drop_file("other.json", r#"{"prices": "none"}"#);
    let with_rates = [("RATES_URL", &*url), ("RATES_KEY", "rates_1_x")];
    let answer = place.input().join("batch.json.answer");
    let text = place.send_once(&with_rates).expect(65);
    assert!(text.contains("batch.json refused") && !answer.exists(), "{text}");
    // The file was sent; only its prices are due.
    for _ in 0..2 {
        place.send_once(&with_rates).expect(0);
        let answer: Value = serde_json::from_slice(&fs::read(&answer).unwrap()).unwrap();
        assert_eq!(answer, json!({"status": 201, "answer": {"id": 7}}));
    }
    let hash = hex::encode(Sha256::digest(BATCH));
    let request = ("Bearer rates_1_x".to_owned(), hash, BATCH.to_owned());
    assert_eq!(*requests.lock().unwrap(), [request.clone(), request]);
}

#[test]
fn a_url_without_a_key_is_a_fault() {
    let place = Place::new();
    let text = place.send_once(&[("RATES_URL", "http://localhost:1")]).expect(64);
    assert!(text.contains("prices.key") && text.contains("must be set together with prices.url"), "{text}");
    let text = place.send_once(&[("RATES_URL", "ftp://x"), ("RATES_KEY", "x")]).expect(64);
    assert!(text.contains("is not a URL like"), "{text}");
}
