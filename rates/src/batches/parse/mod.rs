//! Reads prices as JSON, NDJSON and CSV, row by row. A bad row does not hide later ones: reading stops only where the
//! format itself breaks, as in JSON that is cut off or a damaged gzip, or after very many faults.

mod csv;
mod format;
mod json;
mod meter;
mod rows;

use std::io::{BufReader, Read};

use chassis::problem::FieldError;

pub use format::Format;
pub(super) use meter::Meter;
pub use meter::{Digest, ReadError, decompress};
pub use rows::Bounds;
use rows::Rows;

/// The maximum number of faults that are listed; further ones are only counted.
pub const LISTED_FAULTS: usize = 100;

/// Reading stops after this many faults: a few hundred kilobytes of gzip can hold millions.
pub const MOST_FAULTS: u64 = 1000;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The number of rows, good and bad.
    pub rows: u64,
    /// Size and hash of the content; if the format is broken, of the part before.
    pub digest: Digest,
    /// The first faults, by row.
    pub faults: Vec<FieldError>,
    /// The number of all faults, so far as the content was read.
    pub total_faults: u64,
    /// Whether there were so many faults that the rest was not read.
    pub stopped: bool,
}

/// Reads all of `input` (not compressed) and passes the rows to `sink` in COPY's text format: the number of the row,
/// then the four fields, null for those that are wrong.
pub fn read(
    format: Format,
    input: impl Read,
    limit: u64,
    bounds: Bounds,
    sink: &mut dyn FnMut(Vec<u8>, u64) -> Result<(), ReadError>,
) -> Result<Content, ReadError> {
    let mut input = Meter::new(input, limit);
    let mut rows = Rows::new(sink, input.position(), bounds);
    let mut buffered = BufReader::with_capacity(meter::BUFFER, &mut input);
    let outcome = match format {
        Format::Json => json::read_document(&mut buffered, &mut rows),
        Format::Ndjson => json::read_lines(&mut buffered, &mut rows),
        Format::Csv => csv::read(&mut buffered, &mut rows),
    };
    if let Err(error) = outcome
        && !rows.stopped()
    {
        match ReadError::try_from(error) {
            Ok(error @ ReadError::RowTooLong) => rows.row_fault("content", "too_long", error.to_string()),
            Ok(error) => return Err(error),
            Err(malformed) => rows.row_fault("content", "malformed", malformed.to_string()),
        }
    }
    let (rows, faults, total_faults, stopped) = rows.finish()?;
    Ok(Content { rows, digest: input.digest(), faults, total_faults, stopped })
}
