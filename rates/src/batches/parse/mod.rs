//! Reads prices as JSON, NDJSON, CSV and XLSX, row by row. A bad row does not hide later ones: reading stops only where the
//! format itself breaks, as in JSON that is cut off or a damaged gzip, or after very many faults.

mod columns;
mod csv;
mod format;
mod json;
mod meter;
mod rows;
mod xlsx;

use std::{
    io::{BufReader, Read},
    sync::Arc,
};

use chassis::problem::FieldError;

pub use columns::ColumnNames;
pub use format::Format;
pub(super) use meter::Meter;
pub use meter::{Digest, ReadError, decompress};
use rows::Rows;

/// The maximum number of faults that are listed; further ones are only counted.
pub const LISTED_FAULTS: usize = 100;

/// Reading stops after this many faults: a few hundred kilobytes of gzip can hold millions.
pub const MOST_FAULTS: u64 = 1000;

/// What content may have.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The most bytes, without compression.
    pub bytes: u64,
    /// The most bytes of a workbook, unzipped.
    pub sheet_bytes: u64,
    /// The most prices; each day of a window is one.
    pub prices: u64,
    /// The most days from `valid_from` to `valid_to`, both included.
    pub window_days: u32,
    /// How many days in the future a day may be.
    pub days_ahead: u32,
    /// The highest price in US dollars.
    pub max_price: i32,
    /// Further names of columns.
    pub column_names: Arc<ColumnNames>,
}

impl Rules {
    /// The same for the content of this supplier, who may have names of columns of its own.
    #[must_use]
    pub fn of_supplier(self, supplier: &str) -> Self {
        Self { column_names: Arc::new(self.column_names.of(supplier)), ..self }
    }

    /// The same for content whose size was limited before, or need not be.
    #[must_use]
    pub fn of_any_size(self) -> Self {
        Self { bytes: u64::MAX, ..self }
    }

    /// The same for files of the operator, who decides what is in them.
    #[must_use]
    pub fn of_operator(self) -> Self {
        Self { prices: u64::MAX, days_ahead: u32::MAX, max_price: i32::MAX, ..self.of_any_size() }
    }
}

/// How much was read so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows, good and bad.
    pub rows: u64,
    /// Bytes, without compression.
    pub bytes: u64,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedContent {
    /// The number of rows, good and bad.
    pub rows: u64,
    /// The number of the last row, as a spreadsheet shows it.
    pub last_row: u64,
    /// The number of prices in the good rows.
    pub prices: u64,
    /// Size and hash of the content; if the format is broken, of the part before.
    pub digest: Digest,
    /// The first faults, by row.
    pub faults: Vec<FieldError>,
    /// The number of all faults, so far as the content was read.
    pub total_faults: u64,
    /// Whether there were so many faults that the rest was not read.
    pub stopped: bool,
}

/// Reads all of `input` (not compressed) and passes its prices to `sink` in COPY's text format: the number of the row,
/// then origin, destination, day and price, null for those that are wrong.
///
/// Rows of sheets are numbered as spreadsheets show them: the header is row 1. Rows of NDJSON are numbered by line, those
/// of JSON by their place in the array, from 1.
pub fn read(
    format: Format,
    input: impl Read,
    rules: &Rules,
    sink: &mut dyn FnMut(Vec<u8>, Progress) -> Result<(), ReadError>,
) -> Result<ParsedContent, ReadError> {
    let mut input = Meter::new(input, rules.bytes);
    let mut rows = Rows::new(sink, input.position(), rules);
    let mut buffered = BufReader::with_capacity(meter::BUFFER, &mut input);
    let outcome = match format {
        Format::Json => json::read_document(&mut buffered, &mut rows),
        Format::Ndjson => json::read_lines(&mut buffered, &mut rows),
        Format::Csv => csv::read(&mut buffered, &mut rows),
        Format::Xlsx => xlsx::read(&mut buffered, &mut rows),
    };
    if let Err(error) = outcome
        && !rows.stopped()
    {
        match ReadError::try_from(error) {
            Ok(error @ ReadError::RowTooLong) => rows.row_fault("content", "too_long", error.to_string()),
            Ok(error @ ReadError::TooManyPrices(_)) => {
                rows.row_fault("content", "too_many_prices", error.to_string());
            }
            Ok(error) => return Err(error),
            Err(malformed) => rows.row_fault("content", "malformed", malformed.to_string()),
        }
    }
    let read = rows.finish()?;
    Ok(ParsedContent { digest: input.digest(), ..read })
}
