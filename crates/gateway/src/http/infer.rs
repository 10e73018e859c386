//! An inference request over HTTP, from its head to its outcome.

use super::answer::{fault_response, inference_response};
use super::body;
use super::coding::Coding;
use super::target::Target;
use crate::Gateway;
use crate::budget::Share;
use crate::gateway::Answered;
use crate::record::Ticket;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use spinwell_core::{Code, Fault, Protocol};
use spinwell_protocol::rest::{self, Framing};
use spinwell_protocol::{Call, ModelDescription};
use spinwell_runtime::clock;
use std::sync::Arc;

/// Bodies above this take a millisecond or more to decode as JSON.
const LARGE_BODY_BYTES: usize = 256 * 1024;

/// `POST /v2/models/{model}[/versions/{version}]/infer`.
pub(super) async fn infer(State(gateway): State<Gateway>, target: Target, request: Request) -> Response {
    let is_binary = request.headers().contains_key(rest::HEADER_LENGTH);
    let protocol = if is_binary { Protocol::HttpBinary } else { Protocol::HttpJson };
    let mut ticket = gateway.open_ticket(protocol, gateway.trace(request.headers()));
    let coding = Coding::for_answer(request.headers());
    let is_encoded = request.headers().contains_key(header::CONTENT_ENCODING);
    match answer(&gateway, &mut ticket, &target, request).await {
        Ok(encoded) => {
            let started = clock::now();
            let response = inference_response(encoded, coding);
            ticket.close_answered(clock::since(started));
            response
        }
        Err(fault) => {
            ticket.close_failed(fault.code());
            let mut response = fault_response(&fault);
            if is_encoded && fault.code() == Code::NotOffered {
                *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            }
            response
        }
    }
}

async fn answer(
    gateway: &Gateway,
    ticket: &mut Ticket,
    target: &Target,
    request: Request,
) -> Result<rest::Encoded, Fault> {
    ticket.asked_for(&target.model);
    let (head, request_body) = request.into_parts();
    let found = gateway.find_split(&target.model, target.version.as_deref())?;
    ticket.found(&found.model);
    let coding = Coding::of_request(&head.headers)?;
    let framing = Framing::from_header(head.headers.get(rest::HEADER_LENGTH).map(HeaderValue::as_bytes))?;
    // Held until the answer: what was decoded from the body takes the place of its bytes.
    let mut share = gateway.body_share();
    let bytes = body::read(request_body, gateway.limits(), &mut share).await?;
    ticket.received();
    let (call, _share) = decode(Received { bytes, coding, framing, share }, gateway, &found.model).await?;
    ticket.decoded(&call.id, call.series.batch());
    let Answered { id, outputs, reply } = gateway.begin(ticket, found, call, None).end(ticket).await?;
    Ok(rest::encode(&id, &outputs, &reply))
}

/// A body as it came, and what it holds of the budget.
struct Received {
    bytes: Bytes,
    coding: Option<Coding>,
    framing: Framing,
    share: Share,
}

impl Received {
    fn decode(self, bytes_max: usize, model: &ModelDescription) -> Result<(Call, Share), Fault> {
        let Self { mut bytes, coding, framing, mut share } = self;
        if let Some(coding) = coding {
            bytes = coding.undo(&bytes, bytes_max, &mut share)?;
        }
        Ok((rest::decode(&bytes, framing, model)?, share))
    }
}

/// Decodes a body; one that takes long apart, so that it does not hold up the other connections of this thread. Nobody
/// knows how long a compressed one takes.
async fn decode(
    received: Received,
    gateway: &Gateway,
    model: &Arc<ModelDescription>,
) -> Result<(Call, Share), Fault> {
    let bytes_max = gateway.limits().body_bytes;
    if received.coding.is_none() && received.bytes.len() <= LARGE_BODY_BYTES {
        return received.decode(bytes_max, model);
    }
    let model = model.clone();
    let decoded = tokio::task::spawn_blocking(move || received.decode(bytes_max, &model));
    decoded.await.unwrap_or_else(|_| Err(Fault::new(Code::Internal, "decoding failed; the server goes on")))
}
