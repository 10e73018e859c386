//! Retries, their budget, and timeouts.

use super::*;
use crate::breaker::Class;
use proptest::prelude::*;
use spinwell_core::{ModelName, NodeId};
use std::time::{Duration, Instant};

#[allow(clippy::disallowed_methods, reason = "any instant will do as the tests' zero")]
fn zero() -> Instant {
    Instant::now()
}

fn node(name: &str) -> NodeId {
    NodeId(name.into())
}

fn model() -> ModelName {
    "taxi".parse().unwrap()
}

const MS: Duration = Duration::from_millis(1);
/// Time left that limits nothing.
const LONG: Duration = Duration::from_secs(3_600);

/// Timeouts of models that answer fast.
fn timeouts() -> Timeouts {
    Timeouts::new(TimeoutOptions { least: 50 * MS, ..TimeoutOptions::default() })
}

fn patience(timeouts: &Timeouts, name: &str, left: Duration) -> Patience {
    let (model, node) = (model(), node(name));
    let outlook = Outlook {
        model: &model,
        node: &node,
        left,
        expected: Duration::ZERO,
        is_first: true,
        is_last: false,
    };
    timeouts.patience(outlook)
}

fn limit(timeouts: &Timeouts, name: &str, left: Duration) -> Duration {
    patience(timeouts, name, left).limit
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn retries_stay_below_a_fifth_and_a_few(
        acts in prop::collection::vec((0u8..4, 0u64..400), 1..600), share in 0.0f64..0.5,
    ) {
        let zero = zero();
        let options = BudgetOptions { share, per_second_min: 1, under_way_min: 2 };
        let mut budget = Budget::new(options, zero);
        let (mut ms, mut requests, mut retries) = (0, Vec::new(), Vec::new());
        let (mut requests_under_way, mut retries_under_way) = (0u64, 0u64);
        for (act, wait) in acts {
            ms += wait / 8;
            let now = zero + Duration::from_millis(ms);
            match act {
                0 | 1 => {
                    budget.begin(now);
                    requests_under_way += 1;
                    requests.push(ms);
                }
                2 => for _ in 0..5 {
                    if budget.begin_retry(now) {
                        retries_under_way += 1;
                        retries.push(ms);
                        let most = ((share * requests_under_way as f64) as u64).max(2);
                        prop_assert!(retries_under_way <= most);
                        let newest = |of: &[u64]| of.iter().filter(|&&at| at / 1000 + 10 > ms / 1000).count() as f64;
                        prop_assert!(newest(&retries) <= share * newest(&requests) + 10.0);
                    }
                },
                _ => {
                    budget.end();
                    requests_under_way = requests_under_way.saturating_sub(1);
                    budget.end_retry();
                    retries_under_way = retries_under_way.saturating_sub(1);
                }
            }
            prop_assert_eq!(budget.retries_under_way(), retries_under_way);
        }
    }

    #[test]
    fn quantiles_are_right_to_a_tenth(mut spans in prop::collection::vec(1u64..100_000, 1..300), share in 0.01f64..1.0) {
        let zero = zero();
        let mut quantiles = quantiles::Quantiles::new(zero);
        spans.iter().for_each(|&span| quantiles.add(MS * span as u32, zero));
        spans.sort_unstable();
        let exact = spans[((share * spans.len() as f64).ceil() as usize).max(1) - 1] as f64;
        let got = quantiles.quantile(share).as_secs_f64() * 1e3;
        prop_assert!(got >= 0.999 * exact && got <= 1.101 * exact, "{got} {exact}");
    }

    #[test]
    fn an_attempt_never_takes_more_than_a_quarter_of_the_failover_timeout(
        spans in prop::collection::vec((1u64..20_000, any::<bool>()), 0..200), failover in 1u64..30_000,
    ) {
        let (zero, options) = (zero(), TimeoutOptions { failover: MS * failover as u32, ..TimeoutOptions::default() });
        let mut timeouts = Timeouts::new(options);
        for (span, is_answered) in spans {
            timeouts.observe(&model(), &node("a"), MS * span as u32, is_answered, zero);
            prop_assert!(limit(&timeouts, "a", LONG) <= MS * failover as u32 / 4);
        }
    }
}

