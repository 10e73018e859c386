//! Nothing is lost, nothing comes twice.

use super::*;
use crate::balance::Strategy;
use crate::balance::{Member, Options};
use crate::breaker::Class;
use proptest::prelude::*;

#[allow(clippy::disallowed_methods, reason = "any instant will do as the tests' zero")]
fn cluster(weights: &[f64]) -> (Balancer, Vec<NodeId>, Instant) {
    let (mut balancer, now) = (Balancer::new(Options::default()), Instant::now());
    let nodes: Vec<NodeId> = (0..weights.len()).map(|node| NodeId(format!("n{node:02}").into())).collect();
    for (node, &weight) in nodes.iter().zip(weights) {
        balancer.join(node.clone(), Member { weight, cluster: "c".into() }, now);
    }
    (balancer, nodes, now)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn parts_sum_up_and_are_within_one_of_their_share(
        total in 0usize..5_000, shares in prop::collection::vec(0.0f64..10.0, 1..40),
    ) {
        let parts = largest_remainder(total, &shares);
        prop_assert_eq!(parts.iter().sum::<usize>(), total);
        let sum: f64 = shares.iter().sum();
        if sum > 0.0 {
            for (&part, share) in parts.iter().zip(&shares) {
                prop_assert!((part as f64 - total as f64 * share / sum).abs() < 1.0 + 1e-6);
            }
        }
    }

    #[test]
    fn every_request_gets_one_result_whatever_fails(
        rows in prop::collection::vec(1usize..600, 1..200),
        weights in prop::collection::vec(0.1f64..4.0, 1..8),
        strategy in 0usize..5,
        acts in prop::collection::vec((any::<bool>(), 0usize..8, 0usize..200), 0..300),
    ) {
        let (balancer, nodes, now) = cluster(&weights);
        let plan = plan(&balancer, Strategy::ALL[strategy], &rows, &nodes, now).unwrap();
        let mut planned: Vec<usize> = plan.parts.iter().flat_map(|part| part.requests.clone()).collect();
        planned.sort_unstable();
        prop_assert_eq!(planned, (0..rows.len()).collect::<Vec<_>>());
        let mut at: Vec<Option<NodeId>> = vec![None; rows.len()];
        let mut alive = nodes.clone();
        let mut course = Course::new(&plan, rows.clone());
        let mut taken = vec![0; rows.len()];
        let follow = |plan: &Plan, at: &mut Vec<Option<NodeId>>| {
            for part in &plan.parts {
                part.requests.iter().for_each(|&request| at[request] = Some(part.node.clone()));
            }
        };
        follow(&plan, &mut at);
        for (is_failure, node, request) in acts {
            let node = nodes[node % nodes.len()].clone();
            let request = request % rows.len();
            if is_failure {
                alive.retain(|other| *other != node);
                let again = course.fail(&node, &balancer, &alive, now, || "refused");
                if let Some(again) = again {
                    prop_assert!(again.parts.iter().all(|part| alive.contains(&part.node)));
                    follow(&again, &mut at);
                }
            } else if course.result(&node, request, "answered") {
                prop_assert_eq!(at[request].as_ref(), Some(&node));
                taken[request] += 1;
            }
        }
        prop_assert!(taken.iter().all(|&taken| taken <= 1));
        let results = course.results(|| "missing");
        prop_assert_eq!(results.len(), rows.len());
        for (result, taken) in results.iter().zip(taken) {
            prop_assert_eq!(*result == "answered", taken == 1);
        }
    }
}

#[test]
fn shares_that_are_none_count_the_same() {
    assert_eq!(largest_remainder(5, &[0.0, f64::NAN]), [3, 2]);
    assert_eq!(largest_remainder(5, &[f64::MAX, f64::MAX, 0.0]), [3, 2, 0]);
    assert_eq!(largest_remainder(5, &[]), []);
    assert_eq!(largest_remainder(usize::MAX >> 8, &[1.0, 3.0]).iter().sum::<usize>(), usize::MAX >> 8);
}

#[test]
fn a_plan_says_how_long_it_will_take_once_that_was_measured() {
    let (mut balancer, nodes, now) = cluster(&[1.0, 1.0]);
    let rows = vec![10; 100];
    let strategy = Strategy::default();
    assert_eq!(plan(&balancer, strategy, &rows, &nodes, now).unwrap().estimated_completion_time, None);
    for count in 0..400usize {
        let rows = 10 + 90 * (count % 7);
        let begun = balancer.begin(&nodes[count % 2], rows, now);
        balancer.end(begun, Class::Success, now + Duration::from_micros(1_000 + 100 * rows as u64));
    }
    let takes = plan(&balancer, strategy, &rows, &nodes, now).unwrap().estimated_completion_time;
    // Half of the batch at each node: 1 ms and 500 rows of 0.1 ms.
    let takes = takes.unwrap().as_secs_f64();
    assert!((takes - 0.051).abs() < 0.003, "{takes}");
}
