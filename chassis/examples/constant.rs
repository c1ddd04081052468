//! The fastest server that axum makes: a constant body of the given size, and nothing else. The benchmark measures
//! against it what ids, limits, metrics, logs and the cache cost.
//!
//!     constant PORT BYTES

use axum::{Router, body::Bytes, routing::get};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().expect("a number"));
    let (port, size) = (arguments.next().expect("a port"), arguments.next().expect("a size"));
    let body = Bytes::from(vec![b'x'; size]);
    let app = Router::new().route("/rates", get(move || std::future::ready(body.clone())));
    let port = u16::try_from(port).expect("a port");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
    axum::serve(listener, app).await.expect("a server");
}
