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
    style::{DARK, LIGHT, SCALE},
    text::escape,
};
pub(crate) use self::{
    series::{Line, Series, enough, series},
    style::{LEFT, RIGHT},
    text::{date, span, thousands},
};
use super::{
    FoundLanes,
    query::{Interval, Picture, RatesQuery, Theme, Values},
};

/// Draws the lanes that were read for this picture of a query, by these queries.
pub(crate) fn draw(
    picture: &Picture<'_>,
    query: &RatesQuery<'_>,
    queries: &[RatesQuery<'_>],
    found: &FoundLanes,
    container: &str,
) -> Result<Vec<u8>, DrawingError> {
    let (from, to) = (query.from, query.to);
    let series = series(picture, queries, found);
    let lanes = 1 + picture.compare.len();
    let title = if lanes == 1 { series[0].name.clone() } else { format!("{lanes} lanes compared") };
    let span = span(from, to);
    let unit = unit(picture, &series[0], container);
    let subtitle = if picture.title { format!("{unit}, {span}") } else { unit };
    let in_words: Vec<String> = series.iter().map(Series::in_words).collect();

    let (width, height) = (i32::from(picture.width), i32::from(picture.height));
    let mut text = String::new();
    {
        let size = ((width * SCALE).unsigned_abs(), (height * SCALE).unsigned_abs());
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let drawing = Drawing {
            colours: if picture.theme == Theme::Dark { &DARK } else { &LIGHT },
            picture,
            width,
            height,
            from,
            days: query.days(),
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

/// What the values of the picture are.
fn unit(picture: &Picture<'_>, first: &Series, container: &str) -> String {
    let interval = first.interval;
    let average = match (picture.moving_average, interval) {
        (Some(days), _) => format!("{days}-day average"),
        (None, Interval::Day) => "Average".to_owned(),
        (None, _) => format!("Average of each {}", interval.name()),
    };
    match picture.values() {
        Values::Price => format!("{average} in US dollars per {container}"),
        Values::Difference => format!("{average}, difference to {} in US dollars", first.name),
        Values::Index => format!("{average}, first common {} 100", interval.name()),
    }
}
