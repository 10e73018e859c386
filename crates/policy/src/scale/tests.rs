//! Decisions by hand; those of a small world in which a seed decides what happens are in [`world`].

mod world;

use super::*;
use crate::capacity::{PerSecond, Service};
use spinwell_core::{Ratio, UnixMillis};
use std::time::Duration;

/// What a node carries: 500 a second are 66 % of it.
const EACH: f64 = 500.0 / 0.66;
const START: UnixMillis = UnixMillis(10_000_000);

fn rate(value: f64) -> PerSecond {
    PerSecond::new(value).unwrap()
}

fn share(value: f64) -> Ratio {
    Ratio::new(value).unwrap()
}

fn after(seconds: u64) -> UnixMillis {
    UnixMillis(START.0 + 1_000 * seconds)
}

/// Three nodes of these have a P95 below 50 ms up to 76 %, twenty up to 96 %.
fn service() -> Service {
    Service { time: Duration::from_millis(10), variability: 1.0, batch: EACH / 100.0, servers: 1 }
}

fn offered(value: f64) -> Region {
    Region {
        offered: Some(rate(value)),
        refused: Some(PerSecond::ZERO),
        service: Some(service()),
        ..Region::default()
    }
}

fn member(id: u32, phase: Phase) -> Member<u32> {
    Member::new(id, phase, UnixMillis(START.0 - 1_000_000))
}

fn serving(count: u32) -> Vec<Member<u32>> {
    (0..count).map(|id| member(id, Phase::Serving)).collect()
}

fn seen(now: UnixMillis, members: Vec<Member<u32>>, region: Region) -> Snapshot<u32> {
    Snapshot { now, members, region }
}

/// One for which what arrives now is what arrives on average.
fn scaler() -> Scaler<u32> {
    Scaler::new(Options { smooths: Duration::ZERO, ..Options::default() })
}

/// The first decision of a scaler that finds so many nodes.
fn first(count: u32, region: Region) -> Decision<u32> {
    scaler().decide(seen(START, serving(count), region))
}

fn adds(decision: &Decision<u32>) -> usize {
    decision.items.iter().filter(|item| matches!(item, Item::Add(_))).count()
}

fn removed(decision: &Decision<u32>) -> Vec<u32> {
    let id = |item: &Item<u32>| if let Item::Remove(id, _) = item { Some(*id) } else { None };
    decision.items.iter().filter_map(id).collect()
}

#[test]
fn so_many_nodes_for_so_much() {
    // Nodes, busy nodes that the load is worth, and how many there are to be.
    for (nodes, busy, target, why) in [
        (3, 1.5, 3, "as few as there may be"),
        (3, 1.65, 4, "could not be lost"),
        (3, 2.5, 5, "83 % busy"),
        (6, 3.9, 6, "one fewer would not do"),
        (6, 4.1, 7, "could not be lost"),
        (10, 6.0, 10, "one fewer would do, but barely"),
        (10, 8.1, 13, "81 % busy"),
        (20, 19.0, 20, "as many as there may be"),
        (15, 30.0, 20, "200 % busy"),
    ] {
        let decision = first(nodes, offered(busy * EACH));
        let told = decision.why.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(decision.target, target, "{nodes} nodes, {busy} busy: {told}");
        assert!(told.contains(why), "{nodes} nodes, {busy} busy: {told}");
        assert_eq!(adds(&decision), target - nodes as usize);
        assert!(decision.is_order && removed(&decision).is_empty());
    }
}

#[test]
fn the_queueing_model_asks_for_nodes_that_utilisation_would_not() {
    // Where one may be lost and 80 % is far away, slow and irregular service still takes too long.
    let slow = Service { time: Duration::from_millis(17), batch: EACH * 0.017, ..service() };
    let region = Region { service: Some(slow), ..offered(2.0 * EACH) };
    let decision = first(4, region);
    assert!(matches!(decision.why[..], [Reason::TooFewNow(Obstacle::Goal { .. })]), "{:?}", decision.why);
    assert!(decision.target > 4);
    assert_eq!(first(4, offered(2.0 * EACH)).target, 4);
}

