//! What answers show of prices, so that nobody learns those of a supplier from them.
//! docs/decisions/2026-11-26-privacy-of-suppliers.md says which attacks this prevents, and which it does not.

/// What answers show of prices. By default everything, exactly.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Privacy {
    /// How many suppliers must stand behind the prices of a day; a day with fewer is answered like one without prices.
    /// 0 and 1: no day is hidden.
    pub min_suppliers: u8,
    /// Means and percentiles are rounded to a multiple of so many dollars; 0: they are exact.
    pub price_step: u16,
    /// Whether the number of prices is rounded down to 1, 3, or 5, 10, 20, 50 and so on.
    pub count_bands: bool,
}

impl Privacy {
    /// Whether days are hidden.
    #[must_use]
    pub const fn hides_days(self) -> bool {
        self.min_suppliers > 1
    }

    /// Whether the numbers of a day that is not hidden are exact.
    pub(crate) const fn is_exact(self) -> bool {
        self.price_step == 0 && !self.count_bands
    }

    /// A mean or percentile, rounded. `round_mean` of the migrations does the same.
    pub(crate) fn round_price(self, exact: f64) -> f64 {
        if self.price_step == 0 {
            return exact;
        }
        let step = f64::from(self.price_step);
        (exact / step + 0.5).floor() * step
    }

    /// A number of prices, rounded down to its band.
    pub(crate) fn round_count(self, exact: i64) -> i64 {
        if self.count_bands { bands().take_while(|band| *band <= exact).last().unwrap_or(0) } else { exact }
    }

    /// The smallest number of prices that is shown as `wanted` or more. Numbers are compared with it and not with
    /// `min_count`; otherwise a client could raise `min_count` until the mean disappears, and learn the exact number.
    pub(crate) fn least_count(self, wanted: i64) -> i64 {
        if self.count_bands { bands().find(|band| *band >= wanted).unwrap_or(wanted) } else { wanted }
    }
}

/// The least numbers of prices of the bands: 1, 3, 5, and from there on twice, five times and ten times as many.
fn bands() -> impl Iterator<Item = i64> {
    let powers = std::iter::successors(Some(10_i64), |power| power.checked_mul(10));
    let tens = powers.flat_map(|power| [Some(power), power.checked_mul(2), power.checked_mul(5)]);
    [1, 3, 5].into_iter().chain(tens.map_while(|band| band))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BANDS: Privacy = Privacy { min_suppliers: 1, price_step: 0, count_bands: true };

    #[test]
    fn numbers_of_prices_are_shown_in_bands() {
        for (exact, shown) in [
            (0, 0),
            (1, 1),
            (2, 1),
            (3, 3),
            (4, 3),
            (5, 5),
            (9, 5),
            (10, 10),
            (19, 10),
            (20, 20),
            (499, 200),
            (500, 500),
        ] {
            assert_eq!(BANDS.round_count(exact), shown, "{exact}");
            assert_eq!(Privacy::default().round_count(exact), exact);
        }
        assert_eq!(BANDS.round_count(i64::MAX), 5_000_000_000_000_000_000);
    }

    #[test]
    fn prices_are_rounded_to_the_nearest_step() {
        let to = |price_step| Privacy { price_step, ..Privacy::default() };
        for (step, exact, shown) in [
            (0, 1000.4, 1000.4),
            (1, 1000.4, 1000.0),
            (1, 1000.5, 1001.0),
            (5, 1002.49, 1000.0),
            (5, 2.5, 5.0),
            (5, 1.0, 0.0),
        ] {
            assert_eq!(to(step).round_price(exact).to_bits(), f64::to_bits(shown), "{exact} by {step}");
        }
    }

    proptest! {
        #[test]
        fn min_count_reveals_no_more_than_the_band(exact in 0_i64..2_000_000, wanted in 1_i64..1_000_000) {
            prop_assert_eq!(exact >= BANDS.least_count(wanted), BANDS.round_count(exact) >= wanted);
        }
    }
}
