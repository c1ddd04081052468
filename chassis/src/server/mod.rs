//! The two ports of a service: the public one, and the one for metrics and health.

mod connection;
mod healthcheck;
mod tls;

use std::{
    future::pending,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
};

use axum::{Router, ServiceExt, extract::Request};
use axum_server::{Handle, tls_rustls::RustlsAcceptor};
use prometheus_client::registry::Registry;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

pub(crate) use healthcheck::healthcheck;
use tls::Tls;

use crate::{
    Exit, Failure, Role,
    edge::{ClientAddress, Edged},
    exit::OrFail,
    settings::ServerSettings,
};
use connection::ConnectionAcceptor;

/// Both ports, bound but not served yet: a port that is taken is an error, and not half a service.
pub(crate) struct Listeners {
    /// None in a process that only works.
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
        let (handle, private_handle) = (Handle::new(), Handle::new());
        let mut public_server = None;
        if let Some(listener) = self.public {
            let address = listener.local_addr()?;
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            tracing::info!(%address, %metrics_address, "listening on {scheme}://{address}");
            let tls = self.tls.clone();
            public_server = Some(serve_public(listener, settings, tls, public, handle.clone())?);
        } else {
            tracing::info!(%metrics_address, "working");
        }
        let private_server = tokio::spawn(
            axum_server::from_tcp(self.private)?
                .handle(private_handle.clone())
                .serve(private.into_make_service()),
        );
        let reloading = tokio::spawn(async move {
            match self.tls {
                Some(tls) => tls.keep_fresh(hangup).await,
                None => pending().await,
            }
        });
        Ok(Server { handle, private_handle, public: public_server, private: Some(private_server), reloading })
    }
}

fn bind(host: IpAddr, port: u16, setting: &str) -> Result<TcpListener, Failure> {
    let address = SocketAddr::new(host, port);
    TcpListener::bind(address)
        .or_fail(Exit::Failure, || format!("cannot listen on {address}; choose another {setting}"))
}

fn serve_public(
    listener: TcpListener,
    settings: &ServerSettings,
    tls: Option<Tls>,
    public: Edged,
    handle: Handle<SocketAddr>,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let idle = settings.idle();
    let mut server = axum_server::from_tcp(listener)?.handle(handle);
    // [`ConnectionAcceptor`] limits the time for a head, at less cost.
    server.http_builder().http1().header_read_timeout(None);
    let service = ServiceExt::<Request>::into_make_service_with_connect_info::<ClientAddress>(public);
    Ok(match tls {
        Some(tls) => {
            let inner = RustlsAcceptor::new(tls.config);
            tokio::spawn(server.map(|_| ConnectionAcceptor { inner, idle }).serve(service))
        }
        None => tokio::spawn(server.map(|inner| ConnectionAcceptor { inner, idle }).serve(service)),
    })
}

/// A running server.
pub(crate) struct Server {
    handle: Handle<SocketAddr>,
    private_handle: Handle<SocketAddr>,
    /// None where it is not served, or has ended.
    public: Option<JoinHandle<io::Result<()>>>,
    private: Option<JoinHandle<io::Result<()>>>,
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

    /// Accepts nothing new, and waits until all connections have ended.
    pub(crate) async fn drain(&mut self) {
        self.handle.graceful_shutdown(None);
        if let Some(public) = &mut self.public {
            let _ = public.await;
            self.public = None;
        }
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.handle.connection_count()
    }

    /// Ends everything that is left.
    pub(crate) fn close(self) {
        self.handle.shutdown();
        self.private_handle.shutdown();
        self.reloading.abort();
    }
}

async fn end_of(server: &mut Option<JoinHandle<io::Result<()>>>, what: &str) -> Failure {
    let Some(running) = server else { return pending().await };
    let ended = running.await;
    *server = None;
    match ended {
        Ok(Ok(())) => Failure::new(Exit::Failure, format!("{what} ended by itself")),
        Ok(Err(error)) => Failure::new(Exit::Failure, format!("{what} failed: {error}")),
        Err(died) => Failure::new(Exit::Failure, format!("{what} died: {died}")),
    }
}
