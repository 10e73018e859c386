//! The way to one node, as the library of the protocol wants it.

use hyper_util::rt::TokioIo;
use spinwell_core::NodeId;
use spinwell_runtime::transport::{Dial, Io};
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tower_service::Service;

/// What the library calls a frame that is too large. A server with certificates answers those who have none with an alert, which
/// looks like one.
const FRAME_SIZE: &str = "frame with invalid size";

/// Connects to one node.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) dial: Dial,
    pub(super) node: NodeId,
    pub(super) address: String,
}

impl<U> Service<U> for Connector {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: U) -> Self::Future {
        let Self { dial, node, address } = self.clone();
        Box::pin(async move { dial.connect(&node.0, &address).await.map(TokioIo::new) })
    }
}

/// An error and what is behind it, in one line.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// Why a connection that was there is not there any more: what the node said, or what became of the connection, in words that
/// leave out the layers which the library passed it through.
pub(super) fn broken(status: &Status) -> String {
    let Some(mut first) = status.source() else { return status.message().to_owned() };
    while let Some(source) = first.source() {
        first = source;
    }
    format!("the connection broke: {first}")
}

/// The same of a connection on which the node has never said anything.
pub(super) fn unanswered(status: &Status, dial: &Dial) -> String {
    let why = broken(status);
    match dial {
        Dial::Clear(_) if why.contains(FRAME_SIZE) => {
            "it does not speak in the clear: it asks for certificates, and this process has none (tls.dir)"
                .to_owned()
        }
        // The alert may be lost where the node hangs up at once.
        Dial::Clear(_) if status.source().is_some() => {
            format!("{why}; does it ask for certificates (tls.dir)?")
        }
        _ => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_protocol::node_service::wire::node_service_client::NodeServiceClient;
    use spinwell_runtime::options::Exposure;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tonic::transport::Endpoint;

    /// What is said of whoever answers with these bytes, or hangs up where there are none.
    async fn said_of(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            while stream.read(&mut asked).await.is_ok_and(|len| len > 0) {
                if stream.write_all(answer).await.is_err() || answer.is_empty() {
                    return;
                }
            }
        });
        let dial = Dial::Clear(Exposure::LoopbackOnly);
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let connector = Connector { dial: dial.clone(), node: NodeId("n1".into()), address };
        let channel = endpoint.connect_with_connector(connector).await.unwrap();
        let mut client = NodeServiceClient::new(channel);
        let ended = client.exchange(tokio_stream::pending()).await;
        unanswered(&ended.expect_err("no node"), &dial)
    }

    #[tokio::test]
    async fn a_node_with_certificates_is_named_to_who_has_none() {
        // The alert that rustls sends to who speaks no TLS.
        let said = said_of(&[21, 3, 3, 0, 2, 2, 70]).await;
        assert!(said.contains("it asks for certificates"), "{said}");
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_said_to_break() {
        let said = said_of(b"").await;
        assert!(said.starts_with("the connection broke: "), "{said}");
        assert!(!said.contains("hyper") && !said.contains("kind:"), "{said}");
    }

    #[test]
    fn what_the_node_itself_said_stays_as_it_is() {
        let dial = Dial::Clear(Exposure::LoopbackOnly);
        assert_eq!(unanswered(&Status::permission_denied("not you"), &dial), "not you");
        let mut status = Status::unknown("layers");
        status.set_source(Arc::new(io::Error::other("the cable")));
        assert_eq!(broken(&status), "the connection broke: the cable");
    }
}
