//! `GET /lanes`: which lanes have prices.

use std::borrow::Cow;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use chassis::{Problem, compression::CompressibleBody, problem::FieldError};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    answer,
    lane_summary::{self, LaneSummary},
    rates::unknown_place,
};
use crate::{
    app::App,
    lanes::{
        answers::Tag,
        places::UnknownPlace,
        query::{Fingerprint, Order},
    },
    places::{Catalogue, PlaceId},
    query_string::{Parameter, Reading, number_in, parse_choice},
    summaries::{Kind, LaneFilter, Sort},
    values::{PlaceName, parse_place},
};

/// A page of lanes.
#[derive(Serialize, ToSchema)]
pub(crate) struct LanePage {
    /// In the order that was asked for; lanes without the value that they are sorted by are last.
    lanes: Vec<LaneSummary>,
    /// The path of the next page; null on the last.
    #[schema(required)]
    next: Option<String>,
}

/// The query of `GET /lanes`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LanesQuery<'a> {
    /// Only lanes that begin in exactly this place: a code, slug or name.
    #[param(value_type = Option<String>, example = "CNGGZ", max_length = 200)]
    origin: Option<PlaceName<'a>>,
    /// Only lanes that end in exactly this place.
    #[param(value_type = Option<String>, example = "EETLL", max_length = 200)]
    destination: Option<PlaceName<'a>>,
    /// Words, each of which the code or the name of one of the two places contains.
    #[param(required = false, value_type = String, example = "shang", max_length = 200)]
    q: Cow<'a, str>,
    /// Which kind of places the lanes are between; `all` is the default.
    #[param(required = false, example = "ports")]
    kind: Kind,
    /// What lanes are sorted by; `prices` is the default.
    #[param(required = false, example = "prices")]
    sort: Sort,
    /// `desc` (the default) or `asc`.
    #[param(required = false, example = "desc")]
    order: Order,
    /// The most lanes on a page; 100 if not given, and all in CSV.
    #[param(required = false, value_type = usize, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// How many lanes to leave out; `next` of a page sets it.
    #[param(required = false, minimum = 0)]
    offset: usize,
}

parse_choice!(Kind: "all" => All, "ports" => Ports, "regions" => Regions);
parse_choice!(
    Sort: "prices" => Prices, "priced_days" => PricedDays, "mean_days" => MeanDays, "last_day" => LastDay,
    "latest_price" => LatestPrice, "change_7" => Change7, "change_30" => Change30, "change_365" => Change365
);

impl<'a> LanesQuery<'a> {
    fn parse(query: &'a str, page_limit: usize) -> Result<Self, Vec<FieldError>> {
        let mut origin = Parameter::new(&["origin", "orig_code"]);
        let mut destination = Parameter::new(&["destination", "dest_code"]);
        let mut q = Parameter::new(&["q"]);
        let mut kind = Parameter::new(&["kind"]);
        let mut sort = Parameter::new(&["sort"]);
        let mut order = Parameter::new(&["order"]);
        let mut limit = Parameter::new(&["limit"]);
        let mut offset = Parameter::new(&["offset"]);
        let all = [
            &mut origin,
            &mut destination,
            &mut q,
            &mut kind,
            &mut sort,
            &mut order,
            &mut limit,
            &mut offset,
        ];
        let mut reading = Reading::new(query, all);
        let origin = reading.optional(origin, None, |text| parse_place(text).map(Some));
        let destination = reading.optional(destination, None, |text| parse_place(text).map(Some));
        let q = reading.optional(q, Cow::default(), |text| {
            let is_short = text.chars().count() <= 200;
            if is_short { Ok(text) } else { Err(("too_long", "q is longer than 200 characters".to_owned())) }
        });
        let kind = reading.optional(kind, Kind::All, Kind::parse);
        let sort = reading.optional(sort, Sort::Prices, Sort::parse);
        let order = reading.optional(order, Order::NewestFirst, Order::parse);
        let limit = reading.optional(limit, None, |text| number_in(1, page_limit)(text).map(Some));
        let offset = reading.optional(offset, 0, number_in(0, 1_000_000_000));
        let faults = reading.finish();
        match (origin.zip(destination), q.zip(kind), sort.zip(order), limit.zip(offset)) {
            (Some((origin, destination)), Some((q, kind)), Some((sort, order)), Some((limit, offset)))
                if faults.is_empty() =>
            {
                Ok(Self { origin, destination, q, kind, sort, order, limit, offset })
            }
            _ => Err(faults),
        }
    }

    /// The path of the page after one of so many lanes.
    fn next(&self, text: &str, limit: usize) -> String {
        let others = form_urlencoded::parse(text.as_bytes()).filter(|(name, _)| name != "offset");
        let mut query = form_urlencoded::Serializer::for_suffix("/lanes?".to_owned(), "/lanes?".len());
        query.extend_pairs(others).append_pair("offset", &(self.offset + limit).to_string());
        query.finish()
    }
}

