use super::*;
use crate::view::tests::{listed, zero};
use crate::{Health, Role};
use proptest::prelude::*;
use spinwell_core::Rng;

const WAIT: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(6);

/// A machine with a clock of its own.
struct Story {
    watch: Watch,
    start: Instant,
    now: Instant,
    rng: Rng,
}

impl Story {
    fn begin() -> Self {
        let start = zero();
        let watch = Watch::new(Timing { wait: WAIT, grace: GRACE }, start);
        Self { watch, start, now: start, rng: Rng::seeded(3) }
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.now = self.start + Duration::from_millis(ms);
        self
    }

    /// An answer of that index; members by name, `!` before those that are critical.
    fn answer(&mut self, index: u64, members: &[&str]) -> &mut Self {
        let listing = members.iter().map(|name| {
            let health = if name.starts_with('!') { Health::Critical } else { Health::Passing };
            listed(Role::Node, name.trim_start_matches('!'), health)
        });
        self.watch.answered(Some(index), listing.collect(), self.now);
        self
    }

    fn fail(&mut self) -> &mut Self {
        self.watch.failed(self.now, &mut self.rng);
        self
    }

    #[track_caller]
    fn expect(&mut self, members: &[&str], is_frozen: bool) -> &mut Self {
        let mut names: Vec<String> = Vec::new();
        for listed in self.watch.members() {
            let mark = if listed.health.is_usable() { "" } else { "!" };
            names.push(format!("{mark}{}", listed.member.id));
        }
        names.sort();
        assert_eq!(
            (names, self.watch.is_frozen()),
            (members.iter().map(|&name| name.to_owned()).collect(), is_frozen)
        );
        self
    }

    fn query(&mut self) -> Query {
        self.watch.next(self.now, &mut self.rng)
    }
}

#[test]
fn the_index_to_wait_behind() {
    // Answers one after the other, and the index of the query after each.
    let table: [(&str, &[u64], u64); 7] = [
        ("nothing is known", &[], 0),
        ("a usual index", &[17], 17),
        ("it grows", &[17, 20], 20),
        ("it stays: a return is not a change", &[17, 17], 17),
        ("it goes backwards: from the beginning", &[17, 5], 0),
        ("and on from there", &[17, 5, 5], 5),
        ("an index of 0 would never block", &[0], 1),
    ];
    for (name, answers, wanted) in table {
        let mut story = Story::begin();
        for index in answers {
            story.answer(*index, &["a"]);
        }
        assert_eq!(story.query().index, wanted, "{name}");
    }
}

#[test]
fn an_answer_without_an_index_is_one_of_0() {
    let mut story = Story::begin();
    story.watch.answered(None, Vec::new(), story.now);
    assert_eq!(story.query().index, 1);
}

#[test]
fn after_a_failure_the_next_query_does_not_block() {
    let mut story = Story::begin();
    assert_eq!(story.answer(17, &["a"]).fail().query().index, 0);
    assert_eq!(story.answer(18, &["a"]).query().index, 18);
}

#[test]
fn what_is_answered_is_believed() {
    let mut story = Story::begin();
    story.expect(&[], true);
    story.answer(1, &["a", "b"]).expect(&["a", "b"], false);
    story.answer(2, &["a", "!b"]).expect(&["!b", "a"], false);
    story.answer(3, &[]).expect(&[], false);
}

#[test]
fn an_outage_freezes_and_does_not_empty() {
    let mut story = Story::begin();
    story.answer(1, &["a", "!b"]).fail().expect(&["!b", "a"], true);
    story.at(60_000).fail().expect(&["!b", "a"], true);
}

#[test]
fn an_outage_at_the_start_knows_nobody_and_says_so() {
    let mut story = Story::begin();
    story.fail().expect(&[], true);
    story.answer(1, &["a"]).expect(&["a"], false);
}

#[test]
fn after_an_outage_good_news_is_believed_and_bad_news_waits() {
    let mut story = Story::begin();
    story.answer(10, &["a", "b", "c", "!d"]).fail();
    // Back, and not everybody has beaten: b is forgotten, c is held for critical, d is well, e is new.
    story.at(1000).answer(11, &["a", "!c", "d", "e"]).expect(&["a", "b", "c", "d", "e"], true);
    // c has beaten. b is still missing.
    story.at(3000).answer(12, &["a", "c", "d", "e"]).expect(&["a", "b", "c", "d", "e"], true);
    // Bad news is held back until the grace ends, also of those who were back.
    story.at(6999).answer(13, &["a", "d", "e"]).expect(&["a", "b", "c", "d", "e"], true);
    story.at(7000).answer(13, &["a", "d", "e"]).expect(&["a", "d", "e"], false);
}

