//! Connections: pools for requests, and single ones for commands.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt, StreamExt, TryFutureExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    ConnectOptions, Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::time::timeout;

use super::{DatabaseSettings, error::connection_died, is_outage};

/// A use of a connection is given up this long after the database should have cancelled its statement.
const GRACE: Duration = Duration::from_secs(1);

/// The server ends a transaction whose client does nothing for this long, or earlier. It may hold the lock that all
/// writers wait for.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);

/// How long [`Pool::close`] waits for connections that are in use.
const CLOSE: Duration = Duration::from_secs(1);

/// The server closes a connection whose client has not answered for about ten seconds.
const DEAD_PEERS: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
];

/// Connections to one server; cheap to clone.
///
/// Each use of a connection has a time limit in this process, too. A network that drops packets reports nothing:
/// without the limit, a use would hang until TCP gives up, some 15 minutes later. A connection whose use took too long,
/// or failed because of an outage, is closed and not used again.
#[derive(Debug, Clone)]
pub struct Pool {
    connections: PgPool,
    limit: Duration,
    /// When the pool was last pointed to another server.
    moved: Arc<Mutex<Option<Instant>>>,
}

impl Pool {
    /// A pool that connects when it is first used, so that a process can start before its database.
    #[must_use]
    pub fn new(
        settings: &DatabaseSettings,
        options: PgConnectOptions,
        size: u32,
        statement_timeout_seconds: f64,
    ) -> Self {
        let statement_timeout = Duration::from_secs_f64(statement_timeout_seconds);
        let milliseconds = |duration: Duration| format!("{}ms", duration.as_millis().max(1));
        let limit = statement_timeout + GRACE;
        let options = options
            .options([("statement_timeout", milliseconds(statement_timeout)), ("jit", "off".to_owned())])
            // The server, too, must notice a connection that died silently: its session may hold locks.
            .options([("idle_in_transaction_session_timeout", milliseconds(limit.min(IDLE_IN_TRANSACTION)))])
            .options(DEAD_PEERS)
            // What counts as slow depends on what the pool is for: a second for reads of requests.
            .log_slow_statements(tracing::log::LevelFilter::Warn, statement_timeout / 5);
        let moved = Arc::<Mutex<Option<Instant>>>::default();
        let connections = PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(settings.acquire_timeout())
            // A ping before each use would double the round trips of a read. A connection that died in the pool costs
            // one request a retry (see [`Self::retry`]).
            .test_before_acquire(false)
            // Firewalls forget connections that are idle for longer, and then drop their packets.
            .idle_timeout(Duration::from_mins(4))
            .max_lifetime(Duration::from_mins(30))
            .before_acquire({
                let moved = Arc::clone(&moved);
                // A connection to the previous server must not be used again.
                move |_, connection| {
                    let moved = *moved.lock().unwrap_or_else(PoisonError::into_inner);
                    let is_current = moved.is_none_or(|moved| connection.age <= moved.elapsed());
                    async move { Ok(is_current) }.boxed()
                }
            })
            .connect_lazy_with(options);
        Self { connections, limit, moved }
    }

    /// A pool of these connections. Each use of one may take up to `limit`.
    #[must_use]
    pub fn of(connections: PgPool, limit: Duration) -> Self {
        Self { connections, limit, moved: Arc::default() }
    }

    /// Takes a connection, for more than one statement. Fails if there is none in time.
    pub async fn acquire(&self) -> Result<PooledConnection, sqlx::Error> {
        let connection = self.connections.acquire().await?;
        Ok(PooledConnection { connection, limit: self.limit, is_sound: false })
    }

