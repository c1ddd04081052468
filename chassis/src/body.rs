//! A response body with a guard, which lives until the body has been sent.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

/// A value that lives while a body is sent. It is dropped when the body has ended or the client has gone away.
pub(crate) trait WhileSending {
    /// Whether the body should be cut off here.
    fn poll_cut(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Called with the number of bytes of each piece that is sent.
    fn sent(&mut self, _bytes: usize) {}
}

pin_project! {
    /// A body with a guard.
    pub(crate) struct GuardedBody<B, G> {
        #[pin]
        body: B,
        guard: Option<G>,
    }
}

impl<B, G> GuardedBody<B, G> {
    pub(crate) fn new(body: B, guard: Option<G>) -> Self {
        Self { body, guard }
    }
}

impl<B, G> HttpBody for GuardedBody<B, G>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
    G: WhileSending,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let Some(guard) = this.guard
            && guard.poll_cut(context).is_ready()
        {
            *this.guard = None;
            return Poll::Ready(Some(Err("the time for this answer is over".into())));
        }
        let polled = this.body.poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(guard), Some(data)) = (this.guard, frame.data_ref()) {
                    guard.sent(data.len());
                }
            }
            Poll::Ready(_) => *this.guard = None,
            Poll::Pending => {}
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether a body is one piece of known length. The connection writes such a body at once, so nothing has to wait for
/// its end.
pub(crate) fn is_whole(body: &Body) -> bool {
    body.size_hint().exact().is_some()
}