#[test]
fn what_is_measured_forces_more_whatever_capacities_say() {
    let idle = offered(1.0 * EACH);
    let with = |change: fn(&mut Snapshot<u32>)| {
        let mut seen = seen(START, serving(4), idle);
        change(&mut seen);
        let decision = scaler().decide(seen);
        assert!(decision.target > 4, "{:?}", decision.why);
        decision.why[0]
    };
    let busy = with(|seen| seen.members.iter_mut().for_each(|node| node.utilization = Ratio::new(0.85)));
    assert_eq!(busy, Reason::Utilization(0.85));
    let delay = with(|seen| seen.members[1].queue_delay = Some(Duration::from_millis(26)));
    assert_eq!(delay, Reason::QueueDelay(Duration::from_millis(26)));
    let latency = with(|seen| seen.region.latency_p95 = Some(Duration::from_millis(51)));
    assert_eq!(latency, Reason::Latency(Duration::from_millis(51)));
    let refused = with(|seen| seen.region.refused = Some(PerSecond::new(1.0 * EACH / 500.0).unwrap()));
    assert!(matches!(refused, Reason::Refused(share) if (share - 0.002).abs() < 1e-9));
}

#[test]
fn a_saturated_cluster_that_does_not_grow_is_scaled_though_its_score_is_low() {
    let worthless = Worth { node: CentsPerHour(5.0), load: CentsPerHour(5.0) };
    let region = Region { worth: Some(worthless), important: Some(Ratio::ZERO), ..offered(4.0 * EACH) };
    let decision = first(4, region);
    let total = decision.score.total.unwrap().get();
    assert!((total - 0.7).abs() < 1e-9, "{total}");
    assert_eq!(decision.target, 7);
    assert_eq!(decision.score.advice(), Advice::GrowByOne);
}

#[test]
fn the_score_of_the_brief() {
    let of = |factors: [f64; 4]| Score::new(factors.map(Ratio::new));
    let check = |factors: [f64; 4], total: f64, advice| {
        let score = of(factors);
        assert!((score.total.unwrap().get() - total).abs() < 1e-9, "{score:?}");
        assert_eq!(score.advice(), advice, "{score:?}");
    };
    check([1.0, 0.0, 1.0, 1.0], 0.7, Advice::GrowByOne);
    check([1.0, 0.0, 0.0, 0.0], 0.4, Advice::Hold);
    check([0.9, 0.9, 0.9, 0.9], 0.9, Advice::GrowByHalf);
    check([0.2, 0.2, 0.5, 0.3], 0.27, Advice::ShrinkByOne);
    // Of an unknown factor the weight goes to the others: unknown is not zero.
    check([0.9, f64::NAN, f64::NAN, f64::NAN], 0.9, Advice::GrowByHalf);
    assert_eq!(Score::new([None; 4]).total, None);
    assert_eq!(Score::new([None; 4]).advice(), Advice::Hold);
    assert_eq!([4, 5, 13].map(|nodes| of([1.0; 4]).grown(nodes)), [6, 8, 20]);
    assert_eq!(of([0.1; 4]).grown(4), 5);
}

#[test]
fn the_score_sizes_the_step_where_figures_say_only_too_few() {
    let worth = |load| Some(Worth { node: CentsPerHour(1.0), load: CentsPerHour(load) });
    let members = || {
        let mut members = serving(6);
        members.iter_mut().for_each(|node| node.utilization = Some(share(0.99)));
        members
    };
    // They carry less than they say: a load of 60 % keeps them busy.
    let region = |load| Region { worth: worth(load), important: Some(share(0.9)), ..offered(3.6 * EACH) };
    let target = |load| scaler().decide(seen(START, members(), region(load))).target;
    assert_eq!([target(100.0), target(1.0)], [9, 7]);
}

