//! Messages in Redis, under `message:DIGEST`: one server, one server with replicas for reads, or a cluster.

use std::{
    fs,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ExistenceCheck, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, SetOptions, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    cluster_read_routing::RandomReplicaStrategy,
};
use secrecy::ExposeSecret;
use tokio::sync::OnceCell;

use super::{Answer, Store, StoreError};
use crate::{digest::Digest, settings::RedisSettings};

/// A replica that failed is not asked for this time: each read would wait for it until the timeout.
const COOL_OFF: Duration = Duration::from_secs(3);

/// See the [module](self).
#[derive(Debug)]
pub struct RedisStore {
    primary: Connection,
    replicas: Vec<Replica>,
    next: AtomicUsize,
    started: Instant,
}

#[derive(Debug)]
struct Replica {
    connection: Connection,
    /// When it may be tried again, in seconds since the store was opened; 0 while it answers.
    away_until: AtomicU64,
}

impl Replica {
    fn new(connection: Connection) -> Self {
        Self { connection, away_until: AtomicU64::new(0) }
    }

    /// Whether to ask it. Of those who come when its time is over, the first alone tries; the others need not wait.
    fn may_be_asked(&self, now: u64) -> bool {
        let until = self.away_until.load(Ordering::Relaxed);
        until == 0
            || (until <= now
                && self
                    .away_until
                    .compare_exchange(until, after(now), Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok())
    }
}

fn after(now: u64) -> u64 {
    now + COOL_OFF.as_secs()
}

/// A connection that is made when it is first asked and again whenever it was lost. Requests share it, and what they
/// ask at the same time travels together.
enum Connection {
    Server(ConnectionManager),
    Cluster(Box<(ClusterClient, OnceCell<ClusterConnection>)>),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Server(_) => "Server",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl Connection {
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        match self {
            Self::Server(connection) => command.query_async(&mut connection.clone()).await,
            Self::Cluster(cluster) => {
                let (client, connection) = &**cluster;
                let connection = connection.get_or_try_init(|| client.get_async_connection()).await?;
                command.query_async(&mut connection.clone()).await
            }
        }
    }
}

impl RedisStore {
    /// A store over these servers. Nothing is asked of them yet.
    pub fn new(settings: &RedisSettings) -> Result<Self, String> {
        // A second provider in one process (tests) keeps the first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let fault = |error: RedisError| format!("cannot use the settings of Redis: {error}");
        let certificates = certificates(settings)?;
        let timeout = Duration::from_secs_f64(settings.timeout_seconds);
        if settings.cluster {
            let infos: Result<Vec<_>, String> =
                settings.host.0.iter().map(|host| connection_info(settings, host)).collect();
            let infos = infos?;
            let cluster = |reads_from_replicas: bool| {
                let mut builder = ClusterClient::builder(infos.clone())
                    .connection_timeout(timeout)
                    .response_timeout(timeout)
                    .overall_response_timeout(Some(timeout))
                    .retries(2);
                if let Some(certificates) = &certificates {
                    builder = builder.certs(certificates.clone());
                }
                if reads_from_replicas {
                    builder = builder.read_routing_strategy(RandomReplicaStrategy);
                }
                let client = builder.build().map_err(fault)?;
                Ok::<_, String>(Connection::Cluster(Box::new((client, OnceCell::new()))))
            };
            let replicas =
                if settings.cluster_read_replicas { vec![Replica::new(cluster(true)?)] } else { Vec::new() };
            return Ok(Self::over(cluster(false)?, replicas));
        }
        let server = |host: &String| {
            let info = connection_info(settings, host)?;
            let client = match &certificates {
                Some(certificates) => Client::build_with_tls(info, certificates.clone()),
                None => Client::open(info),
            };
            // A lost connection is tried twice, then the request fails; the next one tries again.
            let config = ConnectionManagerConfig::new()
                .set_number_of_retries(1)
                .set_min_delay(Duration::from_millis(20))
                .set_connection_timeout(Some(timeout))
                .set_response_timeout(Some(timeout));
            let connection = ConnectionManager::new_lazy_with_config(client.map_err(fault)?, config);
            Ok::<_, String>(Connection::Server(connection.map_err(fault)?))
        };
        let [host] = settings.host.0.as_slice() else {
            return Err("redis.host names several hosts, which needs redis.cluster".to_owned());
        };
        let replicas: Result<Vec<_>, _> =
            settings.read_hosts.0.iter().map(|host| server(host).map(Replica::new)).collect();
        Ok(Self::over(server(host)?, replicas?))
    }

