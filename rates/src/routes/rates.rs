//! `GET /rates`.

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::Response,
};
use chassis::{Problem, problem::ProblemBody};
use chrono::NaiveDate;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use utoipa::ToSchema;

use crate::{
    app::{App, Source},
    cache::Key,
    params::RatesQuery,
};

/// RFC 9211: how an answer was come by.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

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
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer that you hold"),
    ),
    responses(
        (status = 200, body = Rates, headers(
            ("ETag" = String, description = "Changes when the data does"),
            ("Cache-Status" = String, description = "RFC 9211: hit, or fwd=miss, or stale while the database is away"),
        )),
        (status = 304, description = "What you hold is still right"),
        (status = 400, description = "Parameters are wrong; `errors` names each", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Overloaded, or the database is away; `Retry-After` says when to come back", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_rates(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let query = match RatesQuery::parse(&query, app.api.max_days) {
        Ok(query) => query,
        Err(wrong) => return Err(Box::pin(app.explain(wrong)).await),
    };
    if let Some(held) = headers.get(header::IF_NONE_MATCH)
        && let Some(version) = app.freshness.current()
    {
        let current = Key::new(version, &query).etag();
        if names(held, &current) {
            return Ok(response(&app, StatusCode::NOT_MODIFIED, current, Source::Hit, Body::empty()));
        }
    }
    let (answer, source) = app.rates(&query).await?;
    if headers.get(header::IF_NONE_MATCH).is_some_and(|held| names(held, &answer.etag)) {
        return Ok(response(&app, StatusCode::NOT_MODIFIED, answer.etag, source, Body::empty()));
    }
    let mut response = response(&app, StatusCode::OK, answer.etag, source, Body::from(answer.body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn response(app: &App, status: StatusCode, etag: HeaderValue, source: Source, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
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
