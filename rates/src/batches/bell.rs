//! How a worker of this instance learns at once that a batch waits.

use tokio::sync::Notify;

/// Rings when a batch was queued on this instance.
#[derive(Debug, Default)]
pub struct Bell(Notify);

impl Bell {
    /// A batch waits.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits until it rings, or returns at once if it rang since the last wait.
    pub(super) async fn rang(&self) {
        self.0.notified().await;
    }
}
