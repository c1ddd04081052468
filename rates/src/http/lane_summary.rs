//! A lane of `GET /lanes`, as JSON and as a row of `/lanes.csv`.

use std::fmt::{Display, Write as _};

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{lanes::csv::field, places::Catalogue, summaries::Summary};

/// A lane that has prices.
#[derive(Serialize, ToSchema)]
pub(crate) struct LaneSummary {
    /// Where it begins: a port code or a region slug.
    #[schema(examples("CNGGZ"))]
    orig_code: String,
    /// Where it ends.
    #[schema(examples("EETLL"))]
    dest_code: String,
    /// The name of the place where it begins.
    #[schema(examples("Guangzhou"))]
    orig_name: String,
    /// The name of the place where it ends.
    #[schema(examples("Tallinn"))]
    dest_name: String,
    /// The first day with prices.
    #[schema(examples("2016-01-01"))]
    first_day: NaiveDate,
    /// The last day with prices.
    #[schema(examples("2021-12-31"))]
    last_day: NaiveDate,
    /// The number of days with prices.
    #[schema(minimum = 1, examples(1800))]
    priced_days: i32,
    /// The number of days with a mean.
    #[schema(minimum = 0, examples(1700))]
    mean_days: i32,
    /// The number of prices.
    #[schema(minimum = 1, examples(7000))]
    prices: i64,
    /// The newest day with a mean that is not in the future; null if there is none.
    #[schema(required, examples("2021-12-31"))]
    latest_day: Option<NaiveDate>,
    /// The mean of that day in US dollars.
    #[schema(required, minimum = 0, examples(1154.5))]
    latest_price: Option<f64>,
    /// The change of the mean up to that day, from the newest mean that is at least 7 and at most 14 days older, as a
    /// fraction: 0.1 is a tenth more. Null if there is no such mean.
    #[schema(required, examples(0.1))]
    change_7: Option<f64>,
    /// The same over 30 to 60 days.
    #[schema(required, examples(-0.05))]
    change_30: Option<f64>,
    /// The same over 365 to 730 days.
    #[schema(required, examples(0.4))]
    change_365: Option<f64>,
}

impl LaneSummary {
    pub(super) fn new(summary: &Summary, catalogue: &Catalogue) -> Self {
        let (origin, destination) = summary.pair();
        let [orig_code, dest_code] = [origin, destination].map(|end| catalogue.code(end).to_owned());
        Self {
            orig_name: catalogue.place_name(&orig_code),
            dest_name: catalogue.place_name(&dest_code),
            orig_code,
            dest_code,
            first_day: summary.first_day,
            last_day: summary.last_day,
            priced_days: summary.priced_days,
            mean_days: summary.mean_days,
            prices: summary.prices,
            latest_day: summary.latest_day,
            latest_price: summary.latest_mean,
            change_7: summary.change_7,
            change_30: summary.change_30,
            change_365: summary.change_365,
        }
    }
}

/// The CSV, by RFC 4180: a header with the names of the JSON, then a row for each lane; an empty field where the JSON has null. Prices have
/// two decimals, and changes four.
pub(super) fn write_csv(lanes: impl Iterator<Item = LaneSummary>) -> Vec<u8> {
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
