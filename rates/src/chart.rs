//! The picture of one lane, or of up to four side by side, as SVG: the page, README files and mail all show this one.
//!
//! plotters maps values to points and writes the SVG; what to draw and where is decided here. Text is measured by
//! estimate: the fonts are the reader's.

use std::fmt::Write as _;

use chrono::{Datelike, Days, Months, NaiveDate};
use plotters::{
    coord::{
        Shift,
        ranged1d::{DefaultFormatting, KeyPointHint},
        types::RangedCoordf64,
    },
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    body,
    form::Form,
    params::{Order, Picture, PlaceName, RatesQuery, Statistics, Theme},
    places::Catalogue,
    sql::rates::Lane,
};

/// Room for the labels of prices, left of the plot, in pixels; the page's script counts on it.
pub(crate) const LEFT: u16 = 64;
/// Room right of the plot.
pub(crate) const RIGHT: u16 = 16;
/// Room for the labels of days.
const BOTTOM: i32 = 28;
/// Points of the drawing for each pixel: plotters' points are whole numbers, and a line needs finer steps.
const SCALE: i32 = 4;
/// plotters gives a font 1/1.24 of the size it is told.
const FONT_SIZE: f64 = 1.24;

struct Colours {
    ground: RGBColor,
    text: RGBColor,
    /// Labels and what explains; still 4.5 to 1 on the ground.
    muted: RGBColor,
    grid: RGBColor,
    /// Apart in hue and in lightness, for readers who see few hues.
    lanes: [RGBColor; 4],
}

const LIGHT: Colours = Colours {
    ground: RGBColor(255, 255, 255),
    text: RGBColor(24, 33, 43),
    muted: RGBColor(86, 99, 114),
    grid: RGBColor(224, 230, 236),
    lanes: [RGBColor(11, 94, 188), RGBColor(194, 65, 12), RGBColor(15, 118, 110), RGBColor(126, 34, 206)],
};

const DARK: Colours = Colours {
    ground: RGBColor(16, 22, 29),
    text: RGBColor(230, 237, 243),
    muted: RGBColor(154, 167, 180),
    grid: RGBColor(44, 54, 65),
    lanes: [RGBColor(108, 176, 255), RGBColor(255, 159, 90), RGBColor(79, 209, 197), RGBColor(210, 168, 255)],
};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plot<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<DayAxis, RangedCoordf64>>;

/// The days of a range, labelled where we want it: plotters' own axis of dates counts in weeks or months alone.
struct DayAxis {
    days: f64,
    labelled: Vec<f64>,
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

/// What must be read for an answer in this form: the query itself and, for a picture, the lanes it compares.
pub(crate) fn queries<'a>(query: &RatesQuery<'a>, form: &Form<'a>) -> Vec<RatesQuery<'a>> {
    let Form::Svg(picture) = form else {
        return vec![query.clone()];
    };
    // Bands of several lanes would hide each other.
    let statistics = if picture.compare.is_empty() { Statistics::Full } else { Statistics::Mean };
    let first = RatesQuery { order: Order::OldestFirst, statistics, ..query.clone() };
    let compared = picture.compare.iter().map(|(origin, destination)| RatesQuery {
        origin: origin.clone(),
        destination: destination.clone(),
        place_parameters: ["compare", "compare"],
        ..first.clone()
    });
    std::iter::once(first.clone()).chain(compared).collect()
}

/// A lane's days as they are drawn: by their number in the range.
struct Series {
    name: String,
    /// Mean price; none is a gap.
    means: Vec<Option<f64>>,
    counts: Vec<i32>,
    /// The 2.5 to 97.5 and the 25 to 75 percentile.
    bands: [Vec<Option<(f64, f64)>>; 2],
}

impl Series {
    fn new(query: &RatesQuery<'_>, lane: &Lane, catalogue: &Catalogue) -> Self {
        let place = |place: &PlaceName<'_>| catalogue.label(place.as_ref());
        let name = format!("{} to {}", place(&query.origin), place(&query.destination))
            // XML has no way to write control characters.
            .replace(char::is_control, " ");
        let days: Vec<Option<usize>> = body::each_day(query, lane).map(|(_, found)| found).collect();
        let band = |low: &[Option<f64>], high: &[Option<f64>]| {
            days.iter().map(|found| found.and_then(|index| Some((low[index]?, high[index]?)))).collect()
        };
        Self {
            name,
            means: days.iter().map(|found| body::mean(lane, (*found)?)).collect(),
            counts: days.iter().map(|found| found.map_or(0, |index| lane.days[index].count)).collect(),
            bands: lane
                .percentiles
                .as_ref()
                .map(|all| [band(&all.low, &all.high), band(&all.midlow, &all.midhigh)])
                .unwrap_or_default(),
        }
    }

