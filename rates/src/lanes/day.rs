//! A day of a lane.

use chrono::NaiveDate;

/// A day of a lane that has prices.
#[derive(Debug, Clone)]
pub struct Day {
    /// The day.
    pub day: NaiveDate,
    /// The sum of its prices in US dollars.
    pub sum: i64,
    /// How many prices.
    pub count: i32,
    /// Only if requested and the day has enough prices for a mean. Boxed, because most reads have none.
    pub percentiles: Option<Box<Percentiles>>,
}

/// The 2.5th, 25th, 50th, 75th and 97.5th percentile of a day's prices, interpolated between neighbours as
/// `percentile_cont` does.
///
/// In fortieths of a US dollar: a percentile lies a multiple of 1/40 of the way from one price to the next, and prices
/// are whole dollars. So these are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles(pub [i64; Self::NAMES.len()]);

impl Day {
    /// The fewest prices for percentiles, and for a mean unless more are configured or asked for.
    pub(crate) const PRICES_FOR_A_MEAN: i32 = 3;

    /// Whether it has percentiles.
    pub(crate) fn has_enough_prices(&self) -> bool {
        self.count >= Self::PRICES_FOR_A_MEAN
    }
}

impl Percentiles {
    /// Their names in answers, from the lowest.
    pub(crate) const NAMES: [&str; 5] = ["low", "midlow", "median", "midhigh", "high"];

    /// Those nearest to these values in US dollars, which `percentile_cont` computes with an error far below a fortieth.
    #[expect(clippy::cast_possible_truncation, reason = "forty times a price has 37 bits")]
    pub(crate) fn nearest(dollars: &[f64]) -> Option<Self> {
        let dollars: [f64; Self::NAMES.len()] = dollars.try_into().ok()?;
        Some(Self(dollars.map(|dollars| (dollars * 40.0).round() as i64)))
    }

    /// In US dollars, in the order of their names.
    #[expect(clippy::cast_precision_loss, reason = "forty times a price has 37 bits")]
    pub(crate) fn dollars(&self) -> [f64; Self::NAMES.len()] {
        self.0.map(|fortieths| fortieths as f64 / 40.0)
    }
}
