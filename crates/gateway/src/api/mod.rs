//! What can be asked over HTTP, and what comes back: one table of routes.
//!
//! Each plane lists its routes once, as [`Route`]s. The router that answers is made from that list, and so is the OpenAPI
//! document at `/openapi.json` and the page at `/docs`: what is served is described, and what is described is served.
//! Statuses are not written down by hand either. A route names the codes it can fail with, and each code has its status.

mod document;
mod page;
mod schema;
mod shapes;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use document::document;
pub(crate) use page::{SECURITY_POLICY, page};
pub(crate) use schema::Schema;

use crate::Gateway;
use crate::door::{Need, guarded};
use axum::Router;
use axum::body::Bytes;
use axum::handler::Handler;
use axum::http::HeaderMap;
use axum::routing::{MethodRouter, delete, get, post, put};
use serde_json::Value;
use spinwell_core::Code;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

/// Where the document is, on both planes.
pub(crate) const DOCUMENT_PATH: &str = "/openapi.json";

/// The listeners that speak HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plane {
    /// Predictions, models, sequences.
    Inference,
    /// Metrics, health, documentation.
    Operations,
}

/// Where the planes listen, which the description of each tells of the other.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The inference plane over HTTP.
    pub http: SocketAddr,
    /// The operations plane.
    pub ops: SocketAddr,
    /// Whether both are asked over TLS.
    pub is_https: bool,
}

impl Default for Addresses {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { http: local(8000), ops: local(8002), is_https: false }
    }
}

impl Addresses {
    /// How a URL of either begins.
    fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// Host and port of a plane, as they stand in a URL. Who listens everywhere is found here at least.
    fn of(&self, plane: Plane) -> (String, String) {
        let address = match plane {
            Plane::Inference => self.http,
            Plane::Operations => self.ops,
        };
        let host = match address.ip() {
            ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        (host, address.port().to_string())
    }
}

/// One method of one path: who answers, and what callers may know of it.
pub(crate) struct Route<S> {
    path: String,
    method: &'static str,
    handler: MethodRouter<S>,
    operation: Operation,
}

impl<S: Clone + Send + Sync + 'static> Route<S> {
    pub(crate) fn get<T: 'static>(path: &str, handler: impl Handler<T, S>, operation: Operation) -> Self {
        Self { path: path.to_owned(), method: "get", handler: get(handler), operation }
    }

    pub(crate) fn post<T: 'static>(path: &str, handler: impl Handler<T, S>, operation: Operation) -> Self {
        Self { path: path.to_owned(), method: "post", handler: post(handler), operation }
    }

    pub(crate) fn put<T: 'static>(path: &str, handler: impl Handler<T, S>, operation: Operation) -> Self {
        Self { path: path.to_owned(), method: "put", handler: put(handler), operation }
    }

    pub(crate) fn delete<T: 'static>(path: &str, handler: impl Handler<T, S>, operation: Operation) -> Self {
        Self { path: path.to_owned(), method: "delete", handler: delete(handler), operation }
    }
}

#[cfg(test)]
impl<S> Route<S> {
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn method(&self) -> &'static str {
        self.method
    }

    pub(crate) fn need(&self) -> Need {
        self.operation.need
    }
}

/// The route of the document itself, which is made when it is first asked for.
pub(crate) fn document_route<S>(plane: Plane, addresses: Addresses) -> Route<S>
where
    S: Clone + Send + Sync + 'static,
{
    let made: Arc<OnceLock<Bytes>> = Arc::default();
    let answer = async move |headers: HeaderMap| {
        let text = made.get_or_init(|| document(plane, &addresses).to_string().into());
        crate::http::negotiated(text.clone(), &headers)
    };
    let schema = Schema::map(Schema::any(""), "An OpenAPI 3.1 document.");
    let operation = Operation::new("openapi", "This document", Need::Nothing)
        .about("What both planes offer over HTTP, made from the routes themselves.")
        .compresses()
        .gives(Content::json(schema, serde_json::json!({"openapi": "3.1.0"})));
    Route::get(DOCUMENT_PATH, answer, operation)
}

