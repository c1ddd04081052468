//! The embedded store: messages in one file, which only this process uses.

use std::path::Path;

use bytes::Bytes;
use chassis::embedded::{EmbeddedFile, FileError};
use redb::{ReadableTable, TableDefinition};

use super::{Answer, Store, StoreError};
use crate::digest::Digest;

const MESSAGES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("messages");

/// Messages in an [`EmbeddedFile`], by their digest.
#[derive(Debug)]
pub struct FileStore(EmbeddedFile);

impl FileStore {
    /// Opens the file, or creates it and its folder. After a crash it is repaired first.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, FileError> {
        let file = EmbeddedFile::open(path, cache_bytes)?;
        file.make_table(MESSAGES)?;
        Ok(Self(file))
    }

    fn read(&self, digest: Digest) -> Result<Option<Bytes>, StoreError> {
        let message = self.0.read(|transaction| {
            let message = transaction.open_table(MESSAGES)?.get(digest.bytes())?;
            Ok(message.map(|message| Bytes::copy_from_slice(message.value())))
        });
        message.map_err(StoreError::new)
    }
}

impl Store for FileStore {
    fn put(&self, digest: Digest, message: Bytes) -> Answer<'_, bool> {
        Box::pin(async move {
            // A message that is there is synced, unless the sync of its commit failed.
            self.0.check_writable().map_err(StoreError::new)?;
            if self.read(digest)?.is_some() {
                return Ok(false);
            }
            let put = self.0.write(message.len(), move |transaction| {
                let mut messages = transaction.open_table(MESSAGES)?;
                let is_new = messages.get(digest.bytes())?.is_none();
                if is_new {
                    messages.insert(digest.bytes(), message.as_ref())?;
                }
                Ok(is_new)
            });
            put.await.map_err(StoreError::new)
        })
    }

    fn get(&self, digest: Digest) -> Answer<'_, Option<Bytes>> {
        Box::pin(std::future::ready(self.read(digest)))
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
        let ping = self.0.check_writable().map_err(StoreError::new).and_then(|()| self.read(Digest::of(b"")));
        Box::pin(std::future::ready(ping.map(drop)))
    }
}
