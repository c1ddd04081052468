//! axum's extractors with rejections that are problems.

use axum::{
    extract::{FromRequestParts, path::ErrorKind, rejection::PathRejection},
    response::IntoResponse,
};
use http::{StatusCode, request::Parts};
use serde::de::DeserializeOwned;

use crate::Problem;

/// Parameters of the path; what cannot be read is 400.
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

    #[expect(clippy::disallowed_types, reason = "this is the extractor that stands in for it")]
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(failed)) => Err(match failed.kind() {
                ErrorKind::InvalidUtf8InPathParam { .. } => {
                    Problem::new(StatusCode::BAD_REQUEST).detail("The path is not UTF-8 once unescaped.")
                }
                _ => Problem::new(StatusCode::BAD_REQUEST).detail("The path has a value of the wrong form."),
            }
            .into_response()),
            Err(other) => Err(Problem::internal(other).into_response()),
        }
    }
}
