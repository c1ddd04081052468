//! Queues of jobs behind one trait, and the workers that do them: in Redis ([`RedisQueue`]), in PostgreSQL
//! ([`PostgresQueue`], the queue of [`crate::worker`]) or in a file of this machine ([`FileQueue`]).
//!
//! Every queue delivers at least once, so a handler must be idempotent by the job's id. An attempt that fails is
//! repeated after a pause that doubles; after a number of attempts the job is kept as a dead letter with the reason. An
//! outage (a [`Problem`] of status 503) is not the job's fault and costs no attempt. An attempt that takes too long has
//! failed.

mod command;
mod file;
mod leases;
mod postgres;
mod redis;
mod settings;

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;

pub use self::redis::RedisQueue;
pub use command::JobsCommand;
pub use file::FileQueue;
pub use postgres::PostgresQueue;
pub use settings::{DEFAULTS, FLAT, RedisSettings, WorkerSettings};

pub use crate::worker::Depth;
use crate::{Problem, Stop};

/// The answer of a queue; an error if the queue cannot be reached.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Problem>>;

/// A job that a worker has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id in the queue, which no other job ever gets.
    pub id: String,
    /// The payload that was put.
    pub payload: String,
    /// How often a worker has begun with it, this time included.
    pub attempts: i32,
}

/// A job, with what `jobs list` shows of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedJob {
    /// The job.
    pub job: Job,
    /// How long the job has been in the queue, in seconds.
    pub age_seconds: f64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Whether it was given up.
    pub is_dead: bool,
}

/// What workers do with jobs.
pub trait Handler: Send + Sync + 'static {
    /// Does all of these jobs, or none. A job may come again although it was done.
    fn handle<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()>;
}

/// How jobs are worked on.
#[derive(Debug, Clone, Copy)]
pub struct WorkOptions {
    /// Workers of this process; with 0, the process only measures the queue.
    pub workers: usize,
    /// How often a job is tried before it is given up.
    pub max_attempts: i32,
}

/// A queue. What a call reports is as durable as its server or file.
pub trait Queue: fmt::Debug + Send + Sync {
    /// Adds a job, and returns its id.
    fn put(&self, payload: String) -> Answer<'_, String>;

    /// How many jobs wait, and for how long.
    fn depth(&self) -> Answer<'_, Depth>;

    /// The oldest jobs, including dead ones, or the oldest dead ones alone; at most `most`.
    fn list(&self, most: usize, only_dead: bool) -> Answer<'_, Vec<ListedJob>>;

    /// The job of this id.
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Option<ListedJob>>;

    /// Queues a dead job again, as if it were new. False if there is no dead job of this id.
    fn retry<'a>(&'a self, id: &'a str) -> Answer<'a, bool>;

    /// Removes a job that is not done. False if there is no job of this id. A worker that has the job may still do it.
    fn discard<'a>(&'a self, id: &'a str) -> Answer<'a, bool>;

    /// Registers counts and depth.
    fn register(&self, registry: &mut Registry);

    /// Does jobs and measures the queue, until a stop begins. Jobs that are in work then are finished, or left to the
    /// next worker when the stop is forced.
    fn run(
        self: Arc<Self>,
        handler: Arc<dyn Handler>,
        options: WorkOptions,
        stop: Stop,
    ) -> BoxFuture<'static, ()>;
}
