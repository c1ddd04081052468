//! Query parameters, parsed into types that cannot hold what is wrong, with every fault named at once.

use std::borrow::Cow;

use chassis::problem::FieldError;
use chrono::NaiveDate;

/// What `GET /rates` was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatesQuery<'a> {
    /// The first day.
    pub from: NaiveDate,
    /// The last day, not before the first.
    pub to: NaiveDate,
    /// Port code or region slug.
    pub origin: PlaceName<'a>,
    /// Port code or region slug.
    pub destination: PlaceName<'a>,
    /// In which order the days are given.
    pub order: Order,
    /// By which names the client gave origin and destination.
    pub place_parameters: [&'static str; 2],
}

/// The order of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The default.
    NewestFirst,
    /// `order=asc`.
    OldestFirst,
}

/// What can name a place: 1 to 64 ASCII letters, digits, `_` and `-`. Whether there is such a place is another
/// question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceName<'a>(Cow<'a, str>);

impl<'a> PlaceName<'a> {
    /// The longest name of a place, in bytes; the schema says the same of slugs.
    pub const MAX_LENGTH: usize = 64;

    /// Gives back what cannot name a place.
    pub fn parse(text: Cow<'a, str>) -> Result<Self, Cow<'a, str>> {
        let valid = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if valid { Ok(Self(text)) } else { Err(text) }
    }
}

impl AsRef<str> for PlaceName<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// `YYYY-MM-DD` and nothing else; `Err` says what is wrong.
pub(crate) fn parse_day(text: &str) -> Result<NaiveDate, (&'static str, String)> {
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

/// The client's own text in a message, cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// One parameter by all its names, the preferred one first.
struct Parameter<'a> {
    names: &'static [&'static str],
    /// Under which name it was given, and its value.
    given: Option<(&'static str, Cow<'a, str>)>,
    twice: bool,
}

impl<'a> Parameter<'a> {
    const fn new(names: &'static [&'static str]) -> Self {
        Self { names, given: None, twice: false }
    }

    /// Its own name for `name`, if it has one.
    fn known_as(&self, name: &str) -> Option<&'static str> {
        self.names.iter().find(|known| **known == name).copied()
    }

    fn give(&mut self, name: &'static str, value: Cow<'a, str>) {
        self.twice |= self.given.is_some();
        self.given = Some((name, value));
    }

    /// The value as a `T`; its faults go to `faults`. `strangers` are the parameters that nobody knew.
    fn parse<T>(
        self,
        strangers: &[Cow<'a, str>],
        faults: &mut Vec<FieldError>,
        parse: impl FnOnce(Cow<'a, str>) -> Result<T, (&'static str, String)>,
    ) -> Option<T> {
        let Some((name, value)) = self.given else {
            let misspelt = strangers.iter().find(|stranger| {
                self.names.iter().any(|name| strsim::damerau_levenshtein(&stranger.to_lowercase(), name) <= 2)
            });
            let detail = match misspelt {
                Some(stranger) => {
                    format!("{} is missing; did you mean it by {}?", self.names[0], quoted(stranger))
                }
                None => format!("{} is missing", self.names[0]),
            };
            faults.push(FieldError::new(self.names[0], "missing", detail));
            return None;
        };
        if self.twice {
            let names = self.names.join(" or ");
            faults.push(FieldError::new(name, "repeated", format!("{names} is given more than once")));
            return None;
        }
        if value.is_empty() {
            faults.push(FieldError::new(name, "missing", format!("{name} is empty")));
            return None;
        }
        parse(value).map_err(|(code, detail)| faults.push(FieldError::new(name, code, detail))).ok()
    }
}

/// Splits a query string; nothing is copied unless it is escaped. A repeated or unknown parameter is kept: what it
/// means is for the caller to say.
fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let escaped = query.bytes().any(|byte| matches!(byte, b'%' | b'+'));
    let slow = escaped.then(|| form_urlencoded::parse(query.as_bytes()));
    // Almost every query: splitting is all there is to do, for a tenth of the time.
    let fast = (!escaped).then(|| split_pairs(query));
    slow.into_iter().flatten().chain(fast.into_iter().flatten())
}

