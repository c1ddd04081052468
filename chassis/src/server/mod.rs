//! The two ports of a service: the public one, and the one for metrics and health.

mod connection;
mod healthcheck;
mod phase;
mod port;
mod tls;

use std::{
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
};

use axum::Router;
use axum_server::{accept::DefaultAcceptor, tls_rustls::RustlsAcceptor};
use prometheus_client::registry::Registry;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

pub(crate) use healthcheck::healthcheck;
use port::Port;
use tls::Tls;

use crate::{Exit, Failure, Role, edge::Edged, exit::OrFail, settings::ServerSettings};
use connection::Timeouts;

/// Both ports, bound but not served yet, so that a port that is taken is an error before anything is served.
pub(crate) struct Listeners {
    /// None in a process that runs `work`.
    public: Option<TcpListener>,
    private: TcpListener,
    tls: Option<Tls>,
}

impl Listeners {
    /// Binds the ports and reads the certificate.
    pub(crate) async fn bind(settings: &ServerSettings, role: Role) -> Result<Self, Failure> {
        let (mut public, mut tls) = (None, None);
        if role == Role::Serve {
            if let Some(files) = settings.tls_files() {
                tls = Some(Tls::open(files).await?);
            }
            public = Some(bind(settings.host, settings.port, "server.port")?);
        }
        let private = bind(settings.metrics_host, settings.metrics_port, "server.metrics_port")?;
        Ok(Self { public, private, tls })
    }

    /// Registers what is known of the certificate.
    pub(crate) fn register(&self, registry: &mut Registry) {
        if let Some(tls) = &self.tls {
            tls.register(registry);
        }
    }

    /// Starts to answer.
    pub(crate) fn serve(
        self,
        settings: &ServerSettings,
        public: Edged,
        private: Router,
    ) -> io::Result<Server> {
        let metrics_address = self.private.local_addr()?;
        let hangup = signal(SignalKind::hangup())?;
        let timeouts = Timeouts { idle: settings.idle(), write: settings.write_timeout() };
        let public_port = Port::new();
        let mut public_server = None;
        if let Some(listener) = self.public {
            let address = listener.local_addr()?;
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            tracing::info!(%address, %metrics_address, "listening on {scheme}://{address}");
            let port = public_port.clone();
            public_server = Some(match &self.tls {
                Some(tls) => {
                    let acceptor = RustlsAcceptor::new(tls.config.clone());
                    tokio::spawn(port.serve(listener, acceptor, public, timeouts))
                }
                None => tokio::spawn(port.serve(listener, DefaultAcceptor::new(), public, timeouts)),
            });
        } else {
            tracing::info!(%metrics_address, "working");
        }
        let private_port = Port::new();
        let private_server =
            tokio::spawn(private_port.clone().serve(self.private, DefaultAcceptor::new(), private, timeouts));
        let reloading = tokio::spawn(async move {
            match self.tls {
                Some(tls) => tls.keep_fresh(hangup).await,
                None => pending().await,
            }
        });
        Ok(Server {
            public_port,
            private_port,
            public: public_server,
            private: Some(private_server),
            reloading,
        })
    }
}

fn bind(host: IpAddr, port: u16, setting: &str) -> Result<TcpListener, Failure> {
    let address = SocketAddr::new(host, port);
    port::listen(address)
        .or_fail(Exit::Failure, || format!("cannot listen on {address}; choose another {setting}"))
}

/// A running server.
pub(crate) struct Server {
    public_port: Port,
    private_port: Port,
    /// None where it is not served, or has ended.
    public: Option<JoinHandle<()>>,
    private: Option<JoinHandle<()>>,
    reloading: JoinHandle<()>,
}

impl Server {
    /// Waits until either port ends by itself, which it should not.
    pub(crate) async fn ended(&mut self) -> Failure {
        tokio::select! {
            failure = end_of(&mut self.public, "the server") => failure,
            failure = end_of(&mut self.private, "the server of the metrics port") => failure,
        }
    }

    /// Asks clients of the public port to close their connections, and still accepts new ones.
    pub(crate) fn leave(&self) {
        self.public_port.leave();
    }

    /// Closes the public port, and waits until all requests are answered and all connections have ended.
    pub(crate) async fn drain(&mut self) {
        self.public_port.close();
        if let Some(public) = &mut self.public {
            let _ = public.await;
            self.public = None;
        }
        self.public_port.drain().await;
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.public_port.connections()
    }

    /// How many requests are in flight.
    pub(crate) fn requests(&self) -> usize {
        self.public_port.requests()
    }

    /// Ends everything that is left.
    pub(crate) fn close(self) {
        self.public_port.cut();
        self.private_port.cut();
        self.reloading.abort();
    }
}

async fn end_of(server: &mut Option<JoinHandle<()>>, what: &str) -> Failure {
    let Some(running) = server else { return pending().await };
    let ended = running.await;
    *server = None;
    match ended {
        Ok(()) => Failure::new(Exit::Failure, format!("{what} ended by itself")),
        Err(died) => Failure::new(Exit::Failure, format!("{what} died: {died}")),
    }
}
