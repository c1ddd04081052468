//! `GET /places`, `/ports`, `/ports/{code}`, `/regions` and `/regions/{slug}`: where a client finds the names that `/rates` takes.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use chassis::{
    Problem,
    extract::Path,
    problem::{FieldError, ProblemBody},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    catalogue::{Catalogue, Place, Port, Region},
    http::list_query::ListQuery,
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
    /// In the order of the tree: a region, then what is below it.
    regions: Vec<Region>,
    /// The path of the next page; null on the last.
    #[schema(required)]
    next: Option<String>,
}

/// A port and the regions around it.
#[derive(Serialize, ToSchema)]
pub(crate) struct PortDetail {
    #[serde(flatten)]
    port: Port,
    /// The regions around it, outermost first.
    path: Vec<RegionName>,
}

/// A region, what is around it and what is right below it.
#[derive(Serialize, ToSchema)]
pub(crate) struct RegionDetail {
    #[serde(flatten)]
    region: Region,
    /// The regions around it and itself, outermost first.
    path: Vec<RegionName>,
    /// The regions right below it, at most a page of them.
    children: Vec<RegionName>,
    /// The ports that lie right in it, at most a page of them.
    ports: Vec<Port>,
    /// The path of the list of all ports in and below it.
    all_ports: String,
}

/// A region by its names.
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

/// What a search found.
#[derive(Serialize, ToSchema)]
pub(crate) struct FoundPlaces {
    /// The best first.
    places: Vec<Place>,
}

/// Ports and regions by code or name, for completion: the best first, misspelt too.
#[utoipa::path(
    get, path = "/places", tag = "places",
    params(
        ("q" = Option<String>, Query, description = "Code or name, or how it begins; with or without diacritics", example = "guang"),
        ("limit" = Option<usize>, Query, description = "The most places; 10 if not given", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, body = FoundPlaces),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn find_places(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<FoundPlaces>, Problem> {
    let query = query.unwrap_or_default();
    let list =
        ListQuery::parse(&query, &["q", "limit"], app.api.page_limit).map_err(Problem::invalid_parameters)?;
    let catalogue = app.catalogue().await?;
    let limit = list.limit.unwrap_or(10).min(app.api.page_limit);
    Ok(Json(FoundPlaces { places: catalogue.search(list.q.as_deref().unwrap_or_default(), limit) }))
}

/// Ports, by code.
#[utoipa::path(
    get, path = "/ports", tag = "places",
    params(
        ("q" = Option<String>, Query, description = "Words that the code or the name has, with or without diacritics", example = "gua"),
        ("region" = Option<String>, Query, description = "Only ports in this region, at any depth"),
        ("limit" = Option<usize>, Query, description = "The most ports on a page", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "Only ports after this code; `next` of a page sets it"),
    ),
    responses(
        (status = 200, body = PortPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list_ports(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<PortPage>, Problem> {
    let query = query.unwrap_or_default();
    let list = ListQuery::parse(&query, &["q", "region", "limit", "after"], app.api.page_limit)
        .map_err(Problem::invalid_parameters)?;
    let catalogue = app.catalogue().await?;
    if let Some(slug) = list.region.as_deref().filter(|slug| catalogue.region(slug).is_none()) {
        return Err(Problem::invalid_parameters(vec![
            FieldError::new("region", "unknown", "there is no such region; GET /regions lists them").suggest(
                catalogue.nearest(slug).into_iter().filter(|near| catalogue.region(near).is_some()).collect(),
            ),
        ]));
    }
    let limit = list.limit.unwrap_or(app.api.page_limit);
    let mut found = catalogue.find_ports(list.q.as_deref(), list.region.as_deref(), list.after.as_deref());
    let ports: Vec<Port> = found.by_ref().take(limit).cloned().collect();
    let final_port = ports.last().filter(|_| found.next().is_some());
    let next = final_port.map(|port| next_page("/ports", &list, &port.code));
    Ok(Json(PortPage { ports, next }))
}

/// A port.
#[utoipa::path(
    get, path = "/ports/{code}", tag = "places",
    params(("code" = String, Path, description = "UN/LOCODE", example = "CNGGZ")),
    responses(
        (status = 200, body = PortDetail),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_port(
    State(app): State<App>,
    Path(code): Path<String>,
) -> Result<Json<PortDetail>, Problem> {
    let catalogue = app.catalogue().await?;
    let port = catalogue.port(&code).ok_or_else(|| not_found("port", &code, &catalogue))?.clone();
    let path = catalogue.path(&port.parent_slug).into_iter().map(RegionName::from).collect();
    Ok(Json(PortDetail { port, path }))
}

/// The tree of regions.
#[utoipa::path(
    get, path = "/regions", tag = "places",
    params(
        ("limit" = Option<usize>, Query, description = "The most regions on a page", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "Only regions after this one in the tree; `next` of a page sets it"),
    ),
    responses(
        (status = 200, body = RegionPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list_regions(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<RegionPage>, Problem> {
    let query = query.unwrap_or_default();
    let list = ListQuery::parse(&query, &["limit", "after"], app.api.page_limit)
        .map_err(Problem::invalid_parameters)?;
    let catalogue = app.catalogue().await?;
    let regions = catalogue.regions();
    let start = match list.after.as_deref() {
        None => 0,
        Some(after) => {
            regions.iter().position(|region| region.slug == after).map(|at| at + 1).ok_or_else(|| {
                Problem::invalid_parameters(vec![FieldError::new(
                    "after",
                    "unknown",
                    "there is no such region",
                )])
            })?
        }
    };
    let end = start.saturating_add(list.limit.unwrap_or(app.api.page_limit)).min(regions.len());
    let page = regions[start..end].to_vec();
    let final_region = page.last().filter(|_| end < regions.len());
    let next = final_region.map(|region| next_page("/regions", &list, &region.slug));
    Ok(Json(RegionPage { regions: page, next }))
}

/// A region.
#[utoipa::path(
    get, path = "/regions/{slug}", tag = "places",
    params(("slug" = String, Path, description = "The region's slug", example = "north_europe")),
    responses(
        (status = 200, body = RegionDetail),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_region(
    State(app): State<App>,
    Path(slug): Path<String>,
) -> Result<Json<RegionDetail>, Problem> {
    let catalogue = app.catalogue().await?;
    let region = catalogue.region(&slug).ok_or_else(|| not_found("region", &slug, &catalogue))?.clone();
    let limit = app.api.page_limit;
    Ok(Json(RegionDetail {
        path: catalogue.path(&slug).into_iter().map(RegionName::from).collect(),
        children: catalogue.children(&slug).take(limit).map(RegionName::from).collect(),
        ports: catalogue
            .ports()
            .iter()
            .filter(|port| port.parent_slug == slug)
            .take(limit)
            .cloned()
            .collect(),
        all_ports: format!("/ports?region={slug}"),
        region,
    }))
}

fn not_found(kind: &str, name: &str, catalogue: &Catalogue) -> Problem {
    let nearest = catalogue.nearest(name);
    if nearest.is_empty() {
        return Problem::not_found(format!("There is no such {kind}."));
    }
    Problem::not_found(format!("There is no such {kind}; did you mean {}?", nearest.join(" or ")))
        .member("suggestions", nearest)
}

fn next_page(path: &str, list: &ListQuery<'_>, after: &str) -> String {
    let mut query = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
    let limit = list.limit.map(|limit| limit.to_string());
    let given = [("q", list.q.as_deref()), ("region", list.region.as_deref()), ("limit", limit.as_deref())];
    for (name, value) in given.into_iter().chain([("after", Some(after))]) {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}
