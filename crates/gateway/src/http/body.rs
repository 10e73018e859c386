//! Reading a request's body, of which nothing is believed.
//!
//! A declared length over the limit is refused before a byte is read; an undeclared one is cut off at the
//! limit. Memory grows with the bytes that arrive, never with the length that was declared, and all
//! bodies share one budget.

use super::coding::Coding;
use crate::Gateway;
use crate::budget::Share;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use bytes::BytesMut;
use http_body_util::BodyExt;
use spinwell_core::{Code, Fault};
use spinwell_runtime::options::Limits;
use tokio::time::timeout;

/// The whole body, which takes what it holds from `share`.
pub(super) async fn read(body: Body, limits: &Limits, share: &mut Share) -> Result<Bytes, Fault> {
    let declared = body.size_hint().lower();
    if declared > limits.body_bytes as u64 {
        let message = format!("the body has {declared} bytes, at most {} are taken", limits.body_bytes);
        return Err(Fault::new(Code::BodyTooLarge, message));
    }
    timeout(limits.body_timeout.into(), collect(body, limits.body_bytes, share)).await.unwrap_or_else(|_| {
        let message = format!("the body did not arrive within {}", limits.body_timeout);
        Err(Fault::new(Code::BodyTimeout, message))
    })
}

/// The whole body as it was before it was compressed, where it was.
pub(super) async fn read_whole(request: Request, gateway: &Gateway) -> Result<(Bytes, Share), Fault> {
    let (head, body) = request.into_parts();
    let coding = Coding::of_request(&head.headers)?;
    let (limits, mut share) = (gateway.limits(), gateway.body_share());
    let bytes = read(body, limits, &mut share).await?;
    Received { bytes, coding, share }.read_by(limits.body_bytes, Ok).await
}

/// Bodies above this take about a millisecond to decode as JSON.
const LARGE_BODY_BYTES: usize = 128 * 1024;

/// A body as it came.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    pub(super) coding: Option<Coding>,
    /// What it holds of the budget of all bodies.
    pub(super) share: Share,
}

impl Received {
    /// Undoes the coding and reads what is inside: apart, where that may take long, so that it does not hold up the other
    /// connections of this thread. Nobody knows how long a compressed body takes.
    pub(super) async fn read_by<T: Send + 'static>(
        self,
        bytes_max: usize,
        read: impl FnOnce(Bytes) -> Result<T, Fault> + Send + 'static,
    ) -> Result<(T, Share), Fault> {
        let Self { bytes, coding, mut share } = self;
        let Some(coding) = coding else {
            if bytes.len() <= LARGE_BODY_BYTES {
                return Ok((read(bytes)?, share));
            }
            return apart(move || Ok((read(bytes)?, share))).await;
        };
        apart(move || {
            let bytes = coding.undo(&bytes, bytes_max, &mut share)?;
            Ok((read(bytes)?, share))
        })
        .await
    }
}

async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work);
    done.await.unwrap_or_else(|_| Err(Fault::new(Code::Internal, "decoding failed; the server goes on")))
}

async fn collect(mut body: Body, bytes_max: usize, share: &mut Share) -> Result<Bytes, Fault> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Fault::new(
                Code::FramingInvalid,
                "the body ended before its declared length, or its chunks are broken",
            )
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > bytes_max {
            let message = format!("the body has more than the {bytes_max} bytes that are taken");
            return Err(Fault::new(Code::BodyTooLarge, message));
        }
        share.take(data.len())?;
        // Most bodies arrive in one piece, which is passed on as it is.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
