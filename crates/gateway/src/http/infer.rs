//! An inference request over HTTP, from its head to its outcome.

use super::answer::{coded_fault_response, inference_response};
use super::body::{self, Received};
use super::coding::Coding;
use super::target::Target;
use crate::Gateway;
use crate::door::Entry;
use crate::gateway::Answered;
use crate::record::Ticket;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::Response;
use spinwell_core::{Fault, Protocol};
use spinwell_protocol::rest::{self, Framing};
use spinwell_runtime::clock;

/// `POST /v2/models/{model}[/versions/{version}]/infer`.
pub(super) async fn infer(
    State(gateway): State<Gateway>,
    entry: Entry,
    target: Target,
    request: Request,
) -> Response {
    let is_binary = request.headers().contains_key(rest::HEADER_LENGTH);
    let protocol = if is_binary { Protocol::HttpBinary } else { Protocol::HttpJson };
    let mut ticket = gateway.open_ticket(protocol, gateway.trace(request.headers()));
    let coding = Coding::for_answer(request.headers());
    let has_unknown_coding = Coding::of_request(request.headers()).is_err();
    let report = gateway.load_report_wanted(request.headers());
    let response = match answer(&gateway, &mut ticket, entry, &target, request).await {
        Ok(encoded) => {
            let started = clock::now();
            let response = inference_response(encoded, coding);
            ticket.close_answered(clock::since(started));
            response
        }
        Err(fault) => {
            ticket.close_failed(&fault);
            coded_fault_response(&fault, has_unknown_coding)
        }
    };
    gateway.reported(response, report)
}

async fn answer(
    gateway: &Gateway,
    ticket: &mut Ticket,
    entry: Entry,
    target: &Target,
    request: Request,
) -> Result<rest::Encoded, Fault> {
    ticket.asked_for(&target.model);
    gateway.let_in(ticket, entry, &target.model)?;
    let (head, request_body) = request.into_parts();
    let found = gateway.find_split(&target.model, target.version.as_deref())?;
    ticket.found(&found.model);
    let coding = Coding::of_request(&head.headers)?;
    let framing =
        Framing::from_header(head.headers.get_all(rest::HEADER_LENGTH).iter().map(HeaderValue::as_bytes))?;
    // Held until the answer: what was decoded from the body takes the place of its bytes.
    let mut share = gateway.body_share();
    let bytes = body::read(request_body, gateway.limits(), &mut share).await?;
    ticket.received();
    ticket.has_body(bytes.len(), bytes.iter().copied());
    let model = found.model.clone();
    let read = move |bytes: Bytes| rest::decode(&bytes, framing, &model);
    let (call, _share) = Received { bytes, coding, share }.read_by(gateway.limits().body_bytes, read).await?;
    ticket.decoded(&call.id, call.series.batch());
    gateway.permit_call(ticket, &found.model.name, &call)?;
    let Answered { id, outputs, reply } = gateway.begin(ticket, found, call, None).end(ticket).await?;
    Ok(rest::encode(&id, &outputs, &reply))
}
