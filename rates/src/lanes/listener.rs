//! Hears of changes of the data, by a connection that listens for notifications.

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

/// A connection that says nothing for this long is asked, so that one that died without a word is found.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Pause before the next attempt to connect.
const RECONNECT: Duration = Duration::from_millis(500);

/// Keeps `freshness` up to date for ever; a lost connection is made anew. Says why the database cannot be reached, once
/// each time that this begins.
pub(super) async fn listen(freshness: &Freshness, health: &Health, pool: &PgPool) {
    loop {
        let Err(error) = listen_once(freshness, health, pool).await;
        let error = Arc::new(error);
        if freshness.listening() == Listening::Live {
            freshness.end(Listening::Lost);
            tracing::warn!(error = %error, "lost the connection that hears of changes; reads go to the database");
        } else {
            health.connected(Err(Arc::clone(&error)));
            if freshness.end(Listening::Away) != Listening::Away {
                tracing::warn!(error = %error, "cannot reach the database; stale answers are given where there are any");
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
    // A pool tries again until its time is up and then reports that alone: this connection tells what is wrong, at once.
    let probe = timeout(HEARTBEAT, PgConnection::connect_with(&options)).await;
    probe.map_err(|_| sqlx::Error::PoolTimedOut)??.close().await?;
    health.connected(Ok(()));
    // A connection of its own, so that listening takes none from requests.
    let own = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(HEARTBEAT)
        .connect_with(options)
        .await?;
    let mut listener = PgListener::connect_with(&own).await?;
    listener.listen(CHANNEL).await?;
    // Read after LISTEN took effect: whatever commits later notifies.
    freshness.begin(sql::current_version(&mut listener).await?.version);
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
