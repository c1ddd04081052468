//! The sender: takes the JSON files of a folder, and converts, encrypts and sends each in one go.
//!
//! A round reads the folder (`watch`) and does for some files at a time: read, convert, encrypt (`prepare`); keep the tokens
//! (`state`); send them (`remote`); keep what was sent. After a kill the kept tokens are sent first. A token that was sent
//! and not noted is sent again, which changes nothing at the receiver.

mod prepare;
mod remote;
mod state;
mod watch;

use std::{
    collections::HashMap,
    fs,
    num::NonZero,
    sync::Arc,
    time::{Duration, Instant},
};

use chassis::{Exit, Failure, Stop, exit::OrFail, progress};
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use self::{
    prepare::{Preparation, Prepared, set_aside},
    remote::{Remote, Undelivered},
    state::{Change, Record, State, Step},
    watch::{Found, Watch},
};
use crate::{metrics::Metrics, receiver::read_keys, settings::Settings};

/// How many files are prepared and kept together: they share the syncs of the status file.
const TOGETHER: usize = 128;
/// And how many bytes, since they are in memory.
const TOGETHER_BYTES: u64 = 32 << 20;

/// A record of a file that was read this soon after it changed may hide a second change, since file systems tell time in
/// steps: the file is read again.
const CLOCK_STEP: u128 = 2_000_000_000;

/// How long to wait after the first and after many failures.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

/// More changes of the folder gather for this time.
const GATHER: Duration = Duration::from_millis(20);

/// What a round did, and what it left.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    sent: usize,
    rejected: usize,
    /// Not sent, and to be tried again.
    refused: usize,
    /// Files that may still be written.
    unsettled: usize,
    /// Why the round ended early.
    unreachable: Option<String>,
}

/// See the [module](self).
pub(crate) struct Sender {
    settings: Settings,
    preparation: Arc<Preparation>,
    remote: Remote,
    state: State,
    watch: Watch,
    metrics: Metrics,
    /// Files that were refused: how often, and when to try again.
    refusals: HashMap<String, (u32, Instant)>,
    /// Shown by `--once`.
    bar: Option<indicatif::ProgressBar>,
}

impl Sender {
    /// Opens the status file and watches the folder, which is made where it is missing.
    pub(crate) fn new(settings: &Settings, metrics: Metrics) -> Result<Self, Failure> {
        let send = &settings.send;
        let keys = read_keys(&send.key_file)?;
        fs::create_dir_all(&send.input_dir)
            .or_fail(Exit::NoInput, || format!("cannot use {}", send.input_dir.display()))?;
        let state = State::open(&send.status_file).or_fail(Exit::Unavailable, || {
            format!("cannot use the status file {} (another sender may have it)", send.status_file.display())
        })?;
        let remote = Remote::new(settings)?;
        let preparation = Preparation {
            settings: send.clone(),
            key: keys[0].clone(),
            keeps_batches: remote.takes_prices(),
        };
        Ok(Self {
            watch: Watch::start(&send.input_dir),
            settings: settings.clone(),
            preparation: Arc::new(preparation),
            remote,
            state,
            metrics,
            refusals: HashMap::new(),
            bar: None,
        })
    }

