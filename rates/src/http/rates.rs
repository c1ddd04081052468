//! `GET /rates`, `/rates.csv` and `/rates.svg`.

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::{Problem, compression::CompressibleBody, problem::FieldError};
use chrono::NaiveDate;
use http::{HeaderMap, HeaderValue, header, request::Parts};
use utoipa::ToSchema;

use super::answer;
use crate::lanes::{
    FoundLanes, Lanes, NoLanes,
    answers::Tag,
    chart, csv, json,
    places::UnknownPlace,
    query::{Form, Interval, Picture, QueryLimits, RatesQuery, WrongQuery},
};

/// The media types that `Accept` chooses from, the default first.
const NEGOTIATED: &[&str] = &[answer::JSON, answer::CSV, answer::SVG];

/// The rates of a lane, or of several.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body that `lanes::json` writes")]
pub(crate) struct Rates {
    /// One for each day or interval of the range; with `lane` those of one lane after those of the other.
    rates: Vec<DailyRate>,
}

/// The rate of one day, or of a longer interval.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body that `lanes::json` writes")]
pub(crate) struct DailyRate {
    /// The day; with `interval`, its first day in the range.
    #[schema(examples("2021-01-31"))]
    day: NaiveDate,
    /// With `interval`: its last day in the range.
    #[schema(examples("2021-01-31"))]
    last_day: Option<NaiveDate>,
    /// The mean of its prices in US dollars; null where there are fewer than three, or than `min_count`. It may be rounded.
    #[schema(required, minimum = 0, examples(1154.5))]
    price: Option<f64>,
    /// How many prices there are; null where there is none. A day with prices of fewer suppliers than are configured counts
    /// as one without prices. The number may be rounded down.
    #[schema(required, minimum = 1, examples(3))]
    count: Option<i32>,
    /// With `interval`: the number of its days that have prices.
    #[schema(minimum = 0, examples(5))]
    priced_days: Option<i32>,
    /// With `statistics=full`: the 2.5th percentile of its prices; null where `price` is.
    #[schema(minimum = 0, examples(980))]
    low: Option<f64>,
    /// With `statistics=full`: the 25th percentile.
    #[schema(minimum = 0, examples(1100))]
    midlow: Option<f64>,
    /// With `statistics=full`: the median.
    #[schema(minimum = 0, examples(1150))]
    median: Option<f64>,
    /// With `statistics=full`: the 75th percentile.
    #[schema(minimum = 0, examples(1200))]
    midhigh: Option<f64>,
    /// With `statistics=full`: the 97.5th percentile.
    #[schema(minimum = 0, examples(1390))]
    high: Option<f64>,
    /// With `lane`: where the lane begins.
    #[schema(examples("CNGGZ"))]
    orig_code: Option<String>,
    /// With `lane`: where the lane ends.
    #[schema(examples("EETLL"))]
    dest_code: Option<String>,
    /// With `widen`: the place that the prices are from.
    #[schema(examples("china_south"))]
    used_orig_code: Option<String>,
    /// With `widen`: the place that the prices are to.
    #[schema(examples("baltic"))]
    used_dest_code: Option<String>,
}

/// The mean price of each day between two places, or of each week, month, quarter or year, for up to ten lanes.
///
/// A region stands for every port below it, at any depth; each price counts once.
#[utoipa::path(
    get, path = "/rates", tag = "rates",
    params(
        RatesQuery,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer that you have"),
    ),
    responses(
        (status = 200, description = "The form that `Accept` prefers: JSON, CSV as at `/rates.csv`, or SVG as at `/rates.svg`", content(
            (Rates = "application/json"), (String = "text/csv; charset=utf-8; header=present"), (String = "image/svg+xml"),
        ), headers(
            ("ETag" = String, description = "Changes when the data does"),
            ("Cache-Status" = String, description = "RFC 9211: hit, or fwd=miss, or detail=stale while the database is unreachable or overloaded"),
        )),
        (status = 304, description = "Your copy is still current"),
        (status = 400, description = "Parameters are wrong; `errors` lists each"),
        (status = 503, description = "Overloaded, by requests for percentiles or pictures too, or the database is unreachable; `Retry-After` says when to try again"),
    ),
)]
pub(crate) async fn get_rates(State(lanes): State<Lanes>, request: Request) -> Result<Response, Problem> {
    // Not extracted, because extractors would copy query and headers.
    let (request, _) = request.into_parts();
    let media_type = answer::preferred(&request.headers, NEGOTIATED);
    Ok(answer::vary_by_accept(read_and_respond(&lanes, &request, media_type).await?))
}

