//! Which state of the data this instance knows to be the newest.
//!
//! PostgreSQL notifies on every commit that changed prices or places. While this instance listens, the version it
//! knows is at most a notification's travel behind, and never behind a write that it acknowledged itself. When it
//! loses its connection it knows nothing, and answers come from the database until it listens again.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{PgPool, postgres::PgListener};

use crate::sql;

/// The channel of the migrations' `move_data_version`.
const CHANNEL: &str = "rates_data_version";

/// A connection that says nothing for this long is asked, so that one that died without a word is found.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Pause before the next attempt to connect.
const RECONNECT: Duration = Duration::from_millis(500);

/// What is known of the newest version.
#[derive(Debug, Default)]
pub struct Freshness {
    version: AtomicI64,
    state: AtomicU8,
    live_until: Mutex<Option<Instant>>,
}

/// Whether the version is kept up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing is known: never connected yet, or the connection was lost.
    Lost,
    /// Notifications arrive.
    Live,
    /// The last attempt to connect failed.
    Away,
}

impl Freshness {
    /// The newest version, if it is kept up to date.
    #[must_use]
    pub fn current(&self) -> Option<i64> {
        (self.state() == State::Live).then(|| self.version.load(Ordering::Acquire))
    }

    /// Whether the version is kept up to date.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            1 => State::Live,
            2 => State::Away,
            _ => State::Lost,
        }
    }

    /// The last version known, and since when it may be outdated; none where nothing was ever known.
    #[must_use]
    pub fn last_known(&self) -> Option<(i64, Duration)> {
        let version = self.version.load(Ordering::Acquire);
        let live_until = *self.live_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (version > 0).then(|| (version, live_until.map_or(Duration::ZERO, |lost| lost.elapsed())))
    }

    /// A version that was seen committed. Versions only grow, so an older one changes nothing.
    pub fn observe(&self, version: i64) {
        self.version.fetch_max(version, Ordering::AcqRel);
    }

    /// A connection listens and read `version` after it began to. Not a maximum: the database may have been restored
    /// to an earlier state.
    fn live(&self, version: i64) {
        self.version.store(version, Ordering::Release);
        self.state.store(1, Ordering::Release);
        *self.live_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    fn lost(&self, state: State) {
        let was = self.state.swap(if state == State::Away { 2 } else { 0 }, Ordering::AcqRel);
        if was == 1 {
            *self.live_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Forgets that the version is kept up to date, as when the connection is lost.
    pub fn forget(&self) {
        self.lost(State::Lost);
    }

    /// Listens for ever; a lost connection is made anew.
    pub async fn listen(&self, pool: PgPool) {
        loop {
            let mut was_live = false;
            let error = match self.listen_once(&pool, &mut was_live).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            self.lost(if was_live { State::Lost } else { State::Away });
            if was_live {
                tracing::warn!(error = %error, "lost the notifications of the database; the cache is not used");
            } else {
                tracing::debug!(error = %error, "cannot listen to the database");
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn listen_once(
        &self,
        pool: &PgPool,
        was_live: &mut bool,
    ) -> Result<std::convert::Infallible, sqlx::Error> {
        // A connection of its own, so that listening takes none from requests.
        let own = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(HEARTBEAT)
            .connect_with((*pool.connect_options()).clone().application_name("rates listener"))
            .await?;
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(CHANNEL).await?;
        // Read after LISTEN took effect: whatever commits later notifies.
        self.live(sql::version::current(&mut listener).await?.version);
        *was_live = true;
        tracing::info!("listening for changes of the data");
        loop {
            match tokio::time::timeout(HEARTBEAT, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => {
                    if let Ok(version) = notification.payload().parse() {
                        self.observe(version);
                    }
                }
                Ok(Ok(None)) => return Err(sqlx::Error::WorkerCrashed),
                Ok(Err(error)) => return Err(error),
                Err(_silence) => {
                    let asked = tokio::time::timeout(HEARTBEAT, sql::version::current(&mut listener)).await;
                    self.observe(asked.map_err(|_| sqlx::Error::PoolTimedOut)??.version);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_before_and_after_it_is_live() {
        let freshness = Freshness::default();
        assert_eq!((freshness.current(), freshness.last_known()), (None, None));
        freshness.live(7);
        freshness.observe(9);
        freshness.observe(8);
        assert_eq!(freshness.current(), Some(9));
        freshness.lost(State::Lost);
        assert_eq!(freshness.current(), None);
        assert_eq!(freshness.last_known().unwrap().0, 9);
        freshness.live(5);
        assert_eq!(freshness.current(), Some(5), "a restored database may be older");
    }
}
