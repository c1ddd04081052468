//! What every combination of queue and store promises, asked of each.

mod support;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chassis::{
    Problem, Stop,
    jobs::{Answer, Handler, Job, WorkOptions},
};
use futures_util::future::join_all;
use http::StatusCode;
use multivac::{
    backend::{Backend, MIGRATOR},
    store::Storing,
};
use sqlx::{Executor, PgPool, migrate::Migrator};
use support::{Place, until};

/// Stores, but not what is poisoned, and nothing during an outage.
struct Touchy {
    storing: Storing,
    is_cured: AtomicBool,
    is_away: AtomicBool,
    outages: AtomicUsize,
}

impl Handler for Touchy {
    fn handle<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()> {
        if self.is_away.load(Ordering::SeqCst) {
            self.outages.fetch_add(1, Ordering::SeqCst);
            return Box::pin(std::future::ready(Err(Problem::unavailable("away", 1))));
        }
        if jobs.iter().any(|job| job.payload == "poison") && !self.is_cured.load(Ordering::SeqCst) {
            let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR).cause("it tastes bitter");
            return Box::pin(std::future::ready(Err(problem)));
        }
        self.storing.handle(jobs)
    }
}

/// Workers over a backend, until they are stopped.
struct Workers {
    handler: Arc<Touchy>,
    stop: Stop,
    task: tokio::task::JoinHandle<()>,
}

impl Workers {
    fn start(backend: &Backend) -> Self {
        let handler = Arc::new(Touchy {
            storing: Storing(Arc::clone(&backend.store)),
            is_cured: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
            outages: AtomicUsize::new(0),
        });
        let stop = Stop::default();
        let options = WorkOptions { workers: 2, max_attempts: 2 };
        let queue = Arc::clone(&backend.queue);
        let task = tokio::spawn(queue.run(Arc::clone(&handler) as Arc<dyn Handler>, options, stop.clone()));
        Self { handler, stop, task }
    }

    async fn stop(self) {
        self.stop.begin();
        tokio::time::timeout(support::PATIENCE, self.task).await.unwrap().unwrap();
    }
}

async fn put(backend: &Backend, payload: &str) -> String {
    backend.queue.put(payload.to_owned()).await.unwrap()
}

async fn first(backend: &Backend) -> Option<String> {
    backend.store.oldest().await.unwrap()
}

async fn depth(backend: &Backend) -> (i64, i64) {
    let depth = backend.queue.depth().await.unwrap();
    assert!(depth.waiting > 0 || depth.oldest_seconds == 0.0);
    (depth.waiting, depth.dead)
}

