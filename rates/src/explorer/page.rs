//! `GET /` in a browser: the explorer. The URL contains the page's whole state and the server draws all of it, so
//! links, bookmarks and the back button work, and the page works without its script.

use askama::Template;
use chassis::{Problem, compression::CompressibleBody, problem::FieldError};
use chrono::{Months, NaiveDate};

use super::{
    assets::{ASSETS, Assets},
    query::PageQuery,
    shown::{self, Shown},
};
use crate::{
    http::parameters::parse_day,
    lanes::{
        Lanes, NoLanes, chart,
        query::{Fingerprint, Picture},
        store::Source,
    },
    places::{Catalogue, Pair},
};

/// The days shown by default: a quarter, up to the newest day with a price.
const DEFAULT_MONTHS: u32 = 3;

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

/// A field of the form: its value and the name of that place.
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
pub(crate) async fn page(service: &Lanes, text: &str) -> Result<(CompressibleBody, Source), NoPage> {
    let query = PageQuery::parse(text);
    let catalogue = service.places.known_or_read().await?;
    let mut page = Page { assets: Some(&ASSETS), left: chart::LEFT, right: chart::RIGHT, ..Page::default() };
    let lanes = resolve_lanes(&query, &catalogue, &mut page);
    page.faults.extend(query.faults.iter().cloned());
    page.from = query.from.to_string();
    page.to = query.to.to_string();

    let mut days = None;
    if page.faults.is_empty() {
        if lanes.is_empty() {
            page.examples = find_examples(service, &catalogue).await?;
        } else {
            days = days_of(service, &catalogue, &query, &lanes, &mut page.faults).await?;
        }
    }
    let Some((from, to)) = days else {
        page.finish_rows(&lanes);
        let html = page.render().map_err(Problem::internal)?;
        let is_right = page.faults.is_empty();
        return if is_right { Ok((html.into(), Source::Miss)) } else { Err(NoPage::Faults(html)) };
    };
    (page.from, page.to) = (from.to_string(), to.to_string());
    let (queries, picture) = shown::queries(&lanes, from, to, service.limits)?;
    let found = service.read(&queries).await.map_err(|error| match error {
        NoLanes::Failed(problem) => problem,
        // They existed when the query was resolved.
        NoLanes::UnknownPlaces(_) => {
            Problem::unavailable("The ports or regions have just changed; try again.", 1)
        }
    })?;
    let mut fingerprint = Fingerprint::default();
    for part in ["page", text, &page.from, &page.to] {
        fingerprint.add_text(part);
    }
    found.add_names_to(&mut fingerprint);
    let render = || {
        page.presets = presets(&lanes, from, to);
        page.shown = Some(shown::show(&queries, &picture, &found));
        page.finish_rows(&lanes);
        page.render().map(String::into_bytes)
    };
    let html = service.answers.get_or_make(fingerprint.into(), render).map_err(Problem::internal)?;
    Ok((html, found.source))
}

impl Page<'_> {
    /// Numbers the rows of the form, and adds the links that remove one of several lanes.
    fn finish_rows(&mut self, lanes: &[Names]) {
        for (index, row) in self.rows.iter_mut().enumerate() {
            row.number = index + 1;
            if lanes.len() > 1 && index < lanes.len() {
                let mut others = lanes.to_vec();
                others.remove(index);
                row.without = Some(address(&others, &self.from, &self.to));
            }
        }
    }
}

/// A lane by the codes of its places.
pub(super) type Names = (String, String);

/// The lanes of the query; adds the rows of the form and any faults to `page`.
fn resolve_lanes(query: &PageQuery<'_>, catalogue: &Catalogue, page: &mut Page<'_>) -> Vec<Names> {
    let mut lanes = Vec::new();
    for (index, (origin, destination)) in query.lanes.iter().enumerate() {
        let mut place = |text: &str, field: &'static str| {
            let text = text.trim();
            if let Some(place) = catalogue.resolve(text) {
                return (
                    Field { name: catalogue.place_name(place), value: place.to_owned(), wrong: false },
                    Some(place),
                );
            }
            let which = if query.lanes.len() > 1 { format!(" of lane {}", index + 1) } else { String::new() };
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
    // An empty row for one more lane.
    if page.rows.len() <= Picture::MAX_COMPARED {
        page.rows.push(Row::default());
    }
    lanes
}

/// The range of the query, or the newest days of these lanes; none, with faults added, if it is wrong.
async fn days_of(
    service: &Lanes,
    catalogue: &Catalogue,
    query: &PageQuery<'_>,
    lanes: &[Names],
    faults: &mut Vec<FieldError>,
) -> Result<Option<(NaiveDate, NaiveDate)>, Problem> {
    let mut read = |text: &str, field: &'static str| {
        (!text.is_empty()).then(|| {
            parse_day(text).map_err(|(code, detail)| faults.push(FieldError::new(field, code, detail)))
        })
    };
    let (from, to) = (read(&query.from, "date_from"), read(&query.to, "date_to"));
    let to = if let Some(to) = to {
        to.ok()
    } else {
        let pairs: Vec<Pair> = lanes
            .iter()
            .filter_map(|(origin, destination)| Some((catalogue.id(origin)?, catalogue.id(destination)?)))
            .collect();
        let newest = service.newest_days(&pairs).await?;
        let newest = newest.into_iter().flatten().max();
        // A lane without prices still has a page, which says so.
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
    } else if days > i64::from(service.limits.max_days) {
        (
            "range_too_long",
            format!("{from} to {to} are {days} days; at most {} can be shown.", service.limits.max_days),
        )
    } else {
        return Ok(Some((from, to)));
    };
    faults.push(FieldError::new("date_from", fault.0, fault.1));
    Ok(None)
}

/// Lanes between the outermost regions, for a page without a query.
async fn find_examples(service: &Lanes, catalogue: &Catalogue) -> Result<Vec<Link>, Problem> {
    let roots: Vec<&str> = catalogue
        .regions()
        .iter()
        .filter(|region| region.depth == 0)
        .map(|region| region.slug.as_str())
        .take(8)
        .collect();
    let lanes = roots.iter().flat_map(|origin| roots.iter().map(move |destination| (*origin, *destination)));
    let lanes: Vec<(&str, &str)> = lanes.filter(|(origin, destination)| origin != destination).collect();
    let pairs: Vec<Pair> = lanes
        .iter()
        .filter_map(|(origin, destination)| Some((catalogue.id(origin)?, catalogue.id(destination)?)))
        .collect();
    let newest = service.newest_days(&pairs).await?;
    let priced = lanes.into_iter().zip(newest).filter(|(_, newest)| newest.is_some());
    Ok(priced
        .take(8)
        .map(|((origin, destination), _)| Link {
            text: format!("{} to {}", catalogue.label(origin), catalogue.label(destination)),
            href: address(&[(origin.to_owned(), destination.to_owned())], "", ""),
            current: false,
        })
        .collect())
}

/// The first day of the given number of months that end on this day.
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
    links.push(Link { text: "Latest".to_owned(), href: address(lanes, "", ""), current: false });
    links
}

/// The page's URL for these lanes and days.
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
