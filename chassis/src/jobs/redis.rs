//! A queue in Redis: a stream, read by a group of consumers.
//!
//! Redis itself counts how often an entry was delivered, and for how long it has not been acknowledged. Beside the
//! stream `NAME:jobs` there are two hashes by the job's id: `NAME:errors` has the reason why the last attempt failed,
//! and `NAME:dead` the reason why a job was given up. A dead job stays in the stream, acknowledged, so that no worker
//! gets it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use redis::{
    Client, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cmd, pipe,
    streams::{StreamAutoClaimReply, StreamId, StreamPendingCountReply, StreamRangeReply, StreamReadReply},
};
use tokio::sync::Notify;

use super::{
    Answer, Depth, Handler, Job, ListedJob, Queue, WorkOptions,
    leases::{self, LEASE, Leases},
};
use crate::{Exit, Failure, Problem, Stop, exit::OrFail, worker::metrics::QueueMetrics};

/// The name of the group and of its only consumer, which all processes share: jobs that a dead process has left are
/// found by their age, not by a consumer's name.
const GROUP: &str = "workers";

/// How often a process looks for jobs whose lease has ended.
const CLAIM_INTERVAL: Duration = Duration::from_millis(500);

/// Entries, the time of Redis, and the two hashes.
type RangeReply = (StreamRangeReply, (u64, u64), HashMap<String, String>, HashMap<String, String>);

/// A queue in a Redis stream.
pub struct RedisQueue {
    jobs: String,
    errors: String,
    dead: String,
    connection: ConnectionManager,
    metrics: QueueMetrics,
    added: Notify,
    claims: Mutex<Claims>,
}

/// The search for jobs whose lease has ended.
struct Claims {
    last: Option<Instant>,
    /// The id at which the next search begins.
    next_id: String,
}

impl std::fmt::Debug for RedisQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisQueue").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

