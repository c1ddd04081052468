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
    /// What is told of each day.
    pub statistics: Statistics,
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

/// What is told of a day beside its number of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// The default.
    Mean,
    /// `statistics=full`: the mean and percentiles.
    Full,
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

    /// The same, or the default where it is not given.
    fn parse_or<T>(
        self,
        default: T,
        faults: &mut Vec<FieldError>,
        parse: impl FnOnce(Cow<'a, str>) -> Result<T, (&'static str, String)>,
    ) -> Option<T> {
        if self.given.is_none() { Some(default) } else { self.parse(&[], faults, parse) }
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
        let mut statistics = Parameter::new(&["statistics"]);
        let mut strangers = Vec::new();
        for (name, value) in pairs(query) {
            let (known, parameter) = match &*name {
                "date_from" => ("date_from", &mut date_from),
                "date_to" => ("date_to", &mut date_to),
                "orig_code" => ("orig_code", &mut origin),
                "origin" => ("origin", &mut origin),
                "dest_code" => ("dest_code", &mut destination),
                "destination" => ("destination", &mut destination),
                "order" => ("order", &mut order),
                "statistics" => ("statistics", &mut statistics),
                _ => {
                    strangers.push(name);
                    continue;
                }
            };
            parameter.give(known, value);
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
        let order = order.parse_or(Order::NewestFirst, &mut faults, |text| match &*text {
            "asc" => Ok(Order::OldestFirst),
            "desc" => Ok(Order::NewestFirst),
            _ => Err(("malformed", format!("{} is neither asc nor desc", quoted(&text)))),
        });
        let statistics = statistics.parse_or(Statistics::Mean, &mut faults, |text| match &*text {
            "mean" => Ok(Statistics::Mean),
            "full" => Ok(Statistics::Full),
            _ => Err(("malformed", format!("{} is neither mean nor full", quoted(&text)))),
        });
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
        match (from, to, origin, destination, order, statistics) {
            (Some(from), Some(to), Some(origin), Some(destination), Some(order), Some(statistics))
                if faults.is_empty() =>
            {
                let place_parameters = [origin_name, destination_name];
                Ok(Self { from, to, origin, destination, order, statistics, place_parameters })
            }
            (_, _, origin, destination, ..) => {
                let places = [(origin_name, origin), (destination_name, destination)];
                let places = places.into_iter().filter_map(|(name, place)| Some((name, place?))).collect();
                Err(WrongRatesQuery { faults, places })
            }
        }
    }
}

/// How a picture of rates was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture<'a> {
    /// In pixels of CSS.
    pub width: u16,
    /// In pixels of CSS.
    pub height: u16,
    /// Which colours.
    pub theme: Theme,
    /// Further lanes to draw: origin and destination.
    pub compare: Vec<(PlaceName<'a>, PlaceName<'a>)>,
}

/// The colours of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark on white, the default.
    Light,
    /// Light on black.
    Dark,
}

impl<'a> Picture<'a> {
    /// The most lanes to compare the first with: four lines can still be told apart.
    pub const MAX_COMPARED: usize = 3;

    /// Reads what the query string of `/rates.svg` has beyond that of `/rates`.
    pub fn parse(query: &'a str) -> Result<Self, Vec<FieldError>> {
        let mut width = Parameter::new(&["width"]);
        let mut height = Parameter::new(&["height"]);
        let mut theme = Parameter::new(&["theme"]);
        let mut compare = Vec::new();
        let mut faults = Vec::new();
        for (name, value) in pairs(query) {
            match &*name {
                "width" => width.give("width", value),
                "height" => height.give("height", value),
                "theme" => theme.give("theme", value),
                "compare" => {
                    if let Some(lane) = parse_lane(&value) {
                        compare.push(lane);
                    } else {
                        let detail = format!("{} is not a lane like CNGGZ:north_europe", quoted(&value));
                        faults.push(FieldError::new("compare", "malformed", detail));
                    }
                }
                _ => {}
            }
        }
        if compare.len() > Self::MAX_COMPARED {
            let detail =
                format!("{} lanes are compared; at most {} can be", compare.len(), Self::MAX_COMPARED);
            faults.push(FieldError::new("compare", "too_many", detail));
        }
        let pixels = |least: u16, most: u16| {
            move |text: Cow<'a, str>| match text.parse() {
                Ok(pixels) if (least..=most).contains(&pixels) => Ok(pixels),
                _ => Err((
                    "out_of_range",
                    format!("{} is not a number of pixels from {least} to {most}", quoted(&text)),
                )),
            }
        };
        let width = width.parse_or(960, &mut faults, pixels(320, 3840));
        let height = height.parse_or(480, &mut faults, pixels(240, 2160));
        let theme = theme.parse_or(Theme::Light, &mut faults, |text| match &*text {
            "light" => Ok(Theme::Light),
            "dark" => Ok(Theme::Dark),
            _ => Err(("malformed", format!("{} is neither light nor dark", quoted(&text)))),
        });
        match (width, height, theme) {
            (Some(width), Some(height), Some(theme)) if faults.is_empty() => {
                Ok(Self { width, height, theme, compare })
            }
            _ => Err(faults),
        }
    }
}

