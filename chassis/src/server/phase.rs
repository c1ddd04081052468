//! The steps in which a port stops, which all its connections follow.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::watch;

/// During a stop, a connection whose client has read nothing for this long is closed.
pub(super) const UNREAD: Duration = Duration::from_secs(2);

/// The steps of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Phase {
    /// No stop has begun.
    Open,
    /// Connections are still accepted. Answers over HTTP/1 ask the client to close the connection.
    Leaving,
    /// None are accepted. HTTP/2 clients are told to begin no more requests.
    Closed,
    /// No request is in flight; connections close.
    Ending,
    /// Everything is cut off.
    Cut,
}

/// What the connections of a port share.
pub(super) struct State {
    phase: watch::Sender<Phase>,
    /// Whether the phase is past `Open`. An atomic, since each answer looks at it.
    leaving: AtomicBool,
    /// Requests in flight, of all connections.
    pub(super) requests: AtomicUsize,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Open),
            leaving: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
        }
    }

    /// Asks clients to close their connections.
    pub(super) fn leave(&self) {
        self.enter(Phase::Leaving);
    }

    /// Enters this phase, if it is a later one.
    pub(super) fn enter(&self, phase: Phase) {
        self.leaving.store(true, Ordering::Relaxed);
        self.phase.send_if_modified(|now| {
            let is_next = phase > *now;
            if is_next {
                *now = phase;
            }
            is_next
        });
    }

    /// Tells of each further phase.
    pub(super) fn subscribe(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Whether clients should close their connections.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }
}