    fn over(primary: Connection, replicas: Vec<Replica>) -> Self {
        Self { primary, replicas, next: AtomicUsize::new(0), started: Instant::now() }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// The replicas in turn, but for those that are away.
    fn replica(&self) -> Option<&Replica> {
        if self.replicas.is_empty() {
            return None;
        }
        let (next, now) = (self.next.fetch_add(1, Ordering::Relaxed), self.now());
        (0..self.replicas.len())
            .map(|step| &self.replicas[next.wrapping_add(step) % self.replicas.len()])
            .find(|replica| replica.may_be_asked(now))
    }

    async fn read(&self, digest: Digest) -> Result<Option<Bytes>, RedisError> {
        let command = Cmd::get(key(digest));
        // A replica may be away, or may not have heard of the message yet; the primary knows.
        if let Some(replica) = self.replica() {
            match replica.connection.ask::<Option<Bytes>>(&command).await {
                Ok(found) => {
                    if replica.away_until.load(Ordering::Relaxed) != 0 {
                        replica.away_until.store(0, Ordering::Relaxed);
                    }
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Err(error) => {
                    // Told once, not by all that were waiting for it.
                    if replica.away_until.swap(after(self.now()), Ordering::Relaxed) == 0 {
                        let seconds = COOL_OFF.as_secs();
                        tracing::warn!(error = %error, seconds, "a read replica failed and is left out for a while");
                    }
                }
            }
        }
        let first = self.primary.ask(&command).await;
        // The first to find a connection lost reports it, and the next is made anew: reads can be asked twice.
        match first {
            Err(error) if error.is_connection_dropped() => self.primary.ask(&command).await,
            first => first,
        }
    }
}

impl Store for RedisStore {
    fn put(&self, digest: Digest, message: Bytes) -> Answer<'_, bool> {
        Box::pin(async move {
            let new = SetOptions::default().conditional_set(ExistenceCheck::NX);
            let command = Cmd::set_options(key(digest), message.as_ref(), new);
            // OK, or nil where the key was there.
            let set: Option<()> = self.primary.ask(&command).await.map_err(StoreError::new)?;
            Ok(set.is_some())
        })
    }

    fn get(&self, digest: Digest) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move { self.read(digest).await.map_err(StoreError::new) })
    }

    fn delete(&self, digest: Digest) -> Answer<'_, bool> {
        Box::pin(async move {
            let deleted: u64 = self.primary.ask(&Cmd::del(key(digest))).await.map_err(StoreError::new)?;
            Ok(deleted > 0)
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        // Not PING, which a server that still loads its data answers as well.
        Box::pin(async move { self.read(Digest::of(b"")).await.map(|_| ()).map_err(StoreError::new) })
    }
}

fn key(digest: Digest) -> String {
    format!("message:{digest}")
}

fn connection_info(settings: &RedisSettings, host: &str) -> Result<ConnectionInfo, String> {
    let (host, port) = host_and_port(host, settings.port)?;
    let address = if settings.tls {
        ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host.to_owned(), port)
    };
    let mut login = RedisConnectionInfo::default();
    if !settings.user.is_empty() {
        login = login.set_username(&settings.user);
    }
    let password = settings.password()?;
    if !password.expose_secret().is_empty() {
        login = login.set_password(password.expose_secret());
    }
    let info = address.into_connection_info().map_err(|error| error.to_string())?;
    Ok(info.set_redis_settings(login))
}

/// `HOST`, `HOST:PORT`, `ADDRESS6` or `[ADDRESS6]:PORT`.
fn host_and_port(text: &str, default_port: u16) -> Result<(&str, u16), String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    let port =
        port.map(|port| port.parse().map_err(|_| format!("redis: {port:?} is not a port"))).transpose()?;
    Ok((host, port.unwrap_or(default_port)))
}

fn certificates(settings: &RedisSettings) -> Result<Option<TlsCertificates>, String> {
    if settings.tls_ca_file.is_empty() {
        return Ok(None);
    }
    let authorities = fs::read(&settings.tls_ca_file)
        .map_err(|error| format!("redis.tls_ca_file: cannot read {}: {error}", settings.tls_ca_file))?;
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(authorities) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_name_its_port() {
        for (text, host, port) in [
            ("redis", "redis", 6379),
            ("redis:1", "redis", 1),
            ("10.0.0.1:2", "10.0.0.1", 2),
            ("::1", "::1", 6379),
            ("[::1]", "::1", 6379),
            ("[::1]:3", "::1", 3),
        ] {
            assert_eq!(host_and_port(text, 6379), Ok((host, port)), "{text}");
        }
        assert!(host_and_port("redis:x", 6379).is_err());
    }
}
