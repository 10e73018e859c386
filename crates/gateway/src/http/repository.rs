//! The models folder and past outcomes, in the protocol's terms.

use super::answer::{coded_fault_response, empty_response, fault_response, json_response, negotiated};
use super::body::read_whole;
use super::coding::Coding;
use super::target::Target;
use crate::Gateway;
use crate::door::Entry;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use spinwell_protocol::rest;
use spinwell_security::access::Action;

/// `POST /v2/repository/index`.
pub(super) async fn index(State(gateway): State<Gateway>, entry: Entry, request: Request) -> Response {
    let has_unknown_coding = Coding::of_request(request.headers()).is_err();
    let listed = async {
        let only_ready = rest::read_index_request(&read_whole(request, &gateway).await?.0)?;
        let mut all = gateway.link()?.index().await?;
        all.retain(|entry| entry.is_ready || !only_ready);
        gateway.shown(&entry, Action::ModelRead, &mut all, |listed| &listed.name)?;
        Ok(rest::index(&all))
    };
    match listed.await {
        Ok(all) => json_response(&all),
        Err(fault) => coded_fault_response(&fault, has_unknown_coding),
    }
}

/// `POST /v2/repository/models/{model}/load`.
pub(super) async fn load(State(gateway): State<Gateway>, target: Target, request: Request) -> Response {
    let has_unknown_coding = Coding::of_request(request.headers()).is_err();
    let loaded = async {
        rest::read_repository_request(&read_whole(request, &gateway).await?.0)?;
        gateway.load_model(&target.model).await
    };
    match loaded.await {
        Ok(left_out) => json_response(&rest::loaded(&left_out)),
        Err(fault) => coded_fault_response(&fault, has_unknown_coding),
    }
}

/// `POST /v2/repository/models/{model}/unload`.
pub(super) async fn unload(State(gateway): State<Gateway>, target: Target, request: Request) -> Response {
    let has_unknown_coding = Coding::of_request(request.headers()).is_err();
    let unloaded = async {
        rest::read_repository_request(&read_whole(request, &gateway).await?.0)?;
        gateway.unload_model(&target.model).await
    };
    match unloaded.await {
        // As the protocol has it.
        Ok(()) => empty_response(),
        Err(fault) => coded_fault_response(&fault, has_unknown_coding),
    }
}

/// `GET /v2/models[/{model}[/versions/{version}]]/stats`.
pub(super) async fn statistics(
    State(gateway): State<Gateway>,
    entry: Entry,
    target: Target,
    headers: HeaderMap,
) -> Response {
    let counted = gateway.statistics(Some(&target.model), target.version.as_deref());
    let shown = counted.and_then(|mut all| {
        gateway.shown(&entry, Action::StatisticsRead, &mut all, |counted| &counted.name)?;
        Ok(all)
    });
    match shown {
        Ok(all) => negotiated(rest::statistics(&all).to_string(), &headers),
        Err(fault) => fault_response(&fault),
    }
}