    /// Does rounds until the stop.
    pub(crate) async fn run(mut self, stop: Stop) {
        let interval = Duration::from_secs_f64(self.settings.send.scan_interval_seconds);
        let settle = Duration::from_secs_f64(self.settings.send.settle_seconds);
        let changed = Arc::clone(&self.watch.changed);
        let mut failures = 0;
        while !stop.has_begun() {
            let summary = tokio::select! {
                summary = self.round(&stop) => summary,
                // Nothing is lost: what was kept is sent after the next start.
                () = stop.forced() => return,
            };
            let wait = match summary {
                Ok(Summary { unreachable: None, unsettled, .. }) => {
                    failures = 0;
                    if unsettled > 0 { interval.min(settle.max(GATHER)) } else { interval }
                }
                Ok(Summary { unreachable: Some(error), .. }) => {
                    failures += 1;
                    tracing::warn!(error, failures, "the receiver cannot be reached; trying again");
                    backoff(failures)
                }
                Err(error) => {
                    failures += 1;
                    tracing::error!(error = error.to_string(), failures, "a round failed; trying again");
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
        let bar = progress::items(0, "sending");
        self.bar = Some(bar.clone());
        let (stop, mut total, started) = (Stop::default(), Summary::default(), Instant::now());
        let patience = self.settings.send.settle_seconds.max(self.settings.send.reject_after_seconds) + 5.0;
        loop {
            let summary = self.round(&stop).await?;
            total.sent += summary.sent;
            total.rejected += summary.rejected;
            let is_over = started.elapsed().as_secs_f64() > patience;
            total = Summary { sent: total.sent, rejected: total.rejected, ..summary };
            if total.unreachable.is_some() || total.unsettled == 0 || is_over {
                break;
            }
            // A change of the folder, or the time after which a file counts as whole.
            let _ = timeout(Duration::from_millis(200), self.watch.changed.notified()).await;
        }
        bar.finish_and_clear();
        let Summary { sent, rejected, refused, unsettled, unreachable } = total;
        let _ = chassis::print(&format!(
            "{sent} sent, {rejected} set aside, {refused} refused, {unsettled} still being written, in {:.1} s\n",
            started.elapsed().as_secs_f64()
        ));
        match unreachable {
            Some(error) => {
                Err(Failure::new(Exit::Unavailable, format!("the receiver cannot be reached: {error}")))
            }
            None if refused + rejected > 0 => Ok(Exit::Data),
            None if unsettled > 0 => Ok(Exit::Temporary),
            None => Ok(Exit::Success),
        }
    }

    /// Reads the folder and sends what is new.
    async fn round(&mut self, stop: &Stop) -> Result<Summary, Failure> {
        let send = &self.settings.send;
        let settle = Duration::from_secs_f64(send.settle_seconds);
        let found = self
            .watch
            .scan(&send.input_dir, settle)
            .or_fail(Exit::NoInput, || "cannot read the input folder")?;
        let mut summary = Summary {
            unsettled: found.iter().filter(|found| !found.is_settled).count(),
            ..Summary::default()
        };
        let due = self.due(found, &mut summary);
        self.metrics.waiting(due.len() + summary.unsettled + summary.refused);
        if let Some(bar) = &self.bar {
            bar.inc_length(due.len() as u64);
        }
        let mut due = due.into_iter().peekable();
        while due.peek().is_some() && summary.unreachable.is_none() && !stop.has_begun() {
            let mut bytes = 0;
            let mut some = Vec::new();
            while some.len() < TOGETHER
                && bytes < TOGETHER_BYTES
                && let Some(next) = due.next()
            {
                bytes += next.1;
                some.push(next.0);
            }
            self.send_some(some, &mut summary)
                .await
                .or_fail(Exit::Unavailable, || "cannot use the status file")?;
            self.metrics.waiting(due.len() + summary.unsettled + summary.refused);
        }
        let (done, rejected) =
            (self.state.count(|step| step == Step::Done), self.state.count(|step| step == Step::Rejected));
        self.metrics.finished(done, rejected);
        Ok(summary)
    }

    /// Files that need something, with their sizes: first those that were interrupted.
    fn due(&mut self, found: Vec<Found>, summary: &mut Summary) -> Vec<(String, u64)> {
        let now = Instant::now();
        let mut due: Vec<_> = self.state.pending().map(|(file, bytes)| (file.clone(), bytes)).collect();
        due.extend(found.into_iter().filter(|found| found.is_settled).filter_map(|found| {
            let record = self.state.get(&found.file);
            let is_known = record.is_some_and(|record| {
                record.is_pending()
                    || record.stamp == found.stamp
                        && record.read.saturating_sub(record.stamp.modified) > CLOCK_STEP
            });
            (!is_known).then_some((found.file, found.stamp.bytes))
        }));
        due.retain(|(file, _)| {
            let waits = self.refusals.get(file).is_some_and(|(_, next)| *next > now);
            summary.refused += usize::from(waits);
            !waits
        });
        due
    }

    /// Does all that these files need.
    async fn send_some(&mut self, files: Vec<String>, summary: &mut Summary) -> Result<(), redb::Error> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let mut prepared = stream::iter(files.into_iter().map(|file| {
            let record = self.state.get(&file);
            // A token that was refused may have been made with a key that was wrong: the file is encrypted again.
            // One that was set aside and is back is set aside again.
            let is_known =
                |record: &&Record| record.step != Step::Rejected && !self.refusals.contains_key(&file);
            let known = record.filter(is_known).map(|record| record.hash.clone());
            let preparation = Arc::clone(&self.preparation);
            tokio::task::spawn_blocking(move || {
                let prepared = preparation.prepare(file.clone(), known.as_deref());
                (file, prepared)
            })
        }))
        .buffered(threads)
        .collect::<Vec<_>>()
        .await;
        let (mut changes, mut ready) = (Vec::new(), Vec::new());
        for (file, prepared) in prepared.drain(..).map(|joined| joined.expect("preparing does not panic")) {
            let pending = self.state.get(&file).filter(|record| record.is_pending()).cloned();
            match prepared {
                Prepared::Ready(mut change) => {
                    change.record.name = self.state.name_for(&file);
                    changes.push(change);
                    ready.push(file);
                }
                Prepared::Rejected(change, reason) => {
                    summary.rejected += 1;
                    self.reject(&change, &reason);
                    changes.push(change);
                }
                Prepared::Unchanged(stamp, read) => {
                    self.state.touch(&file, stamp, read);
                    ready.extend(pending.map(|_| file));
                }
                // Gone, but its content was kept.
                Prepared::Later => match pending {
                    Some(_) => ready.push(file),
                    None => summary.unsettled += 1,
                },
            }
        }
        self.state.commit(&changes)?;
        let results = self.deliver(&ready, changes).await?;
        self.note(results, summary)
    }

    /// Sends the tokens of these files, and passes their prices on.
    async fn deliver(
        &self,
        files: &[String],
        changes: Vec<Change>,
    ) -> Result<Vec<(Change, Result<(), Undelivered>)>, redb::Error> {
        let mut fresh: HashMap<String, Change> =
            changes.into_iter().map(|change| (change.file.clone(), change)).collect();
        let mut work = Vec::with_capacity(files.len());
        for file in files {
            work.push(match (fresh.remove(file), self.state.get(file)) {
                (Some(change), _) => change,
                (None, Some(record)) => {
                    let (token, batch) = self.state.kept(file)?;
                    Change { file: file.clone(), record: record.clone(), token, batch }
                }
                (None, None) => continue,
            });
        }
        let is_cut = std::sync::atomic::AtomicBool::new(false);
        let deliveries = work.into_iter().map(|mut change| {
            let is_cut = &is_cut;
            async move {
                use std::sync::atomic::Ordering::Relaxed;
                // The rest would wait for the same silence, one after the other.
                if is_cut.load(Relaxed) {
                    return (change, Err(Undelivered::Unreachable(String::new())));
                }
                let result = self.deliver_one(&mut change).await;
                is_cut.fetch_or(matches!(result, Err(Undelivered::Unreachable(_))), Relaxed);
                (change, result)
            }
        });
        Ok(stream::iter(deliveries).buffer_unordered(self.settings.send.concurrency).collect().await)
    }

    async fn deliver_one(&self, change: &mut Change) -> Result<(), Undelivered> {
        if change.record.step == Step::Encrypted {
            self.remote.upload(&change.record.name, change.token.clone().unwrap_or_default()).await?;
            change.record.step = Step::Sent;
        }
        if let Some(batch) = &change.batch {
            let answer = self.remote.pass_on(&change.record.hash, batch.clone()).await?;
            let path = self.settings.send.input_dir.join(format!("{}.answer", change.file));
            if let Err(error) = fs::write(&path, format!("{answer}\n")) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(path = %path.display(), %answer, error, "cannot write the answer to a batch");
            }
        }
        change.record.step = Step::Done;
        Ok(())
    }

    /// Keeps and tells what came of sending.
    fn note(
        &mut self,
        results: Vec<(Change, Result<(), Undelivered>)>,
        summary: &mut Summary,
    ) -> Result<(), redb::Error> {
        let mut changes = Vec::with_capacity(results.len());
        for (change, result) in results {
            let Change { file, record: Record { name, .. }, .. } = &change;
            match result {
                Ok(()) => {
                    summary.sent += 1;
                    self.refusals.remove(file);
                    self.metrics.succeeded();
                    self.tell(&format!("{file} sent as {name}"));
                }
                Err(Undelivered::Refused(reason)) => {
                    summary.refused += 1;
                    let failures = self.refusals.get(file).map_or(0, |(failures, _)| *failures) + 1;
                    self.refusals.insert(file.clone(), (failures, Instant::now() + backoff(failures)));
                    tracing::warn!(file, name, reason, failures, "refused; trying again later");
                    self.tell(&format!("{file} refused: {reason}"));
                }
                Err(Undelivered::Unreachable(error)) => {
                    summary.unreachable =
                        summary.unreachable.take().filter(|error| !error.is_empty()).or(Some(error));
                }
            }
            changes.push(change);
        }
        self.state.commit(&changes)
    }

    fn reject(&self, change: &Change, reason: &str) {
        let Change { file, record, .. } = change;
        tracing::error!(file, reason, "set aside; it is not sent until it changes");
        self.tell(&format!("{file} set aside: {reason}"));
        if let Err(error) = set_aside(&self.settings.send.input_dir, file, &record.hash, reason) {
            tracing::warn!(
                file,
                error = &error as &dyn std::error::Error,
                "cannot move a file that was set aside"
            );
        }
    }

    /// A line for people, or for the log.
    fn tell(&self, line: &str) {
        let Some(bar) = &self.bar else { return tracing::info!("{line}") };
        bar.inc(1);
        let _ = bar.suspend(|| chassis::print(&format!("{line}\n")));
    }
}

/// How long to wait after so many failures: twice as long each time, and half of it by chance, so that senders that failed
/// together come back apart.
fn backoff(failures: u32) -> Duration {
    let longest = (BACKOFF.0 * 2_u32.pow(failures.clamp(1, 16) - 1)).min(BACKOFF.1);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// SHA-256 in hexadecimal digits.
fn hash(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}
