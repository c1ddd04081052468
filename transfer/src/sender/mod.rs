//! The sender: takes the JSON files of a folder, and converts, encrypts and sends each in one go.
//!
//! A round reads the folder (`watch`) and delivers several files at a time (`courier`). The content of each file is
//! stored in the status file (`state`), then converted, encrypted and sent; then the status file says that it was sent.
//! Files that are delivered at the same time share the syncs of the status file. After a kill the stored contents are
//! sent first. One may be sent twice, if the kill came before the status file said so; this changes nothing at the
//! receiver.

mod courier;
mod state;
mod watch;

use std::{
    collections::HashMap,
    fs,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use chassis::{Exit, Failure, Stop, exit::OrFail, metrics::Age, progress};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use sha2::{Digest, Sha256};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use self::{
    courier::{Courier, Outcome},
    state::{Record, Stamp, State, Step},
    watch::Watch,
};
use crate::settings::Settings;

/// How long to wait after the first failure, at most.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// How long to wait after many failures, at most.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Files of this many KiB together are in memory at a time; a larger file is alone.
const MEMORY_KIB: u32 = 32 << 10;

/// How long to wait for more changes of the folder after the first.
const GATHER: Duration = Duration::from_millis(20);

/// What all rounds did, and what the last one left undone.
#[derive(Debug, Default)]
struct Summary {
    sent: usize,
    /// Set aside.
    rejected: usize,
    /// Refused by the other side, and to be tried again.
    refused: usize,
    /// Files that may still be written.
    unsettled: usize,
}

/// What is measured.
struct Metrics {
    waiting: Gauge,
    sent: Gauge,
    refused: Gauge,
    success: Age,
}

impl Metrics {
    fn register(registry: &mut Registry) -> Self {
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            waiting: gauge("transfer_waiting_files", "Files that wait to be sent"),
            sent: gauge("transfer_sent_files", "Files of the status file that were sent"),
            refused: gauge("transfer_refused_files", "Files that were set aside"),
            success: Age::register(
                registry,
                "transfer_last_success_age_seconds",
                "Time since a file was last sent, or since the start",
            ),
        }
    }
}

/// See the [module](self).
pub(crate) struct Sender {
    courier: Arc<Courier>,
    state: State,
    watch: Watch,
    metrics: Metrics,
    /// Shown by `--once`.
    bar: Option<ProgressBar>,
}

impl Sender {
    /// Opens the status file and watches the folder, which is made where it is missing.
    pub(crate) fn new(settings: &Settings, registry: &mut Registry) -> Result<Self, Failure> {
        let folder = &settings.send.input_dir;
        fs::create_dir_all(folder).or_fail(Exit::NoInput, || format!("cannot use {}", folder.display()))?;
        Ok(Self {
            courier: Arc::new(Courier::new(settings)?),
            state: State::open(&settings.send.status_file)?,
            watch: Watch::start(folder),
            metrics: Metrics::register(registry),
            bar: None,
        })
    }

    /// Does rounds until the stop.
    pub(crate) async fn run(mut self, stop: Stop) {
        let interval = Duration::from_secs_f64(self.courier.settings.scan_interval_seconds);
        let settle = self.courier.settings.settle();
        let changed = Arc::clone(&self.watch.changed);
        let mut failures = 0;
        while !stop.has_begun() {
            let mut summary = Summary::default();
            let ended = tokio::select! {
                ended = self.round(&mut summary, &stop) => ended,
                // Nothing is lost: what was kept is sent after the next start.
                () = stop.forced() => return,
            };
            let wait = match ended {
                Ok(()) => {
                    failures = 0;
                    if summary.unsettled > 0 { interval.min(settle.max(GATHER)) } else { interval }
                }
                Err(failure) => {
                    failures += 1;
                    tracing::warn!(failures, "{failure}; trying again");
                    backoff(failures)
                }
            };
            tokio::select! {
                () = stop.begun() => {}
                () = sleep(wait) => {}
                () = changed.notified(), if failures == 0 => sleep(GATHER).await,
            }
        }
    }

    /// Sends all there is, then ends.
    pub(crate) async fn once(mut self) -> Result<Exit, Failure> {
        let bar = self.bar.insert(progress::items(0, "sending")).clone();
        let (stop, mut summary, started) = (Stop::default(), Summary::default(), Instant::now());
        let settings = &self.courier.settings;
        let patience = settings.settle_seconds.max(settings.reject_after_seconds) + 5.0;
        let ended = loop {
            let ended = self.round(&mut summary, &stop).await;
            if ended.is_err() || summary.unsettled == 0 || started.elapsed().as_secs_f64() > patience {
                break ended;
            }
            // A change of the folder, or the time after which a file counts as whole.
            let _ = timeout(Duration::from_millis(200), self.watch.changed.notified()).await;
        };
        bar.finish_and_clear();
        let Summary { sent, rejected, refused, unsettled } = summary;
        let _ = chassis::print(&format!(
            "{sent} sent, {rejected} set aside, {refused} refused, {unsettled} still being written, in {:.1} s\n",
            started.elapsed().as_secs_f64()
        ));
        ended.map(|()| match (refused + rejected, unsettled) {
            (0, 0) => Exit::Success,
            (0, _) => Exit::Temporary,
            _ => Exit::Data,
        })
    }

