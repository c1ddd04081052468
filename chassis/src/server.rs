//! Bind, serve, stop.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    time::Duration,
};

use axum::{Router, ServiceExt, extract::Request};
use axum_server::{
    Handle,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;
use serde::Deserialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    Exit,
    connection::ConnectionAcceptor,
    edge::{ClientAddress, Edged},
    settings::List,
};

/// The `server` section of a service's settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 takes any free one and says which.
    pub port: u16,
    /// The address of the metrics port.
    pub metrics_host: IpAddr,
    /// The port of `/metrics` (and of a second `/healthz`); 0 takes any free one.
    pub metrics_port: u16,
    /// PEM file of the certificate chain; with `tls_key_file` the server speaks HTTPS.
    pub tls_certificate_file: String,
    /// PEM file of the private key.
    pub tls_key_file: String,
    /// A request is cut after this time, in seconds.
    pub request_timeout_seconds: f64,
    /// After SIGTERM requests in flight have this time to end, in seconds. Above the request timeout.
    pub drain_seconds: f64,
    /// A connection that asks nothing for this time is closed, as is one that sends a request's head slower, in seconds.
    pub idle_seconds: f64,
    /// Requests in flight above this number are refused with 503.
    pub concurrency: usize,
    /// The largest body of a request, in bytes.
    pub body_limit_bytes: usize,
    /// Proxies that a request passes before it comes here; so many of the last entries of `X-Forwarded-For` are
    /// believed.
    pub trusted_proxies: usize,
    /// Origins whose pages may read answers (CORS), comma separated; `*` for all, empty for none.
    pub cors_origins: List,
}

impl ServerSettings {
    /// What is wrong with the values.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if !(self.request_timeout_seconds > 0.0 && self.request_timeout_seconds <= 3600.0) {
            faults.push(("server.request_timeout_seconds", "must be above 0 and at most 3600".to_owned()));
        }
        if !(self.drain_seconds > self.request_timeout_seconds && self.drain_seconds <= 7200.0) {
            faults.push((
                "server.drain_seconds",
                format!(
                    "must be above server.request_timeout_seconds ({}), or a stop would cut requests that are in time",
                    self.request_timeout_seconds
                ),
            ));
        }
        if !(self.idle_seconds > 0.0 && self.idle_seconds <= 86_400.0) {
            faults.push(("server.idle_seconds", "must be above 0 and at most 86400".to_owned()));
        }
        if self.concurrency == 0 {
            faults.push(("server.concurrency", "must be above 0".to_owned()));
        }
        if self.tls_certificate_file.is_empty() != self.tls_key_file.is_empty() {
            faults.push((
                "server.tls_key_file",
                "needs server.tls_certificate_file, and the other way round".to_owned(),
            ));
        }
        for origin in &self.cors_origins.0 {
            if origin != "*" && !origin.starts_with("http://") && !origin.starts_with("https://") {
                faults.push((
                    "server.cors_origins",
                    format!("{origin:?} is not an origin like https://example.com"),
                ));
            }
        }
        faults
    }

    fn tls(&self) -> Option<(PathBuf, PathBuf)> {
        (!self.tls_certificate_file.is_empty())
            .then(|| (self.tls_certificate_file.clone().into(), self.tls_key_file.clone().into()))
    }
}