    /// What the picture shows, in a sentence for those who cannot see it.
    fn in_words(&self, from: NaiveDate) -> String {
        let priced: Vec<(u64, f64)> =
            (0..).zip(&self.means).filter_map(|(day, mean)| Some((day, (*mean)?))).collect();
        let (Some(first), Some(last)) = (priced.first(), priced.last()) else {
            return format!("{}: no day has the three prices that a mean needs.", self.name);
        };
        let told = |(day, mean): &(u64, f64)| {
            format!("{} on {}", thousands(*mean), from.checked_add_days(Days::new(*day)).unwrap_or(from))
        };
        let by_price = |a: &&(u64, f64), b: &&(u64, f64)| a.1.total_cmp(&b.1);
        let lowest = priced.iter().min_by(by_price).map(told).unwrap_or_default();
        let highest = priced.iter().max_by(by_price).map(told).unwrap_or_default();
        format!(
            "{}: {} of {} days have a mean, from {} to {}; lowest {lowest}, highest {highest}.",
            self.name,
            priced.len(),
            self.means.len(),
            told(first),
            told(last),
        )
    }
}

/// Each lane's name, and in a sentence what its picture shows.
pub(crate) fn describe(
    queries: &[RatesQuery<'_>],
    lanes: &[Lane],
    catalogue: &Catalogue,
) -> Vec<(String, String)> {
    let series = queries.iter().zip(lanes).map(|(query, lane)| Series::new(query, lane, catalogue));
    series.map(|series| (series.name.clone(), series.in_words(queries[0].from))).collect()
}

/// The picture of these lanes. Queries and lanes go in pairs, oldest day first.
pub(crate) fn svg(
    picture: &Picture<'_>,
    queries: &[RatesQuery<'_>],
    lanes: &[Lane],
    catalogue: &Catalogue,
) -> Result<Vec<u8>, String> {
    let (from, to) = (queries[0].from, queries[0].to);
    let series: Vec<Series> =
        queries.iter().zip(lanes).map(|(query, lane)| Series::new(query, lane, catalogue)).collect();
    let title = match series.as_slice() {
        [one] => one.name.clone(),
        several => format!("{} lanes compared", several.len()),
    };
    let span = if from == to { from.to_string() } else { format!("{from} to {to}") };
    let subtitle = format!("Mean in US dollars a container, {span}");
    let in_words: Vec<String> = series.iter().map(|series| series.in_words(from)).collect();

    let (width, height) = (i32::from(picture.width), i32::from(picture.height));
    let mut text = String::new();
    {
        let size = ((width * SCALE).unsigned_abs(), (height * SCALE).unsigned_abs());
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let drawing = Drawing {
            colours: if picture.theme == Theme::Dark { &DARK } else { &LIGHT },
            width,
            height,
            from,
            series: &series,
        };
        drawing.draw(&root, &title, &subtitle).map_err(|error| error.to_string())?;
    }
    // plotters begins with an <svg> of its own; ours has the size in pixels, and says in words what is shown.
    let (_, drawn) = text.split_once('\n').ok_or("an SVG of no line")?;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"title description\">\n<title id=\"title\">",
        width * SCALE,
        height * SCALE,
    );
    escape(&mut svg, &format!("{title}, {span}"));
    svg.push_str("</title>\n<desc id=\"description\">");
    escape(&mut svg, &format!("{subtitle}. {}", in_words.join(" ")));
    svg.push_str("</desc>\n");
    svg.push_str(drawn);
    Ok(svg.into_bytes())
}

fn escape(svg: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => svg.push_str("&lt;"),
            '>' => svg.push_str("&gt;"),
            '&' => svg.push_str("&amp;"),
            other => svg.push(other),
        }
    }
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

struct Drawing<'a> {
    colours: &'static Colours,
    width: i32,
    height: i32,
    from: NaiveDate,
    series: &'a [Series],
}

