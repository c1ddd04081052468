//! `GET /rates`.

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use chassis::{Problem, problem::ProblemBody};
use chrono::NaiveDate;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use utoipa::ToSchema;

use crate::{
    app::{App, Source},
    http::answer::{self as form, Form},
    lanes::cache::{Answer, Key},
    lanes::query::{Picture, RatesQuery},
};

/// RFC 9211: how an answer was come by.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// The media types that `Accept` chooses from, the default first.
const NEGOTIATED: &[&str] = &[form::JSON, form::CSV, form::SVG];
/// How many headers an answer has, at most and usually.
const HEADERS: usize = 12;

/// The rates of a lane.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body that `body::rates` writes")]
pub(crate) struct Rates {
    /// One for each day of the range.
    rates: Vec<DailyRate>,
}

/// The rate of one day.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body that `body::rates` writes")]
pub(crate) struct DailyRate {
    #[schema(examples("2021-01-31"))]
    day: NaiveDate,
    /// The mean of the day's prices in US dollars; null where there are fewer than three.
    #[schema(required, minimum = 0, examples(1154.5))]
    price: Option<f64>,
    /// How many prices there are; null where there is none.
    #[schema(required, minimum = 1, examples(3))]
    count: Option<i32>,
    /// With `statistics=full`: the 2.5 percentile of the day's prices; null where `price` is.
    #[schema(minimum = 0, examples(980))]
    low: Option<f64>,
    /// With `statistics=full`: the 25 percentile.
    #[schema(minimum = 0, examples(1100))]
    midlow: Option<f64>,
    /// With `statistics=full`: the median.
    #[schema(minimum = 0, examples(1150))]
    median: Option<f64>,
    /// With `statistics=full`: the 75 percentile.
    #[schema(minimum = 0, examples(1200))]
    midhigh: Option<f64>,
    /// With `statistics=full`: the 97.5 percentile.
    #[schema(minimum = 0, examples(1390))]
    high: Option<f64>,
}

