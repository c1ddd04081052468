//! `GET /` in a browser: the explorer. The address holds its whole state and the server draws all of it, so links,
//! bookmarks and the back button work by themselves, and so does the page without its script.

use std::fmt::Write;

use askama::Template;
use axum::response::{IntoResponse, Response};
use chassis::{Problem, problem::FieldError};
use chrono::{Months, NaiveDate};
use http::{HeaderValue, StatusCode, header};

use super::{
    assets::{ASSETS, Assets},
    query::PageQuery,
};
use crate::{
    http::parameters::parse_day,
    lanes::{
        Lanes,
        chart::{self, thousands},
        query::{Order, Picture, PlaceName, RatesQuery, Statistics, Theme},
        reader::ReadError,
        sql::{Day, Lane, Percentiles},
    },
    places::Catalogue,
};

/// The days shown where none are asked for: a quarter, up to the newest that has a price.
const DEFAULT_MONTHS: u32 = 3;
/// The most rows of the table: a year. All days are in the CSV.
const TABLE_DAYS: usize = 366;

/// Its own script, style and pictures, and no inline script or style.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'",
);

#[derive(Template, Default)]
#[template(path = "explorer.html")]
struct Page<'a> {
    assets: Option<&'a Assets>,
    faults: Vec<FieldError>,
    rows: Vec<Row>,
    from: String,
    to: String,
    presets: Vec<Link>,
    examples: Vec<Link>,
    shown: Option<Shown>,
    left: u16,
    right: u16,
}

/// The two fields of a lane in the form.
#[derive(Default)]
struct Row {
    number: usize,
    origin: Field,
    destination: Field,
    /// The same page without this lane.
    without: Option<String>,
}

impl Row {
    fn is_blank(&self) -> bool {
        self.origin.value.is_empty() && self.destination.value.is_empty()
    }
}

/// A field of the form: what it holds and which place that is.
#[derive(Default)]
struct Field {
    value: String,
    name: String,
    wrong: bool,
}

struct Link {
    text: String,
    href: String,
    current: bool,
}

/// The answer.
struct Shown {
    title: String,
    words: Vec<String>,
    /// The address of the picture but for size and theme.
    picture: String,
    lanes: Vec<ShownLane>,
    table: Vec<Vec<String>>,
    days: usize,
    full: bool,
}

struct ShownLane {
    name: String,
    /// The lane's answer as JSON, oldest day first; other forms have other paths and the same query.
    query: String,
}

/// The page as this query asks for it. What is wrong with the query is said on the page.
pub(crate) async fn page(service: &Lanes, query: &str) -> Result<Response, Problem> {
    let asked = PageQuery::parse(query);
    let catalogue = service.places.now().await?;
    let mut page = Page { assets: Some(&ASSETS), left: chart::LEFT, right: chart::RIGHT, ..Page::default() };
    let lanes = read_lanes(&asked, &catalogue, &mut page);
    page.from = asked.from.to_string();
    page.to = asked.to.to_string();

    let (mut days, mut examples) = (None, Vec::new());
    if page.faults.is_empty() {
        if lanes.is_empty() {
            examples = find_examples(service, &catalogue).await?;
        } else {
            days = days_of(service, &asked, &lanes, &mut page.faults).await?;
        }
    }
    page.examples = examples;
    if let Some((from, to)) = days {
        (page.from, page.to) = (from.to_string(), to.to_string());
        page.presets = presets(&lanes, from, to);
        page.shown = Some(show(service, &lanes, from, to).await?);
    }
    for (index, row) in page.rows.iter_mut().enumerate() {
        row.number = index + 1;
        if lanes.len() > 1 && index < lanes.len() {
            let mut others = lanes.clone();
            others.remove(index);
            row.without = Some(address(&others, &page.from, &page.to));
        }
    }
    let status = if page.faults.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let html = page.render().map_err(Problem::internal)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, service.cache_control.clone()),
    ];
    Ok((status, headers, html).into_response())
}

/// A lane by the names of its places.
type Names = (String, String);

