//! The operations plane: metrics, health and documentation, on a listener of its own.
//!
//! It is apart from the inference plane so that it answers while that one is saturated, and so that it can be
//! closed to those who may only predict.

use crate::api::{self, Addresses, Content, Operation, Plane, Route, Schema, document_route};
use crate::door::Need;
use crate::http::{fault_response, json_response, method_not_allowed, path_not_found};
use crate::{Gateway, Metrics};
use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::json;
use spinwell_core::{Code, Fault};
use spinwell_security::access::Action;
use std::sync::Arc;

/// The media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The media type of the page.
const HTML: &str = "text/html; charset=utf-8";

/// The media type of a signed note.
const NOTE: &str = "text/plain; charset=utf-8";

/// What the plane answers from.
#[derive(Clone)]
pub(crate) struct Operations {
    gateway: Gateway,
    metrics: Arc<Metrics>,
}

impl Operations {
    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
    }
}

/// The operations plane, to be called as a function or served.
pub fn router(gateway: Gateway, metrics: Arc<Metrics>) -> Router {
    api::router(routes(gateway.addresses()), &gateway)
        .fallback(path_not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Operations { gateway, metrics })
}

/// Every route, with what callers may know of it.
pub(crate) fn routes(addresses: Addresses) -> Vec<Route<Operations>> {
    let live = Operation::new("livez", "Whether the process runs", Need::Nothing)
        .gives(Content::json(Schema::named("Live"), json!({"live": true})));
    let ready_operation = Operation::new("readyz", "Whether the server takes requests", Need::Nothing)
        .gives(Content::json(Schema::named("Ready"), json!({"ready": true})))
        .fails(&[Code::Starting, Code::Stopping, Code::NodeUnreachable]);
    let metrics_operation =
        Operation::new("metrics", "Metrics for Prometheus", Need::Region(Action::MetricsRead))
            .about("`spinwell_*` with units in the names, and Triton's `nv_inference_*` names as aliases.")
            .gives(Content::text(OPEN_METRICS, "OpenMetrics."))
            .fails(&[Code::Internal]);
    let docs_operation = Operation::new("docs", "This document as a page", Need::Nothing)
        .about("Without scripts and without anything from other hosts.")
        .gives(Content::text(HTML, "HTML."));
    let checkpoint_operation = Operation::new("ledgerCheckpoint", "How far the ledger has come, signed", Need::Nothing)
        .about("The newest checkpoint of this server's log, a C2SP signed note. Whoever keeps it sees later whether anything was cut off.")
        .gives(Content::text(NOTE, "A signed note."))
        .fails(&[Code::NotOffered, Code::LedgerFailed, Code::LedgerWrong, Code::Internal]);
    let own = vec![
        Route::get("/livez", async || json_response(&json!({"live": true})), live),
        Route::get("/readyz", ready, ready_operation),
        Route::get("/metrics", metrics, metrics_operation),
        document_route(Plane::Operations, addresses),
        Route::get("/docs", docs, docs_operation),
        Route::get("/v1/ledger/checkpoint", checkpoint, checkpoint_operation),
    ];
    own.into_iter().chain(crate::region::routes()).collect()
}

async fn ready(State(Operations { gateway, .. }): State<Operations>) -> Response {
    match gateway.ready() {
        Ok(()) => json_response(&json!({"ready": true})),
        Err(fault) => fault_response(&fault),
    }
}

async fn metrics(State(Operations { gateway, metrics }): State<Operations>) -> Response {
    // Asking a card's driver may take its time, and must not hold up other connections.
    let page = tokio::task::spawn_blocking(move || {
        let capacity = gateway.capacity();
        metrics.encode(&gateway.load(), &gateway.catalogue(), &gateway.live_figures(), capacity.as_ref())
    })
    .await;
    match page {
        Ok(Ok(page)) => of_type(OPEN_METRICS, page),
        _ => fault_response(&Fault::new(
            Code::Internal,
            "the metrics could not be written; the server goes on",
        )),
    }
}

async fn checkpoint(State(Operations { gateway, .. }): State<Operations>) -> Response {
    match gateway.checkpoint().await {
        Ok(note) => of_type(NOTE, note),
        Err(fault) => fault_response(&fault),
    }
}

async fn docs(State(Operations { gateway, .. }): State<Operations>) -> Response {
    let mut response = of_type(HTML, api::page(&gateway.addresses()));
    let headers: [(HeaderName, &'static str); 2] =
        [(CONTENT_SECURITY_POLICY, api::SECURITY_POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn of_type(content_type: &'static str, body: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
