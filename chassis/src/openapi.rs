//! What the API descriptions of all services share: the version, and the body of errors.

use axum::{Router, routing::get};
use http::{StatusCode, header};
use utoipa::{
    ToSchema,
    openapi::{Content, OpenApi, PathItem, Ref, RefOr, Response, path::Operation},
};

use crate::{
    compression::CompressibleBody,
    problem::{FieldError, MEDIA_TYPE, ProblemBody},
};

/// Completes a description that was derived from handlers: sets the version, and a problem as the body of every error
/// response without one.
#[must_use]
pub fn complete(mut api: OpenApi) -> OpenApi {
    // Without the revision; otherwise the committed description would change with every commit.
    env!("CARGO_PKG_VERSION").clone_into(&mut api.info.version);
    let schemas = &mut api.components.get_or_insert_default().schemas;
    schemas.insert(ProblemBody::name().into_owned(), <ProblemBody as utoipa::PartialSchema>::schema());
    schemas.insert(FieldError::name().into_owned(), <FieldError as utoipa::PartialSchema>::schema());
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        for (status, response) in &mut operation.responses.responses {
            if let (Ok(status), RefOr::T(response)) = (status.parse(), response) {
                complete_response(status, response);
            }
        }
    }
    api
}

/// The description as text, as printed by `openapi` and served by `/openapi.json`.
#[must_use]
pub fn to_json(api: &OpenApi) -> String {
    let mut text = api.to_pretty_json().expect("a description is plain data");
    text.push('\n');
    text
}

/// `GET /openapi.json`; the text is rendered once.
pub(crate) fn router(api: &OpenApi) -> Router {
    let text = CompressibleBody::from(to_json(api));
    let document = async move || ([(header::CONTENT_TYPE, "application/json")], text.clone());
    Router::new().route("/openapi.json", get(document))
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, query, .. } = path;
    [get, put, post, delete, options, head, patch, trace, query].into_iter().flatten()
}

fn complete_response(status: StatusCode, response: &mut Response) {
    if response.description.is_empty() {
        status.canonical_reason().unwrap_or("Other").clone_into(&mut response.description);
    }
    let is_error = status.is_client_error() || status.is_server_error();
    if is_error && response.content.is_empty() {
        let problem = Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
        response.content.insert(MEDIA_TYPE.to_owned(), RefOr::T(problem));
    }
}
