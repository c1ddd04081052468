//! A database in one file (redb), which only this process uses.
//!
//! One thread makes the changes of [`EmbeddedFile::write`]. It commits together the changes that arrived during the
//! previous commit, so that concurrent requests share a sync. A change is reported after its sync. Readers see only
//! committed, hence synced data.
//!
//! After a write or sync that fails, as on a full disk, redb refuses all others. The thread then reopens the file and
//! tries every second whether a write of the same size succeeds. Until one does, the file can only be read.

use std::{
    error::Error,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, TableDefinition, TableError, Value, WriteTransaction,
};
use serde::Deserialize;
use tokio::sync::oneshot;

/// The most changes of one commit, and the bytes after which it takes no more. They bound the memory of a commit, and
/// what fails together on a full disk.
const MOST_CHANGES: usize = 1024;
const ENOUGH_BYTES: usize = 16 << 20;

/// How often the thread checks whether a file that failed can be written again, and whether any other can be read.
const RETRY: Duration = Duration::from_secs(1);

/// Is empty except while the thread finds out whether the file can be written again.
const PROBES: TableDefinition<(), &[u8]> = TableDefinition::new("probes");

/// The file, as a section of the settings of a service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// Where it is.
    pub file: PathBuf,
    /// Memory for parts of it.
    pub cache_bytes: usize,
}

/// Why a file was not read or changed. A change that failed may still have been made.
pub type FileError = Box<dyn Error + Send + Sync>;

/// An open file; cheap to clone. It is closed with the last clone, which waits for changes that are in work.
#[derive(Clone)]
pub struct EmbeddedFile(Arc<Inner>);

struct Inner {
    file: Arc<OpenFile>,
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
    /// Makes the change, and returns what reports it.
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
    /// Opens the file, or creates it and its folder. After a crash it is repaired first. `cache_bytes` is the memory
    /// for parts of the file.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, FileError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = Arc::new(OpenFile {
            path: path.to_owned(),
            cache_bytes,
            database: RwLock::new(Some(open(path, cache_bytes)?)),
            is_writable: AtomicBool::new(true),
        });
        // A file is durable only once its folder is synced, too.
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::File::open(folder)?.sync_all()?;
        }
        let (changes, queue) = mpsc::channel();
        let thread = std::thread::Builder::new().name("file".to_owned()).spawn({
            let file = Arc::clone(&file);
            move || commit_all(&file, &queue)
        })?;
        Ok(Self(Arc::new(Inner { file, changes: Some(changes), thread: Some(thread) })))
    }

    /// Reads on the thread of the caller: the data is nearly always in memory, and another thread would cost more.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, FileError> {
        Ok(self.0.file.use_open(|database| read(&database.begin_read()?))?)
    }

    /// Creates a table that is missing, since readers need it. This blocks. If the table is there, nothing is written,
    /// so this works on a full disk.
    pub fn make_table<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<(), FileError> {
        self.0.file.use_open(|database| match database.begin_read()?.open_table(table) {
            Err(TableError::TableDoesNotExist(_)) => {
                let transaction = database.begin_write()?;
                transaction.open_table(table)?;
                Ok(transaction.commit()?)
            }
            found => Ok(found.map(drop)?),
        })?;
        Ok(())
    }

    /// Makes a change, and waits until it is synced. `bytes` is about how much it writes. An error of `change` undoes
    /// all changes of the same commit, so it may only report failures of the file.
    pub async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, FileError> {
        let (done, reply) = oneshot::channel();
        let make = Box::new(move |transaction: &WriteTransaction| {
            let value = change(transaction)?;
            // The caller may be gone.
            let report: Report = Box::new(move |committed| drop(done.send(committed.map(|()| value))));
            Ok(report)
        });
        let sent = self.0.changes.as_ref().and_then(|changes| changes.send(Change { bytes, make }).ok());
        sent.ok_or("the thread of the file has ended")?;
        // Without an answer, the commit failed before this change was made.
        Ok(reply.await.map_err(|_| "the file cannot be changed; see the log")??)
    }

    /// Fails while the file cannot be written.
    pub fn check_writable(&self) -> Result<(), FileError> {
        if self.0.file.is_writable.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err("the file cannot be written".into())
        }
    }
}

struct OpenFile {
    path: PathBuf,
    cache_bytes: usize,
    /// None while it cannot be opened.
    database: RwLock<Option<Database>>,
    is_writable: AtomicBool,
}

