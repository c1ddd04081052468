//! The CSV of `GET /rates.csv`.

use super::{
    day::{Day, Percentiles},
    json::{write_day, write_integer, write_number},
    lane::Lane,
    query::{PlaceName, RatesQuery, Statistics},
};

/// RFC 4180: a header, then one row for each day of the range; an empty field where the JSON has null.
pub(crate) fn write(query: &RatesQuery<'_>, lane: &Lane) -> Vec<u8> {
    let full = query.statistics == Statistics::Full;
    let mut body = b"orig_code,dest_code,day,price,count".to_vec();
    for name in Percentiles::NAMES.into_iter().filter(|_| full) {
        body.push(b',');
        body.extend_from_slice(name.as_bytes());
    }
    body.extend_from_slice(b"\r\n");
    let places = [place_field(&query.origin), place_field(&query.destination)].concat();
    for (day, priced) in lane.each_day(query) {
        body.extend_from_slice(&places);
        write_day(&mut body, day);
        body.push(b',');
        if let Some(mean) = priced.and_then(Day::mean) {
            write_number(&mut body, mean);
        }
        body.push(b',');
        if let Some(day) = priced {
            write_integer(&mut body, day.count);
        }
        if full {
            let values = priced.and_then(|day| day.percentiles.as_deref()).map(Percentiles::dollars);
            for at in 0..Percentiles::NAMES.len() {
                body.push(b',');
                if let Some(values) = values {
                    write_number(&mut body, values[at]);
                }
            }
        }
        body.extend_from_slice(b"\r\n");
    }
    body
}

/// Writes a name and a comma. Its characters need no quotes, but a spreadsheet would treat a name that starts with `-`
/// as a formula; dumps from other sources may contain such names.
fn place_field(place: &PlaceName<'_>) -> Vec<u8> {
    let name = place.as_ref();
    let guard = if name.starts_with('-') { "'" } else { "" };
    format!("{guard}{name},").into_bytes()
}