#[test]
fn what_is_tried_again() {
    let zero = zero();
    let check = |end: End, tried: usize, left_ms: u32, wanted: Next| {
        let mut budget = Budget::new(BudgetOptions::default(), zero);
        let mut course = Course::new(CourseOptions::default(), zero + MS * left_ms);
        (0..tried).for_each(|tried| course.begin(node(&format!("n{tried}"))));
        assert_eq!(course.next(end, 20 * MS, zero, &mut budget), wanted, "{end:?} {tried} {left_ms}");
        assert_eq!(budget.retries_under_way(), u64::from(wanted == Next::Retry));
    };
    check(End::Answered, 1, 100, Next::Done);
    check(End::ClientError, 1, 100, Next::GiveUp(GiveUp::ClientError));
    for end in [End::BackPressure, End::Declined, End::Refused, End::Failed, End::TimedOut] {
        check(end, 1, 100, Next::Retry);
        check(end, 1, 20, Next::GiveUp(GiveUp::DeadlineNear));
        check(end, 4, 100, Next::GiveUp(GiveUp::AttemptsSpent));
    }
}

#[test]
fn a_spent_budget_is_waited_for() {
    let zero = zero();
    let options = BudgetOptions { share: 0.2, per_second_min: 0, under_way_min: 10 };
    let mut budget = Budget::new(options, zero);
    (0..5).for_each(|_| budget.begin(zero));
    let mut course = Course::new(CourseOptions::default(), zero + 1000 * MS);
    course.begin(node("a"));
    assert_eq!(course.next(End::Failed, MS, zero, &mut budget), Next::Retry);
    assert_eq!(course.next(End::Failed, MS, zero, &mut budget), Next::Wait(10 * MS));
    (0..5).for_each(|_| budget.begin(zero));
    assert_eq!(course.next(End::Failed, MS, zero + 10 * MS, &mut budget), Next::Retry);
}

#[test]
fn where_it_was_tried_it_is_not_tried_again() {
    let mut course = Course::new(CourseOptions::default(), zero());
    course.begin(node("b"));
    assert_eq!(course.untried(&[node("a"), node("b"), node("c")]), [node("a"), node("c")]);
    assert_eq!(course.untried(&[node("b")]), []);
}

#[test]
fn classes_of_ends() {
    let classes = [
        End::Answered,
        End::ClientError,
        End::BackPressure,
        End::Declined,
        End::Refused,
        End::Failed,
        End::TimedOut,
    ];
    use Class::{Failure, Neutral, Success};
    assert_eq!(classes.map(End::class), [Success, Neutral, Neutral, Neutral, Failure, Failure, Failure]);
}

#[test]
fn timeouts_follow_what_answers_take() {
    let zero = zero();
    let mut timeouts = timeouts();
    let most = Duration::from_millis(2_500);
    assert_eq!(limit(&timeouts, "a", LONG), most);
    (0..100).for_each(|_| timeouts.observe(&model(), &node("a"), 40 * MS, true, zero));
    let own = limit(&timeouts, "a", LONG);
    assert!(own >= 120 * MS && own <= 133 * MS, "{own:?}");
    // Half of the time that is left is for another node, where answers do not take that long anyway.
    assert_eq!(limit(&timeouts, "a", 200 * MS), 100 * MS);
    assert!(limit(&timeouts, "a", 100 * MS) >= 80 * MS);
    // Another node is judged by the model's answers until it has enough of its own.
    assert_eq!(limit(&timeouts, "b", LONG), own);
    (0..60).for_each(|_| timeouts.observe(&model(), &node("b"), 10 * MS, true, zero));
    assert_eq!(limit(&timeouts, "b", LONG), 50 * MS);
    assert!(limit(&timeouts, "a", LONG) == own);
    // A node that became slower for good is timed out for a while, and then waited for.
    let mut count = 0;
    while limit(&timeouts, "b", LONG) < 400 * MS && count < 100 {
        let timeout = limit(&timeouts, "b", LONG);
        timeouts.observe(&model(), &node("b"), timeout, false, zero);
        count += 1;
    }
    assert!(count < 20, "{count}");
}

