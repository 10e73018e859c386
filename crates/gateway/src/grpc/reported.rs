//! An answer that ends with a report of the load.

use crate::Gateway;
use axum::body::{Bytes, HttpBody};
use axum::http::Response;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::{Status, body::Body};

/// The answer with a report of the load as it is when the answer ends.
pub(super) fn reported(gateway: &Gateway, mut response: Response<Body>) -> Response<Body> {
    // Where the call has failed before its first message there is nothing but a head.
    if response.headers().contains_key(Status::GRPC_STATUS) {
        gateway.report_in(response.headers_mut());
        return response;
    }
    let gateway = gateway.clone();
    response.map(|body| Body::new(Reported { body, gateway }))
}

/// A body whose trailers get the report.
struct Reported {
    body: Body,
    gateway: Gateway,
}

impl HttpBody for Reported {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            self.gateway.report_in(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