/// `ORIGIN:DESTINATION`.
fn parse_lane<'a>(text: &str) -> Option<(PlaceName<'a>, PlaceName<'a>)> {
    let (origin, destination) = text.split_once(':')?;
    let place = |text: &str| PlaceName::parse(Cow::Owned(text.to_owned()));
    Some((place(origin).ok()?, place(destination).ok()?))
}

/// What the explorer was asked, as a person wrote it: nothing is checked yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PageQuery<'a> {
    /// Origin and destination of each lane that has either.
    pub lanes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The first day; empty: not given.
    pub from: Cow<'a, str>,
    /// The last day.
    pub to: Cow<'a, str>,
}

impl<'a> PageQuery<'a> {
    /// Reads the query string of the page. Its form sends `orig_code` and `dest_code` once for each lane, in order.
    #[must_use]
    pub fn parse(query: &'a str) -> Self {
        let mut page = Self::default();
        let (mut origins, mut destinations) = (Vec::new(), Vec::new());
        for (name, value) in pairs(query) {
            match &*name {
                "orig_code" | "origin" => origins.push(value),
                "dest_code" | "destination" => destinations.push(value),
                "date_from" => page.from = value,
                "date_to" => page.to = value,
                _ => {}
            }
        }
        let rows = origins.len().max(destinations.len());
        origins.resize(rows, Cow::default());
        destinations.resize(rows, Cow::default());
        page.lanes = origins
            .into_iter()
            .zip(destinations)
            .filter(|(origin, destination)| !(origin.trim().is_empty() && destination.trim().is_empty()))
            .take(1 + Picture::MAX_COMPARED)
            .collect();
        page
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
        let full = format!("{GOOD}&statistics=full");
        assert_eq!(RatesQuery::parse(&full, 31).unwrap().statistics, Statistics::Full);
    }

    #[test]
    fn every_fault_of_a_query_is_named_at_once() {
        let pair = |field: &str, code: &str| (field.to_owned(), code.to_owned());
        assert_eq!(
            faults(""),
            ["date_from", "date_to", "orig_code", "dest_code"].map(|field| pair(field, "missing"))
        );
        assert_eq!(
            faults("date_from=2021-02-30&date_to=21-1-1&origin=C%20N&destination=&order=up&statistics=all"),
            [
                pair("date_from", "not_a_day"),
                pair("date_to", "malformed"),
                pair("origin", "malformed"),
                pair("destination", "missing"),
                pair("order", "malformed"),
                pair("statistics", "malformed"),
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
    fn a_picture_is_asked_for_within_bounds() {
        let plain = Picture::parse(GOOD).unwrap();
        assert_eq!((plain.width, plain.height, plain.theme), (960, 480, Theme::Light));
        let picture = Picture::parse("width=320&height=2160&theme=dark&compare=A:b_c&compare=D%3AE").unwrap();
        assert_eq!((picture.width, picture.height, picture.theme), (320, 2160, Theme::Dark));
        let lanes: Vec<_> = picture.compare.iter().map(|(from, to)| (from.as_ref(), to.as_ref())).collect();
        assert_eq!(lanes, [("A", "b_c"), ("D", "E")]);
        for (query, field, code) in [
            ("width=319", "width", "out_of_range"),
            ("width=3841", "width", "out_of_range"),
            ("width=1e3", "width", "out_of_range"),
            ("height=239", "height", "out_of_range"),
            ("height=99999999", "height", "out_of_range"),
            ("theme=blue", "theme", "malformed"),
            ("theme=", "theme", "missing"),
            ("theme=dark&theme=dark", "theme", "repeated"),
            ("compare=A", "compare", "malformed"),
            ("compare=A:B:C", "compare", "malformed"),
            ("compare=A:", "compare", "malformed"),
            ("compare=A:B&compare=A:B&compare=A:B&compare=A:B", "compare", "too_many"),
        ] {
            let faults = Picture::parse(query).expect_err(query);
            let named: Vec<_> = faults.iter().map(|fault| (&*fault.field, &*fault.code)).collect();
            assert_eq!(named, [(field, code)], "{query}");
        }
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
            let _ = Picture::parse(&query);
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
