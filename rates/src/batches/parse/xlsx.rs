//! Workbooks of Excel and other spreadsheets: the first sheet, with a header row that names the columns.
//!
//! A workbook is a zip of XML, whose table of contents is at its end, so all of it must be in memory. The sheet itself is
//! decompressed and parsed as a stream; of the rest, the texts of its cells are kept.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Cursor, Read},
    panic::{self, AssertUnwindSafe},
};

use calamine::{DataRef, Reader, Xlsx, XlsxError};
use zip::ZipArchive;

use super::{
    columns::Columns,
    meter::{BUFFER, ReadError},
    rows::{FIELDS, Numbers, RawFields, RawValue, Rows},
};

/// Columns of a header row after this one are ignored.
const MOST_COLUMNS: u32 = 256;

pub(super) fn read(input: &mut dyn Read, rows: &mut Rows<'_>) -> io::Result<()> {
    let limit = rows.rules().sheet_bytes;
    let file = read_file(input, rows, limit)?;
    check_size(&file, limit)?;
    let mut workbook = guarded(|| Xlsx::new(Cursor::new(file)))?;
    let name = workbook.sheet_names().into_iter().next().ok_or_else(|| malformed("it has no sheet"))?;
    let mut cells = guarded(|| workbook.worksheet_cells_reader(&name))?;
    let mut sheet =
        Sheet { columns: None, header: Vec::new(), row: 0, fields: [const { None }; FIELDS.len()] };
    while let Some(cell) = guarded(|| cells.next_cell())? {
        let (row, column) = cell.get_position();
        if let Some(value) = raw_value(cell.get_value())
            && !sheet.add(row, column, value, rows)?
        {
            // Without a valid header the meaning of the columns is unknown.
            return Ok(());
        }
    }
    sheet.end_row(rows).map(drop)
}

fn read_file(input: &mut dyn Read, rows: &Rows<'_>, limit: u64) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    loop {
        // A piece of a workbook is no row, whose length is limited.
        rows.start_row();
        if input.take(BUFFER as u64).read_to_end(&mut file)? == 0 {
            return Ok(file);
        }
        if file.len() as u64 > limit {
            return Err(ReadError::TooLarge(limit).into());
        }
    }
}

/// Unzips all of the workbook once and keeps nothing: a zip may say that it is small.
fn check_size(file: &[u8], limit: u64) -> io::Result<()> {
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(malformed)?;
    let mut left = limit;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(malformed)?;
        let size = io::copy(&mut entry.take(left + 1), &mut io::sink()).map_err(malformed)?;
        left = left.checked_sub(size).ok_or(ReadError::TooLarge(limit))?;
    }
    Ok(())
}

/// The row that is being read.
struct Sheet {
    columns: Option<Columns>,
    header: Vec<Cow<'static, str>>,
    /// The number of the row, from 1; 0 before the first.
    row: u32,
    fields: RawFields<'static>,
}

impl Sheet {
    /// Adds a cell; false if the header is wrong.
    fn add(
        &mut self,
        row: u32,
        column: u32,
        value: RawValue<'static>,
        rows: &mut Rows<'_>,
    ) -> io::Result<bool> {
        let row = row.saturating_add(1);
        if row < self.row {
            return Err(malformed("its rows are not in order"));
        }
        if row > self.row {
            if !self.end_row(rows)? {
                return Ok(false);
            }
            self.row = row;
        }
        if let Some(columns) = self.columns {
            let is_here = |of_field: &Option<usize>| *of_field == usize::try_from(column).ok();
            if let Some(field) = columns.of_field.iter().position(is_here) {
                self.fields[field] = Some(value);
            }
        } else if column < MOST_COLUMNS {
            let column = column as usize;
            self.header.resize(self.header.len().max(column + 1), Cow::Borrowed(""));
            self.header[column] = Cow::Owned(value.shown());
        }
        Ok(true)
    }

    fn end_row(&mut self, rows: &mut Rows<'_>) -> io::Result<bool> {
        if self.row == 0 {
            return Ok(true);
        }
        rows.move_to(u64::from(self.row));
        if self.columns.is_none() {
            let names = rows.rules().column_names.clone();
            self.columns = Columns::read(&self.header, &names, rows);
            return Ok(self.columns.is_some());
        }
        let fields = std::mem::replace(&mut self.fields, [const { None }; FIELDS.len()]);
        // What stands beside the table is no row of it.
        if fields.iter().any(Option::is_some) {
            rows.push(&fields, Numbers::Text)?;
        }
        Ok(true)
    }
}

/// The value of a cell as a text of a CSV file would be; none for an empty one.
fn raw_value(cell: &DataRef<'_>) -> Option<RawValue<'static>> {
    Some(match cell {
        DataRef::Empty => return None,
        DataRef::String(text) => return text_value(text),
        DataRef::SharedString(text) => return text_value(text),
        DataRef::Int(number) => RawValue::Integer(*number),
        DataRef::Float(number) => float_value(*number),
        DataRef::DateTime(time) if time.is_datetime() => {
            let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
            let day = format!("{year:04}-{month:02}-{day:02}");
            if (hour, minute, second, milli) == (0, 0, 0, 0) {
                RawValue::Text(day.into())
            } else {
                RawValue::Other(format!("{day} {hour:02}:{minute:02}:{second:02}").into())
            }
        }
        DataRef::DateTime(time) => float_value(time.as_f64()),
        DataRef::DateTimeIso(text) => {
            RawValue::Text(text.strip_suffix("T00:00:00").unwrap_or(text).to_owned().into())
        }
        DataRef::DurationIso(text) => RawValue::Other(text.clone().into()),
        DataRef::Bool(value) => RawValue::Other(value.to_string().into()),
        DataRef::Error(error) => RawValue::Other(error.to_string().into()),
    })
}

fn text_value(text: &str) -> Option<RawValue<'static>> {
    let text = text.trim();
    (!text.is_empty()).then(|| RawValue::Text(text.to_owned().into()))
}

/// Workbooks have no whole numbers, only doubles.
fn float_value(number: f64) -> RawValue<'static> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "below 2^53 a double without a fraction is an integer"
    )]
    if number.fract() == 0.0 && number.abs() < 9e15 {
        RawValue::Integer(number as i64)
    } else {
        RawValue::Other(number.to_string().into())
    }
}

/// Runs a part of `calamine`, which panics at some damaged workbooks. Nothing is used of it afterwards.
fn guarded<T>(read: impl FnOnce() -> Result<T, XlsxError>) -> io::Result<T> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(read));
    outcome.map_err(|_| malformed("it is damaged"))?.map_err(malformed)
}

fn malformed(error: impl fmt::Display) -> io::Error {
    io::Error::other(format!("the workbook cannot be read: {error}"))
}
