//! The simulated network, as gateways and nodes want it.

use spinwell_runtime::transport::{Connecting, Io, Network};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::sleep;
use turmoil::net::{TcpListener, TcpStream};

/// The port at which every node is called.
pub(crate) const PORT: u16 = 8004;

/// The way to nodes.
pub(crate) struct Simulated;

impl Network for Simulated {
    fn connect(&self, address: &str) -> Connecting {
        let address = address.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}

/// How often a host sends what its connections have to say.
const SENDS: Duration = Duration::from_millis(1);

/// The connections that a process has accepted, in order. What they have to say is sent in that order, a few times in a while and not as
/// they say it, and so they are closed when the process dies. The network draws the delays of what is sent one after the
/// other, while tokio wakes those who wait for one and the same thing in no order, and drops the tasks of a runtime by
/// numbers that go on from one run to the next.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<Vec<Arc<Mutex<Line>>>>>);

impl Connections {
    /// Hands on whoever calls at this host.
    pub(crate) async fn accept(self, accepted: mpsc::Sender<Box<dyn Io>>) -> io::Result<()> {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let line = Arc::new(Mutex::new(Line::new(stream)));
            lock(&self.0).push(line.clone());
            if accepted.send(Box::new(Accepted(line))).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Sends what there is to send, for ever.
    pub(crate) async fn send(self) {
        loop {
            sleep(SENDS).await;
            self.send_now();
        }
    }

    /// Sends what there is, and closes all.
    pub(crate) fn close(&self) {
        self.send_now();
        lock(&self.0).drain(..).for_each(|line| drop(lock(&line).stream.take()));
    }

    fn send_now(&self) {
        lock(&self.0).retain(|line| lock(line).send());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection, and what it has to say.
struct Line {
    /// Until the process dies.
    stream: Option<TcpStream>,
    unsent: Vec<u8>,
    /// Nothing more comes after that.
    is_last: bool,
    /// Nobody has it any more.
    is_dropped: bool,
}

impl Line {
    fn new(stream: TcpStream) -> Self {
        Self { stream: Some(stream), unsent: Vec::new(), is_last: false, is_dropped: false }
    }

    /// Sends what there is. Whether it is of use any longer.
    fn send(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut context = Context::from_waker(Waker::noop());
        if !self.unsent.is_empty() {
            match Pin::new(&mut *stream).poll_write(&mut context, &self.unsent) {
                Poll::Ready(Ok(sent)) => drop(self.unsent.drain(..sent)),
                // Whoever reads learns of it.
                Poll::Ready(Err(_)) => self.unsent.clear(),
                Poll::Pending => {}
            }
        }
        if self.unsent.is_empty() && std::mem::take(&mut self.is_last) {
            // As above.
            let _ = Pin::new(stream).poll_shutdown(&mut context);
        }
        !(self.is_dropped && self.unsent.is_empty())
    }
}

/// A connection in the hands of the service.
struct Accepted(Arc<Mutex<Line>>);

impl Drop for Accepted {
    fn drop(&mut self) {
        lock(&self.0).is_dropped = true;
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut lock(&self.0).stream {
            Some(stream) => Pin::new(stream).poll_read(context, buffer),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        }
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.0).unsent.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).is_last = true;
        Poll::Ready(Ok(()))
    }
}
