//! A lane as a series for drawing, and as a sentence.

use chrono::{Days, NaiveDate};

use super::text::{date, thousands};
use crate::{
    lanes::{
        FoundLanes,
        day::{Day, Percentiles},
        lane::Lane,
        query::{Picture, PlaceName, RatesQuery, Values},
    },
    places::Catalogue,
};

/// A value of each day of the range; none is a gap.
pub(crate) type Daily = Vec<Option<f64>>;

/// A lane's values for drawing, by the index of the day in the range.
pub(crate) struct Series {
    pub(crate) name: String,
    /// The first day of the range, which is another for the year before.
    from: NaiveDate,
    /// Whether it is the first lane a year before.
    pub(crate) is_past: bool,
    /// The average price.
    pub(crate) means: Daily,
    pub(crate) counts: Vec<i32>,
    /// In US dollars, from the lowest.
    pub(crate) percentiles: Vec<Option<[f64; Percentiles::NAMES.len()]>>,
    /// What is drawn: the average or the moving average, as price, difference or index.
    pub(crate) line: Daily,
}

/// The lanes that were read for this picture as they are drawn.
pub(crate) fn series(picture: &Picture<'_>, query: &RatesQuery<'_>, found: &FoundLanes) -> Vec<Series> {
    let queries = query.lanes(picture);
    let lanes = queries.iter().zip(&found.lanes);
    let mut series: Vec<Series> =
        lanes.map(|(query, lane)| Series::new(picture, query, lane, &found.catalogue)).collect();
    if let (true, Some(past)) = (picture.previous_year, series.last_mut()) {
        past.is_past = true;
        past.name.push_str(", a year before");
    }
    express(&mut series, picture.values());
    series
}

impl Series {
    fn new(picture: &Picture<'_>, query: &RatesQuery<'_>, lane: &Lane, catalogue: &Catalogue) -> Self {
        let place = |place: &PlaceName<'_>| catalogue.label(place.as_ref());
        let name = format!("{} to {}", place(&query.origin), place(&query.destination))
            // XML cannot represent control characters.
            .replace(char::is_control, " ");
        let read: Vec<Option<&Day>> = lane.each_day(query).map(|(_, priced)| priced).collect();
        let days = &read[usize::from(picture.days_before())..];
        let means: Daily = days.iter().map(|priced| priced.and_then(Day::mean)).collect();
        let drawn = picture.moving_average.map(|width| moving_average(&read, width));
        Self {
            name,
            from: query.from + Days::new(u64::from(picture.days_before())),
            is_past: false,
            counts: days.iter().map(|priced| priced.map_or(0, |day| day.count)).collect(),
            percentiles: days
                .iter()
                .map(|priced| Some(priced.as_ref()?.percentiles.as_deref()?.dollars()))
                .collect(),
            line: drawn.unwrap_or_else(|| means.clone()),
            means,
        }
    }

    /// The band between two percentiles, by their positions.
    pub(super) fn band(&self, low: usize, high: usize) -> Vec<Option<(f64, f64)>> {
        self.percentiles.iter().map(|known| known.map(|values| (values[low], values[high]))).collect()
    }

    /// The alternative text of the picture, a sentence.
    pub(crate) fn in_words(&self) -> String {
        let priced: Vec<(u64, f64)> =
            (0..).zip(&self.means).filter_map(|(day, mean)| Some((day, (*mean)?))).collect();
        let (Some(first), Some(last)) = (priced.first(), priced.last()) else {
            return format!("{}: no day in this range has three or more prices.", self.name);
        };
        let priced_day = |(day, mean): &(u64, f64)| {
            format!("{} on {}", thousands(*mean), date(self.from + Days::new(*day)))
        };
        let by_price = |a: &&(u64, f64), b: &&(u64, f64)| a.1.total_cmp(&b.1);
        let lowest = priced.iter().min_by(by_price).map(priced_day).unwrap_or_default();
        let highest = priced.iter().max_by(by_price).map(priced_day).unwrap_or_default();
        format!(
            "{}: {} of {} days have an average, from {} to {}; lowest {lowest}, highest {highest}.",
            self.name,
            priced.len(),
            self.means.len(),
            priced_day(first),
            priced_day(last),
        )
    }
}

/// For each day the mean of all prices of `width` days up to it, where they are enough for a mean; none for the first
/// `width - 1` days, which are read only for those after them.
fn moving_average(days: &[Option<&Day>], width: u16) -> Daily {
    let windows = days.windows(usize::from(width));
    let mean = |window: &[Option<&Day>]| {
        let add = |(sum, count), day: &&Day| (sum + day.sum, count + day.count);
        let (sum, count) = window.iter().flatten().fold((0, 0), add);
        Day { day: NaiveDate::default(), sum, count, percentiles: None }.mean()
    };
    windows.map(mean).collect()
}

/// Turns the prices of the lines into what the picture shows.
fn express(series: &mut [Series], values: Values) {
    match values {
        Values::Price => {}
        Values::Difference => {
            let first = series[0].line.clone();
            for one in series {
                one.line = one.line.iter().zip(&first).map(|(a, b)| Some((*a)? - (*b)?)).collect();
            }
        }
        Values::Index => {
            let base = base_day(series);
            for one in series {
                let whole = base.and_then(|day| one.line[day]);
                one.line = one.line.iter().map(|value| Some((*value)? / whole? * 100.0)).collect();
            }
        }
    }
}

/// The first day on which all lines have a value, so that an index begins with the same day for all.
fn base_day(series: &[Series]) -> Option<usize> {
    (0..series[0].line.len())
        .find(|day| series.iter().all(|one| one.line[*day].is_some_and(|value| value > 0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(sum: i64, count: i32) -> Day {
        Day { day: NaiveDate::default(), sum, count, percentiles: None }
    }

    fn of_line(line: &[Option<f64>]) -> Series {
        Series {
            name: String::new(),
            from: NaiveDate::default(),
            is_past: false,
            means: Vec::new(),
            counts: Vec::new(),
            percentiles: Vec::new(),
            line: line.to_vec(),
        }
    }

    #[test]
    fn a_moving_average_is_of_all_prices_of_its_days() {
        let (first, third) = (day(20, 2), day(340, 3));
        let days = [Some(&first), None, Some(&third), None];
        // 20 from two prices are too few; 360 from five are 72; 340 from three remain when the first day leaves.
        assert_eq!(moving_average(&days, 2), [None, Some(340.0 / 3.0), Some(340.0 / 3.0)]);
        assert_eq!(moving_average(&days, 3), [Some(72.0), Some(340.0 / 3.0)]);
    }

    #[test]
    fn lines_are_compared_on_days_that_all_have() {
        let lines = [[None, Some(50.0), Some(75.0)], [Some(9.0), Some(10.0), None]];
        let expressed = |values| {
            let mut series = lines.map(|line| of_line(&line));
            express(&mut series, values);
            series.map(|one| one.line)
        };
        assert_eq!(expressed(Values::Price), lines);
        assert_eq!(
            expressed(Values::Difference),
            [vec![None, Some(0.0), Some(0.0)], vec![None, Some(-40.0), None]]
        );
        assert_eq!(
            expressed(Values::Index),
            [vec![None, Some(100.0), Some(150.0)], vec![Some(90.0), Some(100.0), None]]
        );
        let mut apart = [of_line(&[Some(1.0), None]), of_line(&[None, Some(1.0)])];
        express(&mut apart, Values::Index);
        assert_eq!(apart.map(|one| one.line), [[None, None], [None, None]]);
    }
}
