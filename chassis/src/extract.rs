//! axum's extractors, with problems as rejections.

use axum::{
    extract::{FromRequestParts, path::ErrorKind, rejection::PathRejection},
    response::IntoResponse,
};
use http::{StatusCode, request::Parts};
use serde::de::DeserializeOwned;

use crate::Problem;

/// Parameters of the path; invalid ones are answered with 400.
pub struct Path<T>(
    /// The parameters.
    pub T,
);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = axum::response::Response;

    #[expect(clippy::disallowed_types, reason = "this is the extractor that replaces it")]
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(failed)) => Err(match failed.kind() {
                ErrorKind::InvalidUtf8InPathParam { .. } => {
                    Problem::new(StatusCode::BAD_REQUEST).detail("The unescaped path is not UTF-8.")
                }
                _ => Problem::new(StatusCode::BAD_REQUEST).detail("The path contains an invalid value."),
            }
            .into_response()),
            Err(other) => Err(Problem::internal(other).into_response()),
        }
    }
}
