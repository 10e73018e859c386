//! One sentence of the module's page after the other.

use super::super::Counts;
use super::super::objective::ObjectiveName;
use super::super::rules::Severity;
use super::*;
use proptest::prelude::*;
use spinwell_core::{Millis, ModelVersion, NodeId, UnixMillis};

const SHORT: Millis = Millis(300_000);

fn at(seconds: u64) -> UnixMillis {
    UnixMillis(1_795_824_000_000 + seconds * 1_000)
}

fn node(number: usize) -> NodeId {
    NodeId(format!("n{number}").into())
}

fn counts(bad: u64, total: u64) -> Counts {
    Counts { good: total - bad, total }
}

/// Nodes of which each had so many bad ones of a thousand.
fn seen(bad: &[u64]) -> Situation {
    let nodes = bad.iter().enumerate().map(|(number, bad)| NodeSeen {
        id: node(number),
        state: NodeState::Serving,
        counts: counts(*bad, 1_000),
    });
    Situation {
        objective: ObjectiveName::new("availability").unwrap(),
        firing: Some(Severity::Page),
        short: SHORT,
        counts: counts(bad.iter().sum(), 1_000 * bad.len() as u64),
        is_about_capacity: false,
        nodes: nodes.collect(),
        nodes_max: 20,
        utilisation_percent: None,
        is_shedding: false,
        rollouts: Vec::new(),
    }
}

fn busy(nodes: usize, percent: u32) -> Situation {
    let own = seen(&vec![10; nodes]);
    Situation { is_about_capacity: true, utilisation_percent: Some(percent), ..own }
}

fn acts() -> Remedy {
    Remedy::new(Guards { mode: Mode::Act, ..Guards::default() }, RemedyPast::default())
}

fn shown(decided: &[Decision]) -> Vec<String> {
    let text = |own: &Decision| {
        let step = match &own.step {
            Step::Do(action) => action.to_string(),
            Step::Undo(action) => format!("undo {action}"),
        };
        match own.verdict {
            Verdict::Act => step,
            Verdict::DryRun => format!("{step} (dry)"),
            Verdict::Refused(guard) => format!("{step}: {guard}"),
        }
    };
    decided.iter().map(text).collect()
}

fn check(situation: &Situation, expected: &[&str]) {
    assert_eq!(shown(&acts().look(situation, at(0))), expected, "{situation:?}");
}

#[test]
fn figures_point_at_what_is_to_blame() {
    check(&seen(&[1, 300, 2, 1]), &["eject_node n1"]);
    check(&seen(&[300, 300, 300]), &[]);
    check(&seen(&[1, 19, 0]), &[]);
    check(&seen(&[100, 299, 100]), &[]);
    check(&seen(&[20, 100, 20, 20, 20, 20, 20, 20, 20]), &[]);
    check(&Situation { firing: Some(Severity::Ticket), ..seen(&[1, 300, 2]) }, &[]);
    check(&busy(3, 90), &["scale_up by 2"]);
    check(&busy(3, 79), &[]);
    check(&busy(19, 200), &["scale_up by 1"]);
    check(&busy(20, 90), &["shed_low_priority"]);
    check(&Situation { is_shedding: true, ..busy(20, 90) }, &[]);
    check(&Situation { is_about_capacity: false, ..busy(3, 90) }, &[]);
    let mut ejected = seen(&[1, 300, 2]);
    ejected.nodes[1].state = NodeState::Ejected;
    check(&ejected, &["restart_node n1"]);
}

#[test]
fn a_version_that_began_a_while_ago_is_rolled_back_before_anything_else() {
    let rollout = Rollout {
        model: "taxi".parse().unwrap(),
        from: ModelVersion(7),
        to: ModelVersion(6),
        counts: counts(290, 400),
    };
    let situation = Situation { rollouts: vec![rollout.clone()], ..seen(&[1, 300, 2, 1]) };
    check(&situation, &["roll_back_model taxi from 7 to 6"]);
    let harmless = Rollout { counts: counts(3, 400), ..rollout };
    check(&Situation { rollouts: vec![harmless], ..seen(&[1, 300, 2, 1]) }, &["eject_node n1"]);
}

