//! CSV as spreadsheets write it: separated by commas, semicolons or tabs, with a header row that names the columns.

use std::{
    borrow::Cow,
    io::{self, BufRead},
};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{
    columns::{Columns, known_columns},
    rows::{Numbers, RawValue, Rows},
};

/// The first wins where a header has none of them.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

pub(super) fn read(input: &mut dyn BufRead, rows: &mut Rows<'_>) -> io::Result<()> {
    let mut records = Records::new(input);
    let names = rows.rules().column_names.clone();
    if !records.read_first_line(rows)? {
        return Ok(());
    }
    let separator = SEPARATORS
        .into_iter()
        .rev()
        .max_by_key(|separator| known_columns(fields_of_line(&records.line, *separator), &names))
        .unwrap_or(SEPARATORS[0]);
    records.reader = reader(separator);
    if !records.next(rows)? {
        return Ok(());
    }
    let header: Vec<_> = records.fields().map(String::from_utf8_lossy).collect();
    // Without a valid header the meaning of the columns is unknown.
    let Some(columns) = Columns::read(&header, &names, rows) else {
        return Ok(());
    };
    drop(header);
    rows.skip_row();
    while records.next(rows)? {
        let fields: Vec<&[u8]> = records.fields().collect();
        let filled = fields.iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1);
        if filled == 0 {
            // What spreadsheets write for an empty row.
            rows.skip_row();
            continue;
        }
        if fields.len() < columns.count || filled > columns.count {
            let count = if filled > columns.count { filled } else { fields.len() };
            let detail = format!("the row has {count} columns; the header has {}", columns.count);
            rows.push_broken("wrong_column_count", detail)?;
            continue;
        }
        let fields = columns.of_field.map(|column| match std::str::from_utf8(fields[column?]) {
            Ok("") => None,
            Ok(text) => Some(RawValue::Text(Cow::Borrowed(text))),
            Err(_) => Some(RawValue::Other("text that is not UTF-8".into())),
        });
        rows.push(&fields, Numbers::Text)?;
    }
    Ok(())
}

fn reader(separator: u8) -> Reader {
    ReaderBuilder::new().delimiter(separator).build()
}

/// The fields of a line, for finding the separator.
fn fields_of_line(line: &[u8], separator: u8) -> impl Iterator<Item = Cow<'_, str>> {
    line.split(move |byte| *byte == separator).map(|field| String::from_utf8_lossy(field.trim_ascii())).map(
        |field| match field {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches('"')),
            Cow::Owned(text) => Cow::Owned(text.trim_matches('"').to_owned()),
        },
    )
}

/// Splits the input into records, line by line, so that empty lines count as rows, as a spreadsheet shows them.
struct Records<'a> {
    input: &'a mut dyn BufRead,
    reader: Reader,
    line: Vec<u8>,
    /// How much of the line was read.
    position: usize,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// The number of fields of the record.
    count: usize,
}

impl<'a> Records<'a> {
    fn new(input: &'a mut dyn BufRead) -> Self {
        Self {
            input,
            reader: reader(SEPARATORS[0]),
            line: Vec::new(),
            position: 0,
            text: vec![0; 1024],
            ends: vec![0; 32],
            count: 0,
        }
    }

    /// Reads the first line that is not empty, without the byte order marks that spreadsheets put at the start; false at
    /// the end of the input.
    fn read_first_line(&mut self, rows: &mut Rows<'_>) -> io::Result<bool> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        while self.read_line()? {
            while self.line.starts_with(MARK) {
                self.line.drain(..MARK.len());
            }
            if !is_line_end(&self.line) {
                return Ok(true);
            }
            rows.skip_row();
        }
        Ok(false)
    }

    /// False at the end of the input.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.position = 0;
        Ok(self.input.read_until(b'\n', &mut self.line)? > 0)
    }

    /// Reads the next record; false at the end of the input.
    fn next(&mut self, rows: &mut Rows<'_>) -> io::Result<bool> {
        let (mut length, mut count, mut has_started) = (0, 0, false);
        loop {
            if self.position == self.line.len() {
                self.read_line()?;
            }
            let rest = &self.line[self.position..];
            if !has_started && !rest.is_empty() && is_line_end(rest) {
                self.position = self.line.len();
                rows.skip_row();
                continue;
            }
            has_started = true;
            let (result, read, written, ended) =
                self.reader.read_record(rest, &mut self.text[length..], &mut self.ends[count..]);
            self.position += read;
            length += written;
            count += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    // The second byte of the line end is no empty line.
                    if self.line[self.position..] == *b"\n" {
                        self.position = self.line.len();
                    }
                    self.count = count;
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    /// The fields of the record, trimmed.
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let ends = &self.ends[..self.count];
        let starts = [0].into_iter().chain(ends.iter().copied());
        starts.zip(ends).map(|(start, end)| self.text[start..*end].trim_ascii())
    }
}

/// Whether a rest of a line has nothing but its end.
fn is_line_end(rest: &[u8]) -> bool {
    rest.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}