#[test]
fn a_forecast_counts_as_long_as_it_is_the_better_guess() {
    let with = |error: f64, error_persistence: f64| {
        let forecast = Forecast {
            arrivals: rate(6.0 * EACH),
            error: rate(error),
            error_persistence: rate(error_persistence),
        };
        first(6, Region { forecast: Some(forecast), ..offered(3.5 * EACH) })
    };
    let trusted = with(10.0, 20.0);
    assert!(matches!(trusted.why[..], [Reason::TooFewAhead(_)]), "{:?}", trusted.why);
    assert_eq!(trusted.target, 10);
    assert!(trusted.figures.is_forecast && trusted.figures.arrivals_ahead > Some(rate(6.0 * EACH)));
    let worse = with(21.1, 20.0);
    assert_eq!(worse.target, 6);
    assert!(!worse.figures.is_forecast);
    assert_eq!(worse.figures.arrivals_ahead, Some(rate(3.5 * EACH + 20.0)));
    // Where neither is any good, what arrives may change by as much as it usually does.
    assert_eq!(with(3_000.0, 2_000.0).target, 10);
}

#[test]
fn what_is_coming_counts_and_nobody_orders_twice() {
    let mut scaler = scaler();
    let region = offered(5.0 * EACH);
    let mut members = serving(4);
    let decision = scaler.decide(seen(START, members.clone(), region));
    assert_eq!((decision.target, adds(&decision)), (8, 4));
    members.extend((4..8).map(|id| Member::new(id, Phase::Pending, START)));
    for second in 1..60 {
        let decision = scaler.decide(seen(after(second), members.clone(), region));
        assert_eq!((decision.target, decision.items.len()), (8, 0), "{second} s: {:?}", decision.why);
        assert_eq!(decision.why.last(), Some(&Reason::Coming(4)));
    }
    // Still more arrives than those will carry: that does not wait.
    assert_eq!(scaler.decide(seen(after(60), members, offered(8.0 * EACH))).target, 13);
}

#[test]
fn no_data_is_not_zero() {
    let hold = |region: Region, figure: Figure| {
        let mut scaler = scaler();
        for minute in 0..60 {
            let decision = scaler.decide(seen(after(60 * minute), serving(8), region));
            assert_eq!((decision.target, &decision.why[..]), (8, &[Reason::NoData(figure)][..]));
        }
    };
    hold(Region::default(), Figure::Arrivals);
    hold(Region { service: Some(service()), ..Region::default() }, Figure::Arrivals);
    hold(Region { offered: Some(PerSecond::ZERO), ..Region::default() }, Figure::Service);
    // Nodes below the minimum are ordered by nobody's figures.
    let decision = first(1, Region::default());
    assert_eq!((decision.target, adds(&decision)), (3, 2));
    // Busy nodes tell what arrives, where nobody counts it.
    let mut busy = serving(4);
    busy.iter_mut().for_each(|node| node.utilization = Ratio::new(0.7));
    let decision = scaler().decide(seen(START, busy, Region::default()));
    assert!((decision.figures.arrivals.unwrap().get() - 2.8 * EACH).abs() < 1e-6);
    assert_eq!(decision.target, 5);
}

#[test]
fn without_traffic_nodes_go_one_by_one_as_slowly_as_they_should() {
    let mut scaler = scaler();
    let (mut members, mut at) = (serving(6), Vec::new());
    for second in 0..600 {
        let decision = scaler.decide(seen(after(second), members.clone(), offered(0.0)));
        let gone = removed(&decision);
        assert!(gone.len() <= 1 && adds(&decision) == 0);
        if let [gone] = gone[..] {
            assert_eq!(decision.why, [Reason::FewerDo]);
            members.retain(|member| member.id != gone);
            at.push(second);
        }
    }
    assert_eq!(at, [60, 120, 180]);
    assert_eq!(members.len(), 3);
}

#[test]
fn nothing_is_removed_for_a_dip_or_soon_after_an_addition() {
    let mut scaler = scaler();
    let mut members = serving(6);
    let mut decide = |second, members: &[Member<u32>], busy: f64| {
        scaler.decide(seen(after(second), members.to_vec(), offered(busy * EACH)))
    };
    assert_eq!(decide(0, &members, 4.2).target, 7);
    members.push(Member { since: after(5), ..Member::new(6, Phase::Serving, START) });
    for second in 1..120 {
        let decision = decide(second, &members, 1.0);
        assert_eq!((decision.target, &decision.why[..]), (7, &[Reason::CoolsDown(after(120))][..]));
    }
    // One look at which it would not do, and the time begins anew.
    assert_eq!(decide(120, &members, 4.4).target, 7);
    for second in 121..181 {
        assert_eq!(decide(second, &members, 1.0).why, [Reason::NotYet(after(181))]);
    }
    assert_eq!(decide(181, &members, 1.0).target, 6);
    // And nothing is added soon after a removal.
    members.pop();
    for second in 182..211 {
        let decision = decide(second, &members, 5.9);
        assert_eq!((decision.target, decision.why.last()), (6, Some(&Reason::CoolsDown(after(211)))));
    }
    assert_eq!(decide(211, &members, 5.9).target, 9);
}

