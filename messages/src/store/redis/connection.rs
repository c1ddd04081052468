//! Connections to Redis, from the settings.

use std::{fmt, fs, time::Duration};

use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    cluster_read_routing::RandomReplicaStrategy,
};
use secrecy::ExposeSecret;
use tokio::sync::OnceCell;

use chassis::{Exit, Failure, exit::OrFail};

use crate::settings::RedisSettings;

/// A connection that is made when it is first used, and again whenever it was lost. Requests share it, and commands
/// sent at the same time travel together.
pub(super) enum Connection {
    Server(ConnectionManager),
    Cluster(Box<(ClusterClient, OnceCell<ClusterConnection>)>),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server(_) => "Server",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl Connection {
    pub(super) async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
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

/// What makes connections.
pub(super) struct Connector<'a> {
    settings: &'a RedisSettings,
    certificates: Option<TlsCertificates>,
    timeout: Duration,
}

impl<'a> Connector<'a> {
    pub(super) fn new(settings: &'a RedisSettings) -> Result<Self, Failure> {
        chassis::use_ring();
        let timeout = Duration::from_secs_f64(settings.timeout_seconds);
        Ok(Self { settings, certificates: certificates(settings)?, timeout })
    }

    /// A connection to one server.
    pub(super) fn server(&self, host: &str) -> Result<Connection, Failure> {
        let info = self.info(host)?;
        let client = match &self.certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        };
        // A lost connection is tried twice, then the request fails; the next one tries again.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20))
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let connection = client.and_then(|client| ConnectionManager::new_lazy_with_config(client, config));
        connection.map(Connection::Server).or_fail(Exit::Unavailable, unusable)
    }

    /// A connection to the cluster of the configured hosts.
    pub(super) fn cluster(&self, reads_from_replicas: bool) -> Result<Connection, Failure> {
        let hosts = &self.settings.host.0;
        let infos = hosts.iter().map(|host| self.info(host)).collect::<Result<Vec<_>, _>>()?;
        let mut builder = ClusterClient::builder(infos)
            .connection_timeout(self.timeout)
            .response_timeout(self.timeout)
            .overall_response_timeout(Some(self.timeout))
            .retries(2);
        if let Some(certificates) = &self.certificates {
            builder = builder.certs(certificates.clone());
        }
        if reads_from_replicas {
            builder = builder.read_routing_strategy(RandomReplicaStrategy);
        }
        let client = builder.build().or_fail(Exit::Unavailable, unusable)?;
        Ok(Connection::Cluster(Box::new((client, OnceCell::new()))))
    }

    fn info(&self, host: &str) -> Result<ConnectionInfo, Failure> {
        let settings = self.settings;
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
        let info = address.into_connection_info().or_fail(Exit::Unavailable, unusable)?;
        Ok(info.set_redis_settings(login))
    }
}

fn unusable() -> &'static str {
    "cannot use the settings of Redis"
}

/// `HOST`, `HOST:PORT`, `ADDRESS6` or `[ADDRESS6]:PORT`.
fn host_and_port(text: &str, default_port: u16) -> Result<(&str, u16), Failure> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    let port = port.map(str::parse).transpose();
    let port = port.or_fail(Exit::Unavailable, || format!("redis: {text:?} does not end with a port"))?;
    Ok((host, port.unwrap_or(default_port)))
}

fn certificates(settings: &RedisSettings) -> Result<Option<TlsCertificates>, Failure> {
    if settings.tls_ca_file.is_empty() {
        return Ok(None);
    }
    let authorities = fs::read(&settings.tls_ca_file)
        .or_fail(Exit::Unavailable, || format!("redis.tls_ca_file: cannot read {}", settings.tls_ca_file))?;
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
            assert_eq!(host_and_port(text, 6379).unwrap(), (host, port), "{text}");
        }
        assert!(host_and_port("redis:x", 6379).is_err());
    }
}
