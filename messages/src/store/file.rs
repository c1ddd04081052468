//! The embedded store: one file of the machine, read and written by this process alone.
//!
//! Writes go to one thread. It commits all that gathered while the commit before was being synced, so that concurrent
//! requests share a sync; a write is reported after it. Readers see what is committed, hence what is synced.
//!
//! A write or sync that fails, as on a full disk, makes redb refuse all that follows. The thread then opens the file anew
//! and tries every second whether a write of the same size succeeds. Until one does, only reads are answered.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use tokio::sync::oneshot;

use super::{Answer, Store, StoreError};
use crate::digest::Digest;

const MESSAGES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("messages");

/// Is empty but while the store finds out whether it can write again.
const PROBES: TableDefinition<(), &[u8]> = TableDefinition::new("probes");

/// How often the thread tries whether a file that failed can be written, and whether any other can be read.
const RETRY: Duration = Duration::from_secs(1);

/// The most writes of one commit, and the bytes after which it takes no more: what is lost together when a disk is full,
/// and what a commit holds in memory.
const MOST_WRITES: usize = 1024;
const ENOUGH_BYTES: usize = 16 << 20;

/// See the [module](self).
#[derive(Debug)]
pub struct FileStore {
    file: Arc<StoreFile>,
    /// Ends the thread when it is dropped.
    writes: mpsc::Sender<Write>,
}

#[derive(Debug)]
struct StoreFile {
    path: PathBuf,
    cache_bytes: usize,
    /// None while it cannot be opened.
    database: RwLock<Option<Database>>,
    /// False from the first write that failed until one has succeeded.
    writable: AtomicBool,
}

#[derive(Debug)]
struct Write {
    digest: Digest,
    /// None deletes.
    message: Option<Bytes>,
    /// Whether it changed anything.
    done: oneshot::Sender<Result<bool, Arc<redb::Error>>>,
}

impl Write {
    fn bytes(&self) -> usize {
        self.message.as_ref().map_or(0, Bytes::len)
    }
}

impl StoreFile {
    fn open(path: &Path, cache_bytes: usize) -> Result<Self, redb::Error> {
        let database = open(path, cache_bytes)?;
        Ok(Self {
            path: path.to_owned(),
            cache_bytes,
            database: RwLock::new(Some(database)),
            writable: AtomicBool::new(true),
        })
    }

    /// The open file. It must not be kept: whoever opens the file anew waits for it.
    fn database(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, digest: Digest) -> Result<Option<Bytes>, StoreError> {
        read(self.database().as_ref(), digest).map_err(StoreError::new)
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        if self.writable.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(StoreError::new("the file cannot be written"))
        }
    }

    /// After a failure: opens the file anew for reads.
    fn reopen(&self) {
        self.writable.store(false, Ordering::Release);
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first, because the file is locked while it is open.
        *database = None;
        match open(&self.path, self.cache_bytes) {
            Ok(opened) => *database = Some(opened),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the store cannot be opened; trying again");
            }
        }
    }

    /// Whether so many bytes can be written again; if not, the file has been opened anew.
    fn recover(&self, bytes: usize) -> bool {
        let probed = probe(self.database().as_ref(), bytes);
        match probed {
            Ok(()) => self.writable.store(true, Ordering::Release),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "the store still cannot write");
                self.reopen();
            }
        }
        self.writable.load(Ordering::Acquire)
    }
}

/// Opens the file, or makes it. After a crash it is repaired first.
fn open(path: &Path, cache_bytes: usize) -> Result<Database, redb::Error> {
    let database = Database::builder()
        .set_cache_size(cache_bytes)
        .set_repair_callback(|repair| {
            tracing::warn!(done = repair.progress(), "the store was not closed; repairing it");
        })
        .create(path)?;
    // Readers need the table to be there. Where it is, nothing is written, which a full disk would refuse.
    if let Err(TableError::TableDoesNotExist(_)) = database.begin_read()?.open_table(MESSAGES) {
        let transaction = database.begin_write()?;
        transaction.open_table(MESSAGES)?;
        transaction.commit()?;
    }
    Ok(database)
}

/// Writes so many bytes and removes them. A small write may fit into the file as it is while the disk is full.
fn probe(database: Option<&Database>, bytes: usize) -> Result<(), redb::Error> {
    let database = database.ok_or(redb::Error::PreviousIo)?;
    let transaction = database.begin_write()?;
    transaction.open_table(PROBES)?.insert((), vec![0; bytes].as_slice())?;
    transaction.commit()?;
    let transaction = database.begin_write()?;
    transaction.open_table(PROBES)?.remove(())?;
    transaction.commit()?;
    Ok(())
}

fn read(database: Option<&Database>, digest: Digest) -> Result<Option<Bytes>, redb::Error> {
    let table = database.ok_or(redb::Error::PreviousIo)?.begin_read()?.open_table(MESSAGES)?;
    Ok(table.get(digest.bytes())?.map(|message| Bytes::copy_from_slice(message.value())))
}

