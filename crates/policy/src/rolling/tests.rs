//! Plans by hand, and plans in a region that a seed makes.

use super::*;
use proptest::prelude::*;

const PATIENCE: Millis = Millis(60_000);
const START: UnixMillis = UnixMillis(1_000_000);

fn id(text: &str) -> NodeId {
    NodeId(text.into())
}

fn gateway(name: &str) -> Caller {
    Caller { name: name.to_owned(), life: Some(1) }
}

fn serves(name: &str, life: u64) -> Seen {
    let gateways = Some(vec![gateway("g1"), gateway("g2")]);
    Seen { id: id(name), is_serving: true, is_leaving: false, life: Some(life), gateways, away: Millis(0) }
}

fn away(name: &str) -> Seen {
    Seen { is_serving: false, life: None, gateways: None, ..serves(name, 0) }
}

fn plan(steps: &[(&str, Step)]) -> Rolling {
    let nodes = steps.iter().map(|(name, step)| Entry { id: id(name), step: *step }).collect();
    Rolling { nodes, ..Rolling::new(Then::Anew, Vec::new(), PATIENCE, START) }
}

fn after(ms: u64) -> UnixMillis {
    UnixMillis(START.0 + ms)
}

/// The steps after what is next was done, where the plan changes.
fn becomes(plan: &Rolling, seen: &[Seen], now: UnixMillis) -> Vec<Step> {
    match plan.next(seen, now) {
        Next::Become(next) => {
            assert_eq!(next.since, now);
            next.nodes.iter().map(|entry| entry.step).collect()
        }
        other => panic!("{other:?} of {plan:?}"),
    }
}

const WAITING: Step = Step::Waiting;
const DRAINING: Step = Step::Draining { life: 1 };
const BACK: Step = Step::Back { took: Millis(5) };

#[test]
fn one_node_after_the_other_is_told_to_stop_and_awaited() {
    let both = [serves("a", 1), serves("b", 2)];
    let begun = plan(&[("a", WAITING), ("b", WAITING)]);
    assert_eq!(becomes(&begun, &both, START), [DRAINING, WAITING]);
    let draining = plan(&[("a", DRAINING), ("b", WAITING)]);
    assert_eq!(draining.next(&both, START), Next::Drain(id("a"), 1), "until it takes notice");
    let leaving = Seen { is_serving: false, is_leaving: true, ..serves("a", 1) };
    assert_eq!(draining.next(&[leaving, serves("b", 2)], START), Next::Wait);
    assert_eq!(draining.next(&[away("a"), serves("b", 2)], START), Next::Wait);
    let anew = [serves("a", 3), serves("b", 2)];
    assert_eq!(becomes(&draining, &anew, after(5)), [BACK, WAITING]);
    assert_eq!(
        becomes(&plan(&[("a", BACK), ("b", WAITING)]), &anew, START),
        [BACK, Step::Draining { life: 2 }]
    );
    let over = plan(&[("a", BACK), ("b", BACK)]);
    assert!(over.is_over() && !draining.is_over());
    assert_eq!((over.next(&both, START), over.obstacle(&both)), (Next::Wait, None));
}