/// The lanes asked for; the rows of the form and what is wrong go to `page`.
fn read_lanes(asked: &PageQuery<'_>, catalogue: &Catalogue, page: &mut Page<'_>) -> Vec<Names> {
    let mut lanes = Vec::new();
    for (index, (origin, destination)) in asked.lanes.iter().enumerate() {
        let mut place = |text: &str, field: &'static str| {
            let text = text.trim();
            if let Some(place) = catalogue.resolve(text) {
                return (
                    Field { name: catalogue.place_name(place), value: place.to_owned(), wrong: false },
                    Some(place),
                );
            }
            let which = if asked.lanes.len() > 1 { format!(" of lane {}", index + 1) } else { String::new() };
            let detail = if text.is_empty() {
                format!("The {field}{which} is missing.")
            } else {
                let near = catalogue.search(text, 3);
                let near: Vec<String> = near.iter().map(|place| place.code.clone()).collect();
                let hint = if near.is_empty() {
                    String::new()
                } else {
                    format!(" Did you mean {}?", near.join(" or "))
                };
                format!("There is no port or region “{text}” for the {field}{which}.{hint}")
            };
            page.faults.push(FieldError::new(field, "unknown", detail));
            (Field { value: text.to_owned(), name: String::new(), wrong: true }, None)
        };
        let (origin, from) = place(origin, "origin");
        let (destination, to) = place(destination, "destination");
        if let (Some(from), Some(to)) = (from, to) {
            lanes.push((from.to_owned(), to.to_owned()));
        }
        page.rows.push(Row { origin, destination, ..Row::default() });
    }
    // One more to fill in.
    if page.rows.len() <= Picture::MAX_COMPARED {
        page.rows.push(Row::default());
    }
    lanes
}

/// The range asked for, or the newest days of these lanes; none, with the faults, where it is wrong.
async fn days_of(
    service: &Lanes,
    asked: &PageQuery<'_>,
    lanes: &[Names],
    faults: &mut Vec<FieldError>,
) -> Result<Option<(NaiveDate, NaiveDate)>, Problem> {
    let mut read = |text: &str, field: &'static str| {
        (!text.is_empty()).then(|| {
            parse_day(text).map_err(|(code, detail)| faults.push(FieldError::new(field, code, detail)))
        })
    };
    let (from, to) = (read(&asked.from, "date_from"), read(&asked.to, "date_to"));
    let to = if let Some(to) = to {
        to.ok()
    } else {
        let (origins, destinations): (Vec<&str>, Vec<&str>) =
            lanes.iter().map(|(origin, destination)| (origin.as_str(), destination.as_str())).unzip();
        let newest = service.newest_days(&origins, &destinations).await?;
        let newest = newest.into_iter().map(|(_, _, day)| day).max();
        // A lane without any price still has a page, which says so.
        newest.or_else(|| Some(chrono::Utc::now().date_naive()))
    };
    let Some(to) = to else { return Ok(None) };
    let from = match from {
        Some(Ok(from)) => from,
        Some(Err(())) => return Ok(None),
        None => months_up_to(DEFAULT_MONTHS, to).unwrap_or(to),
    };
    let days = (to - from).num_days() + 1;
    let fault = if days < 1 {
        ("after_date_to", format!("The first day, {from}, is after the last, {to}."))
    } else if days > i64::from(service.max_days) {
        (
            "range_too_long",
            format!("{from} to {to} are {days} days; at most {} can be shown.", service.max_days),
        )
    } else {
        return Ok(Some((from, to)));
    };
    faults.push(FieldError::new("date_from", fault.0, fault.1));
    Ok(None)
}

/// Lanes between the outermost regions, for a page that was asked for nothing.
async fn find_examples(service: &Lanes, catalogue: &Catalogue) -> Result<Vec<Link>, Problem> {
    let roots: Vec<&str> = catalogue
        .regions()
        .iter()
        .filter(|region| region.depth == 0)
        .map(|region| region.slug.as_str())
        .take(8)
        .collect();
    let pairs = roots.iter().flat_map(|origin| roots.iter().map(move |destination| (*origin, *destination)));
    let (origins, destinations): (Vec<&str>, Vec<&str>) =
        pairs.filter(|(origin, destination)| origin != destination).unzip();
    let found = service.newest_days(&origins, &destinations).await?;
    Ok(found
        .into_iter()
        .take(8)
        .map(|(origin, destination, _)| Link {
            text: format!("{} to {}", catalogue.label(&origin), catalogue.label(&destination)),
            href: address(&[(origin, destination)], "", ""),
            current: false,
        })
        .collect())
}

/// The first day of so many months that end on this day.
fn months_up_to(months: u32, to: NaiveDate) -> Option<NaiveDate> {
    to.checked_sub_months(Months::new(months))?.succ_opt()
}

