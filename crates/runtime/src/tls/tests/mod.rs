//! Real handshakes over loopback, and files that are right or wrong.

mod authority;
mod callers;
mod edge;
mod files;
mod handshakes;
mod rotation;

use super::{Acceptor, Connector, Files, Mutual, Peer, Refusal, Role};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Once;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{client, server};

/// How long anything may take before a test fails. Never waited for in a run that passes.
const BOUND: Duration = Duration::from_secs(60);

type AtServer = (server::TlsStream<TcpStream>, Peer);
type AtClient = (client::TlsStream<TcpStream>, Peer);

fn mutual(files: &Files) -> Mutual {
    Mutual::load(files.clone()).unwrap()
}

/// A node's listener.
struct Node {
    listener: TcpListener,
    acceptor: Acceptor,
}

impl Node {
    /// One that gateways and control may call.
    async fn new(mutual: &Mutual) -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: Acceptor::new(mutual, &[Role::Gateway, Role::Control], BOUND),
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Takes the next connection.
    async fn accept(&self) -> Result<AtServer, Refusal> {
        let (stream, from) = self.listener.accept().await.unwrap();
        self.acceptor.accept(stream, from).await
    }

    /// Both ends of a connection to it.
    async fn called_by(&self, caller: &Mutual) -> (Result<AtServer, Refusal>, Result<AtClient, Refusal>) {
        let connector = Connector::new(caller, &[Role::Node], BOUND);
        let call = async {
            let stream = TcpStream::connect(self.address()).await.unwrap();
            connector.connect(stream, self.address().ip().into()).await
        };
        tokio::join!(self.accept(), call)
    }

    /// How often it refused for this reason.
    fn refused(&self, kind: &str) -> u64 {
        self.acceptor.handshakes().refused().find(|(name, _)| *name == kind).unwrap().1
    }
}

/// What this thread has logged since this was made; a test has a thread of its own.
///
/// One subscriber for all threads and not one for each: with scoped ones, a line of code that first runs on a thread without any
/// may stay silent on all of them.
struct Log;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Log {
    fn new() -> Self {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Lines).init());
        LINES.with_borrow_mut(Vec::clear);
        Self
    }

    fn text(&self) -> String {
        String::from_utf8(LINES.with_borrow(Clone::clone)).unwrap()
    }
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
