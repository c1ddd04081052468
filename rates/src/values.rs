//! Values as clients write them, in query strings and in batches: places and days.

use std::borrow::Cow;

use chrono::{Datelike, NaiveDate};

/// What is wrong with a value: a code for programs and a sentence for people.
pub(crate) type Fault = (&'static str, String);

/// A place as a client names it: a code, a slug or a name, in any case. The place need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceName<'a>(Cow<'a, str>);

impl<'a> PlaceName<'a> {
    /// The longest name of a place, in bytes.
    const MAX_LENGTH: usize = 200;

    /// Returns a text that cannot name a place as the error.
    pub fn parse(text: Cow<'a, str>) -> Result<Self, Cow<'a, str>> {
        let valid = text.len() <= Self::MAX_LENGTH
            && text.chars().any(char::is_alphanumeric)
            && !text.contains(char::is_control);
        if valid { Ok(Self(text)) } else { Err(text) }
    }
}

/// Whether this may be a code or a slug: 1 to 64 ASCII letters, digits, `_` and `-`.
pub(crate) fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

impl AsRef<str> for PlaceName<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// `YYYY-MM-DD` and nothing else.
pub(crate) fn parse_day(text: &str) -> Result<NaiveDate, Fault> {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| {
        bytes[range].iter().try_fold(0_u32, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
        })
    };
    let parts = (bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-')
        .then(|| Some((number(0..4)?, number(5..7)?, number(8..10)?)))
        .flatten();
    let Some((year, month, day)) = parts else {
        return Err(("malformed", format!("{} is not a day like 2021-01-31", quoted(text))));
    };
    (year > 0)
        .then(|| NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day))
        .flatten()
        .ok_or_else(|| ("not_a_day", format!("{text} is not in the calendar")))
}

/// Writes a day of the years 1 to 9999 as `YYYY-MM-DD`. By hand: answers and batches have very many of them.
pub(crate) fn write_day(text: &mut Vec<u8>, day: NaiveDate) {
    let digit = |number: u32| b'0' + (number % 10) as u8;
    let (year, month, day) = (day.year().unsigned_abs(), day.month(), day.day());
    let [millennia, centuries, decades] = [year / 1000, year / 100, year / 10].map(digit);
    let [year, tens_of_months, month] = [year, month / 10, month].map(digit);
    let [tens_of_days, day] = [day / 10, day].map(digit);
    text.extend([millennia, centuries, decades, year, b'-', tens_of_months, month, b'-', tens_of_days, day]);
}

/// A port code, a region slug or the name of either.
pub(crate) fn parse_place(text: Cow<'_, str>) -> Result<PlaceName<'_>, Fault> {
    PlaceName::parse(text).map_err(|text| {
        let wrong = "is neither a port code like CNGGZ, nor a region slug like north_europe, nor a name";
        ("malformed", format!("{} {wrong}", quoted(&text)))
    })
}

/// The client's text for a message, truncated if it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_calendar_day_is_read_and_written_alike(number in -719_162_i32..2_932_896) {
            let day = NaiveDate::from_epoch_days(number).unwrap();
            let mut text = Vec::new();
            write_day(&mut text, day);
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(&text, &day.to_string());
            prop_assert_eq!(parse_day(&text).unwrap(), day);
        }

        #[test]
        fn only_days_are_days(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]") {
            let day = text.parse::<NaiveDate>().ok().filter(|day| day.year() > 0);
            prop_assert_eq!(parse_day(&text).ok(), day);
        }

        #[test]
        fn other_texts_are_no_days(text in "[0-9-]{0,9}|[0-9-]{11}") {
            prop_assert!(parse_day(&text).is_err());
        }
    }
}
