//! The CSV of `GET /rates.csv`.

use super::{
    FoundLanes,
    day::Percentiles,
    element::Columns,
    json::{write_integer, write_number},
    query::RatesQuery,
};
use crate::{
    places::{Catalogue, Pair},
    values::write_day,
};

/// RFC 4180: a header, then one row for each element of each lane; an empty field where the JSON has null.
pub(crate) fn write(queries: &[RatesQuery<'_>], found: &FoundLanes) -> Vec<u8> {
    let columns = Columns::of(&queries[0]);
    let percentiles = if columns.percentiles { &Percentiles::NAMES[..] } else { &[] };
    let chosen = |is_chosen, names: &[&'static str]| if is_chosen { names.to_vec() } else { Vec::new() };
    let header = [
        vec!["orig_code", "dest_code", "day"],
        chosen(columns.interval, &["last_day"]),
        vec!["price", "count"],
        chosen(columns.interval, &["priced_days"]),
        percentiles.to_vec(),
        chosen(columns.used, &["used_orig_code", "used_dest_code"]),
    ];
    let mut body = header.concat().join(",").into_bytes();
    body.extend_from_slice(b"\r\n");
    for (query, lane) in queries.iter().zip(&found.lanes) {
        let places = place_fields(&found.catalogue, lane.pair);
        for placed in lane.elements(query) {
            let element = placed.element;
            body.extend_from_slice(places.as_bytes());
            body.push(b',');
            write_day(&mut body, element.first);
            if columns.interval {
                body.push(b',');
                write_day(&mut body, element.last);
            }
            write_price(&mut body, element.mean, query.decimals);
            body.push(b',');
            if element.count > 0 {
                write_integer(&mut body, element.count);
            }
            if columns.interval {
                body.push(b',');
                write_integer(&mut body, element.priced_days);
            }
            for at in 0..percentiles.len() {
                write_price(&mut body, element.percentiles.map(|values| values[at]), query.decimals);
            }
            if columns.used {
                body.push(b',');
                body.extend_from_slice(place_fields(&found.catalogue, placed.pair).as_bytes());
            }
            body.extend_from_slice(b"\r\n");
        }
    }
    body
}

/// Writes a comma and the price, if there is one, rounded to this number of decimals.
fn write_price(body: &mut Vec<u8>, price: Option<f64>, decimals: u8) {
    body.push(b',');
    let Some(price) = price else { return };
    let start = body.len();
    write_number(body, price);
    let point = body[start..].iter().position(|byte| *byte == b'.');
    // Prices are from 1 up, and below what is written with an exponent.
    if point.is_some_and(|point| body.len() - start - point - 1 > usize::from(decimals)) {
        body.truncate(start);
        let rounded = format!("{price:.*}", usize::from(decimals));
        let rounded =
            if decimals > 0 { rounded.trim_end_matches('0').trim_end_matches('.') } else { &rounded };
        body.extend_from_slice(rounded.as_bytes());
    }
}

fn place_fields(catalogue: &Catalogue, (origin, destination): Pair) -> String {
    format!("{},{}", field(catalogue.code(origin)), field(catalogue.code(destination)))
}

/// A code, slug or name. A spreadsheet would treat one that starts with `-` as a formula; dumps from other sources may contain
/// such, and characters that need quotes.
pub(crate) fn field(text: &str) -> String {
    let guard = if text.starts_with(['-', '=', '+', '@']) { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{guard}{}\"", text.replace('"', "\"\""));
    }
    format!("{guard}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rounded_price_ends_without_needless_zeros() {
        for (price, decimals, written) in [
            (1000.4, 0, ",1000"),
            (1000.96, 1, ",1001"),
            (1000.101, 2, ",1000.1"),
            // More decimals would show digits that are not in the JSON.
            (5005.0 / 3.0, 14, ",1668.3333333333333"),
        ] {
            let mut body = Vec::new();
            write_price(&mut body, Some(price), decimals);
            assert_eq!(String::from_utf8(body).unwrap(), written);
        }
    }
}
