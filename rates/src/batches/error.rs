//! Why a batch was not stored.

use chassis::Problem;
use http::StatusCode;

use super::{
    pace::TooSlow,
    parse::{ParsedContent, ReadError},
};

/// Why a batch was not stored.
#[derive(Debug)]
pub(crate) enum BatchError {
    /// The content could not be read to its end.
    Read(ReadError),
    /// The content was read and has faults.
    Faults(ParsedContent),
    /// The batch that this one replaces has no prices, or no longer.
    NotReplaceable(i64),
    /// The database failed.
    Database(sqlx::Error),
}

impl From<ReadError> for BatchError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<sqlx::Error> for BatchError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<BatchError> for Problem {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Read(ReadError::TooLarge(limit)) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE).detail(format!(
                    "The content is larger than {limit} bytes, without compression; split it into several batches."
                ))
            }
            BatchError::Read(ReadError::Interrupted(source)) if source.is::<TooSlow>() => {
                Self::new(StatusCode::REQUEST_TIMEOUT)
                    .kind("upload-too-slow", "Upload too slow")
                    .detail(source.to_string())
            }
            // The pieces of a workbook come from the database.
            BatchError::Read(ReadError::Interrupted(source)) if source.is::<sqlx::Error>() => {
                match source.downcast::<sqlx::Error>() {
                    Ok(error) => Self::from(*error),
                    Err(source) => Self::internal(source),
                }
            }
            BatchError::Read(ReadError::Interrupted(source)) => {
                Self::new(StatusCode::BAD_REQUEST).detail("The upload ended before it was complete.").cause(source)
            }
            BatchError::Read(ReadError::Damaged(source)) => Self::new(StatusCode::BAD_REQUEST)
                .detail("The content cannot be decompressed; send valid gzip, or omit Content-Encoding.")
                .cause(source),
            BatchError::Read(error) => Self::internal(error),
            BatchError::Faults(content) => unacceptable(content),
            BatchError::NotReplaceable(id) => not_replaceable(id),
            // The ports were there when the rows were checked; another client has deleted one since.
            BatchError::Database(error) if is_foreign_key_violation(&error) => {
                Self::unavailable("The ports changed during the upload; send the batch again.", 1).cause(error)
            }
            BatchError::Database(error) => Self::from(error),
        }
    }
}

fn is_foreign_key_violation(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_foreign_key_violation())
}

/// 409: only a batch that is done has prices to replace.
pub(crate) fn not_replaceable(id: i64) -> Problem {
    Problem::new(StatusCode::CONFLICT).detail(format!(
        "Batch {id} cannot be replaced: it has no prices, because it is not done or was withdrawn. Nothing was stored."
    ))
}

/// 422 with the faults of the content.
fn unacceptable(content: ParsedContent) -> Problem {
    let listed = content.faults.len();
    let detail = match content.total_faults {
        1 => "The content has a fault; nothing was stored.".to_owned(),
        total if content.stopped => format!(
            "The content has so many faults that it was read only to row {}: {total}, of which `errors` lists the first \
             {listed}; nothing was stored.",
            content.last_row
        ),
        total if total > listed as u64 => {
            format!(
                "The content has {total} faults, of which `errors` lists the first {listed}; nothing was stored."
            )
        }
        total => format!("The content has {total} faults, listed in `errors`; nothing was stored."),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY)
        .kind("unacceptable-prices", "Unacceptable prices")
        .detail(detail)
        .errors(content.faults)
        .member("total", content.total_faults)
        .member("stopped", content.stopped)
        .member("rows", content.rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_that_ends_early_is_the_fault_of_the_client_or_of_the_database() {
        let status = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Problem::from(BatchError::Read(ReadError::Interrupted(cause))).status()
        };
        assert_eq!(status("the connection was reset".into()), StatusCode::BAD_REQUEST);
        assert_eq!(status(Box::new(sqlx::Error::PoolTimedOut)), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn a_failed_statement_that_misses_no_port_is_an_internal_error() {
        let problem = Problem::from(BatchError::Database(sqlx::Error::RowNotFound));
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
