//! `GET /places`: the search for ports and regions by what somebody types.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use chassis::{Problem, problem::FieldError};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{answer, list_query::ListQuery, rates::unknown_place};
use crate::{
    app::App,
    lanes::{places::UnknownPlace, query::Role, store::Source},
    places::{Catalogue, Place, PlaceId},
    values::parse_place,
};

/// The result of a search.
#[derive(Serialize, ToSchema)]
pub(crate) struct FoundPlaces {
    /// The best match first.
    places: Vec<Place>,
}

/// Documents the parameters of `find_places`; [`ListQuery`] parses them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documentation only")]
pub(crate) struct FindPlacesParams {
    /// A code or name, or its beginning; with or without diacritics.
    #[param(required = false, example = "guang", max_length = 200)]
    q: String,
    /// Only places in which lanes with prices begin (`origin`) or end (`destination`), each with the number of these lanes
    /// and of their prices. Among those that match equally well, the one with the most prices comes first.
    #[param(required = false, value_type = Option<Role>, example = "origin")]
    role: Role,
    /// With `role`: only places that have prices from or to this port or region.
    #[param(required = false, value_type = Option<String>, example = "EETLL", max_length = 200)]
    other_end: String,
    /// The most places in the answer; 10 if not given.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: usize,
}

/// Find ports and regions by code or name.
///
/// The best match comes first; misspellings are tolerated. Use it for autocompletion.
#[utoipa::path(
    get, path = "/places", tag = "places", params(FindPlacesParams),
    responses(
        (status = 200, description = "The places that match, the best first", body = FoundPlaces),
        (status = 400, description = "A parameter is wrong"),
        (status = 503, description = "The database is unreachable"),
    ),
)]
pub(crate) async fn find_places(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let list = ListQuery::parse(&query, &["q", "limit", "role", "other_end"], app.api_settings.page_limit)
        .map_err(Problem::invalid_parameters)?;
    let catalogue = app.catalogue().await?;
    let limit = list.limit.unwrap_or(10).min(app.api_settings.page_limit);
    let q = list.q.as_deref().unwrap_or_default();
    let Some((role, other_end)) = end_of_lane(&list, &catalogue)? else {
        return Ok(Json(FoundPlaces { places: catalogue.search(q, limit) }).into_response());
    };
    let (lanes, source) = app.lane_list().await?;
    let ends = lanes.ends(role, other_end, &catalogue);
    let traffic = |code: &str| ends.get(&catalogue.id(code)?);
    let mut places = catalogue.search_by_weight(q, limit, |code| Some(traffic(code)?.prices));
    for place in &mut places {
        let traffic = traffic(&place.code);
        (place.lanes, place.prices) = traffic.map(|traffic| (traffic.lanes, traffic.prices)).unzip();
    }
    let mut response = Json(FoundPlaces { places }).into_response();
    if let Source::Stale { seconds } = source {
        answer::mark_stale(response.headers_mut(), seconds);
    }
    Ok(response)
}

/// Which end of a lane is looked for, and the other end, if it is given.
fn end_of_lane(
    list: &ListQuery<'_>,
    catalogue: &Catalogue,
) -> Result<Option<(Role, Option<PlaceId>)>, Problem> {
    let fault =
        |name, code, detail: String| Problem::invalid_parameters(vec![FieldError::new(name, code, detail)]);
    let role = list.role.clone().map(Role::parse).transpose();
    let role = role.map_err(|(code, detail)| fault("role", code, detail))?;
    let Some(text) = list.other_end.as_deref() else { return Ok(role.map(|role| (role, None))) };
    let Some(role) = role else {
        return Err(fault("role", "missing", "other_end needs role".to_owned()));
    };
    let place = parse_place(text.into()).map_err(|(code, detail)| fault("other_end", code, detail))?;
    if let Some(unknown) = UnknownPlace::check(catalogue, &place) {
        return Err(Problem::invalid_parameters(vec![unknown_place("other_end", unknown)]));
    }
    Ok(Some((role, catalogue.find_id(place.as_ref()))))
}
