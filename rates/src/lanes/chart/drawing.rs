//! Draws the parts of the picture.

use chrono::NaiveDate;
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    axis::{DayAxis, middle, ticks},
    series::{Line, Series},
    style::{BOTTOM, Colours, FONT_SIZE, LEFT, RIGHT, SCALE},
    text::{fitting, text_width, thousands},
};
use crate::lanes::query::{Picture, Values};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plot<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<DayAxis, RangedCoordf64>>;

/// The bands of percentiles: the positions of their ends, and their opacity.
const BANDS: [(usize, usize, f64); 2] = [(0, 4, 0.16), (1, 3, 0.36)];
/// The opacity of what stands behind or between the lines.
const LIGHTER: f64 = 0.45;

pub(crate) type DrawingError = DrawingAreaErrorKind<std::io::Error>;
type Drawn = Result<(), DrawingError>;

/// What is drawn, and how large.
pub(super) struct Drawing<'a> {
    pub(super) colours: &'static Colours,
    pub(super) picture: &'a Picture<'a>,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) from: NaiveDate,
    pub(super) days: usize,
    pub(super) series: &'a [Series],
}

impl Drawing<'_> {
    pub(super) fn draw(&self, root: &Area<'_>, title: &str, subtitle: &str) -> Drawn {
        root.fill(&self.colours.ground)?;
        let left = i32::from(LEFT) - 48;
        let widest = f64::from(self.width - left - i32::from(RIGHT));
        let mut top = 12;
        if self.picture.title {
            let size = if text_width(title, 17.0) > widest { 13.0 } else { 17.0 };
            self.text(root, &fitting(title, size, widest), (left, top), size, FontStyle::Bold)?;
            top += 24;
        }
        self.text(root, &fitting(subtitle, 12.0, widest), (left, top), 12.0, FontStyle::Normal)?;
        let top = self.legend(root, left, top + 22)?;
        let (_, below) = root.split_vertically(top * SCALE);
        if self.has_one_lane() {
            let count_height = (self.height / 6).clamp(44, 140);
            let (upper, lower) = below.split_vertically((self.height - top - count_height - BOTTOM) * SCALE);
            self.prices(&upper, 0)?;
            self.counts(&lower, &self.series[0])?;
        } else {
            // The counts of several lanes would cover each other.
            self.prices(&below, BOTTOM)?;
        }
        root.present()
    }

    fn has_one_lane(&self) -> bool {
        self.picture.compare.is_empty()
    }

    /// The colour of each series.
    fn coloured(&self) -> impl Iterator<Item = (&Series, RGBColor)> {
        let lanes = self.series.iter().zip(self.colours.lanes.into_iter().chain([self.colours.muted]));
        lanes.map(|(series, colour)| (series, if series.is_past { self.colours.muted } else { colour }))
    }

    fn text(&self, area: &Area<'_>, text: &str, at: (i32, i32), size: f64, style: FontStyle) -> Drawn {
        let colour = if matches!(style, FontStyle::Bold) { self.colours.text } else { self.colours.muted };
        let font = FontDesc::new(FontFamily::SansSerif, size * FONT_SIZE * f64::from(SCALE), style);
        let style = font.color(&colour).pos(Pos::new(HPos::Left, VPos::Top));
        area.draw_text(text, &style, (at.0 * SCALE, at.1 * SCALE))
    }

    /// What the legend names: text, style and thickness of its mark.
    fn marks(&self) -> Vec<(String, ShapeStyle, i32)> {
        let mut marks: Vec<_> = self
            .coloured()
            .map(|(series, colour)| {
                let name = match self.picture.moving_average {
                    _ if series.is_past || !self.has_one_lane() => series.name.clone(),
                    Some(days) => format!("{days}-day average"),
                    None => "average".to_owned(),
                };
                (name, colour.filled(), 2)
            })
            .collect();
        let first = self.colours.lanes[0];
        if self.draws_days_lightly() && self.has_one_lane() {
            marks.push(("average of the day".to_owned(), first.mix(LIGHTER).filled(), 1));
        }
        if self.series[0].percentiles.iter().any(Option::is_some) {
            marks.push(("25 to 75 %".to_owned(), first.mix(BANDS[1].2).filled(), 10));
            marks.push(("2.5 to 97.5 % of prices".to_owned(), first.mix(BANDS[0].2).filled(), 10));
        }
        marks
    }

    /// Draws the legend, in as many lines as needed; returns where the plot can begin.
    fn legend(&self, area: &Area<'_>, left: i32, top: i32) -> Result<i32, DrawingError> {
        const SIZE: f64 = 12.0;
        const MARK: i32 = 22;
        let marks = self.marks();
        let widest = self.width - left - i32::from(RIGHT);
        let (mut x, mut y) = (left, top);
        for (name, style, thickness) in marks {
            let name = fitting(&name, SIZE, f64::from(widest - MARK));
            #[expect(clippy::cast_possible_truncation, reason = "bounded by the width of the picture")]
            let needed = MARK + text_width(&name, SIZE).ceil() as i32 + 16;
            if x > left && x + needed > left + widest {
                (x, y) = (left, y + 18);
            }
            // The plot gets half of the picture at least; the description names all lanes.
            if y > self.height / 2 - 26 {
                break;
            }
            let middle = y + 6;
            let corners = [
                (x * SCALE, (middle - thickness / 2) * SCALE),
                ((x + 16) * SCALE, (middle + (thickness + 1) / 2) * SCALE),
            ];
            area.draw(&Rectangle::new(corners, style))?;
            self.text(area, &name, (x + MARK, y), SIZE, FontStyle::Normal)?;
            x += needed;
        }
        Ok(y + 26)
    }

    /// A plot of the whole range with room for labels.
    fn plot<'b>(
        &self,
        area: &Area<'b>,
        bottom: i32,
        values: std::ops::Range<f64>,
        value_labels: usize,
    ) -> Result<Plot<'_, 'b>, DrawingError> {
        let days = self.days;
        let ticks = ticks(self.from, days, self.width - i32::from(LEFT + RIGHT));
        #[expect(clippy::cast_precision_loss, reason = "days are thousands")]
        let range =
            DayAxis { days: days as f64, labelled: ticks.iter().map(|(day, _)| middle(*day)).collect() };
        let mut plot = ChartBuilder::on(area)
            .margin_right(i32::from(RIGHT) * SCALE)
            .margin_top(6 * SCALE)
            .set_label_area_size(LabelAreaPosition::Left, i32::from(LEFT) * SCALE)
            .set_label_area_size(LabelAreaPosition::Bottom, bottom * SCALE)
            .build_cartesian_2d(range, values)?;
        let label = |day: &f64| {
            let found = ticks.iter().find(|(tick, _)| (middle(*tick) - day).abs() < 0.01);
            found.map(|(_, label)| label.clone()).unwrap_or_default()
        };
        let font =
            FontDesc::new(FontFamily::SansSerif, 12.0 * FONT_SIZE * f64::from(SCALE), FontStyle::Normal);
        plot.configure_mesh()
            .disable_x_mesh()
            .y_labels(value_labels)
            .light_line_style(TRANSPARENT)
            .bold_line_style(self.colours.grid.stroke_width(SCALE.unsigned_abs()))
            .axis_style(self.colours.grid.stroke_width(SCALE.unsigned_abs()))
            .set_all_tick_mark_size(4 * SCALE)
            .label_style(font.color(&self.colours.muted))
            .x_label_formatter(&label)
            .y_label_formatter(&|value| thousands(*value))
            .draw()?;
        Ok(plot)
    }

    fn prices(&self, area: &Area<'_>, bottom: i32) -> Drawn {
        let is_price = self.picture.values() == Values::Price;
        let shown = self.series.iter().flat_map(|series| {
            let ends = series.percentiles.iter().flatten().flat_map(|values| [values[0], values[4]]);
            let days = series.means.iter().filter(move |_| is_price);
            ends.chain(days.chain(&series.line).flatten().copied())
        });
        let (low, high) = shown.fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)));
        let some = low <= high;
        let (low, high) = if some { (low, high) } else { (0.0, 1.0) };
        // Space above and below, even if all prices are equal.
        let pad = ((high - low) * 0.06).max(high.abs() * 0.01).max(1.0);
        let labels = usize::try_from((self.height - 150) / 40).unwrap_or(0).clamp(3, 10);
        let lowest = if is_price { (low - pad).max(0.0) } else { low - pad };
        let mut plot = self.plot(area, bottom, lowest..high + pad, if some { labels } else { 0 })?;
        if !some {
            let font =
                FontDesc::new(FontFamily::SansSerif, 14.0 * FONT_SIZE * f64::from(SCALE), FontStyle::Normal);
            let style = font.color(&self.colours.muted).pos(Pos::new(HPos::Center, VPos::Center));
            let (width, height) = plot.plotting_area().dim_in_pixel();
            let middle = (i32::try_from(width).unwrap_or(0) / 2, i32::try_from(height).unwrap_or(0) / 2);
            let Series { interval, enough, .. } = &self.series[0];
            let unit = interval.name();
            let note = match (self.picture.values(), self.width) {
                (Values::Price, ..500) => format!("No {unit} with {enough}"),
                (Values::Price, _) => format!("No {unit} in this range has {enough}"),
                _ => format!("No {unit} on which all lanes have a value"),
            };
            return plot.plotting_area().strip_coord_spec().draw_text(&note, &style, middle);
        }
        for (series, colour) in self.coloured() {
            for (low, high, strength) in BANDS {
                self.band(&mut plot, &series.band(low, high), colour, strength)?;
            }
            if self.draws_days_lightly() {
                self.line(&mut plot, &series.means, &colour.mix(LIGHTER), SCALE)?;
            }
            self.line(&mut plot, &series.line, &colour.to_rgba(), 2 * SCALE)?;
        }
        Ok(())
    }

    /// Whether the averages of days are drawn behind their moving average.
    fn draws_days_lightly(&self) -> bool {
        self.picture.moving_average.is_some() && self.picture.values() == Values::Price
    }

    /// The days of an interval, on average.
    #[expect(clippy::cast_precision_loss, reason = "days are thousands")]
    fn interval_days(&self) -> f64 {
        self.days as f64 / self.series[0].spans.len() as f64
    }

    /// The position of a day on the axis: where it begins.
    #[expect(clippy::cast_precision_loss, reason = "days are thousands")]
    fn position(&self, day: NaiveDate) -> f64 {
        (day - self.from).num_days() as f64
    }

    /// The known values, each with the index and the middle of its interval. Lines are compared by index, so all stand where
    /// those of the first do.
    fn known<T: Copy>(&self, values: &[Option<T>]) -> Vec<(usize, (f64, T))> {
        let spans = self.series[0].spans.iter();
        let middles =
            spans.map(|(first, last)| f64::midpoint(self.position(*first), self.position(*last) + 1.0));
        let known = middles.zip(values).enumerate();
        known.filter_map(|(at, (middle, value))| Some((at, (middle, (*value)?)))).collect()
    }

    /// The longest gap that is bridged, in intervals: one, some days, or what is narrow in the picture of a long range.
    #[expect(clippy::cast_precision_loss, reason = "days are thousands")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and at most thousands"
    )]
    fn longest_gap(&self) -> usize {
        ((self.days as f64 / 60.0).max(5.0) / self.interval_days()).max(1.0) as usize
    }

    /// A band between two values of each interval, with lighter bridges over short gaps.
    fn band(
        &self,
        plot: &mut Plot<'_, '_>,
        values: &[Option<(f64, f64)>],
        colour: RGBColor,
        strength: f64,
    ) -> Drawn {
        let known = self.known(values);
        let (runs, bridges) = (runs(&known), bridges(&known, self.longest_gap()));
        let half = self.interval_days() * 0.3;
        let shapes = runs.iter().map(|run| (run.as_slice(), strength));
        let shapes = shapes.chain(bridges.iter().map(|bridge| (bridge.as_slice(), strength / 2.0)));
        for (shape, strength) in shapes {
            let above = shape.iter().map(|(x, (_, high))| (*x, *high));
            let below = shape.iter().rev().map(|(x, (low, _))| (*x, *low));
            let outline: Vec<(f64, f64)> = match shape {
                // An interval alone gets its width.
                [(x, (low, high))] => {
                    vec![(x - half, *high), (x + half, *high), (x + half, *low), (x - half, *low)]
                }
                _ => above.chain(below).collect(),
            };
            plot.draw_series([Polygon::new(outline, colour.mix(strength))])?;
        }
        Ok(())
    }

    /// A line through the values, with thinner and lighter bridges over short gaps.
    fn line(&self, plot: &mut Plot<'_, '_>, values: &Line, colour: &RGBAColor, width: i32) -> Drawn {
        // An interval without neighbours is a dot, at most as wide as the interval.
        let count = i32::try_from(values.len()).unwrap_or(i32::MAX).max(1);
        let dot = ((self.width - i32::from(LEFT + RIGHT)) * SCALE / count / 2).clamp(SCALE, 3 * SCALE);
        // Where intervals are narrow, a line whose bridges are thin reads as dashes.
        let are_narrow = (self.width - i32::from(LEFT + RIGHT)) / count < 4;
        let (strength, bridge_width) = if are_narrow { (0.75, width) } else { (LIGHTER, width / 2) };
        let bridge = colour.mix(strength).stroke_width(bridge_width.unsigned_abs());
        let known = self.known(values);
        for ends in bridges(&known, self.longest_gap()) {
            plot.draw_series([PathElement::new(ends.to_vec(), bridge)])?;
        }
        for run in runs(&known) {
            if let [alone] = run.as_slice() {
                plot.draw_series([Circle::new(*alone, dot, colour.filled())])?;
            } else {
                plot.draw_series([PathElement::new(run, colour.stroke_width(width.unsigned_abs()))])?;
            }
        }
        Ok(())
    }

    fn counts(&self, area: &Area<'_>, series: &Series) -> Drawn {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let counts: Vec<f64> = series.counts.iter().map(|count| *count as f64).collect();
        let most = counts.iter().copied().fold(3.0, f64::max);
        let mut plot = self.plot(area, BOTTOM, 0.0..most * 1.1, 3)?;
        // One stepped outline, because thousands of rectangles would make up most of the file.
        let mut outline = vec![(0.0, 0.0)];
        let mut height = 0.0;
        for ((first, _), count) in series.spans.iter().zip(&counts) {
            if count.total_cmp(&height).is_ne() {
                let start = self.position(*first);
                outline.extend([(start, height), (start, *count)]);
                height = *count;
            }
        }
        let end = middle(self.days) - 0.5;
        outline.extend([(end, height), (end, 0.0)]);
        plot.draw_series([Polygon::new(outline, self.colours.lanes[0].mix(0.5))])?;
        self.text(
            area,
            &format!("prices per {}", series.interval.name()),
            (i32::from(LEFT) + 6, -6),
            11.0,
            FontStyle::Normal,
        )
    }
}

/// The last value before each gap of at most so many intervals and the first one after it.
fn bridges<T: Copy>(known: &[(usize, (f64, T))], longest: usize) -> Vec<[(f64, T); 2]> {
    let neighbours = known.iter().zip(known.iter().skip(1));
    neighbours
        .filter(|((before, _), (after, _))| (1..=longest).contains(&(after - before - 1)))
        .map(|((_, before), (_, after))| [*before, *after])
        .collect()
}

/// The runs of values without a gap.
fn runs<T: Copy>(known: &[(usize, (f64, T))]) -> Vec<Vec<(f64, T)>> {
    let runs = known.chunk_by(|(before, _), (after, _)| before + 1 == *after);
    runs.map(|run| run.iter().map(|(_, point)| *point).collect()).collect()
}
