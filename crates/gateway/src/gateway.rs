//! What both wires share: finding the model, keeping the deadline, asking the node.

use crate::budget::{Budget, Share};
use crate::record::{BatchTicket, OutcomeReader, Ticket};
use spinwell_core::{BatchCallId, Code, Fault, Micros, Protocol, TenantId};
use spinwell_protocol::{Catalogue, InferReply, InferRequest, ModelDescription, NodeLink, NodeLoad};
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::options::Limits;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What a gateway is made of.
pub struct Parts {
    /// The way to the nodes.
    pub link: Arc<dyn NodeLink>,
    /// What a caller can ask for at most.
    pub limits: Limits,
    /// Whether this process should be sent requests.
    pub health: Health,
    /// Who learns of every outcome.
    pub reader: Arc<dyn OutcomeReader>,
}

/// A cheap handle on the gateway, shared by all connections.
#[derive(Clone)]
pub struct Gateway {
    parts: Arc<Parts>,
    /// What all bodies may hold.
    bodies: Arc<Budget>,
    /// Whose all requests are until callers have identities.
    tenant: TenantId,
}

impl Gateway {
    /// A gateway of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let bodies = Budget::new(parts.limits.bodies_bytes_max);
        Self { parts: Arc::new(parts), bodies, tenant: TenantId("default".into()) }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    /// What a body takes from the budget of all.
    pub(crate) fn body_share(&self) -> Share {
        self.bodies.share()
    }

    /// Whose a request is.
    pub(crate) fn tenant(&self) -> TenantId {
        self.tenant.clone()
    }

    pub(crate) fn models(&self) -> Arc<Catalogue> {
        self.parts.link.models()
    }

    pub(crate) fn load(&self) -> NodeLoad {
        self.parts.link.load()
    }

    pub(crate) fn open_ticket(&self, protocol: Protocol) -> Ticket {
        Ticket::open(self.parts.reader.clone(), protocol)
    }

    pub(crate) fn open_batch_call(&self, id: BatchCallId, requests: usize) -> BatchTicket {
        BatchTicket::open(self.parts.reader.clone(), id, requests)
    }

    /// Whether this process should be sent requests, or why not.
    pub(crate) fn ready(&self) -> Result<(), Fault> {
        match self.parts.health.phase() {
            Phase::Ready => Ok(()),
            Phase::Starting => {
                Err(Fault::new(Code::Stopping, "the server is starting and takes no requests yet"))
            }
            Phase::Stopping => {
                Err(Fault::new(Code::Stopping, "the server is stopping and takes no new requests"))
            }
        }
    }

    /// The model that a caller asks for.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<ModelDescription>, Fault> {
        self.models().find(name, version).cloned()
    }

    /// When the answer must be there: after the caller's own patience, where that is shorter than ours.
    pub(crate) fn deadline(&self, ticket: &Ticket, timeout: Option<Micros>) -> std::time::Instant {
        let limit: Duration = self.parts.limits.deadline.into();
        ticket.received_at() + timeout.map_or(limit, |timeout| Duration::from_micros(timeout.0).min(limit))
    }

    /// Predicts from each window before the request's deadline.
    pub(crate) async fn infer(
        &self,
        ticket: &mut Ticket,
        request: InferRequest,
    ) -> Result<InferReply, Fault> {
        let deadline = request.deadline;
        let answer = self.parts.link.infer(request);
        let reply = timeout_at(Instant::from_std(deadline), answer).await.unwrap_or_else(|_| {
            let allowed = deadline.saturating_duration_since(ticket.received_at());
            let message = format!("there was no answer within {} ms", allowed.as_secs_f64() * 1e3);
            Err(Fault::new(Code::DeadlineExceeded, message))
        })?;
        ticket.answered(&reply);
        Ok(reply)
    }
}
