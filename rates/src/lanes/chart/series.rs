//! A lane as a series for drawing, and as a sentence.

use chrono::NaiveDate;

use super::text::{date, thousands};
use crate::{
    lanes::{
        FoundLanes,
        day::{Day, Percentiles},
        element::{PlacedElement, Total},
        found_lanes::FoundLane,
        query::{Interval, Picture, RatesQuery, Values},
    },
    places::{Catalogue, Pair},
};

/// A value of each interval of the range; none is a gap.
pub(crate) type Line = Vec<Option<f64>>;

/// A lane's values for drawing, by the index of the interval in the range.
pub(crate) struct Series {
    pub(crate) name: String,
    /// Whether it is the first lane a year before.
    pub(crate) is_past: bool,
    /// What the values are of: days, weeks and so on.
    pub(crate) interval: Interval,
    /// The first and the last day of each interval.
    pub(crate) spans: Vec<(NaiveDate, NaiveDate)>,
    /// The average price.
    pub(crate) means: Line,
    pub(crate) counts: Vec<i64>,
    /// In US dollars, from the lowest.
    pub(crate) percentiles: Vec<Option<[f64; Percentiles::NAMES.len()]>>,
    /// What is drawn: the average or the moving average, as price, difference or index.
    pub(crate) line: Line,
    /// How many prices an average needs, in words.
    pub(super) enough: String,
}

/// The lanes that were read for this picture by these queries, as they are drawn.
pub(crate) fn series(picture: &Picture<'_>, queries: &[RatesQuery<'_>], found: &FoundLanes) -> Vec<Series> {
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
    fn new(picture: &Picture<'_>, query: &RatesQuery<'_>, lane: &FoundLane, catalogue: &Catalogue) -> Self {
        let read = lane.elements(query);
        let shown = &read[usize::from(picture.days_before())..];
        let elements = || shown.iter().map(|placed| &placed.element);
        let means: Line = elements().map(|element| element.mean).collect();
        let moving = picture.moving_average.map(|width| moving_average(&read, width, query));
        Self {
            name: name(lane, catalogue),
            is_past: false,
            interval: query.interval,
            spans: elements().map(|element| (element.first, element.last)).collect(),
            counts: elements().map(|element| element.count).collect(),
            percentiles: elements().map(|element| element.percentiles).collect(),
            line: moving.unwrap_or_else(|| means.clone()),
            means,
            enough: enough(query.min_count),
        }
    }

    /// The band between two percentiles, by their positions.
    pub(super) fn band(&self, low: usize, high: usize) -> Vec<Option<(f64, f64)>> {
        self.percentiles.iter().map(|known| known.map(|values| (values[low], values[high]))).collect()
    }

    /// The alternative text of the picture, a sentence.
    pub(crate) fn in_words(&self) -> String {
        let Self { name, enough, .. } = self;
        let unit = self.interval.name();
        let known =
            self.spans.iter().zip(&self.means).filter_map(|((first, _), mean)| Some((*first, (*mean)?)));
        let averages: Vec<(NaiveDate, f64)> = known.collect();
        let (Some(first), Some(last)) = (averages.first(), averages.last()) else {
            return format!("{name}: no {unit} in this range has {enough}.");
        };
        let average = |(day, mean): &(NaiveDate, f64)| match self.interval {
            Interval::Day => format!("{} on {}", thousands(*mean), date(*day)),
            _ => format!("{} in the {unit} from {}", thousands(*mean), date(*day)),
        };
        let by_price = |a: &&(NaiveDate, f64), b: &&(NaiveDate, f64)| a.1.total_cmp(&b.1);
        let lowest = averages.iter().min_by(by_price).map(average).unwrap_or_default();
        let highest = averages.iter().max_by(by_price).map(average).unwrap_or_default();
        format!(
            "{name}: {} of {} {unit}s have an average, from {} to {}; lowest {lowest}, highest {highest}.",
            averages.len(),
            self.spans.len(),
            average(first),
            average(last),
        )
    }
}

/// How many prices an average needs, in words.
pub(crate) fn enough(min_count: i64) -> String {
    if min_count == i64::from(Day::PRICES_FOR_A_MEAN) {
        return "three or more prices".to_owned();
    }
    format!("{min_count} or more prices")
}

/// The name of a lane, and of the wider places that its prices are of.
fn name(lane: &FoundLane, catalogue: &Catalogue) -> String {
    let label = |(origin, destination): Pair| {
        let label = |place| catalogue.label(catalogue.code(place));
        format!("{} to {}", label(origin), label(destination))
    };
    let mut name = label(lane.pair);
    match lane.candidates.as_slice() {
        [(pair, _)] if *pair != lane.pair => name = format!("{name}, by {}", label(*pair)),
        [_] => {}
        _ => name.push_str(", in part by wider regions"),
    }
    // XML cannot represent control characters.
    name.replace(char::is_control, " ")
}

/// For each day the mean of all prices of `width` days up to it, where they are enough for a mean; none for the first
/// `width - 1` days, which are read only for those after them.
fn moving_average(days: &[PlacedElement], width: u16, query: &RatesQuery<'_>) -> Line {
    let mean = |window: &[PlacedElement]| {
        let total = window.iter().fold(Total::default(), |total, day| total.add(day.element.total));
        total.mean(query.min_count, query.privacy)
    };
    days.windows(usize::from(width)).map(mean).collect()
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
            let base = base(series);
            for one in series {
                let whole = base.and_then(|at| one.line[at]);
                one.line = one.line.iter().map(|value| Some((*value)? / whole? * 100.0)).collect();
            }
        }
    }
}

/// The first interval of which all lines have a value, so that an index begins with the same one for all.
fn base(series: &[Series]) -> Option<usize> {
    (0..series[0].line.len())
        .find(|at| series.iter().all(|one| one.line[*at].is_some_and(|value| value > 0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lanes::{element::Element, query::QueryLimits},
        places::PlaceId,
        privacy::Privacy,
    };

    fn of_line(line: &[Option<f64>]) -> Series {
        Series {
            name: String::new(),
            is_past: false,
            interval: Interval::Day,
            spans: Vec::new(),
            means: Vec::new(),
            counts: Vec::new(),
            percentiles: Vec::new(),
            line: line.to_vec(),
            enough: String::new(),
        }
    }

    #[test]
    fn a_moving_average_is_of_all_prices_of_its_days() {
        let days = [(20, 2), (0, 0), (340, 3), (0, 0)].map(|(sum, count)| {
            let day = Day { day: NaiveDate::default(), sum, count, percentiles: None };
            let element = Element::of_day(day.day, Some(&day), 3, Privacy::default());
            PlacedElement { element, pair: (PlaceId(1), PlaceId(2)) }
        });
        let average = |width, min_count, price_step| {
            let query = "date_from=2021-01-01&date_to=2021-01-04&lane=A:B";
            let limits =
                QueryLimits { max_days: 9, min_count, privacy: Privacy { price_step, ..Privacy::default() } };
            moving_average(&days, width, &RatesQuery::parse(query, limits).unwrap())
        };
        // 20 from two prices are too few; 360 from five are 72; 340 from three remain when the first day leaves.
        assert_eq!(average(2, 3, 0), [None, Some(340.0 / 3.0), Some(340.0 / 3.0)]);
        assert_eq!(average(3, 3, 0), [Some(72.0), Some(340.0 / 3.0)]);
        assert_eq!(average(3, 4, 0), [Some(72.0), None]);
        assert_eq!(average(3, 3, 5), [Some(70.0), Some(115.0)]);
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
