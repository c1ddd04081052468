//! `GET /`: a greeting for programs, the explorer for people.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use chassis::Problem;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::explorer;
use crate::{app::App, form, suppliers};

/// A sign of life for people and programs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Greeting {
    #[schema(examples("Hello world!"))]
    message: &'static str,
}

/// Greets; with `Accept: text/html`, as browsers send it, answers the explorer.
#[utoipa::path(get, path = "/", tag = "service", responses((status = 200, body = Greeting)))]
pub(crate) async fn greet(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut response = if form::preferred(&headers, &[form::JSON, form::HTML]) == form::HTML {
        suppliers::check_reader(&app, &headers).await?;
        explorer::page(&app, &query.unwrap_or_default()).await?
    } else {
        Json(Greeting { message: "Hello world!" }).into_response()
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}