impl RedisQueue {
    /// The queue of this name in the server at `url`; connects when it is first used. Connecting and each answer may
    /// take up to `patience`.
    pub fn new(url: &str, name: &str, patience: Duration) -> Result<Self, Failure> {
        let unusable = || "redis.url is not like redis://USER:PASSWORD@HOST:PORT/DATABASE";
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20))
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience));
        let connection = url
            .into_connection_info()
            .and_then(Client::open)
            .and_then(|client| ConnectionManager::new_lazy_with_config(client, config))
            .or_fail(Exit::Usage, unusable)?;
        Ok(Self {
            // In braces, so that all keys are on one server of a cluster.
            jobs: format!("{{{name}}}:jobs"),
            errors: format!("{{{name}}}:errors"),
            dead: format!("{{{name}}}:dead"),
            connection,
            metrics: QueueMetrics::default(),
            added: Notify::new(),
            claims: Mutex::new(Claims { last: None, next_id: "0-0".to_owned() }),
        })
    }

    async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Problem> {
        command.query_async(&mut self.connection.clone()).await.map_err(unreachable)
    }

    async fn send_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Problem> {
        commands.query_async(&mut self.connection.clone()).await.map_err(unreachable)
    }

    fn stream(&self, command: &str) -> Cmd {
        let mut command = cmd(command);
        command.arg(&self.jobs);
        command
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets for how long jobs have been taken, and how often, unless they were acknowledged.
    fn set_lease(&self, ids: &[&str], idle: Duration, attempts: i32) -> Cmd {
        let mut command = self.stream("XCLAIM");
        command.arg(GROUP).arg(GROUP).arg(0).arg(ids).arg("IDLE").arg(millis(idle));
        command.arg("RETRYCOUNT").arg(attempts).arg("JUSTID");
        command
    }

    /// Takes jobs whose lease has ended.
    async fn take_abandoned(&self, most: usize) -> Result<Vec<Job>, Problem> {
        let from = {
            let mut claims = self.claims();
            if claims.last.is_some_and(|last| last.elapsed() < CLAIM_INTERVAL) {
                return Ok(Vec::new());
            }
            claims.last = Some(Instant::now());
            claims.next_id.clone()
        };
        let mut command = self.stream("XAUTOCLAIM");
        command.arg(GROUP).arg(GROUP).arg(millis(LEASE)).arg(from).arg("COUNT").arg(most);
        let reply: StreamAutoClaimReply = self.send(&command).await?;
        self.claims().next_id = reply.next_stream_id;
        let mut counts = pipe();
        for entry in &reply.claimed {
            counts.add_command(self.pending(&entry.id, &entry.id, 1));
        }
        let counts: Vec<StreamPendingCountReply> =
            if reply.claimed.is_empty() { Vec::new() } else { self.send_all(&counts).await? };
        let attempts = |count: StreamPendingCountReply| {
            count.ids.first().map_or(1, |pending| i32::try_from(pending.times_delivered).unwrap_or(i32::MAX))
        };
        Ok(reply.claimed.iter().zip(counts).map(|(entry, count)| job(entry, attempts(count))).collect())
    }

    /// Takes jobs that no worker has had.
    async fn take_new(&self, most: usize) -> Result<Vec<Job>, Problem> {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg(GROUP).arg("COUNT").arg(most);
        read.arg("STREAMS").arg(&self.jobs).arg(">");
        let reply: Option<StreamReadReply> = self.send(&read).await?;
        let entries = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        Ok(entries.map(|entry| job(&entry, 1)).collect())
    }

    async fn create_group(&self) {
        let mut create = cmd("XGROUP");
        create.arg("CREATE").arg(&self.jobs).arg(GROUP).arg(0).arg("MKSTREAM");
        // If it fails, another worker was faster, or the next attempt to take jobs reports why.
        let _: Result<(), Problem> = self.send(&create).await;
    }

    /// `XPENDING`: how often jobs were delivered.
    fn pending(&self, from: &str, to: &str, most: usize) -> Cmd {
        let mut command = self.stream("XPENDING");
        command.arg(GROUP).arg(from).arg(to).arg(most);
        command
    }

    /// The oldest dead jobs. They may be anywhere in the stream, so each is read by its id.
    async fn dead(&self, most: usize) -> Result<Vec<ListedJob>, Problem> {
        let reasons: HashMap<String, String> = self.send(cmd("HGETALL").arg(&self.dead)).await?;
        let mut dead: Vec<_> = reasons.into_iter().collect();
        dead.sort_by_key(|(id, _)| parts(id));
        dead.truncate(most);
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        let mut entries = pipe();
        for (id, _) in &dead {
            entries.cmd("XRANGE").arg(&self.jobs).arg(id).arg(id);
        }
        let entries: Vec<StreamRangeReply> = self.send_all(&entries).await?;
        let (seconds, _): (u64, u64) = self.send(&cmd("TIME")).await?;
        let listed = dead.into_iter().zip(&entries).filter_map(|((id, reason), entry)| {
            Some(ListedJob {
                // Redis forgets the count of what is acknowledged.
                job: job(entry.ids.first()?, 0),
                age_seconds: age(&id, seconds),
                is_dead: true,
                last_error: Some(reason),
            })
        });
        Ok(listed.collect())
    }

    /// The jobs of the stream between two ids, oldest first.
    async fn range(&self, from: &str, to: &str, most: usize) -> Result<Vec<ListedJob>, Problem> {
        let mut entries = pipe();
        entries.cmd("XRANGE").arg(&self.jobs).arg(from).arg(to).arg("COUNT").arg(most);
        entries.cmd("TIME").cmd("HGETALL").arg(&self.errors).cmd("HGETALL").arg(&self.dead);
        let (range, (seconds, _), mut errors, mut dead): RangeReply = self.send_all(&entries).await?;
        let pending: StreamPendingCountReply = match self.send(&self.pending(from, to, most)).await {
            Ok(pending) => pending,
            // No worker has ever run.
            Err(problem) if has_no_group(&problem) => StreamPendingCountReply::default(),
            Err(problem) => return Err(problem),
        };
        let attempts: HashMap<_, _> = pending.ids.into_iter().map(|p| (p.id, p.times_delivered)).collect();
        Ok(range
            .ids
            .iter()
            .map(|entry| {
                let attempts = attempts.get(&entry.id).copied().unwrap_or(0);
                let died = dead.remove(&entry.id);
                ListedJob {
                    job: job(entry, i32::try_from(attempts).unwrap_or(i32::MAX)),
                    age_seconds: age(&entry.id, seconds),
                    is_dead: died.is_some(),
                    last_error: died.or_else(|| errors.remove(&entry.id)),
                }
            })
            .collect())
    }
}

