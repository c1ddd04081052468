//! `GET /` in a browser: the explorer. The URL contains the page's whole state and the server draws all of it, so
//! links, bookmarks and the back button work, and the page works without its script.

use askama::Template;
use chassis::{Problem, compression::CompressibleBody};
use chrono::NaiveDate;

use super::{
    assets::{ASSETS, Assets},
    form::{DayField, Fault, Form, Link},
    home::{Home, Market},
    query::PageQuery,
    shown::{self, Shown, months_up_to},
    view::{Names, View},
};
use crate::{
    app::App,
    lanes::{
        FoundLanes, Lanes, NoLanes, chart,
        query::{Fingerprint, Interval, Picture, RatesQuery, Values},
        store::Source,
    },
    places::{Catalogue, Pair},
    values::parse_day,
};

/// The days shown by default: a quarter, up to the newest day with a price.
const DEFAULT_MONTHS: u32 = 3;

#[derive(Template)]
#[template(path = "explorer.html")]
struct Page<'a> {
    assets: &'a Assets,
    form: Form,
    options: Options,
    ranges: Vec<Link>,
    shown: Option<Shown>,
    home: Option<Home>,
    /// Whether there are no prices at all.
    is_empty: bool,
    /// Whether no worker has looked for lanes yet.
    is_new: bool,
    left: u16,
    right: u16,
    /// What a price is for, in words.
    container: String,
    /// How many prices an average needs, in words.
    enough: String,
}

/// The choices of how lanes are drawn.
struct Options {
    intervals: Vec<Choice>,
    /// Whether there is a choice: a moving average is of days.
    has_intervals: bool,
    values: Vec<Choice>,
    averages: Vec<Choice>,
    previous_year: bool,
}

struct Choice {
    value: String,
    text: String,
    chosen: bool,
}

/// Why the page cannot show the lanes of the query.
pub(crate) enum NoPage {
    /// The query has faults; this page lists them.
    Faults(String),
    /// Reading the data failed.
    Problem(Problem),
}