#[test]
fn a_moment_matters_where_it_breaks_a_promise_and_not_where_it_only_leaves_no_reserve() {
    let mut scaler = Scaler::new(Options::default());
    let mut target =
        |second, busy: f64| scaler.decide(seen(after(second), serving(6), offered(busy * EACH))).target;
    assert_eq!(target(0, 3.9), 6);
    assert_eq!(target(1, 4.3), 6, "more than 67 % for a moment");
    assert_eq!(target(60, 4.3), 7, "and for a minute");
    let mut scaler = Scaler::new(Options::default());
    scaler.decide(seen(START, serving(6), offered(3.9 * EACH)));
    assert!(scaler.decide(seen(after(1), serving(6), offered(4.9 * EACH))).target > 6, "more than 80 %");
}

#[test]
fn the_lost_are_replaced_at_once_and_no_step_is_made_for_them() {
    let mut scaler = scaler();
    scaler.decide(seen(START, serving(6), offered(3.9 * EACH)));
    let mut members = serving(6);
    members[2].phase = Phase::Lost;
    let decision = scaler.decide(seen(after(1), members.clone(), offered(3.9 * EACH)));
    assert_eq!((decision.before, decision.target), (6, 6));
    assert_eq!(decision.items, [Item::Add(Reason::Missing)]);
    // It comes back when its replacement is there: seven, until one fewer has done for long enough.
    members.push(Member::new(6, Phase::Pending, after(1)));
    members[2].phase = Phase::Serving;
    let decision = scaler.decide(seen(after(2), members, offered(3.9 * EACH)));
    assert_eq!((decision.before, decision.target, decision.items.len()), (7, 7, 0));
}

#[test]
fn a_failed_addition_is_tried_again_later_each_time() {
    let mut scaler = scaler();
    let region = offered(2.2 * EACH);
    let mut tried = Vec::new();
    for second in 0..400 {
        let decision = scaler.decide(seen(after(second), serving(3), region));
        assert!(decision.target <= 4);
        if adds(&decision) == 1 {
            tried.push(second);
            let failure = Failure::NodeAdditionFailed { id: None, reason: "no machine is free".into() };
            assert_eq!(failure.to_string(), "no node was added: no machine is free");
            scaler.failed(failure.clone(), after(second));
            let told = scaler.decide(seen(after(second), serving(3), region));
            assert_eq!(told.failures, [failure]);
        }
    }
    assert_eq!(tried, [0, 10, 30, 70, 150, 310]);
    // Once it has worked, a failure is the first again.
    let all = || serving(4);
    scaler.decide(seen(after(400), all(), region));
    assert_eq!(scaler.state().additions, Trouble::default());
}

#[test]
fn who_never_serves_is_given_up_told_of_once_and_replaced() {
    let mut scaler = scaler();
    let region = offered(2.2 * EACH);
    let mut members = serving(3);
    assert_eq!(adds(&scaler.decide(seen(START, members.clone(), region))), 1);
    members.push(Member::new(9, Phase::Warming, START));
    assert!(scaler.decide(seen(after(300), members.clone(), region)).items.is_empty());
    let decision = scaler.decide(seen(after(301), members.clone(), region));
    let reason = "it took longer than 300 s".to_owned();
    assert_eq!(decision.failures, [Failure::NodeAdditionFailed { id: Some(9), reason }]);
    assert_eq!(decision.items, [Item::Remove(9, Reason::NeverServed)]);
    let decision = scaler.decide(seen(after(312), members, region));
    assert_eq!(decision.failures, []);
    assert_eq!(decision.items, [Item::Remove(9, Reason::NeverServed), Item::Add(Reason::Missing)]);
    assert_eq!(decision.target, 4);
    // Where nodes usually take longer, they are waited for.
    let mut waits = self::scaler();
    let slow = Region { warm_up_p95: Some(Duration::from_secs(200)), ..region };
    let late = [serving(3), vec![Member::new(9, Phase::Warming, START)]].concat();
    assert_eq!(waits.decide(seen(after(600), late.clone(), slow)).failures, []);
    assert_eq!(waits.decide(seen(after(601), late, slow)).failures.len(), 1);
}

