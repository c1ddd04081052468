//! Draws the parts of the picture.

use chrono::NaiveDate;
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    axis::{DayAxis, middle, ticks},
    series::Series,
    style::{BOTTOM, Colours, FONT_SIZE, LEFT, RIGHT, SCALE},
    text::{fitting, text_width, thousands},
};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plot<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<DayAxis, RangedCoordf64>>;

pub(crate) type DrawingError = DrawingAreaErrorKind<std::io::Error>;
type Drawn = Result<(), DrawingError>;

pub(super) struct Drawing<'a> {
    pub(super) colours: &'static Colours,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) from: NaiveDate,
    pub(super) series: &'a [Series],
}

impl Drawing<'_> {
    pub(super) fn draw(&self, root: &Area<'_>, title: &str, subtitle: &str) -> Drawn {
        root.fill(&self.colours.ground)?;
        let left = i32::from(LEFT) - 48;
        let widest = f64::from(self.width - left - i32::from(RIGHT));
        let title_size = if text_width(title, 17.0) > widest { 13.0 } else { 17.0 };
        self.text(root, &fitting(title, title_size, widest), (left, 12), title_size, FontStyle::Bold)?;
        self.text(root, &fitting(subtitle, 12.0, widest), (left, 36), 12.0, FontStyle::Normal)?;
        let top = self.legend(root, left, 58)?;
        let (_, below) = root.split_vertically(top * SCALE);
        if let [one] = self.series {
            let count_height = (self.height / 6).clamp(44, 140);
            let (upper, lower) = below.split_vertically((self.height - top - count_height - BOTTOM) * SCALE);
            self.prices(&upper, 0)?;
            self.counts(&lower, one)?;
        } else {
            // The counts of several lanes would cover each other.
            self.prices(&below, BOTTOM)?;
        }
        root.present()
    }

    fn text(&self, area: &Area<'_>, text: &str, at: (i32, i32), size: f64, style: FontStyle) -> Drawn {
        let colour = if matches!(style, FontStyle::Bold) { self.colours.text } else { self.colours.muted };
        let font = FontDesc::new(FontFamily::SansSerif, size * FONT_SIZE * f64::from(SCALE), style);
        let style = font.color(&colour).pos(Pos::new(HPos::Left, VPos::Top));
        area.draw_text(text, &style, (at.0 * SCALE, at.1 * SCALE))
    }

    /// Draws the legend, in as many lines as needed; returns where the plot can begin.
    fn legend(&self, area: &Area<'_>, left: i32, top: i32) -> Result<i32, DrawingError> {
        const SIZE: f64 = 12.0;
        const MARK: i32 = 22;
        let first = self.colours.lanes[0];
        let marks: Vec<(&str, ShapeStyle, i32)> = match self.series {
            [_] => vec![
                ("average", first.filled(), 2),
                ("25 to 75 %", first.mix(0.36).filled(), 10),
                ("2.5 to 97.5 % of prices", first.mix(0.16).filled(), 10),
            ],
            several => several
                .iter()
                .zip(self.colours.lanes)
                .map(|(series, colour)| (series.name.as_str(), colour.filled(), 2))
                .collect(),
        };
        let widest = self.width - left - i32::from(RIGHT);
        let (mut x, mut y) = (left, top);
        for (name, style, thickness) in marks {
            let name = fitting(name, SIZE, f64::from(widest - MARK));
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
        let days = self.series[0].means.len();
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
        let shown = self.series.iter().flat_map(|series| {
            let [wide, narrow] = &series.bands;
            let bands = wide.iter().chain(narrow).flatten().flat_map(|(low, high)| [*low, *high]);
            bands.chain(series.means.iter().flatten().copied())
        });
        let (low, high) = shown.fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)));
        let some = low <= high;
        let (low, high) = if some { (low, high) } else { (0.0, 1.0) };
        // Space above and below, even if all prices are equal.
        let pad = ((high - low) * 0.06).max(high.abs() * 0.01).max(1.0);
        let labels = usize::try_from((self.height - 150) / 40).unwrap_or(0).clamp(3, 10);
        let mut plot =
            self.plot(area, bottom, (low - pad).max(0.0)..high + pad, if some { labels } else { 0 })?;
        if !some {
            let font =
                FontDesc::new(FontFamily::SansSerif, 14.0 * FONT_SIZE * f64::from(SCALE), FontStyle::Normal);
            let style = font.color(&self.colours.muted).pos(Pos::new(HPos::Center, VPos::Center));
            let (width, height) = plot.plotting_area().dim_in_pixel();
            let middle = (i32::try_from(width).unwrap_or(0) / 2, i32::try_from(height).unwrap_or(0) / 2);
            let Series { unit, enough, .. } = &self.series[0];
            let note = if self.width < 500 {
                format!("No {unit} with {enough}")
            } else {
                format!("No {unit} in this range has {enough}")
            };
            return plot.plotting_area().strip_coord_spec().draw_text(&note, &style, middle);
        }
        // A day without neighbours is a dot, at most as wide as a day.
        let days = i32::try_from(self.series[0].means.len()).unwrap_or(i32::MAX).max(1);
        let dot = ((self.width - i32::from(LEFT + RIGHT)) * SCALE / days / 2).clamp(SCALE, 3 * SCALE);
        for (series, colour) in self.series.iter().zip(self.colours.lanes) {
            for (band, strength) in series.bands.iter().zip([0.16, 0.36]) {
                for run in runs(band) {
                    let above = run.iter().map(|(x, (_, high))| (*x, *high));
                    let below = run.iter().rev().map(|(x, (low, _))| (*x, *low));
                    let outline: Vec<(f64, f64)> = match run.as_slice() {
                        // A single day gets the width of a day.
                        [(x, (low, high))] => {
                            vec![(x - 0.3, *high), (x + 0.3, *high), (x + 0.3, *low), (x - 0.3, *low)]
                        }
                        _ => above.chain(below).collect(),
                    };
                    plot.draw_series([Polygon::new(outline, colour.mix(strength))])?;
                }
            }
            for run in runs(&series.means) {
                if let [alone] = run.as_slice() {
                    plot.draw_series([Circle::new(*alone, dot, colour.filled())])?;
                } else {
                    plot.draw_series([PathElement::new(run, colour.stroke_width(2 * SCALE.unsigned_abs()))])?;
                }
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
        for (day, count) in counts.iter().enumerate() {
            if count.total_cmp(&height).is_ne() {
                let start = middle(day) - 0.5;
                outline.extend([(start, height), (start, *count)]);
                height = *count;
            }
        }
        let end = middle(counts.len()) - 0.5;
        outline.extend([(end, height), (end, 0.0)]);
        plot.draw_series([Polygon::new(outline, self.colours.lanes[0].mix(0.5))])?;
        self.text(
            area,
            &format!("prices per {}", series.unit),
            (i32::from(LEFT) + 6, -6),
            11.0,
            FontStyle::Normal,
        )
    }
}

/// The runs of days without a gap.
fn runs<T: Copy>(days: &[Option<T>]) -> Vec<Vec<(f64, T)>> {
    let mut runs = vec![Vec::new()];
    for (day, value) in days.iter().enumerate() {
        match value {
            Some(value) => runs.last_mut().expect("there is always one").push((middle(day), *value)),
            None => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}
