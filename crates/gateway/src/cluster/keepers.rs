//! Which nodes keep sequences, where each can go on with those of the others.
//!
//! Whoever keeps a shard must be able to take every step that may come for it: it needs the models, and it needs the store. A node
//! that lacks one of them answers gateways as well as ever, so it is told from the others by what it says of itself: by its
//! catalogue, and by how long the store has been silent to it. The decision is made from what nodes say now and, where the store comes
//! back, for how long they have said so, so that gateways which see the same nodes send steps to the same ones.

use spinwell_core::{Millis, ModelHash, ModelName, ModelVersion};
use spinwell_protocol::Catalogue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// For how long the store may be silent to a node that keeps its shards while others could have them: longer than a statement takes
/// on a busy machine, and far shorter than deadlines.
pub(super) const SILENT: Millis = Millis(1_000);
/// The store has answered others where it was silent to them for less than this. Where it is away altogether, nodes notice that one
/// after the other, two beats apart at most; so much later than the first one the last one must not count as well.
const ANSWERS: Millis = Millis(500);
/// For how long it has answered again before that counts, where it was silent before. Where it was away altogether, the first node that
/// hears of it again is not the only one for longer than nodes pause between two tries, and must not get all shards for a moment.
const STEADY: Duration = Duration::from_millis(1_500);

/// A node that can be reached and is not about to stop, as it was heard of last.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// What it serves.
    pub(super) catalogue: Arc<Catalogue>,
    /// How the store is to it.
    pub(super) store: StoreAt,
}

/// How the store is to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreAt {
    /// It answers, or did a moment ago.
    Answers,
    /// It has not answered for a while, which may mean nothing.
    IsSlow,
    /// It has been silent for so long that others should keep the node's shards, if it answers them.
    IsSilent,
}

impl StoreAt {
    /// By how long it has not answered what the node has asked, or for how long it has answered again where it was silent before.
    pub(super) fn of(silent: Option<Millis>, again: Option<Duration>) -> Self {
        match silent {
            Some(silent) if silent >= SILENT => Self::IsSilent,
            Some(silent) if silent >= ANSWERS => Self::IsSlow,
            _ if again.is_some_and(|again| again < STEADY) => Self::IsSlow,
            _ => Self::Answers,
        }
    }
}

/// What becomes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It keeps shards.
    Keeps,
    /// It lacks what the region serves, and gets no steps until it has it.
    Lacks,
    /// It alone has lost the store: it gets no steps, and those under way at it are given up.
    IsDeaf,
    /// It was started without the store that most nodes share, so that nobody could go on with its sequences, nor it with theirs.
    IsApart,
}

impl Verdict {
    /// What is told of it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Keeps => "nothing is wrong with it",
            Self::Lacks => "it does not serve what most nodes do",
            Self::IsDeaf => "the store does not answer it, and answers others",
            Self::IsApart => "it has no store.url, and most nodes share a store",
        }
    }

    /// What becomes of each of these nodes; one of them keeps shards at least, where there are any.
    ///
    /// A node keeps shards while it serves everything that is spread in the region, which is each version that at least half of
    /// the nodes serve that serve anything, with the bytes that most of them have. So a node that joins gets steps when it has been
    /// brought the models, also where it is one of many that join a single one, which serve nothing yet and do not count. A version
    /// that appears on nodes one by one changes nothing until half of them have it; then those that still lack it are left out, each
    /// until it has loaded it, and the shards of a node that had it early stay where they are all the while. Whoever judged by
    /// everything that *any* node serves would move all shards to the first one that has loaded something, and back. Steps for a
    /// version that less than half have wait for the keeper of their shard to load it, or are taken with the version that it has
    /// ([`stand_in`]). A version that is unloaded node by node is needed by nobody as soon as less than half have it, and until
    /// then who has lost it is left out. Where no node serves all of that, nobody is better than another, and all of them keep shards.
    ///
    /// [`stand_in`]: super::catalogue::stand_in
    pub(super) fn of_all(candidates: &[Candidate]) -> Vec<Self> {
        let spread = spread(candidates);
        let is_whole = |candidate: &Candidate| {
            let serves = ready(&candidate.catalogue);
            spread.iter().all(|(place, hash)| serves.get(place) == Some(hash))
        };
        let is_whole: Vec<bool> = candidates.iter().map(is_whole).collect();
        let any_is_whole = is_whole.contains(&true);
        let may_keep = |place: usize| is_whole[place] || !any_is_whole;
        let mut could = candidates.iter().enumerate().filter(|(place, _)| may_keep(*place));
        let another_could = could.any(|(_, candidate)| candidate.store == StoreAt::Answers);
        let verdict = |(place, candidate): (usize, &Candidate)| match may_keep(place) {
            false => Self::Lacks,
            true if another_could && candidate.store == StoreAt::IsSilent => Self::IsDeaf,
            true => Self::Keeps,
        };
        candidates.iter().enumerate().map(verdict).collect()
    }
}

