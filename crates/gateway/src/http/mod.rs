//! The protocol over HTTP: paths, and answers that are always JSON.

mod answer;
mod body;
mod coding;
mod infer;
mod observations;
mod predictions;
mod repository;
mod states;
mod target;

pub(crate) use answer::{fault_response, json_response, method_not_allowed, path_not_found};

use crate::{Gateway, VERSION};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;
use spinwell_protocol::rest;
use target::Target;

/// The inference plane over HTTP, to be called as a function or served.
pub fn router(gateway: Gateway) -> Router {
    let mut router = Router::new();
    for root in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        router = router
            .route(root, get(model_metadata))
            .route(&format!("{root}/ready"), get(model_ready))
            .route(&format!("{root}/config"), get(model_config))
            .route(&format!("{root}/stats"), get(repository::statistics))
            .route(&format!("{root}/infer"), post(infer::infer));
    }
    router
        .route("/v2/models/stats", get(repository::statistics))
        .route("/v2/repository/index", post(repository::index))
        .route("/v2/repository/models/{model}/load", post(repository::load))
        .route("/v2/repository/models/{model}/unload", post(repository::unload))
        .route("/v1/predictions", post(predictions::predictions))
        .route("/v1/models/{model}/observations", post(observations::observe))
        .route("/v1/models/{model}/accuracy", get(observations::accuracy))
        .route(
            "/v1/models/{model}/sequences/{sequence}/state",
            get(states::get).put(states::put).delete(states::delete),
        )
        .route("/v1/models/{model}/sequences/{sequence}/fork", post(states::fork))
        .route("/v2", get(server_metadata))
        .route("/v2/", get(server_metadata))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
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
    let models = gateway.models();
    match models.find(&target.model, target.version.as_deref()) {
        Ok(model) => json_response(&rest::model(model, &models)),
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
