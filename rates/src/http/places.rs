//! `GET /ports`, `/ports/{code}`, `/regions` and `/regions/{slug}`: the places that `/rates` takes.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use chassis::{
    Problem,
    extract::Path,
    problem::{FieldError, ProblemBody},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::list_query::ListQuery;
use crate::{
    app::App,
    places::{Catalogue, PlaceKind, Port, Region},
};

/// A page of ports.
#[derive(Serialize, ToSchema)]
pub(crate) struct PortPage {
    /// By code.
    ports: Vec<Port>,
    /// The path of the next page; null on the last.
    #[schema(required)]
    next: Option<String>,
}

/// A page of the tree of regions.
#[derive(Serialize, ToSchema)]
pub(crate) struct RegionPage {
    /// In tree order: a region, then what it contains.
    regions: Vec<Region>,
    /// The path of the next page; null on the last.
    #[schema(required)]
    next: Option<String>,
}

/// A port and the regions that contain it.
#[derive(Serialize, ToSchema)]
pub(crate) struct PortDetail {
    #[serde(flatten)]
    port: Port,
    /// The regions that contain it, outermost first.
    path: Vec<RegionName>,
}

/// A region, the regions that contain it, and what is directly in it.
#[derive(Serialize, ToSchema)]
pub(crate) struct RegionDetail {
    #[serde(flatten)]
    region: Region,
    /// The regions that contain it, outermost first, and the region itself.
    path: Vec<RegionName>,
    /// The regions directly in it, at most a page of them.
    children: Vec<RegionName>,
    /// The ports directly in it, at most a page of them.
    ports: Vec<Port>,
    /// The path of the list of all ports in it, at any depth.
    all_ports: String,
}

/// Slug and name of a region.
#[derive(Serialize, ToSchema)]
pub(crate) struct RegionName {
    #[schema(examples("europe"))]
    slug: String,
    #[schema(examples("Europe"))]
    name: String,
}

impl From<&Region> for RegionName {
    fn from(region: &Region) -> Self {
        Self { slug: region.slug.clone(), name: region.name.clone() }
    }
}

/// There is no such place; similar names are suggested.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the problem that `not_found` builds")]
pub(crate) struct UnknownPlace {
    #[serde(flatten)]
    problem: ProblemBody,
    /// Codes or slugs that exist, the most similar first.
    #[serde(default)]
    #[schema(examples("CNGGZ"))]
    suggestions: Vec<String>,
}

/// Documents the parameters of `list_ports`; [`ListQuery`] parses them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documentation only")]
pub(crate) struct ListPortsParams {
    /// Words that the code or the name contains, with or without diacritics.
    #[param(required = false, example = "gua", max_length = 200)]
    q: String,
    /// Only ports in this region, at any depth.
    #[param(required = false, example = "north_europe")]
    region: String,
    /// The most ports on a page.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: usize,
    /// Only ports after this code; `next` of a page sets it.
    #[param(required = false)]
    after: String,
}

/// Documents the parameters of `list_regions`; [`ListQuery`] parses them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documentation only")]
pub(crate) struct ListRegionsParams {
    /// The most regions on a page.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: usize,
    /// Only regions after this one in the tree; `next` of a page sets it.
    #[param(required = false)]
    after: String,
}

/// The path of a port.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct PortPath {
    /// UN/LOCODE.
    #[param(example = "CNGGZ")]
    code: String,
}

/// The path of a region.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RegionPath {
    /// The region's slug.
    #[param(example = "north_europe")]
    slug: String,
}

/// List ports by code.
#[utoipa::path(
    get, path = "/ports", tag = "places", params(ListPortsParams),
    responses(
        (status = 200, description = "A page of ports", body = PortPage),
        (status = 400, description = "A parameter is wrong"),
        (status = 503, description = "The database is unreachable"),
    ),
)]
pub(crate) async fn list_ports(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<PortPage>, Problem> {
    let query = query.unwrap_or_default();
    let list = ListQuery::parse(&query, &["q", "region", "limit", "after"], app.api_settings.page_limit)
        .map_err(Problem::invalid_parameters)?;
    let catalogue = app.catalogue().await?;
    if let Some(slug) = list.region.as_deref() {
        check_region(&catalogue, slug)?;
    }
    let limit = list.limit.unwrap_or(app.api_settings.page_limit);
    let mut found = catalogue.find_ports(list.q.as_deref(), list.region.as_deref(), list.after.as_deref());
    let ports: Vec<Port> = found.by_ref().take(limit).cloned().collect();
    let final_port = ports.last().filter(|_| found.next().is_some());
    let next = final_port.map(|port| next_page("/ports", &list, &port.code));
    Ok(Json(PortPage { ports, next }))
}

/// Get a port.
#[utoipa::path(
    get, path = "/ports/{code}", tag = "places", params(PortPath),
    responses(
        (status = 200, description = "The port", body = PortDetail),
        (status = 404, description = "No port has this code", body = UnknownPlace, content_type = "application/problem+json"),
        (status = 503, description = "The database is unreachable"),
    ),
)]
pub(crate) async fn get_port(
    State(app): State<App>,
    Path(PortPath { code }): Path<PortPath>,
) -> Result<Json<PortDetail>, Problem> {
    let catalogue = app.catalogue().await?;
    let port = catalogue.port(&code).ok_or_else(|| not_found(PlaceKind::Port, &code, &catalogue))?.clone();
    let path = catalogue.path(&port.parent_slug).into_iter().map(RegionName::from).collect();
    Ok(Json(PortDetail { port, path }))
}

