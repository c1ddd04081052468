//! The CSV of `GET /lanes.csv`.

use std::fmt::{Display, Write as _};

use super::lanes::LaneSummary;
use crate::lanes::csv::field;

/// RFC 4180: a header with the names of the JSON, then a row for each lane; an empty field where the JSON has null. Prices have
/// two decimals, and changes four.
pub(super) fn write(lanes: impl Iterator<Item = LaneSummary>) -> Vec<u8> {
    let mut csv =
        "orig_code,dest_code,orig_name,dest_name,first_day,last_day,priced_days,mean_days,prices,latest_day,\
                   latest_price,change_7,change_30,change_365\r\n"
            .to_owned();
    for lane in lanes {
        // Every field is named, so that none is forgotten.
        let LaneSummary {
            orig_code,
            dest_code,
            orig_name,
            dest_name,
            first_day,
            last_day,
            priced_days,
            mean_days,
            prices,
            latest_day,
            latest_price,
            change_7,
            change_30,
            change_365,
        } = lane;
        let places = [orig_code, dest_code, orig_name, dest_name].map(|text| field(&text)).join(",");
        let _ = write!(csv, "{places},{first_day},{last_day},{priced_days},{mean_days},{prices}");
        push(&mut csv, latest_day);
        push(&mut csv, latest_price.map(|price| rounded(price, 2)));
        for change in [change_7, change_30, change_365] {
            push(&mut csv, change.map(|change| rounded(change, 4)));
        }
        csv.push_str("\r\n");
    }
    csv.into_bytes()
}

fn push(csv: &mut String, value: Option<impl Display>) {
    csv.push(',');
    if let Some(value) = value {
        let _ = write!(csv, "{value}");
    }
}

/// Rounded to so many decimals, and never -0.
fn rounded(value: f64, decimals: i32) -> f64 {
    let unit = 10_f64.powi(decimals);
    (value * unit).round() / unit + 0.0
}