/// List the lanes that have prices.
///
/// They are kept up to date within seconds of a change.
#[utoipa::path(
    get, path = "/lanes", tag = "rates",
    params(
        LanesQuery,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer that you have"),
    ),
    responses(
        (status = 200, description = "The form that `Accept` prefers: a page of lanes as JSON, or CSV as at `/lanes.csv`", content(
            (LanePage = "application/json"), (String = "text/csv; charset=utf-8; header=present"),
        ), headers(
            ("ETag" = String, description = "Changes when the data does"),
            ("Cache-Status" = String, description = "RFC 9211: hit, or detail=stale while the database is unreachable"),
        )),
        (status = 304, description = "Your copy is still current"),
        (status = 400, description = "Parameters are wrong; `errors` lists each"),
        (status = 503, description = "The database is unreachable"),
    ),
)]
pub(crate) async fn list_lanes(
    State(app): State<App>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let media_type = answer::preferred(&headers, &[answer::JSON, answer::CSV]);
    Ok(answer::vary_by_accept(read_and_respond(&app, &text.unwrap_or_default(), &headers, media_type).await?))
}

/// The lanes that have prices for a spreadsheet.
///
/// RFC 4180: a header, then a row for each lane, with the values of `/lanes`; empty where JSON has null. Without `limit` it has
/// all lanes. Prices have at most two decimals, and changes four.
#[utoipa::path(
    get, path = "/lanes.csv", operation_id = "get_lanes_csv", tag = "rates",
    params(LanesQuery),
    responses(
        (status = 200, description = "A row for each lane", body = String, content_type = "text/csv; charset=utf-8; header=present"),
        (status = 400, description = "Parameters are wrong; `errors` lists each"),
        (status = 503, description = "The database is unreachable"),
    ),
)]
pub(crate) async fn get_csv(
    State(app): State<App>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    read_and_respond(&app, &text.unwrap_or_default(), &headers, answer::CSV).await
}

async fn read_and_respond(
    app: &App,
    text: &str,
    headers: &HeaderMap,
    media_type: &'static str,
) -> Result<Response, Problem> {
    let query = LanesQuery::parse(text, app.api_settings.page_limit).map_err(Problem::invalid_parameters)?;
    let catalogue = app.lanes.places.known_or_read().await?;
    let (list, source) = app.lane_list().await?;
    let [origin, destination] = find_places(&query, &catalogue)?;
    let limit = query.limit.unwrap_or(if media_type == answer::CSV {
        usize::MAX
    } else {
        app.api_settings.page_limit.min(100)
    });

    let mut fingerprint = Fingerprint::default();
    // The text, because the path of the next page repeats it.
    for part in ["lanes", media_type, text] {
        fingerprint.add_text(part);
    }
    fingerprint.add(limit as u64);
    fingerprint.add(catalogue.places_version.cast_unsigned());
    list.state.add_to(&mut fingerprint);
    fingerprint.add_privacy(app.api_settings.privacy());
    let tag = Tag::from(fingerprint);
    let etag = tag.etag();
    let cache_control = &app.lanes.cache_control;
    if headers.get(header::IF_NONE_MATCH).is_some_and(|tags| answer::names_tag(tags, &etag)) {
        return Ok(answer::not_modified(etag, source, cache_control));
    }
    let body = app.lanes.answers.get_or_make(tag, || {
        let words = catalogue.find_words(&query.q);
        let filter = LaneFilter { kind: query.kind, origin, destination, words };
        let is_ascending = query.order == Order::OldestFirst;
        let found = list.find(&filter, &catalogue, query.sort, is_ascending).skip(query.offset);
        let mut found = found.map(|summary| LaneSummary::new(summary, &catalogue));
        if media_type == answer::CSV {
            return Ok(lane_summary::write_csv(found.take(limit)));
        }
        let lanes = found.by_ref().take(limit).collect();
        let next = found.next().map(|_| query.next(text, limit));
        serde_json::to_vec(&LanePage { lanes, next })
    });
    let body: CompressibleBody = body.map_err(Problem::internal)?;
    let mut response = answer::with_cache_headers(body, Some(etag), source, cache_control);
    let (content_type, disposition) = if media_type == answer::CSV {
        (answer::CSV_WITH_HEADER, Some(HeaderValue::from_static("attachment; filename=\"lanes.csv\"")))
    } else {
        (answer::JSON, None)
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().extend(disposition.map(|value| (header::CONTENT_DISPOSITION, value)));
    Ok(response)
}

/// The places that the lanes must begin and end in.
fn find_places(query: &LanesQuery<'_>, catalogue: &Catalogue) -> Result<[Option<PlaceId>; 2], Problem> {
    let mut faults = Vec::new();
    let places = [("origin", &query.origin), ("destination", &query.destination)].map(|(name, place)| {
        let place = place.as_ref()?;
        let unknown = UnknownPlace::check(catalogue, place);
        faults.extend(unknown.map(|unknown| unknown_place(name, unknown)));
        catalogue.find_id(place.as_ref())
    });
    if faults.is_empty() { Ok(places) } else { Err(Problem::invalid_parameters(faults)) }
}
