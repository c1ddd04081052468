//! `GET /`.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// A sign of life for people and programs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Greeting {
    #[schema(examples("Hello world!"))]
    message: &'static str,
}

/// Greets.
#[utoipa::path(get, path = "/", tag = "service", responses((status = 200, body = Greeting)))]
pub(crate) async fn greet() -> Json<Greeting> {
    Json(Greeting { message: "Hello world!" })
}
