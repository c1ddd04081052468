//! The rules for a row of prices, the same in every format.

use std::{borrow::Cow, rc::Rc};

use chassis::problem::FieldError;
use chrono::{Days, NaiveDate, Utc};

use super::{
    LISTED_FAULTS, MOST_FAULTS, ParsedContent, Progress, Rules,
    meter::{BUFFER, Digest, Position, ReadError},
};
use crate::values::{Fault, is_code, parse_day, quoted, write_day};

/// The fields of a row. The last two stand in place of the day.
pub(super) const FIELDS: [&str; 6] = ["orig_code", "dest_code", "day", "price", "valid_from", "valid_to"];

/// The value of a field before it is checked.
pub(super) enum RawValue<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    /// A value of the wrong type, as messages show it.
    Other(Cow<'static, str>),
}

impl RawValue<'_> {
    pub(super) fn shown(&self) -> String {
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

pub(super) type RawFields<'a> = [Option<RawValue<'a>>; FIELDS.len()];

/// Whether a format has numbers, or only texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    Typed,
    Text,
}

/// Receives prices in COPY's text format, and how much was read so far.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Vec<u8>, Progress) -> Result<(), ReadError>;

/// Checks rows, writes them in COPY's text format and collects their faults.
pub(super) struct Rows<'a> {
    sink: Sink<'a>,
    position: Rc<Position>,
    rules: &'a Rules,
    last_day: NaiveDate,
    text: Vec<u8>,
    count: u64,
    /// The number of the row that is being read.
    number: u64,
    prices: u64,
    faults: Vec<FieldError>,
    total_faults: u64,
}

impl<'a> Rows<'a> {
    pub(super) fn new(sink: Sink<'a>, position: Rc<Position>, rules: &'a Rules) -> Self {
        let text = Vec::with_capacity(BUFFER + 1024);
        let faults = Vec::new();
        let last_day = Utc::now().date_naive().checked_add_days(Days::new(rules.days_ahead.into()));
        let last_day = last_day.unwrap_or(NaiveDate::MAX);
        Self {
            sink,
            position,
            rules,
            last_day,
            text,
            count: 0,
            number: 1,
            prices: 0,
            faults,
            total_faults: 0,
        }
    }

