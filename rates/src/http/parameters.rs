//! Parses query strings and their values, and reports all faults at once.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use chassis::problem::FieldError;
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

pub(crate) fn parse_bool(text: &str) -> Result<bool, Fault> {
    text.parse().map_err(|_| ("malformed", format!("{} is neither true nor false", quoted(text))))
}

/// The lanes of a parameter that may be given several times, each as `ORIGIN:DESTINATION`.
pub(crate) fn parse_lanes<'a>(
    query: &'a str,
    parameter: &'static str,
    most: usize,
    faults: &mut Vec<FieldError>,
) -> Vec<(PlaceName<'a>, PlaceName<'a>)> {
    let mut lanes = Vec::new();
    for (_, value) in query_pairs(query).filter(|(name, _)| name == parameter) {
        let ends = value.split_once(':').and_then(|(origin, destination)| {
            let place = |text: &str| {
                PlaceName::parse(Cow::Owned(text.to_owned())).ok().filter(|_| !text.contains(':'))
            };
            Some((place(origin)?, place(destination)?))
        });
        if let Some(lane) = ends {
            lanes.push(lane);
        } else {
            let detail = format!("{} is not a lane like CNGGZ:north_europe", quoted(&value));
            faults.push(FieldError::new(parameter, "malformed", detail));
        }
    }
    if lanes.len() > most {
        let detail = format!("{} lanes are given; at most {most} can be", lanes.len());
        faults.push(FieldError::new(parameter, "too_many", detail));
    }
    lanes
}

/// The value of a parameter that has few.
macro_rules! parse_choice {
    ($choice:ident: $($name:literal => $value:ident),+) => {
        impl $choice {
            pub(crate) fn parse(text: std::borrow::Cow<'_, str>) -> Result<Self, $crate::http::parameters::Fault> {
                match &*text {
                    $($name => Ok(Self::$value),)+
                    _ => {
                        let text = $crate::http::parameters::quoted(&text);
                        Err(("malformed", format!("{text} is not one of {}", [$($name),+].join(", "))))
                    }
                }
            }
        }
    };
}

pub(crate) use parse_choice;

/// A number from `least` to `most`.
pub(crate) fn number_in<T: FromStr + PartialOrd + Display>(
    least: T,
    most: T,
) -> impl FnOnce(Cow<'_, str>) -> Result<T, Fault> {
    move |text| match text.parse() {
        Ok(number) if (&least..=&most).contains(&&number) => Ok(number),
        _ => Err(("out_of_range", format!("{} is not a number from {least} to {most}", quoted(&text)))),
    }
}

/// The client's text for a message, truncated if it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The names and values of a query string; nothing is copied unless it is escaped.
pub(crate) fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let escaped = query.bytes().any(|byte| matches!(byte, b'%' | b'+'));
    let decoded = escaped.then(|| form_urlencoded::parse(query.as_bytes()));
    // Almost no query has escapes; without them, splitting gives the same result and costs far less.
    let split = (!escaped).then(|| split_pairs(query));
    decoded.into_iter().flatten().chain(split.into_iter().flatten())
}

fn split_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (Cow::from(name), Cow::from(value))
    })
}

/// A parameter with all its names, the preferred one first.
pub(crate) struct Parameter<'a> {
    names: &'static [&'static str],
    /// The name that the client used, and the value.
    given: Option<(&'static str, Cow<'a, str>)>,
    repeated: bool,
}

impl Parameter<'_> {
    pub(crate) const fn new(names: &'static [&'static str]) -> Self {
        Self { names, given: None, repeated: false }
    }

    pub(crate) fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// The name that the client used, or the preferred one.
    pub(crate) fn name(&self) -> &'static str {
        self.given.as_ref().map_or(self.names[0], |(name, _)| *name)
    }
}

/// The faults found while the parameters of a query string are read.
pub(crate) struct Reading<'a> {
    misspelt: Vec<Misspelt<'a>>,
    pub(crate) faults: Vec<FieldError>,
}