fn presets(lanes: &[Names], from: NaiveDate, to: NaiveDate) -> Vec<Link> {
    let mut links: Vec<Link> =
        [("1 month", 1), ("3 months", 3), ("6 months", 6), ("1 year", 12), ("5 years", 60)]
            .into_iter()
            .filter_map(|(text, months)| {
                let start = months_up_to(months, to)?;
                Some(Link {
                    text: text.to_owned(),
                    href: address(lanes, &start.to_string(), &to.to_string()),
                    current: start == from,
                })
            })
            .collect();
    links.push(Link { text: "Newest days".to_owned(), href: address(lanes, "", ""), current: false });
    links
}

/// The page's own address for these lanes and days.
fn address(lanes: &[Names], from: &str, to: &str) -> String {
    let mut query = form_urlencoded::Serializer::for_suffix("/?".to_owned(), 2);
    for (origin, destination) in lanes {
        query.append_pair("orig_code", origin).append_pair("dest_code", destination);
    }
    for (name, day) in [("date_from", from), ("date_to", to)] {
        if !day.is_empty() {
            query.append_pair(name, day);
        }
    }
    query.finish()
}

async fn show(service: &Lanes, lanes: &[Names], from: NaiveDate, to: NaiveDate) -> Result<Shown, Problem> {
    let place = |name: &str| PlaceName::parse(name.to_owned().into()).ok();
    let lanes: Vec<(PlaceName<'_>, PlaceName<'_>)> = lanes
        .iter()
        .filter_map(|(origin, destination)| Some((place(origin)?, place(destination)?)))
        .collect();
    let Some(((origin, destination), compare)) = lanes.split_first() else {
        return Err(Problem::internal("a place of the catalogue has no name of a place"));
    };
    let first = RatesQuery {
        from,
        to,
        origin: origin.clone(),
        destination: destination.clone(),
        order: Order::OldestFirst,
        statistics: Statistics::Full,
    };
    let picture = Picture { width: 960, height: 480, theme: Theme::Light, compare: compare.to_vec() };
    let queries = picture.lanes(&first);
    let newest_known = service.freshness.current().unwrap_or(0);
    let read = service.reader.read_all(&queries, newest_known).await.map_err(|error| match error {
        ReadError::Database(error) => error.into(),
        // They were there a moment ago.
        ReadError::UnknownPlaces(_) => Problem::unavailable("The places changed meanwhile; try again.", 1),
    })?;
    let catalogue = service.places.at(read[0].version).await?;
    let series = chart::describe(&queries, &read, &catalogue);
    let mut address = format!("/rates.svg?{}", api_query(&queries[0]));
    for (origin, destination) in compare {
        let _ = write!(address, "&compare={}:{}", origin.as_ref(), destination.as_ref());
    }
    let days = usize::try_from((to - from).num_days() + 1).unwrap_or(0);
    Ok(Shown {
        title: if let [(name, _)] = series.as_slice() {
            name.clone()
        } else {
            format!("{} lanes compared", series.len())
        },
        words: series.iter().map(|(_, words)| words.clone()).collect(),
        picture: address,
        lanes: series
            .into_iter()
            .zip(&queries)
            .map(|((name, _), query)| ShownLane { name, query: api_query(query) })
            .collect(),
        table: table(&queries, &read),
        days,
        full: compare.is_empty(),
    })
}

fn api_query(query: &RatesQuery<'_>) -> String {
    format!(
        "date_from={}&date_to={}&orig_code={}&dest_code={}",
        query.from,
        query.to,
        query.origin.as_ref(),
        query.destination.as_ref()
    )
}

/// A row for each day, newest first: of one lane everything, of several the mean and the number of prices.
fn table(queries: &[RatesQuery<'_>], lanes: &[Lane]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (query, lane) in queries.iter().zip(lanes) {
        let newest_first = RatesQuery { order: Order::NewestFirst, ..query.clone() };
        for (index, (day, priced)) in lane.each_day(&newest_first).take(TABLE_DAYS).enumerate() {
            if rows.len() <= index {
                rows.push(vec![day.to_string()]);
            }
            let dollars = |value: Option<f64>| value.map(thousands).unwrap_or_default();
            let row = &mut rows[index];
            row.push(dollars(priced.and_then(Day::mean)));
            if query.statistics == Statistics::Full {
                let values = priced.and_then(|day| day.percentiles.as_deref()).map(Percentiles::values);
                row.extend((0..Percentiles::NAMES.len()).map(|at| dollars(values.map(|values| values[at]))));
            }
            row.push(priced.map(|day| day.count.to_string()).unwrap_or_default());
        }
    }
    rows
}
