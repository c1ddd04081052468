//! The market: the lanes, and their prices each day.
//!
//! Prices are computed with integers, each factor in per mille, so that every machine writes the same bytes:
//!
//! ```text
//! level = base of the trade, in US dollars of January 2016 for a 40 ft container
//!       x trend             a change per year
//!       x season            highest on the trade's peak day, lowest half a year away, straight lines between
//!       x shock             the curve SHOCK, scaled for each trade
//!       x both ports        each port is a little more or less expensive than its trade
//!       x walk              the lane's own slow drift, at most 8 % from its trade
//! price = level x margin of the supplier on this lane x 1.5 % of noise
//! ```
//!
//! A lane has one to five suppliers. Each of them, independently, has a price on most working days and some weekend
//! days. So there are days with no, one, two and more prices, and a lane with two suppliers never has three.

use crate::calendar::Day;
use crate::places::{Port, ports_under};
use crate::random::Random;

/// All lanes from one region to another.
pub(crate) struct Trade {
    from: &'static str,
    to: &'static str,
    base: i64,
    /// Change per year, per mille.
    trend: i64,
    /// Amplitude of the season, per mille.
    season: i64,
    /// Day of the year with the highest season, from 0.
    peak: i64,
    /// Share of [`SHOCK`] that applies to the trade, per mille.
    shock: i64,
    /// Share of the possible lanes that are on the market, per mille.
    share: i64,
}

pub(crate) struct Lane {
    pub(crate) orig: &'static Port,
    pub(crate) dest: &'static Port,
    trade: &'static Trade,
}