impl Queue for RedisQueue {
    fn put(&self, payload: String) -> Answer<'_, String> {
        Box::pin(async move {
            let mut command = self.stream("XADD");
            command.arg("*").arg("payload").arg(payload);
            let id = self.send(&command).await?;
            self.added.notify_one();
            Ok(id)
        })
    }

    fn depth(&self) -> Answer<'_, Depth> {
        Box::pin(async move {
            let mut counts = pipe();
            counts.cmd("XLEN").arg(&self.jobs).cmd("HLEN").arg(&self.dead);
            let (all, dead): (i64, i64) = self.send_all(&counts).await?;
            let waiting = (all - dead).max(0);
            let oldest = if waiting == 0 {
                None
            } else {
                // The dead ones may be the oldest.
                let first = usize::try_from(dead).unwrap_or(0).min(1000) + 1;
                self.range("-", "+", first).await?.into_iter().find(|listed| !listed.is_dead)
            };
            Ok(Depth { waiting, oldest_seconds: oldest.map_or(0.0, |oldest| oldest.age_seconds), dead })
        })
    }

    fn list(&self, most: usize, only_dead: bool) -> Answer<'_, Vec<ListedJob>> {
        if only_dead { Box::pin(self.dead(most)) } else { Box::pin(self.range("-", "+", most)) }
    }

    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Option<ListedJob>> {
        Box::pin(async move {
            if parts(id).is_none() {
                return Ok(None);
            }
            Ok(self.range(id, id, 1).await?.pop())
        })
    }

    fn retry<'a>(&'a self, id: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            if !self.find(id).await?.is_some_and(|listed| listed.is_dead) {
                return Ok(false);
            }
            let mut commands = pipe();
            // As if its lease had just ended: the next worker takes it. FORCE, because it was acknowledged.
            let mut end_lease = self.set_lease(&[id], LEASE, 0);
            end_lease.arg("FORCE");
            commands.atomic().add_command(end_lease).ignore();
            commands.cmd("HDEL").arg(&self.dead).arg(id);
            let (revived,): (i64,) = self.send_all(&commands).await?;
            Ok(revived > 0)
        })
    }

    fn discard<'a>(&'a self, id: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            if parts(id).is_none() {
                return Ok(false);
            }
            let mut commands = pipe();
            commands.atomic().cmd("XACK").arg(&self.jobs).arg(GROUP).arg(id).ignore();
            commands.cmd("XDEL").arg(&self.jobs).arg(id);
            commands.cmd("HDEL").arg(&self.errors).arg(id).ignore();
            commands.cmd("HDEL").arg(&self.dead).arg(id).ignore();
            let (removed,): (i64,) = self.send_all(&commands).await?;
            Ok(removed > 0)
        })
    }

    fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    fn run(
        self: Arc<Self>,
        handler: Arc<dyn Handler>,
        options: WorkOptions,
        stop: Stop,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move { leases::run(&*self, &*handler, options, &stop).await })
    }
}

impl Leases for RedisQueue {
    fn take(&self, most: usize) -> Answer<'_, Vec<Job>> {
        Box::pin(async move {
            let taken = match self.take_abandoned(most).await {
                Ok(jobs) if jobs.is_empty() => self.take_new(most).await,
                taken => taken,
            };
            match taken {
                Err(problem) if has_no_group(&problem) => {
                    self.create_group().await;
                    Ok(Vec::new())
                }
                taken => taken,
            }
        })
    }

    fn renew<'a>(&'a self, ids: &'a [&'a str]) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut command = self.stream("XCLAIM");
            // JUSTID leaves the count of attempts as it is.
            command.arg(GROUP).arg(GROUP).arg(0).arg(ids).arg("JUSTID");
            self.send(&command).await
        })
    }

    fn done<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()> {
        Box::pin(async move {
            let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
            let mut commands = pipe();
            commands.atomic().cmd("XACK").arg(&self.jobs).arg(GROUP).arg(&ids).ignore();
            commands.cmd("XDEL").arg(&self.jobs).arg(&ids).ignore();
            if jobs.iter().any(|job| job.attempts > 1) {
                commands.cmd("HDEL").arg(&self.errors).arg(&ids).ignore();
            }
            self.send_all(&commands).await
        })
    }

    fn release<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut commands = pipe();
            for job in jobs {
                commands.add_command(self.set_lease(&[&job.id], LEASE, job.attempts - 1)).ignore();
            }
            self.send_all(&commands).await
        })
    }

    fn postpone<'a>(&'a self, job: &'a Job, pause: Duration, reason: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut commands = pipe();
            commands.atomic().cmd("HSET").arg(&self.errors).arg(&job.id).arg(reason).ignore();
            // The rest of its lease is the pause.
            let idle = LEASE.saturating_sub(pause);
            commands.add_command(self.set_lease(&[&job.id], idle, job.attempts)).ignore();
            self.send_all(&commands).await
        })
    }

    fn bury<'a>(&'a self, job: &'a Job, reason: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut commands = pipe();
            commands.atomic().cmd("HSET").arg(&self.dead).arg(&job.id).arg(reason).ignore();
            commands.cmd("HDEL").arg(&self.errors).arg(&job.id).ignore();
            commands.cmd("XACK").arg(&self.jobs).arg(GROUP).arg(&job.id).ignore();
            self.send_all(&commands).await
        })
    }

    fn metrics(&self) -> &QueueMetrics {
        &self.metrics
    }

    fn added(&self) -> &Notify {
        &self.added
    }
}

fn job(entry: &StreamId, attempts: i32) -> Job {
    Job { id: entry.id.clone(), payload: entry.get("payload").unwrap_or_default(), attempts }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The parts of an id as Redis gives it: milliseconds since 1970, and a number.
fn parts(id: &str) -> Option<(u64, u64)> {
    let (time, number) = id.split_once('-')?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

/// The age of an entry, at this time of Redis in seconds.
fn age(id: &str, now_seconds: u64) -> f64 {
    let put = parts(id).map_or(0, |(time, _)| time);
    Duration::from_secs(now_seconds).saturating_sub(Duration::from_millis(put)).as_secs_f64()
}

fn unreachable(error: RedisError) -> Problem {
    Problem::unavailable("The queue is unreachable or busy; the same request may succeed later.", 1)
        .cause(error)
}

fn has_no_group(problem: &Problem) -> bool {
    problem.cause_chain().is_some_and(|cause| cause.contains("NOGROUP"))
}
