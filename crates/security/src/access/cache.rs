//! Decisions that were made before, no more than so many.
//!
//! Two halves: new ones go into the young half; when that is full it becomes the old half and the old one is dropped. What is
//! asked for again comes back to the young half. So what is in use stays, without a list to be kept in order at each look. Several
//! such pairs, each behind its lock, keep threads out of each other's way.

use crate::access::{Action, Decision, Resource};
use crate::identity::Grants;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

const PARTS: usize = 16;
/// So many decisions in one half of one part: 16,384 in all, some 200 bytes each.
const HALF_MAX: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) grants: Arc<Grants>,
    pub(crate) action: Action,
    pub(crate) resource: Resource,
    /// Only where a policy names callers.
    pub(crate) principal: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<Key, Decision>,
    old: HashMap<Key, Decision>,
}

#[derive(Debug, Default)]
pub(crate) struct Cache {
    parts: [RwLock<Halves>; PARTS],
    hasher: RandomState,
}

impl Cache {
    /// The decision of `key`, made by `decide` where it is not there.
    pub(crate) fn get_or(&self, key: Key, decide: impl FnOnce(&Key) -> Decision) -> Decision {
        // The top bits, because a map of a part uses the others.
        let part = &self.parts[(self.hasher.hash_one(&key) >> 60) as usize % PARTS];
        let (young, old) = {
            let halves = part.read().unwrap_or_else(PoisonError::into_inner);
            let young = halves.young.get(&key).cloned();
            let old = if young.is_none() { halves.old.get(&key).cloned() } else { None };
            (young, old)
        };
        if let Some(found) = young {
            return found;
        }
        let decision = old.unwrap_or_else(|| decide(&key));
        let mut halves = part.write().unwrap_or_else(PoisonError::into_inner);
        if halves.young.len() >= HALF_MAX {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(key, decision.clone());
        decision
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let len = |part: &RwLock<Halves>| {
            let halves = part.read().unwrap();
            halves.young.len() + halves.old.len()
        };
        self.parts.iter().map(len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Effect, Why};
    use crate::identity::Scopes;
    use spinwell_core::TenantId;
    use std::cell::Cell;

    fn key(grants: &Arc<Grants>, model: usize) -> Key {
        let resource = Resource::Model { name: format!("m{model}").parse().unwrap(), tenant: None };
        Key { grants: Arc::clone(grants), action: Action::ModelRead, resource, principal: None }
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_in_use() {
        let grants =
            Arc::new(Grants::new(TenantId("acme".into()), ["viewer".to_owned()].into(), Scopes::all()));
        let (cache, made) = (Cache::default(), Cell::new(0));
        let ask = |model| {
            cache.get_or(key(&grants, model), |_| {
                made.set(made.get() + 1);
                Decision::new(Effect::Allow, Why::Policies, vec![format!("p{model}").into()])
            })
        };
        let models = 4 * 2 * PARTS * HALF_MAX;
        for model in 1..=models {
            assert!(ask(model).policies().eq([format!("p{model}").as_str()]));
            assert!(ask(0).policies().eq(["p0"]));
        }
        assert_eq!(made.get(), models + 1, "the one in use was made once");
        assert!(cache.len() <= 2 * PARTS * HALF_MAX && cache.len() > PARTS * HALF_MAX / 2, "{}", cache.len());
    }

    #[test]
    fn equal_grants_share_a_decision_and_others_do_not() {
        let grants =
            |role: &str| Grants::new(TenantId("acme".into()), [role.to_owned()].into(), Scopes::all());
        let (cache, made) = (Cache::default(), Cell::new(0));
        for role in ["viewer", "viewer", "admin"] {
            cache.get_or(key(&Arc::new(grants(role)), 1), |_| {
                made.set(made.get() + 1);
                Decision::new(Effect::Deny, Why::NoPolicy, Vec::new())
            });
        }
        assert_eq!((made.get(), cache.len()), (2, 2));
    }
}