#[test]
fn never_more_than_a_third_of_the_nodes_is_out() {
    let refused = "eject_node n1: 1 nodes would be out, at most 0 may be";
    check(&seen(&[1, 300]), &[refused]);
    let mut situation = seen(&[1, 300, 2, 1, 1]);
    situation.nodes[4].state = NodeState::Out;
    check(&situation, &["eject_node n1: 2 nodes would be out, at most 1 may be"]);
    let mut situation = seen(&[1, 300, 2, 1, 1, 2]);
    situation.nodes[4].state = NodeState::Out;
    check(&situation, &["eject_node n1"]);
}

#[test]
fn one_thing_is_tried_at_a_time_and_taken_back_where_it_did_not_help() {
    let mut remedy = acts();
    let situation = busy(3, 90);
    assert_eq!(shown(&remedy.look(&situation, at(0))), ["scale_up by 2"]);
    for second in (10..300).step_by(10) {
        assert_eq!(remedy.look(&situation, at(second)), [], "one at a time");
    }
    let until = at(300 + 3_600).0;
    assert_eq!(shown(&remedy.look(&situation, at(300))), ["undo scale_up by 2"]);
    assert_eq!(
        shown(&remedy.look(&situation, at(600))),
        [format!("scale_up by 2: it did not help, it is not tried before {until} (Unix ms)")]
    );
    assert_eq!(remedy.look(&situation, at(610)), [], "a refusal is told once in a while");
    let last = remedy.decisions().last().unwrap().number;
    assert_eq!(last, 2);
    assert!(remedy.decisions()[1].reason.contains("30 of 3000 were bad before, 30 of 3000 since"));
    assert_eq!(shown(&remedy.look(&situation, at(3_900))), ["scale_up by 2"], "an hour later it may be");
}

#[test]
fn what_helped_stays_and_the_node_that_was_ejected_starts_anew() {
    let mut remedy = acts();
    remedy.look(&seen(&[1, 300, 2]), at(0));
    let mut better = seen(&[1, 0, 2]);
    better.nodes[1].state = NodeState::Ejected;
    assert_eq!(shown(&remedy.look(&better, at(300))), ["restart_node n1"]);
    better.firing = None;
    assert_eq!(remedy.look(&better, at(310)), []);
    assert_eq!(remedy.effects(), []);
}

#[test]
fn low_priority_is_served_again_when_the_breach_is_over() {
    let mut remedy = acts();
    remedy.look(&busy(20, 90), at(0));
    let better = Situation { is_shedding: true, counts: counts(1, 20_000), ..busy(20, 79) };
    assert_eq!(remedy.look(&better, at(300)), [], "it helped");
    assert_eq!(remedy.look(&better, at(900)), [], "and is not over");
    let over = Situation { firing: None, ..better };
    assert_eq!(shown(&remedy.look(&over, at(1_000))), ["undo shed_low_priority"]);
    assert_eq!(remedy.look(&over, at(1_010)), []);
}

#[test]
fn what_cannot_be_judged_is_taken_back_after_three_windows() {
    let mut remedy = acts();
    remedy.look(&seen(&[1, 300, 2]), at(0));
    let silent = Situation { counts: Counts::ZERO, nodes: Vec::new(), ..seen(&[]) };
    assert_eq!(remedy.look(&silent, at(899)), []);
    assert_eq!(shown(&remedy.look(&silent, at(900))), ["undo eject_node n1"]);
}

#[test]
fn a_dry_run_decides_the_same_and_does_nothing() {
    let mut remedy = Remedy::new(Guards::default(), RemedyPast::default());
    let situation = seen(&[1, 300, 2]);
    assert_eq!(shown(&remedy.look(&situation, at(0))), ["eject_node n1 (dry)"]);
    assert_eq!(remedy.effects(), []);
    assert_eq!(remedy.look(&situation, at(300)), [], "told a while ago");
    assert_eq!(shown(&remedy.look(&situation, at(600))), ["eject_node n1 (dry)"]);
}

