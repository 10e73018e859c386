//! When a gateway may send the steps of a shard to another node.
//!
//! Steps of a sequence arrive in the order in which they were sent, as long as they go to one node. Where the owner of a shard
//! changes while steps are under way at the node before, the next ones wait until those are answered, unless that node is gone: so
//! a hand-over refuses nobody's step as one that leaves a gap. So do those that come while there is no owner. It keeps order only; that
//! no step is taken twice or lost is the log's business.

use crate::shards::SHARDS;
use spinwell_core::{NodeId, UnixMillis};
use std::collections::VecDeque;

/// A step on its way to the home of its shard.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Stay {
    shard: u16,
    /// Which home of the shard, from 1.
    home: u64,
    /// In which order it came to the gateway.
    number: u64,
}

/// A step's place among those that wait for a shard's next home.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Place {
    shard: u16,
    number: u64,
}

/// Where a gateway sends the steps of each shard.
///
/// ```
/// use spinwell_core::NodeId;
/// use spinwell_policy::sequence::Homes;
/// let (n1, n2) = (NodeId("n1".into()), NodeId("n2".into()));
/// let mut homes = Homes::default();
/// let first = homes.begin(7, &n1, false).unwrap();
/// let place = homes.begin(7, &n2, false).unwrap_err();
/// assert_eq!(homes.go_on(&place, &n2, false), None, "a step is under way at the node before");
/// homes.end(&first);
/// assert!(homes.go_on(&place, &n2, false).is_some());
/// ```
#[derive(Debug, Clone)]
pub struct Homes {
    homes: Vec<Home>,
}

#[derive(Debug, Clone, Default)]
struct Home {
    node: Option<NodeId>,
    /// Which home this is.
    number: u64,
    under_way: u32,
    /// Numbers of those who wait, in order.
    waiting: VecDeque<u64>,
    next: u64,
    /// The newest time that a request was given.
    newest: UnixMillis,
}

impl Default for Homes {
    fn default() -> Self {
        Self { homes: vec![Home::default(); usize::from(SHARDS)] }
    }
}

impl Homes {
    /// Where the steps of a shard went last.
    #[must_use]
    pub fn of(&self, shard: u16) -> Option<&NodeId> {
        self.homes.get(usize::from(shard))?.node.as_ref()
    }

    /// The time that a request is given which has just come, at `now`: none is given an earlier time than one before it, and one that
    /// begins a sequence a later one. So two lives of a sequence are told apart also where a caller sends the last step of one and the
    /// beginning of the next within a millisecond.
    pub fn stamp(&mut self, shard: u16, begins: bool, now: UnixMillis) -> UnixMillis {
        let home = self.home(shard);
        home.newest = home.newest.max(now).max(UnixMillis(home.newest.0 + u64::from(begins)));
        home.newest
    }

    /// A step wants to go to the owner of its shard, `is_gone` says of the node before that nothing can come back from it.
    ///
    /// # Errors
    /// A place in line, where it must wait.
    pub fn begin(&mut self, shard: u16, owner: &NodeId, is_gone: bool) -> Result<Stay, Place> {
        let home = self.home(shard);
        if home.waiting.is_empty() && home.admits(owner, is_gone) {
            home.next += 1;
            return Ok(home.enter(shard, owner, home.next));
        }
        Err(self.wait(shard))
    }

    /// A step wants to go to the owner of its shard, and there is none: its place in line.
    pub fn wait(&mut self, shard: u16) -> Place {
        let home = self.home(shard);
        home.next += 1;
        home.waiting.push_back(home.next);
        Place { shard, number: home.next }
    }

    /// A step was lost with the node that it was under way at, and is to be sent again: it waits in front of all that came after it.
    pub fn again(&mut self, stay: &Stay) -> Place {
        self.end(stay);
        let home = self.home(stay.shard);
        let place = home.waiting.partition_point(|other| *other < stay.number);
        home.waiting.insert(place, stay.number);
        Place { shard: stay.shard, number: stay.number }
    }

    /// A step that waits looks again; the owner may be another one by now.
    pub fn go_on(&mut self, place: &Place, owner: &NodeId, is_gone: bool) -> Option<Stay> {
        let home = self.home(place.shard);
        if home.waiting.front() != Some(&place.number) || !home.admits(owner, is_gone) {
            return None;
        }
        home.waiting.pop_front();
        Some(home.enter(place.shard, owner, place.number))
    }

    /// A step that waits is given up. Gives whether others wait behind it.
    pub fn leave(&mut self, place: &Place) -> bool {
        let home = self.home(place.shard);
        home.waiting.retain(|number| *number != place.number);
        !home.waiting.is_empty()
    }

