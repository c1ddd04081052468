//! The queue of [`crate::worker`] behind the trait of this module.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use http::StatusCode;
use prometheus_client::registry::Registry;
use serde_json::Value;
use sqlx::PgConnection;

use super::{Answer, Depth, Handler, Job, ListedJob, Queue, WorkOptions, leases::reason};
use crate::{
    Stop,
    postgres::Pool,
    worker::{self, Failed, StoredJob, Workers},
};

/// A queue in the table `jobs`.
#[derive(Debug)]
pub struct PostgresQueue {
    queue: worker::Queue,
    pool: Pool,
    /// Each job keeps one of these while it is in work.
    connections: Pool,
}

impl PostgresQueue {
    /// The queue of this name. `pool` is for short statements; workers hold `connections`.
    #[must_use]
    pub fn new(name: &'static str, pool: Pool, connections: Pool) -> Self {
        Self { queue: worker::Queue::new(name, pool.clone()), pool, connections }
    }
}

impl Queue for PostgresQueue {
    fn put(&self, payload: String) -> Answer<'_, String> {
        Box::pin(async move {
            let id = self.queue.put(&self.pool, &Value::String(payload)).await?;
            self.queue.wake();
            Ok(id.to_string())
        })
    }

    fn depth(&self) -> Answer<'_, Depth> {
        Box::pin(async move { Ok(self.queue.depth().await?) })
    }

    fn list(&self, most: usize) -> Answer<'_, Vec<ListedJob>> {
        Box::pin(async move {
            let jobs = self.queue.list(i64::try_from(most).unwrap_or(i64::MAX)).await?;
            Ok(jobs.into_iter().map(listed).collect())
        })
    }

    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Option<ListedJob>> {
        Box::pin(async move {
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(self.queue.find(id).await?.map(listed))
        })
    }

    fn retry<'a>(&'a self, id: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let Ok(id) = id.parse() else { return Ok(false) };
            Ok(self.queue.retry(id).await?)
        })
    }

    fn discard<'a>(&'a self, id: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let Ok(id) = id.parse() else { return Ok(false) };
            Ok(self.queue.discard(id).await?)
        })
    }

    fn register(&self, registry: &mut Registry) {
        self.queue.metrics().register(registry);
    }

    fn run(
        self: Arc<Self>,
        handler: Arc<dyn Handler>,
        options: WorkOptions,
        stop: Stop,
    ) -> BoxFuture<'static, ()> {
        let workers = Workers {
            queue: self.queue.clone(),
            connections: self.connections.clone(),
            handler: Arc::new(Adapter { handler, pool: self.pool.clone(), outages: Mutex::default() }),
            max_attempts: options.max_attempts,
        };
        Box::pin(workers.run(options.workers, stop))
    }
}

/// Does each job by itself, while its row is locked.
struct Adapter {
    handler: Arc<dyn Handler>,
    pool: Pool,
    /// Jobs whose last attempt met an outage, which is not their fault.
    outages: Mutex<HashSet<i64>>,
}

impl Adapter {
    fn outages(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl worker::Handler for Adapter {
    type Done = ();

    async fn handle(&self, taken: &worker::Job, _: &mut PgConnection) -> Result<(), Failed> {
        let payload = taken.payload.as_str().unwrap_or_default().to_owned();
        let job = Job { id: taken.id.to_string(), payload, attempts: taken.attempts };
        self.handler.handle(&[job]).await.map_err(|problem| {
            if problem.status() == StatusCode::SERVICE_UNAVAILABLE {
                self.outages().insert(taken.id);
            }
            Failed(reason(&problem).into())
        })
    }

    fn committed(&self, _: &worker::Job, (): ()) {}

    async fn returned(&self, job: &worker::Job) {
        if self.outages().remove(&job.id) {
            let forgive = "update public.jobs set attempts = attempts - 1 where id = $1 and attempts = $2";
            // If this fails, the attempt counts.
            let _ = sqlx::query(forgive).bind(job.id).bind(job.attempts).execute(&self.pool).await;
        }
    }
}

fn listed(stored: StoredJob) -> ListedJob {
    let StoredJob { id, payload, attempts, age_seconds, last_error, is_dead } = stored;
    let payload = serde_json::from_str(&payload).unwrap_or(payload);
    ListedJob { job: Job { id: id.to_string(), payload, attempts }, age_seconds, last_error, is_dead }
}
