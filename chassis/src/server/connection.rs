//! Closes a connection that is idle, sends the head of a request too slowly or does not read its answers, and writes a
//! small answer in one piece.
//!
//! hyper has a timer for heads, but sets and removes it for each request, which is a notable part of the cost of a
//! cached answer. Here a connection has one timer. When it fires, it is set again if there were requests meanwhile; if
//! not, it closes the connection.
//!
//! hyper writes head and body as a list of two. Up to a few kilobytes, to copy both into one buffer costs less than the
//! kernel's handling of a list. hyper's own setting for it would copy large bodies too, and keep the memory.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Bytes, HttpBody},
    extract::{ConnectInfo, connect_info::Connected},
    response::Response,
};
use http::{HeaderValue, Request, Version, header};
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};
use tower::Service;

use super::phase::{State, UNREAD};
use crate::{
    body::{GuardedBody, WhileSending},
    edge::ClientAddress,
};

/// When a connection is closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// After this time without a request.
    pub(super) idle: Duration,
    /// After this time in which the client takes nothing of an answer.
    pub(super) write: Duration,
}

/// What a connection does now.
pub(super) struct Activity {
    port: Arc<State>,
    opened: Instant,
    requests: AtomicUsize,
    /// When it last wrote or ended an answer, in milliseconds since it was opened; 0 before.
    last_use: AtomicU64,
    /// Whether it had a request.
    used: AtomicBool,
    http2: AtomicBool,
}

impl Activity {
    pub(super) fn new(port: Arc<State>) -> Self {
        Self {
            port,
            opened: Instant::now(),
            requests: AtomicUsize::new(0),
            last_use: AtomicU64::new(0),
            used: AtomicBool::new(false),
            http2: AtomicBool::new(false),
        }
    }

    fn begin(&self, version: Version) {
        self.port.requests.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        if !self.used.load(Ordering::Relaxed) {
            self.http2.store(version == Version::HTTP_2, Ordering::Relaxed);
            self.used.store(true, Ordering::Relaxed);
        }
    }

    fn end(&self) {
        // First the time: in between, the connection must not look as if it had been idle since the previous answer.
        self.touch();
        self.requests.fetch_sub(1, Ordering::Relaxed);
        self.port.requests.fetch_sub(1, Ordering::Relaxed);
    }

    fn touch(&self) {
        let elapsed = self.opened.elapsed().as_millis();
        self.last_use.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Since when it is idle; none while it has requests.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.requests.load(Ordering::Relaxed) == 0)
            .then(|| self.opened + Duration::from_millis(self.last_use.load(Ordering::Relaxed)))
    }

    /// Whether it had no request so far.
    pub(super) fn is_unused(&self) -> bool {
        !self.used.load(Ordering::Relaxed)
    }

    /// Whether it speaks HTTP/2, as far as a request has told.
    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }
}

/// In bytes. What is longer is written as a list.
const ONE_PIECE: usize = 4096;

/// The bytes of a connection; reading fails when it was idle for too long, writing when the client reads nothing.
pub(super) struct Connection<S> {
    stream: S,
    /// Where a small answer is put together.
    piece: Vec<u8>,
    timer: Pin<Box<Sleep>>,
    /// Since when nothing could be written, and the timer for it.
    blocked: Option<(Instant, Pin<Box<Sleep>>)>,
    timeouts: Timeouts,
    activity: Arc<Activity>,
}

impl<S> Connection<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, timeouts: Timeouts) -> Self {
        let timer = Box::pin(tokio::time::sleep(timeouts.idle));
        Self { stream, piece: Vec::new(), timer, blocked: None, timeouts, activity }
    }

    /// What came of writing; an error if nothing could be written for too long.
    fn written<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let timeout = self.timeouts.write;
        let allowed = if self.activity.port.is_leaving() { timeout.min(UNREAD) } else { timeout };
        let (since, timer) = self.blocked.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(tokio::time::sleep_until(now + allowed)))
        });
        // Shorter than when the timer was set, if a stop has begun.
        if timer.deadline() != *since + allowed {
            timer.as_mut().reset(*since + allowed);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
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
            let end = self.activity.idle_since().unwrap_or_else(Instant::now) + self.timeouts.idle;
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
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.activity.touch();
        }
        self.written(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        // A plain socket has nothing to flush: that is no sign that its client reads.
        if flushed.is_ready() { flushed } else { self.written(context, flushed) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, piece, .. } = &mut *self;
        let stream = Pin::new(stream);
        let written = if parts.iter().map(|part| part.len()).sum::<usize>() > ONE_PIECE {
            stream.poll_write_vectored(context, parts)
        } else {
            piece.clear();
            for part in parts {
                piece.extend_from_slice(part);
            }
            stream.poll_write(context, piece)
        };
        if written.is_ready() {
            // A body may take longer to write than a connection may be idle.
            self.activity.touch();
        }
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The service of a connection, which counts its requests and tells them where they come from.
#[derive(Clone)]
pub(super) struct Counted<S> {
    service: S,
    client: ClientAddress,
    activity: Arc<Activity>,
}

impl<S> Counted<S> {
    pub(super) fn new(service: S, peer: SocketAddr, activity: Arc<Activity>) -> Self {
        Self { service, client: ClientAddress::connect_info(peer), activity }
    }
}

impl<S, T, B> Service<Request<T>> for Counted<S>
where
    S: Service<Request<T>, Response = Response<B>>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<GuardedBody<B, RequestGuard>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<T>) -> Self::Future {
        let is_http2 = request.version() == Version::HTTP_2;
        self.activity.begin(request.version());
        let guard = Some(RequestGuard(Arc::clone(&self.activity)));
        request.extensions_mut().insert(ConnectInfo(self.client));
        Answering { answer: self.service.call(request), guard, is_http2 }
    }
}

/// Counts a request as ended when it is dropped; so does a request whose client went away.
pub(super) struct RequestGuard(Arc<Activity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl WhileSending for RequestGuard {}

pin_project! {
    /// An answer in the making.
    pub(super) struct Answering<F> {
        #[pin]
        answer: F,
        guard: Option<RequestGuard>,
        is_http2: bool,
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
        let mut response = ready!(this.answer.poll(context))?;
        let is_leaving = this.guard.as_ref().is_some_and(|guard| guard.0.port.is_leaving());
        // HTTP/2 has no such header; `serve_connection` sends a GOAWAY frame instead.
        if is_leaving && !*this.is_http2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // A body of unknown length may come slowly: until it has ended, the connection is not idle. One of known
        // length is there, and writing it is activity enough.
        let guard = this.guard.take().filter(|_| response.body().size_hint().exact().is_none());
        Poll::Ready(Ok(response.map(|body| GuardedBody::new(body, guard))))
    }
}

#[cfg(test)]
mod tests;
