//! The parameters of a picture, beyond those of its rates.

use chassis::problem::FieldError;
use utoipa::{IntoParams, ToSchema};

use super::Fingerprint;
use crate::query_string::{Parameter, Reading, number_in, parse_bool, parse_lanes, query_pairs};
use crate::values::{Fault, PlaceName, quoted};

/// The query of `GET /rates.svg` beyond that of `GET /rates`.
#[derive(Debug, Clone, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Picture<'a> {
    /// The width in CSS pixels.
    #[param(required = false, default = 960, minimum = 320, maximum = 3840, example = 960)]
    pub width: u16,
    /// The height in CSS pixels.
    #[param(required = false, default = 480, minimum = 240, maximum = 2160, example = 480)]
    pub height: u16,
    /// The colours; `light` is the default.
    #[param(required = false, example = "light")]
    pub theme: Theme,
    /// What is drawn of each lane; `price` is the default.
    #[param(required = false, example = "price")]
    pub values: Values,
    /// Draws for each day the mean of all prices of so many days up to it; 1, the default, is the day alone.
    #[param(required = false, value_type = u16, default = 1, minimum = 1, maximum = 365, example = 7)]
    pub moving_average: Option<u16>,
    /// Draws the first lane a year before, too.
    #[param(required = false, default = false, example = false)]
    pub previous_year: bool,
    /// Whether lanes and days are named above the chart.
    #[param(required = false, default = true, example = true)]
    pub title: bool,
    /// A further lane to draw beside that of `orig_code` and `dest_code`, as `ORIGIN:DESTINATION`; up to three times.
    #[param(value_type = Option<Vec<String>>, max_items = 3)]
    pub compare: Vec<(PlaceName<'a>, PlaceName<'a>)>,
}

/// The colours of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Theme {
    /// Dark on white, the default.
    Light,
    /// Light on black.
    Dark,
}

/// What a picture draws of each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Values {
    /// The price in US dollars, the default.
    Price,
    /// The difference to the first lane; one lane alone is drawn as prices.
    Difference,
    /// 100 on the first day on which all lanes have a value.
    Index,
}

impl Values {
    const NAMES: [(Self, &'static str); 3] =
        [(Self::Price, "price"), (Self::Difference, "difference"), (Self::Index, "index")];

    fn parse(text: &str) -> Result<Self, Fault> {
        let named = Self::NAMES.iter().find(|(_, name)| *name == text);
        named
            .map(|(values, _)| *values)
            .ok_or_else(|| ("malformed", format!("{} is none of price, difference and index", quoted(text))))
    }

    /// The name in requests.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }
}

impl Default for Picture<'_> {
    fn default() -> Self {
        Self {
            width: 960,
            height: 480,
            theme: Theme::Light,
            values: Values::Price,
            moving_average: None,
            previous_year: false,
            title: true,
            compare: Vec::new(),
        }
    }
}

impl<'a> Picture<'a> {
    /// The maximum number of lanes to compare the first with: four lines can still be distinguished.
    pub const MAX_COMPARED: usize = 3;

    /// Reads what the query string of `/rates.svg` has beyond that of `/rates`.
    pub fn parse(query: &'a str) -> Result<Self, Vec<FieldError>> {
        let mut width = Parameter::new(&["width"]);
        let mut height = Parameter::new(&["height"]);
        let mut theme = Parameter::new(&["theme"]);
        let mut values = Parameter::new(&["values"]);
        let mut moving_average = Parameter::new(&["moving_average"]);
        let mut previous_year = Parameter::new(&["previous_year"]);
        let mut title = Parameter::new(&["title"]);
        // May be given several times, so its values are read below.
        let mut repeatable = Parameter::new(&["compare"]);
        let mut reading = Reading::new(
            query,
            [
                &mut width,
                &mut height,
                &mut theme,
                &mut values,
                &mut moving_average,
                &mut previous_year,
                &mut title,
                &mut repeatable,
            ],
        );
        let compare = parse_lanes(query, "compare", Self::MAX_COMPARED, &mut reading.faults);
        if !compare.is_empty() && query_pairs(query).any(|(name, _)| name == "lane") {
            let detail = "compare cannot be combined with lane; give every lane as lane";
            reading.faults.push(FieldError::new("compare", "conflict", detail));
        }
        let default = Self::default();
        let width = reading.optional(width, default.width, number_in(320, 3840));
        let height = reading.optional(height, default.height, number_in(240, 2160));
        let theme = reading.optional(theme, default.theme, |text| match &*text {
            "light" => Ok(Theme::Light),
            "dark" => Ok(Theme::Dark),
            _ => Err(("malformed", format!("{} is neither light nor dark", quoted(&text)))),
        });
        let values = reading.optional(values, default.values, |text| Values::parse(&text));
        let moving_average = reading.optional(moving_average, None, |text| {
            number_in(1, 365)(text).map(|days| Some(days).filter(|days| *days > 1))
        });
        let previous_year = reading.optional(previous_year, default.previous_year, |text| parse_bool(&text));
        let title = reading.optional(title, default.title, |text| parse_bool(&text));
        let faults = reading.finish();
        match (width, height, theme, values, moving_average, previous_year, title) {
            (
                Some(width),
                Some(height),
                Some(theme),
                Some(values),
                Some(moving_average),
                Some(previous_year),
                Some(title),
            ) if faults.is_empty() => {
                Ok(Self { width, height, theme, values, moving_average, previous_year, title, compare })
            }
            _ => Err(faults),
        }
    }

    /// What is drawn of each lane.
    pub(crate) fn values(&self) -> Values {
        // The difference of a lane to itself is no picture.
        if self.values == Values::Difference && self.compare.is_empty() { Values::Price } else { self.values }
    }

    /// The days before the first one shown that a moving average needs.
    pub(crate) fn days_before(&self) -> u16 {
        self.moving_average.map_or(0, |days| days - 1)
    }

    /// Adds every field, so there is no `..`.
    pub(super) fn add_to(&self, print: &mut Fingerprint) {
        let Self { width, height, theme, values, moving_average, previous_year, title, compare } = self;
        for number in [*width, *height, moving_average.unwrap_or(0)] {
            print.add(u64::from(number));
        }
        for flag in [*theme == Theme::Dark, *previous_year, *title] {
            print.add(u64::from(flag));
        }
        print.add_text(values.name());
        for (origin, destination) in compare {
            print.add_text(origin.as_ref());
            print.add_text(destination.as_ref());
        }
    }
}
