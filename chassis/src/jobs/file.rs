//! A queue in a file ([`EmbeddedFile`]), for one process, which keeps in memory which jobs are in work. An attempt is
//! counted when it fails.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, TableError, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    Answer, Depth, Handler, Job, ListedJob, Queue, WorkOptions,
    leases::{self, Leases},
};
use crate::{
    Problem, Stop,
    embedded::{EmbeddedFile, FileError},
    worker::metrics::QueueMetrics,
};

type Jobs = TableDefinition<'static, u64, &'static [u8]>;

const WAITING: Jobs = TableDefinition::new("jobs waiting");
const DEAD: Jobs = TableDefinition::new("jobs dead");
/// The number of the newest job, in its only row.
const NEWEST: TableDefinition<(), u64> = TableDefinition::new("jobs newest");

/// A queue in one file, for one process.
#[derive(Debug)]
pub struct FileQueue {
    file: EmbeddedFile,
    in_work: Mutex<BTreeSet<u64>>,
    metrics: QueueMetrics,
    added: Notify,
}

#[derive(Serialize, Deserialize)]
struct Record {
    payload: String,
    attempts: i32,
    /// In milliseconds since 1970.
    created: u64,
    /// In milliseconds since 1970.
    due: u64,
    last_error: Option<String>,
}

impl Record {
    fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    fn listed(self, id: u64, is_dead: bool) -> ListedJob {
        let age = Duration::from_millis(now().saturating_sub(self.created));
        ListedJob {
            job: Job { id: id.to_string(), payload: self.payload, attempts: self.attempts },
            age_seconds: age.as_secs_f64(),
            last_error: self.last_error,
            is_dead,
        }
    }
}

impl FileQueue {
    /// The queue in this file, which may hold other tables.
    #[must_use]
    pub fn new(file: EmbeddedFile) -> Self {
        Self { file, in_work: Mutex::default(), metrics: QueueMetrics::default(), added: Notify::new() }
    }

    fn in_work(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.in_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, jobs: &[Job]) {
        let mut in_work = self.in_work();
        for job in jobs {
            in_work.remove(&number(&job.id));
        }
    }

    fn take_now(&self, most: usize) -> Result<Vec<Job>, Problem> {
        let now = now();
        let mut in_work = self.in_work();
        let jobs = self.file.read(|transaction| {
            let mut jobs = Vec::new();
            for_each(transaction, WAITING, |id, record| {
                if record.due <= now && !in_work.contains(&id) {
                    jobs.push(Job {
                        id: id.to_string(),
                        payload: record.payload,
                        attempts: record.attempts + 1,
                    });
                }
                jobs.len() < most
            })?;
            Ok(jobs)
        });
        let jobs = jobs.map_err(unusable)?;
        in_work.extend(jobs.iter().map(|job| number(&job.id)));
        Ok(jobs)
    }

    /// Moves a failed job from the jobs in work to this table.
    async fn put_back(&self, job: &Job, into: Jobs, pause: Duration, reason: &str) -> Result<(), Problem> {
        let (id, attempts, reason) = (number(&job.id), job.attempts, reason.to_owned());
        let changed = self.file.write(job.payload.len(), move |transaction| {
            // A job that was discarded meanwhile stays so.
            if let Some(mut record) = remove(transaction, WAITING, id)? {
                record.attempts = attempts;
                record.due = now() + u64::try_from(pause.as_millis()).unwrap_or(0);
                record.last_error = Some(reason);
                transaction.open_table(into)?.insert(id, record.bytes().as_slice())?;
            }
            Ok(())
        });
        changed.await.map_err(unusable)?;
        self.forget(std::slice::from_ref(job));
        Ok(())
    }
}

