//! `GET /`, a greeting for programs and the explorer for people, and `GET /assets/{name}`, the files of the page.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use chassis::{Problem, extract::Path};
use http::{HeaderMap, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use crate::{
    app::App,
    explorer::{assets::ASSETS, page},
    suppliers,
};

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
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let response = if answer::preferred(&headers, &[answer::JSON, answer::HTML]) == answer::HTML {
        suppliers::check_reader(&app, &headers).await?;
        page::page(&app.lanes, &query.unwrap_or_default()).await?
    } else {
        Json(Greeting { message: "Hello world!" }).into_response()
    };
    Ok(answer::vary_by_accept(response))
}

/// A file of the page. Its name holds a hash of its content, so browsers may keep it for ever.
pub(crate) async fn get_asset(Path(name): Path<String>) -> Result<Response, Problem> {
    let asset = ASSETS.find(&name).ok_or_else(|| {
        Problem::not_found("There is no such file; a page of another version may have named it.")
    })?;
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, asset.content).into_response())
}
