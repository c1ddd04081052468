//! The parameters of a picture, beyond those of its rates.

use std::borrow::Cow;

use chassis::problem::FieldError;
use utoipa::{IntoParams, ToSchema};

use crate::http::parameters::{Parameter, PlaceName, Reading, pairs, parse_lanes, quoted};

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

impl<'a> Picture<'a> {
    /// The maximum number of lanes to compare the first with: four lines can still be distinguished.
    pub const MAX_COMPARED: usize = 3;

    /// Reads what the query string of `/rates.svg` has beyond that of `/rates`.
    pub fn parse(query: &'a str) -> Result<Self, Vec<FieldError>> {
        let mut width = Parameter::new(&["width"]);
        let mut height = Parameter::new(&["height"]);
        let mut theme = Parameter::new(&["theme"]);
        // May be given several times, so its values are read below.
        let mut repeatable = Parameter::new(&["compare"]);
        let mut reading = Reading::new(query, [&mut width, &mut height, &mut theme, &mut repeatable]);
        let compare = parse_lanes(query, "compare", Self::MAX_COMPARED, &mut reading.faults);
        if !compare.is_empty() && pairs(query).any(|(name, _)| name == "lane") {
            let detail = "compare goes with orig_code and dest_code; give every lane as lane";
            reading.faults.push(FieldError::new("compare", "conflict", detail));
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
        let width = reading.optional(width, 960, pixels(320, 3840));
        let height = reading.optional(height, 480, pixels(240, 2160));
        let theme = reading.optional(theme, Theme::Light, |text| match &*text {
            "light" => Ok(Theme::Light),
            "dark" => Ok(Theme::Dark),
            _ => Err(("malformed", format!("{} is neither light nor dark", quoted(&text)))),
        });
        let faults = reading.finish();
        match (width, height, theme) {
            (Some(width), Some(height), Some(theme)) if faults.is_empty() => {
                Ok(Self { width, height, theme, compare })
            }
            _ => Err(faults),
        }
    }
}
