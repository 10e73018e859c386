//! A call's message, which takes what it holds from the budget of all bodies.

use crate::budget::Share;
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use spinwell_protocol::status;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

/// A share that the message grows and the call keeps until its answer; in a stream, each message takes over what has come
/// since the one before.
pub(super) type SharedShare = Arc<Mutex<Share>>;

/// A body whose bytes count.
pub struct Metered<B> {
    body: B,
    share: SharedShare,
}

impl<B> Metered<B> {
    pub(super) fn new(body: B, share: SharedShare) -> Self {
        Self { body, share }
    }
}

impl<B> HttpBody for Metered<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(Into::into)?;
        if let Some(data) = frame.data_ref() {
            let taken = self.share.lock().unwrap_or_else(PoisonError::into_inner).take(data.len());
            // The library passes a status of ours on as it is.
            taken.map_err(|fault| status::to_grpc(&fault))?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
