//! The queue of [`crate::worker`] behind the trait of this module.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;
use http::StatusCode;
use prometheus_client::registry::Registry;
use sqlx::PgConnection;
use tokio::sync::{Mutex as Turn, oneshot};

use super::{Answer, Depth, Handler, Job, ListedJob, Queue, WorkOptions, leases::reason};
use crate::{
    Stop,
    postgres::Pool,
    worker::{self, AttemptError, StoredJob, Workers},
};

/// A queue in the table `jobs`.
#[derive(Debug)]
pub struct PostgresQueue {
    queue: worker::Queue,
    puts: Arc<Puts>,
    /// A job in work keeps one of these.
    connections: Pool,
}

impl PostgresQueue {
    /// The queue of this name. `pool` is for short statements; workers hold `connections`.
    #[must_use]
    pub fn new(name: &'static str, pool: Pool, connections: Pool) -> Self {
        let queue = worker::Queue::new(name, pool);
        let puts = Puts { queue: queue.clone(), waiting: Mutex::default(), turn: Turn::default() };
        Self { queue, puts: Arc::new(puts), connections }
    }
}

/// A statement takes no more payloads after so many bytes.
const ENOUGH_BYTES: usize = 4 << 20;

/// Payloads that wait to be put, each with the sender of its reply. Payloads that arrive while a statement runs are put
/// together by the next one, so that they share its round trip and its sync.
#[derive(Debug)]
struct Puts {
    queue: worker::Queue,
    waiting: Mutex<Vec<(String, oneshot::Sender<PutResult>)>>,
    turn: Turn<()>,
}

type PutResult = Result<i64, Arc<sqlx::Error>>;

impl Puts {
    fn waiting(&self) -> MutexGuard<'_, Vec<(String, oneshot::Sender<PutResult>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts all payloads that wait, unless the previous turn has put them.
    async fn put_waiting(&self) {
        let _turn = self.turn.lock().await;
        let (payloads, replies): (Vec<_>, Vec<_>) = {
            let (mut waiting, mut bytes) = (self.waiting(), 0);
            // Each of those that are left has a turn, too.
            let some = waiting.iter().take_while(|(payload, _)| {
                let fits = bytes < ENOUGH_BYTES;
                bytes += payload.len();
                fits
            });
            let some = some.count();
            waiting.drain(..some).unzip()
        };
        if payloads.is_empty() {
            return;
        }
        let put = self.queue.put_all(&payloads).await.map_err(Arc::new);
        for (place, reply) in replies.into_iter().enumerate() {
            if put.is_ok() {
                self.queue.wake();
            }
            // The caller may be gone.
            let _ = reply.send(put.as_ref().map(|ids| ids[place]).map_err(Arc::clone));
        }
    }
}

impl Queue for PostgresQueue {
    fn put(&self, payload: String) -> Answer<'_, String> {
        Box::pin(async move {
            let (reply, put) = oneshot::channel();
            self.puts.waiting().push((payload, reply));
            // In a task, since the first caller may go away while others wait for the same statement.
            let puts = Arc::clone(&self.puts);
            tokio::spawn(async move { puts.put_waiting().await });
            let put = put.await.unwrap_or_else(|_| Err(Arc::new(sqlx::Error::WorkerCrashed)));
            Ok(put?.to_string())
        })
    }

    fn depth(&self) -> Answer<'_, Depth> {
        Box::pin(async move { Ok(self.queue.depth().await?) })
    }

    fn list(&self, most: usize, only_dead: bool) -> Answer<'_, Vec<ListedJob>> {
        Box::pin(async move {
            let jobs = self.queue.list(i64::try_from(most).unwrap_or(i64::MAX), only_dead).await?;
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
            limit: self.connections.limit(),
            handler: Arc::new(Adapter { handler, queue: self.queue.clone(), outages: Mutex::default() }),
            max_attempts: options.max_attempts,
        };
        Box::pin(workers.run(options.workers, stop))
    }
}

/// Does each job by itself, while its row is locked.
struct Adapter {
    handler: Arc<dyn Handler>,
    queue: worker::Queue,
    /// Jobs whose last attempt met an outage, which is not their fault.
    outages: Mutex<HashSet<i64>>,
}

impl Adapter {
    fn outages(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl worker::Handler for Adapter {
    type Done = ();

    async fn handle(&self, taken: &worker::Job, _: &mut PgConnection) -> Result<(), AttemptError> {
        let payload = taken.payload.as_str().unwrap_or_default().to_owned();
        let job = Job { id: taken.id.to_string(), payload, attempts: taken.attempts };
        self.handler.handle(&[job]).await.map_err(|problem| {
            if problem.status() == StatusCode::SERVICE_UNAVAILABLE {
                self.outages().insert(taken.id);
            }
            AttemptError(reason(&problem).into())
        })
    }

    fn committed(&self, _: &worker::Job, (): ()) {}

    async fn returned(&self, job: &worker::Job) {
        if self.outages().remove(&job.id) {
            // If this fails, the attempt counts.
            let _ = self.queue.forgive(job).await;
        }
    }
}

fn listed(stored: StoredJob) -> ListedJob {
    let StoredJob { id, payload, attempts, age_seconds, last_error, is_dead } = stored;
    let payload = serde_json::from_str(&payload).unwrap_or(payload);
    ListedJob { job: Job { id: id.to_string(), payload, attempts }, age_seconds, last_error, is_dead }
}
