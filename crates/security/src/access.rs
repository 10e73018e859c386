//! Who may do what: decided by Cedar policies, and denied where none permits.
//!
//! A policy set is read whole, checked against the schema (`policies/schema.cedarschema`) and never changed afterwards: a reload makes
//! another one, which is swapped in. Decisions are kept inside the set that made them, so that none outlives its policies. They
//! are kept by grants and not by callers, unless a policy names a caller.
//!
//! Some policies hold beside every file (`policies/always.cedar`): no policy file can let one tenant reach another's models.
//! What a credential is limited to ([`Scopes`](crate::Scopes)) is looked at first and only ever takes away.
//!
//! ```
//! use spinwell_core::TenantId;
//! use spinwell_security::access::{Action, PolicySet, Resource};
//! use spinwell_security::{Grants, Identity, Scopes};
//!
//! let grants = Grants::new(TenantId("acme".into()), ["viewer".to_owned()].into(), Scopes::all());
//! let alice = Identity { principal: "alice".into(), grants: grants.into() };
//! let model = Resource::Model { name: "taxi".parse().unwrap(), tenant: None };
//! let policies = PolicySet::of_defaults();
//! let decision = policies.decide(&alice, Action::ModelRead, &model);
//! assert!(decision.allowed());
//! assert_eq!(decision.policies().collect::<Vec<_>>(), ["viewers-view"]);
//! assert!(!policies.decide(&alice, Action::ModelDelete, &model).allowed());
//! ```

mod action;
mod cache;
mod check;
mod decision;
mod entities;
mod invalid;
mod resource;
mod set;
#[cfg(test)]
mod tests;

pub use action::{Action, UnknownAction};
pub use check::{Case, InvalidTests, Report, run_tests};
pub use decision::{Decision, Effect, Why};
pub use invalid::{Finding, InvalidPolicies};
pub use resource::{Kind, Resource};
pub use set::{DEFAULT_POLICIES, DEFAULT_TESTS, Policy, PolicyFile, PolicySet, SCHEMA};
