//! Redis or PostgreSQL unreachable: 503 with `Retry-After`, and recovery by itself.

use std::{path::PathBuf, sync::Arc, time::Duration};

use multivac::backend::MIGRATOR;
use reqwest::{Client, Response};
use serde_json::json;
use sqlx::PgPool;
use tokio::{
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    time::sleep,
};

use crate::{
    client, serve,
    support::{Place, until},
    work,
};

async fn post(client: &Client, url: &str, text: &str) -> Response {
    client.post(format!("{url}/multivac/data")).json(&json!({"data": text})).send().await.unwrap()
}

#[track_caller]
fn expect_away(answer: &Response) {
    assert_eq!(answer.status(), 503);
    let seconds: u32 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
}

async fn answer(client: &Client, url: &str) -> String {
    client.get(format!("{url}/multivac")).send().await.unwrap().text().await.unwrap()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn redis_may_go_and_come_back(pool: PgPool) {
    let Some(mut place) = Place::redis(&pool) else { return };
    let (server, worker, client) = (serve(&place, &[]), work(&place, &[]), client());
    let url = &server.url;
    assert_eq!(post(&client, url, "before").await.status(), 200);
    until("it is stored", async || answer(&client, url).await == "before").await;
    place.redis.as_mut().unwrap().kill();
    expect_away(&post(&client, url, "refused").await);
    assert_eq!(answer(&client, url).await, "before", "reads do not need the queue");
    expect_away(&client.get(format!("{url}/readyz")).send().await.unwrap());
    worker.wait_for_log("worker cannot work; retrying");
    place.redis.as_mut().unwrap().start_again();
    until("posts are accepted", async || post(&client, url, "after").await.status() == 200).await;
    client.delete(format!("{url}/multivac/zzz")).send().await.unwrap();
    until("it is stored", async || answer(&client, url).await == "after").await;
    worker.wait_for_log("worker works again");
    until("the server is ready", async || {
        client.get(format!("{url}/readyz")).send().await.unwrap().status() == 200
    })
    .await;
}

/// A way to PostgreSQL that can be cut.
struct Way {
    port: u16,
    /// Each connection has a receiver.
    is_cut: Arc<watch::Sender<bool>>,
}

impl Way {
    async fn to(pool: &PgPool) -> Self {
        let options = pool.connect_options();
        let folder = options.get_socket().cloned();
        let (host, port) = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Self { port: listener.local_addr().unwrap().port(), is_cut: Arc::default() };
        let is_cut = Arc::clone(&way.is_cut);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (mut is_cut, folder, host) = (is_cut.subscribe(), folder.clone(), host.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                        () = carry(stream, folder, &host, port) => {}
                    }
                });
            }
        });
        way
    }

    /// Returns when no connection is left: a server whose connections went one after another could still answer.
    async fn cut(&self) {
        self.is_cut.send_replace(true);
        while self.is_cut.receiver_count() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn carry(mut from: TcpStream, folder: Option<PathBuf>, host: &str, port: u16) {
    let folder = folder.or_else(|| host.starts_with('/').then(|| host.into()));
    if let Some(folder) = folder {
        let mut to = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
    } else {
        let mut to = TcpStream::connect((host, port)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
    }
}

/// The database of this pool, by any of these ways.
fn url_by(pool: &PgPool, ways: &[&Way]) -> String {
    let options = pool.connect_options();
    let hosts: Vec<_> = ways.iter().map(|way| format!("127.0.0.1:{}", way.port)).collect();
    let (user, database) = (options.get_username(), options.get_database().unwrap());
    format!("postgres://{user}@{}/{database}?sslmode=disable", hosts.join(","))
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn another_server_may_take_over(pool: PgPool) {
    let (place, ways) = (Place::postgres(&pool), [Way::to(&pool).await, Way::to(&pool).await]);
    // The first is unreachable at the start, and the second later.
    ways[0].cut().await;
    let url = url_by(&pool, &[&ways[0], &ways[1]]);
    let by_either = [("DATABASE_URL", url.as_str())];
    let (server, _worker, client) = (serve(&place, &by_either), work(&place, &by_either), client());
    let url = &server.url;
    until("posts are accepted", async || post(&client, url, "before").await.status() == 200).await;
    until("it is stored", async || answer(&client, url).await == "before").await;
    ways[0].mend();
    ways[1].cut().await;
    until("posts are accepted", async || post(&client, url, "after").await.status() == 200).await;
    client.delete(format!("{url}/multivac/zzz")).send().await.unwrap().error_for_status().unwrap();
    until("the worker works", async || answer(&client, url).await == "after").await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn postgres_may_go_and_come_back(pool: PgPool) {
    for place in [Some(Place::postgres(&pool)), Place::redis(&pool)].into_iter().flatten() {
        let way = Way::to(&pool).await;
        let url = url_by(&pool, &[&way]);
        let by_way = [("DATABASE_URL", url.as_str())];
        let (server, worker, client) = (serve(&place, &by_way), work(&place, &by_way), client());
        let url = &server.url;
        assert_eq!(post(&client, url, "before").await.status(), 200);
        until("it is stored", async || answer(&client, url).await == "before").await;
        way.cut().await;
        until("it is noticed", async || {
            client.get(format!("{url}/multivac")).send().await.unwrap().status() == 503
        })
        .await;
        expect_away(&client.get(format!("{url}/multivac")).send().await.unwrap());
        expect_away(&client.delete(format!("{url}/multivac/zzz")).send().await.unwrap());
        let during = post(&client, url, "during").await;
        if place.name == "redis" {
            assert_eq!(during.status(), 200, "the queue is there");
        } else {
            expect_away(&during);
        }
        worker.wait_for_log("retrying");
        way.mend();
        until("the answer is back", async || answer(&client, url).await == "before").await;
        client.delete(format!("{url}/multivac/zzz")).send().await.unwrap().error_for_status().unwrap();
        assert_eq!(post(&client, url, "after").await.status(), 200);
        let backend = place.open().await;
        until("all is done", async || backend.queue.depth().await.unwrap().waiting == 0).await;
        assert_eq!(backend.queue.depth().await.unwrap().dead, 0, "an outage is no failure");
        let mut stored = Vec::new();
        while let Some(text) = backend.store.oldest().await.unwrap() {
            stored.push(text);
            assert!(backend.store.delete_oldest().await.unwrap());
        }
        stored.sort();
        // In any order: what met the outage waits a second for its next attempt.
        assert_eq!(stored, if place.name == "redis" { vec!["after", "during"] } else { vec!["after"] });
    }
}
