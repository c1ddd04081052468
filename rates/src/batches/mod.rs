//! Prices that come in: read on a thread of its own, staged by COPY while they come, checked as a set, put in by one
//! statement. All of a batch goes in, or nothing.

pub(crate) mod bell;
pub mod limits;
pub mod outcomes;
pub mod parse;
pub(crate) mod worker;

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use chassis::{Problem, problem::FieldError};
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use sqlx::{PgConnection, postgres::PgCopyIn};
use tokio::{sync::mpsc, task};

use crate::sql::{self, batches::Batch};
use parse::{Content, Format, LISTED_FAULTS, Stop};

/// Pieces that wait between two stages: enough to keep both busy, few enough to be no memory.
const WAITING_PIECES: usize = 4;

/// Content that waits is kept in pieces of this size.
const STORED_PIECE: usize = 1 << 20;

/// Why a batch is not in.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The content, or what it asks for, cannot be accepted.
    Content(Problem),
    /// The content stopped coming.
    Cut(String),
    /// The database failed.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Content(problem) => problem,
            Refused::Cut(why) => Self::new(StatusCode::BAD_REQUEST)
                .detail("The content was cut off before its end.")
                .cause(io::Error::other(why)),
            // A port that was there when the rows were checked is gone now.
            Refused::Database(error) if is_foreign_key_violation(&error) => {
                Self::unavailable("The places changed meanwhile; send the batch again.", 1).cause(error)
            }
            Refused::Database(error) => Self::from(error),
        }
    }
}

fn is_foreign_key_violation(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_foreign_key_violation())
}

/// Content that comes in pieces.
pub(crate) struct Incoming<S> {
    pub(crate) pieces: S,
    pub(crate) gzip: bool,
    /// The most bytes, unzipped.
    pub(crate) limit: u64,
}

impl<S, E> Incoming<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    /// Reads the content on a thread with `read`, which hands on what it makes: to the receiver. The future is what
    /// keeps the content coming; it ends with what `read` returned.
    fn start<T, Made, R>(self, read: R) -> (mpsc::Receiver<Made>, impl Future<Output = Result<T, Refused>>)
    where
        T: Send + 'static,
        Made: Send + 'static,
        R: FnOnce(Box<dyn Read>, u64, &mut dyn FnMut(Made) -> Result<(), Stop>) -> Result<T, Stop>
            + Send
            + 'static,
    {
        let (pieces_in, pieces_out) = mpsc::channel::<Result<Bytes, String>>(WAITING_PIECES);
        let (made_in, made_out) = mpsc::channel::<Made>(WAITING_PIECES);
        let Self { mut pieces, gzip, limit } = self;
        let reading = task::spawn_blocking(move || {
            let pieces = Pieces { pieces: pieces_out, piece: Bytes::new() };
            let mut take = |made| made_in.blocking_send(made).map_err(|_| Stop::Unwanted);
            read(parse::unzipped(pieces, gzip), limit, &mut take)
        });
        let read = async move {
            let mut left = limit;
            let mut wanted = true;
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(|error| error.to_string());
                left = left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
                // A reader that has seen enough must still be read out: a client that is answered while it sends may
                // never see the answer.
                wanted = wanted && pieces_in.send(piece).await.is_ok();
                if left == 0 && !wanted {
                    break;
                }
            }
            drop(pieces_in);
            let read = reading.await.map_err(|died| Refused::Content(Problem::internal(died)))?;
            read.map_err(|stop| match stop {
                Stop::TooLarge => Refused::Content(too_large(limit)),
                Stop::Cut(why) => Refused::Cut(why),
                Stop::Unwanted | Stop::EndlessRow => Refused::Content(Problem::internal(stop)),
            })
        };
        (made_out, read)
    }

    /// Reads prices and stages them in this transaction; `rows_read` follows.
    pub(crate) async fn stage(
        self,
        transaction: &mut PgConnection,
        format: Format,
        rows_read: Arc<AtomicU64>,
    ) -> Result<Content, Refused> {
        let mut copy = sql::staging::copy_in(&mut *transaction).await?;
        let (rows, reading) =
            self.start(move |input, limit, take: &mut dyn FnMut(Vec<u8>) -> Result<(), Stop>| {
                parse::read(format, input, limit, &mut |text, rows| {
                    rows_read.store(rows, Ordering::Relaxed);
                    take(text)
                })
            });
        let (content, copied) = tokio::join!(reading, copy_all(&mut copy, rows));
        copied?;
        let mut content = match content {
            Ok(content) => {
                copy.finish().await?;
                content
            }
            Err(refused) => {
                // The connection must leave COPY before the transaction can end.
                copy.abort("the content cannot be used").await.ok();
                return Err(refused);
            }
        };
        let unknown = sql::staging::unknown_ports(transaction, LISTED_FAULTS).await?;
        content.total_faults += unknown.total;
        content.faults.extend(unknown.listed.into_iter().map(|port| {
            let detail = format!("there is no port {}; GET /ports lists them", port.code);
            FieldError::new(port.field, "unknown", detail).at(port.row, Some(port.code))
        }));
        content.faults.sort_by_key(|fault| fault.row);
        content.faults.truncate(LISTED_FAULTS);
        Ok(content)
    }

    /// Puts the content aside as it is, as pieces of this job.
    pub(crate) async fn store(
        self,
        transaction: &mut PgConnection,
        job: i64,
    ) -> Result<(u64, [u8; 32]), Refused> {
        let (pieces, reading) = self.start(cut_into_pieces);
        let (digest, stored) = tokio::join!(reading, store_all(transaction, job, pieces));
        stored?;
        digest
    }
}

