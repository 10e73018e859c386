//! The members as they were last known.
//!
//! A view never changes: whoever holds one decides by it from beginning to end, and two views are compared, not edited.
//! It is sorted, so that equal memberships are equal values and whatever is derived from them (who owns a shard) is the
//! same everywhere.

use crate::{Health, Member, Role};
use spinwell_core::NodeId;
use std::time::Instant;

/// A member and how it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// What it says of itself.
    pub member: Member,
    /// How it is, as the registry knows it.
    pub health: Health,
}

/// Who is in the region, as it was last known.
#[derive(Debug, Clone)]
pub struct View {
    /// By role and id, each id once.
    members: Vec<Listed>,
    version: u64,
    is_frozen: bool,
    seen_at: Instant,
}

impl View {
    /// A view before anything is known: empty and frozen, of version 0.
    #[must_use]
    pub fn unknown(now: Instant) -> Self {
        Self { members: Vec::new(), version: 0, is_frozen: true, seen_at: now }
    }

    /// A view of these members in any order, as they are known at `now`. Of those with the same role and id the first of
    /// the best health stays.
    #[must_use]
    pub fn new(version: u64, mut members: Vec<Listed>, now: Instant) -> Self {
        members.sort_by(|a, b| key(a).cmp(&key(b)).then(a.health.cmp(&b.health)));
        members.dedup_by(|later, earlier| key(later) == key(earlier));
        Self { members, version, is_frozen: false, seen_at: now }
    }

    /// The same membership, held because the registry cannot be asked or does not know everybody yet.
    #[must_use]
    pub fn frozen(mut self) -> Self {
        self.is_frozen = true;
        self
    }

    /// Everybody who is listed, by role and id, also who must not be sent anything.
    #[must_use]
    pub fn listed(&self) -> &[Listed] {
        &self.members
    }

    /// Who has the role and may be sent work, by id.
    pub fn usable(&self, role: Role) -> impl Iterator<Item = &Member> {
        let usable = self.members.iter().filter(move |listed| listed.health.is_usable());
        usable.map(|listed| &listed.member).filter(move |member| member.role == role)
    }

    /// The member of that role and id, whatever its health.
    #[must_use]
    pub fn get(&self, role: Role, id: &NodeId) -> Option<&Listed> {
        let found = self.members.binary_search_by(|listed| key(listed).cmp(&(role, id)));
        found.ok().map(|index| &self.members[index])
    }

    /// Grows with every change of the members in this process, from 1; 0 where nothing is known yet. Other processes
    /// count for themselves.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether the members are held from before: the registry cannot be asked, or has lost its state and not heard of
    /// everybody again.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// When the registry last answered. An answer without a change moves this and wakes nobody.
    #[must_use]
    pub fn seen_at(&self) -> Instant {
        self.seen_at
    }

    /// The next view after this one, and whether who watches is to be woken: the members or whether they are frozen
    /// have changed.
    pub(crate) fn followed_by(
        &self,
        members: Vec<Listed>,
        is_frozen: bool,
        seen_at: Instant,
    ) -> (View, bool) {
        let mut next = View::new(self.version, members, seen_at);
        next.is_frozen = is_frozen;
        let is_first = self.version == 0 && !is_frozen;
        if is_first || next.members != self.members {
            next.version += 1;
        }
        let is_news = next.version != self.version || next.is_frozen != self.is_frozen;
        (next, is_news)
    }
}

fn key(listed: &Listed) -> (Role, &NodeId) {
    (listed.member.role, &listed.member.id)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// A member of that role and id and health.
    pub(crate) fn listed(role: Role, id: &str, health: Health) -> Listed {
        Listed { member: Member::new(role, id, "127.0.0.1:9001".parse().unwrap()), health }
    }

    #[allow(clippy::disallowed_methods, reason = "the start of a test's time")]
    pub(crate) fn zero() -> Instant {
        Instant::now()
    }

    #[test]
    fn usable_members_have_the_role_and_are_not_critical() {
        let members = vec![
            listed(Role::Node, "c", Health::Warning),
            listed(Role::Gateway, "g", Health::Passing),
            listed(Role::Node, "b", Health::Critical),
            listed(Role::Node, "a", Health::Passing),
        ];
        let view = View::new(1, members, zero());
        let ids = |role| view.usable(role).map(|member| member.id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(Role::Node), ["a", "c"]);
        assert_eq!(ids(Role::Gateway), ["g"]);
        let get = |role, id: &str| view.get(role, &NodeId(id.into())).map(|listed| listed.health);
        assert_eq!(get(Role::Node, "b"), Some(Health::Critical));
        assert_eq!(get(Role::Gateway, "b"), None);
    }

    #[test]
    fn a_confirmation_moves_the_time_and_is_no_news() {
        let start = zero();
        let members = vec![listed(Role::Node, "a", Health::Passing)];
        let (first, is_news) = View::unknown(start).followed_by(members.clone(), false, start);
        assert_eq!((first.version(), first.is_frozen(), is_news), (1, false, true));
        let later = start + Duration::from_secs(1);
        let (same, is_news) = first.followed_by(members.clone(), false, later);
        assert_eq!((same.version(), same.seen_at(), is_news), (1, later, false));
        let (frozen, is_news) = same.followed_by(members, true, later);
        assert_eq!((frozen.version(), frozen.is_frozen(), is_news), (1, true, true));
        let (empty, is_news) = frozen.followed_by(Vec::new(), false, later);
        assert_eq!((empty.version(), empty.listed().len(), is_news), (2, 0, true));
    }

    #[test]
    fn an_empty_region_that_is_known_differs_from_one_that_is_not() {
        let start = zero();
        let (known, is_news) = View::unknown(start).followed_by(Vec::new(), false, start);
        assert_eq!((known.version(), known.is_frozen(), is_news), (1, false, true));
    }

    fn any_listed() -> impl Strategy<Value = Listed> {
        let role = prop_oneof![Just(Role::Node), Just(Role::Gateway)];
        let health = prop_oneof![Just(Health::Passing), Just(Health::Warning), Just(Health::Critical)];
        (role, "[a-d]", health).prop_map(|(role, id, health)| listed(role, &id, health))
    }

    proptest! {
        #[test]
        fn members_are_sorted_each_once_and_the_healthiest(
            (members, shuffled) in prop::collection::vec(any_listed(), 0..12)
                .prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle()))
        ) {
            let now = zero();
            let view = View::new(1, members.clone(), now);
            prop_assert!(view.listed().windows(2).all(|pair| key(&pair[0]) < key(&pair[1])));
            let again = View::new(1, shuffled, now);
            prop_assert_eq!(view.listed(), again.listed());
            for listed in &members {
                let kept = view.get(listed.member.role, &listed.member.id);
                prop_assert!(kept.is_some_and(|kept| kept.health <= listed.health));
            }
        }
    }
}