/// Listens, serves `public` and, on the metrics port, `private`, until SIGTERM or SIGINT; then lets what is in flight
/// end. A second signal, or the end of the drain time, cuts it off.
///
/// `stopping` is called when the stop begins, to tell background work.
pub async fn serve(
    settings: &ServerSettings,
    public: Edged,
    private: Router,
    stopping: impl FnOnce(),
) -> Result<Exit, String> {
    let tls = match settings.tls() {
        None => None,
        Some((certificate, key)) => {
            // A second provider in one process (tests) keeps the first.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let config = RustlsConfig::from_pem_file(&certificate, &key).await.map_err(|error| {
                format!("cannot use {} with {}: {error}", certificate.display(), key.display())
            })?;
            Some((config, certificate, key))
        }
    };
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let mut hangup = listen_for(SignalKind::hangup())?;

    // Both ports are bound before anything is said or served, so that a taken one is an error and not half a service.
    let public_listener = bind(settings.host, settings.port, "server.port")?;
    let private_listener = bind(settings.metrics_host, settings.metrics_port, "server.metrics_port")?;
    let address = local_address(&public_listener)?;
    tracing::info!(
        address = %address,
        metrics_address = %local_address(&private_listener)?,
        tls = tls.is_some(),
        "listening on {}://{address}",
        if tls.is_some() { "https" } else { "http" },
    );

    let handle = Handle::<SocketAddr>::new();
    let private_handle = Handle::<SocketAddr>::new();
    let mut public_server = tokio::spawn({
        let handle = handle.clone();
        let service = ServiceExt::<Request>::into_make_service_with_connect_info::<ClientAddress>(public);
        let failed = |error: std::io::Error| format!("cannot serve: {error}");
        let tls = tls.as_ref().map(|(config, ..)| config.clone());
        let patience = Duration::from_secs_f64(settings.idle_seconds);
        async move {
            let mut server = axum_server::from_tcp(public_listener).map_err(failed)?.handle(handle);
            tune(server.http_builder());
            if let Some(tls) = tls {
                let inner = RustlsAcceptor::new(tls);
                server.map(|_| ConnectionAcceptor { inner, patience }).serve(service).await.map_err(failed)
            } else {
                server
                    .map(|inner| ConnectionAcceptor { inner, patience })
                    .serve(service)
                    .await
                    .map_err(failed)
            }
        }
    });
    let mut private_server = tokio::spawn({
        let handle = private_handle.clone();
        async move {
            axum_server::from_tcp(private_listener)
                .map_err(|error| format!("cannot serve metrics: {error}"))?
                .handle(handle)
                .serve(private.into_make_service())
                .await
                .map_err(|error| format!("cannot serve metrics: {error}"))
        }
    });

    let mut look_at_tls = tokio::time::interval(TLS_INTERVAL);
    let mut tls_changed = tls.as_ref().map(|(_, certificate, key)| changed([certificate, key]));
    let signal = loop {
        tokio::select! {
            _ = look_at_tls.tick(), if tls.is_some() => {
                let now = tls.as_ref().map(|(_, certificate, key)| changed([certificate, key]));
                if now != tls_changed {
                    tls_changed = now;
                    reload_tls(tls.as_ref()).await;
                }
            }
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
            _ = hangup.recv() => reload_tls(tls.as_ref()).await,
            ended = &mut public_server => return Err(ended_early(ended)),
            ended = &mut private_server => return Err(ended_early(ended)),
        }
    };

    let drain = Duration::from_secs_f64(settings.drain_seconds);
    tracing::info!(signal, connections = handle.connection_count(), "stopping");
    stopping();
    handle.graceful_shutdown(Some(drain));
    let deadline = tokio::time::sleep(drain);
    let cut = tokio::select! {
        // When all connections end by themselves within the time.
        biased;
        _ = &mut public_server => false,
        () = deadline => true,
        _ = terminate.recv() => true,
        _ = interrupt.recv() => true,
    };
    if cut {
        tracing::warn!(connections = handle.connection_count(), "connections cut off");
        handle.shutdown();
    }
    private_handle.shutdown();
    tracing::info!("stopped");
    Ok(if cut { Exit::Temporary } else { Exit::Success })
}

fn listen_for(kind: SignalKind) -> Result<Signal, String> {
    signal(kind).map_err(|error| format!("cannot listen for signals: {error}"))
}

fn bind(host: IpAddr, port: u16, setting: &str) -> Result<TcpListener, String> {
    let address = SocketAddr::new(host, port);
    let listener = TcpListener::bind(address)
        .map_err(|error| format!("cannot listen on {address}: {error}; another {setting} would do"))?;
    listener.set_nonblocking(true).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    Ok(listener)
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, String> {
    listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))
}

fn tune(builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>) {
    // [`ConnectionAcceptor`] does it for less.
    builder.http1().header_read_timeout(None);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
}

/// How often the certificate is looked at, so that one renewed without a signal is used soon.
const TLS_INTERVAL: Duration = Duration::from_secs(2);

/// When these files were last written. A pair that is half written is refused by the reload, and its other half makes
/// another change.
fn changed(files: [&PathBuf; 2]) -> [Option<std::time::SystemTime>; 2] {
    files.map(|file| std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok())
}

async fn reload_tls(tls: Option<&(RustlsConfig, PathBuf, PathBuf)>) {
    let Some((config, certificate, key)) = tls else {
        return;
    };
    match config.reload_from_pem_file(certificate, key).await {
        Ok(()) => tracing::info!(certificate = %certificate.display(), "certificate reloaded"),
        Err(error) => tracing::error!(error = %error, "the new certificate is unusable; the old one stays"),
    }
}

fn ended_early(ended: Result<Result<(), String>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "the server ended by itself".into(),
        Ok(Err(error)) => error,
        Err(error) => format!("the server died: {error}"),
    }
}

/// For containers without curl: asks the `/healthz` of the metrics port, which is plain HTTP whatever the public one
/// speaks, and connects to the public port.
pub fn healthcheck(settings: &ServerSettings) -> Result<(), String> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let connect = |host: IpAddr, port: u16| {
        let host = match host {
            IpAddr::V4(any) if any.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(any) if any.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
            host => host,
        };
        let address = SocketAddr::new(host, port);
        TcpStream::connect_timeout(&address, PATIENCE)
            .map_err(|error| format!("cannot connect to {address}: {error}"))
    };
    connect(settings.host, settings.port)?;
    let mut stream = connect(settings.metrics_host, settings.metrics_port)?;
    let mut head = [0; 12];
    let mut exchange = || -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        stream.read_exact(&mut head)
    };
    exchange().map_err(|error| format!("no answer from /healthz: {error}"))?;
    if head == *b"HTTP/1.1 200" {
        Ok(())
    } else {
        Err(format!("/healthz answered {}", String::from_utf8_lossy(&head)))
    }
}
