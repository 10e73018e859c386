//! The protocol over HTTP: paths, and answers that are always JSON.

mod answer;
mod body;
mod coding;
mod infer;
mod observations;
mod predictions;
mod receipts;
mod repository;
mod routes;
mod states;
mod target;

pub(crate) use answer::{fault_response, json_response, method_not_allowed, negotiated, path_not_found};
pub(crate) use routes::routes;

use crate::{Gateway, VERSION, api};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use spinwell_protocol::rest;
use target::Target;

/// The inference plane over HTTP, to be called as a function or served.
pub fn router(gateway: Gateway) -> Router {
    api::router(routes(gateway.addresses()), &gateway)
        .fallback(path_not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(gateway)
}

async fn server_metadata() -> Response {
    json_response(&rest::server(VERSION))
}

async fn live() -> Response {
    json_response(&json!({"live": true}))
}

async fn ready(State(gateway): State<Gateway>) -> Response {
    match gateway.ready() {
        // The protocol's text says `live` here and means `ready`: clients look for either.
        Ok(()) => json_response(&json!({"ready": true, "live": true})),
        Err(fault) => fault_response(&fault),
    }
}

async fn model_metadata(State(gateway): State<Gateway>, target: Target) -> Response {
    let described = gateway.models().and_then(|models| {
        let model = models.find(&target.model, target.version.as_deref())?;
        Ok(rest::model(model, &models))
    });
    match described {
        Ok(document) => json_response(&document),
        Err(fault) => fault_response(&fault),
    }
}

async fn model_ready(State(gateway): State<Gateway>, target: Target) -> Response {
    match gateway.find(&target.model, target.version.as_deref()) {
        Ok(model) => json_response(&json!({"name": model.name.as_str(), "ready": true})),
        Err(fault) => fault_response(&fault),
    }
}

async fn model_config(State(gateway): State<Gateway>, target: Target) -> Response {
    match gateway.find(&target.model, target.version.as_deref()) {
        Ok(model) => json_response(&rest::config(&model)),
        Err(fault) => fault_response(&fault),
    }
}

#[cfg(test)]
mod tests;
