//! The chart of one lane, or of up to four, as SVG. The page, README files and mail all show this picture.
//!
//! plotters maps values to points and writes the SVG; this module decides what to draw and where.

mod axis;
mod drawing;
mod series;
mod style;
mod text;

use plotters::prelude::*;

use self::{
    drawing::{Drawing, DrawingError},
    series::Series,
    style::{DARK, LIGHT, SCALE},
    text::escape,
};
pub(crate) use self::{
    series::describe,
    style::{LEFT, RIGHT},
    text::thousands,
};
use super::{
    element::FoundLane,
    query::{Picture, RatesQuery, Theme},
};
use crate::places::Catalogue;

/// Draws these lanes. Each query belongs to the lane at the same index; the oldest day is first.
pub(crate) fn draw(
    picture: &Picture<'_>,
    queries: &[RatesQuery<'_>],
    lanes: &[FoundLane],
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
    let in_words: Vec<String> = series.iter().map(Series::in_words).collect();

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
    // Replaces the <svg> element of plotters by one with the size in pixels and the alternative text.
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
