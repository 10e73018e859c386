//! The way to one node, as the library of the protocol wants it.

use hyper_util::rt::TokioIo;
use spinwell_core::NodeId;
use spinwell_runtime::transport::{Dial, Io};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

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
