//! Learns of changes of the data through a connection that listens for notifications.

use std::{convert::Infallible, sync::Arc, time::Duration};

use chassis::postgres::{Health, Primary, in_time};
use sqlx::postgres::PgListener;
use tokio::time::timeout;

use super::{
    freshness::{Freshness, Listening},
    places::Places,
    sql,
};
use crate::database::Database;

/// The channel of the migrations' `move_data_version`.
const CHANNEL: &str = "rates_data_version";

/// A connection that is silent for this long is checked, to detect one that was lost without an error. Until then, requests
/// that wait for the database get no stale answer.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// The database has this time to connect, and to answer a check.
const ANSWER: Duration = Duration::from_secs(1);

/// Pause before the next attempt to connect.
const RECONNECT: Duration = Duration::from_millis(500);

/// If more months of pairs of ports have changed at once, all lanes are forgotten. Each of them is in some sixteen pairs of
/// places.
const MOST_CHANGES: usize = 20_000;

/// Keeps the freshness up to date.
#[derive(Debug)]
pub(super) struct Listener {
    freshness: Arc<Freshness>,
    places: Arc<Places>,
    health: Arc<Health>,
    server: Arc<Primary>,
}

impl Listener {
    pub(super) fn new(database: &Database, freshness: Arc<Freshness>, places: Arc<Places>) -> Self {
        Self {
            freshness,
            places,
            health: Arc::clone(&database.health),
            server: Arc::clone(&database.primary_server),
        }
    }

    /// Does not return; reconnects when the connection is lost. Logs why the database cannot be reached, once per outage.
    pub(super) async fn run(&self) {
        loop {
            let Err(error) = self.listen().await;
            let error = Arc::new(error);
            if self.freshness.listening() == Listening::Live {
                self.freshness.end(Listening::Lost);
                tracing::warn!(error = %error, "lost the connection that listens for changes; reads go to the database");
            } else {
                self.health.connected(Err(Arc::clone(&error)));
                if self.freshness.end(Listening::Away) != Listening::Away {
                    tracing::warn!(error = %error, "cannot reach the database; serving stale answers from the cache");
                }
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn listen(&self) -> Result<Infallible, sqlx::Error> {
        // A pool retries until its timeout and then reports only the timeout; this connection reports the cause at once.
        let options = self.server.options("rates listener").await?;
        self.health.connected(Ok(()));
        // A separate connection, so that listening takes none from requests.
        let own = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ANSWER)
            .connect_with(options)
            .await?;
        let mut listener = PgListener::connect_with(&own).await?;
        in_time(ANSWER, listener.listen(CHANNEL)).await?;
        // Read after LISTEN, so that every later commit notifies this connection.
        in_time(ANSWER, self.catch_up(&mut listener)).await?;
        self.freshness.begin();
        tracing::info!("listening for changes of the data");
        loop {
            match timeout(HEARTBEAT, listener.try_recv()).await {
                Ok(Ok(Some(_))) => {
                    // Several commits may have been notified meanwhile; their changes are read together.
                    while listener.next_buffered().is_some() {}
                    in_time(ANSWER, self.catch_up(&mut listener)).await?;
                }
                Ok(Ok(None)) => return Err(sqlx::Error::WorkerCrashed),
                Ok(Err(error)) => return Err(error),
                Err(_silence) => {
                    in_time(ANSWER, self.catch_up(&mut listener)).await?;
                    in_time(ANSWER, self.server.check(&mut listener)).await?;
                    self.health.worked();
                }
            }
        }
    }

    /// Reads what has changed, and takes it into account.
    async fn catch_up(&self, listener: &mut PgListener) -> Result<(), sqlx::Error> {
        let freshness = &self.freshness;
        let known = freshness.version();
        let changes = sql::changes_since(listener, known, MOST_CHANGES).await?;
        let now = changes.now;
        if now.version == known {
            return Ok(());
        }
        let is_restored = now.version < known;
        if is_restored {
            self.places.forget().await;
        }
        // Before the changes: ports are mapped to the places above them, and requests rely on a catalogue that is as new
        // as the version.
        let catalogue = self.places.read_at(now.places_version).await?;
        if is_restored {
            freshness.restored(now.version, changes.clock);
            return Ok(());
        }
        // The tree that the changes were made in must be the one of the catalogue.
        let is_same_tree = now.places_version <= known && catalogue.places_version <= now.places_version;
        match changes.months {
            Some(months) if is_same_tree => {
                let pairs = months
                    .into_iter()
                    .flat_map(|(ports, month)| catalogue.pairs_above(ports).map(move |pair| (pair, month)));
                freshness.apply(now.version, pairs);
            }
            _ => {
                freshness.forget_before(now.version);
                freshness.apply(now.version, []);
            }
        }
        Ok(())
    }
}