#[test]
fn nobody_is_stopped_while_another_is_away_or_a_gateway_misses_one() {
    let begun = plan(&[("a", WAITING), ("b", WAITING)]);
    let missed = Seen { gateways: Some(vec![gateway("g1")]), ..serves("b", 2) };
    let silent = Seen { gateways: None, ..serves("b", 2) };
    let check = |seen: &[Seen], wanted: Option<&str>| {
        assert_eq!(begun.obstacle(seen).as_deref(), wanted);
        assert_eq!(begun.next(seen, START) == Next::Wait, wanted.is_some(), "{wanted:?}");
    };
    check(&[serves("a", 1), away("b")], Some("b does not serve"));
    check(&[away("a"), serves("b", 2)], Some("a does not serve"));
    check(&[serves("a", 1), missed], Some("gateway g2 has not found b"));
    check(&[serves("a", 1)], Some("no other node serves in the place of a"));
    check(&[], Some("a is not in the region"));
    check(&[serves("a", 1), silent], None);
    // Another one of the same name, which has found a alone.
    let namesake = Caller { life: Some(2), ..gateway("g1") };
    let both = |life| Caller { life, ..namesake.clone() };
    let twice =
        Seen { gateways: Some(vec![gateway("g1"), gateway("g2"), namesake.clone()]), ..serves("a", 1) };
    check(&[twice.clone(), serves("b", 2)], Some("gateway g1 has not found b"));
    // A node whose release tells names alone is believed.
    let names =
        Seen { gateways: Some(vec![both(None), Caller { life: None, ..gateway("g2") }]), ..serves("b", 2) };
    check(&[twice, names], None);
    // One that is not in the plan, because it came later, matters as well.
    check(&[serves("a", 1), serves("b", 2), away("c")], Some("c does not serve"));
    // Who has just come back is awaited by every gateway before the plan goes on.
    let draining = plan(&[("a", DRAINING), ("b", WAITING)]);
    let found = Seen { gateways: Some(Vec::new()), ..serves("a", 3) };
    assert_eq!(draining.next(&[found, serves("b", 2)], START), Next::Wait);
}

#[test]
fn who_was_to_be_stopped_is_not_while_others_have_gone_meanwhile() {
    let draining = plan(&[("a", DRAINING), ("b", WAITING)]);
    let check = |seen: &[Seen], wanted: &str| {
        assert_eq!(draining.next(seen, START), Next::Wait, "{wanted}");
        assert_eq!(draining.obstacle(seen).as_deref(), Some(wanted));
    };
    let missed = Seen { gateways: Some(vec![gateway("g1")]), ..serves("b", 2) };
    check(&[serves("a", 1), away("b")], "b does not serve");
    check(&[serves("a", 1), missed], "gateway g2 has not found b");
    check(&[serves("a", 1)], "no other node serves in the place of a");
    // Who takes notice already is only waited for.
    let leaving = Seen { is_serving: false, is_leaving: true, ..serves("a", 1) };
    check(&[leaving, away("b")], "a has not stopped");
    // That gateways leave the one that is told to stop holds nothing up.
    let left = Seen { gateways: Some(Vec::new()), ..serves("a", 1) };
    assert_eq!(draining.next(&[left, serves("b", 2)], START), Next::Drain(id("a"), 1));
}

#[test]
fn a_plan_that_does_not_come_on_ends_and_says_why() {
    let check = |steps: &[(&str, Step)], seen: &[Seen], wanted: &str| {
        let plan = plan(steps);
        assert!(!matches!(plan.next(seen, after(PATIENCE.0 - 1)), Next::Become(_)), "{wanted}");
        let Next::Become(over) = plan.next(seen, after(PATIENCE.0)) else { panic!("{wanted}") };
        assert_eq!(over.stuck.as_deref(), Some(wanted));
        assert!(over.is_over());
        assert_eq!(over.next(&[serves("a", 9), serves("b", 9)], after(PATIENCE.0)), Next::Wait);
    };
    let waiting = [("a", WAITING), ("b", WAITING)];
    let draining = [("a", DRAINING), ("b", WAITING)];
    check(&waiting, &[serves("a", 1), away("b")], "b does not serve after 60 s");
    check(&waiting, &[], "a is not in the region after 60 s");
    check(&draining, &[serves("a", 1), serves("b", 2)], "a has not stopped after 60 s");
    check(&draining, &[away("a"), serves("b", 2)], "a has not come back after 60 s");
    check(&draining, &[serves("b", 2), serves("c", 2)], "a is not in the region after 60 s");
}

