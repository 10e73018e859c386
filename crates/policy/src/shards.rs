//! Which node keeps a sequence.
//!
//! Sequences are hashed to a fixed number of shards, and every shard has an owner and a standby among the members: those with the
//! two highest scores for it (Thaler & Ravishankar 1998, "Using name-based mappings to increase hit rates", with weights as in
//! Schindelhauer & Schomaker 2005, "Weighted distributed hash tables"). So everybody who knows the same members knows the
//! same owners without a table that somebody would have to keep and hand around, a member that comes takes over its share and no
//! more, and of one that goes every shard falls to its own standby.
//!
//! ```
//! use spinwell_policy::shards::{Member, keepers, shard};
//! let members = ["n1", "n2", "n3"].map(|id| Member { id, weight: 1.0 });
//! let before = keepers(shard(["acme", "taxi", "cab-7"]), &members).unwrap();
//! let left: Vec<_> = members.into_iter().filter(|member| member.id != before.owner).collect();
//! assert_eq!(keepers(shard(["acme", "taxi", "cab-7"]), &left).unwrap().owner, before.standby.unwrap());
//! ```

use spinwell_core::{Fnv, split_mix_64};
use std::hash::Hasher;

/// How many shards there are. It is the same everywhere and for ever: with another number sequences would be looked for where
/// they are not.
pub const SHARDS: u16 = 4096;

/// Somebody who may keep sequences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member<'a> {
    /// The name.
    pub id: &'a str,
    /// How much it keeps in relation to the others; nothing where it is not above 0.
    pub weight: f64,
}

/// Who keeps a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepers<'a> {
    /// Takes the steps.
    pub owner: &'a str,
    /// Takes over from the owner; nobody where there is one member only.
    pub standby: Option<&'a str>,
}

/// The shard of a sequence, from 0 to [`SHARDS`]: of its tenant, its model and its id.
#[must_use]
pub fn shard(sequence: [&str; 3]) -> u16 {
    let mut hash = Hash::default();
    sequence.iter().for_each(|part| hash.text(part));
    u16::try_from(hash.end() % u64::from(SHARDS)).unwrap_or_default()
}

/// Who keeps that shard; `None` where there are no members.
#[must_use]
pub fn keepers<'a>(shard: u16, members: &[Member<'a>]) -> Option<Keepers<'a>> {
    let mut best: [Option<(f64, &'a str)>; 2] = [None; 2];
    for member in members {
        let Some(score) = score(shard, member) else { continue };
        let own = Some((score, member.id));
        // Equal scores are as good as impossible; the names decide, so that everybody decides alike.
        let is_above = |other: Option<(f64, &str)>| {
            other.is_none_or(|(other, id)| score > other || (score == other && member.id < id))
        };
        if is_above(best[0]) {
            best = [own, best[0]];
        } else if is_above(best[1]) {
            best[1] = own;
        }
    }
    let [owner, standby] = best.map(|found| found.map(|(_, id)| id));
    Some(Keepers { owner: owner?, standby })
}

/// A draw from an exponential distribution of that rate, negated: the highest of many belongs to each in proportion to its weight.
fn score(shard: u16, member: &Member<'_>) -> Option<f64> {
    if !(member.weight > 0.0 && member.weight.is_finite()) {
        return None;
    }
    let mut hash = Hash::default();
    hash.text(member.id);
    hash.0.write(&shard.to_le_bytes());
    // 53 bits, and never 0 or 1.
    let uniform = ((hash.end() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    Some(uniform.ln() / member.weight)
}

/// A hash that never changes, mixed at its end: names that differ in the last letter alone are otherwise close together.
#[derive(Default)]
struct Hash(Fnv);

impl Hash {
    /// A text and its length, so that no two lists of texts are the same bytes.
    fn text(&mut self, text: &str) {
        self.0.write(text.as_bytes());
        self.0.write(&(text.len() as u64).to_le_bytes());
    }

    fn end(&self) -> u64 {
        split_mix_64(self.0.finish(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owners(members: &[Member<'static>]) -> Vec<&'static str> {
        (0..SHARDS).map(|shard| keepers(shard, members).unwrap().owner).collect()
    }

    fn of(ids: &[&'static str]) -> Vec<Member<'static>> {
        ids.iter().map(|&id| Member { id, weight: 1.0 }).collect()
    }

    #[test]
    fn each_keeps_its_share_by_weight() {
        let check = |members: &[Member<'static>]| {
            let owners = owners(members);
            let all: f64 = members.iter().map(|member| member.weight).sum();
            for member in members {
                let kept = owners.iter().filter(|&&owner| owner == member.id).count() as f64;
                let expected = f64::from(SHARDS) * member.weight / all;
                // Three standard deviations of a binomial draw.
                let room = 3.0 * (expected * (1.0 - member.weight / all)).sqrt();
                assert!((kept - expected).abs() <= room + 1.0, "{member:?} keeps {kept} of {expected:.0}");
            }
        };
        check(&of(&["only"]));
        check(&of(&["n1", "n2", "n3"]));
        check(&of(&["node-01", "node-02", "node-03", "node-04", "node-05", "node-06", "node-07"]));
        let weights = [("a", 1.0), ("b", 2.0), ("c", 0.5), ("d", 0.0)];
        check(&weights.map(|(id, weight)| Member { id, weight }));
    }

    #[test]
    fn who_comes_takes_only_its_own_and_who_goes_leaves_each_shard_to_its_standby() {
        let (three, four) = (of(&["n1", "n2", "n3"]), of(&["n1", "n2", "n3", "n4"]));
        for shard in 0..SHARDS {
            let (before, after) = (keepers(shard, &three).unwrap(), keepers(shard, &four).unwrap());
            assert!(after.owner == before.owner || after.owner == "n4");
            if after.owner == "n4" {
                assert_eq!(after.standby, Some(before.owner));
            }
        }
    }

    #[test]
    fn sequences_spread_over_the_shards() {
        let mut counts = vec![0; usize::from(SHARDS)];
        (0..100 * u32::from(SHARDS))
            .for_each(|number| counts[usize::from(shard(["default", "taxi", &number.to_string()]))] += 1);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 50 && *most < 150, "{least} to {most}");
        assert_ne!(shard(["ab", "c", "d"]), shard(["a", "bc", "d"]));
    }

    #[test]
    fn shards_stay_where_they_are_from_one_release_to_the_next() {
        assert_eq!(shard(["default", "taxi", "cab-7"]), 2959);
        let members = of(&["n1", "n2", "n3"]);
        assert_eq!(keepers(0, &members), Some(Keepers { owner: "n1", standby: Some("n2") }));
        assert_eq!(keepers(0, &[]), None);
    }

    proptest! {
        #[test]
        fn the_order_of_the_members_means_nothing(seed in 0u64..1000, shard in 0..SHARDS) {
            let ids = ["n1", "n2", "n3", "n4", "n5"];
            let mut members = of(&ids);
            let before = keepers(shard, &members);
            members.rotate_left(usize::try_from(seed % 5).unwrap());
            if seed % 2 == 0 {
                members.reverse();
            }
            prop_assert_eq!(keepers(shard, &members), before);
        }
    }
}
