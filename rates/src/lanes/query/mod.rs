//! The query of a request for rates: one struct that is parsed from the query string, documented in the API
//! description, and turned into the fingerprint of its answer.
//!
//! A new parameter is a field of [`RatesQuery`], a line in its `parse` and a line in its `fingerprint`; without the latter two
//! it does not compile. A parameter for pictures only goes into [`Picture`] in the same way.

mod choices;
mod fingerprint;
mod picture;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use chassis::problem::FieldError;
use chrono::{Days, Months, NaiveDate};
use utoipa::IntoParams;

pub(crate) use self::fingerprint::Hash;
pub use self::{
    choices::{Interval, Order, Role, Statistics, Widen},
    fingerprint::Fingerprint,
    picture::{Picture, Theme, Values},
};
use super::day::Day;
use crate::privacy::Privacy;
use crate::query_string::{Parameter, Reading, number_in, parse_lanes, query_pairs};
pub use crate::values::PlaceName;
use crate::values::{parse_day, parse_place};

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
    /// Where from: a port code, a region slug, or the name of either, in any case. `origin` is an alias of this parameter.
    /// Required unless `lane` is given.
    #[param(rename = "orig_code", value_type = Option<String>, example = "CNGGZ", max_length = 200)]
    pub origin: PlaceName<'a>,
    /// Where to: a port code, a region slug, or the name of either, in any case. `destination` is an alias of this
    /// parameter. Required unless `lane` is given.
    #[param(rename = "dest_code", value_type = Option<String>, example = "EETLL", max_length = 200)]
    pub destination: PlaceName<'a>,
    /// A lane as `ORIGIN:DESTINATION`, in place of `orig_code` and `dest_code`; up to ten times. The answer has the elements of
    /// one lane after those of the other, all of one state of the data. Together the lanes may have four times as many days as
    /// one.
    #[param(value_type = Option<Vec<String>>, max_items = 10)]
    pub lane: Vec<(PlaceName<'a>, PlaceName<'a>)>,
    /// `desc` (the default) answers the newest day first, `asc` the oldest. A picture always begins with the oldest.
    #[param(required = false, example = "desc")]
    pub order: Order,
    /// `mean` is the default; `full` adds percentiles to each day or interval. A picture of the days of one lane always has
    /// them.
    #[param(required = false, example = "full")]
    pub statistics: Statistics,
    /// What an element of the answer stands for: `day` (the default), or a `week` from Monday, `month`, `quarter` or `year`,
    /// with the mean, and with `statistics=full` the percentiles, of all of its prices. Intervals that the range cuts count only
    /// the days in it.
    #[param(required = false, example = "day")]
    pub interval: Interval,
    /// How many prices an element needs for a mean: 3 unless configured otherwise, and never fewer than configured.
    #[param(required = false, value_type = i64, minimum = 3, example = 3)]
    pub min_count: i64,
    /// What to do where the lane has too few prices for a mean: `false` (the default) leaves a gap. `true` answers with the
    /// nearest pair of regions around the two places that has a mean somewhere in the range, if the lane has none in all of
    /// it. `each` decides for each element. Each element then names the places that its prices are of.
    #[param(required = false, example = "false")]
    pub widen: Widen,
    /// The most decimals of prices in CSV. JSON always has all of them.
    #[param(required = false, default = 2, minimum = 0, maximum = 20, example = 2)]
    pub decimals: u8,
    /// What the configuration lets answers show.
    #[param(ignore)]
    pub privacy: Privacy,
}

/// What a configuration allows a query.
#[derive(Debug, Clone, Copy)]
pub struct QueryLimits {
    /// The longest range, both ends included.
    pub max_days: u32,
    /// The fewest prices for a mean.
    pub min_count: i64,
    /// What answers show of prices.
    pub privacy: Privacy,
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

/// The most prices that a query may require for a mean.
const MOST_COUNT: i64 = 1_000_000;

impl<'a> RatesQuery<'a> {
    /// The most lanes in one answer.
    pub const MAX_LANES: usize = 10;

    /// The days of a lane, without anything else that may be asked for.
    #[must_use]
    pub fn new(
        (from, to): (NaiveDate, NaiveDate),
        (origin, destination): (PlaceName<'a>, PlaceName<'a>),
        limits: QueryLimits,
    ) -> Self {
        Self {
            from,
            to,
            origin,
            destination,
            lane: Vec::new(),
            order: Order::NewestFirst,
            statistics: Statistics::Mean,
            interval: Interval::Day,
            min_count: limits.min_count,
            widen: Widen::No,
            decimals: Self::DECIMALS,
            privacy: limits.privacy,
        }
    }