    /// Reads, and reads again if the connection had died in the pool: the database restarted, or a firewall dropped an
    /// idle connection. Each connection of the pool may have died, so there are as many attempts. For reads only: a
    /// write that failed in this way may have been committed.
    pub async fn retry<T, F>(&self, read: impl Fn() -> F) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let mut attempts_left = self.size();
        loop {
            match read().await {
                Err(error) if attempts_left > 0 && connection_died(&error) => attempts_left -= 1,
                result => return result,
            }
        }
    }

    /// How long a use may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// How many connections there are, idle ones included.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.connections.size()
    }

    /// How many connections are idle.
    #[must_use]
    pub fn num_idle(&self) -> usize {
        self.connections.num_idle()
    }

    /// How many connections there may be.
    #[must_use]
    pub fn max_size(&self) -> u32 {
        self.connections.options().get_max_connections()
    }

    /// How it connects.
    #[must_use]
    pub fn options(&self) -> Arc<PgConnectOptions> {
        self.connections.connect_options()
    }

    /// Uses another server from now on.
    pub(super) fn move_to(&self, host: &str, port: u16) {
        self.connections.set_connect_options((*self.options()).clone().host(host).port(port));
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Closes the connections. Waits a moment for those in use.
    pub async fn close(&self) {
        let _ = timeout(CLOSE, self.connections.close()).await;
    }
}

/// Runs each statement on any connection.
impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Fetched>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let rows = async move { self.acquire().await?.fetch_all_of(query).await };
        rows.map_ok(|rows| stream::iter(rows.into_iter().map(Ok))).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move { self.acquire().await?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        async move { self.acquire().await?.prepare_with(sql, parameters).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        async move { self.acquire().await?.describe(sql).await }.boxed()
    }
}

/// A connection of a [`Pool`]. When it is dropped, it returns to the pool if its last use ended well. Otherwise it may
/// be dead or in the middle of a statement, and is closed.
pub struct PooledConnection {
    connection: PoolConnection<Postgres>,
    limit: Duration,
    is_sound: bool,
}

impl PooledConnection {
    /// Uses the connection for more than a statement, such as a transaction.
    pub async fn limited<'c, T, F>(
        &'c mut self,
        work: impl FnOnce(&'c mut PgConnection) -> F,
    ) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let limit = self.limit;
        self.limited_by_caller(|connection| in_time(limit, work(connection))).await
    }

    /// The same without the limit of the pool: the caller sets one, by dropping this future.
    pub async fn limited_by_caller<'c, T, F>(
        &'c mut self,
        work: impl FnOnce(&'c mut PgConnection) -> F,
    ) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        // Until the end, since the caller may drop this future at any point.
        self.is_sound = false;
        let result = work(&mut self.connection).await;
        self.is_sound = !result.as_ref().is_err_and(is_outage);
        result
    }

    /// The connection without a limit. It is closed when it is dropped.
    pub fn unlimited(&mut self) -> &mut PgConnection {
        self.is_sound = false;
        &mut self.connection
    }

    /// Every row and result of a query, read whole, so that the limit does not depend on the caller.
    async fn fetch_all_of<'q>(
        &mut self,
        query: impl Execute<'q, Postgres> + 'q,
    ) -> Result<Vec<Either<PgQueryResult, PgRow>>, sqlx::Error> {
        self.limited(|connection| connection.fetch_many(query).try_collect()).await
    }
}

impl<'c> Executor<'c> for &'c mut PooledConnection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Fetched>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let rows = self.fetch_all_of(query);
        rows.map_ok(|rows| stream::iter(rows.into_iter().map(Ok))).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.limited(|connection| connection.fetch_optional(query)).boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.limited(|connection| connection.prepare_with(sql, parameters)).boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.limited(|connection| connection.describe(sql)).boxed()
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if !self.is_sound {
            self.connection.close_on_drop();
        }
    }
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledConnection").finish_non_exhaustive()
    }
}

type Fetched = Result<Either<PgQueryResult, PgRow>, sqlx::Error>;

/// A use of the database that is given up after this time.
pub fn in_time<T, F>(limit: Duration, work: F) -> impl Future<Output = Result<T, sqlx::Error>>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let no_answer = || io::Error::new(io::ErrorKind::TimedOut, "the database does not answer");
    timeout(limit, work).map(move |result| result.unwrap_or_else(|_| Err(sqlx::Error::Io(no_answer()))))
}
