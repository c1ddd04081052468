//! A port: accepts connections, serves them, and ends them in steps, so that a stop costs no client a request.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::response::Response;
use axum_server::accept::Accept;
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch::Receiver,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::task::TaskTracker;
use tower::Service;

use super::{
    connection::{Activity, Connection, Counted, Timeouts},
    phase::{Phase, State, UNREAD},
};

/// How many connections may wait to be accepted; the kernel takes less where `net.core.somaxconn` is lower.
const BACKLOG: u32 = 4096;

/// How many bytes of an answer the kernel takes beyond those that it has sent. Without a limit it takes 4 MB for each
/// client that reads nothing, and copying them holds up other requests.
const UNSENT: u32 = 512 * 1024;

/// At the end of a stop, a connection without a request so far has this time to send its first one: it may have been
/// opened just before the port closed.
const FIRST_REQUEST: Duration = Duration::from_millis(500);

/// Pause after an error of `accept`, which is mostly one that stays for a while: no more file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// A port that accepts connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Port {
    state: Arc<State>,
    connections: TaskTracker,
}

impl Port {
    pub(super) fn new() -> Self {
        Self { state: Arc::new(State::new()), connections: TaskTracker::new() }
    }

    /// Serves what is accepted, until [`Self::close`].
    pub(super) async fn serve<A, S>(self, listener: TcpListener, acceptor: A, service: S, timeouts: Timeouts)
    where
        A: Accept<
                TcpStream,
                (),
                Service: Send + 'static,
                Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
                Future: Send + 'static,
            >,
        S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + 'static>
            + Clone
            + Send
            + 'static,
    {
        let mut phase = self.state.subscribe();
        let mut closed = pin!(async { drop(phase.wait_for(|phase| *phase >= Phase::Closed).await) });
        let serve = |(stream, peer)| {
            let accepted = acceptor.accept(stream, ());
            let service = service.clone();
            self.connections.spawn(serve_connection(
                accepted,
                service,
                peer,
                Arc::clone(&self.state),
                timeouts,
            ));
        };
        loop {
            tokio::select! {
                biased;
                () = &mut closed => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => serve(accepted),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(PAUSE).await;
                    }
                },
            }
        }
        // Closing the listener would reset the connections that wait to be accepted.
        if let Ok(listener) = listener.into_std() {
            for (stream, peer) in std::iter::from_fn(|| listener.accept().ok()).take(BACKLOG as usize) {
                let _ = stream.set_nonblocking(true);
                if let Ok(stream) = TcpStream::from_std(stream) {
                    serve((stream, peer));
                }
            }
        }
    }

    /// Asks clients to close their connections, and still accepts new ones.
    pub(super) fn leave(&self) {
        self.state.leave();
    }

    /// Accepts nothing new; [`Self::serve`] returns.
    pub(super) fn close(&self) {
        self.state.enter(Phase::Closed);
    }

    /// Waits until all requests are answered, then closes the connections. Idle ones are closed last: over HTTP/1, a
    /// client may send a request at the moment when its connection is closed.
    pub(super) async fn drain(&self) {
        while self.state.requests.load(Ordering::Relaxed) > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        self.state.enter(Phase::Ending);
        self.connections.close();
        self.connections.wait().await;
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How many requests are in flight.
    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// Closes all connections at once.
    pub(super) fn cut(&self) {
        self.state.enter(Phase::Cut);
    }
}

/// Listens on an address.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Otherwise the port of a process that has just ended could not be used for a minute.
    socket.set_reuseaddr(true)?;
    // Connections take this over from the listener.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The stream of a connection after its handshake. None if the handshake failed, or is not done when a stop ends.
async fn handshake<I, U>(
    accepted: impl Future<Output = io::Result<(I, U)>>,
    phase: &mut Receiver<Phase>,
    opened: Instant,
) -> Option<I> {
    let stop_ends = async {
        drop(phase.wait_for(|phase| *phase >= Phase::Ending).await);
        sleep_until(opened + FIRST_REQUEST).await;
    };
    tokio::select! {
        biased;
        accepted = accepted => accepted.ok().map(|(stream, _)| stream),
        () = stop_ends => None,
    }
}

/// Serves a connection to its end.
async fn serve_connection<I, U, S>(
    accepted: impl Future<Output = io::Result<(I, U)>>,
    service: S,
    peer: SocketAddr,
    state: Arc<State>,
    timeouts: Timeouts,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    U: Send + 'static,
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
{
    let opened = Instant::now();
    let mut phase = state.subscribe();
    let Some(stream) = handshake(accepted, &mut phase, opened).await else { return };
    // A phase that began during the handshake must be seen, too.
    phase.mark_changed();
    let activity = Arc::new(Activity::new(Arc::clone(&state)));
    let stream = Connection::new(stream, Arc::clone(&activity), timeouts);
    let service = Counted::new(service, peer, Arc::clone(&activity));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // `Connection` limits the time for a head, at less cost.
    builder.http1().header_read_timeout(None);
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    // When a stop closes the connection, or next looks whether it has been closed.
    let (mut close_at, mut is_closing) = (None, false);
    loop {
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            Ok(()) = phase.changed() => match *phase.borrow_and_update() {
                Phase::Closed if activity.is_http2() => connection.as_mut().graceful_shutdown(),
                Phase::Ending if activity.is_unused() => close_at = Some(opened + FIRST_REQUEST),
                Phase::Ending => close_at = Some(Instant::now()),
                Phase::Cut => return,
                Phase::Open | Phase::Leaving | Phase::Closed => {}
            },
            () = sleep_until(close_at.unwrap_or(opened)), if close_at.is_some() => {
                let now = Instant::now();
                if !is_closing {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                } else if activity.idle_since().is_some_and(|since| since + UNREAD <= now) {
                    // A client that does not read its answers must not delay the end of the process.
                    return;
                }
                close_at = Some(now + UNREAD / 4);
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_takes_little_for_a_client_that_reads_nothing() {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (bytes, mut taken) = (vec![0; 1 << 20], 0);
        while tokio::time::timeout(Duration::from_millis(200), stream.writable()).await.is_ok() {
            taken += stream.try_write(&bytes).unwrap_or(0);
        }
        // What the client's side takes is some 100 kB.
        assert!(taken < 1 << 20, "{taken} bytes");
    }
}