impl FileStore {
    /// Opens the file, or makes it and its folder. After a crash it is repaired first.
    pub fn open(file: &Path, cache_bytes: usize) -> Result<Self, redb::Error> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let store = StoreFile::open(file, cache_bytes)?;
        // A file is there for good once its folder is synced, too.
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::File::open(folder)?.sync_all()?;
        }
        let file = Arc::new(store);
        let (writes, queue) = mpsc::channel();
        std::thread::Builder::new().name("store".to_owned()).spawn({
            let file = Arc::clone(&file);
            move || write_all(&file, &queue)
        })?;
        Ok(Self { file, writes })
    }

    async fn write(&self, digest: Digest, message: Option<Bytes>) -> Result<bool, StoreError> {
        let (done, reply) = oneshot::channel();
        self.writes
            .send(Write { digest, message, done })
            .map_err(|_| StoreError::new("the writer has ended"))?;
        reply.await.map_err(StoreError::new)?.map_err(StoreError::new)
    }
}

impl Store for FileStore {
    fn put(&self, digest: Digest, message: Bytes) -> Answer<'_, bool> {
        Box::pin(async move {
            // What is there needs no sync, unless it is of a commit whose sync failed.
            self.file.check_writable()?;
            if self.file.read(digest)?.is_some() {
                return Ok(false);
            }
            self.write(digest, Some(message)).await
        })
    }

    fn get(&self, digest: Digest) -> Answer<'_, Option<Bytes>> {
        // Read here and now: from memory nearly always, and to hand it to another thread would cost more than it takes.
        Box::pin(std::future::ready(self.file.read(digest)))
    }

    fn delete(&self, digest: Digest) -> Answer<'_, bool> {
        Box::pin(self.write(digest, None))
    }

    fn ping(&self) -> Answer<'_, ()> {
        let read = self.file.check_writable().and_then(|()| self.file.read(Digest::of(b"")));
        Box::pin(std::future::ready(read.map(|_| ())))
    }
}

/// Answers writes until the store is dropped.
fn write_all(file: &StoreFile, queue: &mpsc::Receiver<Write>) {
    // The bytes of the writes that failed, and when to try again.
    let mut failure: Option<(usize, Instant)> = None;
    loop {
        let writes = match queue.recv_timeout(RETRY) {
            Ok(first) => gather(first, queue),
            Err(mpsc::RecvTimeoutError::Timeout) => Vec::new(),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        if let Some((bytes, retry_at)) = failure
            && Instant::now() >= retry_at
        {
            failure = if file.recover(bytes) {
                tracing::info!("the store can write again");
                None
            } else {
                Some((bytes, Instant::now() + RETRY))
            };
        }
        if failure.is_some() {
            answer_failed(writes, &Arc::new(redb::Error::PreviousIo));
            continue;
        }
        let bytes = writes.iter().map(Write::bytes).sum();
        if let Err(error) = answer(file, writes) {
            let error = &*error as &dyn std::error::Error;
            tracing::error!(error, "the store cannot write; answering 503 to writes until it can");
            file.reopen();
            failure = Some((bytes, Instant::now() + RETRY));
        }
    }
}

/// This write and those that wait, up to the limits of a commit.
fn gather(first: Write, queue: &mpsc::Receiver<Write>) -> Vec<Write> {
    let mut bytes = first.bytes();
    let mut writes = vec![first];
    while writes.len() < MOST_WRITES
        && bytes < ENOUGH_BYTES
        && let Ok(next) = queue.try_recv()
    {
        bytes += next.bytes();
        writes.push(next);
    }
    writes
}

/// Does these writes and answers them. Without any, looks whether the file can be read.
fn answer(file: &StoreFile, writes: Vec<Write>) -> Result<(), Arc<redb::Error>> {
    let database = file.database();
    if writes.is_empty() {
        return read(database.as_ref(), Digest::of(b"")).map(drop).map_err(Arc::new);
    }
    match database.as_ref().ok_or(redb::Error::PreviousIo).and_then(|open| commit(open, &writes)) {
        Ok(changes) => {
            for (write, changed) in writes.into_iter().zip(changes) {
                // Who asked may be gone.
                let _ = write.done.send(Ok(changed));
            }
            Ok(())
        }
        Err(error) => {
            // First, so that whoever learns of the failure finds the store not ready.
            file.writable.store(false, Ordering::Release);
            let error = Arc::new(error);
            answer_failed(writes, &error);
            Err(error)
        }
    }
}

fn answer_failed(writes: Vec<Write>, error: &Arc<redb::Error>) {
    for write in writes {
        let _ = write.done.send(Err(Arc::clone(error)));
    }
}

/// Does all writes in one synced transaction; for each, whether it changed anything.
fn commit(database: &Database, writes: &[Write]) -> Result<Vec<bool>, redb::Error> {
    let mut transaction = database.begin_write()?;
    // The next start after a crash takes no longer than any other: without it all of the file would be read.
    transaction.set_quick_repair(true);
    let mut changes = Vec::with_capacity(writes.len());
    {
        let mut table = transaction.open_table(MESSAGES)?;
        for write in writes {
            let key = write.digest.bytes();
            changes.push(match &write.message {
                Some(message) if table.get(key)?.is_none() => {
                    table.insert(key, message.as_ref())?;
                    true
                }
                Some(_) => false,
                None => table.remove(key)?.is_some(),
            });
        }
    }
    transaction.commit()?;
    Ok(changes)
}
