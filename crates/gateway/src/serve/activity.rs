//! Whether anything happens on a connection that somebody waits for.
//!
//! A connection may end at a stop when no request on it is in flight. The libraries know only of connections
//! that are idle in their own sense: half a head, or an HTTP/2 peer that never spoke, would be waited for.

use axum::body::HttpBody;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;

/// How long a connection without a request in flight may take to close by itself: time for the last bytes of
/// an answer, and for an HTTP/2 peer to learn that the connection ends.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(1);

/// How long at a stop a peer may take nothing of answers that lie ready for him.
const UNREAD_TIME: Duration = Duration::from_secs(5);

/// Counts the requests of one connection.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    requests: Arc<watch::Sender<Requests>>,
    /// Grows with every write, so that an answer on its way to a slow peer is no idleness.
    progress: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Requests {
    begun: u64,
    in_flight: u64,
    /// Those of them whose answer the peer has to take before there is more to do.
    unread: u64,
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    requests: Arc<watch::Sender<Requests>>,
    progress: Arc<AtomicU64>,
    is_unread: bool,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { requests: Arc::new(watch::Sender::default()), progress: Arc::default() }
    }

    /// A request's head is here.
    pub(super) fn begin(&self) -> InFlight {
        self.requests.send_modify(|requests| {
            requests.begun += 1;
            requests.in_flight += 1;
        });
        InFlight { requests: self.requests.clone(), progress: self.progress.clone(), is_unread: false }
    }

    /// Bytes have moved.
    pub(super) fn progress(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns after `head_timeout` if no request has begun by then, else never.
    pub(super) async fn nothing_began(&self, head_timeout: Duration) {
        tokio::time::sleep(head_timeout).await;
        if self.requests.borrow().begun > 0 {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when no request has been in flight, and nothing has moved, for [`CLOSE_TIME`]; or when for [`UNREAD_TIME`]
    /// nothing has moved and every answer in flight waits for the peer.
    pub(super) async fn is_over(&self) {
        let mut requests = self.requests.subscribe();
        loop {
            // The sender is held by `self`, so the wait cannot fail.
            let quiet = requests.wait_for(|now| now.in_flight == now.unread).await;
            let (begun, unread) = quiet.map_or((0, 0), |now| (now.begun, now.unread));
            let progress = self.progress.load(Ordering::Relaxed);
            tokio::time::sleep(if unread == 0 { CLOSE_TIME } else { UNREAD_TIME }).await;
            let now = requests.borrow();
            let is_same = now.begun == begun && now.in_flight == unread && now.unread == unread;
            if is_same && self.progress.load(Ordering::Relaxed) == progress {
                return;
            }
        }
    }
}

impl InFlight {
    /// Notes whose turn it is: the peer's, who has to take what is there, or ours.
    fn set_unread(&mut self, is_unread: bool) {
        if std::mem::replace(&mut self.is_unread, is_unread) != is_unread {
            self.requests.send_modify(|requests| {
                requests.unread = requests.unread - u64::from(!is_unread) + u64::from(is_unread);
            });
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.requests.send_modify(|requests| {
            requests.in_flight -= 1;
            requests.unread -= u64::from(self.is_unread);
        });
    }
}

/// An answer's body; its request is in flight until the library has taken all of it.
pub(super) struct AnswerBody<B> {
    body: B,
    in_flight: InFlight,
}

impl<B> AnswerBody<B> {
    pub(super) fn new(body: B, in_flight: InFlight) -> Self {
        Self { body, in_flight }
    }
}

impl<B: HttpBody + Unpin> HttpBody for AnswerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        // The library asks for more when the peer has room for it.
        self.in_flight.set_unread(frame.is_ready());
        self.in_flight.progress.fetch_add(1, Ordering::Relaxed);
        frame
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
    use tokio::time::timeout;

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_over_only_without_requests_and_movement() {
        let activity = Activity::new();
        assert!(timeout(LONG, activity.is_over()).await.is_ok(), "nothing ever happened");
        let in_flight = activity.begin();
        assert!(timeout(LONG, activity.is_over()).await.is_err(), "a request is in flight");
        drop(in_flight);
        let moves = async {
            loop {
                activity.progress();
                tokio::time::sleep(CLOSE_TIME / 2).await;
            }
        };
        tokio::select! {
            over = timeout(LONG, activity.is_over()) => assert!(over.is_err(), "an answer is being sent"),
            () = moves => {}
        }
        assert!(timeout(LONG, activity.is_over()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_take_his_answer_is_not_waited_for() {
        use axum::body::Body;
        let activity = Activity::new();
        let pieces = futures::stream::iter((0..9).map(|_| Ok::<_, std::io::Error>("piece")));
        let later = futures::stream::pending::<Result<&str, std::io::Error>>();
        let mut taken = AnswerBody::new(Body::from_stream(pieces), activity.begin());
        let mut made = AnswerBody::new(Body::from_stream(later), activity.begin());
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut made).poll_frame(&mut context).is_pending());
        assert!(Pin::new(&mut taken).poll_frame(&mut context).is_ready());
        assert!(timeout(LONG, activity.is_over()).await.is_err(), "an answer is still being made");
        drop(made);
        let takes = async {
            loop {
                tokio::time::sleep(UNREAD_TIME / 2).await;
                if Pin::new(&mut taken).poll_frame(&mut context).is_pending() {
                    break;
                }
                activity.progress();
            }
        };
        tokio::select! {
            () = activity.is_over() => panic!("an answer is being taken"),
            () = tokio::time::sleep(UNREAD_TIME * 3) => {}
            () = takes => {}
        }
        assert!(timeout(LONG, activity.is_over()).await.is_ok(), "nobody takes the rest");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_connection_without_a_first_request_is_given_up() {
        let activity = Activity::new();
        assert!(timeout(LONG, activity.nothing_began(CLOSE_TIME)).await.is_ok());
        drop(activity.begin());
        assert!(timeout(LONG, activity.nothing_began(CLOSE_TIME)).await.is_err());
    }
}