#[test]
fn leaders_that_change_do_not_keep_a_plan_from_its_end_and_each_looks_before_it_ends_one() {
    let missed = [away("a"), serves("b", 2)];
    let mut draining = plan(&[("a", DRAINING), ("b", WAITING)]);
    for change in 1..4 {
        draining = draining.taken_up(after(change * PATIENCE.0 / 4));
        assert_eq!(draining.next(&missed, after(change * PATIENCE.0 / 4)), Next::Wait);
    }
    assert!(matches!(draining.next(&missed, after(PATIENCE.0)), Next::Become(_)));
    let late = draining.taken_up(after(3 * PATIENCE.0));
    assert_eq!(late.next(&missed, after(3 * PATIENCE.0 + LOOK.0 - 1)), Next::Wait);
    assert!(matches!(late.next(&missed, after(3 * PATIENCE.0 + LOOK.0)), Next::Become(_)));
    // The leader before had a clock that is ahead.
    let ahead = Rolling { since: after(9 * PATIENCE.0), ..late }.taken_up(START);
    assert!(matches!(ahead.next(&missed, after(PATIENCE.0)), Next::Become(_)));
}

#[test]
fn who_stops_for_good_is_awaited_until_it_is_gone_and_the_last_one_stays() {
    let gone = |steps: &[(&str, Step)]| Rolling { then: Then::Gone, ..plan(steps) };
    let begun = gone(&[("a", WAITING), ("b", WAITING)]);
    let all = [serves("a", 1), serves("b", 2), serves("c", 3)];
    assert_eq!(begun.obstacle(&[serves("a", 1), away("c")]).as_deref(), Some("c does not serve"));
    assert_eq!(becomes(&begun, &all, START), [DRAINING, WAITING]);
    let draining = gone(&[("a", DRAINING), ("b", WAITING)]);
    assert!(draining.is_midway() && !begun.is_midway());
    assert_eq!(draining.next(&all, START), Next::Drain(id("a"), 1));
    let stopped = Step::Gone { took: Millis(5) };
    // Nobody knows whether it has stopped or the connection is not there: a leader that has just begun sees nobody.
    let lost = |ms| Seen { away: Millis(ms), ..away("a") };
    assert_eq!(draining.next(&[lost(LOOK.0 - 1), serves("b", 2)], after(5)), Next::Wait);
    let unknown = draining.obstacle(&[lost(0), serves("b", 2)]);
    assert_eq!(unknown.as_deref(), Some("a is not connected, and may still run"));
    // The registry may know it for a while yet, and its name may be another's by now.
    for now in
        [vec![lost(LOOK.0), serves("b", 2)], vec![serves("b", 2)], vec![serves("a", 9), serves("b", 2)]]
    {
        assert_eq!(becomes(&draining, &now, after(5)), [stopped, WAITING], "{now:?}");
    }
    let half = gone(&[("a", stopped), ("b", WAITING)]);
    let left = [away("a"), serves("b", 2), serves("c", 3)];
    assert_eq!(becomes(&half, &left, after(5)), [stopped, Step::Draining { life: 2 }]);
    assert_eq!(half.obstacle(&left[..2]).as_deref(), Some("no other node serves in the place of b"));
}

#[test]
fn absences_count_from_the_first_look_that_misses_a_node() {
    let mut absences = Absences::default();
    let mut check = |mut seen: Vec<Seen>, now: u64, wanted: &[u64]| {
        absences.note(&mut seen, after(now));
        assert_eq!(seen.iter().map(|node| node.away.0).collect::<Vec<_>>(), wanted, "{now}");
    };
    check(vec![away("a"), serves("b", 2)], 0, &[0, 0]);
    check(vec![away("a"), away("b")], 300, &[300, 0]);
    check(vec![serves("a", 1), away("b")], 500, &[0, 200]);
    check(vec![away("a")], 700, &[0]);
    check(vec![away("a"), away("b")], 900, &[200, 0]);
    check(vec![away("a"), away("b")], 900 + APART.0, &[200 + APART.0, APART.0]);
    // Nobody looked for long, or the clock was put right.
    check(vec![away("a"), away("b")], 901 + 2 * APART.0, &[0, 0]);
}

