//! What happens around the generated gRPC server.
//!
//! The library refuses some requests before our code sees them: a message over the limit, one that is not
//! protobuf, a method that does not exist. Such a request too must carry our code and, where it asked for a
//! prediction, leave an outcome. So the ticket is opened here, outside the library, and lent to the service;
//! if the service never took it, the library's own status closes it.

use super::metered::Metered;
use super::reported::reported;
use crate::Gateway;
use crate::door::{Entry, Need, of_method, resource};
use crate::record::Ticket;
use axum::body::{Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use spinwell_core::{Code, Fault, Protocol};
use spinwell_protocol::{quoted, status};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;
use tonic::Status;
use tower_service::Service;

/// The path of the method that predicts once.
const INFER_PATH: &str = "/inference.GRPCInferenceService/ModelInfer";

/// The path of the method that predicts for each message of a stream.
const STREAM_PATH: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// A ticket on its way from the edge to the service.
#[derive(Clone)]
pub(super) struct LentTicket(Arc<Mutex<Option<Ticket>>>);

impl LentTicket {
    fn new(ticket: Ticket) -> Self {
        Self(Arc::new(Mutex::new(Some(ticket))))
    }

    /// This is who sends the request.
    fn entered(&self, entry: &Entry) {
        if let Some(ticket) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // Whoever does not come in is told so by whoever asks.
            let _ = ticket.entered(entry.clone());
        }
    }

    /// The ticket, unless it was taken before.
    pub(super) fn take(&self) -> Option<Ticket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The gRPC server with our codes and outcomes around it.
#[derive(Clone)]
pub struct GrpcEdge<S> {
    gateway: Gateway,
    server: S,
}

impl<S> GrpcEdge<S> {
    pub(super) fn new(gateway: Gateway, server: S) -> Self {
        Self { gateway, server }
    }

    /// How long a call may take from its head to its answer: its message has to arrive, then the deadline
    /// counts. Without this, a caller who never sends his message would hold a stream for ever.
    fn patience(&self) -> Duration {
        let limits = self.gateway.limits();
        Duration::from(limits.body_timeout) + Duration::from(limits.deadline.max(limits.deadline_max))
    }
}

fn is_compressed(headers: &HeaderMap) -> bool {
    headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity")
}

fn too_slow(patience: Duration) -> Response<tonic::body::Body> {
    let message = format!("the call was not complete within {} ms", patience.as_millis());
    Status::deadline_exceeded(message).into_http()
}

impl<S, B> Service<Request<B>> for GrpcEdge<S>
where
    S: Service<Request<Metered<B>>, Response = Response<tonic::body::Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.server.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let lent = (request.uri().path() == INFER_PATH).then(|| {
            LentTicket::new(self.gateway.open_ticket(Protocol::Grpc, self.gateway.trace(request.headers())))
        });
        if let Some(lent) = &lent {
            request.extensions_mut().insert(lent.clone());
        }
        let mut share = self.gateway.body_share();
        // The library undoes compressed messages where nothing can be counted, up to the limit of a message.
        let reserved = match is_compressed(request.headers()) {
            true => share.take(self.gateway.limits().body_bytes),
            false => Ok(()),
        };
        let share = Arc::new(Mutex::new(share));
        let path = request.uri().path();
        let is_stream = path == STREAM_PATH;
        let report = match is_stream || lent.is_some() {
            true => self.gateway.load_report_wanted(request.headers()).map(|_| self.gateway.clone()),
            false => None,
        };
        // For the caller of a method that does not exist.
        let path = quoted(path);
        if is_stream {
            request.extensions_mut().insert(share.clone());
        }
        let message_limit = self.gateway.limits().body_timeout;
        let metered = |body| match Metered::new(body, share.clone()) {
            metered if is_stream => metered.streamed(message_limit),
            metered => metered,
        };
        let mut request = request.map(metered);
        let patience = self.patience();
        let gateway = self.gateway.clone();
        // The one that is ready answers.
        let next = self.server.clone();
        let mut server = std::mem::replace(&mut self.server, next);
        Box::pin(async move {
            let let_in = match reserved {
                Ok(()) => let_in(&gateway, &mut request, lent.as_ref()).await,
                Err(fault) => Err(fault),
            };
            let mut response = match let_in {
                Ok(()) => {
                    let answer = server.call(request);
                    timeout(patience, answer).await.unwrap_or_else(|_| Ok(too_slow(patience)))?
                }
                Err(fault) => status::to_grpc(&fault).into_http(),
            };
            // The message is decoded and answered: what it held is free.
            drop(share);
            if is_no_method(&response) {
                let message = format!("there is no method {path} here");
                response = status::to_grpc(&Fault::new(Code::PathNotFound, message)).into_http();
            }
            let code = code_of(&mut response);
            if let Some(ticket) = lent.and_then(|lent| lent.take()) {
                ticket.close_with(code.unwrap_or(Code::Internal));
            }
            Ok(match report {
                Some(gateway) => reported(&gateway, response),
                None => response,
            })
        })
    }
}

/// Looks at the caller, unless the method needs none.
async fn let_in<B>(
    gateway: &Gateway,
    request: &mut Request<B>,
    lent: Option<&LentTicket>,
) -> Result<(), Fault> {
    // Of a method that does not exist the library says so.
    let Some(need) = of_method(request.uri().path()).filter(|need| *need != Need::Nothing) else {
        return Ok(());
    };
    let entry = gateway.door().enter(request.method(), request.headers(), request.extensions()).await;
    if let Some(lent) = lent {
        lent.entered(&entry);
    }
    let caller = entry.let_in()?;
    if let Some((action, resource)) = resource(need, caller.tenant()) {
        let permitted = gateway.door().permit(caller, action, &resource);
        permitted.map_err(|refusal| gateway.door().counted(refusal.fault))?;
    }
    request.extensions_mut().insert(entry);
    Ok(())
}

/// Whether the library knew no such method: it says so without a word, unlike of all else that it does not offer.
fn is_no_method(response: &Response<tonic::body::Body>) -> bool {
    let headers = response.headers();
    let is_unimplemented = headers.get(Status::GRPC_STATUS).is_some_and(|status| status == "12");
    is_unimplemented && !headers.contains_key(Status::GRPC_MESSAGE)
}

/// The code of a status that is not OK. Where the library made the status, our code is added to it, and what was the caller's
/// fault is called so.
fn code_of(response: &mut Response<tonic::body::Body>) -> Option<Code> {
    if let Some(ours) = response.headers().get(status::GRPC_CODE_KEY) {
        return status::named(ours.as_bytes());
    }
    let library = response.headers().get(Status::GRPC_STATUS)?.to_str().ok()?.parse::<i32>().ok()?;
    let library = tonic::Code::from_i32(library);
    if library == tonic::Code::Ok {
        return None;
    }
    let code = status::from_library(library);
    let retryable = if code.retryable() { "true" } else { "false" };
    let headers = response.headers_mut();
    headers.insert(Status::GRPC_STATUS, HeaderValue::from(status::blamed(library) as i32));
    headers.insert(status::GRPC_CODE_KEY, HeaderValue::from_static(code.as_str()));
    headers.insert(status::GRPC_RETRYABLE_KEY, HeaderValue::from_static(retryable));
    Some(code)
}
