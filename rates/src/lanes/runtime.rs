//! What the queue of reads is built on. `tests/queue.rs` puts shuttle in its place, which decides what runs next.

pub(super) use std::sync::{Mutex, MutexGuard};
pub(super) use tokio::{
    spawn,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::yield_now,
    time::timeout,
};
