//! Webhooks. A message is put into the queue by the very transaction that makes its event happen, and a worker delivers
//! it: at least once, with the same id each time.

mod addresses;
mod announce;
mod message;
mod sender;
pub(crate) mod sql;
pub mod worker;

use clap::ValueEnum;

pub(crate) use message::{Message, Secret};
pub(crate) use sender::{Sender, check_url};

/// The name of the queue of messages.
pub(crate) const QUEUE: &str = "hooks";

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Event {
    /// All prices of a batch are stored.
    #[value(name = "batch.done")]
    BatchDone,
    /// A queued batch failed; nothing of it is stored.
    #[value(name = "batch.failed")]
    BatchFailed,
    /// Prices or places have changed.
    #[value(name = "data.changed")]
    DataChanged,
}

impl Event {
    /// Its name in the database and in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BatchDone => "batch.done",
            Self::BatchFailed => "batch.failed",
            Self::DataChanged => "data.changed",
        }
    }
}
