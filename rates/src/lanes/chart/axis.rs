//! The axis of days: where a day is, and which days are labelled.

use chrono::{Datelike, Days, Months, NaiveDate};
use plotters::{
    coord::ranged1d::{DefaultFormatting, KeyPointHint},
    prelude::*,
};

/// The days of a range with our choice of labels: the date axis of plotters uses only weeks or months.
pub(super) struct DayAxis {
    pub(super) days: f64,
    pub(super) labelled: Vec<f64>,
}

impl Ranged for DayAxis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        #[expect(clippy::cast_possible_truncation, reason = "within the picture")]
        let offset = (f64::from(end - start) * value / self.days).round() as i32;
        start + offset
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.labelled.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        0.0..self.days
    }
}

/// The position of a day on the axis.
#[expect(clippy::cast_precision_loss, reason = "days are thousands")]
pub(super) fn middle(day: usize) -> f64 {
    day as f64 + 0.5
}

/// The days to label, at the shortest common step whose labels fit.
pub(super) fn ticks(from: NaiveDate, days: usize, width: i32) -> Vec<(usize, String)> {
    const LABEL: i32 = 64;
    let most = usize::try_from((width / LABEL).max(2)).unwrap_or(2);
    let day_at = |number: usize| from.checked_add_days(Days::new(number as u64)).unwrap_or(from);
    if let Some(step) = [1, 2, 7, 14].into_iter().find(|step| days.div_ceil(*step) <= most) {
        return (0..days).step_by(step).map(|day| (day, day_at(day).format("%-d %b").to_string())).collect();
    }
    let to = day_at(days.saturating_sub(1));
    let months = u32::try_from((to.year() - from.year()) * 12).unwrap_or(0) + to.month0() + 1;
    let step = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600]
        .into_iter()
        .find(|step| ((months - from.month0()) / step) as usize <= most)
        .unwrap_or(1200);
    let first = from.with_day(1).unwrap_or(from);
    (0..months)
        .filter_map(|month| first.checked_add_months(Months::new(month)))
        .take_while(|day| *day <= to)
        .filter(|day| {
            let months = u32::try_from(day.year()).unwrap_or(0) * 12 + day.month0();
            *day >= from && months.is_multiple_of(step)
        })
        .map(|day| {
            let label = if step >= 12 { day.format("%Y") } else { day.format("%b %Y") };
            (usize::try_from((day - from).num_days()).unwrap_or(0), label.to_string())
        })
        .collect()
}
