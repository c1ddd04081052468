//! Workers of queues whose jobs are taken, and then done, postponed or released: those in Redis and in a file.
//!
//! Redis gives a job whose worker does not report within [`LEASE`] to another worker. A file belongs to one process, and only
//! a restart frees such a job.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::StatusCode;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{Answer, Handler, Job, Queue, WorkOptions};
use crate::{
    Problem, Stop,
    worker::{metrics::QueueMetrics, pause_after},
};

/// A job that is taken is not given to another worker for this time.
pub(super) const LEASE: Duration = Duration::from_secs(10);

/// An attempt is cut after this time, before its lease ends: see [`FRESH`].
const ATTEMPT: Duration = Duration::from_secs(8);

/// An attempt begins with leases that are no older than this. A second is left to report what became of it.
const FRESH: Duration = Duration::from_secs(1);

/// The most jobs that are done together: a job costs little beside the round trip and the sync.
const BATCH: usize = 256;

/// A job that another process has put is found within this time; one of this process wakes a worker.
const POLL: Duration = Duration::from_millis(50);

/// The pause after an outage of the queue, or of a service that the handler needs.
const OUTAGE: Duration = Duration::from_secs(1);

/// A queue whose jobs are taken.
pub(super) trait Leases: Queue {
    /// Takes the oldest jobs that are due, at most so many.
    fn take(&self, most: usize) -> Answer<'_, Vec<Job>>;

    /// Begins the leases of jobs that were taken anew.
    fn renew<'a>(&'a self, ids: &'a [&'a str]) -> Answer<'a, ()>;

    /// Removes jobs that are done.
    fn done<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()>;

    /// Gives jobs back as if they had not been taken.
    fn release<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()>;

    /// Leaves a job to a later attempt.
    fn postpone<'a>(&'a self, job: &'a Job, pause: Duration, reason: &'a str) -> Answer<'a, ()>;

    /// Keeps a job as a dead letter.
    fn bury<'a>(&'a self, job: &'a Job, reason: &'a str) -> Answer<'a, ()>;

    fn metrics(&self) -> &QueueMetrics;

    /// Notified when a job was put by this process.
    fn added(&self) -> &Notify;
}

/// See [`super::Queue::run`].
pub(super) async fn run(queue: &impl Leases, handler: &dyn Handler, options: WorkOptions, stop: &Stop) {
    let worker = Worker { queue, handler, max_attempts: options.max_attempts };
    let workers = join_all((0..options.workers).map(|_| worker.work(stop)));
    let depth = || async { queue.depth().await.ok() };
    tokio::join!(workers, queue.metrics().measure(stop, depth));
}

struct Worker<'a, Q> {
    queue: &'a Q,
    handler: &'a dyn Handler,
    max_attempts: i32,
}

impl<Q: Leases> Worker<'_, Q> {
    async fn work(&self, stop: &Stop) {
        let mut is_down = false;
        while !stop.has_begun() {
            let worked = tokio::select! {
                worked = self.work_once() => worked,
                // The leases end by themselves.
                () = stop.forced() => return,
            };
            let pause = match &worked {
                Ok(true) => Duration::ZERO,
                Ok(false) => POLL,
                Err(problem) => {
                    if !is_down {
                        tracing::warn!(error = reason(problem), "worker cannot work; retrying");
                    }
                    OUTAGE
                }
            };
            if is_down && worked.is_ok() {
                tracing::info!("worker works again");
            }
            is_down = worked.is_err();
            if !pause.is_zero() {
                tokio::select! {
                    () = stop.begun() => {}
                    () = sleep(pause) => {}
                    () = self.queue.added().notified(), if !is_down => {}
                }
            }
        }
    }

    /// Does the oldest jobs that are due; false where there are none.
    async fn work_once(&self) -> Result<bool, Problem> {
        let leased = Instant::now();
        let jobs = self.queue.take(BATCH).await?;
        let is_idle = jobs.is_empty();
        // Jobs that failed before are done one by one, so that they do not make others fail.
        let (new, again): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.attempts == 1);
        let mut groups: VecDeque<Vec<Job>> = again.into_iter().map(|job| vec![job]).collect();
        if !new.is_empty() {
            groups.push_front(new);
        }
        if let Err(problem) = self.work_on(&mut groups, leased).await {
            let left: Vec<Job> = groups.into_iter().flatten().collect();
            // If this fails, their leases end by themselves.
            let _ = self.queue.release(&left).await;
            return Err(problem);
        }
        Ok(!is_idle)
    }

    /// Does groups of jobs, whose leases began at this time, and removes each that is over. An error is an outage.
    async fn work_on(&self, groups: &mut VecDeque<Vec<Job>>, mut leased: Instant) -> Result<(), Problem> {
        while let Some(jobs) = groups.front() {
            // Earlier groups have used up the time that this one needs.
            if leased.elapsed() > FRESH {
                leased = Instant::now();
                let left: Vec<&str> = groups.iter().flatten().map(|job| job.id.as_str()).collect();
                self.queue.renew(&left).await?;
            }
            let is_over = self.attempt(jobs).await?;
            let jobs = groups.pop_front().unwrap_or_default();
            if !is_over {
                jobs.into_iter().rev().for_each(|job| groups.push_front(vec![job]));
            }
        }
        Ok(())
    }

    /// Does these jobs. False if one of several failed: then they should be tried one by one. An error is an outage.
    async fn attempt(&self, jobs: &[Job]) -> Result<bool, Problem> {
        let problem = match jobs {
            // Its worker died each time, and reported nothing.
            [job] if job.attempts > self.max_attempts => {
                return self.give_up(job, "the worker died").await.map(|()| true);
            }
            jobs => match timeout(ATTEMPT, self.handler.handle(jobs)).await {
                Ok(Ok(())) => {
                    self.queue.done(jobs).await?;
                    self.queue.metrics().done(jobs.len());
                    return Ok(true);
                }
                Ok(Err(problem)) => problem,
                // No outage: a job that always takes so long would be tried for ever, before all that came after it.
                Err(_) => Problem::new(StatusCode::GATEWAY_TIMEOUT).detail("The attempt took too long."),
            },
        };
        if problem.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Err(problem);
        }
        let [job] = jobs else { return Ok(false) };
        self.queue.metrics().failed_attempt();
        let (attempts, error) = (job.attempts, reason(&problem));
        if attempts >= self.max_attempts {
            self.give_up(job, &error).await?;
        } else {
            tracing::warn!(job = job.id, attempts, error, "job failed; trying again later");
            // Redis can postpone a job only for the rest of its lease.
            self.queue.postpone(job, pause_after(attempts).min(LEASE), &error).await?;
        }
        Ok(true)
    }

    async fn give_up(&self, job: &Job, error: &str) -> Result<(), Problem> {
        self.queue.bury(job, error).await?;
        tracing::error!(job = job.id, error, "job given up after {} attempts", self.max_attempts);
        Ok(())
    }
}

/// Why something failed, for the log and for dead letters.
pub(super) fn reason(problem: &Problem) -> String {
    let told = problem.cause_chain().or_else(|| problem.reason().map(std::borrow::Cow::into_owned));
    told.unwrap_or_else(|| problem.status().to_string())
}