/// The rates of a lane for a spreadsheet.
///
/// RFC 4180: a header, then a row for each day or interval of each lane; empty where JSON has null. Prices have at most two
/// decimals unless `decimals` says otherwise.
#[utoipa::path(
    get, path = "/rates.csv", operation_id = "get_rates_csv", tag = "rates",
    params(RatesQuery),
    responses(
        (status = 200, description = "A row for each day of the range", body = String, content_type = "text/csv; charset=utf-8; header=present"),
        (status = 400, description = "Parameters are wrong; `errors` lists each"),
        (status = 503, description = "Overloaded, by requests for percentiles or pictures too, or the database is unreachable; `Retry-After` says when to try again"),
    ),
)]
pub(crate) async fn get_csv(State(lanes): State<Lanes>, request: Request) -> Result<Response, Problem> {
    read_and_respond(&lanes, &request.into_parts().0, answer::CSV).await
}

/// A picture of the rates of a lane, or of up to ten.
///
/// The daily mean, the 2.5 to 97.5 and 25 to 75 percentile bands where one lane is drawn, and the number of prices per
/// day. Lighter lines bridge short gaps. Errors are problems as everywhere.
#[utoipa::path(
    get, path = "/rates.svg", operation_id = "get_rates_svg", tag = "rates",
    params(RatesQuery, Picture),
    responses(
        (status = 200, description = "The picture", body = String, content_type = "image/svg+xml"),
        (status = 400, description = "Parameters are wrong; `errors` lists each"),
        (status = 503, description = "Overloaded, by requests for percentiles or pictures too, or the database is unreachable; `Retry-After` says when to try again"),
    ),
)]
pub(crate) async fn get_svg(State(lanes): State<Lanes>, request: Request) -> Result<Response, Problem> {
    read_and_respond(&lanes, &request.into_parts().0, answer::SVG).await
}

/// The answer to `GET /rates` if its lane is in memory: the same as [`get_rates`] would give, found before the request is
/// routed.
pub(crate) fn ready(lanes: &Lanes, request: &Request) -> Option<Response> {
    if answer::preferred(request.headers(), NEGOTIATED) != answer::JSON {
        return None;
    }
    let query = RatesQuery::parse(request.uri().query()?, lanes.limits).ok()?;
    let queries = query.query_per_lane(&Form::Json);
    let found = lanes.find(&queries)?;
    let response = respond(lanes, request.headers(), &query, &Form::Json, &queries, &found).ok()?;
    Some(answer::vary_by_accept(response))
}

async fn read_and_respond(
    lanes: &Lanes,
    request: &Parts,
    media_type: &'static str,
) -> Result<Response, Problem> {
    let text = request.uri.query().unwrap_or_default();
    let (query, form) = match parse(text, lanes.limits, media_type) {
        Ok(parsed) => parsed,
        Err(wrong) => return Err(Box::pin(explain(lanes, wrong)).await),
    };
    let queries = query.query_per_lane(&form);
    let found = lanes.read(&queries).await.map_err(|error| read_problem(error, text))?;
    respond(lanes, &request.headers, &query, &form, &queries, &found)
}

/// Parses the query string for the format of this media type.
fn parse<'a>(
    text: &'a str,
    limits: QueryLimits,
    media_type: &'static str,
) -> Result<(RatesQuery<'a>, Form<'a>), WrongQuery<'a>> {
    let query = RatesQuery::parse(text, limits);
    let form = match media_type {
        answer::SVG => Picture::parse(text).map(Form::Svg),
        answer::CSV => Ok(Form::Csv),
        _ => Ok(Form::Json),
    };
    match (query, form) {
        (Ok(query), Ok(Form::Svg(picture)))
            if picture.moving_average.is_some() && query.interval != Interval::Day =>
        {
            let detail = "moving_average works only with interval=day";
            let faults = vec![FieldError::new("interval", "conflict", detail)];
            Err(WrongQuery { faults, places: Vec::new() })
        }
        (Ok(query), Ok(mut form)) => {
            // Further lanes are drawn as those of `compare` are.
            if let (Form::Svg(picture), [_, others @ ..]) = (&mut form, query.lane.as_slice()) {
                picture.compare = others.to_vec();
            }
            Ok((query, form))
        }
        (Ok(_), Err(faults)) => Err(WrongQuery { faults, places: Vec::new() }),
        (Err(mut wrong), form) => {
            wrong.faults.extend(form.err().into_iter().flatten());
            Err(wrong)
        }
    }
}