impl From<Problem> for NoPage {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// The page of this query string, kept or rendered now.
pub(crate) async fn page(app: &App, text: &str) -> Result<(CompressibleBody, Source), NoPage> {
    let query = PageQuery::parse(text);
    let service = &app.lanes;
    let catalogue = service.places.known_or_read().await?;
    let (form, lanes) = Form::new(&query, &catalogue);
    let mut page = Page::new(service, form, &query);
    let days = days_of(service, &catalogue, &query, &lanes, &mut page.form).await?;
    let Some(days) = days.filter(|_| page.form.faults.is_empty()) else {
        return Err(NoPage::Faults(page.render().map_err(Problem::internal)?));
    };
    if lanes.is_empty() {
        home_page(app, &catalogue, page).await
    } else {
        lane_page(service, text, &query, lanes, days, page).await
    }
}

/// The page of lanes over some days.
async fn lane_page(
    service: &Lanes,
    text: &str,
    query: &PageQuery<'_>,
    lanes: Vec<Names>,
    (from, to): (NaiveDate, NaiveDate),
    mut page: Page<'_>,
) -> Result<(CompressibleBody, Source), NoPage> {
    let view = View::new(lanes, (&from.to_string(), &to.to_string()), query);
    let (first, picture) =
        shown::query(&view.lanes, (from, to), query.interval, &query.picture, service.limits)?;
    page.options.name_automatic_interval(shown::interval_of(first.days(), &picture));
    let queries = first.query_per_line(&picture);
    let found = read(service, &queries).await?;
    let fingerprint = fingerprint(&["page", text, &view.from, &view.to], &found);
    let render = || {
        page.form.from = DayField { value: view.from.clone(), wrong: false };
        page.form.to = DayField { value: view.to.clone(), wrong: false };
        page.ranges = shown::ranges(&view, from, to);
        page.shown = Some(shown::show(&first, &queries, &picture, &view, &found));
        page.render().map(String::into_bytes)
    };
    let html = service.answers.get_or_make(fingerprint.into(), render).map_err(Problem::internal)?;
    Ok((html, found.source))
}

/// The page without a query.
async fn home_page(
    app: &App,
    catalogue: &Catalogue,
    mut page: Page<'_>,
) -> Result<(CompressibleBody, Source), NoPage> {
    let service = &app.lanes;
    let (list, source) = app.lane_list().await?;
    let Some(market) = Market::find(&list, catalogue) else {
        (page.is_empty, page.is_new) = (true, list.state.version == 0);
        let html = page.render().map_err(Problem::internal)?;
        return Ok((html.into(), source));
    };
    let spark_queries = market.queries(catalogue, service.limits)?;
    let sparks = read(service, &spark_queries).await?;
    let days = market.days(service.limits);
    let (from, to) = (days.0.to_string(), days.1.to_string());
    let view = View::new(market.charted(catalogue), (&from, &to), &PageQuery::default());
    let (first, picture) = shown::query(&view.lanes, days, None, &Picture::default(), service.limits)?;
    let queries = first.query_per_line(&picture);
    let charted = read(service, &queries).await?;
    let mut fingerprint = fingerprint(&["home", &from, &to], &sparks);
    list.state.add_to(&mut fingerprint);
    charted.add_names_to(&mut fingerprint);
    let render = || {
        page.shown = Some(shown::show(&first, &queries, &picture, &view, &charted));
        page.home = Some(Home::new(&market, &spark_queries, &sparks));
        page.render().map(String::into_bytes)
    };
    let html = service.answers.get_or_make(fingerprint.into(), render).map_err(Problem::internal)?;
    Ok((html, source.max(sparks.source).max(charted.source)))
}

/// Reads lanes whose places existed when the query was resolved.
async fn read(service: &Lanes, queries: &[RatesQuery<'_>]) -> Result<FoundLanes, Problem> {
    service.read(queries).await.map_err(|error| match error {
        NoLanes::Failed(problem) => problem,
        NoLanes::UnknownPlaces(_) => {
            Problem::unavailable("The ports or regions have just changed; try again.", 1)
        }
    })
}

fn fingerprint(texts: &[&str], found: &FoundLanes) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    for text in texts {
        fingerprint.add_text(text);
    }
    found.add_names_to(&mut fingerprint);
    fingerprint
}

impl Page<'_> {
    fn new(service: &Lanes, form: Form, query: &PageQuery<'_>) -> Self {
        Self {
            assets: &ASSETS,
            form,
            options: Options::of(query),
            ranges: Vec::new(),
            shown: None,
            home: None,
            is_empty: false,
            is_new: false,
            left: chart::LEFT,
            right: chart::RIGHT,
            container: service.unit.clone(),
            enough: chart::enough(service.limits.min_count),
        }
    }

    /// The title of the page.
    fn title(&self) -> &str {
        match &self.shown {
            Some(shown) if self.home.is_none() => &shown.title,
            _ => "What does it cost to ship a container from A to B, day by day?",
        }
    }

    /// The number of the row in which another lane can be added, if there is room.
    fn next_lane(&self) -> Option<usize> {
        let number = self.form.lanes.len() + 1;
        (2..=PageQuery::MAX_LANES).contains(&number).then_some(number)
    }
}

