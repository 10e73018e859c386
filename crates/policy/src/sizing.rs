//! Which nodes a control looks after: more of them, or fewer.
//!
//! A sizing says which are wanted from now on. Who carries it out starts those that do not run and leaves alone those that are wanted no more,
//! for a [retirement](crate::rolling) to send them away; both can be said any number of times. What is decided here is when that is done, or
//! has failed: an addition that does not serve in its time, a removal that does not go. It fails in the open and what is wanted stays wanted, so that
//! whoever looks after the nodes tries on, with pauses; nothing is taken back, because a number that changes by itself is one that nobody can
//! rely on.
//!
//! ```
//! use spinwell_core::{Millis, NodeId, UnixMillis};
//! use spinwell_policy::sizing::{By, Next, Sizing};
//! let nodes = |count: usize| (1..=count).map(|number| NodeId(format!("c-{number}").into())).collect::<Vec<_>>();
//! let sizing = Sizing::new(nodes(1), nodes(2), By::Operator, UnixMillis(0), Millis(60_000));
//! assert_eq!(sizing.next(&nodes(1), &nodes(2), UnixMillis(0), UnixMillis(900)), Next::Wait);
//! let Next::Become(done) = sizing.next(&nodes(2), &nodes(2), UnixMillis(0), UnixMillis(1_800)) else { panic!() };
//! assert!(done.is_over() && done.failed.is_empty());
//! ```

use spinwell_core::{Millis, NodeId, UnixMillis};

/// The nodes of a control become these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizing {
    /// Those that were wanted before.
    pub before: Vec<NodeId>,
    /// Those that are wanted.
    pub wanted: Vec<NodeId>,
    /// Who wanted it.
    pub by: By,
    /// When.
    pub begun: UnixMillis,
    /// How long each node may take to come or to go.
    pub patience: Millis,
    /// When nothing more was waited for.
    pub ended: Option<UnixMillis>,
    /// What had not come about by then.
    pub failed: Vec<Failure>,
}

/// Who wants another number of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Somebody, with a command.
    Operator,
}

/// What has not come about in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A node was to be added and does not serve.
    NodeAdditionFailed(NodeId),
    /// A node was to be removed and is there still.
    NodeRemovalFailed(NodeId),
    /// Another sizing was wanted before this one was done.
    Superseded,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The sizing is this one from now on; it is over.
    Become(Sizing),
    /// Something has to come about first.
    Wait,
}

impl Sizing {
    /// The nodes are to become these, each within `patience`.
    #[must_use]
    pub fn new(
        before: Vec<NodeId>,
        wanted: Vec<NodeId>,
        by: By,
        begun: UnixMillis,
        patience: Millis,
    ) -> Self {
        Self { before, wanted, by, begun, patience, ended: None, failed: Vec::new() }
    }

    /// Whether nothing more is waited for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// The nodes that come.
    pub fn added(&self) -> impl Iterator<Item = &NodeId> {
        self.wanted.iter().filter(|id| !self.before.contains(id))
    }

    /// The nodes that go.
    pub fn removed(&self) -> impl Iterator<Item = &NodeId> {
        self.before.iter().filter(|id| !self.wanted.contains(id))
    }

    /// Whether it has come about, or how it has failed: by the nodes that serve, those that are there at all, since when whoever asks looks,
    /// and the time.
    #[must_use]
    pub fn next(
        &self,
        serving: &[NodeId],
        there: &[NodeId],
        looked_since: UnixMillis,
        now: UnixMillis,
    ) -> Next {
        if self.is_over() {
            return Next::Wait;
        }
        let late = self.wanted.iter().filter(|id| !serving.contains(id)).cloned();
        let late = late.map(Failure::NodeAdditionFailed);
        let staying = self.removed().filter(|id| there.contains(id)).cloned();
        let failed: Vec<Failure> = late.chain(staying.map(Failure::NodeRemovalFailed)).collect();
        // Nodes go one after the other.
        let changed = self.added().count().max(1) + self.removed().count();
        let allowed = self.patience.0.saturating_mul(changed as u64);
        let is_late = now.0.saturating_sub(self.begun.0.max(looked_since.0)) >= allowed;
        match failed.is_empty() || is_late {
            true => Next::Become(Self { ended: Some(now), failed, ..self.clone() }),
            false => Next::Wait,
        }
    }

