//! Which failures of the database are temporary.

use std::{io, sync::Arc};

use sqlx::postgres::PgDatabaseError;

use crate::{Exit, Failure, Problem, exit};

/// Whether the database is unreachable or busy for now, so that the same request may succeed later.
#[must_use]
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        // Connection exceptions, insufficient resources, operator intervention (shutdown, statement timeout), wrong
        // or expired password, missing database, and a replica that cancelled a read to catch up.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            matches!(&code[..2], "08" | "53" | "57" | "28" | "3D") || code == "40001" || code == "25006"
        }),
        _ => false,
    }
}

/// Whether the connection had ended before it was used. A use that took too long does not count: it would take as long
/// again.
pub(super) fn connection_died(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != io::ErrorKind::TimedOut,
        sqlx::Error::WorkerCrashed => true,
        // Operator intervention: the server told this connection to end.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

/// 503 while the database is unreachable or busy, else 500; the cause goes to the log only.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Arc::new(error).into()
    }
}

/// The same, for one statement that was to answer several requests.
impl From<Arc<sqlx::Error>> for Problem {
    fn from(error: Arc<sqlx::Error>) -> Self {
        if is_outage(&error) {
            Self::unavailable("The database is unreachable or busy; the same request may succeed later.", 2)
                .cause(error)
        } else {
            Self::internal(error)
        }
    }
}

/// The text of a failed statement for the terminal: PostgreSQL's message, detail and hint.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let outage = is_outage(&error);
        let postgres =
            error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        let Some(postgres) = postgres else {
            let exit = if outage { Exit::Unavailable } else { Exit::Failure };
            return Self::new(exit, format!("the database failed: {}", exit::chain(&error)));
        };
        let mut text = postgres.message().to_owned();
        for (title, more) in
            [("detail", postgres.detail()), ("hint", postgres.hint()), ("where", postgres.r#where())]
        {
            text.extend(more.map(|more| format!("\n  {title}: {more}")));
        }
        Self::new(if outage { Exit::Unavailable } else { Exit::Data }, text)
    }
}
