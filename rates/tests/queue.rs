//! The queue of reads (`lanes/queue.rs`), in many orders of its steps: shuttle runs one task at a time and chooses, at each
//! step that others could see, which goes on. A request that is never answered is a deadlock, which shuttle reports.

use std::sync::Arc;

use shuttle::{
    future::block_on,
    sync::atomic::{AtomicUsize, Ordering},
};
use shuttle_tokio::{
    spawn,
    task::JoinHandle,
    time::{clear_triggers, trigger_timeouts},
};

/// What the queue finds beside it in `lanes`, with shuttle in the place of tokio.
mod runtime {
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
    pub(crate) use shuttle_tokio::{
        spawn,
        sync::{OwnedSemaphorePermit, Semaphore, oneshot},
        time::timeout,
    };

    /// A step after which others may go on. (shuttle's own yield makes them go on, and so leaves out orders.)
    pub(crate) async fn yield_now() {
        shuttle::sync::atomic::AtomicBool::default().load(shuttle::sync::atomic::Ordering::SeqCst);
    }
}

#[path = "../src/lanes/queue.rs"]
mod queue;

use queue::{Queue, Statements};
use runtime::yield_now;

/// How many orders are tried.
const ORDERS: usize = 3_000;

/// How many steps have to come in a rare order for a fault to show itself. Each order is made to find one of this depth.
const DEPTH: usize = 4;

/// The most ranges that a statement has read.
static LARGEST_STATEMENT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// A database that counts its commits. Each statement answers with the number of commits that it sees.
#[derive(Default)]
struct Database {
    /// How many statements may run at a time.
    most: usize,
    commits: AtomicUsize,
    running: AtomicUsize,
    statements: AtomicUsize,
    /// Whether its first statement fails.
    fails_once: bool,
}

impl Statements for Arc<Database> {
    type Range = usize;
    type Answer = (usize, usize);
    type Error = &'static str;
    type Turn = ();

    fn days(_: &usize) -> i64 {
        500
    }

    async fn read(&self, (): &(), ranges: &[usize]) -> Result<Vec<(usize, usize)>, &'static str> {
        assert!(self.running.fetch_add(1, Ordering::SeqCst) < self.most, "too many statements at a time");
        LARGEST_STATEMENT.fetch_max(ranges.len(), Ordering::SeqCst);
        let commits = self.commits.load(Ordering::SeqCst);
        // Long enough for other statements to begin.
        for _ in 0..5 {
            yield_now().await;
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        if self.statements.fetch_add(1, Ordering::SeqCst) == 0 && self.fails_once {
            return Err("failed");
        }
        Ok(ranges.iter().map(|range| (*range, commits)).collect())
    }

    fn panicked() -> &'static str {
        "panicked"
    }
}

/// A client that commits and then reads what is its own.
fn client(database: &Arc<Database>, queue: &Queue<Arc<Database>>, number: usize) -> JoinHandle<bool> {
    let (database, queue) = (Arc::clone(database), queue.clone());
    spawn(async move {
        let commits = database.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let ranges = [number * 10, number * 10 + 1];
        match queue.read(&ranges).await {
            Ok(answers) => {
                assert_eq!(
                    answers.iter().map(|answer| answer.0).collect::<Vec<_>>(),
                    ranges,
                    "others' answers"
                );
                assert!(
                    answers.iter().all(|answer| answer.1 >= commits),
                    "older than the request's own commit"
                );
                true
            }
            Err(error) => {
                assert_eq!(error, "failed");
                false
            }
        }
    })
}

/// Runs the scenario in many orders. In each, all timeouts end at some moment.
fn in_many_orders(scenario: impl AsyncFn() + Send + Sync + Copy + 'static) {
    shuttle::check_pct(
        move || {
            clear_triggers();
            block_on(async {
                let patience = spawn(async {
                    yield_now().await;
                    trigger_timeouts(|_| true);
                });
                scenario().await;
                patience.await.unwrap();
            });
        },
        ORDERS,
        DEPTH,
    );
}

/// A database that allows so many statements at a time, and its queue.
fn open(most: usize, fails_once: bool) -> (Arc<Database>, Queue<Arc<Database>>) {
    let database = Arc::new(Database { most, fails_once, ..Database::default() });
    (Arc::clone(&database), Queue::new(database, most))
}

async fn all_are_answered(clients: usize, most: usize) {
    let (database, queue) = open(most, false);
    let reading: Vec<_> = (0..clients).map(|number| client(&database, &queue, number)).collect();
    for client in reading {
        assert!(client.await.unwrap());
    }
    assert!(database.statements.load(Ordering::SeqCst) <= clients);
}

/// Two fast statements, and one more for when they are slow.
#[test]
fn every_request_gets_its_own_answers_no_older_than_itself() {
    in_many_orders(async || all_are_answered(6, 3).await);
    let largest = LARGEST_STATEMENT.load(Ordering::SeqCst);
    assert_eq!(largest, 8, "requests share a statement until it has 4000 days");
}

/// No further statement helps out: one that ends must see every request that found it running.
#[test]
fn one_statement_after_the_other_forgets_no_request() {
    in_many_orders(async || all_are_answered(2, 1).await);
}

#[test]
fn a_client_that_goes_away_takes_no_answer_with_it() {
    in_many_orders(async || {
        let (database, queue) = open(3, false);
        let leaving = client(&database, &queue, 0);
        let staying: Vec<_> = (1..5).map(|number| client(&database, &queue, number)).collect();
        leaving.abort();
        for client in staying {
            assert!(client.await.unwrap());
        }
    });
}

#[test]
fn a_statement_that_fails_fails_its_own_requests_and_no_later_one() {
    in_many_orders(async || {
        let (database, queue) = open(3, true);
        let clients: Vec<_> = (0..4).map(|number| client(&database, &queue, number)).collect();
        let mut failed = 0;
        for client in clients {
            failed += usize::from(!client.await.unwrap());
        }
        assert!((1..=4).contains(&failed));
        assert!(client(&database, &queue, 9).await.unwrap());
    });
}