    /// Reads the folder and sends what is new. It fails when the receiver cannot be reached.
    async fn round(&mut self, summary: &mut Summary, stop: &Stop) -> Result<(), Failure> {
        let due = self.due(summary)?;
        self.bar.iter().for_each(|bar| bar.inc_length(due.len() as u64));
        let (mut left, mut done, mut failure) = (due.len(), Vec::new(), None);
        let (memory, has_failed) = (Semaphore::new(MEMORY_KIB as usize), AtomicBool::new(false));
        let (courier, state) = (&self.courier, &self.state);
        let results = stream::iter(due)
            // Without this, every other file would wait for the same receiver until its own timeout.
            .take_while(|_| ready(!stop.has_begun() && !has_failed.load(Relaxed)))
            .map(async |(file, mut record, changed)| {
                let kib = changed.or(record.stamp).map_or(0, |stamp| stamp.bytes) / 1024 + 1;
                let kib = u32::try_from(kib).unwrap_or(MEMORY_KIB).min(MEMORY_KIB);
                let _memory = memory.acquire_many(kib).await;
                let outcome = courier.deliver(state, &file, &mut record, changed.is_some()).await;
                has_failed.fetch_or(outcome.is_err(), Relaxed);
                (file, record, outcome)
            })
            .buffer_unordered(usize::from(self.courier.settings.concurrency));
        let mut results = Box::pin(results);
        while let Some((file, mut record, outcome)) = results.next().await {
            left -= 1;
            match outcome {
                Ok(outcome) => self.report(&file, &mut record, outcome, summary),
                Err(error) => failure = Some(error),
            }
            self.bar.iter().for_each(|bar| bar.inc(1));
            done.push((file, record));
            self.metrics.waiting.set(gauge(left + summary.unsettled + summary.refused));
        }
        drop(results);
        self.state.records.extend(done);
        failure.map_or(Ok(()), Err)
    }

    /// Counts the outcome of a file, and tells people of it.
    fn report(&self, file: &str, record: &mut Record, outcome: Outcome, summary: &mut Summary) {
        match outcome {
            Outcome::Nothing => {}
            Outcome::Later => summary.unsettled += 1,
            Outcome::Sent => {
                summary.sent += 1;
                (record.refusals, record.retry_at) = (0, None);
                self.metrics.success.reset();
                self.tell(&format!("{file} sent as {}", record.name));
            }
            Outcome::Rejected(reason) => {
                summary.rejected += 1;
                tracing::error!(file, reason, "set aside; it is not sent until it changes");
                self.tell(&format!("{file} set aside: {reason}"));
            }
            Outcome::Refused(reason) => {
                summary.refused += 1;
                record.refusals += 1;
                record.retry_at = Some(Instant::now() + backoff(record.refusals));
                tracing::warn!(file, reason, failures = record.refusals, "refused; trying again later");
                self.tell(&format!("{file} refused: {reason}"));
            }
        }
    }

    /// The files to deliver now, with the stamp of each that has changed and must be read. The summary counts those
    /// that must wait.
    fn due(&mut self, summary: &mut Summary) -> Result<Vec<(String, Record, Option<Stamp>)>, Failure> {
        let settings = &self.courier.settings;
        let found = self.watch.scan(&settings.input_dir, settings.settle());
        let (found, unsettled) = found.or_fail(Exit::NoInput, || "cannot read the input folder")?;
        let changed = found.into_iter().filter(|(file, stamp)| self.state.record(file).stamp != Some(*stamp));
        let (changed, now): (HashMap<String, Stamp>, _) = (changed.collect(), Instant::now());
        let records = self.state.records.iter();
        let unfinished = records.filter(|(file, record)| record.is_pending() || changed.contains_key(*file));
        let (due, refused): (Vec<_>, Vec<_>) = unfinished
            .map(|(file, record)| (file.clone(), record.clone(), changed.get(file).copied()))
            .partition(|(_, record, _)| record.retry_at.is_none_or(|retry_at| retry_at <= now));
        (summary.unsettled, summary.refused) = (unsettled, refused.len());
        let count = |step| self.state.records.values().filter(|record| record.step == step).count();
        self.metrics.sent.set(gauge(count(Step::Done)));
        self.metrics.refused.set(gauge(count(Step::Rejected)));
        self.metrics.waiting.set(gauge(due.len() + unsettled + refused.len()));
        Ok(due)
    }

    /// Prints a line above the progress bar, or logs it.
    fn tell(&self, line: &str) {
        if let Some(bar) = &self.bar {
            let _ = bar.suspend(|| chassis::print(&format!("{line}\n")));
        } else {
            tracing::info!("{line}");
        }
    }
}

fn gauge(files: usize) -> i64 {
    files.try_into().unwrap_or(i64::MAX)
}

/// How long to wait after this many failures: twice as long each time. Up to half of it is random, so that senders that
/// failed together do not come back together.
fn backoff(failures: u32) -> Duration {
    let longest = (FIRST_WAIT * 2_u32.pow(failures.clamp(1, 16) - 1)).min(LONGEST_WAIT);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// SHA-256 in hexadecimal digits.
fn hash(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}
