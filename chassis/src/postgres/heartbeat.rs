//! Checks all the time whether a server answers, so that no request has to find out.

use std::{convert::Infallible, time::Duration};

use sqlx::{Connection, PgConnection};
use tokio::{sync::watch, time::sleep};

use super::{Pool, in_time};

/// How often the server is asked.
const BEAT: Duration = Duration::from_millis(500);

/// The server has this time to answer, and to connect.
const ANSWER: Duration = Duration::from_millis(500);

/// Checks one server on a connection of its own.
#[derive(Debug)]
pub struct Heartbeat {
    is_up: watch::Sender<bool>,
}

impl Default for Heartbeat {
    /// Assumes that the server answers, so that a process can use it before the first check.
    fn default() -> Self {
        Self { is_up: watch::Sender::new(true) }
    }
}

impl Heartbeat {
    /// Asks the server of this pool; does not return.
    pub async fn beat(&self, pool: &Pool) -> Infallible {
        loop {
            let Err(error) = self.beat_once(pool).await;
            if self.is_up.send_replace(false) {
                let options = pool.options();
                let (host, port) = (options.get_host(), options.get_port());
                tracing::warn!(host, port, error = %error, "a database server does not answer; it is left out");
            }
            sleep(BEAT).await;
        }
    }

    async fn beat_once(&self, pool: &Pool) -> Result<Infallible, sqlx::Error> {
        let options = (*pool.options()).clone().application_name("heartbeat");
        let mut connection = in_time(ANSWER, PgConnection::connect_with(&options)).await?;
        loop {
            in_time(ANSWER, connection.ping()).await?;
            if !self.is_up.send_replace(true) {
                let (host, port) = (options.get_host(), options.get_port());
                tracing::info!(host, port, "a database server answers again");
            }
            sleep(BEAT).await;
        }
    }

    /// Whether the server answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self.is_up.borrow()
    }

    /// Waits until the server does not answer.
    pub async fn is_down(&self) {
        // Fails only without a sender, which is here.
        let _ = self.is_up.subscribe().wait_for(|is_up| !is_up).await;
    }
}
