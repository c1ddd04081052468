//! A file of the machine, read and written by this process alone (redb).
//!
//! Changes go to one thread. It commits all that gathered while the commit before was being synced, so that concurrent
//! requests share a sync; a change is reported after it. Readers see what is committed, hence what is synced.

use std::{
    error::Error,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use serde::Deserialize;
use tokio::sync::oneshot;

/// The most changes of one commit, and the bytes after which it takes no more: what is lost together when a disk is
/// full, and what a commit holds in memory.
const MOST_CHANGES: usize = 1024;
const ENOUGH_BYTES: usize = 16 << 20;

/// The file, as a section of the settings of a service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// Where it is.
    pub file: PathBuf,
    /// Memory for parts of it.
    pub cache_bytes: usize,
}

/// Why a file was not read or changed. Whether a change was made all the same is not known.
pub type FileError = Box<dyn Error + Send + Sync>;

/// An open file; cheap to clone. It is closed with the last clone, which waits for changes that are in work.
#[derive(Clone)]
pub struct EmbeddedFile(Arc<Inner>);

struct Inner {
    database: Arc<Database>,
    /// Dropped to end the thread.
    changes: Option<mpsc::Sender<Change>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Change {
    bytes: usize,
    /// Makes the change, and keeps what is to be reported.
    make: Make,
}

type Make = Box<dyn FnOnce(&WriteTransaction) -> Result<Report, redb::Error> + Send>;

/// Reports how the commit of a change ended.
type Report = Box<dyn FnOnce(Result<(), Arc<redb::Error>>) + Send>;

impl fmt::Debug for EmbeddedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddedFile")
    }
}

impl EmbeddedFile {
    /// Opens the file, or makes it and its folder. After a crash it is repaired first. `cache_bytes` is the memory for
    /// parts of the file.
    pub fn open(file: &Path, cache_bytes: usize) -> Result<Self, FileError> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let database = Database::builder()
            .set_cache_size(cache_bytes)
            .set_repair_callback(|repair| {
                tracing::warn!(done = repair.progress(), "the file was not closed; repairing it");
            })
            .create(file)?;
        // A file is there for good once its folder is synced, too.
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::File::open(folder)?.sync_all()?;
        }
        let database = Arc::new(database);
        let (changes, queue) = mpsc::channel();
        let thread = std::thread::Builder::new().name("file".to_owned()).spawn({
            let database = Arc::clone(&database);
            move || commit_all(&database, &queue)
        })?;
        Ok(Self(Arc::new(Inner { database, changes: Some(changes), thread: Some(thread) })))
    }

    /// Reads here and now: from memory nearly always, and to hand it to another thread would cost more than it takes.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, FileError> {
        let transaction = self.0.database.begin_read().map_err(redb::Error::from)?;
        Ok(read(&transaction)?)
    }

    /// Makes a change in a synced transaction of its own, before others use the file: it blocks.
    pub fn write_now<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, FileError> {
        let transaction = self.0.database.begin_write().map_err(redb::Error::from)?;
        let value = change(&transaction)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(value)
    }

    /// Makes a change, and waits until it is synced. `bytes` is about how much it writes. An error of `change` undoes
    /// every change of the same commit: it must be one of the file.
    pub async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, FileError> {
        let (done, reply) = oneshot::channel();
        let make = Box::new(move |transaction: &WriteTransaction| {
            let value = change(transaction)?;
            // Who asked may be gone.
            let report: Report = Box::new(move |committed| drop(done.send(committed.map(|()| value))));
            Ok(report)
        });
        let sent = self.0.changes.as_ref().and_then(|changes| changes.send(Change { bytes, make }).ok());
        sent.ok_or("the thread of the file has ended")?;
        // Without an answer the commit failed before this change was made.
        Ok(reply.await.map_err(|_| "the file cannot be changed; see the log")??)
    }
}

fn commit_all(database: &Database, queue: &mpsc::Receiver<Change>) {
    while let Ok(first) = queue.recv() {
        let mut bytes = first.bytes;
        let mut changes = vec![first];
        while changes.len() < MOST_CHANGES
            && bytes < ENOUGH_BYTES
            && let Ok(next) = queue.try_recv()
        {
            bytes += next.bytes;
            changes.push(next);
        }
        let mut reports = Vec::with_capacity(changes.len());
        let committed = commit(database, changes, &mut reports).map_err(Arc::new);
        if let Err(error) = &committed {
            tracing::error!(%error, "the file cannot be changed");
        }
        for report in reports {
            report(committed.clone());
        }
    }
}

/// Makes all changes in one synced transaction.
fn commit(database: &Database, changes: Vec<Change>, reports: &mut Vec<Report>) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    // The next start after a crash takes no longer than any other: without it all of the file would be read.
    transaction.set_quick_repair(true);
    for change in changes {
        reports.push((change.make)(&transaction)?);
    }
    transaction.commit()?;
    Ok(())
}
