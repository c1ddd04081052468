//! What a connection does beside speaking HTTP: it ends when it asks nothing, or sends a request's head too slowly, and
//! it writes a small answer in one piece.
//!
//! hyper has a timer for the first, but sets and removes it for each request, which costs a sixteenth of what a cached
//! answer costs. Here a connection has one timer, which is only looked at when it fires: then it finds that something
//! was asked meanwhile and goes on, or that nothing was and ends the connection.
//!
//! hyper writes head and body as a list of two. To copy both into one costs less than the kernel's care for a list, up to
//! a few kilobytes; that is a twentieth of a cached answer. hyper's own setting for it would copy large bodies too, and
//! keep the room.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum_server::accept::Accept;
use futures_util::{FutureExt, future::BoxFuture};
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};
use tower::Service;

/// What a connection does now.
struct Activity {
    opened: Instant,
    requests: AtomicUsize,
    /// When it last answered something, in milliseconds since it was opened.
    answered: AtomicU64,
}

impl Activity {
    fn touch(&self) {
        let elapsed = self.opened.elapsed().as_millis();
        self.answered.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Since when it is idle; none while it answers.
    fn idle_since(&self) -> Option<Instant> {
        (self.requests.load(Ordering::Relaxed) == 0)
            .then(|| self.opened + Duration::from_millis(self.answered.load(Ordering::Relaxed)))
    }
}

/// Accepts as `inner` does, and ends connections that are idle for longer than `patience`.
#[derive(Clone)]
pub(crate) struct ConnectionAcceptor<A> {
    pub(crate) inner: A,
    pub(crate) patience: Duration,
}

impl<A, I, S> Accept<I, S> for ConnectionAcceptor<A>
where
    A: Accept<I, S, Future: Send + 'static>,
{
    type Stream = Connection<A::Stream>;
    type Service = Counted<A::Service>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let patience = self.patience;
        let accepted = self.inner.accept(stream, service);
        async move {
            let (stream, service) = accepted.await?;
            let activity = Arc::new(Activity {
                opened: Instant::now(),
                requests: AtomicUsize::new(0),
                answered: AtomicU64::new(0),
            });
            let timer = Box::pin(tokio::time::sleep(patience));
            let stream =
                Connection { stream, piece: Vec::new(), timer, patience, activity: Arc::clone(&activity) };
            Ok((stream, Counted { service, activity }))
        }
        .boxed()
    }
}

/// In bytes. What is longer is written as a list.
const ONE_PIECE: usize = 4096;

/// The bytes of a connection; reading fails when it was idle for too long.
pub(crate) struct Connection<S> {
    stream: S,
    /// Where a small answer is put together.
    piece: Vec<u8>,
    timer: Pin<Box<Sleep>>,
    patience: Duration,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            return Poll::Ready(result);
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            let end = self.activity.idle_since().unwrap_or_else(Instant::now) + self.patience;
            if end <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer.as_mut().reset(end);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.activity.touch();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Here too: a body may be longer in the writing than the connection may be idle.
        self.activity.touch();
        if parts.iter().map(|part| part.len()).sum::<usize>() > ONE_PIECE {
            return Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        }
        let Self { stream, piece, .. } = &mut *self;
        piece.clear();
        for part in parts {
            piece.extend_from_slice(part);
        }
        Pin::new(stream).poll_write(context, piece)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The service of a connection, which counts what it answers.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    service: S,
    activity: Arc<Activity>,
}

impl<S: Service<R>, R> Service<R> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.activity.requests.fetch_add(1, Ordering::Relaxed);
        let answered = Answered(Arc::clone(&self.activity));
        Answering { answer: self.service.call(request), _answered: answered }
    }
}

/// Counts an answer as ended when it is dropped, which is also how one ends whose client went away.
struct Answered(Arc<Activity>);

impl Drop for Answered {
    fn drop(&mut self) {
        // First the time: in between, the connection must not look as if it had been idle since the answer before.
        self.0.touch();
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

pin_project! {
    /// An answer in the making.
    pub(crate) struct Answering<F> {
        #[pin]
        answer: F,
        _answered: Answered,
    }
}

impl<F: Future> Future for Answering<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().answer.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use axum_server::accept::DefaultAcceptor;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    /// Answers a request when it was given time to.
    #[derive(Clone)]
    struct Slow;

    impl Service<Duration> for Slow {
        type Response = ();
        type Error = io::Error;
        type Future = BoxFuture<'static, io::Result<()>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, time: Duration) -> Self::Future {
            tokio::time::sleep(time).map(Ok).boxed()
        }
    }

    async fn connection() -> (Connection<DuplexStream>, Counted<Slow>, DuplexStream) {
        let (client, server) = tokio::io::duplex(64);
        let acceptor = ConnectionAcceptor { inner: DefaultAcceptor::new(), patience: PATIENCE };
        let (stream, service) = acceptor.accept(server, Slow).await.unwrap();
        (stream, service, client)
    }

    #[tokio::test]
    async fn a_connection_that_asks_nothing_ends() {
        let (mut stream, _service, _client) = connection().await;
        let opened = Instant::now();
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(opened.elapsed() >= PATIENCE, "{:?}", opened.elapsed());
    }

    #[tokio::test]
    async fn a_head_that_trickles_in_does_not_prolong_it() {
        let (mut stream, _service, mut client) = connection().await;
        let opened = Instant::now();
        let trickle = tokio::spawn(async move {
            while client.write_u8(b'x').await.is_ok() {
                tokio::time::sleep(PATIENCE / 4).await;
            }
        });
        while stream.read_u8().await.is_ok() {
            assert!(opened.elapsed() < 20 * PATIENCE, "it goes on for ever");
        }
        drop(stream);
        trickle.await.unwrap();
    }

    #[tokio::test]
    async fn a_long_answer_is_waited_for_and_the_time_counts_from_its_end() {
        let (mut stream, mut service, _client) = connection().await;
        let answer = tokio::spawn(service.call(3 * PATIENCE));
        let opened = Instant::now();
        stream.read_u8().await.unwrap_err();
        assert!(opened.elapsed() >= 4 * PATIENCE, "{:?}", opened.elapsed());
        answer.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_is_written_counts_as_an_answer() {
        let (mut stream, _service, mut client) = connection().await;
        let opened = Instant::now();
        tokio::time::sleep(PATIENCE / 2).await;
        stream.write_u8(b'x').await.unwrap();
        client.read_u8().await.unwrap();
        stream.read_u8().await.unwrap_err();
        assert!(opened.elapsed() >= PATIENCE * 3 / 2, "{:?}", opened.elapsed());
    }

    #[tokio::test]
    async fn a_list_of_any_size_is_written_in_its_order() {
        for length in [1, ONE_PIECE / 2, ONE_PIECE] {
            let (mut stream, _service, mut client) = connection().await;
            let (head, body) = (vec![b'h'; length], vec![b'b'; length]);
            let sent = [head.clone(), body.clone()].concat();
            let reading = tokio::spawn(async move {
                let mut received = vec![0; 2 * length];
                client.read_exact(&mut received).await.unwrap();
                received
            });
            let mut parts = [io::IoSlice::new(&head), io::IoSlice::new(&body)];
            let mut left = &mut parts[..];
            while !left.is_empty() {
                let written = stream.write_vectored(left).await.unwrap();
                io::IoSlice::advance_slices(&mut left, written);
            }
            assert!(reading.await.unwrap() == sent, "of twice {length} bytes");
        }
    }
}
