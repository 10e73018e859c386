//! What was decided, and by what.

use std::sync::Arc;

/// What a policy or a decision says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Do it.
    Allow,
    /// Do not.
    Deny,
}

impl Effect {
    /// `allow` or `deny`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// What a decision follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The policies that it names.
    Policies,
    /// No policy permits it.
    NoPolicy,
    /// The credential is limited to something else.
    Scope,
    /// A policy could not be evaluated, or the action is not one for this kind of thing. Never a reason to allow.
    Failed,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    effect: Effect,
    why: Why,
    /// Sorted, so that equal decisions look equal in the ledger.
    policies: Arc<[Arc<str>]>,
    /// The same as one text, or why there are none, made once: each record has it.
    named: Arc<str>,
}

impl Decision {
    pub(crate) fn new(effect: Effect, why: Why, mut policies: Vec<Arc<str>>) -> Self {
        policies.sort_unstable();
        // No policy that somebody writes can be called so.
        let named = match why {
            _ if !policies.is_empty() => policies.join(","),
            Why::Policies | Why::NoPolicy => "spinwell.no-policy".to_owned(),
            Why::Scope => "spinwell.scope".to_owned(),
            Why::Failed => "spinwell.failed".to_owned(),
        };
        let named = named.into();
        Self { effect, why, policies: policies.into(), named }
    }

    /// Whether it may be done.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.effect == Effect::Allow
    }

    /// What was decided.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// What it follows from.
    #[must_use]
    pub fn why(&self) -> Why {
        self.why
    }

    /// The same policies as one text, with commas between them. Where none has decided it says what has: `spinwell.no-policy`,
    /// `spinwell.scope` or `spinwell.failed`.
    #[must_use]
    pub fn named(&self) -> &Arc<str> {
        &self.named
    }

    /// Ids of the policies that decided, sorted.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|id| &**id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_say_what_has_decided_also_where_no_policy_has() {
        let named = |why, ids: &[&str]| {
            let ids = ids.iter().map(|id| (*id).into()).collect();
            Decision::new(Effect::Deny, why, ids).named().to_string()
        };
        assert_eq!(named(Why::Policies, &["b", "a"]), "a,b");
        assert_eq!(named(Why::Failed, &["broken"]), "broken");
        assert_eq!(named(Why::NoPolicy, &[]), "spinwell.no-policy");
        assert_eq!(named(Why::Scope, &[]), "spinwell.scope");
        assert_eq!(named(Why::Failed, &[]), "spinwell.failed");
    }
}
