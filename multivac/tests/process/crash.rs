//! Server and worker killed at random under load: what was accepted is stored once, what was refused never.
//!
//! A few kills by default; `MULTIVAC_KILLS=100` for the long form (`make multivac-kill`).

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chassis::testing::Process;
use multivac::backend::MIGRATOR;
use reqwest::Client;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    client, serve,
    support::{PATIENCE, Place, until},
    work,
};

const CLIENTS: usize = 4;

/// Clients that post texts of their own, and what each was answered.
struct Posters {
    url: Arc<Mutex<String>>,
    stop: Arc<AtomicBool>,
    accepted: Arc<Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Posters {
    fn start(url: &str) -> Self {
        let url = Arc::new(Mutex::new(url.to_owned()));
        let (stop, accepted) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<String>>>::default());
        let tasks = (0..CLIENTS).map(|number| {
            let (url, stop, accepted) = (Arc::clone(&url), Arc::clone(&stop), Arc::clone(&accepted));
            tokio::spawn(async move {
                let client = client();
                for count in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let text = format!("client {number}, {count}");
                    let url = format!("{}/multivac/data", url.lock().unwrap());
                    match post(&client, &url, &text).await {
                        Some(200) => accepted.lock().unwrap().push(text.clone()),
                        Some(status) => panic!("{text} was answered {status}"),
                        // Cut off: it may be there or not.
                        None => tokio::time::sleep(Duration::from_millis(2)).await,
                    }
                    if count % 10 == 0 {
                        let refused = client.post(&url).json(&json!({"refused": text})).send().await;
                        assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status() == 400));
                    }
                }
            })
        });
        Self { tasks: tasks.collect(), url, stop, accepted }
    }

    fn accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        Arc::try_unwrap(self.accepted).unwrap().into_inner().unwrap()
    }
}

async fn post(client: &Client, url: &str, text: &str) -> Option<u16> {
    let answer = client.post(url).json(&json!({"data": text})).send().await.ok()?;
    Some(answer.status().as_u16())
}

fn kill(process: Process) {
    process.signal("-KILL");
    assert_eq!(process.end().code, None, "killed");
}

async fn nothing_is_lost_or_stored_twice(place: &Place) {
    #[expect(clippy::disallowed_methods, reason = "how long a test lasts is no setting")]
    let kills = std::env::var("MULTIVAC_KILLS").map_or(4, |kills| kills.parse().unwrap());
    // More tries than kills: a job that is in work when its worker is killed did not fail.
    let variables = [("MULTIVAC__WORKER__MAX_ATTEMPTS", "1000")];
    let mut server = serve(place, &variables);
    let mut worker = (!place.is_file()).then(|| work(place, &variables));
    let posters = Posters::start(&server.url);
    for _ in 0..kills {
        let (before, deadline) = (posters.accepted(), Instant::now() + PATIENCE);
        let more = fastrand::usize(10..60);
        while posters.accepted() < before + more {
            assert!(Instant::now() < deadline, "{}: nothing is accepted", place.name);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if let Some(killed) = worker.take_if(|_| fastrand::bool()) {
            kill(killed);
            worker = Some(work(place, &variables));
        } else {
            kill(server);
            server = serve(place, &variables);
            server.url.clone_into(&mut posters.url.lock().unwrap());
        }
    }
    let accepted = posters.end().await;
    if place.is_file() {
        // This process does the rest: the file has one owner.
        kill(server);
        server = serve(place, &variables);
        let metrics = format!("http://{}/metrics", server.metrics_address);
        until("all is done", async || {
            let metrics = client().get(&metrics).send().await.unwrap().text().await.unwrap();
            metrics.contains("jobs_waiting 0")
        })
        .await;
        drop(server);
    }
    let backend = place.open().await;
    until("all is done", async || backend.queue.depth().await.unwrap().waiting == 0).await;
    assert_eq!(backend.queue.depth().await.unwrap().dead, 0);
    let mut stored: HashMap<String, usize> = HashMap::new();
    while let Some(text) = backend.store.oldest().await.unwrap() {
        *stored.entry(text).or_default() += 1;
        assert!(backend.store.delete_oldest().await.unwrap());
    }
    for text in &accepted {
        assert_eq!(stored.remove(text), Some(1), "{}: {text} of {}", place.name, accepted.len());
    }
    // What was cut off may be there, once.
    for (text, times) in &stored {
        assert!(*times == 1 && text.starts_with("client "), "{text}: {times}");
    }
    let all = kills * CLIENTS;
    assert!(stored.len() <= all, "{} of {all} that were cut off", stored.len());
    eprintln!(
        "{}: {kills} kills, {} accepted, {} cut off and stored",
        place.name,
        accepted.len(),
        stored.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_stored_twice_in_the_file() {
    nothing_is_lost_or_stored_twice(&Place::file()).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn nothing_is_lost_or_stored_twice_in_postgres(pool: PgPool) {
    nothing_is_lost_or_stored_twice(&Place::postgres(&pool)).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn nothing_is_lost_or_stored_twice_by_redis(pool: PgPool) {
    if let Some(place) = Place::redis(&pool) {
        nothing_is_lost_or_stored_twice(&place).await;
    }
}
