//! The JSON of `GET /rates`, written directly into bytes for speed.

use super::{
    FoundLanes,
    day::{Day, Percentiles},
    element::{Columns, Element},
    query::RatesQuery,
};
use crate::{places::Pair, privacy::Privacy, values::write_day};
use chrono::NaiveDate;

/// The JSON elements of consecutive days, newest first, so that answers are put together by copying.
#[derive(Debug)]
pub struct DayTexts {
    /// Elements with commas between them.
    text: Box<[u8]>,
    /// Where each element begins, and one byte beyond the end of the last.
    starts: Box<[u32]>,
}

impl DayTexts {
    /// Writes an element for each of these days, which have prices or none.
    ///
    /// `count` is the number of prices, null where there is none; `price` their mean in US dollars, null where there are
    /// fewer than three. Both are exact; answers with rounded numbers are made from elements instead. A mean is the exact
    /// quotient rounded once to a double, in the shortest form that reads back to it.
    pub(super) fn write<'a>(
        days: impl Iterator<Item = (NaiveDate, Option<&'a Day>)>,
        with_percentiles: bool,
    ) -> Self {
        let (mut text, mut starts) = (Vec::with_capacity(2048), vec![0]);
        let columns = Columns { percentiles: with_percentiles, ..Columns::default() };
        for (day, priced) in days {
            if !text.is_empty() {
                text.push(b',');
            }
            let min_count = Day::PRICES_FOR_A_MEAN.into();
            let element = Element::of_day(day, priced, min_count, Privacy::default());
            write_element(&mut text, &element, columns);
            text.push(b'}');
            starts.push(u32::try_from(text.len() + 1).expect("a month has some kilobytes"));
        }
        Self { text: text.into_boxed_slice(), starts: starts.into_boxed_slice() }
    }

    /// The elements from the one at `first` to the one at `last`, counted from the newest, with commas between them.
    pub(super) fn between(&self, first: usize, last: usize) -> &[u8] {
        let end = last + 1;
        // Most months of a long range are whole; this spares them a look into other memory.
        if first == 0 && end == self.len() {
            return &self.text;
        }
        &self.text[self.starts[first] as usize..self.starts[end] as usize - 1]
    }

    /// The number of elements.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The memory that it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        self.text.len() + size_of_val(&*self.starts)
    }
}

/// The JSON of these lanes, each with the query of the same index: an element for each day or interval.
pub(crate) fn write(queries: &[RatesQuery<'_>], found: &FoundLanes) -> Vec<u8> {
    if let ([query], [lane]) = (queries, found.lanes.as_slice())
        && query.is_plain()
    {
        return lane.candidates[0].1.to_json(query);
    }
    let mut body = b"{\"rates\":[".to_vec();
    for (query, lane) in queries.iter().zip(&found.lanes) {
        let columns = Columns::of(query);
        let places = |(origin, destination): Pair, prefix: &str| {
            let code = |place| serde_json::Value::from(found.catalogue.code(place));
            format!("\"{prefix}orig_code\":{},\"{prefix}dest_code\":{}", code(origin), code(destination))
        };
        for placed in lane.elements(query) {
            write_element(&mut body, &placed.element, columns);
            if columns.lane {
                body.push(b',');
                body.extend_from_slice(places(lane.pair, "").as_bytes());
            }
            if columns.used {
                body.push(b',');
                body.extend_from_slice(places(placed.pair, "used_").as_bytes());
            }
            body.extend_from_slice(b"},");
        }
    }
    // The last comma.
    body.pop();
    body.extend_from_slice(b"]}");
    body
}

/// An element up to its closing brace. `count` is null where there is no price.
fn write_element(body: &mut Vec<u8>, element: &Element, columns: Columns) {
    body.extend_from_slice(b"{\"day\":\"");
    write_day(body, element.first);
    if columns.interval {
        body.extend_from_slice(b"\",\"last_day\":\"");
        write_day(body, element.last);
    }
    body.extend_from_slice(b"\",\"price\":");
    write_or_null(body, element.mean, write_number);
    body.extend_from_slice(b",\"count\":");
    write_or_null(body, Some(element.count).filter(|count| *count > 0), write_integer);
    if columns.interval {
        body.extend_from_slice(b",\"priced_days\":");
        write_integer(body, element.priced_days);
    }
    if columns.percentiles {
        for (at, name) in Percentiles::NAMES.into_iter().enumerate() {
            body.extend_from_slice(b",\"");
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(b"\":");
            write_or_null(body, element.percentiles.map(|values| values[at]), write_number);
        }
    }
}

fn write_or_null<T>(body: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(body, value),
        None => body.extend_from_slice(b"null"),
    }
}

pub(super) fn write_integer(body: &mut Vec<u8>, number: impl itoa::Integer) {
    body.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The shortest text that reads back to the same double; whole numbers without a point.
#[expect(clippy::cast_possible_truncation, reason = "only where it is exact")]
pub(super) fn write_number(body: &mut Vec<u8>, number: f64) {
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        write_integer(body, number as i64);
    } else {
        body.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    }
}