/// What form decoding makes of a query without escapes.
fn split_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (Cow::from(name), Cow::from(value))
    })
}

/// What could be read of a wrong query, with what is wrong: the names of places that were well formed can still be
/// looked up, so that all faults are told at once.
#[derive(Debug)]
pub struct WrongRatesQuery<'a> {
    /// What is wrong.
    pub faults: Vec<FieldError>,
    /// Well-formed places, each with the name of its parameter.
    pub places: Vec<(&'static str, PlaceName<'a>)>,
}

/// The names of the origin parameter.
const ORIGIN: &[&str] = &["orig_code", "origin"];
/// The names of the destination parameter.
const DESTINATION: &[&str] = &["dest_code", "destination"];

impl<'a> RatesQuery<'a> {
    /// Reads the query string of `/rates`; `max_days` is the longest range, both ends included.
    pub fn parse(query: &'a str, max_days: u32) -> Result<Self, WrongRatesQuery<'a>> {
        let mut date_from = Parameter::new(&["date_from"]);
        let mut date_to = Parameter::new(&["date_to"]);
        let mut origin = Parameter::new(ORIGIN);
        let mut destination = Parameter::new(DESTINATION);
        let mut order = Parameter::new(&["order"]);
        let mut strangers = Vec::new();
        for (name, value) in pairs(query) {
            let parameters = [&mut date_from, &mut date_to, &mut origin, &mut destination, &mut order];
            let known =
                parameters.into_iter().find_map(|parameter| Some((parameter.known_as(&name)?, parameter)));
            match known {
                Some((name, parameter)) => parameter.give(name, value),
                None => strangers.push(name),
            }
        }

        let mut faults = Vec::new();
        let day = |text: Cow<'a, str>| parse_day(&text);
        let place = |text: Cow<'a, str>| {
            PlaceName::parse(text).map_err(|text| {
                let wrong = "is neither a port code like CNGGZ nor a region slug like north_europe";
                ("malformed", format!("{} {wrong}", quoted(&text)))
            })
        };
        let from = date_from.parse(&strangers, &mut faults, day);
        let to = date_to.parse(&strangers, &mut faults, day);
        let origin_name = origin.given.as_ref().map_or(ORIGIN[0], |(name, _)| *name);
        let destination_name = destination.given.as_ref().map_or(DESTINATION[0], |(name, _)| *name);
        let origin = origin.parse(&strangers, &mut faults, place);
        let destination = destination.parse(&strangers, &mut faults, place);
        let order = if order.given.is_none() {
            Some(Order::NewestFirst)
        } else {
            order.parse(&strangers, &mut faults, |text| match &*text {
                "asc" => Ok(Order::OldestFirst),
                "desc" => Ok(Order::NewestFirst),
                _ => Err(("malformed", format!("{} is neither asc nor desc", quoted(&text)))),
            })
        };
        if let (Some(from), Some(to)) = (from, to) {
            let days = (to - from).num_days() + 1;
            if days < 1 {
                let detail = format!("date_from {from} is after date_to {to}");
                faults.push(FieldError::new("date_from", "after_date_to", detail));
            } else if days > i64::from(max_days) {
                let detail =
                    format!("{from} to {to} are {days} days; at most {max_days} can be asked for at once");
                faults.push(FieldError::new("date_to", "range_too_long", detail));
            }
        }
        match (from, to, origin, destination, order) {
            (Some(from), Some(to), Some(origin), Some(destination), Some(order)) if faults.is_empty() => {
                let place_parameters = [origin_name, destination_name];
                Ok(Self { from, to, origin, destination, order, place_parameters })
            }
            (_, _, origin, destination, _) => {
                let places = [(origin_name, origin), (destination_name, destination)];
                let places = places.into_iter().filter_map(|(name, place)| Some((name, place?))).collect();
                Err(WrongRatesQuery { faults, places })
            }
        }
    }
}

