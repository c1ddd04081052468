//! `GET /openapi.json`: the description that `router` derives from the handlers, rendered once.

use std::sync::LazyLock;

use axum::response::IntoResponse;
use http::header;

static DOCUMENT: LazyLock<String> = LazyLock::new(super::router::openapi_json);

pub(crate) async fn get_openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}
