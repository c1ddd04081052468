//! A field of a form: multipart, urlencoded or JSON.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Multipart, Request, rejection::BytesRejection},
};
use http::{HeaderValue, StatusCode, header};
use percent_encoding::percent_decode;
use serde_json::Value;

use crate::{Problem, problem::FieldError};

/// Reads the text of the first field of this name. It must have at least one character, and none may be U+0000. The
/// body may be multipart, urlencoded or JSON.
///
/// # Errors
///
/// 400 that names the field; 413; 415.
pub async fn read_text(request: Request, field: &'static str) -> Result<String, Problem> {
    let wrong = |code, detail: &str| wrong(field, code, detail);
    let (head, body) = request.into_parts();
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut again = Request::new(Body::empty());
    again.headers_mut().clone_from(&head.headers);
    let body = read_body(Request::from_parts(head, body)).await?;
    if body.is_empty() {
        return Err(wrong("missing", "it is missing: send it as a form field or in JSON"));
    }
    let text = match essence.as_str() {
        "multipart/form-data" => {
            *again.body_mut() = Body::from(body);
            multipart(again, field).await?
        }
        "application/x-www-form-urlencoded" => urlencoded(&body, field)?,
        "application/json" => json(&body, field)?,
        _ => {
            let accepted = "multipart/form-data, application/x-www-form-urlencoded, application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .detail(format!("The body must be one of {accepted}, not {content_type:?}."))
                .header(header::ACCEPT, HeaderValue::from_static(accepted)));
        }
    };
    match text {
        None => Err(wrong("missing", "it is missing")),
        Some(text) if text.is_empty() => Err(wrong("empty", "it must not be empty")),
        // PostgreSQL has no such character in its texts.
        Some(text) if text.contains('\0') => {
            Err(wrong("invalid", "it contains the character U+0000, which cannot be stored"))
        }
        Some(text) => Ok(text),
    }
}

async fn multipart(request: Request, field: &'static str) -> Result<Option<String>, Problem> {
    let unreadable = |error: String| {
        Problem::new(StatusCode::BAD_REQUEST).detail(format!("The body is not multipart/form-data: {error}."))
    };
    let mut parts =
        Multipart::from_request(request, &()).await.map_err(|error| unreadable(error.body_text()))?;
    while let Some(part) = parts.next_field().await.map_err(|error| unreadable(error.body_text()))? {
        if part.name() == Some(field) {
            let bytes = part.bytes().await.map_err(|error| unreadable(error.body_text()))?;
            return Ok(Some(utf8(bytes, field)?));
        }
    }
    Ok(None)
}

fn urlencoded(body: &Bytes, field: &'static str) -> Result<Option<String>, Problem> {
    // The parser puts a replacement character where a text is not UTF-8.
    if percent_decode(body).decode_utf8().is_err() {
        return Err(not_utf8(field));
    }
    let found = form_urlencoded::parse(body).find(|(name, _)| name == field);
    Ok(found.map(|(_, value)| value.into_owned()))
}

fn json(body: &[u8], field: &'static str) -> Result<Option<String>, Problem> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut object)) => match object.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(field, "invalid", "it is not a text")),
        },
        Ok(_) => Err(wrong(field, "missing", "the body is not an object")),
        Err(error) => {
            Err(Problem::new(StatusCode::BAD_REQUEST).detail(format!("The body is not JSON: {error}.")))
        }
    }
}

fn utf8(bytes: Bytes, field: &'static str) -> Result<String, Problem> {
    String::from_utf8(bytes.into()).map_err(|_| not_utf8(field))
}

fn not_utf8(field: &'static str) -> Problem {
    wrong(field, "invalid", "it is not UTF-8")
}

fn wrong(field: &'static str, code: &'static str, detail: &str) -> Problem {
    Problem::invalid_parameters(vec![FieldError::new(field, code, format!("{field}: {detail}"))])
}

async fn read_body(request: Request) -> Result<Bytes, Problem> {
    Bytes::from_request(request, &()).await.map_err(|error| match error {
        BytesRejection::FailedToBufferBody(failed) if failed.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail("The body is larger than this server takes.")
        }
        error => Problem::new(StatusCode::BAD_REQUEST).detail("The request body is incomplete.").cause(error),
    })
}
