//! How a process stops: gracefully after SIGTERM or Ctrl-C, at once after a second signal.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Whether the process is to stop, for everything that runs in it; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    begun: CancellationToken,
    served: CancellationToken,
    forced: CancellationToken,
}

impl Stop {
    /// Asks everything to begin nothing new and to end what it does.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Asks everything to give up unfinished work: the time is over.
    pub fn force(&self) {
        self.begun.cancel();
        self.served.cancel();
        self.forced.cancel();
    }

    /// Says that all requests have ended.
    pub(crate) fn end_requests(&self) {
        self.served.cancel();
    }

    /// Waits until no more requests come, which may be long after the stop has begun: for what requests depend on.
    pub async fn requests_ended(&self) {
        self.served.cancelled().await;
    }

    /// Waits until nothing new should begin. Requests still come.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Whether nothing new should begin.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until unfinished work should be given up.
    pub async fn forced(&self) {
        self.forced.cancelled().await;
    }
}

/// The signals that a process listens for.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Caught so that SIGHUP does not end the process; `server/tls.rs` handles it.
    _hangup: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop, and names it.
    pub(crate) async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