/// List the tree of regions.
#[utoipa::path(
    get, path = "/regions", tag = "places", params(ListRegionsParams),
    responses(
        (status = 200, description = "A page of regions", body = RegionPage),
        (status = 400, description = "A parameter is wrong"),
        (status = 503, description = "The database is unreachable"),
    ),
)]
pub(crate) async fn list_regions(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<RegionPage>, Problem> {
    let query = query.unwrap_or_default();
    let list = ListQuery::parse(&query, &["limit", "after"], app.api_settings.page_limit)
        .map_err(Problem::invalid_parameters)?;
    let catalogue = app.catalogue().await?;
    let regions = catalogue.regions();
    let start = match list.after.as_deref() {
        None => 0,
        Some(after) => position_after(regions, after)?,
    };
    let end = start.saturating_add(list.limit.unwrap_or(app.api_settings.page_limit)).min(regions.len());
    let page = regions[start..end].to_vec();
    let final_region = page.last().filter(|_| end < regions.len());
    let next = final_region.map(|region| next_page("/regions", &list, &region.slug));
    Ok(Json(RegionPage { regions: page, next }))
}

/// Get a region.
#[utoipa::path(
    get, path = "/regions/{slug}", tag = "places", params(RegionPath),
    responses(
        (status = 200, description = "The region", body = RegionDetail),
        (status = 404, description = "No region has this slug", body = UnknownPlace, content_type = "application/problem+json"),
        (status = 503, description = "The database is unreachable"),
    ),
)]
pub(crate) async fn get_region(
    State(app): State<App>,
    Path(RegionPath { slug }): Path<RegionPath>,
) -> Result<Json<RegionDetail>, Problem> {
    let catalogue = app.catalogue().await?;
    let region =
        catalogue.region(&slug).ok_or_else(|| not_found(PlaceKind::Region, &slug, &catalogue))?.clone();
    let limit = app.api_settings.page_limit;
    let ports = catalogue.ports().iter().filter(|port| port.parent_slug == slug);
    Ok(Json(RegionDetail {
        path: catalogue.path(&slug).into_iter().map(RegionName::from).collect(),
        children: catalogue.children(&slug).take(limit).map(RegionName::from).collect(),
        ports: ports.take(limit).cloned().collect(),
        all_ports: format!("/ports?region={slug}"),
        region,
    }))
}

fn check_region(catalogue: &Catalogue, slug: &str) -> Result<(), Problem> {
    if catalogue.region(slug).is_some() {
        return Ok(());
    }
    let nearest = catalogue.nearest(slug, Some(PlaceKind::Region));
    let fault = FieldError::new("region", "unknown", "there is no such region; GET /regions lists all");
    Err(Problem::invalid_parameters(vec![fault.suggest(nearest)]))
}

/// The position of the region that follows this one.
fn position_after(regions: &[Region], slug: &str) -> Result<usize, Problem> {
    let position = regions.iter().position(|region| region.slug == slug).map(|position| position + 1);
    position.ok_or_else(|| {
        let fault = FieldError::new("after", "unknown", "there is no such region; GET /regions lists all");
        Problem::invalid_parameters(vec![fault])
    })
}

fn not_found(kind: PlaceKind, name: &str, catalogue: &Catalogue) -> Problem {
    let noun = match kind {
        PlaceKind::Port => "port",
        PlaceKind::Region => "region",
    };
    let nearest = catalogue.nearest(name, Some(kind));
    if nearest.is_empty() {
        return Problem::not_found(format!("There is no such {noun}."));
    }
    Problem::not_found(format!("There is no such {noun}; did you mean {}?", nearest.join(" or ")))
        .member("suggestions", nearest)
}

/// The path of the page after this one, with the same parameters.
fn next_page(path: &str, list: &ListQuery<'_>, after: &str) -> String {
    let mut query = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
    let limit = list.limit.map(|limit| limit.to_string());
    let parameters =
        [("q", list.q.as_deref()), ("region", list.region.as_deref()), ("limit", limit.as_deref())];
    for (name, value) in parameters.into_iter().chain([("after", Some(after))]) {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}