/// The answer, or 304 if the client has it already.
fn respond(
    lanes: &Lanes,
    headers: &HeaderMap,
    query: &RatesQuery<'_>,
    form: &Form<'_>,
    queries: &[RatesQuery<'_>],
    found: &FoundLanes,
) -> Result<Response, Problem> {
    let mut fingerprint = query.fingerprint(form);
    if matches!(form, Form::Svg(_)) {
        found.add_names_to(&mut fingerprint);
        fingerprint.add_text(&lanes.unit);
    } else {
        found.add_to(&mut fingerprint);
    }
    let tag = Tag::from(fingerprint);
    let etag = tag.etag();
    if headers.get(header::IF_NONE_MATCH).is_some_and(|tags| answer::names_tag(tags, &etag)) {
        return Ok(answer::not_modified(etag, found.source, &lanes.cache_control));
    }
    let write = || match form {
        Form::Json => Ok(json::write(queries, found)),
        Form::Csv => Ok(csv::write(queries, found)),
        Form::Svg(picture) => chart::draw(picture, query, queries, found, &lanes.unit),
    };
    // JSON is put together faster than it is kept, but compressing it costs more.
    let body = if *form == Form::Json && !headers.contains_key(header::ACCEPT_ENCODING) {
        write().map(CompressibleBody::from)
    } else {
        lanes.answers.get_or_make(tag, write)
    };
    let body = body.map_err(Problem::internal)?;
    let mut response = answer::with_cache_headers(body, Some(etag), found.source, &lanes.cache_control);
    let (content_type, disposition) = match form {
        Form::Json => (answer::JSON, None),
        Form::Csv => (answer::CSV_WITH_HEADER, Some(("attachment", "csv"))),
        Form::Svg(_) => (answer::SVG, Some(("inline", "svg"))),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some((disposition, extension)) = disposition {
        let lane = match found.lanes.as_slice() {
            [lane] => [lane.pair.0, lane.pair.1].map(|place| found.catalogue.code(place)).join("_"),
            several => format!("{}_lanes", several.len()),
        };
        let lane = lane.replace(|one: char| !one.is_ascii_alphanumeric() && one != '-', "_");
        let RatesQuery { from, to, .. } = query;
        let name = format!("{disposition}; filename=\"rates_{lane}_{from}_{to}.{extension}\"");
        let name = HeaderValue::from_str(&name).expect("plain ASCII");
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// All faults of a query: those of its parameters' syntax, and the places that do not exist. While the database is
/// unreachable, the client gets only the former.
async fn explain(lanes: &Lanes, wrong: WrongQuery<'_>) -> Problem {
    let WrongQuery { mut faults, places } = wrong;
    if let Ok(catalogue) = lanes.places.now().await {
        faults.extend(places.iter().filter_map(|(name, place)| {
            UnknownPlace::check(&catalogue, place).map(|unknown| unknown_place(name, unknown))
        }));
    }
    Problem::invalid_parameters(faults)
}

/// Unknown places as faults of the client's parameters in the query string `text`.
fn read_problem(error: NoLanes, text: &str) -> Problem {
    match error {
        NoLanes::Failed(problem) => problem,
        NoLanes::UnknownPlaces(places) => Problem::invalid_parameters(
            places
                .into_iter()
                .map(|(lane, role, place)| unknown_place(RatesQuery::name_of(lane, role, text), place))
                .collect(),
        ),
    }
}

pub(super) fn unknown_place(parameter: &'static str, place: UnknownPlace) -> FieldError {
    let UnknownPlace { name, meanings, nearest } = place;
    if !meanings.is_empty() {
        let detail = format!("{name} may be {}; give one of these codes", meanings.join(" or "));
        return FieldError::new(parameter, "ambiguous", detail).suggest(meanings);
    }
    let detail = if nearest.is_empty() {
        format!("there is no port or region {name}; GET /ports and GET /regions list them")
    } else {
        format!("there is no port or region {name}; did you mean {}?", nearest.join(" or "))
    };
    FieldError::new(parameter, "unknown", detail).suggest(nearest)
}
