//! What a connection does beside speaking HTTP: it is closed when it is idle or sends the head of a request too slowly,
//! and it writes a small answer in one piece.
//!
//! hyper has a timer for the first, but sets and removes it for each request, which is a notable part of what a cached
//! answer costs. Here a connection has one timer, which is only looked at when it fires: either there were requests
//! meanwhile and it goes on, or there were none and it closes the connection. axum-server's `first_request_timeout` ends
//! with the first request.
//!
//! hyper writes head and body as a list of two. Up to a few kilobytes, to copy both into one buffer costs less than the
//! kernel's handling of a list. hyper's own setting for it would copy large bodies too, and keep the memory.

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

use axum::{
    BoxError,
    body::{Bytes, HttpBody},
    response::Response,
};
use axum_server::accept::Accept;
use futures_util::{FutureExt, future::BoxFuture};
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};
use tower::Service;

use crate::body::{GuardedBody, WhileSending};

/// What a connection does now.
struct Activity {
    opened: Instant,
    requests: AtomicUsize,
    /// When it last wrote or ended an answer, in milliseconds since it was opened.
    last_use: AtomicU64,
}

impl Activity {
    fn touch(&self) {
        let elapsed = self.opened.elapsed().as_millis();
        self.last_use.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Since when it is idle; none while it has requests.
    fn idle_since(&self) -> Option<Instant> {
        (self.requests.load(Ordering::Relaxed) == 0)
            .then(|| self.opened + Duration::from_millis(self.last_use.load(Ordering::Relaxed)))
    }
}

/// Accepts as `inner` does, and closes connections that are idle for longer than `idle`.
#[derive(Clone)]
pub(crate) struct ConnectionAcceptor<A> {
    pub(crate) inner: A,
    pub(crate) idle: Duration,
}

impl<A, I, S> Accept<I, S> for ConnectionAcceptor<A>
where
    A: Accept<I, S, Future: Send + 'static>,
{
    type Stream = Connection<A::Stream>;
    type Service = Counted<A::Service>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let idle = self.idle;
        let accepted = self.inner.accept(stream, service);
        async move {
            let (stream, service) = accepted.await?;
            let activity = Arc::new(Activity {
                opened: Instant::now(),
                requests: AtomicUsize::new(0),
                last_use: AtomicU64::new(0),
            });
            let timer = Box::pin(tokio::time::sleep(idle));
            let stream =
                Connection { stream, piece: Vec::new(), timer, idle, activity: Arc::clone(&activity) };
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
    idle: Duration,
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
            let end = self.activity.idle_since().unwrap_or_else(Instant::now) + self.idle;
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
        // A body may take longer to write than a connection may be idle.
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

/// The service of a connection, which counts its requests.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    service: S,
    activity: Arc<Activity>,
}

impl<S, R, B> Service<R> for Counted<S>
where
    S: Service<R, Response = Response<B>>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<GuardedBody<B, RequestGuard>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.activity.requests.fetch_add(1, Ordering::Relaxed);
        let guard = Some(RequestGuard(Arc::clone(&self.activity)));
        Answering { answer: self.service.call(request), guard }
    }
}

/// Counts a request as ended when it is dropped, which is also how one ends whose client went away.
pub(crate) struct RequestGuard(Arc<Activity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        // First the time: in between, the connection must not look as if it had been idle since the answer before.
        self.0.touch();
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl WhileSending for RequestGuard {}

pin_project! {
    /// An answer in the making.
    pub(crate) struct Answering<F> {
        #[pin]
        answer: F,
        guard: Option<RequestGuard>,
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody,
{
    type Output = Result<Response<GuardedBody<B, RequestGuard>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answer.poll(context))?;
        // A body of unknown length may come slowly: until it has ended, the connection is not idle. One of known
        // length is there, and writing it is activity enough.
        let guard = this.guard.take().filter(|_| response.body().size_hint().exact().is_none());
        Poll::Ready(Ok(response.map(|body| GuardedBody::new(body, guard))))
    }
}

#[cfg(test)]
mod tests;
