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
const PIECE: usize = 1 << 20;

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
    /// The number of the content, once a piece is stored.
    content: Option<i64>,
    pieces: i32,
    kept: bool,
}

impl<'a> Spool<'a> {
    pub(crate) fn new(store: &'a PieceStore) -> Self {
        Self { store, memory: Vec::new(), content: None, pieces: 0, kept: false }
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

    /// Stores what is still in memory; returns the number of the content.
    pub(crate) async fn store_all(&mut self) -> Result<i64, sqlx::Error> {
        let content = self.number().await?;
        if !self.memory.is_empty() {
            self.store_memory().await?;
        }
        Ok(content)
    }

    /// Leaves the content to whoever processes it.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    /// The pieces from the first to the last; each is a whole number of the texts that it was filled with.
    pub(crate) async fn piece(
        &self,
        executor: impl PgExecutor<'_>,
        index: i32,
    ) -> Result<Option<Bytes>, sqlx::Error> {
        match self.content {
            Some(content) if index < self.pieces => {
                let piece = content::piece(executor, content, index + 1).await?;
                piece.map(|piece| Some(piece.into())).ok_or(sqlx::Error::RowNotFound)
            }
            _ if index == self.pieces && !self.memory.is_empty() => Ok(Some(self.memory.clone().into())),
            _ => Ok(None),
        }
    }

    async fn number(&mut self) -> Result<i64, sqlx::Error> {
        if let Some(content) = self.content {
            return Ok(content);
        }
        let content = content::next_content(&self.store.pool).await?;
        Ok(*self.content.insert(content))
    }

    async fn store_memory(&mut self) -> Result<(), sqlx::Error> {
        // The semaphore is never closed.
        let _turn = self.store.turn.acquire().await;
        let content = self.number().await?;
        content::put_piece(&self.store.pool, content, self.pieces + 1, &self.memory).await?;
        self.pieces += 1;
        self.memory.clear();
        Ok(())
    }
}

impl Drop for Spool<'_> {
    fn drop(&mut self) {
        if let (Some(content), false) = (self.content, self.kept) {
            let pool = self.store.pool.clone();
            // If it fails, or an insert is still on its way, they are deleted when they are old.
            tokio::spawn(async move { content::delete_pieces(&pool, content).await });
        }
    }
}