#[test]
fn rates_hold_for_each_kind_and_for_all_together() {
    let mut guards = Guards { mode: Mode::Act, ..Guards::default() };
    guards.budget = Rate { times: 2, within: Millis(86_400_000) };
    let mut remedy = Remedy::new(guards, RemedyPast::default());
    let other = |name: &str, situation: Situation| Situation {
        objective: ObjectiveName::new(name).unwrap(),
        ..situation
    };
    let nodes = [1, 300, 2, 1, 1, 1, 1, 1, 1];
    assert_eq!(shown(&remedy.look(&seen(&nodes), at(0))), ["eject_node n1"]);
    let mut second = nodes;
    second.swap(1, 3);
    let next = at(60).0;
    assert_eq!(
        shown(&remedy.look(&other("b", seen(&second)), at(30))),
        [format!("eject_node n3: not again before {next} (Unix ms)")]
    );
    assert_eq!(shown(&remedy.look(&other("c", busy(3, 90)), at(40))), ["scale_up by 2"]);
    let next = at(86_400).0;
    assert_eq!(
        shown(&remedy.look(&other("d", seen(&[2, 1, 400])), at(100))),
        [format!("eject_node n2: too much was done already, nothing before {next} (Unix ms)")]
    );
    let mut others = acts();
    others.look(&seen(&nodes), at(0));
    assert_eq!(
        shown(&others.look(&other("b", seen(&second)), at(60))),
        ["eject_node n3"],
        "a minute is over"
    );
    let restored = Remedy::new(Guards { mode: Mode::Act, ..Guards::default() }, remedy.past());
    assert_eq!((restored.decisions().len(), restored.effects().len()), (4, 2));
}

proptest! {
    /// Whatever is seen: never more than a third of the nodes is out by what is decided, no kind more often than its rate, and every
    /// action that was carried out is kept or taken back once.
    #[test]
    fn guards_hold_whatever_is_seen(
        looks in prop::collection::vec((prop::collection::vec(0u64..1_000, 3..9), 50u32..120, any::<bool>()), 1..60),
    ) {
        let mut remedy = acts();
        let mut out: Vec<NodeId> = Vec::new();
        for (number, (bad, percent, fires)) in looks.into_iter().enumerate() {
            let now = at(number as u64 * 60);
            let mut situation = Situation { is_about_capacity: true, utilisation_percent: Some(percent), ..seen(&bad) };
            situation.firing = fires.then_some(Severity::Page);
            situation.nodes.iter_mut().filter(|own| out.contains(&own.id)).for_each(|own| own.state = NodeState::Ejected);
            let were_out = situation.nodes.iter().filter(|own| own.state != NodeState::Serving).count();
            for own in remedy.look(&situation, now) {
                match (&own.step, own.verdict) {
                    (Step::Do(Action::EjectNode(node)), Verdict::Act) => {
                        prop_assert!(were_out < bad.len() / 3, "{were_out} of {}", bad.len());
                        out.push(node.clone());
                    }
                    (Step::Undo(Action::EjectNode(node)) | Step::Do(Action::RestartNode(node)), Verdict::Act) => {
                        out.retain(|own| own != node);
                    }
                    _ => {}
                }
            }
        }
        let taken = |kind: Kind| remedy.decisions().iter().filter(move |own| {
            own.verdict == Verdict::Act && matches!(&own.step, Step::Do(action) if action.kind() == kind)
        });
        for (kind, rate) in Guards::default().rates {
            let times: Vec<u64> = taken(kind).map(|own| own.at.0).collect();
            prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= rate.within.0), "{kind:?}: {times:?}");
        }
        prop_assert!(Kind::ALL.into_iter().map(|kind| taken(kind).count()).sum::<usize>() <= 12);
        prop_assert!(remedy.effects().len() <= 2);
    }
}