impl Queue for FileQueue {
    fn put(&self, payload: String) -> Answer<'_, String> {
        Box::pin(async move {
            let bytes = payload.len();
            let record = Record { payload, attempts: 0, created: now(), due: 0, last_error: None }.bytes();
            let put = self.file.write(bytes, move |transaction| {
                let mut newest = transaction.open_table(NEWEST)?;
                let id = newest.get(())?.map_or(0, |id| id.value()) + 1;
                newest.insert((), id)?;
                transaction.open_table(WAITING)?.insert(id, record.as_slice())?;
                Ok(id.to_string())
            });
            let id = put.await.map_err(unusable)?;
            self.added.notify_one();
            Ok(id)
        })
    }

    fn depth(&self) -> Answer<'_, Depth> {
        let depth = self.file.read(|transaction| {
            let length = |table| -> Result<i64, redb::Error> {
                let length = opened(transaction.open_table(table))?.map(|table| table.len()).transpose()?;
                Ok(i64::try_from(length.unwrap_or(0)).unwrap_or(i64::MAX))
            };
            let mut oldest_seconds = 0.0;
            for_each(transaction, WAITING, |id, record| {
                oldest_seconds = record.listed(id, false).age_seconds;
                false
            })?;
            Ok(Depth { waiting: length(WAITING)?, oldest_seconds, dead: length(DEAD)? })
        });
        Box::pin(std::future::ready(depth.map_err(unusable)))
    }

    fn list(&self, most: usize, only_dead: bool) -> Answer<'_, Vec<ListedJob>> {
        let listed = self.file.read(|transaction| {
            let mut jobs = Vec::new();
            let tables = [(DEAD, true), (WAITING, false)];
            for (table, is_dead) in tables.into_iter().filter(|(_, is_dead)| *is_dead || !only_dead) {
                let end = jobs.len() + most;
                for_each(transaction, table, |id, record| {
                    jobs.push((id, record.listed(id, is_dead)));
                    jobs.len() < end
                })?;
            }
            jobs.sort_by_key(|(id, _)| *id);
            Ok(jobs.into_iter().take(most).map(|(_, listed)| listed).collect())
        });
        Box::pin(std::future::ready(listed.map_err(unusable)))
    }

    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Option<ListedJob>> {
        let id = number(id);
        let found = self.file.read(|transaction| {
            for (table, is_dead) in [(DEAD, true), (WAITING, false)] {
                if let Some(table) = opened(transaction.open_table(table))?
                    && let Some(record) = table.get(id)?.and_then(|bytes| Record::read(bytes.value()))
                {
                    return Ok(Some(record.listed(id, is_dead)));
                }
            }
            Ok(None)
        });
        Box::pin(std::future::ready(found.map_err(unusable)))
    }

    fn retry<'a>(&'a self, id: &'a str) -> Answer<'a, bool> {
        let id = number(id);
        Box::pin(async move {
            let revived = self.file.write(0, move |transaction| {
                let Some(record) = remove(transaction, DEAD, id)? else { return Ok(false) };
                let record = Record { attempts: 0, due: 0, ..record };
                transaction.open_table(WAITING)?.insert(id, record.bytes().as_slice())?;
                Ok(true)
            });
            let revived = revived.await.map_err(unusable)?;
            self.added.notify_one();
            Ok(revived)
        })
    }

    fn discard<'a>(&'a self, id: &'a str) -> Answer<'a, bool> {
        let id = number(id);
        Box::pin(async move {
            let removed = self.file.write(0, move |transaction| {
                let is_dead = remove(transaction, DEAD, id)?.is_some();
                Ok(remove(transaction, WAITING, id)?.is_some() || is_dead)
            });
            removed.await.map_err(unusable)
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

impl Leases for FileQueue {
    fn take(&self, most: usize) -> Answer<'_, Vec<Job>> {
        Box::pin(std::future::ready(self.take_now(most)))
    }

    /// Here jobs are taken without a limit of time.
    fn renew<'a>(&'a self, _: &'a [&'a str]) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn done<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()> {
        let ids: Vec<u64> = jobs.iter().map(|job| number(&job.id)).collect();
        Box::pin(async move {
            let done = self.file.write(0, move |transaction| {
                let mut waiting = transaction.open_table(WAITING)?;
                for id in ids {
                    waiting.remove(id)?;
                }
                Ok(())
            });
            let done = done.await.map_err(unusable);
            // Even if that failed: then they are taken and done again.
            self.forget(jobs);
            done
        })
    }

    fn release<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()> {
        self.forget(jobs);
        Box::pin(std::future::ready(Ok(())))
    }

    fn postpone<'a>(&'a self, job: &'a Job, pause: Duration, reason: &'a str) -> Answer<'a, ()> {
        Box::pin(self.put_back(job, WAITING, pause, reason))
    }

    fn bury<'a>(&'a self, job: &'a Job, reason: &'a str) -> Answer<'a, ()> {
        Box::pin(self.put_back(job, DEAD, Duration::ZERO, reason))
    }

    fn metrics(&self) -> &QueueMetrics {
        &self.metrics
    }

    fn added(&self) -> &Notify {
        &self.added
    }
}

fn remove(transaction: &WriteTransaction, table: Jobs, id: u64) -> Result<Option<Record>, redb::Error> {
    let mut table = transaction.open_table(table)?;
    Ok(table.remove(id)?.and_then(|bytes| Record::read(bytes.value())))
}

/// The jobs of a table, oldest first, for as long as `each` wants more.
fn for_each(
    transaction: &ReadTransaction,
    table: Jobs,
    mut each: impl FnMut(u64, Record) -> bool,
) -> Result<(), redb::Error> {
    let Some(table) = opened(transaction.open_table(table))? else { return Ok(()) };
    for row in table.iter()? {
        let (id, bytes) = row?;
        if let Some(record) = Record::read(bytes.value())
            && !each(id.value(), record)
        {
            return Ok(());
        }
    }
    Ok(())
}

/// A table for reads; none before the first write.
fn opened<T>(table: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Jobs are numbered from 1; nothing else is the id of one.
fn number(id: &str) -> u64 {
    id.parse().unwrap_or(0)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn unusable(error: FileError) -> Problem {
    Problem::unavailable("The file cannot be read or written.", 2).cause(error)
}
