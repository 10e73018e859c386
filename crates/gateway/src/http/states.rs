//! The states of sequences, taken away and brought back.

use super::answer::{coded_fault_response, fault_response, json_response, state_response};
use super::body::read_whole;
use super::coding::Coding;
use super::target::Target;
use crate::Gateway;
use crate::door::Entry;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use spinwell_core::{Code, Fault, SequenceKey};
use spinwell_protocol::{StateAnswer, StateRequest, checked_sequence_id, reason};
use tokio::time::timeout;

/// `GET /v1/models/{model}/sequences/{sequence}/state`.
pub(super) async fn get(State(gateway): State<Gateway>, entry: Entry, target: Target) -> Response {
    match manage(&gateway, &entry, &target, StateRequest::Get).await {
        Ok((_, answer)) => state_response(answer),
        Err(fault) => fault_response(&fault),
    }
}

/// `PUT /v1/models/{model}/sequences/{sequence}/state`.
pub(super) async fn put(
    State(gateway): State<Gateway>,
    entry: Entry,
    target: Target,
    request: Request,
) -> Response {
    let has_unknown_coding = Coding::of_request(request.headers()).is_err();
    let put = async {
        let (bytes, _share) = read_whole(request, &gateway).await?;
        let (key, answer) = manage(&gateway, &entry, &target, StateRequest::Put(bytes.to_vec())).await?;
        gateway.replaced_state(&key, answer.step);
        Ok((key, answer))
    };
    told(put.await, has_unknown_coding)
}

/// `DELETE /v1/models/{model}/sequences/{sequence}/state`.
pub(super) async fn delete(State(gateway): State<Gateway>, entry: Entry, target: Target) -> Response {
    told(manage(&gateway, &entry, &target, StateRequest::Delete).await, false)
}

/// `POST /v1/models/{model}/sequences/{sequence}/fork`.
pub(super) async fn fork(
    State(gateway): State<Gateway>,
    entry: Entry,
    target: Target,
    request: Request,
) -> Response {
    #[derive(Deserialize)]
    struct Asked {
        to: String,
    }
    let has_unknown_coding = Coding::of_request(request.headers()).is_err();
    let forked = async {
        let (bytes, _share) = read_whole(request, &gateway).await?;
        let invalid = |why: &str| {
            Fault::new(Code::RequestInvalid, format!("the body must be {{\"to\": \"ID\"}}: {why}"))
        };
        // The library takes an array for an object of that many fields.
        if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
            return Err(invalid("it is no JSON object"));
        }
        let asked: Asked = serde_json::from_slice(&bytes).map_err(|error| invalid(&reason(&error)))?;
        let to = checked_sequence_id(&asked.to)?;
        let (key, answer) = manage(&gateway, &entry, &target, StateRequest::Fork { to: to.clone() }).await?;
        let key = SequenceKey { id: to, ..key };
        gateway.replaced_state(&key, answer.step);
        Ok((key, answer))
    };
    told(forked.await, has_unknown_coding)
}

async fn manage(
    gateway: &Gateway,
    entry: &Entry,
    target: &Target,
    request: StateRequest,
) -> Result<(SequenceKey, StateAnswer), Fault> {
    let caller = entry.caller.clone()?;
    let key = gateway.sequence(caller.tenant(), &target.model, checked_sequence_id(&target.sequence)?)?;
    let limit = gateway.limits().deadline;
    let asked = gateway.link()?.sequence_state(key.clone(), request.into());
    let answer = timeout(limit.into(), asked).await.unwrap_or_else(|_| {
        let message = format!(
            "there was no answer within {} ms; a change may have been made all the same: look at the state before you try again",
            limit.0
        );
        Err(Fault::new(Code::DeadlineExceeded, message))
    });
    Ok((key, answer?))
}

fn told(result: Result<(SequenceKey, StateAnswer), Fault>, has_unknown_coding: bool) -> Response {
    match result {
        Ok((key, answer)) => {
            let (model, id) = (key.model.as_str(), key.id.as_str());
            json_response(&json!({"model": model, "sequence_id": id, "sequence_step": answer.step}))
        }
        Err(fault) => coded_fault_response(&fault, has_unknown_coding),
    }
}