    pub(super) fn rules(&self) -> &'a Rules {
        self.rules
    }

    /// Notes that what follows belongs to another row than what was read.
    pub(super) fn start_row(&self) {
        self.position.start_row();
    }

    /// Sets the number of the row that is being read.
    pub(super) fn move_to(&mut self, number: u64) {
        self.number = number;
    }

    /// Counts a row without a price: a header or an empty row.
    pub(super) fn skip_row(&mut self) {
        self.number += 1;
        self.position.start_row();
    }

    /// Adds a fault of the content as a whole.
    pub(super) fn content_fault(&mut self, field: &str, code: &'static str, detail: impl Into<String>) {
        self.add_fault(|| FieldError::new(shown(field), code, detail));
    }

    /// Adds a fault of the row that is being read.
    pub(super) fn row_fault(&mut self, field: &str, code: &'static str, detail: impl Into<String>) {
        let number = self.number;
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
        let [origin, destination, day, price, from, to] = fields;
        let origin = self.check("orig_code", origin.as_ref(), parse_port);
        let destination = self.check("dest_code", destination.as_ref(), parse_port);
        let days = self.check_days([day, from, to].map(Option::as_ref), numbers);
        let max_price = self.rules.max_price;
        let price = self.check("price", price.as_ref(), |value| parse_price(value, numbers, max_price));
        let count = days.map_or(1, |(first, last)| (last - first).num_days().unsigned_abs() + 1);
        self.prices += count;
        if self.prices > self.rules.prices {
            return Err(ReadError::TooManyPrices(self.rules.prices));
        }
        let mut days = days.map(|(first, last)| first.iter_days().take_while(move |day| *day <= last));
        for _ in 0..count {
            let day = days.as_mut().and_then(Iterator::next);
            self.write(origin, destination, day, price);
        }
        self.end_row()
    }

    /// Checks a value that a row must have; at a fault there is none.
    fn check<'v, T>(
        &mut self,
        field: &'static str,
        value: Option<&'v RawValue<'_>>,
        parse: impl FnOnce(&'v RawValue<'_>) -> Result<T, Fault>,
    ) -> Option<T> {
        let parsed = value.ok_or_else(|| ("missing", format!("{field} is missing"))).and_then(parse);
        parsed.map_err(|(code, detail)| self.value_fault(field, value, code, detail)).ok()
    }

    /// The first and the last day of a row.
    fn check_days(
        &mut self,
        [day, from, to]: [Option<&RawValue<'_>>; 3],
        numbers: Numbers,
    ) -> Option<(NaiveDate, NaiveDate)> {
        let last_day = self.last_day;
        let parse = |value: &RawValue<'_>| parse_day_value(value, numbers, last_day);
        if from.is_none() && to.is_none() {
            return self.check("day", day, parse).map(|day| (day, day));
        }
        if day.is_some() {
            let detail = "a row has day, or valid_from and valid_to, not all of them".to_owned();
            self.value_fault("day", day, "conflicting", detail);
            return None;
        }
        let first = self.check("valid_from", from, parse);
        let last = self.check("valid_to", to, parse);
        let (first, last) = (first?, last?);
        let most = self.rules.window_days;
        let fault = if last < first {
            ("out_of_order", format!("valid_to is before valid_from ({first})"))
        } else if (last - first).num_days() >= i64::from(most) {
            ("out_of_range", format!("there are more than {most} days from valid_from to valid_to"))
        } else {
            return Some((first, last));
        };
        self.value_fault("valid_to", to, fault.0, fault.1);
        None
    }

    fn value_fault(
        &mut self,
        field: &'static str,
        value: Option<&RawValue<'_>>,
        code: &'static str,
        detail: String,
    ) {
        let number = self.number;
        let value = value.map(RawValue::shown);
        self.add_fault(|| FieldError::new(field, code, detail).at(number, value));
    }

    /// Writes a price for COPY. Valid values have no character that is special to it.
    fn write(
        &mut self,
        origin: Option<&str>,
        destination: Option<&str>,
        day: Option<NaiveDate>,
        price: Option<i64>,
    ) {
        const NULL: &[u8] = b"\\N";
        let text = &mut self.text;
        text.extend_from_slice(itoa::Buffer::new().format(self.number).as_bytes());
        for code in [origin, destination] {
            text.push(b'\t');
            text.extend_from_slice(code.map_or(NULL, str::as_bytes));
        }
        text.push(b'\t');
        match day {
            Some(day) => write_day(text, day),
            None => text.extend_from_slice(NULL),
        }
        text.push(b'\t');
        match price {
            Some(price) => text.extend_from_slice(itoa::Buffer::new().format(price).as_bytes()),
            None => text.extend_from_slice(NULL),
        }
        text.push(b'\n');
    }

    fn end_row(&mut self) -> Result<(), ReadError> {
        self.count += 1;
        self.number += 1;
        self.position.start_row();
        if self.stopped() {
            return Err(ReadError::TooManyFaults);
        }
        if self.text.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ReadError> {
        let text = std::mem::replace(&mut self.text, Vec::with_capacity(BUFFER + 1024));
        (self.sink)(text, Progress { rows: self.count, bytes: self.position.bytes() })
    }

    /// Passes on the last rows. The digest of the result is not known here.
    pub(super) fn finish(mut self) -> Result<ParsedContent, ReadError> {
        self.flush()?;
        if self.count == 0 && self.total_faults == 0 {
            self.content_fault("content", "missing", "the content has no prices");
        }
        let stopped = self.stopped();
        Ok(ParsedContent {
            rows: self.count,
            last_row: self.number - 1,
            prices: self.prices,
            digest: Digest::default(),
            faults: self.faults,
            total_faults: self.total_faults,
            stopped,
        })
    }
}

fn parse_port<'v>(value: &'v RawValue<'_>) -> Result<&'v str, Fault> {
    match value {
        RawValue::Text(code) if is_code(code) => Ok(code),
        _ => Err(malformed(value, "a port code like CNGGZ")),
    }
}

fn parse_day_value(value: &RawValue<'_>, numbers: Numbers, last_day: NaiveDate) -> Result<NaiveDate, Fault> {
    let RawValue::Text(day) = value else {
        return Err(malformed(value, "a day like 2021-01-31"));
    };
    let day = match iso_of_dotted(day).filter(|_| numbers == Numbers::Text) {
        Some(iso) => parse_day(&iso)?,
        None => parse_day(day)?,
    };
    if day > last_day {
        return Err(("out_of_range", format!("{day} is too far in the future; the last day is {last_day}")));
    }
    Ok(day)
}

/// `2021-01-31` for `31.1.2021`, as sheets in many languages write it. With slashes day and month could be either.
fn iso_of_dotted(text: &str) -> Option<String> {
    let (day, rest) = text.split_once('.')?;
    let (month, year) = rest.split_once('.')?;
    let is_right = [day, month].iter().all(|part| matches!(part.len(), 1 | 2)) && year.len() == 4;
    is_right.then(|| format!("{year}-{month:0>2}-{day:0>2}"))
}

fn parse_price(value: &RawValue<'_>, numbers: Numbers, most: i32) -> Result<i64, Fault> {
    let price = match value {
        RawValue::Integer(price) => *price,
        RawValue::Text(text) if numbers == Numbers::Text => {
            parse_dollars(text).ok_or_else(|| malformed(value, "a whole number of dollars"))?
        }
        _ => return Err(malformed(value, "a whole number of dollars")),
    };
    if (1..=i64::from(most)).contains(&price) {
        Ok(price)
    } else {
        Err(("out_of_range", format!("a price is from 1 to {most}")))
    }
}

/// A number in a sheet: digits, and cents only if they are zero, after a point or comma. Three digits after it might be
/// thousands, so they are refused.
fn parse_dollars(text: &str) -> Option<i64> {
    let (dollars, cents) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let is_number = !dollars.is_empty() && dollars.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are out of range, like a number that is too large.
    (is_number && matches!(cents, "0" | "00")).then(|| dollars.parse().unwrap_or(i64::MAX))
}

fn malformed(value: &RawValue<'_>, right: &str) -> Fault {
    ("malformed", format!("{} is not {right}", value.shown()))
}