#[test]
fn a_node_that_has_left_the_region_is_passed_over() {
    let begun = plan(&[("a", WAITING), ("b", WAITING)]);
    assert_eq!(becomes(&begun, &[serves("b", 2), serves("c", 2)], START), [Step::Left, WAITING]);
}

#[test]
fn whoever_goes_on_knows_by_its_life_whether_a_node_has_started_anew() {
    let draining = plan(&[("a", DRAINING), ("b", WAITING)]).taken_up(after(7));
    // The leader before had it stopped, or nobody had: either way nobody is stopped twice.
    assert_eq!(
        becomes(&draining, &[serves("a", 2), serves("b", 2)], after(8))[0],
        Step::Back { took: Millis(8) }
    );
    assert_eq!(draining.next(&[serves("a", 1), serves("b", 2)], after(8)), Next::Drain(id("a"), 1));
}

/// A node in a region that a seed makes.
#[derive(Debug, Clone)]
struct Node {
    life: u64,
    /// When it is gone, comes back, and each gateway has found it; as long as it is told to stop.
    stops: Option<(u64, u64, [u64; 2])>,
    is_told: bool,
}

impl Node {
    fn is_up(&self, time: u64) -> bool {
        self.stops.is_none_or(|(gone, back, _)| time < gone || time >= back)
    }

    fn has(&self, gateway: usize, time: u64) -> bool {
        self.stops.is_none_or(|(gone, _, found)| time < gone || time >= found[gateway])
    }

    fn seen(&self, name: usize, time: u64) -> Seen {
        if !self.is_up(time) {
            return away(&format!("n{name}"));
        }
        let is_anew = self.stops.is_some_and(|(_, back, _)| time >= back);
        let is_leaving = self.stops.is_some() && !is_anew;
        let gateways =
            (0..2).filter(|gateway| self.has(*gateway, time)).map(|number| gateway(&format!("g{number}")));
        Seen {
            id: id(&format!("n{name}")),
            is_serving: !is_leaving,
            is_leaving,
            life: Some(self.life + u64::from(is_anew)),
            gateways: Some(gateways.collect()),
            away: Millis(0),
        }
    }
}

proptest! {
    /// Leaders change at any moment, and look at the region and the plan as often as they like; each gateway always has a node.
    #[test]
    fn each_node_starts_anew_once_and_each_gateway_always_has_all_others(
        delays in prop::collection::vec((0..400u64, 0..3000u64, 0..2500u64, 0..2500u64), 2..6),
        changes in prop::collection::btree_set(0..60_000u64, 0..6),
    ) {
        let mut nodes = vec![Node { life: 10, stops: None, is_told: false }; delays.len()];
        let names = (0..nodes.len()).map(|name| id(&format!("n{name}"))).collect();
        let mut plan = Rolling::new(Then::Anew, names, PATIENCE, START);
        for time in (0..60_000).step_by(50) {
            let now = after(time);
            if changes.range(time..time + 50).next().is_some() {
                plan = plan.taken_up(now);
            }
            let seen: Vec<_> = nodes.iter().enumerate().map(|(name, node)| node.seen(name, time)).collect();
            match plan.next(&seen, now) {
                Next::Become(next) => plan = next,
                Next::Drain(node, life) => {
                    let name: usize = node.0[1..].parse().unwrap();
                    prop_assert_eq!(life, 10);
                    let (notices, away, one, two) = delays[name];
                    let node = &mut nodes[name];
                    if !node.is_told {
                        let (gone, back) = (time + notices, time + notices + 1 + away);
                        node.is_told = true;
                        node.stops = Some((gone, back, [back + one, back + two]));
                    }
                }
                Next::Wait => {}
            }
            for gateway in 0..2 {
                let missing = nodes.iter().filter(|node| !node.has(gateway, time)).count();
                prop_assert!(missing <= 1, "gateway {gateway} misses {missing} nodes at {time} ms");
            }
        }
        prop_assert!(plan.is_over() && plan.stuck.is_none(), "{plan:?}");
        prop_assert!(nodes.iter().all(|node| node.is_told));
    }
}