    /// The same, ended because another one is wanted.
    #[must_use]
    pub fn superseded(&self, now: UnixMillis) -> Self {
        Self { ended: Some(now), failed: vec![Failure::Superseded], ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nodes(numbers: impl IntoIterator<Item = usize>) -> Vec<NodeId> {
        numbers.into_iter().map(|number| NodeId(format!("c-{number}").into())).collect()
    }

    fn sizing(before: usize, wanted: usize) -> Sizing {
        Sizing::new(nodes(1..=before), nodes(1..=wanted), By::Operator, UnixMillis(1_000), Millis(60_000))
    }

    #[test]
    fn what_does_not_come_about_in_time_is_named() {
        let (more, fewer) = (sizing(1, 3), sizing(3, 1));
        let at = |sizing: &Sizing, serving, there, now| {
            sizing.next(&nodes(serving), &nodes(there), UnixMillis(0), UnixMillis(now))
        };
        // Two nodes come, and each has a minute.
        assert_eq!(at(&more, 1..=2, 1..=3, 120_999), Next::Wait);
        let Next::Become(late) = at(&more, 1..=2, 1..=3, 121_000) else { panic!("nobody waits for ever") };
        assert_eq!(late.failed, [Failure::NodeAdditionFailed(NodeId("c-3".into()))]);
        assert_eq!(at(&late, 1..=3, 1..=3, 130_000), Next::Wait, "it is over");
        assert_eq!(at(&fewer, 1..=1, 1..=2, 180_999), Next::Wait);
        let Next::Become(late) = at(&fewer, 1..=1, 1..=2, 181_000) else { panic!("nobody waits for ever") };
        assert_eq!(late.failed, [Failure::NodeRemovalFailed(NodeId("c-2".into()))]);
        let Next::Become(done) = at(&fewer, 1..=1, 1..=1, 2_000) else { panic!("it has come about") };
        assert_eq!((done.failed.len(), done.ended), (0, Some(UnixMillis(2_000))));
    }

    #[test]
    fn who_has_just_begun_to_look_gives_the_nodes_their_time() {
        let sizing = sizing(1, 2);
        let next =
            |looked, now| sizing.next(&nodes(1..=1), &nodes(1..=1), UnixMillis(looked), UnixMillis(now));
        assert_eq!(next(900_000, 900_500), Next::Wait);
        assert!(matches!(next(0, 900_500), Next::Become(_)));
    }

    proptest! {
        #[test]
        fn it_is_done_only_where_all_that_are_wanted_serve_and_no_other_is_there(
            before in 1_usize..6, wanted in 1_usize..6, serving: [bool; 6], there: [bool; 6], now in 0_u64..400_000,
        ) {
            let sizing = sizing(before, wanted);
            let of = |are: [bool; 6]| nodes((1..=6).filter(|number| are[number - 1]));
            let (serving, there) = (of(serving), of(there));
            match sizing.next(&serving, &there, UnixMillis(0), UnixMillis(now)) {
                Next::Become(over) => {
                    let is_done = sizing.wanted.iter().all(|id| serving.contains(id))
                        && !sizing.removed().any(|id| there.contains(id));
                    prop_assert_eq!(over.failed.is_empty(), is_done);
                    prop_assert!(is_done || now >= 61_000);
                    prop_assert_eq!(over.wanted, sizing.wanted);
                }
                Next::Wait => prop_assert!(now < 1_000 + 60_000 * 6),
            }
        }
    }
}
