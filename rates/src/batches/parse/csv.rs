//! CSV: a header row with the four fields in any order, then a row per price.

use std::{
    borrow::Cow,
    io::{self, BufRead, Read},
};

use super::{
    meter::BUFFER,
    rows::{FIELDS, Numbers, RawValue, Rows},
};
use crate::http::parameters::quoted;

/// Other separators, in files that are not valid CSV.
const WRONG_SEPARATORS: [(char, &str); 3] = [(';', "semicolons"), ('\t', "tabs"), ('|', "vertical bars")];

pub(super) fn read(input: &mut dyn BufRead, rows: &mut Rows<'_>) -> io::Result<()> {
    let start = skip_byte_order_marks(input)?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .has_headers(false)
        .buffer_capacity(BUFFER)
        .from_reader(start.as_slice().chain(input));
    let mut record = csv::ByteRecord::new();
    if !reader.read_byte_record(&mut record).map_err(io_error)? {
        return Ok(());
    }
    let Some(columns) = read_header(&record, rows) else {
        // Without a valid header the meaning of the columns is unknown.
        return Ok(());
    };
    while reader.read_byte_record(&mut record).map_err(io_error)? {
        if record.len() != FIELDS.len() {
            let detail = format!("the row has {} columns; it must have {}", record.len(), FIELDS.len());
            rows.push_broken("wrong_column_count", detail)?;
            continue;
        }
        let fields = columns.map(|column| match std::str::from_utf8(&record[column]) {
            Ok("") => None,
            Ok(text) => Some(RawValue::Text(Cow::Borrowed(text))),
            Err(_) => Some(RawValue::Other("text that is not UTF-8".into())),
        });
        rows.push(&fields, Numbers::Text)?;
    }
    Ok(())
}

/// The column of each field. Everything that is wrong with a header is one fault, because one edit corrects it.
fn read_header(record: &csv::ByteRecord, rows: &mut Rows<'_>) -> Option<[usize; 4]> {
    let header: Vec<Cow<'_, str>> = record.iter().map(String::from_utf8_lossy).collect();
    let columns = FIELDS.map(|field| header.iter().position(|name| *name == field));
    if let ([Some(origin), Some(destination), Some(day), Some(price)], 4) = (columns, header.len()) {
        return Some([origin, destination, day, price]);
    }
    let line = header.join(",");
    let separator = WRONG_SEPARATORS.iter().find(|(separator, _)| line.contains(*separator));
    let wrong = match separator {
        Some((_, name)) => format!("its columns are separated by {name}"),
        None if columns.iter().all(Option::is_none) => "it names no column of prices".to_owned(),
        None => wrong_columns(&header),
    };
    let detail = format!(
        "the first row is {}: {wrong}; the file must be comma-separated and its first row {} in any order",
        quoted(&line),
        FIELDS.join(","),
    );
    rows.content_fault("header", "malformed", detail);
    None
}

/// Names the unexpected columns and the missing ones.
fn wrong_columns(header: &[Cow<'_, str>]) -> String {
    let missing = FIELDS.iter().filter(|field| !header.iter().any(|name| name == *field));
    let mut wrong: Vec<String> = missing.map(|field| format!("{field} is missing")).collect();
    for (position, name) in header.iter().enumerate() {
        if !FIELDS.contains(&&**name) {
            wrong.push(format!("{} is not a column of prices", quoted(name)));
        } else if header[..position].contains(name) {
            wrong.push(format!("{name} appears twice"));
        }
    }
    // Rows may have any number of columns.
    wrong.truncate(8);
    wrong.join(", ")
}

/// Returns the first bytes after the byte order marks that spreadsheets put at the start. The csv crate skips a mark
/// only if all of it is in the first piece that it reads.
fn skip_byte_order_marks(input: &mut dyn BufRead) -> io::Result<Vec<u8>> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    loop {
        let mut start = Vec::with_capacity(MARK.len());
        input.take(MARK.len() as u64).read_to_end(&mut start)?;
        if start != MARK {
            return Ok(start);
        }
    }
}

/// The error of the reader below, which the csv crate wraps.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
