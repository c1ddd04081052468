//! The server that takes writes, which may be one of several.

use std::{convert::Infallible, sync::Arc, time::Duration};

use sqlx::{ConnectOptions, Connection, PgConnection, PgExecutor, postgres::PgConnectOptions};
use tokio::time::sleep;

use super::{DatabaseSettings, Pool, in_time};
use crate::{Exit, Failure, Stop, exit::OrFail, settings::Fault};

/// Each server has this time to connect, and to say whether it takes writes.
const ANSWER: Duration = Duration::from_secs(1);

/// Statements of services are short.
const NO_JIT: [(&str, &str); 1] = [("jit", "off")];

/// How often [`Primary::follow`] asks.
const BEAT: Duration = Duration::from_millis(500);

/// Finds the server that takes writes, and moves pools to it after a failover.
#[derive(Debug)]
pub struct Primary {
    /// How to connect to each server that may be it; at least one.
    servers: Vec<PgConnectOptions>,
    pools: Vec<Pool>,
}

impl Primary {
    /// One of these servers, used by these pools.
    #[must_use]
    pub fn new(servers: Vec<PgConnectOptions>, pools: Vec<Pool>) -> Self {
        Self { servers, pools }
    }

    /// Connects to the server that takes writes, in a short time. If it is another one than before, moves the pools
    /// there.
    pub async fn connect(&self, application_name: &str) -> Result<PgConnection, sqlx::Error> {
        Ok(self.find(application_name).await?.0)
    }

    /// How to connect to the server that takes writes, which is asked now, as by [`Self::connect`].
    pub async fn options(&self, application_name: &str) -> Result<PgConnectOptions, sqlx::Error> {
        let (connection, server) = self.find(application_name).await?;
        in_time(ANSWER, connection.close()).await?;
        Ok(server.clone().application_name(application_name).options(NO_JIT))
    }

    async fn find(&self, application_name: &str) -> Result<(PgConnection, &PgConnectOptions), sqlx::Error> {
        let (connection, server) = find(&self.servers, application_name).await?;
        let (host, port) = (server.get_host(), server.get_port());
        for pool in &self.pools {
            let options = pool.options();
            if (options.get_host(), options.get_port()) != (host, port) {
                tracing::warn!(host, port, "the database was moved to another server");
                pool.move_to(host, port);
            }
        }
        Ok((connection, server))
    }

    /// Checks all the time, until requests have ended, whether the server takes writes, and moves the pools when
    /// another one does. A service that holds a connection anyway calls [`Self::check`] on it instead.
    pub async fn follow(self: Arc<Self>, stop: Stop) {
        if self.servers.len() == 1 {
            return stop.requests_ended().await;
        }
        let follow = async {
            loop {
                let Err(error) = self.follow_once().await;
                tracing::debug!(%error, "looking for the database server that takes writes");
                sleep(BEAT).await;
            }
        };
        tokio::select! {
            () = stop.requests_ended() => {}
            () = follow => {}
        }
    }

    async fn follow_once(&self) -> Result<Infallible, sqlx::Error> {
        let mut connection = self.connect("primary").await?;
        loop {
            sleep(BEAT).await;
            in_time(ANSWER, check_takes_writes(&mut connection)).await?;
        }
    }

    /// Fails if the server of this connection no longer takes writes but another one may.
    pub async fn check(&self, executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
        if self.servers.len() > 1 { check_takes_writes(executor).await } else { Ok(()) }
    }
}

/// Fails on a standby, and on a server that was made read-only.
async fn check_takes_writes(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    let takes_writes: bool = sqlx::query_scalar("select current_setting('transaction_read_only') = 'off'")
        .fetch_one(executor)
        .await?;
    let error = || sqlx::Error::Protocol("the server takes no writes; it is a standby or read-only".into());
    takes_writes.then_some(()).ok_or_else(error)
}

/// Connects to the first server that takes writes.
async fn find<'s>(
    servers: &'s [PgConnectOptions],
    application_name: &str,
) -> Result<(PgConnection, &'s PgConnectOptions), sqlx::Error> {
    let mut result = Err(sqlx::Error::PoolTimedOut);
    for server in servers {
        let options = server.clone().application_name(application_name).options(NO_JIT);
        let connect = async {
            let mut connection = options.connect().await?;
            // A single server is not checked: errors show when it is used.
            if servers.len() > 1 {
                check_takes_writes(&mut connection).await?;
            }
            Ok(connection)
        };
        result = match in_time(ANSWER, connect).await {
            Ok(connection) => return Ok((connection, server)),
            Err(error) => Err(error),
        };
    }
    result
}

/// A connection for a command: without the time limits of requests.
pub async fn connect(settings: &DatabaseSettings) -> Result<PgConnection, Failure> {
    // A migration or a load may take long, and its text would only fill the log.
    let servers: Vec<_> = settings
        .direct()
        .map_err(failure_of)?
        .into_iter()
        .map(|server| server.log_slow_statements(tracing::log::LevelFilter::Off, Duration::ZERO))
        .collect();
    let addresses: Vec<_> =
        servers.iter().map(|server| format!("{}:{}", server.get_host(), server.get_port())).collect();
    let database = servers[0].get_database().unwrap_or_default();
    let (connection, _) = find(&servers, "command").await.or_fail(Exit::Unavailable, || {
        format!("cannot connect to the database at {}/{database}", addresses.join(","))
    })?;
    Ok(connection)
}

/// A fault of the database settings as the failure of a start.
#[must_use]
pub fn failure_of((setting, fault): Fault) -> Failure {
    Failure::new(Exit::Usage, format!("{setting}: {fault}"))
}
