//! One place for the retry of reads.

use sqlx::PgPool;

/// Runs a read again if its connection had died in the pool: the database restarted, or something between dropped an
/// idle connection. As often as there are connections that may have died, and for reads only: a write that failed in
/// this way may have been committed.
pub async fn retry<T, F>(pool: &PgPool, read: impl Fn() -> F) -> Result<T, sqlx::Error>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let mut attempts_left = pool.size();
    loop {
        match read().await {
            Err(error) if attempts_left > 0 && connection_died(&error) => attempts_left -= 1,
            result => return result,
        }
    }
}

fn connection_died(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        // Operator intervention: the server told this connection to end.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}
