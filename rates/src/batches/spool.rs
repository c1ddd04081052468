//! Keeps what a client sends until all of it is there.
//!
//! Up to a piece stays in memory. Larger content goes to the database piece by piece, because a container has no file
//! system to write to, and memory must not grow with the content. Each piece takes a connection for one short statement:
//! none is held while the client sends.

use bytes::Bytes;
use chassis::postgres::Pool;
use sqlx::PgExecutor;
use tokio::sync::{Semaphore, mpsc};

use super::content;

/// The size of a piece, and the most that a spool has in memory.
pub(super) const PIECE: usize = 1 << 20;

/// Where spools store pieces.
#[derive(Debug)]
pub struct PieceStore {
    pool: Pool,
    /// One writes at a time, so that fast uploads leave the connections to reads.
    turn: Semaphore,
}

impl PieceStore {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, turn: Semaphore::new(1) }
    }
}

/// Content on its way in. What it stored is deleted with it, unless it is kept.
#[derive(Debug)]
pub(crate) struct Spool<'a> {
    store: &'a PieceStore,
    memory: Vec<u8>,
    /// Known once a piece is stored.
    content_id: Option<i64>,
    pieces: i32,
    kept: bool,
}

impl<'a> Spool<'a> {
    pub(crate) fn new(store: &'a PieceStore) -> Self {
        Self { store, memory: Vec::new(), content_id: None, pieces: 0, kept: false }
    }

    /// Takes all texts of a channel. At an error it drops the receiver, which stops the sender.
    pub(super) async fn fill(&mut self, mut texts: mpsc::Receiver<Vec<u8>>) -> Result<(), sqlx::Error> {
        while let Some(text) = texts.recv().await {
            if self.memory.len() + text.len() > PIECE {
                self.store_memory().await?;
            }
            self.memory.extend_from_slice(&text);
        }
        Ok(())
    }

    /// Stores what is still in memory; returns the id of the content.
    pub(crate) async fn store_all(&mut self) -> Result<i64, sqlx::Error> {
        let content_id = self.content_id().await?;
        if !self.memory.is_empty() {
            self.store_memory().await?;
        }
        Ok(content_id)
    }

    /// Leaves the content to whoever processes it.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    /// The piece of this index, from 0; none past the end. A piece has whole texts only.
    pub(crate) async fn piece(
        &self,
        executor: impl PgExecutor<'_>,
        index: i32,
    ) -> Result<Option<Bytes>, sqlx::Error> {
        match self.content_id {
            Some(content_id) if index < self.pieces => {
                // The table numbers pieces from 1.
                let piece = content::piece(executor, content_id, index + 1).await?;
                piece.map(|piece| Some(piece.into())).ok_or(sqlx::Error::RowNotFound)
            }
            _ if index == self.pieces && !self.memory.is_empty() => Ok(Some(self.memory.clone().into())),
            _ => Ok(None),
        }
    }

    async fn content_id(&mut self) -> Result<i64, sqlx::Error> {
        if let Some(content_id) = self.content_id {
            return Ok(content_id);
        }
        let content_id = content::next_content(&self.store.pool).await?;
        Ok(*self.content_id.insert(content_id))
    }

    async fn store_memory(&mut self) -> Result<(), sqlx::Error> {
        // The semaphore is never closed.
        let _turn = self.store.turn.acquire().await;
        let content_id = self.content_id().await?;
        content::put_piece(&self.store.pool, content_id, self.pieces + 1, &self.memory).await?;
        self.pieces += 1;
        self.memory.clear();
        Ok(())
    }
}

impl Drop for Spool<'_> {
    fn drop(&mut self) {
        if let (Some(content_id), false) = (self.content_id, self.kept) {
            let pool = self.store.pool.clone();
            // If it fails, or an insert is still on its way, they are deleted when they are old.
            tokio::spawn(async move { content::delete_pieces(&pool, content_id).await });
        }
    }
}
