//! The picture of one lane, or of up to four side by side, as SVG: the page, README files and mail all show this one.
//!
//! plotters maps values to points and writes the SVG; what to draw and where is decided here.

mod axis;
mod drawing;
mod series;
mod text;

use plotters::prelude::*;

use self::{
    drawing::{Drawing, DrawingError},
    series::Series,
    text::escape,
};
pub(crate) use self::{series::describe, text::thousands};
use super::{
    query::{Picture, RatesQuery, Theme},
    sql::Lane,
};
use crate::places::Catalogue;

/// Room for the labels of prices, left of the plot, in pixels; the page's script counts on it.
pub(crate) const LEFT: u16 = 64;
/// Room right of the plot.
pub(crate) const RIGHT: u16 = 16;
/// Room for the labels of days.
const BOTTOM: i32 = 28;
/// Points of the drawing for each pixel: plotters' points are whole numbers, and a line needs finer steps.
const SCALE: i32 = 4;
/// plotters gives a font 1/1.24 of the size it is told.
const FONT_SIZE: f64 = 1.24;

struct Colours {
    ground: RGBColor,
    text: RGBColor,
    /// Labels and what explains; still 4.5 to 1 on the ground.
    muted: RGBColor,
    grid: RGBColor,
    /// Apart in hue and in lightness, for readers who see few hues.
    lanes: [RGBColor; 4],
}

const LIGHT: Colours = Colours {
    ground: RGBColor(255, 255, 255),
    text: RGBColor(24, 33, 43),
    muted: RGBColor(86, 99, 114),
    grid: RGBColor(224, 230, 236),
    lanes: [RGBColor(11, 94, 188), RGBColor(194, 65, 12), RGBColor(15, 118, 110), RGBColor(126, 34, 206)],
};

const DARK: Colours = Colours {
    ground: RGBColor(16, 22, 29),
    text: RGBColor(230, 237, 243),
    muted: RGBColor(154, 167, 180),
    grid: RGBColor(44, 54, 65),
    lanes: [RGBColor(108, 176, 255), RGBColor(255, 159, 90), RGBColor(79, 209, 197), RGBColor(210, 168, 255)],
};

/// The picture of these lanes. Queries and lanes go in pairs, oldest day first.
pub(crate) fn draw(
    picture: &Picture<'_>,
    queries: &[RatesQuery<'_>],
    lanes: &[Lane],
    catalogue: &Catalogue,
) -> Result<Vec<u8>, DrawingError> {
    let (from, to) = (queries[0].from, queries[0].to);
    let series: Vec<Series> =
        queries.iter().zip(lanes).map(|(query, lane)| Series::new(query, lane, catalogue)).collect();
    let title = match series.as_slice() {
        [one] => one.name.clone(),
        several => format!("{} lanes compared", several.len()),
    };
    let span = if from == to { from.to_string() } else { format!("{from} to {to}") };
    let subtitle = format!("Average in US dollars per container, {span}");
    let in_words: Vec<String> = series.iter().map(|series| series.in_words(from)).collect();

    let (width, height) = (i32::from(picture.width), i32::from(picture.height));
    let mut text = String::new();
    {
        let size = ((width * SCALE).unsigned_abs(), (height * SCALE).unsigned_abs());
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let drawing = Drawing {
            colours: if picture.theme == Theme::Dark { &DARK } else { &LIGHT },
            width,
            height,
            from,
            series: &series,
        };
        drawing.draw(&root, &title, &subtitle)?;
    }
    // plotters begins with an <svg> of its own; ours has the size in pixels, and says in words what is shown.
    let drawn = text.split_once('\n').map_or("", |(_, drawn)| drawn);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"title description\">\n<title id=\"title\">",
        width * SCALE,
        height * SCALE,
    );
    escape(&mut svg, &format!("{title}, {span}"));
    svg.push_str("</title>\n<desc id=\"description\">");
    escape(&mut svg, &format!("{subtitle}. {}", in_words.join(" ")));
    svg.push_str("</desc>\n");
    svg.push_str(drawn);
    Ok(svg.into_bytes())
}