#[test]
fn a_failed_removal_is_tried_again_later_and_with_another_one() {
    let mut scaler = scaler();
    let decide =
        |scaler: &mut Scaler<u32>, second| scaler.decide(seen(after(second), serving(5), offered(0.0)));
    decide(&mut scaler, 0);
    assert_eq!(removed(&decide(&mut scaler, 60)), [0]);
    for failures in 0..6 {
        let failure = Failure::NodeRemovalFailed { id: failures, reason: "it does not answer".into() };
        scaler.failed(failure, after(60));
    }
    assert!(scaler.state().removals.until == after(360));
    let decision = decide(&mut scaler, 359);
    assert_eq!((decision.target, decision.failures.len()), (5, 6));
    assert_eq!(decision.why, [Reason::BacksOff(after(360))]);
    scaler.failed(Failure::NodeRemovalFailed { id: 0, reason: "again".into() }, after(60));
    assert_eq!(removed(&decide(&mut scaler, 360)), [1], "the other one was tried last");
    // One that drains for ever is told of.
    let mut members = serving(5);
    members[1].phase = Phase::Draining;
    members[1].since = after(360);
    let decision = scaler.decide(seen(after(661), members.clone(), offered(0.0)));
    let reason = "it took longer than 300 s".to_owned();
    assert_eq!(decision.failures, [Failure::NodeRemovalFailed { id: 1, reason }]);
    // When it is gone after all, a failure is the first again.
    members.remove(1);
    scaler.decide(seen(after(700), members, offered(0.0)));
    assert_eq!(scaler.state().removals, Trouble::default());
}

#[test]
fn a_clock_that_goes_back_holds_nothing_up_for_ever() {
    let mut scaler = scaler();
    scaler.decide(seen(after(100_000), serving(3), offered(2.2 * EACH)));
    scaler.failed(Failure::NodeAdditionFailed { id: None, reason: "no".into() }, after(100_000));
    assert!(scaler.decide(seen(START, serving(3), offered(2.2 * EACH))).items.is_empty());
    assert_eq!(adds(&scaler.decide(seen(after(300), serving(3), offered(2.2 * EACH)))), 1);
    for second in 301..500 {
        scaler.decide(seen(after(second), serving(4), offered(0.0)));
    }
    assert!(scaler.state().down.is_some_and(|down| down <= after(500)));
}

#[test]
fn who_is_removed() {
    let of = |change: fn(&mut [Member<u32>])| {
        let mut members = serving(5);
        members.iter_mut().for_each(|node| node.in_flight = Some(9));
        change(&mut members);
        let mut scaler = scaler();
        scaler.decide(seen(START, members.clone(), offered(0.0)));
        removed(&scaler.decide(seen(after(60), members, offered(0.0))))
    };
    assert_eq!(of(|nodes| nodes[3].in_flight = Some(2)), [3], "the emptiest");
    assert_eq!(of(|nodes| nodes[3].in_flight = None), [0], "nothing known is not empty");
    let kept = |nodes: &mut [Member<u32>]| {
        nodes.iter_mut().for_each(|node| node.keeps = 5);
        nodes[2].keeps = 1;
    };
    assert_eq!(of(kept), [2], "the one that moves the least");
    assert_eq!(of(|nodes| nodes[4].ordered = START), [4], "the newest");
    assert_eq!(of(|nodes| nodes[1].phase = Phase::Warming), [1, 0], "one that never served is no step");
    let coming = |nodes: &mut [Member<u32>]| nodes[1] = Member::new(1, Phase::Warming, START);
    assert_eq!(of(coming), [1], "the one that does not serve yet");
}