impl<'a> Reading<'a> {
    /// Sets the value of each parameter. An unknown name that is similar to a known one is a fault, so that a typo is
    /// not silently ignored. Other unknown ones are ignored, because proxies and analytics add parameters of their own.
    ///
    /// Inlined, so that the names are constants where they are compared.
    #[inline]
    pub(crate) fn new<const N: usize>(query: &'a str, mut parameters: [&mut Parameter<'a>; N]) -> Self {
        let mut unknown = Vec::new();
        for (name, value) in query_pairs(query) {
            let known = parameters.iter_mut().find_map(|parameter| {
                let known = parameter.names.iter().find(|known| **known == name)?;
                Some((*known, parameter))
            });
            let Some((known, parameter)) = known else {
                unknown.push(name);
                continue;
            };
            parameter.repeated |= parameter.given.is_some();
            parameter.given = Some((known, value));
        }
        if unknown.is_empty() {
            return Self { misspelt: Vec::new(), faults: Vec::new() };
        }
        let names: Vec<_> = parameters.iter().flat_map(|parameter| parameter.names).copied().collect();
        Self { misspelt: misspelt(unknown, &names), faults: Vec::new() }
    }

    /// All faults, when every parameter has been read.
    pub(crate) fn finish(self) -> Vec<FieldError> {
        let mut faults = self.faults;
        faults.extend(self.misspelt.iter().map(Misspelt::fault));
        faults
    }

    /// The value of a required parameter; `None` if it has a fault.
    #[inline]
    pub(crate) fn required<T>(
        &mut self,
        parameter: Parameter<'a>,
        parse: impl FnOnce(Cow<'a, str>) -> Result<T, Fault>,
    ) -> Option<T> {
        let Parameter { names, given, repeated } = parameter;
        let Some((name, value)) = given else {
            let fault = self.missing(names);
            self.faults.push(fault);
            return None;
        };
        let fault = if repeated {
            ("repeated", format!("{} is given more than once", names.join(" or ")))
        } else if value.is_empty() {
            ("missing", format!("{name} is empty"))
        } else {
            match parse(value) {
                Ok(value) => return Some(value),
                Err(fault) => fault,
            }
        };
        self.faults.push(FieldError::new(name, fault.0, fault.1));
        None
    }

    /// The value of a parameter with a default.
    #[inline]
    pub(crate) fn optional<T>(
        &mut self,
        parameter: Parameter<'a>,
        default: T,
        parse: impl FnOnce(Cow<'a, str>) -> Result<T, Fault>,
    ) -> Option<T> {
        if parameter.given.is_none() { Some(default) } else { self.required(parameter, parse) }
    }

    /// The client may have meant one of the misspelt parameters, which is then no separate fault.
    fn missing(&mut self, names: &[&'static str]) -> FieldError {
        let at = self.misspelt.iter().position(|one| names.contains(&one.meant));
        let Some(Misspelt { written, meant }) = at.map(|at| self.misspelt.remove(at)) else {
            return FieldError::new(names[0], "missing", format!("{} is missing", names[0]));
        };
        let detail = format!("{} is missing; did you misspell it as {}?", names[0], quoted(&written));
        FieldError::new(names[0], "missing", detail).suggest(vec![meant.to_owned()])
    }
}

/// A name that is similar to that of a parameter.
pub(crate) struct Misspelt<'a> {
    written: Cow<'a, str>,
    meant: &'static str,
}

impl Misspelt<'_> {
    pub(crate) fn fault(&self) -> FieldError {
        let Self { written, meant } = self;
        let detail = format!("there is no parameter {}; did you mean {meant}?", quoted(written));
        FieldError::new(written.clone().into_owned(), "unknown_parameter", detail)
            .suggest(vec![(*meant).to_owned()])
    }
}

/// The unknown names that are similar to one of `names`.
pub(crate) fn misspelt<'a>(unknown: Vec<Cow<'a, str>>, names: &[&'static str]) -> Vec<Misspelt<'a>> {
    /// The maximum number of names to compare, so that a long query string cannot keep the server busy.
    const MOST: usize = 16;
    let near = |written: &str| {
        let written = written.to_lowercase();
        names
            .iter()
            .copied()
            // Two edits turn any short name into any other, so names of five letters may differ by only one, and shorter ones
            // not at all: `lang` is no misspelling of `lane`.
            .map(|name| (name, if name.len() > 5 { 2 } else { name.len() / 5 }))
            .filter(|(name, allowed)| written.len().abs_diff(name.len()) <= *allowed)
            .map(|(name, allowed)| (name, strsim::damerau_levenshtein(&written, name), allowed))
            .filter(|(_, distance, allowed)| distance <= allowed)
            .min_by_key(|(_, distance, _)| *distance)
            .map(|(name, ..)| name)
    };
    unknown
        .into_iter()
        .take(MOST)
        .filter_map(|written| near(&written).map(|meant| Misspelt { written, meant }))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_query_without_escapes_is_split_as_form_decoding_does(query in "[a-z&=;ü ]{0,30}") {
            let decoded: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            prop_assert_eq!(split_pairs(&query).collect::<Vec<_>>(), decoded);
        }

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
