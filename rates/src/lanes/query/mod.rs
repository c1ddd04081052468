//! The query of a request for rates: one struct that is parsed from the query string, documented in the API
//! description, and turned into the key of its answer.
//!
//! A new parameter is a field of [`RatesQuery`], a line in its `parse` and a line in its `key`; without the latter two
//! it does not compile. A parameter for pictures only goes into [`Picture`] in the same way.

mod picture;
#[cfg(test)]
mod tests;

use chassis::problem::FieldError;
use chrono::NaiveDate;
use http::HeaderValue;
use utoipa::{IntoParams, ToSchema};

pub use self::picture::{Picture, Theme};
pub use crate::http::parameters::PlaceName;
use crate::http::parameters::{Parameter, Reading, pairs, parse_day, parse_place, quoted};

/// The query of `GET /rates`, `/rates.csv` and `/rates.svg`.
#[derive(Debug, Clone, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RatesQuery<'a> {
    /// The first day.
    #[param(rename = "date_from", example = "2021-01-01")]
    pub from: NaiveDate,
    /// The last day. The range may have 3,660 days, unless configured otherwise.
    #[param(rename = "date_to", example = "2021-01-31")]
    pub to: NaiveDate,
    /// Where from: a port code or a region slug. `origin` is an alias of this parameter.
    #[param(rename = "orig_code", value_type = String, example = "CNGGZ", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub origin: PlaceName<'a>,
    /// Where to: a port code or a region slug. `destination` is an alias of this parameter.
    #[param(rename = "dest_code", value_type = String, example = "EETLL", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub destination: PlaceName<'a>,
    /// `desc` (the default) answers the newest day first, `asc` the oldest. A picture always begins with the oldest.
    #[param(required = false, example = "desc")]
    pub order: Order,
    /// `mean` is the default; `full` adds percentiles to each day. A picture of one lane always has them.
    #[param(required = false, example = "full")]
    pub statistics: Statistics,
}

/// The order of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
pub enum Order {
    /// The default.
    #[schema(rename = "desc")]
    NewestFirst,
    /// From the first day to the last.
    #[schema(rename = "asc")]
    OldestFirst,
}

/// What an answer says of a day beside its number of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Statistics {
    /// The default.
    Mean,
    /// The mean and percentiles.
    Full,
}

/// The two ends of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Where it begins.
    Origin,
    /// Where it ends.
    Destination,
}

/// The form that an answer is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form<'a> {
    /// `/rates`.
    Json,
    /// `/rates.csv`.
    Csv,
    /// `/rates.svg`.
    Svg(Picture<'a>),
}

/// A query with faults. Its well-formed places can still be looked up, so that the client learns of all faults at once.
#[derive(Debug)]
pub struct WrongQuery<'a> {
    /// What is wrong.
    pub faults: Vec<FieldError>,
    /// Well-formed places, each with the name of its parameter.
    pub places: Vec<(&'static str, PlaceName<'a>)>,
}

const ORIGIN: &[&str] = &["orig_code", "origin"];
const DESTINATION: &[&str] = &["dest_code", "destination"];

impl RatesQuery<'_> {
    /// A copy that lasts longer than the request.
    pub(crate) fn to_static(&self) -> RatesQuery<'static> {
        let Self { from, to, order, statistics, .. } = *self;
        let (origin, destination) = (self.origin.to_static(), self.destination.to_static());
        RatesQuery { from, to, origin, destination, order, statistics }
    }
}

impl<'a> RatesQuery<'a> {
    /// Reads a query string; `max_days` is the longest range, both ends included.
    pub fn parse(query: &'a str, max_days: u32) -> Result<Self, WrongQuery<'a>> {
        let mut date_from = Parameter::new(&["date_from"]);
        let mut date_to = Parameter::new(&["date_to"]);
        let mut origin = Parameter::new(ORIGIN);
        let mut destination = Parameter::new(DESTINATION);
        let mut order = Parameter::new(&["order"]);
        let mut statistics = Parameter::new(&["statistics"]);
        let mut reading = Reading::new(
            query,
            [&mut date_from, &mut date_to, &mut origin, &mut destination, &mut order, &mut statistics],
        );
        let (origin_name, destination_name) = (origin.name(), destination.name());

        let from = reading.required(date_from, |text| parse_day(&text));
        let to = reading.required(date_to, |text| parse_day(&text));
        let origin = reading.required(origin, parse_place);
        let destination = reading.required(destination, parse_place);
        let order = reading.optional(order, Order::NewestFirst, |text| match &*text {
            "asc" => Ok(Order::OldestFirst),
            "desc" => Ok(Order::NewestFirst),
            _ => Err(("malformed", format!("{} is neither asc nor desc", quoted(&text)))),
        });
        let statistics = reading.optional(statistics, Statistics::Mean, |text| match &*text {
            "mean" => Ok(Statistics::Mean),
            "full" => Ok(Statistics::Full),
            _ => Err(("malformed", format!("{} is neither mean nor full", quoted(&text)))),
        });
        let mut faults = reading.finish();
        faults.extend(from.zip(to).and_then(|(from, to)| range_fault(from, to, max_days)));
        match (from, to, origin, destination, order, statistics) {
            (Some(from), Some(to), Some(origin), Some(destination), Some(order), Some(statistics))
                if faults.is_empty() =>
            {
                Ok(Self { from, to, origin, destination, order, statistics })
            }
            (_, _, origin, destination, ..) => {
                let places = [(origin_name, origin), (destination_name, destination)];
                let places = places.into_iter().filter_map(|(name, place)| Some((name, place?))).collect();
                Err(WrongQuery { faults, places })
            }
        }
    }

    /// The name of the parameter that gives this end of the lane in a query string.
    #[must_use]
    pub fn name_of(role: Role, query: &str) -> &'static str {
        let names = match role {
            Role::Origin => ORIGIN,
            Role::Destination => DESTINATION,
        };
        let written = pairs(query).find_map(|(name, _)| names.iter().find(|known| **known == name));
        written.unwrap_or(&names[0])
    }

