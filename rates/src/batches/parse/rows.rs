//! The rules for a row of prices, the same in every format.

use std::{borrow::Cow, rc::Rc};

use chassis::problem::FieldError;
use chrono::{Days, NaiveDate, Utc};

use super::{
    LISTED_FAULTS, MOST_FAULTS,
    meter::{BUFFER, Position, ReadError},
};
use crate::{
    http::parameters::{Fault, is_code, parse_day, quoted},
    settings::BatchSettings,
};

/// The fields of a row, in the order in which they are written for COPY.
pub(super) const FIELDS: [&str; 4] = ["orig_code", "dest_code", "day", "price"];

/// The value of a field before it is checked.
pub(super) enum RawValue<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    /// A value of the wrong type, as messages show it.
    Other(Cow<'static, str>),
}

impl RawValue<'_> {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => shown(text),
            Self::Integer(number) => number.to_string(),
            Self::Other(shown) => shown.to_string(),
        }
    }
}

/// The client's text for a fault: truncated if it is long, control characters escaped.
fn shown(text: &str) -> String {
    quoted(text).trim_matches('"').to_owned()
}

pub(super) type RawFields<'a> = [Option<RawValue<'a>>; 4];

/// Whether a format has numbers, or only texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    Typed,
    Text,
}

/// What a price and its day may be at most, so that a slip of the pen does not move every chart.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The last day.
    pub last_day: NaiveDate,
    /// The highest price in US dollars.
    pub max_price: i32,
}

impl Bounds {
    /// What the tables can hold.
    pub const WIDEST: Self =
        Self { last_day: NaiveDate::from_ymd_opt(9999, 12, 31).expect("a day"), max_price: i32::MAX };

    /// Those of batches that come in today.
    #[must_use]
    pub fn of_batches(settings: &BatchSettings) -> Self {
        let last_day = Utc::now().date_naive() + Days::new(settings.max_days_ahead.into());
        Self { last_day, max_price: settings.max_price }
    }

    fn check_day(self, day: NaiveDate) -> Result<(), Fault> {
        if day <= self.last_day {
            return Ok(());
        }
        Err(("out_of_range", format!("{day} is too far in the future; the last day is {}", self.last_day)))
    }

    fn check_price(self, price: i64) -> Result<(), Fault> {
        if (1..=i64::from(self.max_price)).contains(&price) {
            return Ok(());
        }
        Err(("out_of_range", format!("a price is from 1 to {}", self.max_price)))
    }
}

/// Receives rows in COPY's text format, with the number of rows so far.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Vec<u8>, u64) -> Result<(), ReadError>;

/// Checks rows, writes them in COPY's text format and collects their faults.
pub(super) struct Rows<'a> {
    sink: Sink<'a>,
    position: Rc<Position>,
    bounds: Bounds,
    text: Vec<u8>,
    count: u64,
    faults: Vec<FieldError>,
    total_faults: u64,
}

impl<'a> Rows<'a> {
    pub(super) fn new(sink: Sink<'a>, position: Rc<Position>, bounds: Bounds) -> Self {
        let text = Vec::with_capacity(BUFFER + 1024);
        Self { sink, position, bounds, text, count: 0, faults: Vec::new(), total_faults: 0 }
    }

    /// The number of the row that is being read.
    pub(super) fn next_number(&self) -> u64 {
        self.count + 1
    }

    /// Adds a fault of the content as a whole.
    pub(super) fn content_fault(&mut self, field: &str, code: &'static str, detail: impl Into<String>) {
        self.add_fault(|| FieldError::new(shown(field), code, detail));
    }

    /// Adds a fault of the row that is being read.
    pub(super) fn row_fault(&mut self, field: &str, code: &'static str, detail: impl Into<String>) {
        let number = self.next_number();
        self.add_fault(|| FieldError::new(shown(field), code, detail).at(number, None));
    }