/// What a list was asked: which items, and which page of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ListQuery<'a> {
    /// Words to look for.
    pub q: Option<Cow<'a, str>>,
    /// Only what lies below this region.
    pub region: Option<Cow<'a, str>>,
    /// Only what comes after this key.
    pub after: Option<Cow<'a, str>>,
    /// The most items.
    pub limit: Option<usize>,
}

impl<'a> ListQuery<'a> {
    /// Reads the query string of a list that takes the parameters `known`; `max_limit` is its longest page.
    pub fn parse(query: &'a str, known: &[&'static str], max_limit: usize) -> Result<Self, Vec<FieldError>> {
        let mut list = Self::default();
        let mut faults = Vec::new();
        let mut seen = Vec::new();
        for (name, value) in pairs(query) {
            let Some(name) = known.iter().find(|known| **known == name) else {
                continue;
            };
            if seen.contains(name) {
                faults.push(FieldError::new(*name, "repeated", format!("{name} is given more than once")));
                continue;
            }
            seen.push(*name);
            match *name {
                "q" if value.len() <= 200 => list.q = Some(value).filter(|value| !value.trim().is_empty()),
                "q" => faults.push(FieldError::new("q", "too_long", "q is longer than 200 bytes")),
                "region" => list.region = Some(value),
                "after" => list.after = Some(value),
                _ => match value.parse() {
                    Ok(limit) if (1..=max_limit).contains(&limit) => list.limit = Some(limit),
                    _ => {
                        let detail = format!("{} is not a number from 1 to {max_limit}", quoted(&value));
                        faults.push(FieldError::new("limit", "out_of_range", detail));
                    }
                },
            }
        }
        if faults.is_empty() { Ok(list) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "date_from=2021-01-01&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL";

    fn faults(query: &str) -> Vec<(String, String)> {
        let wrong = RatesQuery::parse(query, 3660).expect_err(query);
        wrong.faults.into_iter().map(|fault| (fault.field.into_owned(), fault.code.into_owned())).collect()
    }

    #[test]
    fn a_query_is_read_whatever_its_order_names_and_escapes() {
        let wanted = RatesQuery::parse(GOOD, 31).unwrap();
        assert_eq!(wanted.origin.as_ref(), "CNGGZ");
        assert_eq!(wanted.from, NaiveDate::from_ymd_opt(2021, 1, 1).unwrap());
        for same in [
            "dest_code=EETLL&orig_code=CNGGZ&date_to=2021-01-31&date_from=2021-01-01",
            "date_from=2021-01-01&date_to=2021-01-31&origin=CNGGZ&destination=EETLL&order=desc&utm=1&utm=2",
            "date_from=2021%2D01%2D01&date_to=2021-01-31&orig_code=%43NGGZ&dest_code=EETLL",
        ] {
            let mut query = RatesQuery::parse(same, 31).expect(same);
            query.place_parameters = wanted.place_parameters;
            assert_eq!(query, wanted, "{same}");
        }
        let ascending = format!("{GOOD}&order=asc");
        assert_eq!(RatesQuery::parse(&ascending, 31).unwrap().order, Order::OldestFirst);
    }

    #[test]
    fn every_fault_of_a_query_is_named_at_once() {
        let pair = |field: &str, code: &str| (field.to_owned(), code.to_owned());
        assert_eq!(
            faults(""),
            ["date_from", "date_to", "orig_code", "dest_code"].map(|field| pair(field, "missing"))
        );
        assert_eq!(
            faults("date_from=2021-02-30&date_to=21-1-1&origin=C%20N&destination=&order=up"),
            [
                pair("date_from", "not_a_day"),
                pair("date_to", "malformed"),
                pair("origin", "malformed"),
                pair("destination", "missing"),
                pair("order", "malformed"),
            ]
        );
        for (query, field, code) in [
            ("date_from=2021-01-02&date_to=2021-01-01&origin=A&destination=B", "date_from", "after_date_to"),
            ("date_from=2011-01-01&date_to=2021-01-08&origin=A&destination=B", "date_to", "range_too_long"),
            (&format!("{GOOD}&date_to=2021-01-31"), "date_to", "repeated"),
            (&format!("{GOOD}&origin=CNGGZ"), "origin", "repeated"),
            (&format!("{GOOD}&order=asc&order=asc"), "order", "repeated"),
            ("date_from=0000-01-01&date_to=0001-01-01&origin=A&destination=B", "date_from", "not_a_day"),
            ("date_from=+021-01-01&date_to=2021-01-01&origin=A&destination=B", "date_from", "malformed"),
            ("date_from=2021-01-0٣&date_to=2021-01-01&origin=A&destination=B", "date_from", "malformed"),
        ] {
            assert_eq!(faults(query), [pair(field, code)], "{query}");
        }
    }

    #[test]
    fn the_longest_range_is_allowed_and_one_day_more_is_not() {
        let query = |to| format!("date_from=2021-01-01&date_to={to}&origin=A&destination=B");
        assert!(RatesQuery::parse(&query("2021-01-31"), 31).is_ok());
        assert!(RatesQuery::parse(&query("2021-02-01"), 31).is_err());
        assert!(RatesQuery::parse(&query("2021-01-01"), 31).is_ok(), "one day is a range");
    }

    #[test]
    fn a_misspelt_parameter_is_pointed_out_beside_the_missing_one() {
        let query = "date_form=2021-01-01&date_to=2021-01-01&orig_code=A&dest_code=B";
        let wrong = RatesQuery::parse(query, 31).unwrap_err();
        assert_eq!(wrong.faults.len(), 1);
        assert!(wrong.faults[0].detail.contains("date_form"), "{:?}", wrong.faults);
        assert_eq!(wrong.places.len(), 2, "the places can still be looked up");
    }

    #[test]
    fn a_long_value_is_cut_in_the_message() {
        let query = format!("{}&order={}", GOOD, "ü".repeat(500));
        let wrong = RatesQuery::parse(&query, 31).unwrap_err();
        assert!(wrong.faults[0].detail.len() < 150, "{:?}", wrong.faults);
    }

    #[test]
    fn the_faults_of_a_list_are_named() {
        const KNOWN: &[&str] = &["q", "region", "after", "limit"];
        let list = ListQuery::parse("q=Gu&region=asia&limit=3&after=A&foreign=1", KNOWN, 10).unwrap();
        assert_eq!((list.q.as_deref(), list.limit), (Some("Gu"), Some(3)));
        for wrong in ["limit=0", "limit=11", "limit=x", "limit=", "q=a&q=b"] {
            assert_eq!(ListQuery::parse(wrong, KNOWN, 10).expect_err(wrong).len(), 1, "{wrong}");
        }
        let long = format!("q={}", "a".repeat(201));
        assert!(ListQuery::parse(&long, KNOWN, 10).is_err());
    }

    proptest! {
        #[test]
        fn a_query_without_escapes_is_split_as_form_decoding_does(query in "[a-z&=;ü ]{0,30}") {
            let decoded: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            prop_assert_eq!(split_pairs(&query).collect::<Vec<_>>(), decoded);
        }

        #[test]
        fn no_query_string_panics(query in "\\PC{0,200}") {
            let _ = RatesQuery::parse(&query, 3660);
            let _ = ListQuery::parse(&query, &["q", "limit"], 10);
        }

        #[test]
        fn every_calendar_day_is_read_and_written_alike(number in -719_162_i32..2_932_896) {
            let day = NaiveDate::from_epoch_days(number).unwrap();
            prop_assert_eq!(parse_day(&day.to_string()).unwrap(), day);
        }

        #[test]
        fn only_days_are_days(text in "[0-9-]{0,11}") {
            if let Ok(day) = parse_day(&text) {
                prop_assert_eq!(day.to_string(), text);
            }
        }
    }
}
