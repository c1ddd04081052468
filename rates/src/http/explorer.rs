//! `GET /`, a greeting for programs and the explorer for people; `GET /upload`, the form for suppliers; and
//! `GET /assets/{name}`, the files of both.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use chassis::{Problem, edge::ClientAddress, extract::Path};
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use crate::{
    app::App,
    explorer::{
        assets::ASSETS,
        page::{self, NoPage},
        upload,
    },
    suppliers,
};

/// The page's own script, style and pictures, and no inline script or style.
pub(super) const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'",
);

/// The content type of pages.
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// What a program finds at the root.
#[derive(Serialize, ToSchema)]
pub(crate) struct Greeting {
    /// A greeting: the service answers.
    #[schema(examples("Hello world!"))]
    message: &'static str,
}

/// The greeting, or the explorer.
///
/// With `Accept: text/html`, as browsers send it, the answer is the page for people.
#[utoipa::path(
    get, path = "/", tag = "service",
    responses((status = 200, description = "The form that `Accept` prefers: the greeting, or the page", content(
        (Greeting = "application/json"), (String = "text/html"),
    ))),
)]
pub(crate) async fn greet(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let response = if answer::preferred(&headers, &[answer::JSON, answer::HTML]) == answer::HTML {
        suppliers::check_reader(&app, ClientAddress::of(&extensions), &headers).await?;
        get_page(&app, &query.unwrap_or_default()).await?
    } else {
        Json(Greeting { message: "Hello world!" }).into_response()
    };
    Ok(answer::vary_by_accept(response))
}

async fn get_page(app: &App, query: &str) -> Result<Response, Problem> {
    let lanes = &app.lanes;
    let mut response = match page::page(app, query).await {
        Ok((html, source)) => answer::with_cache_headers(html, None, source, &lanes.cache_control),
        Err(NoPage::Faults(html)) => {
            let headers = [(header::CACHE_CONTROL, lanes.cache_control.clone())];
            (StatusCode::BAD_REQUEST, headers, html).into_response()
        }
        Err(NoPage::Problem(problem)) => return Err(problem),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HTML);
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    Ok(response)
}

/// The form that uploads a sheet.
pub(crate) async fn get_upload_form(State(app): State<App>) -> Result<Response, Problem> {
    let page = upload::page(&app.lanes.unit).map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, HTML), (header::CONTENT_SECURITY_POLICY, POLICY)], page).into_response())
}

/// A file of the page. Its name holds a hash of its content, so browsers may cache it for a year.
pub(crate) async fn get_asset(Path(name): Path<String>) -> Result<Response, Problem> {
    let asset = ASSETS.find(&name).ok_or_else(|| {
        Problem::not_found("There is no such file; a page of another version may have named it.")
    })?;
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, asset.content.clone()).into_response())
}