type Versions<'a> = BTreeMap<(&'a ModelName, ModelVersion), ModelHash>;

/// The versions that are ready, with their bytes.
fn ready(catalogue: &Catalogue) -> Versions<'_> {
    catalogue.ready().into_iter().map(|model| ((&model.name, model.version), model.hash)).collect()
}

/// The versions that at least half of the nodes serve that serve anything, and the bytes that most of them have.
fn spread(candidates: &[Candidate]) -> Versions<'_> {
    let all: Vec<Versions<'_>> = candidates.iter().map(|candidate| ready(&candidate.catalogue)).collect();
    let serving = all.iter().filter(|versions| !versions.is_empty()).count();
    let mut hashes: BTreeMap<(&ModelName, ModelVersion), Vec<ModelHash>> = BTreeMap::new();
    for (place, hash) in all.into_iter().flatten() {
        hashes.entry(place).or_default().push(hash);
    }
    let spread = |(place, hashes): ((_, _), Vec<ModelHash>)| {
        let most = spinwell_policy::spread::most(hashes.iter().copied())?;
        let count = hashes.iter().filter(|hash| **hash == most).count();
        (2 * count >= serving).then_some((place, most))
    };
    hashes.into_iter().filter_map(spread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::catalogue::tests::node;
    use Verdict::{IsDeaf, Keeps, Lacks};

    /// A node that serves versions, each with the first byte of its hash, and to which the store is silent for so long.
    fn candidate(versions: &[(u32, u8)], silent: Option<u64>) -> Candidate {
        Candidate { catalogue: node(versions, None), store: StoreAt::of(silent.map(Millis), None) }
    }

    #[test]
    fn a_node_keeps_shards_when_it_serves_what_is_spread() {
        let check = |nodes: &[&[(u32, u8)]], wanted: &[Verdict]| {
            let candidates: Vec<_> = nodes.iter().map(|versions| candidate(versions, None)).collect();
            assert_eq!(Verdict::of_all(&candidates), wanted, "{nodes:?}");
        };
        let (one, two): (&[_], &[_]) = (&[(1, 1)], &[(1, 1), (2, 1)]);
        check(&[], &[]);
        check(&[&[], &[]], &[Keeps, Keeps]);
        check(&[one, one], &[Keeps, Keeps]);
        // Nodes that join, and have nothing yet, or not all of it.
        check(&[two, &[]], &[Keeps, Lacks]);
        check(&[two, &[], &[], &[]], &[Keeps, Lacks, Lacks, Lacks]);
        check(&[two, two, one], &[Keeps, Keeps, Lacks]);
        // A version appears on one node after the other.
        check(&[two, one, one, one], &[Keeps, Keeps, Keeps, Keeps]);
        check(&[two, two, one, one], &[Keeps, Keeps, Lacks, Lacks]);
        check(&[two, two, two, one], &[Keeps, Keeps, Keeps, Lacks]);
        check(&[two, two, two, two], &[Keeps, Keeps, Keeps, Keeps]);
        // Other bytes are not what is spread, and what is broken is not there.
        check(&[one, one, &[(1, 2)]], &[Keeps, Keeps, Lacks]);
        check(&[one, &[(1, 0)]], &[Keeps, Lacks]);
        // Nobody has all of it.
        check(&[&[(1, 1)], &[(2, 1)]], &[Keeps, Keeps]);
    }

    #[test]
    fn a_node_that_alone_has_lost_the_store_is_left_out_and_nobody_where_all_have() {
        let check = |silences: &[Option<u64>], wanted: &[Verdict]| {
            let candidates: Vec<_> = silences.iter().map(|silent| candidate(&[(1, 1)], *silent)).collect();
            assert_eq!(Verdict::of_all(&candidates), wanted, "{silences:?}");
        };
        check(&[Some(5_000)], &[Keeps]);
        check(&[Some(999), None], &[Keeps, Keeps]);
        check(&[Some(1_000), None], &[IsDeaf, Keeps]);
        check(&[Some(1_000), Some(499), Some(700)], &[IsDeaf, Keeps, Keeps]);
        check(&[Some(1_000), Some(500)], &[Keeps, Keeps]);
        check(&[Some(60_000), Some(1_000)], &[Keeps, Keeps]);
        // It comes back to one node first.
        let back = |ms: u64| StoreAt::of(None, Some(Duration::from_millis(ms)));
        for (store, wanted) in [(back(1_499), [Keeps, Keeps]), (back(1_500), [IsDeaf, Keeps])] {
            let first = Candidate { store, ..candidate(&[(1, 1)], None) };
            assert_eq!(Verdict::of_all(&[candidate(&[(1, 1)], Some(5_000)), first]), wanted);
        }
        // One that lacks the models cannot take the steps instead.
        let all = [candidate(&[(1, 1)], Some(5_000)), candidate(&[], None)];
        assert_eq!(Verdict::of_all(&all), [Keeps, Lacks]);
    }
}
