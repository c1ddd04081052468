//! Prices as CSV: a header row with the four columns in any order.

use std::io::BufRead;

use super::{Copy, LoadError};

const COLUMNS: [&str; 4] = ["orig_code", "dest_code", "day", "price"];

pub(super) async fn copy_prices(input: &mut dyn BufRead, copy: &mut Copy<'_>) -> Result<(), LoadError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let header = reader.byte_headers().map_err(wrong)?.clone();
    let mut positions = [0; 4];
    for (position, column) in positions.iter_mut().zip(COLUMNS) {
        let mut found = (0..header.len()).filter(|index| &header[*index] == column.as_bytes());
        *position =
            found.next().ok_or_else(|| format_error(1, format!("the header has no column {column}")))?;
        if found.next().is_some() {
            return Err(format_error(1, format!("the header has the column {column} twice")));
        }
    }
    let mut record = csv::ByteRecord::new();
    let mut row = Vec::new();
    while reader.read_byte_record(&mut record).map_err(wrong)? {
        row.clear();
        for (index, position) in positions.into_iter().enumerate() {
            if index > 0 {
                row.push(b'\t');
            }
            for byte in &record[position] {
                // What COPY's text format would read as something else. None of these can be in a right value.
                if matches!(byte, b'\t' | b'\n' | b'\r' | b'\\') {
                    let line = record.position().map_or(0, csv::Position::line);
                    return Err(format_error(line, format!("{} has a control character", COLUMNS[index])));
                }
                row.push(*byte);
            }
        }
        copy.row(&row).await?;
    }
    Ok(())
}

fn format_error(line: u64, reason: String) -> LoadError {
    LoadError::Format { line, reason }
}

fn wrong(error: csv::Error) -> LoadError {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(error) => LoadError::Input(error),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format_error(line, format!("{len} columns where {expected_len} are due"))
        }
        csv::ErrorKind::Utf8 { .. } => format_error(line, "a text that is not UTF-8".into()),
        other => format_error(line, format!("{other:?}")),
    }
}
