//! Sizes and colours of the picture.

use plotters::style::RGBColor;

use crate::lanes::query::RatesQuery;

/// The margin left of the plot for the labels of prices, in pixels; the page's script uses it, too.
pub(crate) const LEFT: u16 = 64;
/// The margin right of the plot.
pub(crate) const RIGHT: u16 = 16;
/// The margin for the labels of days.
pub(super) const BOTTOM: i32 = 28;
/// Points of the drawing per pixel: the points of plotters are integers, and lines need finer steps.
pub(super) const SCALE: i32 = 4;
/// plotters draws fonts at 1/1.24 of the given size.
pub(super) const FONT_SIZE: f64 = 1.24;

pub(super) struct Colours {
    pub(super) ground: RGBColor,
    pub(super) text: RGBColor,
    /// Labels and legend, with a contrast of at least 4.5 to 1 to the background.
    pub(super) muted: RGBColor,
    pub(super) grid: RGBColor,
    /// Different in hue and in lightness, for colour-blind readers.
    pub(super) lanes: [RGBColor; RatesQuery::MAX_LANES],
}

pub(super) const LIGHT: Colours = Colours {
    ground: RGBColor(255, 255, 255),
    text: RGBColor(24, 33, 43),
    muted: RGBColor(86, 99, 114),
    grid: RGBColor(224, 230, 236),
    lanes: [
        RGBColor(11, 94, 188),
        RGBColor(194, 65, 12),
        RGBColor(15, 118, 110),
        RGBColor(126, 34, 206),
        RGBColor(161, 98, 7),
        RGBColor(190, 24, 93),
        RGBColor(63, 98, 18),
        RGBColor(71, 85, 105),
        RGBColor(8, 145, 178),
        RGBColor(127, 29, 29),
    ],
};

pub(super) const DARK: Colours = Colours {
    ground: RGBColor(16, 22, 29),
    text: RGBColor(230, 237, 243),
    muted: RGBColor(154, 167, 180),
    grid: RGBColor(44, 54, 65),
    lanes: [
        RGBColor(108, 176, 255),
        RGBColor(255, 159, 90),
        RGBColor(79, 209, 197),
        RGBColor(210, 168, 255),
        RGBColor(250, 204, 21),
        RGBColor(249, 168, 212),
        RGBColor(163, 230, 53),
        RGBColor(203, 213, 225),
        RGBColor(165, 243, 252),
        RGBColor(248, 113, 113),
    ],
};