#[test]
fn paused_nothing_is_done_and_advice_is_no_order() {
    let mut scaler = scaler();
    scaler.decide(seen(START, serving(4), offered(1.9 * EACH)));
    scaler.set_mode(Mode::Paused);
    let mut members = serving(4);
    members[0].phase = Phase::Lost;
    let decision = scaler.decide(seen(after(1), members, offered(9.0 * EACH)));
    assert_eq!((decision.target, decision.is_order, &decision.why[..]), (4, false, &[Reason::Paused][..]));
    assert!(decision.items.is_empty());
    scaler.set_mode(Mode::Advisory);
    for second in 2..10 {
        let decision = scaler.decide(seen(after(second), serving(4), offered(4.0 * EACH)));
        assert_eq!((decision.before, decision.target, decision.is_order), (4, 7, false), "{second}");
        assert_eq!(adds(&decision), 3);
        assert_eq!(scaler.state().up, None);
    }
    // Somebody has followed it.
    assert_eq!(scaler.decide(seen(after(10), serving(7), offered(4.0 * EACH))).before, 7);
    scaler.set_mode(Mode::Active);
    assert!(scaler.decide(seen(after(11), serving(7), offered(7.0 * EACH))).is_order);
}

#[test]
fn somebody_says_how_many() {
    let mut scaler = scaler();
    scaler.set_mode(Mode::Paused);
    scaler.scale_to(50);
    let decision = scaler.decide(seen(START, serving(8), offered(5.0 * EACH)));
    assert_eq!((decision.target, adds(&decision), decision.is_order), (20, 12, true));
    assert_eq!(decision.why, [Reason::ByHand]);
    scaler.set_mode(Mode::Active);
    scaler.scale_to(5);
    let decision = scaler.decide(seen(after(1), serving(8), offered(5.0 * EACH)));
    assert_eq!((decision.target, removed(&decision).len()), (5, 3));
    // Also what a person has done is not reversed within a cool-down.
    assert_eq!(scaler.decide(seen(after(30), serving(5), offered(5.0 * EACH))).target, 5);
    assert_eq!(scaler.decide(seen(after(31), serving(5), offered(5.0 * EACH))).target, 8);
}

#[test]
fn more_than_there_may_be_go_one_by_one() {
    let mut scaler = scaler();
    let decision = scaler.decide(seen(START, serving(22), offered(14.0 * EACH)));
    assert_eq!((decision.target, &decision.items[..]), (20, &[Item::Remove(0, Reason::AboveMaximum)][..]));
    assert!(scaler.decide(seen(after(59), serving(21), offered(14.0 * EACH))).items.is_empty());
    assert_eq!(scaler.decide(seen(after(60), serving(21), offered(14.0 * EACH))).items.len(), 1);
}

#[test]
fn gateways_have_bounds_of_their_own() {
    let options = Options::for_gateways(rate(4_000.0));
    let mut scaler: Scaler<&'static str> = Scaler::new(options);
    let region = Region { offered: Some(rate(50_000.0)), ..Region::default() };
    let decision = scaler.decide(Snapshot { now: START, members: Vec::new(), region });
    assert_eq!((decision.before, decision.target), (3, 10));
}

#[test]
fn the_history_is_bounded_says_what_is_new_and_can_be_decided_again() {
    let options = Options { history_most: 5, smooths: Duration::ZERO, ..Options::default() };
    let mut scaler = Scaler::new(options);
    for second in 0..100 {
        scaler.decide(seen(after(second), serving(4), offered(1.9 * EACH)));
    }
    assert_eq!(scaler.history().len(), 1, "the same for the same reasons is no news");
    for round in 0..20 {
        let busy = if round % 2 == 0 { 3.0 } else { 1.7 };
        scaler.decide(seen(after(200 + 100 * round), serving(4), offered(busy * EACH)));
    }
    assert_eq!(scaler.history().len(), 5);
    for record in scaler.history() {
        assert_eq!(record.replay(), record.decision);
    }
    // A scaler that goes on from the state goes on the same way.
    let mut other = Scaler::resumed(options, scaler.state().clone());
    let next = seen(after(5_000), serving(4), offered(3.0 * EACH));
    assert_eq!(other.decide(next.clone()), scaler.decide(next));
}
