//! The look at the caller before a route's handler.

use super::act::{Act, acted, refused};
use super::need::{Need, resource};
use super::{Entry, Refusal, Seen};
use crate::Gateway;
use crate::http::fault_response;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::MethodRouter;
use spinwell_core::{Code, Fault};
use spinwell_protocol::quoted;
use spinwell_runtime::access::of_another_site;
use spinwell_security::access::{Action, Resource};
use spinwell_security::guard::Caller;

/// The code of an answer that is a refusal, beside its status.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coded(pub(crate) Code);

/// What stands before a route.
#[derive(Clone)]
struct Guarded {
    gateway: Gateway,
    need: Need,
}

/// A route's handler behind a look at its caller.
pub(crate) fn guarded<S>(handler: MethodRouter<S>, gateway: &Gateway, need: Need) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    if need == Need::Nothing {
        return handler;
    }
    let gateway = gateway.clone();
    handler.route_layer(from_fn_with_state(Guarded { gateway, need }, enter))
}

async fn enter(State(Guarded { gateway, need }): State<Guarded>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let entry = gateway.door().enter(&parts.method, &parts.headers, &parts.extensions).await;
    parts.extensions.insert(entry.clone());
    if need == Need::Predict {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let caller = match entry.let_in() {
        Ok(caller) => caller,
        Err(fault) => return fault_response(&fault),
    };
    let model = match model_of(&mut parts).await {
        Ok(model) => model,
        Err(fault) => return fault_response(&fault),
    };
    let name = model.clone().unwrap_or_else(|| parts.uri.path().to_owned());
    let response = match permitted(&gateway, need, &entry, caller, model.as_deref(), &parts) {
        Err(fault) => fault_response(&gateway.door().counted(fault)),
        Ok(None) => next.run(Request::from_parts(parts, body)).await,
        Ok(Some(act)) => {
            let work = next.run(Request::from_parts(parts, body));
            let code = |response: &Response| response.extensions().get::<Coded>().map(|coded| coded.0);
            acted(&gateway, &entry, act, code, work).await.unwrap_or_else(|fault| fault_response(&fault))
        }
    };
    let code = response.extensions().get::<Coded>().map(|coded| coded.0);
    gateway.door().observe(&entry, Seen::other("path", &name, code));
    response
}

async fn model_of(parts: &mut Parts) -> Result<Option<String>, Fault> {
    let parameters = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| no_text())?;
    let model = parameters.iter().find(|(key, _)| *key == "model");
    Ok(model.map(|(_, value)| value.to_owned()))
}

/// A path that is no text leads nowhere.
pub(crate) fn no_text() -> Fault {
    Fault::new(Code::PathNotFound, "the path is not valid text; use percent-encoded UTF-8")
}

/// What is to be written down where the caller may do that; nothing where it is only looked at. That he may not is written down here.
fn permitted(
    gateway: &Gateway,
    need: Need,
    entry: &Entry,
    caller: &Caller,
    model: Option<&str>,
    parts: &Parts,
) -> Result<Option<Act>, Fault> {
    let Some((action, resource)) = asked(gateway, need, caller, model)? else { return Ok(None) };
    let place = format!("{} {}", parts.method, parts.uri.path());
    let permitted = gateway.door().permit(caller, action, &resource);
    let permitted = permitted.and_then(|policy| match of_another_site(&parts.headers) {
        Some(fault) if action.is_recorded() => Err(Refusal { fault, policy }),
        _ => Ok(policy),
    });
    match permitted {
        Ok(policy) => Ok(action.is_recorded().then_some(Act { action, resource, policy, place })),
        Err(Refusal { fault, policy }) => {
            refused(gateway, entry, &Act { action, resource, policy, place }, fault.code());
            Err(fault)
        }
    }
}

/// What a route asks of this caller.
fn asked(
    gateway: &Gateway,
    need: Need,
    caller: &Caller,
    model: Option<&str>,
) -> Result<Option<(Action, Resource)>, Fault> {
    let named = || {
        let name = model.unwrap_or_default();
        let unknown = || Fault::new(Code::ModelNotFound, format!("no model is named {}", quoted(name)));
        name.parse().map_err(|_| unknown())
    };
    Ok(match need {
        Need::Nothing | Need::Predict => None,
        Need::Region(_) | Need::Ledger(_) => resource(need, caller.tenant()),
        Need::Model(action) => Some((action, gateway.door().model(&named()?))),
        Need::Sequence(action) => {
            Some((action, Resource::Sequence { model: named()?, tenant: caller.tenant().clone() }))
        }
    })
}

impl<S: Send + Sync> FromRequestParts<S> for Entry {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let entry = parts.extensions.get::<Entry>().cloned();
        // Every route has a door; one without would let nobody in.
        entry.ok_or_else(|| {
            fault_response(&Fault::new(Code::Internal, "nobody has looked at the caller; the server goes on"))
        })
    }
}
