//! For which shards a node is there.
//!
//! Gateways route by what each of them sees, so a node goes by what its gateways tell it they see: it is the owner of a shard where
//! any of them takes it for that, and else the standby where any does. Two nodes that both hold themselves for the owner do no
//! harm, because the log takes the entries of one at a time; a shard that nobody stands by for costs time at a loss, not steps.

use crate::shards::{Member, SHARDS, keepers};
use spinwell_core::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// What a node is to a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Role {
    /// Nothing.
    #[default]
    None,
    /// It reads along, to take over.
    Standby,
    /// It takes the steps.
    Owner,
}

/// A node's roles, by what its gateways see.
///
/// ```
/// use spinwell_core::NodeId;
/// use spinwell_policy::sequence::{Role, Roles};
/// let mut roles = Roles::new(NodeId("n1".into()));
/// assert_eq!(roles.of(7), Role::Owner, "alone, and told of nobody");
/// let members = ["n1", "n2"].map(|id| (NodeId(id.into()), 1.0));
/// roles.seen("gateway-1", Some(members.to_vec()));
/// assert!((0..4096).all(|shard| roles.of(shard) >= Role::Standby));
/// ```
#[derive(Debug, Clone)]
pub struct Roles {
    own: NodeId,
    views: BTreeMap<String, Vec<(NodeId, f64)>>,
    /// Gateways that have gone and are believed as long as nobody else says anything.
    gone: BTreeSet<String>,
    /// By shard; nothing where no gateway has said what it sees.
    roles: Option<Vec<Role>>,
}

impl Roles {
    /// Of the node of that name, which owns every shard as long as nobody says what he sees.
    #[must_use]
    pub fn new(own: NodeId) -> Self {
        Self { own, views: BTreeMap::new(), gone: BTreeSet::new(), roles: None }
    }

    /// A gateway says which nodes it sees, with their weights, or is gone. What the last one had seen stays true when it goes:
    /// others are on their way. Gives whether any role has changed.
    pub fn seen(&mut self, gateway: &str, members: Option<Vec<(NodeId, f64)>>) -> bool {
        match members {
            Some(members) => {
                self.gone.remove(gateway);
                self.views.insert(gateway.to_owned(), members);
            }
            None => {
                self.gone.insert(gateway.to_owned());
            }
        }
        if self.views.keys().any(|known| !self.gone.contains(known)) {
            self.views.retain(|known, _| !self.gone.contains(known));
            self.gone.clear();
        }
        let roles = (!self.views.is_empty()).then(|| (0..SHARDS).map(|shard| self.role(shard)).collect());
        let is_changed = roles != self.roles;
        self.roles = roles;
        is_changed
    }

    /// What the node is to a shard.
    #[must_use]
    pub fn of(&self, shard: u16) -> Role {
        match &self.roles {
            None => Role::Owner,
            Some(roles) => roles.get(usize::from(shard)).copied().unwrap_or_default(),
        }
    }

    /// The shards for which it is that.
    pub fn shards(&self, role: Role) -> impl Iterator<Item = u16> + '_ {
        (0..SHARDS).filter(move |shard| self.of(*shard) == role)
    }

    /// The most that any view makes of it.
    fn role(&self, shard: u16) -> Role {
        let in_view = |view: &Vec<(NodeId, f64)>| {
            let members: Vec<_> =
                view.iter().map(|(id, weight)| Member { id: &id.0, weight: *weight }).collect();
            match keepers(shard, &members) {
                Some(keepers) if *keepers.owner == *self.own.0 => Role::Owner,
                Some(keepers) if keepers.standby == Some(&*self.own.0) => Role::Standby,
                _ => Role::None,
            }
        };
        self.views.values().map(in_view).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(ids: &[&str]) -> Option<Vec<(NodeId, f64)>> {
        Some(ids.iter().map(|id| (NodeId((*id).into()), 1.0)).collect())
    }

    fn count(roles: &Roles, role: Role) -> usize {
        roles.shards(role).count()
    }

    #[test]
    fn every_shard_has_an_owner_and_a_standby() {
        let all = ["n1", "n2", "n3"].map(|own| {
            let mut roles = Roles::new(NodeId(own.into()));
            assert!(roles.seen("g", view(&["n1", "n2", "n3"])));
            assert!(!roles.seen("g", view(&["n1", "n2", "n3"])));
            roles
        });
        for shard in 0..SHARDS {
            let of = |role| all.iter().filter(|roles| roles.of(shard) == role).count();
            assert_eq!((of(Role::Owner), of(Role::Standby)), (1, 1));
        }
    }

    #[test]
    fn whoever_any_gateway_takes_for_the_owner_is_one() {
        let mut roles = Roles::new(NodeId("n1".into()));
        roles.seen("a", view(&["n1", "n2", "n3"]));
        let before = count(&roles, Role::Owner);
        // The other gateway has lost n2, and a third knows this node no more.
        roles.seen("b", view(&["n1", "n3"]));
        roles.seen("c", view(&["n2", "n3"]));
        assert!(count(&roles, Role::Owner) > before);
        assert!(roles.seen("b", None));
        assert_eq!(count(&roles, Role::Owner), before);
    }

    #[test]
    fn what_the_last_gateway_saw_stays_true() {
        let mut roles = Roles::new(NodeId("n1".into()));
        roles.seen("a", view(&["n1", "n2"]));
        let before = count(&roles, Role::Owner);
        assert!(!roles.seen("a", None));
        assert_eq!(count(&roles, Role::Owner), before);
        assert!(roles.seen("b", view(&["n2"])));
        assert_eq!(count(&roles, Role::Owner), 0, "who is there is believed, and not who was");
        assert!(!roles.seen("unheard", None));
    }
}
