//! Every route, and its handler. Texts are those of the application that this one follows.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::header,
    response::IntoResponse,
    routing::{MethodRouter, delete, get, post},
};
use chassis::{
    Problem,
    extract::Path,
    form,
    users::{Login, Refusals, Users},
};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::backend::Backend;

/// The routes of the API, each with and without a last slash.
pub(crate) fn router(backend: Backend, users: &Arc<Users>) -> Router {
    let both = |router: Router<Backend>, path: &str, methods: MethodRouter<Backend>| {
        router.route(path, methods.clone()).route(&format!("{path}/"), methods)
    };
    let mut of_users = Router::new();
    for (path, methods) in [
        ("/multivac/data", post(post_data).put(post_data)),
        ("/multivac/data/{id}", get(get_data).delete(delete_data)),
        ("/multivac/zzz", delete(delete_answer)),
    ] {
        of_users = both(of_users, path, methods);
    }
    both(users.protect(of_users), "/multivac", get(get_answer)).route("/", get(welcome)).with_state(backend)
}

/// What describes the API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "MultiVAC",
        description = "A question box: data is queued, a worker stores it, and the oldest stored data is the answer. \
                       Every path may end with a slash."
    ),
    paths(welcome, get_answer, post_data, get_data, delete_data, delete_answer),
    modifiers(&Login),
    tags((name = "multivac", description = "Data and the answer")),
)]
pub(crate) struct Api;

/// Data for the queue.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what chassis::form reads")]
pub(crate) struct Data {
    /// Any text of at least one character, without U+0000.
    #[schema(examples("fiat lux"), min_length = 1)]
    data: String,
}

/// The data is queued.
#[derive(Serialize, ToSchema)]
pub(crate) struct Queued {
    #[schema(examples("MultiVAC updated!"))]
    response: &'static str,
}

/// Says hello.
#[utoipa::path(get, path = "/", tag = "multivac", responses((status = 200, body = String)))]
async fn welcome() -> &'static str {
    "Welcome to MultiVAC!"
}

/// The answer: the data that was stored first.
#[utoipa::path(get, path = "/multivac", tag = "multivac", responses(
    (status = 200, description = "The answer, or that there is none", body = String),
    (status = 503, description = "The store is unreachable"),
))]
async fn get_answer(State(backend): State<Backend>) -> Result<String, Problem> {
    let answer = backend.store.oldest().await?;
    Ok(answer.unwrap_or_else(|| "INSUFFICIENT DATA FOR MEANINGFUL ANSWER.".to_owned()))
}

/// Queues data; answered once it is durable.
#[utoipa::path(method(post, put), path = "/multivac/data", tag = "multivac", security(("user" = [])),
    request_body(content(
        (Data = "multipart/form-data"), (Data = "application/x-www-form-urlencoded"), (Data = "application/json"),
    )),
    responses(
        (status = 200, description = "It is queued", body = Queued,
            headers(("Location" = String, description = "Where the data will be"))),
        (status = 400, description = "`data` is missing, empty or no text"),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "Another media type"),
        (status = 503, description = "The queue is unreachable; the data may have been queued"),
        Refusals,
    ),
)]
async fn post_data(State(backend): State<Backend>, request: Request) -> Result<impl IntoResponse, Problem> {
    let data = form::read_text(request, "data").await?;
    let location = format!("/multivac/data/{}", backend.queue.put(data).await?);
    Ok(([(header::LOCATION, location)], Json(Queued { response: "MultiVAC updated!" })))
}

/// The data of one POST, once it is stored.
#[utoipa::path(get, path = "/multivac/data/{id}", tag = "multivac", security(("user" = [])),
    params(("id" = String, Path, description = "As `Location` gave it")),
    responses(
        (status = 200, description = "The data", body = String),
        (status = 400, description = "The path is not UTF-8"),
        (status = 404, description = "Not stored: it waits, was deleted, or never was"),
        (status = 503, description = "The store is unreachable"),
        Refusals,
    ),
)]
async fn get_data(State(backend): State<Backend>, Path(id): Path<String>) -> Result<String, Problem> {
    let found = if is_id(&id) { backend.store.get(&id).await? } else { None };
    found.ok_or_else(|| Problem::not_found("This data is not stored: it waits, was deleted, or never was."))
}

/// Deletes the data of one POST, stored or not.
#[utoipa::path(delete, path = "/multivac/data/{id}", tag = "multivac", security(("user" = [])),
    params(("id" = String, Path, description = "As `Location` gave it")),
    responses(
        (status = 200, description = "It was there and is gone", body = String),
        (status = 400, description = "The path is not UTF-8"),
        (status = 404, description = "It was deleted, or never was"),
        (status = 503, description = "The queue or the store is unreachable"),
        Refusals,
    ),
)]
async fn delete_data(
    State(backend): State<Backend>,
    Path(id): Path<String>,
) -> Result<&'static str, Problem> {
    let Backend { queue, store, .. } = &backend;
    if !is_id(&id) || (queue.find(&id).await?.is_none() && store.get(&id).await?.is_none()) {
        return Err(Problem::not_found("no such data"));
    }
    // The store first, so that a worker that has the job already stores nothing.
    store.delete(&id).await?;
    queue.discard(&id).await?;
    Ok("Deleted!")
}

/// Deletes the answer, so that the next data becomes it.
#[utoipa::path(delete, path = "/multivac/zzz", tag = "multivac", security(("user" = [])), responses(
    (status = 200, description = "`Deleted!`, or `no such data` where nothing is stored", body = String),
    (status = 503, description = "The store is unreachable"),
    Refusals,
))]
async fn delete_answer(State(backend): State<Backend>) -> Result<&'static str, Problem> {
    Ok(if backend.store.delete_oldest().await? { "Deleted!" } else { "no such data" })
}

/// Whether this can be an id: those of all queues consist of digits and a hyphen.
fn is_id(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}
