//! The models folder and past outcomes, in the protocol's terms.

use super::answer::{empty_response, fault_response, json_response};
use super::body;
use super::target::Target;
use crate::Gateway;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use spinwell_core::Fault;
use spinwell_protocol::rest;

/// `POST /v2/repository/index`.
pub(super) async fn index(State(gateway): State<Gateway>, request: Body) -> Response {
    let listed = async {
        let only_ready = rest::read_index_request(&read(&gateway, request).await?)?;
        let mut all = gateway.link().index().await?;
        all.retain(|entry| entry.is_ready || !only_ready);
        Ok(rest::index(&all))
    };
    listed.await.map_or_else(|fault: Fault| fault_response(&fault), |all| json_response(&all))
}

/// `POST /v2/repository/models/{model}/load`.
pub(super) async fn load(State(gateway): State<Gateway>, target: Target, request: Body) -> Response {
    let loaded = async {
        rest::read_repository_request(&read(&gateway, request).await?)?;
        gateway.load_model(&target.model).await
    };
    done(loaded.await)
}

/// `POST /v2/repository/models/{model}/unload`.
pub(super) async fn unload(State(gateway): State<Gateway>, target: Target, request: Body) -> Response {
    let unloaded = async {
        rest::read_repository_request(&read(&gateway, request).await?)?;
        gateway.unload_model(&target.model).await
    };
    done(unloaded.await)
}

/// `GET /v2/models[/{model}[/versions/{version}]]/stats`.
pub(super) async fn statistics(State(gateway): State<Gateway>, target: Target) -> Response {
    match gateway.statistics(Some(&target.model), target.version.as_deref()) {
        Ok(all) => json_response(&rest::statistics(&all)),
        Err(fault) => fault_response(&fault),
    }
}

async fn read(gateway: &Gateway, request: Body) -> Result<Bytes, Fault> {
    body::read(request, gateway.limits(), &mut gateway.body_share()).await
}

/// An empty answer, as the protocol has it.
fn done(result: Result<(), Fault>) -> Response {
    result.map_or_else(|fault| fault_response(&fault), |()| empty_response())
}
