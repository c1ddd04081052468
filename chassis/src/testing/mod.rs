//! Helpers for the tests of every service: a client of the router, a process of the real binary, and the answers of
//! both. A failing helper shows request, status and body.

#![expect(clippy::missing_panics_doc, reason = "helpers of tests panic where a test fails")]
#![expect(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "most are called for their assertions"
)]

mod answer;
mod client;
pub mod http1;
mod process;
mod proxy;
pub mod redis;

pub use answer::Answer;
pub use client::Client;
pub use process::{Ended, Process, command, run};
pub use proxy::{Proxy, Way};

use crate::{Service, settings::Loaded};

/// Checks that this migration makes the table that workers use.
#[cfg(feature = "worker")]
#[track_caller]
pub fn assert_makes_jobs_table(migration: &str) {
    let (_, table) = include_str!("../worker/jobs.sql").split_once('\n').unwrap_or_default();
    let migration = migration.replace("if not exists ", "");
    assert!(migration.contains(table), "the migration lacks the table that workers use:\n{table}");
}

/// Settings as they are with these variables and no others.
#[track_caller]
#[must_use]
pub fn settings<S: Service>(variables: &[(&str, &str)]) -> Loaded<S::Settings> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    crate::settings::load(S::NAME, variables).unwrap_or_else(|faults| panic!("{faults}"))
}
