//! A receiver of webhooks.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body, extract::State, response::Response, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use sha2::Sha256;
use tokio::{net::TcpListener, task::JoinHandle};

/// What messages are signed with in tests.
pub const SECRET: &str = "the secret of the receiver";

/// A message that arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    pub id: String,
    pub body: Value,
}

type Messages = Arc<Mutex<Vec<Received>>>;

/// What it answers; by default 204.
type Reply = dyn Fn(usize) -> Response + Send + Sync;

/// A server that keeps each message whose signature is right, and panics at others.
pub struct Receiver {
    pub url: String,
    received: Messages,
    serving: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    pub async fn start() -> Self {
        Self::replying(|_| status(StatusCode::NO_CONTENT)).await
    }

    /// `reply` gets the number of the message, from 0.
    pub async fn replying(reply: impl Fn(usize) -> Response + Send + Sync + 'static) -> Self {
        let received = Messages::default();
        let state: (Messages, Arc<Reply>) = (received.clone(), Arc::new(reply));
        let router = Router::new().route("/hook", post(receive)).with_state(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, received, serving }
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

pub fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

async fn receive(
    State((received, reply)): State<(Messages, Arc<Reply>)>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let header = |name: &str| headers[name].to_str().unwrap();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let age = chrono::Utc::now().timestamp() - timestamp.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{timestamp}");
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    let signature = STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    mac.verify_slice(&signature).expect("the signature is right");
    assert_eq!(header("content-type"), "application/json");
    let message = Received { id: id.to_owned(), body: serde_json::from_str(&body).unwrap() };
    let number = {
        let mut received = received.lock().unwrap();
        received.push(message);
        received.len() - 1
    };
    reply(number)
}