    const DECIMALS: u8 = 2;

    /// Reads a query string.
    pub fn parse(query: &'a str, limits: QueryLimits) -> Result<Self, WrongQuery<'a>> {
        let mut date_from = Parameter::new(&["date_from"]);
        let mut date_to = Parameter::new(&["date_to"]);
        let mut origin = Parameter::new(ORIGIN);
        let mut destination = Parameter::new(DESTINATION);
        let mut order = Parameter::new(&["order"]);
        let mut statistics = Parameter::new(&["statistics"]);
        let mut interval = Parameter::new(&["interval"]);
        let mut min_count = Parameter::new(&["min_count"]);
        let mut widen = Parameter::new(&["widen"]);
        let mut decimals = Parameter::new(&["decimals"]);
        // May be given several times, so its values are read below.
        let mut repeatable = Parameter::new(&["lane"]);
        let mut reading = Reading::new(
            query,
            [
                &mut date_from,
                &mut date_to,
                &mut origin,
                &mut destination,
                &mut order,
                &mut statistics,
                &mut interval,
                &mut min_count,
                &mut widen,
                &mut decimals,
                &mut repeatable,
            ],
        );
        let (origin_name, destination_name) = (origin.name(), destination.name());

        let from = reading.required(date_from, |text| parse_day(&text));
        let to = reading.required(date_to, |text| parse_day(&text));
        let (lane, origin, destination) = if repeatable.is_given() {
            if origin.is_given() || destination.is_given() {
                let detail = "use either lane, or orig_code and dest_code";
                reading.faults.push(FieldError::new("lane", "conflict", detail));
            }
            let lane = parse_lanes(query, "lane", Self::MAX_LANES, &mut reading.faults);
            let (origin, destination) = lane.first().cloned().unzip();
            (lane, origin, destination)
        } else {
            let origin = reading.required(origin, parse_place);
            (Vec::new(), origin, reading.required(destination, parse_place))
        };
        let order = reading.optional(order, Order::NewestFirst, Order::parse);
        let statistics = reading.optional(statistics, Statistics::Mean, Statistics::parse);
        let interval = reading.optional(interval, Interval::Day, Interval::parse);
        let widen = reading.optional(widen, Widen::No, Widen::parse);
        let min_count =
            reading.optional(min_count, limits.min_count, number_in(limits.min_count, MOST_COUNT));
        let decimals = reading.optional(decimals, Self::DECIMALS, number_in(0, 20));
        let mut faults = reading.finish();
        faults.extend(from.zip(to).and_then(|(from, to)| range_fault(from, to, limits.max_days)));
        faults.extend(from.zip(to).and_then(|(from, to)| total_fault(from, to, lane.len(), limits.max_days)));
        let values = (from.zip(to), order.zip(statistics), interval.zip(min_count), widen.zip(decimals));
        match (values, origin, destination) {
            (
                (
                    Some((from, to)),
                    Some((order, statistics)),
                    Some((interval, min_count)),
                    Some((widen, decimals)),
                ),
                Some(origin),
                Some(destination),
            ) if faults.is_empty() => Ok(Self {
                from,
                to,
                origin,
                destination,
                lane,
                order,
                statistics,
                interval,
                min_count,
                widen,
                decimals,
                privacy: limits.privacy,
            }),
            (_, origin, destination) if lane.is_empty() => {
                let places = [(origin_name, origin), (destination_name, destination)];
                let places = places.into_iter().filter_map(|(name, place)| Some((name, place?))).collect();
                Err(WrongQuery { faults, places })
            }
            _ => {
                let ends = lane.into_iter().take(Self::MAX_LANES).flat_map(<[_; 2]>::from);
                Err(WrongQuery { faults, places: ends.map(|place| ("lane", place)).collect() })
            }
        }
    }

    /// The name of the parameter that gives this end of the lane with this index in a query string.
    #[must_use]
    pub fn name_of(lane: usize, role: Role, query: &str) -> &'static str {
        if query_pairs(query).any(|(name, _)| name == "lane") {
            return "lane";
        }
        if lane > 0 {
            return "compare";
        }
        let names = match role {
            Role::Origin => ORIGIN,
            Role::Destination => DESTINATION,
        };
        let written = query_pairs(query).find_map(|(name, _)| names.iter().find(|known| **known == name));
        written.unwrap_or(&names[0])
    }

