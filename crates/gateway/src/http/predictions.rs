//! `POST /v1/predictions`: a batch call, whose requests are handed over together and come back in order.
//!
//! Where there are several nodes, they are divided over those at once, and the answer says how. From then on each goes its own
//! way: it has its own deadline, its own answer and its own outcome; the node's queue mixes them with everybody's.
//! Nothing has been delivered before the whole answer is, so a caller who goes away leaves all of them cancelled.

use super::answer::{coded_fault_response, compressed_response};
use super::body::{self, Received};
use super::coding::Coding;
use crate::Gateway;
use crate::budget::Share;
use crate::door::Entry;
use crate::gateway::{Answered, Begun};
use crate::record::{Arrival, BatchTicket, KnownBatch, Ticket};
use crate::traffic::Found;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures::future::join_all;
use spinwell_core::{BatchCallId, BatchPlan, Code, Fault, Micros, Priority, Protocol};
use spinwell_protocol::rest::{self, BatchCall, BatchedAnswer, BatchedRequest};
use spinwell_protocol::{Call, Catalogue, InferReply, Outputs};
use spinwell_runtime::clock;
use std::sync::Arc;
use uuid::Uuid;

/// A request whose answer is asked for or already known not to come.
struct Prepared {
    ticket: Ticket,
    id: String,
    call: Result<(Found, Call), Fault>,
}

/// A request that a node has, or that is already known not to be answered.
struct Sent {
    ticket: Ticket,
    id: String,
    begun: Result<Begun, Fault>,
}

/// The handler.
pub(super) async fn predictions(State(gateway): State<Gateway>, entry: Entry, request: Request) -> Response {
    let coding = Coding::for_answer(request.headers());
    let has_unknown_coding = Coding::of_request(request.headers()).is_err();
    let report = gateway.load_report_wanted(request.headers());
    let (head, request_body) = request.into_parts();
    // Stands for the whole call until its requests are known.
    let trace = gateway.trace(&head.headers);
    let mut ticket = gateway.open_ticket(Protocol::HttpBatch, trace);
    let received = match ticket.entered(entry.clone()) {
        Ok(()) => receive(&gateway, &head.headers, request_body, &mut ticket).await,
        Err(fault) => Err(fault),
    };
    let arrival = Arrival { at: ticket.received_at(), trace };
    let prepared = match received {
        Ok(body) => prepare(&gateway, entry, body, arrival).await,
        Err(fault) => Err(fault),
    };
    let response = match prepared {
        Ok((prepared, share)) => {
            ticket.withdraw();
            let response = answer(&gateway, prepared, arrival, coding).await;
            drop(share);
            response
        }
        Err(fault) => {
            ticket.close_failed(&fault);
            coded_fault_response(&fault, has_unknown_coding)
        }
    };
    gateway.reported(response, report)
}

async fn receive(
    gateway: &Gateway,
    headers: &HeaderMap,
    request_body: axum::body::Body,
    ticket: &mut Ticket,
) -> Result<Received, Fault> {
    // Before the body is read.
    gateway.started()?;
    let coding = Coding::of_request(headers)?;
    let mut share = gateway.body_share();
    let bytes = body::read(request_body, gateway.limits(), &mut share).await?;
    ticket.received();
    Ok(Received { bytes, coding, share })
}

/// Reads all requests of a call.
async fn prepare(
    gateway: &Gateway,
    entry: Entry,
    body: Received,
    arrival: Arrival,
) -> Result<(Vec<Prepared>, Share), Fault> {
    let bytes_max = gateway.limits().body_bytes;
    let gateway = gateway.clone();
    let read_all = move |bytes: Bytes| {
        let call = BatchCall::read(&bytes, gateway.limits().batch_call_requests_max)?;
        let models = gateway.models()?;
        let one = |raw| {
            let mut ticket = gateway.open_ticket(Protocol::HttpBatch, gateway.trace_within(arrival.trace));
            ticket.received_with(arrival.at);
            let call = read(&gateway, &entry, raw, call.priority, &models, &mut ticket);
            let id = call.as_ref().map_or_else(|_| BatchedRequest::id(raw), |(_, call)| call.id.clone());
            let windows = call.as_ref().map_or(0, |(_, call)| call.series.batch());
            ticket.decoded(&id, windows);
            Prepared { ticket, id, call }
        };
        Ok(call.requests.iter().copied().map(one).collect())
    };
    body.read_by(bytes_max, read_all).await
}