    /// A step is answered, or given up. Gives whether others wait, who should look again.
    pub fn end(&mut self, stay: &Stay) -> bool {
        let home = self.home(stay.shard);
        if home.number == stay.home {
            home.under_way = home.under_way.saturating_sub(1);
        }
        !home.waiting.is_empty()
    }

    fn home(&mut self, shard: u16) -> &mut Home {
        &mut self.homes[usize::from(shard % SHARDS)]
    }
}

impl Home {
    fn admits(&self, owner: &NodeId, is_gone: bool) -> bool {
        self.under_way == 0 || is_gone || self.node.as_ref() == Some(owner)
    }

    fn enter(&mut self, shard: u16, owner: &NodeId, number: u64) -> Stay {
        if self.node.as_ref() != Some(owner) {
            self.node = Some(owner.clone());
            self.number += 1;
            self.under_way = 0;
        }
        self.under_way += 1;
        Stay { shard, home: self.number, number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId(name.into())
    }

    #[test]
    fn steps_change_over_when_those_before_are_answered_and_keep_their_order() {
        let (n1, n2) = (id("n1"), id("n2"));
        let mut homes = Homes::default();
        let (a, b) = (homes.begin(5, &n1, false).unwrap(), homes.begin(5, &n1, false).unwrap());
        let c = homes.begin(5, &n2, false).unwrap_err();
        let d = homes.begin(5, &n2, false).unwrap_err();
        // Who comes back to the first owner waits, too: those before him are to go to the other.
        assert!(homes.end(&a));
        assert_eq!(homes.go_on(&c, &n2, false), None);
        assert!(homes.end(&b));
        assert_eq!(homes.go_on(&d, &n2, false), None, "its turn is after c");
        let c = homes.go_on(&c, &n2, false).unwrap();
        let d = homes.go_on(&d, &n2, false).unwrap();
        assert_eq!(homes.of(5), Some(&n2));
        assert!(!homes.end(&c) && !homes.end(&d));
        assert!(homes.begin(5, &n1, false).is_ok());
    }

    #[test]
    fn what_comes_while_there_is_no_owner_keeps_its_order() {
        let n1 = id("n1");
        let mut homes = Homes::default();
        let (a, b) = (homes.wait(5), homes.wait(5));
        let c = homes.begin(5, &n1, false).unwrap_err();
        assert_eq!(homes.go_on(&c, &n1, false), None);
        assert_eq!(homes.go_on(&b, &n1, false), None, "its turn is after a");
        for place in [a, b, c] {
            assert!(homes.go_on(&place, &n1, false).is_some());
        }
    }

    #[test]
    fn nothing_is_waited_for_that_cannot_come() {
        let (n1, n2) = (id("n1"), id("n2"));
        let mut homes = Homes::default();
        let lost = homes.begin(5, &n1, false).unwrap();
        let own = homes.begin(5, &n2, true).unwrap();
        // What was under way at the lost node ends later, and is not taken for one of the other's.
        homes.end(&lost);
        let place = homes.begin(5, &n1, false).unwrap_err();
        homes.end(&own);
        assert!(homes.go_on(&place, &n1, false).is_some());
    }

    #[test]
    fn what_is_sent_again_goes_before_what_came_later() {
        let (n1, n2) = (id("n1"), id("n2"));
        let mut homes = Homes::default();
        let (a, b) = (homes.begin(5, &n1, false).unwrap(), homes.begin(5, &n1, false).unwrap());
        let c = homes.begin(5, &n2, false).unwrap_err();
        // The node is lost; its steps come back in any order.
        let (b, a) = (homes.again(&b), homes.again(&a));
        assert_eq!(homes.go_on(&c, &n2, true), None);
        assert_eq!(homes.go_on(&b, &n2, true), None);
        for place in [a, b, c] {
            assert!(homes.go_on(&place, &n2, true).is_some());
        }
    }

    #[test]
    fn a_beginning_is_later_than_all_that_came_before_it() {
        let mut homes = Homes::default();
        let mut at = |begins, now| homes.stamp(5, begins, UnixMillis(now)).0;
        assert_eq!([at(false, 10), at(false, 10), at(true, 10), at(false, 10)], [10, 10, 11, 11]);
        assert_eq!([at(true, 11), at(false, 20), at(false, 15), at(true, 30)], [12, 20, 20, 30]);
    }

    #[test]
    fn who_gives_up_holds_nobody_up() {
        let (n1, n2) = (id("n1"), id("n2"));
        let mut homes = Homes::default();
        let first = homes.begin(5, &n1, false).unwrap();
        let (a, b) = (homes.begin(5, &n2, false).unwrap_err(), homes.begin(5, &n2, false).unwrap_err());
        homes.end(&first);
        assert!(homes.leave(&a));
        assert!(homes.go_on(&b, &n2, false).is_some());
        assert!(!homes.leave(&a));
    }
}
