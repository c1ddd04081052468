//! Reads of lanes, gathered: what comes in while statements run goes into the next one together.
//!
//! To ask PostgreSQL costs both sides more than the answer does: a message, two wake-ups, a message back. Under load a
//! statement answers several requests, which share that; alone a request waits for nobody and is a statement by itself.
//! Nothing is delayed to make a batch larger.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use sqlx::{PgPool, Postgres, pool::PoolConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    lanes::query::{RatesQuery, Statistics},
    lanes::sql::{self, Asked, Lane},
};

/// Statements at once. With one, PostgreSQL would idle while answers are written; with many, each would hold one request
/// and there would be nothing to share.
const TURNS: usize = 2;

/// The most requests in a statement, and the most days of all of them together: a batch must not make its first wait
/// long for its last. A single request may be longer.
const MOST_REQUESTS: usize = 32;
const MOST_DAYS: i64 = 4_000;

/// Statements by one connection before it goes back to the pool.
const MOST_STATEMENTS: usize = 64;

/// A pool that lanes are read from; cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    waiting: Mutex<VecDeque<Waiting>>,
    turns: Arc<Semaphore>,
}

#[derive(Debug)]
struct Waiting {
    asked: Asked,
    answer: oneshot::Sender<Result<Lane, Shared>>,
}

/// The error of a statement, for each of those that it was to answer.
pub(crate) type Shared = Arc<sqlx::Error>;

impl Reader {
    /// Reads by the connections of this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self(Arc::new(Inner { pool, waiting: Mutex::default(), turns: Arc::new(Semaphore::new(TURNS)) }))
    }

    /// The pool that it reads by.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// What an answer is made of: the lanes of several queries from one state of the data, or of one, with percentiles
    /// where it asks for them. Of several nobody asks percentiles: their bands would hide each other.
    pub(crate) async fn lanes(&self, queries: &[RatesQuery<'_>]) -> Result<Vec<Lane>, Shared> {
        match queries {
            [query] if query.statistics == Statistics::Mean => Ok(vec![self.lane(query).await?]),
            // Boxed, or every answer would carry the room that these need.
            queries => Box::pin(self.unshared(queries)).await.map_err(Arc::new),
        }
    }

    /// The same by a statement of its own.
    async fn unshared(&self, queries: &[RatesQuery<'_>]) -> Result<Vec<Lane>, sqlx::Error> {
        let pool = self.pool();
        if let [query] = queries {
            return Ok(vec![chassis::postgres::retry(pool, || sql::full(pool, query)).await?]);
        }
        let asked: Vec<Asked> = queries.iter().map(Asked::from).collect();
        chassis::postgres::retry(pool, || sql::lanes(pool, &asked)).await
    }

    /// The lane of a query, by a statement that begins after this call: it sees every commit that came before.
    pub(crate) async fn lane(&self, query: &RatesQuery<'_>) -> Result<Lane, Shared> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { asked: Asked::from(query), answer };
        self.waiting().push_back(waiting);
        if let Ok(turn) = Arc::clone(&self.0.turns).try_acquire_owned() {
            // A task of its own: a request whose client goes away must not take those with it that it shares with.
            tokio::spawn(self.clone().work(turn));
        }
        answered.await.unwrap_or_else(|_| Err(Arc::new(sqlx::Error::WorkerCrashed)))
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers batch after batch until nobody waits.
    async fn work(self, mut turn: OwnedSemaphorePermit) {
        loop {
            let held = Held::default();
            loop {
                // Who can ask now asks before the batch is closed.
                tokio::task::yield_now().await;
                let batch = self.next_batch();
                if batch.is_empty() {
                    break;
                }
                self.answer(batch, &held).await;
            }
            drop(held);
            drop(turn);
            // One that came between the last look and the drop found no turn free, and relies on this second look.
            if self.waiting().is_empty() {
                return;
            }
            match Arc::clone(&self.0.turns).try_acquire_owned() {
                Ok(again) => turn = again,
                Err(_) => return,
            }
        }
    }

    fn next_batch(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let mut batch = Vec::new();
        let mut days = 0;
        while let Some(first) = waiting.front() {
            days += first.asked.days();
            if batch.len() == MOST_REQUESTS || (days > MOST_DAYS && !batch.is_empty()) {
                break;
            }
            // One whose client went away meanwhile is dropped here.
            batch.extend(waiting.pop_front().filter(|one| !one.answer.is_closed()));
        }
        batch
    }

    async fn answer(&self, batch: Vec<Waiting>, held: &Held) {
        let (asked, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.asked, one.answer)).unzip();
        // Nobody listens to a sender that fails.
        match chassis::postgres::retry(self.pool(), || held.lanes(self.pool(), &asked)).await {
            Ok(lanes) => {
                for (answer, lane) in answers.into_iter().zip(lanes) {
                    let _ = answer.send(Ok(lane));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for answer in answers {
                    let _ = answer.send(Err(Arc::clone(&error)));
                }
            }
        }
    }
}

/// The connection of a turn. The pool asks each that comes back whether it lives: one more message and its answer for
/// each statement.
#[derive(Default)]
struct Held {
    /// Free while no statement runs; one whose statement failed is not put back.
    connection: Mutex<Option<PoolConnection<Postgres>>>,
    statements: AtomicUsize,
}

impl Held {
    async fn lanes(&self, pool: &PgPool, asked: &[Asked]) -> Result<Vec<Lane>, sqlx::Error> {
        let free = self.free().take();
        let mut connection = match free {
            Some(connection) => connection,
            None => pool.acquire().await?,
        };
        let lanes = sql::lanes(&mut *connection, asked).await?;
        let statements = self.statements.fetch_add(1, Ordering::Relaxed) + 1;
        // Now and then it goes back all the same: in a small pool others wait for it.
        if !statements.is_multiple_of(MOST_STATEMENTS) {
            *self.free() = Some(connection);
        }
        Ok(lanes)
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Option<PoolConnection<Postgres>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