/// The router of these routes, each behind the door that it needs.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(
    routes: Vec<Route<S>>,
    gateway: &Gateway,
) -> Router<S> {
    routes.into_iter().fold(Router::new(), |router, route| {
        router.route(&route.path, guarded(route.handler, gateway, route.operation.need))
    })
}

/// What can go wrong before anybody looks at what is asked.
const AT_THE_DOOR: &[Code] = &[
    Code::CredentialsMissing,
    Code::CredentialsRefused,
    Code::NotPermitted,
    Code::CallerHeldBack,
    Code::ModelNotFound,
    Code::LedgerFailed,
    Code::Internal,
];

/// What one method of one path takes and gives.
pub(crate) struct Operation {
    /// The name that generated clients call it by.
    id: &'static str,
    /// What it does, in a line.
    summary: &'static str,
    /// What its caller must be allowed.
    need: Need,
    /// What else is worth knowing.
    about: &'static str,
    /// Headers of the request that matter to it.
    headers: Vec<Header>,
    /// What its query may say.
    query: Vec<Parameter>,
    /// What a body may be; nothing where none is read.
    takes: Vec<Content>,
    /// Whether a body must be there.
    needs_body: bool,
    /// Whether bodies may be compressed.
    compresses: bool,
    /// The body of a 200, in each form that it may have; nothing where it is empty.
    gives: Vec<Content>,
    /// Headers of a 200.
    answer_headers: Vec<Header>,
    /// The codes that it can fail with, beside those that every path can.
    fails: Vec<Code>,
}

impl Operation {
    pub(crate) fn new(id: &'static str, summary: &'static str, need: Need) -> Self {
        let fails = match need {
            Need::Nothing => Vec::new(),
            Need::Predict => [AT_THE_DOOR, &[Code::QuotaExceeded]].concat(),
            _ => AT_THE_DOOR.to_vec(),
        };
        Self {
            id,
            summary,
            need,
            about: "",
            headers: Vec::new(),
            query: Vec::new(),
            takes: Vec::new(),
            needs_body: false,
            compresses: false,
            gives: Vec::new(),
            answer_headers: Vec::new(),
            fails,
        }
    }

    pub(crate) fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    pub(crate) fn header(mut self, header: Header) -> Self {
        self.headers.push(header);
        self
    }

    pub(crate) fn query(mut self, parameter: Parameter) -> Self {
        self.query.push(parameter);
        self
    }

    /// A body that may be sent.
    pub(crate) fn may_take(mut self, content: Content) -> Self {
        self.takes.push(content);
        self.fails(&[Code::BodyTooLarge, Code::BodyTimeout, Code::FramingInvalid, Code::QueueFull])
    }

    /// A body that must be sent.
    pub(crate) fn takes(self, content: Content) -> Self {
        Self { needs_body: true, ..self }.may_take(content)
    }

    /// The answer may be compressed; what is taken always may be.
    pub(crate) fn compresses(self) -> Self {
        Self { compresses: true, ..self }
    }

    pub(crate) fn gives(mut self, content: Content) -> Self {
        self.gives.push(content);
        self
    }

    pub(crate) fn gives_header(mut self, header: Header) -> Self {
        self.answer_headers.push(header);
        self
    }

    pub(crate) fn fails(mut self, codes: &[Code]) -> Self {
        self.fails.extend(codes);
        self
    }
}

/// A header, of a request or of an answer. None is required.
pub(crate) struct Header {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) schema: Schema,
}

/// A text in the query of a request.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) is_required: bool,
    pub(crate) example: &'static str,
}

/// A body in one form.
pub(crate) struct Content {
    media_type: &'static str,
    schema: Schema,
    example: Option<Value>,
}

impl Content {
    /// A JSON document.
    pub(crate) fn json(schema: Schema, example: Value) -> Self {
        Self { media_type: "application/json", schema, example: Some(example) }
    }

    /// Bytes without a form that a schema could tell.
    pub(crate) fn bytes(about: &str) -> Self {
        Self { media_type: "application/octet-stream", schema: Schema::bytes(about), example: None }
    }

    /// Text of that type.
    pub(crate) fn text(media_type: &'static str, about: &str) -> Self {
        Self { media_type, schema: Schema::text(about), example: None }
    }
}
