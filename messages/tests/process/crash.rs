//! Killed, cut off, asked all at once: what was acknowledged is there.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use messages::digest::Digest;
use serde_json::json;

use crate::{
    server::{PLAIN, client, get, post, run, start},
    support::{FOO, redis::Redis},
};

const CLIENTS: usize = 8;

/// Clients that write texts of their own until they are told to stop, and keep those that were acknowledged.
struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    fn start(url: &str, round: usize, acknowledged: &Arc<Mutex<Vec<String>>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..CLIENTS).map(|number| {
            let (stop, acknowledged, url) = (Arc::clone(&stop), Arc::clone(acknowledged), url.to_owned());
            tokio::spawn(async move {
                let client = client([]).build().unwrap();
                for count in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // Of some pages now and then, so that a commit is more than one write of the disk.
                    let filling = "x".repeat(if count % 5 == 0 { 20_000 } else { 10 });
                    let text = format!("round {round}, client {number}, {count} {filling}");
                    match post(&client, &url, &text).await {
                        Ok((201, _)) => acknowledged.lock().unwrap().push(text),
                        Ok((200, body)) => panic!("{text} was never sent before: {body}"),
                        // What was not acknowledged may be there or not.
                        _ => tokio::time::sleep(Duration::from_millis(1)).await,
                    }
                }
            })
        });
        Self { tasks: tasks.collect(), stop, acknowledged: Arc::clone(acknowledged) }
    }

    /// Waits for so many new acknowledgements, so that each round has something to lose.
    async fn until_acknowledged(&self, more: usize) {
        let before = self.acknowledged.lock().unwrap().len();
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.acknowledged.lock().unwrap().len() < before + more {
            assert!(Instant::now() < deadline, "nothing is acknowledged");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn all_are_there(url: &str, acknowledged: &Mutex<Vec<String>>) {
    let texts = acknowledged.lock().unwrap().clone();
    let client = client([]).build().unwrap();
    for text in &texts {
        let digest = Digest::of(text.as_bytes()).to_string();
        let (status, body) = get(&client, url, &digest).await.unwrap();
        assert_eq!(status, 200, "of {} acknowledged messages this is lost: {:.60}", texts.len(), text);
        assert_eq!(body, json!({"message": text}).to_string(), "changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let acknowledged = Arc::default();
    for round in 0..10 {
        let server = start(folder.path(), &[PLAIN, ("RUST_LOG", "info,request=off")]);
        all_are_there(&server.url, &acknowledged).await;
        let writers = Writers::start(&server.url, round, &acknowledged);
        writers.until_acknowledged(20 + fastrand::usize(..30)).await;
        server.signal("-KILL");
        assert_eq!(server.end().code, None, "killed");
        writers.end().await;
    }
    let server = start(folder.path(), &[PLAIN]);
    all_are_there(&server.url, &acknowledged).await;
    assert!(acknowledged.lock().unwrap().len() >= 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_redis_is_killed() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let host = format!("127.0.0.1:{}", redis.port);
    let variables = [PLAIN, ("RUST_LOG", "info,request=off"), ("MESSAGES_REDIS_HOST", &host)];
    let server = start(folder.path(), &variables);
    let acknowledged = Arc::default();
    for round in 0..6 {
        let writers = Writers::start(&server.url, round, &acknowledged);
        writers.until_acknowledged(20 + fastrand::usize(..30)).await;
        redis.kill();
        redis.start_again();
        // The server finds Redis again without being told.
        writers.until_acknowledged(20).await;
        writers.end().await;
        all_are_there(&server.url, &acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_gone_requests_are_refused_and_then_answered_again() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let host = format!("127.0.0.1:{}", redis.port);
    let server = start(folder.path(), &[PLAIN, ("MESSAGES_REDIS_HOST", &host)]);
    let client = client([]).build().unwrap();
    let check = || run(&["check", "--url", &server.url], &[]).code;
    let ready = async || client.get(format!("{}/readyz", server.url)).send().await.unwrap().status();
    assert_eq!(post(&client, &server.url, "foo").await.unwrap().0, 201);
    assert_eq!((check(), ready().await.as_u16()), (Some(0), 200));
    for _twice in 0..2 {
        redis.kill();
        let started = Instant::now();
        for _ in 0..3 {
            assert_eq!(get(&client, &server.url, FOO).await.unwrap().0, 503);
            assert_eq!(post(&client, &server.url, "bar").await.unwrap().0, 503);
        }
        assert!(started.elapsed() < Duration::from_secs(10), "refused at once, not after a timeout");
        assert_eq!((check(), ready().await.as_u16()), (Some(1), 503));
        redis.start_again();
        let deadline = Instant::now() + Duration::from_secs(5);
        while get(&client, &server.url, FOO).await.unwrap() != (200, r#"{"message":"foo"}"#.to_owned()) {
            assert!(Instant::now() < deadline, "Redis is back and the server does not find it");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!((check(), ready().await.as_u16()), (Some(0), 200));
    }
}

async fn one_of_many_is_told_that_it_is_new(variables: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[&[PLAIN, ("RUST_LOG", "info,request=off")], variables].concat());
    // Each has its connection, so that they do not wait in one line.
    let clients: Vec<_> = (0..32).map(|_| client([]).build().unwrap()).collect();
    for round in 0..10 {
        let text = format!("of all {round}");
        let tasks = clients.iter().map(|client| {
            let (client, url, text) = (client.clone(), server.url.clone(), text.clone());
            tokio::spawn(async move { post(&client, &url, &text).await.unwrap() })
        });
        let mut statuses = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            let (status, body) = task.await.unwrap();
            assert_eq!(body, format!("{{\"digest\":\"{}\"}}", Digest::of(text.as_bytes())));
            statuses.push(status);
        }
        statuses.sort_unstable();
        let wanted: Vec<u16> = std::iter::repeat_n(200, 31).chain([201]).collect();
        assert_eq!(statuses, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_posts_of_one_text_one_is_told_that_it_is_new() {
    one_of_many_is_told_that_it_is_new(&[]).await;
    if let Some(redis) = Redis::start(&[]) {
        let host = format!("127.0.0.1:{}", redis.port);
        one_of_many_is_told_that_it_is_new(&[("MESSAGES_REDIS_HOST", &host)]).await;
    }
}