impl Drawing<'_> {
    fn draw(&self, root: &Area<'_>, title: &str, subtitle: &str) -> Drawn {
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
            // The counts of several lanes would only hide each other.
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

    /// What each mark means, in as many lines as needed; returns where the plot may begin.
    fn legend(
        &self,
        area: &Area<'_>,
        left: i32,
        top: i32,
    ) -> Result<i32, DrawingAreaErrorKind<std::io::Error>> {
        const SIZE: f64 = 12.0;
        const MARK: i32 = 22;
        let first = self.colours.lanes[0];
        let marks: Vec<(&str, ShapeStyle, i32)> = match self.series {
            [_] => vec![
                ("mean", first.filled(), 2),
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
    ) -> Result<Plot<'_, 'b>, DrawingAreaErrorKind<std::io::Error>> {
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
        // Room above and below, also where all prices are equal.
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
            let note = if self.width < 500 {
                "No day has three prices"
            } else {
                "No day here has the three prices that a mean needs"
            };
            return plot.plotting_area().strip_coord_spec().draw_text(note, &style, middle);
        }
        // A day without neighbours is a dot, not wider than the day where days are narrow.
        let days = i32::try_from(self.series[0].means.len()).unwrap_or(i32::MAX).max(1);
        let dot = ((self.width - i32::from(LEFT + RIGHT)) * SCALE / days / 2).clamp(SCALE, 3 * SCALE);
        for (series, colour) in self.series.iter().zip(self.colours.lanes) {
            for (band, strength) in series.bands.iter().zip([0.16, 0.36]) {
                for run in runs(band) {
                    let above = run.iter().map(|(x, (_, high))| (*x, *high));
                    let below = run.iter().rev().map(|(x, (low, _))| (*x, *low));
                    let outline: Vec<(f64, f64)> = match run.as_slice() {
                        // A day alone is as wide as a day.
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
        let most = series.counts.iter().max().copied().unwrap_or(0).max(3);
        let mut plot = self.plot(area, BOTTOM, 0.0..f64::from(most) * 1.1, 3)?;
        // One outline of steps: a rectangle for each of thousands of days would be most of the file.
        let mut outline = vec![(0.0, 0.0)];
        let mut height = 0;
        for (day, count) in series.counts.iter().enumerate() {
            if *count != height {
                let start = middle(day) - 0.5;
                outline.extend([(start, f64::from(height)), (start, f64::from(*count))]);
                height = *count;
            }
        }
        let end = middle(series.counts.len()) - 0.5;
        outline.extend([(end, f64::from(height)), (end, 0.0)]);
        plot.draw_series([Polygon::new(outline, self.colours.lanes[0].mix(0.5))])?;
        self.text(area, "prices a day", (i32::from(LEFT) + 6, -6), 11.0, FontStyle::Normal)
    }
}

/// Where a day is on the axis.
#[expect(clippy::cast_precision_loss, reason = "days are thousands")]
fn middle(day: usize) -> f64 {
    day as f64 + 0.5
}

/// The stretches of days without a gap.
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

/// The days to label: of the steps that people count in, the shortest whose labels have room.
fn ticks(from: NaiveDate, days: usize, width: i32) -> Vec<(usize, String)> {
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

/// Whole dollars, in groups of three digits.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len() - index;
        if index > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        let _ = grouped.write_char(digit);
    }
    grouped
}

/// About how wide a text is in a common sans-serif font.
fn text_width(text: &str, size: f64) -> f64 {
    let ems: f64 = text
        .chars()
        .map(|character| match character {
            'i' | 'j' | 'l' | 't' | 'f' | 'r' | ' ' | ',' | '.' | '(' | ')' | '-' => 0.34,
            'm' | 'w' | 'M' | 'W' => 0.86,
            'A'..='Z' | '%' => 0.68,
            '\u{2e80}'.. => 1.0,
            _ => 0.56,
        })
        .sum();
    ems * size
}

/// The text, cut where it would be wider than `widest`.
fn fitting(text: &str, size: f64, widest: f64) -> String {
    if text_width(text, size) <= widest {
        return text.to_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        if text_width(&cut, size) + size * 1.4 > widest {
            break;
        }
        cut.push(character);
    }
    cut.push('…');
    cut
}