/// Sends on what is made; that it stops at an error, and so drops its end, tells the reader to stop as well.
async fn copy_all(
    copy: &mut PgCopyIn<&mut PgConnection>,
    mut rows: mpsc::Receiver<Vec<u8>>,
) -> Result<(), sqlx::Error> {
    while let Some(text) = rows.recv().await {
        copy.send(text).await?;
    }
    Ok(())
}

async fn store_all(
    transaction: &mut PgConnection,
    job: i64,
    mut pieces: mpsc::Receiver<Vec<u8>>,
) -> Result<(), sqlx::Error> {
    let mut number = 0;
    while let Some(piece) = pieces.recv().await {
        number += 1;
        sql::jobs::put_piece(transaction, job, number, &piece).await?;
    }
    Ok(())
}

fn cut_into_pieces(
    input: Box<dyn Read>,
    limit: u64,
    take: &mut dyn FnMut(Vec<u8>) -> Result<(), Stop>,
) -> Result<(u64, [u8; 32]), Stop> {
    let mut input = parse::Metered::new(input, limit);
    loop {
        let mut piece = Vec::with_capacity(STORED_PIECE);
        input.forget_row();
        input
            .by_ref()
            .take(STORED_PIECE as u64)
            .read_to_end(&mut piece)
            .map_err(|error| error.downcast::<Stop>().unwrap_or_else(|error| Stop::Cut(error.to_string())))?;
        if piece.is_empty() {
            return Ok(input.digest());
        }
        take(piece)?;
    }
}

/// Puts what is staged into this batch.
pub(crate) async fn put_in(
    transaction: &mut PgConnection,
    batch: i64,
    rows: u64,
) -> Result<Batch, sqlx::Error> {
    let touched = sql::staging::touched(&mut *transaction).await?;
    sql::staging::put_in(&mut *transaction, batch).await?;
    sql::batches::done(transaction, batch, rows, touched.days, touched.lanes).await
}

/// 422 with the faults of the content.
pub(crate) fn unacceptable(content: Content) -> Problem {
    let detail = match content.total_faults {
        1 => "The content has a fault; nothing was put in.".to_owned(),
        many if many > content.faults.len() as u64 => {
            format!("The content has {many} faults, of which `errors` names the first; nothing was put in.")
        }
        many => format!("The content has {many} faults, `errors` names each; nothing was put in."),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY)
        .kind("unacceptable-prices", "Unacceptable prices")
        .detail(detail)
        .errors(content.faults)
        .member("total", content.total_faults)
        .member("rows", content.rows)
}

fn too_large(limit: u64) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE)
        .detail(format!("The content, unzipped, is larger than {limit} bytes; send it as several batches."))
}

/// The pieces of a stream as a reader, for a thread that may wait.
struct Pieces {
    pieces: mpsc::Receiver<Result<Bytes, String>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(why)) => return Err(Stop::Cut(why).into_io()),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