impl OpenFile {
    /// Uses the file. [`Self::reopen`] waits until `work` ends.
    fn use_open<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let database: RwLockReadGuard<'_, Option<Database>> =
            self.database.read().unwrap_or_else(PoisonError::into_inner);
        work(database.as_ref().ok_or(redb::Error::PreviousIo)?)
    }

    /// Reopens the file after a failure, for reads.
    fn reopen(&self) {
        self.is_writable.store(false, Ordering::Release);
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first, because the file is locked while it is open.
        *database = None;
        match open(&self.path, self.cache_bytes) {
            Ok(opened) => *database = Some(opened),
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::warn!(error, "the file cannot be opened; trying again");
            }
        }
    }

    /// Tries to write so many bytes; reopens the file if that fails. Returns whether it can be written again.
    fn recover(&self, bytes: usize) -> bool {
        match self.use_open(|database| probe(database, bytes)) {
            Ok(()) => self.is_writable.store(true, Ordering::Release),
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::debug!(error, "the file still cannot be written");
                self.reopen();
            }
        }
        self.is_writable.load(Ordering::Acquire)
    }
}

fn open(path: &Path, cache_bytes: usize) -> Result<Database, redb::Error> {
    let database = Database::builder()
        .set_cache_size(cache_bytes)
        .set_repair_callback(|repair| {
            tracing::warn!(done = repair.progress(), "the file was not closed; repairing it");
        })
        .create(path)?;
    Ok(database)
}

/// Writes so many bytes and removes them. A small write may fit into the file as it is while the disk is full.
fn probe(database: &Database, bytes: usize) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(PROBES)?.insert((), vec![0; bytes].as_slice())?;
    transaction.commit()?;
    let transaction = database.begin_write()?;
    transaction.open_table(PROBES)?.remove(())?;
    transaction.commit()?;
    Ok(())
}

/// Commits changes until the file is dropped.
fn commit_all(file: &OpenFile, queue: &mpsc::Receiver<Change>) {
    // The bytes of the changes that failed, and when to try again.
    let mut failure: Option<(usize, Instant)> = None;
    loop {
        let changes = match queue.recv_timeout(RETRY) {
            Ok(first) => gather(first, queue),
            Err(mpsc::RecvTimeoutError::Timeout) => Vec::new(),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        if let Some((bytes, retry_at)) = failure
            && Instant::now() >= retry_at
        {
            failure = if file.recover(bytes) {
                tracing::info!("the file can be written again");
                None
            } else {
                Some((bytes, Instant::now() + RETRY))
            };
        }
        if failure.is_some() {
            // Dropping a change makes its caller's `write` fail.
            continue;
        }
        let bytes = changes.iter().map(|change| change.bytes).sum();
        if let Err(error) = commit(file, changes) {
            let error = &*error as &dyn Error;
            tracing::error!(error, "the file cannot be written; refusing changes until it can");
            file.reopen();
            failure = Some((bytes, Instant::now() + RETRY));
        }
    }
}

/// This change and those that wait, up to the limits of a commit.
fn gather(first: Change, queue: &mpsc::Receiver<Change>) -> Vec<Change> {
    let mut bytes = first.bytes;
    let mut changes = vec![first];
    while changes.len() < MOST_CHANGES
        && bytes < ENOUGH_BYTES
        && let Ok(next) = queue.try_recv()
    {
        bytes += next.bytes;
        changes.push(next);
    }
    changes
}

/// Makes all changes in one synced transaction, and reports them. Without changes, checks whether the file can be read.
fn commit(file: &OpenFile, changes: Vec<Change>) -> Result<(), Arc<redb::Error>> {
    let mut reports = Vec::with_capacity(changes.len());
    let committed = file.use_open(|database| {
        if changes.is_empty() {
            return database.begin_read().map(drop).map_err(Into::into);
        }
        let mut transaction = database.begin_write()?;
        // Otherwise the start after a crash would read all of the file.
        transaction.set_quick_repair(true);
        for change in changes {
            reports.push((change.make)(&transaction)?);
        }
        Ok(transaction.commit()?)
    });
    let committed = committed.map_err(Arc::new);
    if committed.is_err() {
        // Before the reports, so that a caller that learns of the failure finds the file not writable.
        file.is_writable.store(false, Ordering::Release);
    }
    for report in reports {
        report(committed.clone());
    }
    committed
}