async fn keeps_its_promises(place: &Place) {
    let backend = place.open().await;
    let (queue, store) = (&backend.queue, &backend.store);

    // Nothing is there.
    assert_eq!((depth(&backend).await, first(&backend).await), ((0, 0), None));
    assert!(!store.delete_oldest().await.unwrap());
    for id in ["1", "1-1", "x", ""] {
        assert!(queue.find(id).await.unwrap().is_none(), "{id}");
        assert!(!queue.retry(id).await.unwrap() && !queue.discard(id).await.unwrap(), "{id}");
    }

    // What is put waits, in order, until a worker comes. Any text comes back as it was.
    let texts = ["first", "größer 🚢 \u{301}\r\n\"\\", &"x".repeat(1 << 19)];
    let mut ids = Vec::new();
    for text in texts {
        ids.push(put(&backend, text).await);
    }
    assert_eq!((depth(&backend).await, first(&backend).await), ((3, 0), None));
    let listed = queue.list(2, false).await.unwrap();
    assert_eq!(listed.iter().map(|listed| &listed.job.id).collect::<Vec<_>>(), [&ids[0], &ids[1]]);
    let found = queue.find(&ids[1]).await.unwrap().unwrap();
    assert_eq!((found.job.payload.as_str(), found.is_dead, found.job.attempts), (texts[1], false, 0));
    assert!(!queue.retry(&ids[1]).await.unwrap(), "it is not dead");
    let unwanted = put(&backend, "unwanted").await;
    assert!(queue.discard(&unwanted).await.unwrap() && !queue.discard(&unwanted).await.unwrap());

    let workers = Workers::start(&backend);
    until("all is stored", async || depth(&backend).await == (0, 0)).await;
    for (id, text) in ids.iter().zip(texts) {
        assert_eq!(store.get(id).await.unwrap().as_deref(), Some(text));
    }
    assert_eq!(store.get(&unwanted).await.unwrap(), None, "{}", place.name);

    // A job that comes again changes nothing, neither while its data is there nor after it was deleted.
    let again = |id: &String, payload: &str| Job { id: id.clone(), payload: payload.to_owned(), attempts: 2 };
    let jobs = [again(&ids[0], "changed"), again(&ids[1], texts[1])];
    // Several workers store in any order.
    let answer = first(&backend).await;
    store.put(&jobs).await.unwrap();
    assert_eq!(first(&backend).await, answer, "{}", place.name);
    for left in [2, 1, 0] {
        assert!(store.delete_oldest().await.unwrap(), "{left}");
    }
    assert!(!store.delete_oldest().await.unwrap());
    store.put(&jobs).await.unwrap();
    assert_eq!(first(&backend).await, None, "{}: a job that came again", place.name);
    // Nor does data come that was deleted before it was stored.
    let early = put(&backend, "early").await;
    store.delete(&early).await.unwrap();
    until("it is done", async || depth(&backend).await == (0, 0)).await;
    assert_eq!(first(&backend).await, None);

    // A job that fails holds up no other; it is tried again, and kept with the reason when it was tried enough.
    let (poison, good) = (put(&backend, "poison").await, put(&backend, "good").await);
    until("the good one is stored", async || store.get(&good).await.unwrap().is_some()).await;
    until("the other is given up", async || depth(&backend).await == (0, 1)).await;
    let dead = queue.list(10, true).await.unwrap();
    assert_eq!((dead.len(), &dead[0].job.id, dead[0].is_dead), (1, &poison, true));
    assert!(dead[0].last_error.as_deref().unwrap().contains("it tastes bitter"), "{dead:?}");
    assert_eq!(queue.find(&poison).await.unwrap().unwrap().job.payload, "poison");
    workers.handler.is_cured.store(true, Ordering::SeqCst);
    assert!(queue.retry(&poison).await.unwrap() && !queue.retry(&poison).await.unwrap());
    until("it is stored", async || store.get(&poison).await.unwrap().is_some()).await;
    until("it is done", async || depth(&backend).await == (0, 0)).await;

    // An outage is longer than any number of attempts, and no job's fault.
    workers.handler.is_away.store(true, Ordering::SeqCst);
    let patient = put(&backend, "patient").await;
    until("it was tried", async || workers.handler.outages.load(Ordering::SeqCst) > 3).await;
    assert_eq!(depth(&backend).await, (1, 0));
    assert_eq!(store.get(&patient).await.unwrap(), None);
    workers.handler.is_away.store(false, Ordering::SeqCst);
    until("it is stored", async || store.get(&patient).await.unwrap().is_some()).await;
    until("it is done", async || depth(&backend).await == (0, 0)).await;

    // A dead job is found behind one that waits, and can be dropped.
    workers.handler.is_cured.store(false, Ordering::SeqCst);
    let (older, poison) = (put(&backend, "poison").await, put(&backend, "poison").await);
    until("both are given up", async || depth(&backend).await == (0, 2)).await;
    workers.stop().await;
    assert!(queue.retry(&older).await.unwrap());
    for (only_dead, expected) in [(false, &older), (true, &poison)] {
        let listed = queue.list(1, only_dead).await.unwrap();
        assert_eq!((listed.len(), &listed[0].job.id, listed[0].is_dead), (1, expected, only_dead));
    }
    assert!(queue.discard(&older).await.unwrap() && queue.discard(&poison).await.unwrap());
    assert_eq!((depth(&backend).await, queue.list(1, true).await.unwrap()), ((0, 0), Vec::new()));

    // What is there outlives the process.
    let kept = put(&backend, "kept").await;
    drop(backend);
    let backend = place.open().await;
    assert_eq!(backend.queue.find(&kept).await.unwrap().unwrap().job.payload, "kept");
    assert_eq!(first(&backend).await.as_deref(), Some(if place.is_file() { "poison" } else { "good" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_keeps_its_promises() {
    keeps_its_promises(&Place::file()).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn postgres_keeps_its_promises(pool: PgPool) {
    keeps_its_promises(&Place::postgres(&pool)).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn redis_keeps_its_promises(pool: PgPool) {
    if let Some(place) = Place::redis(&pool) {
        keeps_its_promises(&place).await;
    }
}

/// Each is deleted by one of those who delete at the same time.
#[sqlx::test(migrator = "MIGRATOR")]
async fn concurrent_deletions_delete_different_data(pool: PgPool) {
    for place in [Place::file(), Place::postgres(&pool)] {
        let backend = place.open().await;
        let job = |number: i32| Job { id: number.to_string(), payload: "x".to_owned(), attempts: 1 };
        backend.store.put(&(1..=8).map(job).collect::<Vec<_>>()).await.unwrap();
        let tasks = (0..10).map(|_| {
            let store = Arc::clone(&backend.store);
            tokio::spawn(async move { store.delete_oldest().await.unwrap() })
        });
        let mut deleted = 0;
        for task in tasks.collect::<Vec<_>>() {
            deleted += i32::from(task.await.unwrap());
        }
        assert_eq!((deleted, first(&backend).await), (8, None), "{}", place.name);
    }
}

/// A worker that died is replaced by the next one when its lease has ended.
#[sqlx::test(migrator = "MIGRATOR")]
async fn jobs_of_a_worker_that_died_are_done_by_the_next(pool: PgPool) {
    let Some(place) = Place::redis(&pool) else { return };
    let backend = place.open().await;
    let id = put(&backend, "left").await;
    let workers = Workers::start(&backend);
    workers.handler.is_away.store(true, Ordering::SeqCst);
    until("it was taken", async || workers.handler.outages.load(Ordering::SeqCst) > 0).await;
    workers.task.abort();
    let next = Workers::start(&backend);
    until("it is stored", async || backend.store.get(&id).await.unwrap().is_some()).await;
    next.stop().await;
    tokio::time::timeout(Duration::from_secs(1), workers.task).await.unwrap().unwrap_err();
}

/// Never ends with one job, and notes how often each other one was taken.
#[derive(Default)]
struct Hanging {
    others: Mutex<Vec<i32>>,
}

impl Handler for Hanging {
    fn handle<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()> {
        if jobs.iter().any(|job| job.payload == "hang") {
            return Box::pin(std::future::pending());
        }
        self.others.lock().unwrap().extend(jobs.iter().map(|job| job.attempts));
        Box::pin(std::future::ready(Ok(())))
    }
}

async fn gives_up_a_job_that_hangs(place: &Place) {
    let backend = place.open().await;
    let (hanging, _other) = (put(&backend, "hang").await, put(&backend, "other").await);
    let (handler, stop) = (Arc::new(Hanging::default()), Stop::default());
    let options = WorkOptions { workers: 2, max_attempts: 2 };
    let queue = Arc::clone(&backend.queue);
    let task = tokio::spawn(queue.run(Arc::clone(&handler) as Arc<dyn Handler>, options, stop.clone()));
    until("it is given up", async || depth(&backend).await == (0, 1)).await;
    let dead = backend.queue.find(&hanging).await.unwrap().unwrap();
    assert_eq!(dead.last_error.as_deref(), Some("The attempt took too long."), "{}", place.name);
    // The attempts at the first took longer than a lease, but the other worker did not get the second.
    assert_eq!(*handler.others.lock().unwrap(), [1], "{}", place.name);
    stop.begin();
    tokio::time::timeout(support::PATIENCE, task).await.unwrap().unwrap();
}

/// Takes as long as three attempts that are cut.
#[sqlx::test(migrator = "MIGRATOR")]
async fn a_job_that_hangs_is_given_up_and_holds_up_no_other(pool: PgPool) {
    let places: Vec<Place> = [Some(Place::file()), Place::redis(&pool)].into_iter().flatten().collect();
    join_all(places.iter().map(gives_up_a_job_that_hangs)).await;
}

#[test]
fn the_table_of_jobs_is_that_of_the_chassis() {
    let migration = include_str!("../migrations/20261126000001_multivac.up.sql");
    chassis::testing::assert_makes_jobs_table(migration);
}

/// Both services have a migration that makes the table of jobs.
#[sqlx::test(migrations = false)]
async fn a_database_may_be_shared_with_rates_whichever_migrates_first(pool: PgPool) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../db/migrations"));
    let mut rates = Migrator::new(folder).await.unwrap();
    rates.set_ignore_missing(true);
    for (first, second) in [(&MIGRATOR, &rates), (&rates, &MIGRATOR)] {
        pool.execute(
            "drop schema public cascade; drop schema if exists multivac cascade; create schema public",
        )
        .await
        .unwrap();
        first.run(&pool).await.unwrap();
        second.run(&pool).await.unwrap();
        let backend = Place::postgres(&pool).open().await;
        put(&backend, "fiat lux").await;
        assert_eq!(backend.queue.depth().await.unwrap().waiting, 1);
    }
}

/// Those that come together may be put by one statement.
#[sqlx::test(migrator = "MIGRATOR")]
async fn each_of_many_puts_gets_its_own_id(pool: PgPool) {
    for place in Place::all(&pool) {
        let backend = place.open().await;
        let texts: Vec<String> = (0..300).map(|number| format!("text {number}")).collect();
        let ids = join_all(texts.iter().map(|text| put(&backend, text))).await;
        for (text, id) in texts.iter().zip(&ids) {
            let job = backend.queue.find(id).await.unwrap().unwrap();
            assert_eq!(job.job.payload, *text, "{}", place.name);
        }
        for id in &ids {
            assert!(backend.queue.discard(id).await.unwrap());
        }
    }
}
