//! The door: who sends a request, whether he may, and how much.
//!
//! Each route says what it needs ([`Need`]), and the router puts a look at the caller before it, so that no handler runs for somebody who
//! may not. Requests for predictions come in with what was found ([`Entry`]) instead, since each of them ends in an outcome, also one that
//! is refused. The decisions are those of `security` and `policy`; here they meet the clock, the ledger and the metrics.

mod act;
mod layer;
mod need;
mod proxies;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use act::{Act, Phase, acted, refused};
pub(crate) use layer::{Coded, guarded, no_text};
pub(crate) use need::{Need, of_method, resource};
pub use proxies::Proxies;
pub(crate) use watch::Seen;
pub use watch::Watch;

use crate::audit::Audit;
use crate::serve::PeerAddress;
use axum::http::{Extensions, HeaderMap, Method};
use spinwell_core::{Code, Fault, Micros, Millis, ModelName, TenantId};
use spinwell_policy::quota::{Quotas, Rate};
use spinwell_protocol::quoted;
use spinwell_runtime::access::{Doors, of_another_site, shown};
use spinwell_runtime::clock;
use spinwell_security::access::{Action, Resource};
use spinwell_security::certificate::Certificate;
pub(crate) use spinwell_security::guard::NotPermitted as Refusal;
use spinwell_security::guard::{Caller, NotIn, Refused, Rules};
use spinwell_security::token;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

/// A request at the door.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Who sends it, or why he does not come in.
    pub(crate) caller: Result<Caller, Fault>,
    /// From where.
    pub(crate) address: IpAddr,
    /// The certificate of his connection.
    certificate: Option<Arc<Certificate>>,
    /// Why nothing is done for him all the same: a page of another site had his browser send it, which shows his certificate to whatever
    /// such a page asks. Keys and tokens no browser sends of its own accord.
    not_his: Option<Fault>,
}

impl Entry {
    /// Who sends it, where something may be done for him.
    ///
    /// # Errors
    /// Where he does not come in, or has not sent it himself.
    pub(crate) fn let_in(&self) -> Result<&Caller, Fault> {
        match &self.not_his {
            Some(fault) => Err(fault.clone()),
            None => self.caller.as_ref().map_err(Clone::clone),
        }
    }
}

/// That a caller may ask a model for predictions, by the rules of that moment.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(crate) rules: Option<Arc<Rules>>,
    pub(crate) model: ModelName,
    /// The policies by which he may.
    pub(crate) policy: Arc<str>,
}

impl Permit {
    /// Whether the same rules hold still: until a body is here, others may.
    pub(crate) fn is_under(&self, door: &Door) -> bool {
        match (&self.rules, door.rules()) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, &now),
            (None, None) => true,
            _ => false,
        }
    }
}

/// What is looked at before requests come in.
pub struct Door {
    doors: Arc<Doors>,
    proxies: Proxies,
    watch: Option<Watch>,
    /// Where what they ask is recorded, if anywhere.
    audit: Option<Arc<Audit>>,
    quotas: Mutex<Quotas<TenantId>>,
    began: Instant,
    refused: [AtomicU64; REFUSALS.len()],
}

/// Codes with which requests are refused here, as metrics count them.
pub(crate) const REFUSALS: [Code; 5] = [
    Code::CredentialsMissing,
    Code::CredentialsRefused,
    Code::NotPermitted,
    Code::QuotaExceeded,
    Code::CallerHeldBack,
];

/// No policy was asked.
static NO_POLICY: LazyLock<Arc<str>> = LazyLock::new(|| "".into());

impl Door {
    /// A door of these parts. Callers behind `proxies` are known by what those say.
    #[must_use]
    pub fn new(doors: Arc<Doors>, proxies: Proxies, watch: Option<Watch>, audit: Option<Arc<Audit>>) -> Self {
        let (quotas, began) = (Mutex::default(), clock::now());
        Self { doors, proxies, watch, audit, quotas, began, refused: Default::default() }
    }

    /// Everybody comes in, and nobody is watched.
    #[must_use]
    pub fn open() -> Self {
        Self::new(Doors::open(), Proxies::default(), None, None)
    }

    /// How many requests were refused here with each code.
    pub(crate) fn refused(&self) -> [(Code, u64); REFUSALS.len()] {
        let counts = REFUSALS.iter().zip(&self.refused);
        let mut counts = counts.map(|(code, count)| (*code, count.load(Ordering::Relaxed)));
        std::array::from_fn(|_| counts.next().unwrap_or((Code::Internal, 0)))
    }

    /// Whether a file of the access folder cannot be used.
    pub(crate) fn has_wrong_file(&self) -> bool {
        self.doors.is_wrong()
    }

    /// Who watches, if anybody.
    pub(crate) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// Counts a refusal.
    pub(crate) fn counted(&self, fault: Fault) -> Fault {
        if let Some(place) = REFUSALS.iter().position(|code| *code == fault.code()) {
            self.refused[place].fetch_add(1, Ordering::Relaxed);
        }
        fault
    }

    fn now(&self) -> Millis {
        Millis(clock::since(self.began).0 / 1_000)
    }

