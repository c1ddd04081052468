//! Sizes and colours of the picture.

use plotters::style::RGBColor;

/// Room for the labels of prices, left of the plot, in pixels; the page's script counts on it.
pub(crate) const LEFT: u16 = 64;
/// Room right of the plot.
pub(crate) const RIGHT: u16 = 16;
/// Room for the labels of days.
pub(super) const BOTTOM: i32 = 28;
/// Points of the drawing for each pixel: plotters' points are whole numbers, and a line needs finer steps.
pub(super) const SCALE: i32 = 4;
/// plotters gives a font 1/1.24 of the size it is told.
pub(super) const FONT_SIZE: f64 = 1.24;

pub(super) struct Colours {
    pub(super) ground: RGBColor,
    pub(super) text: RGBColor,
    /// Labels and what explains; still 4.5 to 1 on the ground.
    pub(super) muted: RGBColor,
    pub(super) grid: RGBColor,
    /// Apart in hue and in lightness, for readers who see few hues.
    pub(super) lanes: [RGBColor; 4],
}

pub(super) const LIGHT: Colours = Colours {
    ground: RGBColor(255, 255, 255),
    text: RGBColor(24, 33, 43),
    muted: RGBColor(86, 99, 114),
    grid: RGBColor(224, 230, 236),
    lanes: [RGBColor(11, 94, 188), RGBColor(194, 65, 12), RGBColor(15, 118, 110), RGBColor(126, 34, 206)],
};

pub(super) const DARK: Colours = Colours {
    ground: RGBColor(16, 22, 29),
    text: RGBColor(230, 237, 243),
    muted: RGBColor(154, 167, 180),
    grid: RGBColor(44, 54, 65),
    lanes: [RGBColor(108, 176, 255), RGBColor(255, 159, 90), RGBColor(79, 209, 197), RGBColor(210, 168, 255)],
};
