//! The query of a request for rates: one struct that is parsed from the query string, documented in the API
//! description, and turned into the fingerprint of its answer.
//!
//! A new parameter is a field of [`RatesQuery`], a line in its `parse` and a line in its `fingerprint`; without the latter two
//! it does not compile. A parameter for pictures only goes into [`Picture`] in the same way.

mod fingerprint;
mod picture;
#[cfg(test)]
mod tests;

use chassis::problem::FieldError;
use chrono::{Days, Months, NaiveDate};
use utoipa::{IntoParams, ToSchema};

pub(crate) use self::fingerprint::Hash;
pub use self::{
    fingerprint::Fingerprint,
    picture::{Picture, Theme, Values},
};
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

    /// What the answer in this form is made from, apart from the content of its lanes. Whatever the answer depends on must
    /// go in, or two answers share a tag: so every field is named here and in `Picture::add_to`, and there is no `..`.
    #[must_use]
    pub fn fingerprint(&self, form: &Form<'_>) -> Fingerprint {
        let Self { from, to, origin, destination, order, statistics } = self;
        let mut print = Fingerprint::default();
        for day in [from, to] {
            print.add(u64::from(day.to_epoch_days().cast_unsigned()));
        }
        print.add(u64::from(*order == Order::OldestFirst));
        print.add(u64::from(*statistics == Statistics::Full));
        print.add_text(origin.as_ref());
        print.add_text(destination.as_ref());
        match form {
            Form::Json => print.add(0),
            Form::Csv => print.add(1),
            Form::Svg(picture) => {
                print.add(2);
                picture.add_to(&mut print);
            }
        }
        print
    }

    /// The lanes to read for this picture, oldest day first: that of the query, those it is compared with, and the
    /// first a year before. Each begins with the days that a moving average needs.
    #[must_use]
    pub fn lanes(&self, picture: &Picture<'a>) -> Vec<Self> {
        // The percentile bands of several lanes would cover each other, and an index has none.
        let with_bands = picture.compare.is_empty() && picture.values() == Values::Price;
        let statistics = if with_bands { Statistics::Full } else { Statistics::Mean };
        let from = self.from - Days::new(u64::from(picture.days_before()));
        let first = Self { order: Order::OldestFirst, statistics, from, ..self.clone() };
        let compared = picture.compare.iter().map(|(origin, destination)| Self {
            origin: origin.clone(),
            destination: destination.clone(),
            ..first.clone()
        });
        let before = picture.previous_year.then(|| first.a_year_before());
        std::iter::once(first.clone()).chain(compared).chain(before).collect()
    }

    /// As many days, beginning a year before.
    fn a_year_before(&self) -> Self {
        let from = self.from - Months::new(12);
        let to = from + (self.to - self.from);
        Self { from, to, statistics: Statistics::Mean, ..self.clone() }
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