    /// Who sends a request of this method with these headers, on the connection of which there is something beside it. An issuer may be asked for its keys
    /// meanwhile.
    pub(crate) async fn enter(&self, method: &Method, headers: &HeaderMap, beside: &Extensions) -> Entry {
        let peer = beside.get::<PeerAddress>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip());
        let address = self.proxies.caller(peer, headers);
        let certificate = beside.get::<Arc<Certificate>>().cloned();
        let found = self.doors.enter(shown(headers, certificate.as_deref())).await;
        let mut caller = self.judged(found, address).map_err(|fault| self.counted(fault));
        if let (Ok(known), Some(audit)) = (&caller, &self.audit)
            && let Err(fault) = audit.is_ready_for(known.tenant()).await
        {
            caller = Err(fault);
        }
        // Answers to what only reads are kept from such a page by the browser.
        let is_ambient = !method.is_safe() && caller.as_ref().is_ok_and(Caller::is_by_certificate);
        let not_his = is_ambient.then(|| of_another_site(headers)).flatten();
        Entry { caller, address, certificate, not_his: not_his.map(|fault| self.counted(fault)) }
    }

    /// The same for a later message of somebody who has come in. Nobody is waited for.
    pub(crate) fn enter_again(&self, headers: &HeaderMap, before: &Entry) -> Entry {
        let Entry { address, ref certificate, .. } = *before;
        let found = self.doors.look(shown(headers, certificate.as_deref()));
        // The stream is what a one-time token was good for.
        let is_same = |not_in: &NotIn| matches!(not_in.reason(), Refused::Token(token::Refused::Replayed(_)));
        if found.as_ref().is_err_and(is_same) {
            return before.clone();
        }
        let caller = self.judged(found, address).map_err(|fault| self.counted(fault));
        Entry { caller, address, certificate: certificate.clone(), not_his: before.not_his.clone() }
    }

    /// What the detectors say of it.
    fn judged(&self, found: Result<Caller, NotIn>, address: IpAddr) -> Result<Caller, Fault> {
        let Some(watch) = &self.watch else { return found.map_err(|not_in| not_in.fault()) };
        watch.admit(self.now(), address, found.as_ref().ok())?;
        found.map_err(|not_in| {
            watch.refused(self.now(), address, not_in.tried());
            tracing::debug!(%address, reason = %not_in.reason(), "a caller did not come in");
            not_in.fault()
        })
    }

    /// The rules that hold now; none where everybody may come in.
    pub(crate) fn rules(&self) -> Option<Arc<Rules>> {
        self.doors.guard().rules()
    }

    /// The policies by which a caller may do that.
    ///
    /// # Errors
    /// Where he may not.
    pub(crate) fn permit(
        &self,
        caller: &Caller,
        action: Action,
        resource: &Resource,
    ) -> Result<Arc<str>, Refusal> {
        let permitted = self.doors.guard().permit(caller, action, resource);
        let permitted = permitted.map(|policy| policy.unwrap_or_else(|| NO_POLICY.clone()));
        // An open door knows no owners of models.
        if self.is_of_another(caller, resource) {
            let policy = permitted.unwrap_or_else(|refusal| refusal.policy);
            return Err(Refusal { fault: unknown(resource), policy });
        }
        permitted
    }

    /// Whether the model behind it is another tenant's: then the caller does not learn that it exists.
    fn is_of_another(&self, caller: &Caller, resource: &Resource) -> bool {
        let owner = match resource {
            Resource::Model { tenant, .. } => tenant.clone(),
            // Whoever steps a sequence asks its model.
            Resource::Sequence { model, .. } => self.model(model).tenant().cloned(),
            Resource::Region | Resource::Tenant(_) | Resource::Ledger(_) => None,
        };
        owner.is_some_and(|owner| owner != *caller.tenant())
    }

    /// Whether a caller may do that, where it is no refusal that he may not: of what he is not shown.
    pub(crate) fn may(&self, caller: &Caller, action: Action, resource: &Resource) -> bool {
        let decision = self.doors.guard().decide(caller, action, resource);
        decision.is_none_or(|decision| decision.allowed() && !self.is_of_another(caller, resource))
    }

    /// A model as policies know it.
    pub(crate) fn model(&self, name: &ModelName) -> Resource {
        self.doors.guard().model(name)
    }

    /// Takes predictions from a tenant's quota.
    ///
    /// # Errors
    /// Where it has none left.
    pub(crate) fn take(&self, tenant: &TenantId, predictions: usize) -> Result<(), Fault> {
        let Some(quota) = self.doors.guard().quota(tenant) else { return Ok(()) };
        let rate = Rate { per_second: quota.per_second, burst: quota.burst };
        let now = clock::since(self.began);
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        quotas.take(now, tenant, rate, predictions.max(1)).map_err(|Micros(wait)| {
            let (wait, per_second) = (Millis(wait.div_ceil(1_000).max(1)), quota.per_second);
            let message = format!(
                "tenant {} may ask for {per_second} predictions a second here; try again in {wait}",
                tenant.0
            );
            self.counted(Fault::new(Code::QuotaExceeded, message).retry_after(wait))
        })
    }

    /// Takes what became of a request.
    pub(crate) fn observe(&self, entry: &Entry, seen: Seen) {
        let Some(watch) = &self.watch else { return };
        if let Ok(caller) = &entry.caller {
            let quota = self.doors.guard().quota(caller.tenant()).map_or(0, |quota| quota.per_second);
            watch.observe(self.now(), entry.address, caller, quota, seen);
        }
    }
}

/// As if there were no such model.
fn unknown(resource: &Resource) -> Fault {
    Fault::new(
        Code::ModelNotFound,
        format!("no model is named {}", quoted(resource.model().unwrap_or_default())),
    )
}
