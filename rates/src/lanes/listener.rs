//! Hears of changes of the data, by a connection that listens for notifications.

use std::{convert::Infallible, time::Duration};

use sqlx::{PgPool, postgres::PgListener};

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

/// Keeps `freshness` up to date for ever; a lost connection is made anew.
pub async fn listen(freshness: &Freshness, pool: &PgPool) {
    loop {
        let Err(error) = listen_once(freshness, pool).await;
        if freshness.listening() == Listening::Live {
            freshness.end(Listening::Lost);
            tracing::warn!(error = %error, "lost the notifications of the database; the cache is not used");
        } else {
            freshness.end(Listening::Away);
            tracing::debug!(error = %error, "cannot listen to the database");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen_once(freshness: &Freshness, pool: &PgPool) -> Result<Infallible, sqlx::Error> {
    // A connection of its own, so that listening takes none from requests.
    let own = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(HEARTBEAT)
        .connect_with((*pool.connect_options()).clone().application_name("rates listener"))
        .await?;
    let mut listener = PgListener::connect_with(&own).await?;
    listener.listen(CHANNEL).await?;
    // Read after LISTEN took effect: whatever commits later notifies.
    freshness.begin(sql::current_version(&mut listener).await?.version);
    tracing::info!("listening for changes of the data");
    loop {
        match tokio::time::timeout(HEARTBEAT, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                if let Ok(version) = notification.payload().parse() {
                    freshness.observe(version);
                }
            }
            Ok(Ok(None)) => return Err(sqlx::Error::WorkerCrashed),
            Ok(Err(error)) => return Err(error),
            Err(_silence) => {
                let read = tokio::time::timeout(HEARTBEAT, sql::current_version(&mut listener)).await;
                freshness.observe(read.map_err(|_| sqlx::Error::PoolTimedOut)??.version);
            }
        }
    }
}
