//! The look at who orders something, and the ledger's lines about it.
//!
//! Who comes in and what he may, [`Doors`] say, as at a gateway. What is ordered stands in the ledger before it is done, or it is not done.

use crate::ops::fault;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::MethodRouter;
use spinwell_core::{Code, Fault, NodeId};
use spinwell_ledger::Event;
use spinwell_ledger::ocsf::{self, Act, Source};
use spinwell_policy::refused_acts::RefusedActs;
use spinwell_runtime::access::{Doors, of_another_site, shown};
use spinwell_runtime::at_rest::Veil;
use spinwell_runtime::clock;
use spinwell_security::access::{Action, Resource};
use spinwell_security::certificate::Certificate;
use spinwell_security::guard::{Caller, NotPermitted};
use spinwell_store::ledger::Writer;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Who comes in, and where what he orders is written down.
#[derive(Clone)]
pub(crate) struct Door {
    doors: Arc<Doors>,
    ledger: Option<Book>,
    name: NodeId,
    refused_acts: Arc<Mutex<RefusedActs>>,
    began: Instant,
}

/// A ledger, and what encrypts who is named in it.
#[derive(Clone)]
pub struct Book {
    /// What writes it.
    pub writer: Arc<Writer>,
    /// What encrypts names.
    pub veil: Veil,
}

/// Something that somebody may have done.
struct Order {
    caller: Caller,
    action: Action,
    policy: Arc<str>,
    /// Method and path.
    place: String,
}

/// The code of an answer that is a refusal, beside its status.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coded(pub(crate) Code);

impl Door {
    pub(crate) fn new(doors: Arc<Doors>, ledger: Option<Book>, name: NodeId) -> Self {
        Self { doors, ledger, name, refused_acts: Arc::default(), began: clock::now() }
    }

    /// Who sends a request, and by which policies he may do that.
    async fn let_in(&self, action: Action, request: &Parts) -> Result<Order, Fault> {
        let certificate = request.extensions.get::<Arc<Certificate>>().map(|shown| &**shown);
        let caller = self.doors.enter(shown(&request.headers, certificate)).await;
        let caller = caller.map_err(|not_in| not_in.fault())?;
        let place = format!("{} {}", request.method, request.uri.path());
        let permitted = self.doors.guard().permit(&caller, action, &Resource::Region);
        let permitted = permitted.map(|policy| policy.unwrap_or_else(|| "".into()));
        let permitted = permitted.and_then(|policy| match of_another_site(&request.headers) {
            Some(fault) if action.is_recorded() => Err(NotPermitted { fault, policy }),
            _ => Ok(policy),
        });
        match permitted {
            Ok(policy) => Ok(Order { caller, action, policy, place }),
            Err(NotPermitted { fault, policy }) => {
                let order = Order { caller, action, policy, place };
                self.refused(&order, fault.code()).await?;
                Err(fault)
            }
        }
    }

    /// Writes down that somebody wanted to order something, and was refused; where he tries again and again, only now and then.
    async fn refused(&self, order: &Order, code: Code) -> Result<(), Fault> {
        if !order.action.is_recorded() {
            return Ok(());
        }
        let count = {
            let mut acts = self.refused_acts.lock().unwrap_or_else(PoisonError::into_inner);
            acts.refused(clock::since(self.began), order.caller.principal())
        };
        match count {
            Some(count) => self.write(order, ocsf::Phase::Failed(code.as_str()), count).await,
            None => Ok(()),
        }
    }

    /// Writes down where an order is, and waits until that is on the disk.
    async fn write(&self, order: &Order, phase: ocsf::Phase<'_>, count: u64) -> Result<(), Fault> {
        let Some(Book { writer, veil }) = self.ledger.clone() else { return Ok(()) };
        let made = veil.ready_for(&order.caller.tenant().0).await;
        let event = made.and_then(|()| self.event(&veil, order, phase, count));
        let event = event.inspect_err(|_| writer.refuse())?;
        let failed = |_| Fault::new(Code::LedgerFailed, "the ledger's writer is gone");
        let written = tokio::task::spawn_blocking(move || writer.event(event)).await.map_err(failed)?;
        written.map_err(|error| error.fault())
    }

    fn event(&self, veil: &Veil, order: &Order, phase: ocsf::Phase<'_>, count: u64) -> Result<Event, Fault> {
        let tenant = &order.caller.tenant().0;
        let principal = veil.seal(tenant, "principal", order.caller.principal())?;
        let key = order.caller.key().map(|id| id.to_string()).unwrap_or_default();
        let source = Source { log: &self.name.0, version: env!("CARGO_PKG_VERSION"), at: clock::unix() };
        let act = Act {
            activity: (3, "Update"),
            principal: &principal,
            key: &key,
            tenant,
            address: "",
            operation: order.action.name(),
            place: &order.place,
            resource: ("Region", "region"),
            policy: &order.policy,
            phase,
            count,
        };
        ocsf::activity(source, act).map_err(|error| Fault::new(Code::LedgerFailed, error.to_string()))
    }
}

/// A route's handler behind a look at its caller, where it needs one.
pub(crate) fn guarded<S>(handler: MethodRouter<S>, door: &Door, need: Option<Action>) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    match need {
        None => handler,
        Some(action) => handler.route_layer(from_fn_with_state((door.clone(), action), enter)),
    }
}

async fn enter(State((door, action)): State<(Door, Action)>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let order = match door.let_in(action, &parts).await {
        Ok(order) => order,
        Err(error) => return fault(&error),
    };
    if !action.is_recorded() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    if let Err(error) = door.write(&order, ocsf::Phase::Begun, 1).await {
        return fault(&error);
    }
    let response = next.run(Request::from_parts(parts, body)).await;
    let code = response.extensions().get::<Coded>().map(|coded| coded.0.as_str());
    let phase = code.map_or(ocsf::Phase::Done, ocsf::Phase::Failed);
    match door.write(&order, phase, 1).await {
        Ok(()) => response,
        Err(error) => fault(&error),
    }
}