/// The mean price of each day between two places.
///
/// A region stands for every port below it, at any depth; each price counts once.
#[utoipa::path(
    get, path = "/rates", tag = "rates",
    params(
        ("date_from" = NaiveDate, Query, description = "The first day", example = "2021-01-01"),
        ("date_to" = NaiveDate, Query, description = "The last day; at most 3,660 days in all, unless configured otherwise", example = "2021-01-31"),
        ("orig_code" = Option<String>, Query, description = "Port code or region slug; also `origin`", example = "CNGGZ", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("dest_code" = Option<String>, Query, description = "Port code or region slug; also `destination`", example = "EETLL", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("order" = Option<String>, Query, description = "`desc` (the default) for newest first, or `asc`", example = "desc", pattern = "^(asc|desc)$"),
        ("statistics" = Option<String>, Query, description = "`full` adds percentiles to each day; `mean` is the default", example = "mean", pattern = "^(mean|full)$"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer that you hold"),
    ),
    responses(
        (status = 200, description = "As `Accept` prefers: JSON, or `text/csv` as `/rates.csv`, or `image/svg+xml` as `/rates.svg`", body = Rates, headers(
            ("ETag" = String, description = "Changes when the data does"),
            ("Cache-Status" = String, description = "RFC 9211: hit, or fwd=miss, or stale while the database is away"),
        )),
        (status = 304, description = "What you hold is still right"),
        (status = 400, description = "Parameters are wrong; `errors` names each", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Overloaded, or the database is away; `Retry-After` says when to come back", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_rates(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    // Taken apart and not extracted, which would copy query and headers.
    let (asked, _) = request.into_parts();
    let media_type = form::preferred(&asked.headers, NEGOTIATED);
    Ok(negotiated(answer(&app, &asked, media_type).await?))
}

/// The rates of a lane for a spreadsheet.
///
/// RFC 4180: a header, then a row for each day; empty where JSON has null.
#[utoipa::path(
    get, path = "/rates.csv", tag = "rates",
    params(
        ("date_from" = NaiveDate, Query, description = "The first day", example = "2021-01-01"),
        ("date_to" = NaiveDate, Query, description = "The last day", example = "2021-01-31"),
        ("orig_code" = Option<String>, Query, description = "Port code or region slug; also `origin`", example = "CNGGZ", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("dest_code" = Option<String>, Query, description = "Port code or region slug; also `destination`", example = "EETLL", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("order" = Option<String>, Query, description = "`desc` (the default) for newest first, or `asc`", example = "desc", pattern = "^(asc|desc)$"),
        ("statistics" = Option<String>, Query, description = "`full` adds percentiles to each day; `mean` is the default", example = "full", pattern = "^(mean|full)$"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/csv"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_csv(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    answer(&app, &request.into_parts().0, form::CSV).await
}

/// A picture of the rates of a lane, or of up to four.
///
/// The daily mean with its gaps, the 2.5 to 97.5 and 25 to 75 percentile bands where one lane is drawn, and the number
/// of prices a day. What is wrong is told as a problem here too.
#[utoipa::path(
    get, path = "/rates.svg", tag = "rates",
    params(
        ("date_from" = NaiveDate, Query, description = "The first day", example = "2021-01-01"),
        ("date_to" = NaiveDate, Query, description = "The last day", example = "2021-01-31"),
        ("orig_code" = Option<String>, Query, description = "Port code or region slug; also `origin`", example = "CNGGZ", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("dest_code" = Option<String>, Query, description = "Port code or region slug; also `destination`", example = "EETLL", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("compare" = Option<Vec<String>>, Query, description = "A further lane, `ORIGIN:DESTINATION`; up to three times", max_items = 3),
        ("width" = Option<u16>, Query, description = "In pixels", example = 960, minimum = 320, maximum = 3840),
        ("height" = Option<u16>, Query, description = "In pixels", example = 480, minimum = 240, maximum = 2160),
        ("theme" = Option<String>, Query, description = "`light` (the default) or `dark`", example = "light", pattern = "^(light|dark)$"),
    ),
    responses(
        (status = 200, body = String, content_type = "image/svg+xml"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_svg(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    answer(&app, &request.into_parts().0, form::SVG).await
}

/// The answer to `GET /rates` if it is in the cache: the same as [`get_rates`] would give, found before the request is
/// routed.
pub(crate) fn ready(app: &App, request: &Request) -> Option<Response> {
    if form::preferred(request.headers(), NEGOTIATED) != form::JSON {
        return None;
    }
    let query = RatesQuery::parse(request.uri().query()?, app.api.max_days).ok()?;
    let answer = app.held(&query, &Form::Json)?;
    let held = request.headers().get(header::IF_NONE_MATCH);
    Some(negotiated(respond(app, held, &query, &Form::Json, answer, Source::Hit)))
}

/// Tells caches that `Accept` chose the form.
fn negotiated(mut response: Response) -> Response {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

async fn answer(app: &App, asked: &Parts, media_type: &'static str) -> Result<Response, Problem> {
    let query = asked.uri.query().unwrap_or_default();
    let picture = if media_type == form::SVG { Picture::parse(query).map(Some) } else { Ok(None) };
    let (query, picture) = match (RatesQuery::parse(query, app.api.max_days), picture) {
        (Ok(query), Ok(picture)) => (query, picture),
        (Ok(_), Err(faults)) => return Err(Problem::invalid_parameters(faults)),
        (Err(mut wrong), picture) => {
            wrong.faults.extend(picture.err().into_iter().flatten());
            return Err(Box::pin(app.explain(wrong)).await);
        }
    };
    let form = match picture {
        Some(picture) => Form::Svg(picture),
        None if media_type == form::CSV => Form::Csv,
        None => Form::Json,
    };
    let held = asked.headers.get(header::IF_NONE_MATCH);
    if let Some(held) = held
        && let Some(version) = app.freshness.current()
    {
        let current = Key::new(version, &query, &form).etag();
        if names(held, &current) {
            return Ok(head(app, StatusCode::NOT_MODIFIED, current, Source::Hit, Body::empty()));
        }
    }
    let (answer, source) = app.rates(&query, &form).await?;
    Ok(respond(app, held, &query, &form, answer, source))
}

/// The answer, or that the client holds it already.
fn respond(
    app: &App,
    held: Option<&HeaderValue>,
    query: &RatesQuery<'_>,
    form: &Form<'_>,
    answer: Answer,
    source: Source,
) -> Response {
    if held.is_some_and(|held| names(held, &answer.etag)) {
        return head(app, StatusCode::NOT_MODIFIED, answer.etag, source, Body::empty());
    }
    let mut response = head(app, StatusCode::OK, answer.etag, source, Body::from(answer.body));
    let (content_type, disposition) = match form {
        Form::Json => (form::JSON, None),
        Form::Csv => ("text/csv; charset=utf-8; header=present", Some(("attachment", "csv"))),
        Form::Svg(_) => (form::SVG, Some(("inline", "svg"))),
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
    response
}

fn head(app: &App, status: StatusCode, etag: HeaderValue, source: Source, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    // Room for those that are added on the way out: a map that grows is made anew.
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    headers.insert(
        CACHE_STATUS,
        match source {
            Source::Hit => HeaderValue::from_static("rates; hit"),
            Source::Miss => HeaderValue::from_static("rates; fwd=miss"),
            Source::Stale { seconds } => {
                HeaderValue::from_str(&format!("rates; hit; ttl=-{seconds}; detail=stale"))
                    .expect("digits are a header value")
            }
        },
    );
    if let Source::Stale { seconds } = source {
        headers.insert(header::AGE, seconds.into());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    } else {
        headers.insert(header::CACHE_CONTROL, app.cache_control.clone());
    }
    response
}

/// Whether an `If-None-Match` names this tag, by the weak comparison that RFC 9110 asks for here.
pub(crate) fn names(held: &HeaderValue, tag: &HeaderValue) -> bool {
    let Ok(held) = held.to_str() else {
        return false;
    };
    held.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_is_a_list_of_tags_weak_or_strong() {
        let tag = HeaderValue::from_static("\"a\"");
        for (held, same) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            assert_eq!(names(&HeaderValue::from_static(held), &tag), same, "{held}");
        }
    }
}