impl Options {
    fn of(PageQuery { picture, interval, .. }: &PageQuery<'_>) -> Self {
        let choice = |value: String, text: &str, chosen| Choice { value, text: text.to_owned(), chosen };
        let values = [
            (Values::Price, "US dollars"),
            (Values::Difference, "difference to the first lane"),
            (Values::Index, "index, first day 100"),
        ];
        let current = picture.moving_average.unwrap_or(1);
        let mut averages = vec![1, 7, 30, 90];
        averages.extend((!averages.contains(&current)).then_some(current));
        let average = |days: u16| {
            let text = if days == 1 { "none".to_owned() } else { format!("{days} days") };
            choice(days.to_string(), &text, days == current)
        };
        let intervals =
            Interval::ALL.map(|one| choice(one.name().to_owned(), one.name(), *interval == Some(one)));
        let automatic = choice(String::new(), "automatic", interval.is_none());
        Self {
            intervals: std::iter::once(automatic).chain(intervals).collect(),
            has_intervals: picture.moving_average.is_none(),
            values: values
                .into_iter()
                .map(|(values, text)| choice(values.name().to_owned(), text, values == picture.values))
                .collect(),
            averages: averages.into_iter().map(average).collect(),
            previous_year: picture.previous_year,
        }
    }

    /// Says which interval is chosen by the range.
    fn name_automatic_interval(&mut self, interval: Interval) {
        self.intervals[0].text = format!("automatic: {}", interval.name());
    }
}

/// The range of the query, or the newest days of these lanes; none, with faults added, if it is wrong.
async fn days_of(
    service: &Lanes,
    catalogue: &Catalogue,
    query: &PageQuery<'_>,
    lanes: &[Names],
    form: &mut Form,
) -> Result<Option<(NaiveDate, NaiveDate)>, Problem> {
    let has_faults = !form.faults.is_empty();
    let mut fault = |field: &mut DayField, text: String| {
        field.wrong = true;
        form.faults.push(Fault { text, meant: Vec::new() });
    };
    let mut typed = |text: &str, field: &mut DayField, which: &str| match parse_day(text) {
        _ if text.is_empty() => Some(None),
        Ok(day) => Some(Some(day)),
        Err((_, detail)) => {
            fault(field, format!("The {which} day: {detail}."));
            None
        }
    };
    let (from, to) = (typed(&query.from, &mut form.from, "first"), typed(&query.to, &mut form.to, "last"));
    let (Some(from), Some(to)) = (from, to) else { return Ok(None) };
    let to = match to {
        Some(to) => to,
        // The newest day of a lane that was mistyped is not known.
        None if has_faults => return Ok(None),
        None => newest_day(service, catalogue, lanes).await?,
    };
    let from = match from {
        Some(from) => from,
        None if query.all_days => first_day(service, catalogue, lanes, to).await?,
        None => months_up_to(DEFAULT_MONTHS, to).unwrap_or(to),
    };
    let days = (to - from).num_days() + 1;
    let (first, last) = (chart::date(from), chart::date(to));
    if days < 1 {
        fault(&mut form.from, format!("The first day, {first}, is after the last, {last}."));
    } else if days > i64::from(service.limits.max_days) {
        let most = service.limits.max_days;
        fault(&mut form.from, format!("{first} to {last} are {days} days; at most {most} can be shown."));
    } else {
        return Ok(Some((from, to)));
    }
    Ok(None)
}

/// The newest day with prices of any of these lanes. A lane without prices still has a page, which says so.
async fn newest_day(service: &Lanes, catalogue: &Catalogue, lanes: &[Names]) -> Result<NaiveDate, Problem> {
    let newest = service.newest_days(&pairs(catalogue, lanes)).await?;
    Ok(newest.into_iter().flatten().max().unwrap_or_else(|| chrono::Utc::now().date_naive()))
}

/// The first day with prices of any of these lanes, or the first that can be shown.
async fn first_day(
    service: &Lanes,
    catalogue: &Catalogue,
    lanes: &[Names],
    to: NaiveDate,
) -> Result<NaiveDate, Problem> {
    let first = service.first_day(&pairs(catalogue, lanes)).await?;
    let longest = to - chrono::Days::new(u64::from(service.limits.max_days - 1));
    Ok(first.unwrap_or(to).clamp(longest, to))
}

fn pairs(catalogue: &Catalogue, lanes: &[Names]) -> Vec<Pair> {
    let pair = |(origin, destination): &Names| Some((catalogue.id(origin)?, catalogue.id(destination)?));
    lanes.iter().filter_map(pair).collect()
}
