//! Nothing is lost, nothing comes twice.

use super::*;
use crate::balance::{Member, Options, Strategy};
use crate::breaker::Class;
use proptest::prelude::*;
use spinwell_core::Rng;
use std::collections::BTreeMap;

#[allow(clippy::disallowed_methods, reason = "any instant will do as the tests' zero")]
fn cluster(weights: &[f64]) -> (Balancer, Candidates, Instant) {
    let (mut balancer, now) = (Balancer::new(Options::default()), Instant::now());
    let serving: Vec<NodeId> = (0..weights.len()).map(|node| NodeId(format!("n{node:02}").into())).collect();
    for (node, &weight) in serving.iter().zip(weights) {
        balancer.join(node.clone(), Member { weight, cluster: "c".into() }, now);
    }
    (balancer, Candidates { serving, ..Candidates::default() }, now)
}

fn batch(rows: &[usize]) -> Batch<'_> {
    Batch { rows, strategy: Strategy::default() }
}

/// How many requests each node gets.
fn counts(plan: &Plan) -> BTreeMap<NodeId, usize> {
    plan.parts.iter().map(|part| (part.node.clone(), part.requests.len())).collect()
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
    fn every_request_is_planned_once_and_probes_get_one_each(
        rows in prop::collection::vec(1usize..600, 1..200),
        weights in prop::collection::vec(0.1f64..4.0, 1..8),
        strategy in 0usize..5,
        probing in 0usize..4,
        seed in any::<u64>(),
    ) {
        let (mut balancer, mut candidates, now) = cluster(&weights);
        let probing = probing.min(candidates.serving.len() - 1);
        candidates.probing = candidates.serving.split_off(candidates.serving.len() - probing);
        let batch = Batch { rows: &rows, strategy: Strategy::ALL[strategy] };
        let plan = plan(&mut balancer, batch, &candidates, now, &mut Rng::seeded(seed)).unwrap();
        let mut planned: Vec<usize> = plan.parts.iter().flat_map(|part| part.requests.clone()).collect();
        planned.sort_unstable();
        prop_assert_eq!(planned, (0..rows.len()).collect::<Vec<_>>());
        let counts = counts(&plan);
        prop_assert_eq!(counts.len(), plan.parts.len(), "a node has one part");
        for (place, node) in candidates.probing.iter().enumerate() {
            prop_assert_eq!(counts.get(node).copied(), (place < rows.len()).then_some(1));
        }
        prop_assert!(counts.keys().all(|node| candidates.serving.contains(node) || candidates.probing.contains(node)));
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
fn what_is_left_over_of_many_batches_goes_to_all_alike() {
    let (mut balancer, candidates, now) = cluster(&[1.0; 4]);
    let mut rng = Rng::seeded(1);
    // One request, fewer than there are nodes, and one more than an equal part for each.
    for requests in [1, 3, 5] {
        let mut sums: BTreeMap<NodeId, usize> = BTreeMap::new();
        for _ in 0..1_000 {
            let plan = plan(&mut balancer, batch(&vec![10; requests]), &candidates, now, &mut rng).unwrap();
            counts(&plan).into_iter().for_each(|(node, count)| *sums.entry(node).or_default() += count);
        }
        let mean = 1_000 * requests / 4;
        assert!(
            sums.len() == 4 && sums.values().all(|&sum| sum.abs_diff(mean) < 100),
            "{requests}: {sums:?}"
        );
    }
}

#[test]
fn a_node_that_is_busy_gets_less_of_a_batch() {
    let (mut balancer, candidates, now) = cluster(&[1.0, 1.0]);
    let busy = balancer.begin(&candidates.serving[0], 500, now);
    let mut rng = Rng::seeded(1);
    // 500 rows wait at one: least connections gives the other twice as much of 1,000 rows.
    let even = plan(&mut balancer, batch(&[10; 100]), &candidates, now, &mut rng).unwrap();
    assert_eq!(counts(&even).into_values().collect::<Vec<_>>(), [33, 67]);
    // Of a batch of one, it gets nothing.
    let one = plan(&mut balancer, batch(&[10]), &candidates, now, &mut rng).unwrap();
    assert_eq!(one.parts, [Part { node: candidates.serving[1].clone(), requests: vec![0] }]);
    balancer.end(busy, Class::Success, now);
}

#[test]
fn without_nodes_that_serve_only_probes_are_planned() {
    let (mut balancer, mut candidates, now) = cluster(&[1.0]);
    std::mem::swap(&mut candidates.serving, &mut candidates.probing);
    let mut rng = Rng::seeded(1);
    let probe = plan(&mut balancer, batch(&[1, 1, 1]), &candidates, now, &mut rng).unwrap();
    assert_eq!(probe.parts, [Part { node: candidates.probing[0].clone(), requests: vec![0] }]);
    assert_eq!(plan(&mut balancer, batch(&[1]), &Candidates::default(), now, &mut rng), None);
}

#[test]
fn a_plan_says_how_long_it_will_take_once_that_was_measured() {
    let (mut balancer, candidates, now) = cluster(&[1.0, 1.0]);
    let (rows, mut rng) = (vec![10; 100], Rng::seeded(1));
    let first = plan(&mut balancer, batch(&rows), &candidates, now, &mut rng).unwrap();
    assert_eq!(first.estimated_completion_time, None);
    // Requests are alike, as they are in practice, and as many as eight come together.
    for count in 0..200usize {
        let node = &candidates.serving[count % 2];
        let begun: Vec<_> = (0..=count % 8).map(|_| balancer.begin(node, 10, now)).collect();
        for (before, begun) in (1..).zip(begun) {
            balancer.end(begun, Class::Success, now + Duration::from_micros(1_000 + 1_000 * before));
        }
    }
    let later = plan(&mut balancer, batch(&rows), &candidates, now, &mut rng).unwrap();
    // Half of the batch at each node: 1 ms and fifty requests of 10 rows, 0.1 ms each.
    let takes = later.estimated_completion_time.unwrap().as_secs_f64();
    assert!((takes - 0.051).abs() < 0.003, "{takes}");
}
