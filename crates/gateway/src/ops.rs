//! The operations plane: metrics and health, on a listener of its own.
//!
//! It is apart from the inference plane so that it answers while that one is saturated, and so that it can be
//! closed to those who may only predict.

use crate::http::{fault_response, json_response, method_not_allowed, path_not_found};
use crate::{Gateway, Metrics};
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde_json::json;
use std::sync::Arc;

/// The media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The operations plane, to be called as a function or served.
pub fn router(gateway: Gateway, metrics: Arc<Metrics>) -> Router {
    let for_metrics = gateway.clone();
    Router::new()
        .route("/livez", get(async || json_response(&json!({"live": true}))))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(async move || {
                // Asking a card's driver may take its time, and must not hold up other connections.
                let (gateway, metrics) = (for_metrics.clone(), metrics.clone());
                tokio::task::spawn_blocking(move || scrape(&gateway, &metrics)).await.unwrap_or_default()
            }),
        )
        .fallback(path_not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(gateway)
}

async fn ready(State(gateway): State<Gateway>) -> Response {
    match gateway.ready() {
        Ok(()) => json_response(&json!({"ready": true})),
        Err(fault) => fault_response(&fault),
    }
}

fn scrape(gateway: &Gateway, metrics: &Metrics) -> Response {
    match metrics.encode(&gateway.load(), &gateway.models(), &gateway.live_figures()) {
        Ok(text) => {
            let mut response = Response::new(text.into());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
            response
        }
        Err(_) => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}