    /// What the answer in this form is made from, apart from the content of its lanes. Whatever the answer depends on must
    /// go in, or two answers share a tag: so every field is named here and in `Picture::add_to`, and there is no `..`.
    #[must_use]
    pub fn fingerprint(&self, form: &Form<'_>) -> Fingerprint {
        let Self {
            from,
            to,
            origin,
            destination,
            lane,
            order,
            statistics,
            interval,
            min_count,
            widen,
            decimals,
            privacy,
        } = self;
        let mut print = Fingerprint::default();
        for day in [from, to] {
            print.add(u64::from(day.to_epoch_days().cast_unsigned()));
        }
        print.add(u64::from(*order == Order::OldestFirst));
        print.add(u64::from(*statistics == Statistics::Full));
        for text in [origin, destination] {
            print.add_text(text.as_ref());
        }
        print.add(lane.len() as u64);
        for (origin, destination) in lane {
            print.add_text(origin.as_ref());
            print.add_text(destination.as_ref());
        }
        for choice in [*interval as u64, min_count.cast_unsigned(), *widen as u64, u64::from(*decimals)] {
            print.add(choice);
        }
        print.add_privacy(*privacy);
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

    /// The lanes that this form shows, each as a query of its own.
    #[must_use]
    pub fn query_per_lane(&self, form: &Form<'a>) -> Cow<'_, [Self]> {
        match form {
            Form::Svg(picture) => self.query_per_line(picture).into(),
            Form::Json | Form::Csv if self.lane.is_empty() => std::slice::from_ref(self).into(),
            Form::Json | Form::Csv => self.lane.iter().map(|lane| self.of_lane(lane)).collect(),
        }
    }

    /// The lanes to read for this picture, oldest day first: the first of the query, those it is compared with, and the
    /// first a year before. Each begins with the days that a moving average needs.
    #[must_use]
    pub fn query_per_line(&self, picture: &Picture<'a>) -> Vec<Self> {
        // The percentile bands of several lanes would cover each other, and an index has none.
        let is_alone = picture.compare.is_empty() && picture.values() == Values::Price;
        // Computing them from the prices takes time, so they must be asked for.
        let with_bands =
            is_alone && (self.interval.has_stored_percentiles() || self.statistics == Statistics::Full);
        let statistics = if with_bands { Statistics::Full } else { Statistics::Mean };
        let from = self.from - Days::new(u64::from(picture.days_before()));
        let first = self.lane.first().map_or_else(|| self.clone(), |lane| self.of_lane(lane));
        let first = Self { order: Order::OldestFirst, statistics, from, ..first };
        let compared = picture.compare.iter().map(|lane| first.of_lane(lane));
        let before = picture.previous_year.then(|| first.a_year_before());
        std::iter::once(first.clone()).chain(compared).chain(before).collect()
    }

    /// The same for this lane.
    fn of_lane(&self, (origin, destination): &(PlaceName<'a>, PlaceName<'a>)) -> Self {
        Self { origin: origin.clone(), destination: destination.clone(), ..self.clone() }
    }

    /// As many days or intervals, beginning a year before.
    fn a_year_before(&self) -> Self {
        let (from, to) = match self.interval {
            Interval::Day => {
                let from = self.from - Months::new(12);
                (from, from + (self.to - self.from))
            }
            // Whole weeks, so that each week is cut as the one that it is drawn beside.
            Interval::Week => (self.from - Days::new(52 * 7), self.to - Days::new(52 * 7)),
            _ => (self.from - Months::new(12), self.to - Months::new(12)),
        };
        Self { from, to, statistics: Statistics::Mean, ..self.clone() }
    }

    /// Whether its answer has the texts of days that each month holds.
    pub(super) fn is_plain(&self) -> bool {
        self.lane.is_empty()
            && self.interval == Interval::Day
            && self.widen == Widen::No
            && self.min_count == i64::from(Day::PRICES_FOR_A_MEAN)
            && self.privacy.is_exact()
    }

    /// How many days, both ends included.
    #[must_use]
    pub fn days(&self) -> usize {
        usize::try_from((self.to - self.from).num_days() + 1).unwrap_or(0)
    }
}

/// Lanes of a list may together have as many days as those of a picture that compares the most.
fn total_fault(from: NaiveDate, to: NaiveDate, lanes: usize, max_days: u32) -> Option<FieldError> {
    let days = usize::try_from((to - from).num_days() + 1).unwrap_or(0).saturating_mul(lanes);
    let most = (1 + Picture::MAX_COMPARED) * max_days as usize;
    let detail = || format!("{lanes} lanes have {days} days; a request can have at most {most}");
    (days > most).then(|| FieldError::new("lane", "range_too_long", detail()))
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
