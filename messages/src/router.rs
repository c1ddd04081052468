//! Every route, where its handler is, and what describes it.

use axum::{
    Router,
    routing::{get, post},
};
use utoipa::OpenApi;

use crate::routes::{self, App};

/// The routes of the API.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/messages", post(routes::post_message))
        .route("/messages/{digest}", get(routes::get_message).delete(routes::delete_message))
        .with_state(app)
}

/// What describes the API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Messages",
        description = "Store a message, get it back by its SHA-256. Every error has a text `err_msg`; all but \"not \
                       found\" are also problems (RFC 9457)."
    ),
    paths(routes::post_message, routes::get_message, routes::delete_message),
    tags((name = "messages", description = "Texts by their digest")),
)]
pub(crate) struct Api;
