//! The queue of jobs and its workers, over a real PostgreSQL.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chassis::{
    Stop,
    postgres::Pool,
    worker::{AttemptError, GivenUp, Handler, Job, Queue, Workers},
};
use prometheus_client::registry::Registry;
use serde_json::json;
use sqlx::{Executor, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::task::JoinHandle;

/// Does what the payload says, and keeps what it was called for.
#[derive(Default)]
struct Recorder {
    events: Mutex<Vec<String>>,
    give_up: Option<GivenUp>,
}

impl Recorder {
    fn push(&self, what: &str, job: &Job) {
        let event = format!("{what} {} {}", job.payload["name"].as_str().unwrap(), job.attempts);
        self.events.lock().unwrap().push(event);
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
}

impl Handler for Recorder {
    type Done = ();

    async fn handle(&self, job: &Job, transaction: &mut PgConnection) -> Result<(), AttemptError> {
        self.push("handle", job);
        sqlx::query("insert into done values ($1)").bind(job.id).execute(&mut *transaction).await?;
        if let Some(seconds) = job.payload["seconds"].as_f64() {
            sqlx::query("select pg_sleep($1)").bind(seconds).execute(&mut *transaction).await?;
        }
        match job.payload["fails"].as_i64() {
            Some(times) if i64::from(job.attempts) <= times => Err(AttemptError("the disk is full".into())),
            _ => Ok(()),
        }
    }

    fn committed(&self, job: &Job, (): ()) {
        self.push("committed", job);
    }

    async fn returned(&self, job: &Job) {
        self.push("returned", job);
    }

    async fn give_up(&self, job: &Job, _: &mut PgConnection, reason: &str) -> Result<GivenUp, AttemptError> {
        self.push(reason, job);
        if job.payload["stays"].as_bool() == Some(true) {
            return Err(AttemptError("nobody takes it".into()));
        }
        Ok(self.give_up.unwrap_or(GivenUp::Keep))
    }

    fn given_up(&self, job: &Job) {
        self.push("given up", job);
    }
}

/// A queue in a database of the test's own.
struct Fixture {
    queue: Queue,
    pool: PgPool,
    /// Those of the workers.
    connections: Pool,
    /// How long an attempt at a job may take.
    limit: Duration,
}

impl Fixture {
    async fn new(pool: PgPool) -> Self {
        pool.execute(include_str!("../src/worker/jobs.sql")).await.unwrap();
        pool.execute("create table done (job bigint not null)").await.unwrap();
        let options = pool.connect_options().as_ref().clone();
        let connections = PgPoolOptions::new().max_connections(16).connect_lazy_with(options);
        let connections = Pool::of(connections, Duration::from_secs(20));
        let queue = Queue::new("test", connections.clone());
        Self { queue, pool, connections, limit: Duration::from_secs(20) }
    }

    async fn put(&self, payload: serde_json::Value) -> i64 {
        let job = self.queue.put(&self.pool, &payload).await.unwrap();
        self.queue.wake();
        job
    }

    /// Starts so many workers.
    fn work(&self, handler: &Arc<Recorder>, max_attempts: i32, count: usize) -> (JoinHandle<()>, Stop) {
        let stop = Stop::default();
        (tokio::spawn(self.workers(handler, max_attempts).run(count, stop.clone())), stop)
    }

    fn workers(&self, handler: &Arc<Recorder>, max_attempts: i32) -> Workers<Recorder> {
        let (queue, connections) = (self.queue.clone(), self.connections.clone());
        Workers { queue, connections, limit: self.limit, handler: Arc::clone(handler), max_attempts }
    }

    /// Metrics of the queue, whose workers may run already.
    fn metrics(&self, handler: &Arc<Recorder>) -> String {
        let mut registry = Registry::default();
        self.workers(handler, 1).register(&mut registry);
        metrics(&registry)
    }

    /// Waits until a question has this answer, but not for ever.
    async fn wait_until(&self, question: &'static str, expected: i64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.answer(question).await;
            if answer == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{question} is {answer} and not {expected}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn answer(&self, question: &'static str) -> i64 {
        sqlx::query_scalar(question).fetch_one(&self.pool).await.unwrap()
    }

    /// Its database can be removed once nobody is connected.
    async fn end(self, (running, stop): (JoinHandle<()>, Stop)) {
        stop.begin();
        tokio::time::timeout(Duration::from_secs(10), running).await.expect("an end").unwrap();
        self.connections.close().await;
    }
}

fn metrics(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}

async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "no {what} in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const JOBS: &str = "select count(*) from jobs";
const DONE: &str = "select count(*) from done";
const ATTEMPTS: &str = "select coalesce(max(attempts), -1)::bigint from jobs";

#[sqlx::test(migrations = false)]
async fn a_job_is_done_once_it_is_committed_and_its_worker_is_woken(pool: PgPool) {
    let fixture = Fixture::new(pool).await;
    let handler = Arc::new(Recorder::default());
    let running = fixture.work(&handler, 3, 1);
    let mut transaction = fixture.pool.begin().await.unwrap();
    fixture.queue.put(&mut *transaction, &json!({"name": "first"})).await.unwrap();
    fixture.queue.wake();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(handler.events(), Vec::<String>::new(), "not committed");
    transaction.commit().await.unwrap();
    // Nobody wakes the worker for this one: it looks by itself.
    fixture.wait_until(DONE, 1).await;
    fixture.wait_until(JOBS, 0).await;

    // Now that it has just looked, it would look again in a second.
    let started = Instant::now();
    fixture.put(json!({"name": "second"})).await;
    fixture.wait_until(DONE, 2).await;
    assert!(started.elapsed() < Duration::from_millis(700), "woken, after {:?}", started.elapsed());
    let other = Queue::new("other", fixture.connections.clone());
    other.put(&fixture.pool, &json!({"name": "of another queue"})).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let expected = ["handle first 1", "committed first 1", "handle second 1", "committed second 1"];
    assert_eq!(handler.events(), expected);
    fixture.end(running).await;
}

#[sqlx::test(migrations = false)]
async fn a_job_that_fails_is_tried_again_and_then_kept_with_the_reason(pool: PgPool) {
    let fixture = Fixture::new(pool).await;
    let handler = Arc::new(Recorder::default());
    fixture.put(json!({"name": "twice", "fails": 1})).await;
    let running = fixture.work(&handler, 2, 1);
    fixture.wait_until(DONE, 1).await;
    fixture.wait_until(JOBS, 0).await;
    let expected = ["handle twice 1", "returned twice 1", "handle twice 2", "committed twice 2"];
    assert_eq!(handler.events(), expected);
    fixture.end(running).await;
}

#[sqlx::test(migrations = false)]
async fn a_job_that_is_given_up_stays_as_a_dead_letter_or_goes(pool: PgPool) {
    let fixture = Fixture::new(pool).await;
    for (give_up, left) in [(GivenUp::Remove, 0), (GivenUp::Keep, 1)] {
        let handler = Arc::new(Recorder { give_up: Some(give_up), ..Recorder::default() });
        fixture.put(json!({"name": "bad", "fails": 9})).await;
        let (running, stop) = fixture.work(&handler, 1, 1);
        let is_over = match give_up {
            GivenUp::Remove => "select count(*) from jobs",
            GivenUp::Keep => "select count(*) - 1 from jobs where dead_since is not null",
        };
        fixture.wait_until(is_over, 0).await;
        assert_eq!(fixture.answer(JOBS).await, left);
        stop.begin();
        running.await.unwrap();
        let wanted = ["handle bad 1", "returned bad 1", "given up after 1 attempts bad 2", "given up bad 2"];
        assert_eq!(handler.events(), wanted);
    }
    assert_eq!(fixture.answer(DONE).await, 0, "what failed was rolled back");
    let reason: String =
        sqlx::query_scalar("select last_error from jobs").fetch_one(&fixture.pool).await.unwrap();
    assert_eq!(reason, "the disk is full", "a dead letter says what failed");
    // Nobody takes it again.
    let handler = Arc::new(Recorder::default());
    let running = fixture.work(&handler, 1, 1);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(handler.events(), Vec::<String>::new());
    fixture.end(running).await;
}

#[sqlx::test(migrations = false)]
async fn a_job_that_cannot_be_committed_has_failed_and_is_tried_again(pool: PgPool) {
    let fixture = Fixture::new(pool).await;
    let once = "alter table done add constraint once unique (job) deferrable initially deferred";
    fixture.pool.execute(once).await.unwrap();
    fixture.pool.execute("insert into done values (1)").await.unwrap();
    let handler = Arc::new(Recorder::default());
    fixture.put(json!({"name": "twice"})).await;
    let running = fixture.work(&handler, 3, 1);
    fixture.wait_until("select count(*) from jobs where last_error like '%once%'", 1).await;
    wait_for("end of the attempt", || handler.events().len() == 2).await;
    assert_eq!(handler.events(), ["handle twice 1", "returned twice 1"]);
    let metrics = fixture.metrics(&handler);
    assert!(metrics.contains("jobs_failed_attempts_total 1\n"), "{metrics}");
    fixture.pool.execute("delete from done").await.unwrap();
    fixture.wait_until(JOBS, 0).await;
    assert_eq!(fixture.answer(DONE).await, 1);
    fixture.end(running).await;
    assert_eq!(handler.events()[2..], ["handle twice 2", "committed twice 2"]);
}

#[sqlx::test(migrations = false)]
async fn giving_up_that_fails_is_counted_and_tried_again(pool: PgPool) {
    let fixture = Fixture::new(pool).await;
    let handler = Arc::new(Recorder::default());
    fixture.put(json!({"name": "bad", "fails": 9, "stays": true})).await;
    let running = fixture.work(&handler, 1, 1);
    fixture.wait_until("select count(*) from jobs where last_error = 'nobody takes it'", 1).await;
    assert_eq!(fixture.answer("select count(*) from jobs where dead_since is null").await, 1);
    let metrics = fixture.metrics(&handler);
    assert!(metrics.contains("jobs_failed_attempts_total 2\n"), "{metrics}");
    fixture.end(running).await;
}

#[sqlx::test(migrations = false)]
async fn a_stop_waits_for_the_job_in_work_and_begins_no_other(pool: PgPool) {
    let fixture = Fixture::new(pool).await;
    let handler = Arc::new(Recorder::default());
    fixture.put(json!({"name": "slow", "seconds": 0.5})).await;
    fixture.put(json!({"name": "next"})).await;
    let running = fixture.work(&handler, 3, 1);
    wait_for("a job in work", || !handler.events().is_empty()).await;
    running.1.begin();
    running.0.await.unwrap();
    assert_eq!(handler.events(), ["handle slow 1", "committed slow 1"]);
    assert_eq!(fixture.answer(JOBS).await, 1);
    assert_eq!(fixture.answer(ATTEMPTS).await, 0);
    fixture.connections.close().await;
}

#[sqlx::test(migrations = false)]
async fn a_forced_stop_gives_the_job_back_at_once_and_does_not_count_it(pool: PgPool) {
    let fixture = Fixture::new(pool).await;
    let handler = Arc::new(Recorder::default());
    fixture.put(json!({"name": "long", "seconds": 30})).await;
    let (running, stop) = fixture.work(&handler, 3, 1);
    // In the middle of a long statement.
    fixture
        .wait_until(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'",
            1,
        )
        .await;
    assert_eq!(fixture.answer(ATTEMPTS).await, 1);
    stop.force();
    // The chassis gives tasks two seconds (`ENDING`).
    tokio::time::timeout(Duration::from_millis(900), running).await.expect("at once").unwrap();
    assert_eq!(handler.events(), ["handle long 1", "returned long 1"]);
    assert_eq!(fixture.answer(ATTEMPTS).await, 0);
    assert_eq!(fixture.answer(DONE).await, 0);
    // The next worker finds it as it was.
    fixture.pool.execute("update jobs set payload = '{\"name\": \"long\"}'").await.unwrap();
    let running = fixture.work(&handler, 3, 1);
    fixture.wait_until(DONE, 1).await;
    fixture.wait_until(JOBS, 0).await;
    fixture.end(running).await;
    assert_eq!(handler.events()[2..], ["handle long 1", "committed long 1"]);
}

#[sqlx::test(migrations = false)]
async fn a_job_that_takes_too_long_has_failed_and_its_statement_is_ended(pool: PgPool) {
    let fixture = Fixture { limit: Duration::from_secs(1), ..Fixture::new(pool).await };
    let handler = Arc::new(Recorder::default());
    fixture.put(json!({"name": "long", "seconds": 30})).await;
    let running = fixture.work(&handler, 3, 1);
    fixture.wait_until("select count(*) from jobs where last_error = 'took longer than 1 s'", 1).await;
    wait_for("end of the attempt", || handler.events().len() == 2).await;
    assert_eq!(handler.events(), ["handle long 1", "returned long 1"]);
    let metrics = fixture.metrics(&handler);
    assert!(metrics.contains("jobs_failed_attempts_total 1\n"), "{metrics}");
    // The next attempt finds the job free, and a connection that works.
    fixture.pool.execute("update jobs set payload = '{\"name\": \"long\"}'").await.unwrap();
    fixture.wait_until(DONE, 1).await;
    fixture.wait_until(JOBS, 0).await;
    fixture.end(running).await;
    assert_eq!(handler.events()[2..], ["handle long 2", "committed long 2"]);
}

#[sqlx::test(migrations = false)]
async fn workers_never_do_or_count_a_job_twice(pool: PgPool) {
    let fixture = Fixture::new(pool).await;
    for number in 0..200 {
        fixture.put(json!({"name": format!("job {number}")})).await;
    }
    // Two processes, four workers each.
    let handler = Arc::new(Recorder::default());
    let (first, second) = (fixture.work(&handler, 3, 4), fixture.work(&handler, 3, 4));
    fixture.wait_until(JOBS, 0).await;
    assert_eq!(fixture.answer(DONE).await, 200);
    assert_eq!(fixture.answer("select count(distinct job) from done").await, 200);
    let events = handler.events();
    assert_eq!(events.iter().filter(|event| event.starts_with("handle")).count(), 200);
    let counted_twice: Vec<_> = events.iter().filter(|event| !event.ends_with(" 1")).collect();
    assert!(counted_twice.is_empty(), "{counted_twice:?}");
    first.1.begin();
    first.0.await.unwrap();
    fixture.end(second).await;
}

#[sqlx::test(migrations = false)]
async fn metrics_show_what_waits_how_long_and_what_was_done(pool: PgPool) {
    let fixture = Fixture::new(pool).await;
    let mut registry = Registry::default();
    let handler = Arc::new(Recorder::default());
    let workers = fixture.workers(&handler, 3);
    workers.register(&mut registry);
    let before = metrics(&registry);
    assert!(before.contains("jobs_done_total 0\n") && !before.contains("jobs_waiting"), "{before}");

    fixture.put(json!({"name": "good"})).await;
    fixture.put(json!({"name": "bad", "fails": 9})).await;
    fixture
        .pool
        .execute("insert into jobs (queue, payload, dead_since) values ('test', '{}', now())")
        .await
        .unwrap();
    fixture
        .pool
        .execute("update jobs set created_at = now() - interval '1 hour' where id = 1")
        .await
        .unwrap();
    let stop = Stop::default();
    // No worker takes a job, but the queue is measured.
    let measuring = tokio::spawn(workers.run(0, stop.clone()));
    wait_for("a depth", || metrics(&registry).contains("jobs_waiting")).await;
    let text = metrics(&registry);
    assert!(text.contains("jobs_waiting 2\n") && text.contains("jobs_dead 1\n"), "{text}");
    let oldest = text.lines().find_map(|line| line.strip_prefix("jobs_oldest_seconds ")).unwrap();
    let oldest: f64 = oldest.parse().unwrap();
    assert!((3600.0..3660.0).contains(&oldest), "{oldest}");
    stop.begin();
    measuring.await.unwrap();

    let running = fixture.work(&handler, 3, 1);
    fixture.wait_until("select count(*) from jobs where last_error is not null", 1).await;
    let text = metrics(&registry);
    assert!(
        text.contains("jobs_done_total 1\n") && text.contains("jobs_failed_attempts_total 1\n"),
        "{text}"
    );
    fixture.end(running).await;
}
