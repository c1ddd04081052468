//! Uploads. Content is parsed on a separate thread while it arrives, so that neither waits for the other and memory
//! does not grow with the content.

use std::{
    error::Error,
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use chassis::problem::FieldError;
use futures_util::{Stream, StreamExt};
use sqlx::{PgConnection, postgres::PgCopyIn};
use tokio::{sync::mpsc, task};

use super::{
    error::BatchError,
    parse::{self, Digest, Format, LISTED_FAULTS, Meter, ParsedContent, Progress, ReadError, Rules},
    spool::{PIECE, Spool},
    staging,
};

/// The number of pieces that may wait between two stages: enough to keep both busy.
const WAITING_PIECES: usize = 4;

pub(super) type Cause = Box<dyn Error + Send + Sync>;

/// Content that arrives in pieces.
pub(crate) struct Upload<S> {
    pub(crate) pieces: S,
    /// Whether the pieces are those of a gzip.
    pub(crate) gzip: bool,
    pub(crate) rules: Rules,
}

/// How much of an upload was read, while it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProgressCell(Arc<Mutex<Progress>>);

impl ProgressCell {
    pub(crate) fn get(&self) -> Progress {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, progress: Progress) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

impl<S, E> Upload<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Cause>,
{
    /// Parses the content and stages its rows in this transaction. The faults of the rows are in the result, unknown
    /// ports among them. `progress` is kept up to date.
    pub(crate) async fn stage(
        self,
        transaction: &mut PgConnection,
        format: Format,
        progress: ProgressCell,
    ) -> Result<ParsedContent, BatchError> {
        staging::create(&mut *transaction).await?;
        let mut copy = staging::copy_in(&mut *transaction).await?;
        let (texts, reading) = self.parse_on_thread(format, progress);
        let (content, copied) = tokio::join!(reading, copy_all(&mut copy, texts));
        copied?;
        let mut content = match content {
            Ok(content) => {
                copy.finish().await?;
                content
            }
            Err(error) => {
                // The transaction cannot end while the connection is in COPY.
                copy.abort("the content cannot be used").await.ok();
                return Err(error.into());
            }
        };
        check_ports(transaction, &mut content).await?;
        Ok(content)
    }

    /// Parses the content and spools its rows, for [`stage_spooled`].
    pub(crate) async fn spool_rows(
        self,
        format: Format,
        spool: &mut Spool<'_>,
    ) -> Result<ParsedContent, BatchError> {
        let (texts, reading) = self.parse_on_thread(format, ProgressCell::default());
        let (content, spooled) = tokio::join!(reading, spool.fill(texts));
        spooled?;
        Ok(content?)
    }

    /// Spools the content unparsed.
    pub(crate) async fn spool_content(self, spool: &mut Spool<'_>) -> Result<Digest, BatchError> {
        let (pieces, reading) = self.read_on_thread(cut_into_pieces);
        let (digest, spooled) = tokio::join!(reading, spool.fill(pieces));
        spooled?;
        Ok(digest?)
    }

    /// Parses on a thread; the receiver gets the rows.
    fn parse_on_thread(
        self,
        format: Format,
        progress: ProgressCell,
    ) -> (mpsc::Receiver<Vec<u8>>, impl Future<Output = Result<ParsedContent, ReadError>>) {
        self.read_on_thread(move |input, rules, sink: &mut dyn FnMut(Vec<u8>) -> Result<(), ReadError>| {
            parse::read(format, input, rules, &mut |text, so_far| {
                progress.set(so_far);
                sink(text)
            })
        })
    }

    /// Runs `read` on a thread. The receiver gets what `read` hands to its sink; the future feeds the content to `read`
    /// and ends with its result.
    fn read_on_thread<T, Piece, R>(
        self,
        read: R,
    ) -> (mpsc::Receiver<Piece>, impl Future<Output = Result<T, ReadError>>)
    where
        T: Send + 'static,
        Piece: Send + 'static,
        R: FnOnce(
                Box<dyn Read>,
                &Rules,
                &mut dyn FnMut(Piece) -> Result<(), ReadError>,
            ) -> Result<T, ReadError>
            + Send
            + 'static,
    {
        let (input_sender, input) = mpsc::channel::<Result<Bytes, Cause>>(WAITING_PIECES);
        let (output_sender, output) = mpsc::channel::<Piece>(WAITING_PIECES);
        let Self { mut pieces, gzip, rules } = self;
        let mut left = rules.bytes;
        let thread = task::spawn_blocking(move || {
            let input = parse::decompress(ChannelReader { pieces: input, piece: Bytes::new() }, gzip);
            read(input, &rules, &mut |piece| {
                output_sender.blocking_send(piece).map_err(|_| ReadError::Closed)
            })
        });
        let feeding = async move {
            let mut is_wanted = true;
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(Into::into);
                left = left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
                // When the thread needs no more, the rest is still received: many clients read the answer only after
                // they have sent everything.
                let is_end = piece.is_err();
                is_wanted = is_wanted && input_sender.send(piece).await.is_ok();
                if is_end || (left == 0 && !is_wanted) {
                    break;
                }
            }
            drop(input_sender);
            thread.await.map_err(ReadError::Panicked)?
        };
        (output, feeding)
    }
}

/// Sends the rows to the server. At an error it drops the receiver, which stops the reader.
async fn copy_all(
    copy: &mut PgCopyIn<&mut PgConnection>,
    mut texts: mpsc::Receiver<Vec<u8>>,
) -> Result<(), sqlx::Error> {
    while let Some(text) = texts.recv().await {
        copy.send(text).await?;
    }
    Ok(())
}

/// Stages spooled rows in this transaction, and adds the ports that do not exist to the faults of the content.
pub(crate) async fn stage_spooled(
    transaction: &mut PgConnection,
    spool: &Spool<'_>,
    content: &mut ParsedContent,
) -> Result<(), sqlx::Error> {
    staging::create(&mut *transaction).await?;
    let mut index = 0;
    while let Some(piece) = spool.piece(&mut *transaction, index).await? {
        let mut copy = staging::copy_in(&mut *transaction).await?;
        copy.send(piece).await?;
        copy.finish().await?;
        index += 1;
    }
    check_ports(transaction, content).await
}

fn cut_into_pieces(
    input: Box<dyn Read>,
    rules: &Rules,
    sink: &mut dyn FnMut(Vec<u8>) -> Result<(), ReadError>,
) -> Result<Digest, ReadError> {
    let mut input = Meter::new(input, rules.bytes);
    loop {
        let piece = input.read_piece(PIECE)?;
        if piece.is_empty() {
            return Ok(input.digest());
        }
        sink(piece)?;
    }
}

/// Adds a fault for each port of the staged rows that does not exist.
async fn check_ports(transaction: &mut PgConnection, content: &mut ParsedContent) -> Result<(), sqlx::Error> {
    staging::gather_lanes(&mut *transaction).await?;
    let unknown = staging::find_unknown_ports(transaction, LISTED_FAULTS).await?;
    content.total_faults += unknown.total;
    content.faults.extend(unknown.listed.into_iter().map(|port| {
        let detail = format!("there is no port {}; GET /ports lists all", port.code);
        FieldError::new(port.field, "unknown", detail).at(port.row, Some(port.code))
    }));
    content.faults.sort_by_key(|fault| fault.row);
    content.faults.truncate(LISTED_FAULTS);
    Ok(())
}

/// The pieces of a channel as a reader, for a thread that may block.
struct ChannelReader {
    pieces: mpsc::Receiver<Result<Bytes, Cause>>,
    piece: Bytes,
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(cause)) => return Err(ReadError::Interrupted(cause).into()),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_nobody_reads_is_received_up_to_the_limit() {
        let settings = chassis::testing::settings::<crate::Rates>(&[]).service;
        let rules = Rules { bytes: 50, ..settings.batches.rules() };
        let mut received = 0;
        let pieces = stream::iter(vec![Bytes::from_static(b"ten bytes."); 10]).map(Ok::<_, Cause>);
        let upload = Upload { pieces: pieces.inspect(|_| received += 1), gzip: false, rules };
        let (sender, end) = oneshot::channel();
        let (_, feeding) =
            upload.read_on_thread(move |input, _, _: &mut dyn FnMut(()) -> Result<(), ReadError>| {
                drop(input);
                sender.send(()).unwrap();
                Ok(())
            });
        end.await.unwrap();
        feeding.await.unwrap();
        assert_eq!(received, 5);
    }
}
