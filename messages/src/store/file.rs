//! The embedded store: one file of the machine, read and written by this process alone.
//!
//! Writes go to one thread. It commits all that gathered while the commit before was being synced, so that concurrent
//! requests share a sync; a write is reported after it. Readers see what is committed, hence what is synced.

use std::{
    fs,
    path::Path,
    sync::{Arc, mpsc},
};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::oneshot;

use super::{Answer, Store, StoreError};
use crate::digest::Digest;

const MESSAGES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("messages");

/// The most writes of one commit, and the bytes after which it takes no more: what is lost together when a disk is full,
/// and what a commit holds in memory.
const MOST_WRITES: usize = 1024;
const ENOUGH_BYTES: usize = 16 << 20;

/// See the [module](self).
#[derive(Debug)]
pub struct FileStore {
    database: Arc<Database>,
    /// Ends the thread when it is dropped.
    writes: mpsc::Sender<Write>,
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

impl FileStore {
    /// Opens the file, or makes it and its folder. After a crash it is repaired first.
    pub fn open(file: &Path, cache_bytes: usize) -> Result<Self, redb::Error> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let database = Database::builder()
            .set_cache_size(cache_bytes)
            .set_repair_callback(|repair| {
                tracing::warn!(done = repair.progress(), "the store was not closed; repairing it");
            })
            .create(file)?;
        // Readers need the table to be there.
        let transaction = database.begin_write()?;
        transaction.open_table(MESSAGES)?;
        transaction.commit()?;
        // A file is there for good once its folder is synced, too.
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::File::open(folder)?.sync_all()?;
        }
        let database = Arc::new(database);
        let (writes, queue) = mpsc::channel();
        std::thread::Builder::new().name("store".to_owned()).spawn({
            let database = Arc::clone(&database);
            move || write_all(&database, &queue)
        })?;
        Ok(Self { database, writes })
    }

    fn read(&self, digest: Digest) -> Result<Option<Bytes>, redb::Error> {
        let table = self.database.begin_read()?.open_table(MESSAGES)?;
        Ok(table.get(digest.bytes())?.map(|message| Bytes::copy_from_slice(message.value())))
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
            // What is there needs no sync.
            if self.read(digest).map_err(StoreError::new)?.is_some() {
                return Ok(false);
            }
            self.write(digest, Some(message)).await
        })
    }

    fn get(&self, digest: Digest) -> Answer<'_, Option<Bytes>> {
        // Read here and now: from memory nearly always, and to hand it to another thread would cost more than it takes.
        Box::pin(std::future::ready(self.read(digest).map_err(StoreError::new)))
    }

    fn delete(&self, digest: Digest) -> Answer<'_, bool> {
        Box::pin(self.write(digest, None))
    }

    fn ping(&self) -> Answer<'_, ()> {
        // A sync that failed fails all that follows, reads too; only a restart opens the file anew.
        Box::pin(std::future::ready(self.read(Digest::of(b"")).map(|_| ()).map_err(StoreError::new)))
    }
}

fn write_all(database: &Database, queue: &mpsc::Receiver<Write>) {
    while let Ok(first) = queue.recv() {
        let mut bytes = first.bytes();
        let mut writes = vec![first];
        while writes.len() < MOST_WRITES
            && bytes < ENOUGH_BYTES
            && let Ok(next) = queue.try_recv()
        {
            bytes += next.bytes();
            writes.push(next);
        }
        match commit(database, &writes) {
            Ok(changes) => {
                for (write, changed) in writes.into_iter().zip(changes) {
                    // Who asked may be gone.
                    let _ = write.done.send(Ok(changed));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for write in writes {
                    let _ = write.done.send(Err(Arc::clone(&error)));
                }
            }
        }
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