    fn add_fault(&mut self, fault: impl FnOnce() -> FieldError) {
        self.total_faults += 1;
        if self.faults.len() < LISTED_FAULTS {
            self.faults.push(fault());
        }
    }

    /// Whether there are so many faults that the rest need not be read.
    pub(super) fn stopped(&self) -> bool {
        self.total_faults >= MOST_FAULTS
    }

    /// Ends a row whose fields cannot be determined.
    pub(super) fn push_broken(
        &mut self,
        code: &'static str,
        detail: impl Into<String>,
    ) -> Result<(), ReadError> {
        self.row_fault("row", code, detail);
        self.end_row()
    }

    /// Ends a row with these fields. A faulty value becomes null, so that the staged row can be checked further.
    pub(super) fn push(&mut self, fields: &RawFields<'_>, numbers: Numbers) -> Result<(), ReadError> {
        let number = self.next_number();
        self.text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        for (name, value) in FIELDS.into_iter().zip(fields) {
            self.text.push(b'\t');
            let start = self.text.len();
            let checked = match value {
                Some(value) => write_value(&mut self.text, name, value, numbers, self.bounds),
                None => Err(("missing", format!("{name} is missing"))),
            };
            if let Err((code, detail)) = checked {
                self.text.truncate(start);
                self.text.extend_from_slice(b"\\N");
                let value = value.as_ref().map(RawValue::shown);
                self.add_fault(|| FieldError::new(name, code, detail).at(number, value));
            }
        }
        self.text.push(b'\n');
        self.end_row()
    }

    fn end_row(&mut self) -> Result<(), ReadError> {
        self.count += 1;
        self.position.start_row();
        if self.stopped() {
            return Err(ReadError::TooManyFaults);
        }
        if self.text.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ReadError> {
        let text = std::mem::replace(&mut self.text, Vec::with_capacity(BUFFER + 1024));
        (self.sink)(text, self.count)
    }

    /// Passes on the last rows.
    pub(super) fn finish(mut self) -> Result<(u64, Vec<FieldError>, u64, bool), ReadError> {
        self.flush()?;
        if self.count == 0 && self.total_faults == 0 {
            self.content_fault("content", "missing", "the content has no prices");
        }
        let stopped = self.stopped();
        Ok((self.count, self.faults, self.total_faults, stopped))
    }
}

/// Checks a value and writes it. Valid values have no character that is special to COPY.
fn write_value(
    text: &mut Vec<u8>,
    name: &str,
    value: &RawValue<'_>,
    numbers: Numbers,
    bounds: Bounds,
) -> Result<(), Fault> {
    match name {
        "price" => {
            let price = parse_price(value, numbers)?;
            bounds.check_price(price)?;
            text.extend_from_slice(itoa::Buffer::new().format(price).as_bytes());
        }
        "day" => {
            let RawValue::Text(day) = value else {
                return Err(malformed(value, "a day like 2021-01-31"));
            };
            bounds.check_day(parse_day(day)?)?;
            text.extend_from_slice(day.as_bytes());
        }
        _ => match value {
            RawValue::Text(code) if is_code(code) => {
                text.extend_from_slice(code.as_bytes());
            }
            _ => return Err(malformed(value, "a port code like CNGGZ")),
        },
    }
    Ok(())
}

fn parse_price(value: &RawValue<'_>, numbers: Numbers) -> Result<i64, Fault> {
    match value {
        RawValue::Integer(price) => Ok(*price),
        RawValue::Text(digits)
            if numbers == Numbers::Text
                && !digits.is_empty()
                && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            // More digits than fit are out of range, like a number that is too large.
            Ok(digits.parse().unwrap_or(i64::MAX))
        }
        _ => Err(malformed(value, "a whole number of dollars")),
    }
}

fn malformed(value: &RawValue<'_>, right: &str) -> Fault {
    ("malformed", format!("{} is not {right}", value.shown()))
}
