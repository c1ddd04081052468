//! `healthcheck`, for containers without curl.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use crate::{Exit, Failure, exit::OrFail, settings::ServerSettings};

/// Each step has this time.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks `/healthz` of the metrics port, which is plain HTTP whatever the public port speaks, and connects to the public
/// port, which a process that runs `work` does not have.
pub(crate) fn healthcheck(settings: &ServerSettings, work: bool) -> Result<(), Failure> {
    if !work {
        connect(settings.host, settings.port)?;
    }
    let mut stream = connect(settings.metrics_host, settings.metrics_port)?;
    let mut head = [0; 12];
    let mut exchange = || -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        stream.read_exact(&mut head)
    };
    exchange().or_fail(Exit::Failure, || "no answer from /healthz")?;
    if head == *b"HTTP/1.1 200" {
        Ok(())
    } else {
        Err(Failure::new(Exit::Failure, format!("/healthz answered {}", String::from_utf8_lossy(&head))))
    }
}

fn connect(host: IpAddr, port: u16) -> Result<TcpStream, Failure> {
    let host = match host {
        IpAddr::V4(any) if any.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    let address = SocketAddr::new(host, port);
    TcpStream::connect_timeout(&address, PATIENCE)
        .or_fail(Exit::Failure, || format!("cannot connect to {address}"))
}
