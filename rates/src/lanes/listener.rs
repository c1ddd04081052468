//! Learns of changes of the data through a connection that listens for notifications.

use std::{convert::Infallible, sync::Arc, time::Duration};

use chassis::postgres::Health;
use sqlx::{Connection, PgConnection, PgPool, postgres::PgListener};
use tokio::time::timeout;

use super::{
    cache::{Freshness, Listening},
    sql,
};

/// The channel of the migrations' `move_data_version`.
const CHANNEL: &str = "rates_data_version";

/// A connection that is silent for this long is checked, to detect one that was lost without an error.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Pause before the next attempt to connect.
const RECONNECT: Duration = Duration::from_millis(500);

/// Keeps `freshness` up to date; reconnects when the connection is lost. Logs why the database cannot be reached, once
/// per outage.
pub(super) async fn listen(freshness: &Freshness, health: &Health, pool: &PgPool) {
    loop {
        let Err(error) = listen_once(freshness, health, pool).await;
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
    pool: &PgPool,
) -> Result<Infallible, sqlx::Error> {
    let options = (*pool.connect_options()).clone().application_name("rates listener");
    // A pool retries until its timeout and then reports only the timeout; this connection reports the cause at once.
    let probe = timeout(HEARTBEAT, PgConnection::connect_with(&options)).await;
    probe.map_err(|_| sqlx::Error::PoolTimedOut)??.close().await?;
    health.connected(Ok(()));
    // A separate connection, so that listening takes none from requests.
    let own = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(HEARTBEAT)
        .connect_with(options)
        .await?;
    let mut listener = PgListener::connect_with(&own).await?;
    listener.listen(CHANNEL).await?;
    // Read after LISTEN, so that every later commit notifies this connection.
    let before = freshness.newest();
    freshness.begin(before, sql::current_version(&mut listener).await?.version);
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
                let read = timeout(HEARTBEAT, sql::current_version(&mut listener)).await;
                freshness.observe(read.map_err(|_| sqlx::Error::PoolTimedOut)??.version);
                health.worked();
            }
        }
    }
}
