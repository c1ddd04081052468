//! `/messages`: store, read, delete.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use chassis::{Problem, extract::Path, problem::FieldError};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    digest::Digest,
    store::{Store, StoreError},
};

/// What every handler has; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) message_limit_bytes: usize,
}

/// A message.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct Message<'a> {
    /// Any text; it may be empty.
    #[serde(borrow)]
    #[schema(examples("foo"))]
    message: Cow<'a, str>,
}

/// The name of a message.
#[derive(Serialize, ToSchema)]
pub(crate) struct Stored {
    /// SHA-256 of the message's UTF-8 bytes, 64 lower-case hexadecimal digits.
    #[schema(examples("2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"))]
    digest: String,
}

/// What was deleted.
#[derive(Serialize, ToSchema)]
pub(crate) struct Deleted {
    /// The digest.
    #[schema(examples("2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"))]
    message_deleted: String,
}

/// There is no such message. Clients compare the whole body, so it has no other member.
#[derive(Serialize, ToSchema)]
pub(crate) struct NotFound {
    /// What was looked for.
    #[schema(examples("Message not found for hash: 2c26"))]
    err_msg: String,
}

/// Stores a message.
#[utoipa::path(
    post, path = "/messages", tag = "messages",
    request_body = Message,
    responses(
        (status = 201, description = "It is stored", body = Stored, headers(("Location" = String, description = "The message"))),
        (status = 200, description = "It was there", body = Stored),
        (status = 400, description = "Not JSON, or without a text `message`"),
        (status = 413, description = "The message is too long"),
        (status = 415, description = "The media type is not application/json"),
        (status = 503, description = "The store is unreachable"),
    ),
)]
pub(crate) async fn post_message(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    require_json(request.headers())?;
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(BytesRejection::FailedToBufferBody(failed))
            if failed.status() == StatusCode::PAYLOAD_TOO_LARGE =>
        {
            return Err(too_large(app.message_limit_bytes));
        }
        Err(error) => {
            let cut = Problem::new(StatusCode::BAD_REQUEST).detail("The request body is incomplete.");
            return Err(cut.cause(error));
        }
    };
    let Message { message } = read(&body)?;
    if message.len() > app.message_limit_bytes {
        return Err(too_large(app.message_limit_bytes));
    }
    let digest = Digest::of(message.as_bytes());
    let message = match message {
        // A message without escapes is in the body as it is.
        Cow::Borrowed(text) => body.slice_ref(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    let new = app.store.put(digest, message).await.map_err(unreachable)?;
    let digest = digest.to_string();
    Ok(if new {
        let location = format!("/messages/{digest}");
        (StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(Stored { digest })).into_response()
    } else {
        axum::Json(Stored { digest }).into_response()
    })
}

/// Gives a message back.
#[utoipa::path(
    get, path = "/messages/{digest}", tag = "messages",
    params(("digest" = String, Path, description = "SHA-256 of the message, 64 lower-case hexadecimal digits")),
    responses(
        (status = 200, description = "The message, byte for byte", body = Message),
        (status = 404, description = "There is no such message, or this is no digest", body = NotFound),
        (status = 503, description = "The store is unreachable"),
    ),
)]
pub(crate) async fn get_message(
    State(app): State<App>,
    Path(named): Path<String>,
) -> Result<Response, Problem> {
    let found = match Digest::parse(&named) {
        Some(digest) => app.store.get(digest).await.map_err(unreachable)?,
        None => None,
    };
    let Some(message) = found else {
        return Ok(not_found(&named));
    };
    let message = std::str::from_utf8(&message).map_err(Problem::internal)?;
    Ok(axum::Json(Message { message: message.into() }).into_response())
}

/// Removes a message.
#[utoipa::path(
    delete, path = "/messages/{digest}", tag = "messages",
    params(("digest" = String, Path, description = "SHA-256 of the message, 64 lower-case hexadecimal digits")),
    responses(
        (status = 200, description = "It was there and is gone", body = Deleted),
        (status = 404, description = "There is no such message, or this is no digest", body = NotFound),
        (status = 503, description = "The store is unreachable"),
    ),
)]
pub(crate) async fn delete_message(
    State(app): State<App>,
    Path(named): Path<String>,
) -> Result<Response, Problem> {
    let deleted = match Digest::parse(&named) {
        Some(digest) => app.store.delete(digest).await.map_err(unreachable)?,
        None => false,
    };
    Ok(if deleted {
        axum::Json(Deleted { message_deleted: named }).into_response()
    } else {
        not_found(&named)
    })
}

fn not_found(named: &str) -> Response {
    let body = NotFound { err_msg: format!("Message not found for hash: {named}") };
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

/// Pages of other sites can send forms of other types without being asked first, so only this type is read as JSON.
fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        .detail(format!("The body must be application/json, not {given:?}."))
        .header(header::ACCEPT, HeaderValue::from_static("application/json")))
}

fn read(body: &[u8]) -> Result<Message<'_>, Problem> {
    // serde takes an array of the fields for the struct.
    if body.trim_ascii_start().starts_with(b"[") {
        let wrong = FieldError::new("message", "missing", "the body must be an object with a text message");
        return Err(Problem::invalid_parameters(vec![wrong]));
    }
    serde_json::from_slice(body).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> Problem {
    if error.is_data() {
        let wrong = FieldError::new("message", "invalid", format!("message must be a text: {error}"));
        Problem::invalid_parameters(vec![wrong])
    } else {
        Problem::new(StatusCode::BAD_REQUEST).detail(format!("The body is not JSON: {error}."))
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail(format!("The message is longer than {limit} bytes."))
}

fn unreachable(error: StoreError) -> Problem {
    Problem::unavailable("The store is unreachable; try again in a second.", 1).cause(error)
}