    /// The key of the answer in this form. Whatever the answer depends on must go in, or two queries share an answer:
    /// so every field is named here, those of a picture too, and there is no `..`.
    #[must_use]
    pub fn key(&self, form: &Form<'_>) -> AnswerKey {
        let Self { from, to, origin, destination, order, statistics } = self;
        let mut key = AnswerKey::default();
        key.push(&from.to_epoch_days().to_le_bytes());
        key.push(&to.to_epoch_days().to_le_bytes());
        key.push(&[u8::from(*order == Order::OldestFirst), u8::from(*statistics == Statistics::Full)]);
        key.push_text(origin.as_ref());
        key.push_text(destination.as_ref());
        match form {
            Form::Json => key.push(&[0]),
            Form::Csv => key.push(&[1]),
            Form::Svg(Picture { width, height, theme, compare }) => {
                key.push(&[2, u8::from(*theme == Theme::Dark)]);
                key.push(&width.to_le_bytes());
                key.push(&height.to_le_bytes());
                for (origin, destination) in compare {
                    key.push_text(origin.as_ref());
                    key.push_text(destination.as_ref());
                }
            }
        }
        key
    }

    /// The lanes that this picture shows, oldest day first: that of the query, and those it is compared with.
    #[must_use]
    pub fn lanes(&self, picture: &Picture<'a>) -> Vec<Self> {
        // The percentile bands of several lanes would cover each other.
        let statistics = if picture.compare.is_empty() { Statistics::Full } else { Statistics::Mean };
        let first = Self { order: Order::OldestFirst, statistics, ..self.clone() };
        let compared = picture.compare.iter().map(|(origin, destination)| Self {
            origin: origin.clone(),
            destination: destination.clone(),
            ..first.clone()
        });
        std::iter::once(first.clone()).chain(compared).collect()
    }

    /// How many days, both ends included.
    #[must_use]
    pub fn days(&self) -> usize {
        usize::try_from((self.to - self.from).num_days() + 1).unwrap_or(0)
    }
}

fn range_fault(from: NaiveDate, to: NaiveDate, max_days: u32) -> Option<FieldError> {
    let days = (to - from).num_days() + 1;
    if days < 1 {
        let detail = format!("date_from {from} is after date_to {to}");
        Some(FieldError::new("date_from", "after_date_to", detail))
    } else if days > i64::from(max_days) {
        let detail = format!("{from} to {to} are {days} days; a request can have at most {max_days}");
        Some(FieldError::new("date_to", "range_too_long", detail))
    } else {
        None
    }
}

/// Everything that an answer depends on, as bytes: the version of the data and the query. On the stack, so that a
/// lookup allocates nothing.
#[derive(Debug, Clone, Copy)]
pub struct AnswerKey {
    bytes: [u8; Self::CAPACITY],
    length: usize,
}

impl Default for AnswerKey {
    /// An empty key, at version 0.
    fn default() -> Self {
        Self { bytes: [0; Self::CAPACITY], length: Self::VERSION }
    }
}

impl AnswerKey {
    /// The bytes of the version, which come first.
    const VERSION: usize = size_of::<i64>();
    /// Enough for four lanes with the longest names, and the other parameters.
    const CAPACITY: usize = 560;

    /// The same key at this version of the data.
    #[must_use]
    #[inline]
    pub fn at(mut self, version: i64) -> Self {
        self.bytes[..Self::VERSION].copy_from_slice(&version.to_le_bytes());
        self
    }

    /// Adds a part of a fixed length.
    pub(crate) fn push(&mut self, part: &[u8]) {
        self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
        self.length += part.len();
    }

    /// Adds a text of at most 255 bytes after its length, which keeps "AB" + "C" apart from "A" + "BC".
    pub(crate) fn push_text(&mut self, text: &str) {
        self.push(&[u8::try_from(text.len()).unwrap_or(u8::MAX)]);
        self.push(text.as_bytes());
    }

    /// How many bytes can still be added.
    pub(crate) fn room(&self) -> usize {
        Self::CAPACITY - self.length
    }

    /// A hash of the query, whatever the version.
    pub(super) fn hash(&self) -> u64 {
        fnv1a(&self.bytes[Self::VERSION..self.length])
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The strong tag of the answer with this key. It changes with the data and with the version of the program, which
    /// may format the same data differently.
    #[must_use]
    pub fn etag(&self) -> HeaderValue {
        etag_of(chassis::VERSION, self.as_slice())
    }
}

fn etag_of(revision: &str, key: &[u8]) -> HeaderValue {
    // FNV-1a is the same on every instance and in every build; the standard hasher does not guarantee this.
    let hash = fnv1a(revision.as_bytes().iter().chain(key));
    HeaderValue::from_str(&format!("\"{hash:016x}\"")).expect("hexadecimal digits are a header value")
}

/// The FNV-1a hash of these bytes.
pub(crate) fn fnv1a<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
