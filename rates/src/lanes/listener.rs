//! Learns of changes of the data through a connection that listens for notifications.

use std::{convert::Infallible, sync::Arc, time::Duration};

use chassis::postgres::{Health, Pool, Primary};
use sqlx::{Connection, postgres::PgListener};
use tokio::time::timeout;

use super::{
    cache::{Freshness, Listening},
    sql,
};

/// The channel of the migrations' `move_data_version`.
const CHANNEL: &str = "rates_data_version";

/// A connection that is silent for this long is checked, to detect one that was lost without an error. Until then, requests
/// that wait for the database get no stale answer.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// The database has this time to connect, and to answer a check.
const ANSWER: Duration = Duration::from_secs(1);

/// Pause before the next attempt to connect.
const RECONNECT: Duration = Duration::from_millis(500);

/// Keeps `freshness` up to date; reconnects when the connection is lost. Logs why the database cannot be reached, once
/// per outage.
pub(super) async fn listen(freshness: &Freshness, health: &Health, server: &Primary, pool: &Pool) {
    loop {
        let Err(error) = listen_once(freshness, health, server, pool).await;
        let error = Arc::new(error);
        if freshness.listening() == Listening::Live {
            freshness.end(Listening::Lost);
            tracing::warn!(error = %error, "lost the connection that listens for changes; reads go to the database");
        } else {
            health.connected(Err(Arc::clone(&error)));
            if freshness.end(Listening::Away) != Listening::Away {
                tracing::warn!(error = %error, "cannot reach the database; serving stale answers from the cache");
            }
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen_once(
    freshness: &Freshness,
    health: &Health,
    server: &Primary,
    pool: &Pool,
) -> Result<Infallible, sqlx::Error> {
    // A pool retries until its timeout and then reports only the timeout; this connection reports the cause at once.
    in_time(server.connect("rates listener").await?.close()).await?;
    let options = (*pool.options()).clone().application_name("rates listener");
    health.connected(Ok(()));
    // A separate connection, so that listening takes none from requests.
    let own = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ANSWER)
        .connect_with(options)
        .await?;
    let mut listener = PgListener::connect_with(&own).await?;
    let before = freshness.newest();
    let begin = async {
        listener.listen(CHANNEL).await?;
        // Read after LISTEN, so that every later commit notifies this connection.
        sql::current_version(&mut listener).await
    };
    let now = in_time(begin).await?;
    freshness.begin(before, now.version);
    tracing::info!("listening for changes of the data");
    loop {
        match timeout(HEARTBEAT, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                if let Ok(version) = notification.payload().parse() {
                    freshness.observe(version);
                }
            }
            Ok(Ok(None)) => return Err(sqlx::Error::WorkerCrashed),
            Ok(Err(error)) => return Err(error),
            Err(_silence) => {
                freshness.observe(in_time(sql::current_version(&mut listener)).await?.version);
                in_time(server.check(&mut listener)).await?;
                health.worked();
            }
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWER, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