const fn trade(
    [from, to]: [&'static str; 2],
    base: i64,
    trend: i64,
    [season, peak]: [i64; 2],
    shock: i64,
    share: i64,
) -> Trade {
    Trade { from, to, base, trend, season, peak, shock, share }
}

/// Levels and shares are plausible, not measured: head hauls out of Asia are expensive, volatile and hit hard in 2021;
/// the way back is cheap and stable.
static TRADES: [Trade; 15] = [
    trade(["china", "north_europe"], 1500, 25, [120, 225], 1000, 160),
    trade(["china", "south_europe"], 1650, 20, [100, 215], 950, 100),
    trade(["china", "north_america"], 1900, 30, [140, 240], 800, 100),
    trade(["china", "latin_america"], 2100, -10, [160, 260], 850, 60),
    trade(["china", "africa"], 2300, 15, [60, 280], 600, 70),
    trade(["china", "oceania"], 1200, 10, [110, 290], 900, 120),
    trade(["china", "middle_east"], 950, -5, [90, 130], 700, 140),
    trade(["northeast_asia", "north_europe"], 1600, 20, [90, 225], 950, 50),
    trade(["southeast_asia", "north_europe"], 1400, 25, [100, 220], 1000, 50),
    trade(["south_asia", "europe"], 1300, 10, [80, 60], 700, 40),
    trade(["north_europe", "china"], 800, -15, [50, 330], 150, 40),
    trade(["north_europe", "north_america"], 2000, 15, [40, 285], 350, 30),
    trade(["north_america", "china"], 700, -20, [40, 310], 100, 40),
    trade(["brazil", "europe"], 1250, 5, [70, 35], 250, 60),
    trade(["baltic_sea", "north_sea"], 450, 10, [30, 20], 120, 120),
];

/// Lanes with prices from [`FIRST`] to [`LAST`] and five suppliers. They are always on the market, whatever the share
/// of their trade.
const LONG: &[[&str; 2]] =
    &[["CNGGZ", "EETLL"], ["CNSGH", "NLRTM"], ["CNSGH", "USLAX"], ["CNYTN", "GBFXT"], ["NLRTM", "USNYC"]];

const FIRST: Day = Day::new(2015, 12, 1);
const LAST: Day = Day::new(2021, 12, 31);

/// The periods in which every lane has prices; other lanes have none outside them.
const DENSE: [[Day; 2]; 2] =
    [[Day::new(2015, 12, 20), Day::new(2016, 2, 5)], [Day::new(2020, 12, 20), Day::new(2021, 2, 5)]];

/// The change of the world market, per mille, interpolated linearly between these days.
const SHOCK: [(Day, i64); 9] = [
    (FIRST, 0),
    (Day::new(2016, 3, 15), -250),
    (Day::new(2016, 12, 1), 0),
    (Day::new(2020, 2, 1), 0),
    (Day::new(2020, 5, 1), -150),
    (Day::new(2020, 10, 15), 500),
    (Day::new(2021, 1, 20), 2600),
    (Day::new(2021, 9, 15), 4800),
    (LAST, 4200),
];

/// Per mille of the level.
const LARGEST_WALK: i64 = 80;

impl Trade {
    fn level(&self, day: Day) -> i64 {
        let trend = 1000 + self.trend * (day.0 - Day::new(2016, 1, 1).0) / 365;

        let away = (day.of_year().1 - self.peak).rem_euclid(365);
        let away = away.min(365 - away);
        let season = 1000 + self.season - 2 * self.season * away / 182;

        let shock = 1000 + shock(day) * self.shock / 1000;
        [trend, season, shock].into_iter().fold(self.base, scale)
    }
}

impl Lane {
    fn is_long(&self) -> bool {
        LONG.contains(&[self.orig.code, self.dest.code])
    }

    /// Every price of the lane by day; those of one day in the order of the lane's suppliers.
    pub(crate) fn prices(&self) -> Vec<(Day, i64)> {
        let mut random = Random::seeded(&format!("{} {}", self.orig.code, self.dest.code));
        let suppliers = if self.is_long() { 5 } else { random.between(1, 5) };
        let margins: Vec<i64> = (0..suppliers).map(|_| random.between(930, 1070)).collect();
        let ports = [self.orig, self.dest].map(|port| Random::seeded(port.code).between(950, 1060));

        let mut prices = Vec::new();
        let mut walk = 0;
        for day in (FIRST.0..=LAST.0).map(Day) {
            let dense = DENSE.iter().any(|[from, to]| (*from..=*to).contains(&day));
            if !dense && !self.is_long() {
                continue;
            }
            walk = (walk + random.between(-6, 6)).clamp(-LARGEST_WALK, LARGEST_WALK);
            let level = [ports[0], ports[1], 1000 + walk].into_iter().fold(self.trade.level(day), scale);
            let activity = if day.is_weekend() { 280 } else { 720 };
            for margin in &margins {
                if random.chance(activity) {
                    let noise = random.between(985, 1015);
                    prices.push((day, scale(scale(level, *margin), noise)));
                }
            }
        }
        prices
    }
}

fn scale(value: i64, per_mille: i64) -> i64 {
    value * per_mille / 1000
}

fn shock(day: Day) -> i64 {
    let next = SHOCK.partition_point(|(knot, _)| *knot < day).max(1);
    let [(from, low), (to, high)] = [SHOCK[next - 1], SHOCK[next]];
    low + (high - low) * (day.0 - from.0) / (to.0 - from.0)
}

/// The lanes on the market, in order of origin and destination.
pub(crate) fn lanes() -> Vec<Lane> {
    let mut lanes = Vec::new();
    for trade in &TRADES {
        for orig in ports_under(trade.from) {
            for dest in ports_under(trade.to) {
                let lane = Lane { orig, dest, trade };
                let mut random = Random::seeded(&format!("{} to {}", orig.code, dest.code));
                // The regions of a trade may overlap, and a port has no lane to itself.
                if orig.code != dest.code && (random.chance(trade.share) || lane.is_long()) {
                    lanes.push(lane);
                }
            }
        }
    }
    lanes.sort_by_key(|lane| (lane.orig.code, lane.dest.code));
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn counts(prices: &[(Day, i64)], from: Day, to: Day) -> BTreeMap<usize, usize> {
        let mut days = BTreeMap::new();
        for day in from.0..=to.0 {
            let count = prices.iter().filter(|price| price.0 == Day(day)).count();
            *days.entry(count).or_default() += 1;
        }
        days
    }

    #[test]
    fn a_pair_of_ports_is_one_lane() {
        let lanes = lanes();
        let pairs: BTreeSet<_> = lanes.iter().map(|lane| (lane.orig.code, lane.dest.code)).collect();
        assert_eq!(pairs.len(), lanes.len());
        for long in LONG {
            assert!(pairs.contains(&(long[0], long[1])), "{long:?}");
        }
    }

    #[test]
    fn every_trade_has_lanes() {
        let lanes = lanes();
        for trade in &TRADES {
            let count = lanes.iter().filter(|lane| std::ptr::eq(lane.trade, trade)).count();
            assert!(count > 0, "{} to {}", trade.from, trade.to);
        }
    }

    #[test]
    fn every_price_is_positive_and_plausible() {
        for lane in lanes() {
            for (day, price) in lane.prices() {
                assert!(
                    (200..20_000).contains(&price),
                    "{} {} {day}: {price}",
                    lane.orig.code,
                    lane.dest.code
                );
            }
        }
    }

    #[test]
    fn guangzhou_to_tallinn_has_days_of_all_kinds_in_both_januaries() {
        let lane = lanes()
            .into_iter()
            .find(|lane| (lane.orig.code, lane.dest.code) == ("CNGGZ", "EETLL"))
            .expect("the lane of the documentation's examples");
        let prices = lane.prices();
        for year in [2016, 2021] {
            let days = counts(&prices, Day::new(year, 1, 1), Day::new(year, 1, 31));
            for count in 0..=3 {
                assert!(days.contains_key(&count), "{year}: no day with {count} prices");
            }
            let full: usize = days.range(3..).map(|(_, days)| days).sum();
            assert!(full >= 10, "{year}: {full} days with three prices or more");
        }
    }

    #[test]
    fn some_lanes_never_have_three_prices_and_some_have_days_of_all_kinds() {
        let [from, to] = DENSE[0];
        let kinds: Vec<_> = lanes().iter().map(|lane| counts(&lane.prices(), from, to)).collect();
        assert!(kinds.iter().any(|days| days.range(3..).count() == 0));
        assert!(kinds.iter().any(|days| (0..=4).all(|n| days.contains_key(&n))));
    }

    #[test]
    fn shock_passes_through_its_knots_and_between_them() {
        for (day, shock_there) in SHOCK {
            assert_eq!(shock(day), shock_there);
        }
        let middle = shock(Day::new(2020, 12, 1));
        assert!((500..2600).contains(&middle), "{middle}");
    }

    #[test]
    fn season_is_highest_on_the_peak_day() {
        let trade = Trade { trend: 0, shock: 0, ..TRADES[0] };
        let year = || (0..365).map(|day| Day(Day::new(2018, 1, 1).0 + day));
        let best = year().max_by_key(|day| trade.level(*day)).unwrap();
        assert_eq!(best.of_year(), (2018, trade.peak));
        let low = year().map(|day| trade.level(day)).min().unwrap();
        assert_eq!(low, scale(trade.base, 1000 - trade.season));
    }
}
