//! A call's message, which takes what it holds from the budget of all bodies.

use crate::budget::Share;
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use spinwell_core::{Code, Fault, Millis};
use spinwell_protocol::status;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;

/// A share that the message grows and the call keeps until its answer; in a stream, each message takes over what has come
/// since the one before.
pub(super) type SharedShare = Arc<Mutex<Share>>;

/// Where a stream is among its messages: before each, gRPC puts a byte for its coding and four for its length.
#[derive(Debug, Default)]
struct Messages {
    head: [u8; 5],
    /// Bytes of the head that are here.
    seen: usize,
    /// Bytes of the message itself that are not here yet.
    missing: usize,
}

impl Messages {
    /// Takes what arrives. Says whether a message ended in it.
    fn pass(&mut self, mut data: &[u8]) -> bool {
        let mut any_ended = false;
        while !data.is_empty() {
            if self.seen < self.head.len() {
                let taken = data.len().min(self.head.len() - self.seen);
                self.head[self.seen..self.seen + taken].copy_from_slice(&data[..taken]);
                (self.seen, data) = (self.seen + taken, &data[taken..]);
                let [_, length @ ..] = self.head;
                self.missing = u32::from_be_bytes(length) as usize;
            } else {
                let taken = data.len().min(self.missing);
                (self.missing, data) = (self.missing - taken, &data[taken..]);
            }
            if self.seen == self.head.len() && self.missing == 0 {
                (self.seen, any_ended) = (0, true);
            }
        }
        any_ended
    }

    /// Whether a part of a message is here.
    fn is_within_one(&self) -> bool {
        self.seen > 0
    }
}

/// How long the rest of a message may be waited for.
struct Patience {
    limit: Millis,
    messages: Messages,
    /// Runs from the first wait for a message that has begun until that is whole.
    until: Option<Pin<Box<Sleep>>>,
}

/// A body whose bytes count.
pub struct Metered<B> {
    body: B,
    share: SharedShare,
    /// Of a stream of messages, which as a whole may take as long as it likes.
    patience: Option<Patience>,
}

impl Patience {
    /// Ready with what is wrong when a message has been begun and not ended in time.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        if !self.messages.is_within_one() {
            return Poll::Pending;
        }
        let limit = self.limit;
        let until = self.until.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit.into())));
        ready!(until.as_mut().poll(context));
        let message = format!("the rest of a message did not arrive within {limit}");
        Poll::Ready(Fault::new(Code::BodyTimeout, message))
    }
}

impl<B> Metered<B> {
    pub(super) fn new(body: B, share: SharedShare) -> Self {
        Self { body, share, patience: None }
    }

    /// The same of a stream, each message of which has to arrive within `limit`.
    pub(super) fn streamed(self, limit: Millis) -> Self {
        let patience = Patience { limit, messages: Messages::default(), until: None };
        Self { patience: Some(patience), ..self }
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
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            let late = self.patience.as_mut().map_or(Poll::Pending, |patience| patience.poll_late(context));
            return late.map(|fault| Some(Err(status::to_grpc(&fault).into())));
        };
        let Some(frame) = frame else { return Poll::Ready(None) };
        let frame = frame.map_err(Into::into)?;
        if let Some(data) = frame.data_ref() {
            let taken = self.share.lock().unwrap_or_else(PoisonError::into_inner).take(data.len());
            // The library passes a status of ours on as it is.
            taken.map_err(|fault| status::to_grpc(&fault))?;
            if let Some(patience) = &mut self.patience
                && patience.messages.pass(data)
            {
                patience.until = None;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_messages_are_seen_however_they_are_cut() {
        let stream = [&[0, 0, 0, 0, 3, 7, 7, 7][..], &[0, 0, 0, 0, 0], &[1, 0, 0, 0, 1, 9]].concat();
        let ends = [8, 13, 19];
        for size in 1..=stream.len() {
            let (mut messages, mut at) = (Messages::default(), 0);
            for piece in stream.chunks(size) {
                let after = at + piece.len();
                let ended = ends.iter().any(|end| (at + 1..=after).contains(end));
                assert_eq!(messages.pass(piece), ended, "{size} {at}");
                at = after;
                assert_eq!(messages.is_within_one(), !ends.contains(&at), "{size} {at}");
            }
        }
    }
}