fn read(
    gateway: &Gateway,
    entry: &Entry,
    raw: &serde_json::value::RawValue,
    priority: Priority,
    models: &Catalogue,
    ticket: &mut Ticket,
) -> Result<(Found, Call), Fault> {
    let request = BatchedRequest::read(raw)?;
    ticket.asked_for(request.model());
    ticket.has_body(raw.get().len(), raw.get().bytes());
    gateway.let_in(ticket, entry.clone(), request.model())?;
    let found = Found::among(models, request.model(), request.version().as_deref())?;
    ticket.found(&found.model);
    let call = request.into_call(priority, &found.model)?;
    gateway.permit_call(ticket, &found.model.name, &call)?;
    Ok((found, call))
}

/// Asks for all of them at once and answers when the last is there.
async fn answer(
    gateway: &Gateway,
    prepared: Vec<Prepared>,
    arrival: Arrival,
    coding: Option<Coding>,
) -> Response {
    let id: Arc<str> = Uuid::now_v7().to_string().into();
    let (sent, plan) = send(gateway, prepared);
    let plan = plan.map(Arc::new);
    let known = KnownBatch { id: BatchCallId(id.clone()), requests: sent.len(), plan: plan.clone() };
    let batch = gateway.open_batch_call(known, arrival);
    let all = sent.into_iter().map(|request| end(&batch, request));
    let (tickets, answers): (Vec<Ticket>, Vec<BatchedAnswer>) = join_all(all).await.into_iter().unzip();
    let started = clock::now();
    let response = compressed_response(rest::encode_answers(&id, plan.as_deref(), &answers), coding);
    close(tickets, &answers, clock::since(started));
    let answered = answers.iter().filter(|answer| answer.result.is_ok()).count();
    batch.complete(answered, answers.len() - answered);
    response
}

/// Hands all that can be asked over to the nodes, and says how it was divided over them.
fn send(gateway: &Gateway, prepared: Vec<Prepared>) -> (Vec<Sent>, Option<BatchPlan>) {
    let mut expected = Vec::with_capacity(prepared.len());
    let mut requests = prepared.into_iter().filter_map(|Prepared { mut ticket, id, call }| {
        let made = call.map(|(found, call)| gateway.made_ready(&mut ticket, found, call, None));
        let (request, made) = match made {
            Ok((request, made)) => {
                ticket.asks(&request.series);
                (Some(request), Ok(made))
            }
            Err(fault) => (None, Err(fault)),
        };
        expected.push((ticket, id, made));
        request
    });
    let (answers, plan) = gateway.infer_all(&mut requests);
    drop(requests);
    let mut answers = answers.into_iter();
    let sent = expected.into_iter().map(|(ticket, id, made)| {
        let begun = made.and_then(|made| Ok(made.answered_by(answers.next().ok_or_else(not_asked)?)));
        Sent { ticket, id, begun }
    });
    (sent.collect(), plan)
}

/// The link to the nodes promises an answer for each request.
fn not_asked() -> Fault {
    Fault::new(Code::Internal, "no node was asked; the server goes on")
}

async fn end(batch: &BatchTicket, sent: Sent) -> (Ticket, BatchedAnswer) {
    let Sent { mut ticket, id, begun } = sent;
    ticket.belongs_to(batch);
    let result = match begun {
        Ok(begun) => answered(begun, &mut ticket).await,
        Err(fault) => Err(fault),
    };
    (ticket, BatchedAnswer { id, result })
}

async fn answered(begun: Begun, ticket: &mut Ticket) -> Result<(Outputs, InferReply), Fault> {
    let Answered { outputs, reply, .. } = begun.end(ticket).await?;
    Ok((outputs, reply))
}

fn close(tickets: Vec<Ticket>, answers: &[BatchedAnswer], encode: Micros) {
    for (ticket, answer) in tickets.into_iter().zip(answers) {
        match &answer.result {
            Ok(_) => ticket.close_answered(encode),
            Err(fault) => ticket.close_failed(fault),
        }
    }
}