#[test]
fn an_outage_after_which_all_is_well_thaws_at_once() {
    let mut story = Story::begin();
    story.answer(10, &["a"]).fail().at(1000).answer(10, &["a"]).expect(&["a"], false);
}

#[test]
fn a_consul_that_lost_its_state_has_time_to_hear_of_everybody() {
    let mut story = Story::begin();
    // It was restarted between two queries: no query failed, and yet nobody is there.
    story.answer(500, &["a", "b"]).at(1000).answer(7, &[]).expect(&["a", "b"], true);
    story.at(2000).answer(9, &["a"]).expect(&["a", "b"], true);
    story.at(7000).answer(9, &["a"]).expect(&["a"], false);
}

#[test]
fn a_second_outage_begins_another_grace() {
    let mut story = Story::begin();
    story.answer(10, &["a"]).fail().at(1000).answer(11, &[]).expect(&["a"], true);
    story.at(5000).fail().at(8000).answer(12, &[]).expect(&["a"], true);
    story.at(14_000).answer(12, &[]).expect(&[], false);
}

#[test]
fn the_end_of_a_grace_is_looked_at() {
    let mut story = Story::begin();
    story.answer(10, &["a"]).fail().at(1000).answer(11, &[]);
    let wait = story.at(5000).query().wait;
    assert_eq!(wait, Duration::from_millis(2000));
}

#[test]
fn waits_spread_out_below_the_longest() {
    let mut story = Story::begin();
    let waits: Vec<Duration> = (0..100).map(|_| story.query().wait).collect();
    assert!(waits.iter().all(|wait| (WAIT.mul_f64(15.0 / 16.0)..=WAIT).contains(wait)));
    assert!(waits.iter().any(|wait| *wait != waits[0]));
}

#[test]
fn failures_are_tried_again_ever_later() {
    let mut story = Story::begin();
    let mut last = Duration::ZERO;
    for top in [200, 400, 800, 1600, 2000] {
        let query = story.fail().query();
        let wait = query.not_before - story.now;
        assert!(wait >= Duration::from_millis(top / 2), "{wait:?} of {top} ms");
        // The token bucket may add up to its own rate.
        assert!(wait <= Duration::from_millis(top).max(Duration::from_secs(2)), "{wait:?} of {top} ms");
        story.now = query.not_before;
        last = last.max(wait);
    }
    assert!(last <= RETRY_WAIT_MAX);
}

/// What may happen to a machine.
#[derive(Debug, Clone)]
enum Happening {
    Answer { index: u64, members: Vec<(usize, bool)> },
    Failure,
    Time(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..50u64, prop::collection::vec((0..4usize, any::<bool>()), 0..4))
            .prop_map(|(index, members)| Happening::Answer { index, members }),
        Just(Happening::Failure),
        (0..9000u64).prop_map(Happening::Time),
    ]
}

proptest! {
    #[test]
    fn whatever_happens(happenings in prop::collection::vec(happening(), 1..60)) {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        let mut story = Story::begin();
        let (mut ms, mut is_failed) = (0, false);
        for happening in happenings {
            let before = story.watch.members().to_vec();
            match happening {
                Happening::Time(more) => {
                    ms += more;
                    story.at(ms);
                }
                Happening::Failure => {
                    is_failed = true;
                    story.fail();
                    prop_assert_eq!(story.watch.members(), &before[..], "a failure changes nobody");
                    prop_assert!(story.watch.is_frozen());
                }
                Happening::Answer { index, members } => {
                    let mut given: Vec<Listed> = Vec::new();
                    for (name, is_critical) in members {
                        if given.iter().all(|listed| &*listed.member.id.0 != NAMES[name]) {
                            let health = if is_critical { Health::Critical } else { Health::Passing };
                            given.push(listed(Role::Node, NAMES[name], health));
                        }
                    }
                    is_failed = false;
                    story.watch.answered(Some(index), given.clone(), story.now);
                    let now = story.watch.members();
                    if story.watch.is_frozen() {
                        prop_assert!(story.watch.grace_until.is_some(), "held back outside of a grace");
                    } else {
                        let same = given.iter().all(|listed| now.contains(listed)) && now.len() == given.len();
                        prop_assert!(same, "not frozen, but not what was said");
                    }
                    for listed in given.iter().filter(|listed| listed.health.is_usable()) {
                        prop_assert!(now.contains(listed), "good news waits");
                    }
                    for (at, listed) in now.iter().enumerate() {
                        prop_assert!(now[at + 1..].iter().all(|other| !is_same(listed, other)), "twice");
                    }
                }
            }
            let query = story.query();
            prop_assert!(query.not_before >= story.now && query.wait >= WAIT_MIN && query.wait <= WAIT);
            prop_assert!(!is_failed || query.index == 0);
        }
    }
}
