//! The embedded store: one file of the machine, read and written by this process alone.

use std::path::Path;

use bytes::Bytes;
use chassis::embedded::{EmbeddedFile, FileError};
use redb::{ReadableTable, TableDefinition};

use super::{Answer, Store, StoreError};
use crate::digest::Digest;

const MESSAGES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("messages");

/// See the [module](self).
#[derive(Debug)]
pub struct FileStore(EmbeddedFile);

impl FileStore {
    /// Opens the file, or makes it and its folder. After a crash it is repaired first.
    pub fn open(file: &Path, cache_bytes: usize) -> Result<Self, FileError> {
        let file = EmbeddedFile::open(file, cache_bytes)?;
        // Readers need the table to be there.
        file.write_now(|transaction| Ok(transaction.open_table(MESSAGES).map(drop)?))?;
        Ok(Self(file))
    }

    fn read(&self, digest: Digest) -> Result<Option<Bytes>, FileError> {
        self.0.read(|transaction| {
            let table = transaction.open_table(MESSAGES)?;
            Ok(table.get(digest.bytes())?.map(|message| Bytes::copy_from_slice(message.value())))
        })
    }
}

impl Store for FileStore {
    fn put(&self, digest: Digest, message: Bytes) -> Answer<'_, bool> {
        Box::pin(async move {
            // What is there needs no sync.
            if self.read(digest).map_err(StoreError::new)?.is_some() {
                return Ok(false);
            }
            let put = self.0.write(message.len(), move |transaction| {
                let mut table = transaction.open_table(MESSAGES)?;
                let is_new = table.get(digest.bytes())?.is_none();
                if is_new {
                    table.insert(digest.bytes(), message.as_ref())?;
                }
                Ok(is_new)
            });
            put.await.map_err(StoreError::new)
        })
    }

    fn get(&self, digest: Digest) -> Answer<'_, Option<Bytes>> {
        Box::pin(std::future::ready(self.read(digest).map_err(StoreError::new)))
    }

    fn delete(&self, digest: Digest) -> Answer<'_, bool> {
        Box::pin(async move {
            let deleted = self.0.write(0, move |transaction| {
                Ok(transaction.open_table(MESSAGES)?.remove(digest.bytes())?.is_some())
            });
            deleted.await.map_err(StoreError::new)
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        // A sync that failed fails all that follows, reads too; only a restart opens the file anew.
        Box::pin(std::future::ready(self.read(Digest::of(b"")).map(|_| ()).map_err(StoreError::new)))
    }
}
