//! A queue of reads. Requests that arrive while statements run share the next statement.
//!
//! A statement costs PostgreSQL and the service more than the lane that it reads: a message, two wake-ups, a message
//! back. Under load several requests share a statement and its cost. A single request gets its own statement without
//! waiting. No request is delayed to make a statement larger.
//!
//! `tests/queue.rs` runs this file in many orders of its steps.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::runtime::{
    Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore, oneshot, spawn, timeout, yield_now,
};

/// Concurrent statements, as long as they are fast. With one, PostgreSQL would idle while answers are written; with
/// many, each would serve only one request.
const QUICK_STATEMENTS: usize = 2;

/// A request that has waited this long starts one more statement, if the queue may have one: the running ones are
/// slow, and other requests should not wait for them. Well above the time of a fast statement.
const PATIENCE: Duration = Duration::from_millis(20);

/// The maximum number of requests in a statement, and of days in all of them, so that the first request does not wait
/// long for the last. A single request may have more days.
const MAX_REQUESTS: usize = 32;
const MAX_DAYS: i64 = 4_000;

/// What the queue reads, and how.
pub(crate) trait Statements: Send + Sync + 'static {
    /// What is asked for.
    type Range: Copy + Send + Sync;
    /// The answer for a range.
    type Answer: Send;
    /// Why a statement failed. Its requests share the error.
    type Error: Clone + Send;
    /// What one statement after the other uses, such as a connection.
    type Turn: Default + Send + Sync;

    /// How many days a range has.
    fn days(range: &Self::Range) -> i64;

    /// Reads these ranges by one statement.
    fn read(
        &self,
        turn: &Self::Turn,
        ranges: &[Self::Range],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Self::Error>> + Send;

    /// The error of requests whose statement panicked.
    fn panicked() -> Self::Error;
}

/// The answers of a request, one for each range.
type Answers<S> = Result<Vec<<S as Statements>::Answer>, <S as Statements>::Error>;

/// The queue; cheap to clone.
pub(crate) struct Queue<S: Statements>(Arc<Inner<S>>);

struct Inner<S: Statements> {
    statements: S,
    waiting: Mutex<VecDeque<WaitingRead<S>>>,
    turns: Arc<Semaphore>,
    /// Further turns, for when the statements of the others are slow.
    more_turns: Arc<Semaphore>,
}

/// A request that waits for a statement.
struct WaitingRead<S: Statements> {
    ranges: Vec<S::Range>,
    reply: oneshot::Sender<Answers<S>>,
}

impl<S: Statements> fmt::Debug for Queue<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl<S: Statements> Clone for Queue<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Statements> Queue<S> {
    /// At most so many statements run at a time.
    pub(crate) fn new(statements: S, most: usize) -> Self {
        let quick = most.min(QUICK_STATEMENTS);
        Self(Arc::new(Inner {
            statements,
            waiting: Mutex::new(VecDeque::new()),
            turns: Arc::new(Semaphore::new(quick)),
            more_turns: Arc::new(Semaphore::new(most - quick)),
        }))
    }

    /// Reads by a shared statement that begins after this call, so that it sees every earlier commit.
    pub(crate) async fn read(&self, ranges: &[S::Range]) -> Answers<S> {
        let (reply, mut answered) = oneshot::channel();
        self.waiting().push_back(WaitingRead { ranges: ranges.to_vec(), reply });
        let mut answer = None;
        if !self.start_turn(&self.0.turns) {
            answer = timeout(PATIENCE, &mut answered).await.ok();
            if answer.is_none() {
                self.start_turn(&self.0.more_turns);
            }
        }
        let answer = match answer {
            Some(answer) => answer,
            None => answered.await,
        };
        answer.unwrap_or_else(|_| Err(S::panicked()))
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<WaitingRead<S>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the waiting requests if one of these turns is free; false if none is.
    fn start_turn(&self, turns: &Arc<Semaphore>) -> bool {
        let Ok(turn) = Arc::clone(turns).try_acquire_owned() else {
            return false;
        };
        // A separate task: when a client disconnects, the other requests of its statement must still be answered.
        spawn(self.clone().work(Arc::clone(turns), turn));
        true
    }

    /// Runs one statement after another until no request waits.
    async fn work(self, turns: Arc<Semaphore>, mut turn: OwnedSemaphorePermit) {
        loop {
            let shared = S::Turn::default();
            loop {
                // Tasks that are ready can add their requests before the statement is closed.
                yield_now().await;
                let reads = self.next_reads();
                if reads.is_empty() {
                    break;
                }
                self.answer(reads, &shared).await;
            }
            drop(shared);
            drop(turn);
            // A request that arrived between the last check and the drop found no turn free, so check again.
            if self.waiting().is_empty() {
                return;
            }
            match Arc::clone(&turns).try_acquire_owned() {
                Ok(again) => turn = again,
                Err(_) => return,
            }
        }
    }

    /// The requests of the next statement.
    fn next_reads(&self) -> Vec<WaitingRead<S>> {
        let mut waiting = self.waiting();
        let mut reads = Vec::new();
        let mut days = 0;
        while let Some(first) = waiting.front() {
            days += first.ranges.iter().map(S::days).sum::<i64>();
            if reads.len() == MAX_REQUESTS || (days > MAX_DAYS && !reads.is_empty()) {
                break;
            }
            // Drops requests whose client has disconnected.
            reads.extend(waiting.pop_front().filter(|read| !read.reply.is_closed()));
        }
        reads
    }

    async fn answer(&self, reads: Vec<WaitingRead<S>>, shared: &S::Turn) {
        let ranges: Vec<S::Range> = reads.iter().flat_map(|read| read.ranges.iter().copied()).collect();
        // Sending fails if the client has disconnected.
        match self.0.statements.read(shared, &ranges).await {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                for read in reads {
                    let _ = read.reply.send(Ok(answers.by_ref().take(read.ranges.len()).collect()));
                }
            }
            Err(error) => {
                for read in reads {
                    let _ = read.reply.send(Err(error.clone()));
                }
            }
        }
    }
}
