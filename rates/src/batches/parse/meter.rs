//! Measures and limits of content: its size, its hash, and the length of rows.

use std::{
    cell::Cell,
    error::Error,
    fmt,
    io::{self, BufReader, Read},
    rc::Rc,
};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

/// A valid row has some fifty bytes. Without a limit, an endless value would fill the memory.
const LONGEST_ROW: u64 = 1 << 20;

/// The size of buffers, and the approximate size of the pieces in which rows are passed on.
pub(super) const BUFFER: usize = 128 * 1024;

/// Why reading stopped before the end of the content.
#[derive(Debug)]
pub enum ReadError {
    /// The content is larger than this limit, in bytes without compression.
    TooLarge(u64),
    /// The content ended before it was complete.
    Interrupted(Box<dyn Error + Send + Sync>),
    /// The content cannot be decompressed.
    Damaged(io::Error),
    /// A row is too long.
    RowTooLong,
    /// There are more prices than this.
    TooManyPrices(u64),
    /// There are so many faults that the rest need not be read.
    TooManyFaults,
    /// The receiver of the rows is gone.
    Closed,
    /// The thread that read panicked.
    Panicked(tokio::task::JoinError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(limit) => write!(f, "the content is larger than {limit} bytes"),
            Self::Interrupted(_) => f.write_str("the content ended before it was complete"),
            Self::Damaged(_) => f.write_str("the content cannot be decompressed"),
            Self::RowTooLong => write!(f, "a row is longer than {LONGEST_ROW} bytes"),
            Self::TooManyPrices(limit) => write!(
                f,
                "the content has more than {limit} prices, each day of a window counted; split it into several batches"
            ),
            Self::TooManyFaults => f.write_str("the content has too many faults"),
            Self::Closed => f.write_str("the receiver of the rows is gone"),
            Self::Panicked(_) => f.write_str("the reader panicked"),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Interrupted(source) => Some(&**source),
            Self::Damaged(source) => Some(source),
            Self::Panicked(source) => Some(source),
            _ => None,
        }
    }
}

/// Wraps the error for parsers, which only support I/O errors. [`ReadError::try_from`] unwraps it.
impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        Self::other(error)
    }
}

/// Returns an I/O error that is no [`ReadError`] unchanged: it says what is wrong with the content.
impl TryFrom<io::Error> for ReadError {
    type Error = io::Error;

    fn try_from(error: io::Error) -> Result<Self, io::Error> {
        error.downcast()
    }
}

/// The size of content in bytes, without compression, and its SHA-256.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    /// The number of bytes.
    pub bytes: u64,
    /// Their hash.
    pub sha256: [u8; 32],
}

/// The position of a reader; shared with the parser, which marks the rows.
#[derive(Debug, Default)]
pub(super) struct Position {
    bytes: Cell<u64>,
    row_start: Cell<u64>,
}

impl Position {
    /// Notes that a new row starts here.
    pub(super) fn start_row(&self) {
        self.row_start.set(self.bytes.get());
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}

/// Counts, hashes and limits uncompressed content on its way to a parser.
pub(in crate::batches) struct Meter<R> {
    input: R,
    hash: Sha256,
    limit: u64,
    position: Rc<Position>,
}

impl<R: Read> Meter<R> {
    /// Lets at most `limit` bytes of `input` pass.
    pub(in crate::batches) fn new(input: R, limit: u64) -> Self {
        Self { input, hash: Sha256::new(), limit, position: Rc::default() }
    }

    pub(super) fn position(&self) -> Rc<Position> {
        Rc::clone(&self.position)
    }

    /// Size and hash so far.
    pub(in crate::batches) fn digest(self) -> Digest {
        Digest { bytes: self.position.bytes.get(), sha256: self.hash.finalize().into() }
    }

    /// Reads up to `size` bytes, whatever rows they belong to; empty at the end.
    pub(in crate::batches) fn read_piece(&mut self, size: usize) -> Result<Vec<u8>, ReadError> {
        let mut piece = Vec::with_capacity(size);
        self.position.start_row();
        self.by_ref()
            .take(size as u64)
            .read_to_end(&mut piece)
            .map_err(|error| ReadError::try_from(error).unwrap_or_else(ReadError::Damaged))?;
        Ok(piece)
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hash.update(&buffer[..count]);
        let bytes = self.position.bytes.get() + count as u64;
        self.position.bytes.set(bytes);
        if bytes > self.limit {
            return Err(ReadError::TooLarge(self.limit).into());
        }
        // The parser marks rows when it has parsed them, which may be a buffer later than they were read.
        if bytes - self.position.row_start.get() > LONGEST_ROW + BUFFER as u64 {
            return Err(ReadError::RowTooLong.into());
        }
        Ok(count)
    }
}

/// The content without compression.
pub fn decompress<'a>(input: impl Read + 'a, gzip: bool) -> Box<dyn Read + 'a> {
    if gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, input)))
    } else {
        Box::new(input)
    }
}
