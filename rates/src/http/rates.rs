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
    chart, csv,
    places::UnknownPlace,
    query::{Form, Picture, RatesQuery, Role, WrongQuery},
};

/// The media types that `Accept` chooses from, the default first.
const NEGOTIATED: &[&str] = &[answer::JSON, answer::CSV, answer::SVG];

/// The rates of a lane.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body that `lanes::json` writes")]
pub(crate) struct Rates {
    /// One for each day of the range.
    rates: Vec<DailyRate>,
}

/// The rate of one day.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body that `lanes::json` writes")]
pub(crate) struct DailyRate {
    /// The day.
    #[schema(examples("2021-01-31"))]
    day: NaiveDate,
    /// The mean of the day's prices in US dollars; null where there are fewer than three.
    #[schema(required, minimum = 0, examples(1154.5))]
    price: Option<f64>,
    /// How many prices there are; null where there is none.
    #[schema(required, minimum = 1, examples(3))]
    count: Option<i32>,
    /// With `statistics=full`: the 2.5th percentile of the day's prices; null where `price` is.
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
}

/// The mean price of each day between two places.
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
            ("Cache-Status" = String, description = "RFC 9211: hit, or fwd=miss, or detail=stale while the database is unreachable"),
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
    Ok(answer::vary_by_accept(answer(&lanes, &request, media_type).await?))
}

/// The rates of a lane for a spreadsheet.
///
/// RFC 4180: a header, then a row for each day; empty where JSON has null.
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
    answer(&lanes, &request.into_parts().0, answer::CSV).await
}

/// A picture of the rates of a lane, or of up to four.
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
    answer(&lanes, &request.into_parts().0, answer::SVG).await
}

/// The answer to `GET /rates` if its lane is in memory: the same as [`get_rates`] would give, found before the request is
/// routed.
pub(crate) fn ready(lanes: &Lanes, request: &Request) -> Option<Response> {
    if answer::preferred(request.headers(), NEGOTIATED) != answer::JSON {
        return None;
    }
    let query = RatesQuery::parse(request.uri().query()?, lanes.max_days).ok()?;
    let found = lanes.find(std::slice::from_ref(&query))?;
    let response = respond(lanes, request.headers(), &query, &Form::Json, &found).ok()?;
    Some(answer::vary_by_accept(response))
}

async fn answer(lanes: &Lanes, request: &Parts, media_type: &'static str) -> Result<Response, Problem> {
    let text = request.uri.query().unwrap_or_default();
    let (query, form) = match parse(text, lanes.max_days, media_type) {
        Ok(parsed) => parsed,
        Err(wrong) => return Err(Box::pin(explain(lanes, wrong)).await),
    };
    let read = match &form {
        Form::Svg(picture) => lanes.read(&query.lanes(picture)).await,
        Form::Json | Form::Csv => lanes.read(std::slice::from_ref(&query)).await,
    };
    let found = read.map_err(|error| read_problem(error, text))?;
    respond(lanes, &request.headers, &query, &form, &found)
}

/// Parses the query string for the format of this media type.
fn parse<'a>(
    text: &'a str,
    max_days: u32,
    media_type: &'static str,
) -> Result<(RatesQuery<'a>, Form<'a>), WrongQuery<'a>> {
    let query = RatesQuery::parse(text, max_days);
    let form = match media_type {
        answer::SVG => Picture::parse(text).map(Form::Svg),
        answer::CSV => Ok(Form::Csv),
        _ => Ok(Form::Json),
    };
    match (query, form) {
        (Ok(query), Ok(form)) => Ok((query, form)),
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
    found: &FoundLanes,
) -> Result<Response, Problem> {
    let mut fingerprint = query.fingerprint(form);
    if matches!(form, Form::Svg(_)) {
        found.add_to(&mut fingerprint);
    } else {
        found.lanes[0].add_to(&mut fingerprint);
    }
    let tag = Tag::from(fingerprint);
    let etag = tag.etag();
    if headers.get(header::IF_NONE_MATCH).is_some_and(|tags| answer::names_tag(tags, &etag)) {
        return Ok(answer::not_modified(etag, found.source, &lanes.cache_control));
    }
    let write = || match form {
        Form::Json => Ok(found.lanes[0].to_json(query)),
        Form::Csv => Ok(csv::write(query, &found.lanes[0])),
        Form::Svg(picture) => chart::draw(picture, query, found),
    };
    // JSON is put together faster than it is kept, but compressing it costs more.
    let body = if *form == Form::Json && !headers.contains_key(header::ACCEPT_ENCODING) {
        write().map(CompressibleBody::from)
    } else {
        lanes.answers.get_or_make(tag, write)
    };
    let body = body.map_err(Problem::internal)?;
    let mut response = answer::cached(body, Some(etag), found.source, &lanes.cache_control);
    let (content_type, disposition) = match form {
        Form::Json => (answer::JSON, None),
        Form::Csv => ("text/csv; charset=utf-8; header=present", Some(("attachment", "csv"))),
        Form::Svg(_) => (answer::SVG, Some(("inline", "svg"))),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some((disposition, extension)) = disposition {
        let name = format!(
            "{disposition}; filename=\"rates_{}_{}_{}_{}.{extension}\"",
            query.origin.as_ref(),
            query.destination.as_ref(),
            query.from,
            query.to
        );
        let name = HeaderValue::from_str(&name).expect("names of places and days are plain ASCII");
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// All faults of a query: adds the places that do not exist to the faults of its form. While the database is
/// unreachable, the client gets only the latter.
async fn explain(lanes: &Lanes, wrong: WrongQuery<'_>) -> Problem {
    let WrongQuery { mut faults, places } = wrong;
    if let Ok(catalogue) = lanes.places.now().await {
        faults.extend(places.iter().filter_map(|(name, place)| {
            UnknownPlace::check(&catalogue, 0, Role::Origin, place)
                .map(|unknown| unknown_place(name, unknown))
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
                .map(|place| {
                    let name =
                        if place.lane == 0 { RatesQuery::name_of(place.role, text) } else { "compare" };
                    unknown_place(name, place)
                })
                .collect(),
        ),
    }
}

fn unknown_place(parameter: &'static str, place: UnknownPlace) -> FieldError {
    let UnknownPlace { name, nearest, .. } = place;
    let detail = if nearest.is_empty() {
        format!("there is no port or region {name}; GET /ports and GET /regions list them")
    } else {
        format!("there is no port or region {name}; did you mean {}?", nearest.join(" or "))
    };
    FieldError::new(parameter, "unknown", detail).suggest(nearest)
}
