//! A proxy before a server, which breaks when a test says so.

use std::{net::SocketAddr, path::PathBuf};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
};

/// What becomes of a proxy's connections, old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They are forwarded.
    Open,
    /// They stay, but nothing is forwarded: a network that drops packets.
    Silent,
    /// They are cut.
    Cut,
}

/// Forwards connections to a PostgreSQL server on a Unix socket, until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    way: watch::Sender<Way>,
    _connections: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy for the server whose socket is in this folder, at the default port.
    pub async fn start(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = watch::Sender::new(Way::Open);
        let mut connections = JoinSet::new();
        let receiver = way.subscribe();
        connections.spawn(async move {
            let mut forwarding = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                forwarding.spawn(forward(client, folder.join(".s.PGSQL.5432"), receiver.clone()));
            }
        });
        Self { address, way, _connections: connections }
    }

    /// Changes what becomes of the connections.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn forward(client: TcpStream, socket: PathBuf, mut way: watch::Receiver<Way>) {
    let mut cut = way.clone();
    let both = async {
        let _ = way.wait_for(|way| *way == Way::Open).await;
        let server = UnixStream::connect(socket).await.unwrap();
        let (client_in, client_out) = client.into_split();
        let (server_in, server_out) = server.into_split();
        tokio::select! {
            () = copy(client_in, server_out, way.clone()) => {}
            () = copy(server_in, client_out, way.clone()) => {}
        }
    };
    tokio::select! {
        () = both => {}
        _ = cut.wait_for(|way| *way == Way::Cut) => {}
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) {
    let mut buffer = vec![0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if way.wait_for(|way| *way == Way::Open).await.is_err()
            || to.write_all(&buffer[..length]).await.is_err()
        {
            return;
        }
    }
}
