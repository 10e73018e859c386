//! Closing a connection whose request was not read to its end.
//!
//! A request that is refused by its declared size is answered while the caller still sends. Closing the
//! socket then makes the kernel reset the connection, and the reset destroys the answer before the caller
//! reads it: he sees a broken pipe instead of a 413. So such a connection is closed for writing first and read
//! out for a while, bounded in time and bytes. Connections that were read to the end close at once.
//!
//! The same wrapper gives the library's own refusals a body, see [`refusal`](super::refusal).

use super::activity::Activity;
use super::refusal;
use super::wire::Wire;
use axum::body::{Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, timeout};

/// How long a caller may go on sending what nobody wants.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// How much of it is read and thrown away.
const LINGER_BYTES: usize = 128 << 20;

/// What is left of an unread body that is read after all, so that the connection can go on.
const REST_BYTES: u64 = 64 << 10;
/// For how long its end is waited for.
const REST_TIME: Duration = Duration::from_millis(100);

/// Whether a request's body on this connection was left unread.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Arc<UnreadState>);

#[derive(Debug, Default)]
struct UnreadState {
    is_left: AtomicBool,
    /// The body that was left, of the request that is answered now.
    rest: Mutex<Option<Incoming>>,
}

impl Unread {
    fn leave(&self, rest: Option<Incoming>) {
        *self.0.rest.lock().unwrap_or_else(PoisonError::into_inner) = rest;
        self.0.is_left.store(true, Ordering::Release);
    }

    /// Reads what is left of a small body. Gives whether something stays unread all the same, so that the connection ends
    /// with this answer.
    pub(super) async fn settle(&self) -> bool {
        if !self.0.is_left.load(Ordering::Acquire) {
            return false;
        }
        let rest = self.0.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut rest) = rest else { return false };
        let read = async {
            let mut bytes = 0;
            while bytes.max(rest.size_hint().lower()) <= REST_BYTES {
                match rest.frame().await {
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
                    Some(Err(_)) => return false,
                    None => return true,
                }
            }
            false
        };
        let is_read = timeout(REST_TIME, read).await.unwrap_or(false);
        self.0.is_left.store(!is_read, Ordering::Release);
        !is_read
    }
}

/// A request's body that notes when it is dropped before its end.
pub(super) struct WatchedBody {
    /// Taken out only when it is dropped.
    body: Option<Incoming>,
    is_finished: bool,
    unread: Unread,
}

impl WatchedBody {
    pub(super) fn new(body: Incoming, unread: Unread) -> Self {
        Self { body: Some(body), is_finished: false, unread }
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if !self.is_finished && !self.is_end_stream() {
            self.unread.leave(self.body.take());
        }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        self.is_finished |= frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

/// A connection that is read out before it closes, where something was left unread.
pub(super) struct Lingering {
    stream: Wire,
    unread: Unread,
    /// Told of every write, and of what is read out.
    activity: Activity,
    is_shut: bool,
    bytes_left: usize,
    until: Option<Pin<Box<Sleep>>>,
    /// What is being written in place of what the library gave, and how much of it is still to go.
    instead: Option<Bytes>,
}

impl Lingering {
    pub(super) fn new(stream: Wire, unread: Unread, activity: Activity) -> Self {
        Self {
            stream,
            unread,
            activity,
            is_shut: false,
            bytes_left: LINGER_BYTES,
            until: None,
            instead: None,
        }
    }

    /// Whether `bytes` are replaced: a refusal of the library is, and then nothing is read to its end.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        if self.instead.is_none() {
            self.instead = refusal::instead_of(bytes).map(Bytes::from);
            if self.instead.is_some() {
                self.unread.leave(None);
            }
        }
        self.instead.is_some()
    }

    /// Writes all that goes out instead, then says that `claimed` bytes were written.
    fn poll_write_instead(&mut self, context: &mut Context<'_>, claimed: usize) -> Poll<io::Result<usize>> {
        while let Some(rest) = self.instead.as_mut().filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            let _ = rest.split_to(written);
        }
        self.instead = None;
        Poll::Ready(Ok(claimed))
    }

    /// Ready when the peer has been given enough time to part.
    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = self.until.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER_TIME)));
        until.as_mut().poll(context)
    }

    /// Ready when the peer has stopped sending, or has been given enough time and bytes.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.poll_time(context).is_ready() {
            return Poll::Ready(());
        }
        let mut thrown_away = [0; 16 * 1024];
        while self.bytes_left > 0 {
            let mut buffer = ReadBuf::new(&mut thrown_away);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
            self.activity.progress();
            self.bytes_left = self.bytes_left.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replaces(bytes) {
            return self.poll_write_instead(context, bytes.len());
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.activity.progress();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            match Pin::new(&mut self.stream).poll_shutdown(context) {
                Poll::Ready(shut) => shut?,
                // Behind a handshake the end is bytes as well, which a peer may never take.
                Poll::Pending => return self.poll_time(context).map(Ok),
            }
            self.is_shut = true;
        }
        if self.unread.0.is_left.load(Ordering::Acquire) {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices
            && self.replaces(only)
        {
            return self.poll_write_instead(context, only.len());
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices));
        self.activity.progress();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