#[test]
fn where_an_attempt_may_take_most_of_the_time_another_node_is_asked_beside_it_after_half() {
    let (model, node, mut timeouts) = (model(), node("a"), timeouts());
    let usual = Outlook {
        model: &model,
        node: &node,
        left: 1_000 * MS,
        expected: Duration::ZERO,
        is_first: true,
        is_last: false,
    };
    let hedged = Patience { limit: 1_000 * MS, hedge: Some(500 * MS), blames: false };
    assert_eq!(timeouts.patience(usual), hedged, "nobody knows this model");
    assert_eq!(timeouts.patience(Outlook { is_last: true, ..usual }).hedge, None, "there is nobody to ask");
    assert_eq!(timeouts.patience(Outlook { is_first: false, ..usual }).hedge, None, "two are enough");
    let long = timeouts.patience(Outlook { left: LONG, ..usual });
    assert_eq!(long, Patience { limit: 2_500 * MS, hedge: None, blames: true }, "it is given up in time");
    (0..100).for_each(|_| timeouts.observe(&model, &node, 40 * MS, true, zero()));
    assert_eq!(timeouts.patience(usual).hedge, None, "it is given up in time");
    let busy = timeouts.patience(Outlook { expected: 200 * MS, ..usual });
    assert_eq!(busy, Patience { limit: 800 * MS, hedge: Some(500 * MS), blames: true });
}

#[test]
fn a_deadline_that_ends_what_was_not_late_yet_is_not_the_nodes_fault() {
    let mut timeouts = timeouts();
    assert!(!patience(&timeouts, "a", MS).blames);
    (0..100).for_each(|_| timeouts.observe(&model(), &node("a"), 40 * MS, true, zero()));
    assert_eq!(
        patience(&timeouts, "a", 60 * MS),
        Patience { limit: 60 * MS, hedge: Some(30 * MS), blames: false }
    );
    assert!(patience(&timeouts, "a", 100 * MS).blames, "it took twice as long as half of the answers");
}

#[test]
fn what_is_remembered_is_bounded() {
    let zero = zero();
    let mut timeouts = Timeouts::new(TimeoutOptions { pairs_max: 10, ..TimeoutOptions::default() });
    for number in 0..100u32 {
        timeouts.observe(&model(), &node(&number.to_string()), MS, true, zero + MS * number);
    }
    assert_eq!(timeouts.pairs(), 10);
}

#[test]
fn three_full_nodes_are_enough_and_nobody_waits_for_a_full_one() {
    let zero = zero();
    let options = BudgetOptions { share: 0.0, per_second_min: 1, under_way_min: 1 };
    let mut budget = Budget::new(options, zero);
    let course = || Course::new(CourseOptions::default(), zero + 1000 * MS);
    let (mut first, mut second) = (course(), course());
    assert_eq!(first.next(End::BackPressure, MS, zero, &mut budget), Next::Retry);
    assert_eq!(second.next(End::BackPressure, MS, zero, &mut budget), Next::GiveUp(GiveUp::Full));
    budget.end_retry();
    assert_eq!(first.next(End::BackPressure, MS, zero, &mut budget), Next::Retry);
    budget.end_retry();
    assert_eq!(first.next(End::BackPressure, MS, zero, &mut budget), Next::GiveUp(GiveUp::Full));
}
