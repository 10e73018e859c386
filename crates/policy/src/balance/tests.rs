//! What all strategies promise, and what each is for.

use super::*;
use crate::balance::Strategy;
use crate::breaker::Class;
use proptest::prelude::*;
use spinwell_core::{NodeId, Ratio, Rng};
use std::time::{Duration, Instant};

struct Story {
    zero: Instant,
    balancer: Balancer,
    rng: Rng,
    nodes: Vec<NodeId>,
}

impl Story {
    /// Nodes that have been there for long, unless a test says otherwise.
    #[allow(clippy::disallowed_methods, reason = "any instant will do as the tests' zero")]
    fn with(weights: &[f64], seed: u64) -> Self {
        let zero = Instant::now();
        let nodes: Vec<NodeId> = (0..weights.len()).map(|node| NodeId(format!("n{node}").into())).collect();
        let mut balancer = Balancer::new(Options::default());
        for (node, &weight) in nodes.iter().zip(weights) {
            balancer.join(node.clone(), Member { weight, cluster: "c".into() }, zero);
        }
        Self { zero: zero + Duration::from_secs(60), balancer, rng: Rng::seeded(seed), nodes }
    }

    fn at(&self, ms: u64) -> Instant {
        self.zero + Duration::from_millis(ms)
    }

    fn pick(&mut self, strategy: Strategy, ms: u64) -> usize {
        let (now, nodes) = (self.at(ms), self.nodes.clone());
        let pick = self.balancer.pick(Ask { rows: 64, strategy }, &nodes, now, &mut self.rng).unwrap();
        nodes.iter().position(|node| *node == pick.node).unwrap()
    }

    fn begin(&mut self, node: usize, ms: u64) -> Begun {
        let now = self.at(ms);
        self.balancer.begin(&self.nodes[node], 64, now)
    }

    /// A request of 64 rows that begins and ends.
    fn request(&mut self, node: usize, class: Class, ms: u64, took_ms: u64) {
        let begun = self.begin(node, ms);
        let now = self.at(ms + took_ms);
        self.balancer.end(begun, class, now);
    }

    /// Reports of all nodes but some, made and heard at `ms`.
    fn reports(&mut self, ms: u64, rows: &[(usize, f64)], busy: f64) {
        let now = self.at(ms);
        let ratio = |value| Ratio::new(value).unwrap();
        for &(node, rows_in_flight) in rows {
            let report =
                Report { rows_in_flight, gpu: Some(ratio(busy)), memory: ratio(0.3), cpu: ratio(0.3) };
            self.balancer.report(&self.nodes[node], report, now, now);
        }
    }

    /// How often each node is picked, with nothing under way.
    fn counts(&mut self, strategy: Strategy, ms: u64, picks: usize) -> Vec<usize> {
        let mut counts = vec![0; self.nodes.len()];
        (0..picks).for_each(|_| counts[self.pick(strategy, ms)] += 1);
        counts
    }
}

fn strategies() -> impl proptest::strategy::Strategy<Value = Strategy> {
    prop::sample::select(Strategy::ALL.to_vec())
}

#[test]
fn names_are_those_of_the_configuration() {
    for strategy in Strategy::ALL {
        assert_eq!(Strategy::of_name(strategy.as_str()), Some(strategy));
    }
    assert_eq!(Strategy::of_name("random"), None);
    assert_eq!(Strategy::default().as_str(), "weighted_least_connections");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Equal nodes of which nothing is known share by weight, whatever the strategy.
    #[test]
    fn who_is_alike_shares_by_weight(strategy in strategies(), seed in any::<u64>(), nodes in 2usize..6) {
        let mut story = Story::with(&vec![1.0; nodes], seed);
        let counts = story.counts(strategy, 0, 600 * nodes);
        for count in counts {
            prop_assert!((450..750).contains(&count), "{count}");
        }
    }

    /// Of requests that stay under way, each node has its share by weight.
    #[test]
    fn what_is_under_way_is_shared_by_weight(
        strategy in prop::sample::select(vec![
            Strategy::RoundRobin, Strategy::WeightedLeastConnections, Strategy::ResourceAware,
            Strategy::LatencyOptimized,
        ]),
        weights in prop::collection::vec(0.5f64..3.0, 2..6),
        seed in any::<u64>(),
    ) {
        let mut story = Story::with(&weights, seed);
        let mut counts = vec![0usize; weights.len()];
        let mut begun = Vec::new();
        for _ in 0..1_000 {
            let node = story.pick(strategy, 0);
            counts[node] += 1;
            begun.push(story.begin(node, 0));
        }
        let total: f64 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(&weights) {
            let share = 1_000.0 * weight / total;
            prop_assert!((*count as f64 - share).abs() < 0.15 * share + 5.0, "{counts:?} {weights:?}");
        }
    }

    /// A node that fails is left alone, however fast it fails, and is tried again later.
    #[test]
    fn a_fast_failure_is_not_attractive(strategy in strategies(), seed in any::<u64>()) {
        let mut story = Story::with(&[1.0; 4], seed);
        for turn in 0..200 {
            story.request(turn % 4, if turn % 4 == 2 { Class::Failure } else { Class::Success }, turn as u64, if turn % 4 == 2 { 1 } else { 20 });
        }
        let counts = story.counts(strategy, 250, 1_000);
        prop_assert!(counts[2] <= 25, "{counts:?}");
        // The others go on as before.
        (0..60).for_each(|turn| story.request([0, 1, 3][turn % 3], Class::Success, 59_000 + turn as u64, 20));
        let later = story.counts(strategy, 60_000, 1_000);
        prop_assert!(later[2] >= 100, "{later:?}");
    }

    /// A node that takes five times as long gets less than its part of a hundredth.
    #[test]
    fn a_slow_node_is_avoided(strategy in strategies(), seed in any::<u64>()) {
        let mut story = Story::with(&[1.0; 4], seed);
        for turn in 0..400 {
            story.request(turn % 4, Class::Success, turn as u64, if turn % 4 == 2 { 100 } else { 20 });
        }
        let counts = story.counts(strategy, 500, 1_000);
        prop_assert!(counts[2] <= 25, "{counts:?}");
    }

    /// Gateways that all hear of one idle node do not rush there: together they send it not much more than would make it as busy
    /// as the others.
    #[test]
    fn no_herd(
        strategy in prop::sample::select(vec![
            Strategy::WeightedLeastConnections, Strategy::ResourceAware, Strategy::LatencyOptimized,
        ]),
        seed in any::<u64>(),
    ) {
        const GATEWAYS: usize = 10;
        let mut gateways: Vec<Story> =
            (0..GATEWAYS as u64).map(|own| Story::with(&[1.0; 6], seed.wrapping_add(own))).collect();
        // Each gateway has one request under way at each node: a tenth of 640 rows. Node 0 then says that it is idle.
        let mut kept = Vec::new();
        for story in &mut gateways {
            (0..6).for_each(|node| kept.push(story.begin(node, 0)));
            let rows: Vec<(usize, f64)> = (0..6).map(|node| (node, if node == 0 { 64.0 } else { 640.0 })).collect();
            story.reports(1_000, &rows, 0.6);
        }
        let mut sent = [0usize; 6];
        for _ in 0..30 {
            for story in &mut gateways {
                let node = story.pick(strategy, 1_050);
                sent[node] += 1;
                kept.push(story.begin(node, 1_050));
            }
        }
        // 300 requests for six nodes, of which one has room for 9 more than the others: at most twice an equal share.
        prop_assert!(sent[0] <= 100, "{sent:?}");
        prop_assert!(sent.iter().all(|&sent| sent >= 20), "{sent:?}");
    }

    /// Whatever is said in whatever order: nothing panics, a pick is a candidate, and what has ended is not in flight.
    #[test]
    fn any_story_ends_well(
        acts in prop::collection::vec((0u8..8, 0usize..5, 0u64..2_000, 0usize..5), 1..200), seed in any::<u64>(),
    ) {
        let mut story = Story::with(&[1.0, 0.0, f64::NAN, 1e300, 2.0], seed);
        let (mut ms, mut begun) = (0, Vec::new());
        for (act, node, wait, strategy) in acts {
            ms += wait;
            let (now, id) = (story.at(ms), story.nodes[node].clone());
            match act {
                0 => story.balancer.leave(&id),
                1 => story.balancer.join(id, Member { weight: 1.0, cluster: "d".into() }, now),
                2 => story.balancer.restart(&id, now),
                3 => story.reports(ms, &[(node, if wait % 7 == 0 { f64::NAN } else { wait as f64 })], 0.5),
                4 | 5 => begun.push(story.begin(node, ms)),
                _ => if let Some(one) = begun.pop() {
                    let class = [Class::Success, Class::Neutral, Class::Failure][wait as usize % 3];
                    story.balancer.end(one, class, now);
                },
            }
            let candidates = &story.nodes[node..];
            let ask = Ask { rows: wait as usize, strategy: Strategy::ALL[strategy] };
            if let Some(pick) = story.balancer.pick(ask, candidates, now, &mut story.rng) {
                prop_assert!(candidates.contains(&pick.node));
                prop_assert_eq!(pick.fell_back.is_some(), pick.strategy_used != ask.strategy);
                prop_assert!(pick.drawn_from >= 1 && pick.drawn_from <= pick.looked_at);
            }
        }
        let now = story.at(ms);
        begun.into_iter().for_each(|one| story.balancer.end(one, Class::Success, now));
        prop_assert!(story.nodes.iter().all(|node| story.balancer.rows_in_flight(node) == 0.0));
    }
}

#[test]
fn stale_reports_are_unknown() {
    use Strategy::WeightedLeastConnections;
    let mut story = Story::with(&[1.0; 3], 1);
    // Node 0 says that it is idle, and then nothing more; the others go on saying that they are busy.
    story.reports(0, &[(0, 0.0), (1, 640.0), (2, 640.0)], 0.5);
    assert_eq!(story.counts(WeightedLeastConnections, 1, 100), [100, 0, 0]);
    story.reports(3_000, &[(1, 640.0), (2, 640.0)], 0.5);
    let counts = story.counts(WeightedLeastConnections, 3_001, 300);
    assert!(counts.iter().all(|&count| count > 60), "{counts:?}");
}

#[test]
fn who_has_more_free_is_preferred_with_and_without_a_card() {
    let free = strategy::resource_aware::free;
    let with = |gpu, memory, cpu| free(load::Free { gpu, memory, cpu });
    assert!((with(Some(0.5), 0.4, 0.2) - 0.44).abs() < 1e-12);
    assert!((with(None, 0.4, 0.2) - 0.35).abs() < 1e-12);
    assert_eq!(with(Some(0.0), 0.0, 0.0), 0.02);
    let mut story = Story::with(&[1.0; 2], 1);
    story.reports(0, &[(0, 64.0)], 0.9);
    story.reports(0, &[(1, 64.0)], 0.1);
    assert_eq!(story.counts(Strategy::ResourceAware, 1, 50), [0, 50]);
}

#[test]
fn a_new_node_starts_slowly() {
    let mut story = Story::with(&[1.0; 3], 1);
    let now = story.at(0);
    let id = story.nodes[2].clone();
    story.balancer.restart(&id, now);
    for strategy in [Strategy::RoundRobin, Strategy::WeightedLeastConnections] {
        let mut begun = Vec::new();
        let mut counts = [0; 3];
        for _ in 0..210 {
            let node = story.pick(strategy, 0);
            counts[node] += 1;
            begun.push(story.begin(node, 0));
        }
        assert!((5..=20).contains(&counts[2]), "{strategy:?} {counts:?}");
        let now = story.at(0);
        begun.into_iter().for_each(|one| story.balancer.end(one, Class::Neutral, now));
    }
}

#[test]
fn what_cannot_be_predicted_is_placed_by_the_default_and_says_so() {
    let mut story = Story::with(&[1.0; 2], 1);
    let ask = Ask { rows: 64, strategy: Strategy::Predictive };
    let (now, nodes) = (story.at(0), story.nodes.clone());
    let pick = story.balancer.pick(ask, &nodes, now, &mut story.rng).unwrap();
    assert_eq!(pick.strategy_used, Strategy::WeightedLeastConnections);
    assert_eq!(pick.fell_back, Some(FellBack::NotPredictable));
    (0..200).for_each(|turn| {
        let took = if turn % 2 == 0 { 10 } else { 40 };
        story.request(turn % 2, Class::Success, 10 * turn as u64, took);
    });
    let now = story.at(2_100);
    let pick = story.balancer.pick(ask, &nodes, now, &mut story.rng).unwrap();
    assert_eq!((pick.strategy_used, pick.fell_back), (Strategy::Predictive, None));
    assert_eq!(pick.node, nodes[0]);
}

#[test]
fn who_was_away_has_saved_no_turns_up() {
    let mut story = Story::with(&[1.0; 3], 1);
    let (now, some) = (story.at(0), story.nodes[..2].to_vec());
    let ask = Ask { rows: 64, strategy: Strategy::RoundRobin };
    for _ in 0..100 {
        story.balancer.pick(ask, &some, now, &mut story.rng);
    }
    let counts = story.counts(Strategy::RoundRobin, 0, 30);
    assert!(counts.iter().all(|&count| (9..=11).contains(&count)), "{counts:?}");
}

#[test]
fn of_many_nodes_some_are_looked_at() {
    let mut story = Story::with(&[1.0; 200], 1);
    let (now, nodes) = (story.at(0), story.nodes.clone());
    let ask = Ask { rows: 64, strategy: Strategy::default() };
    let pick = story.balancer.pick(ask, &nodes, now, &mut story.rng).unwrap();
    assert_eq!(pick.looked_at, 32);
    let counts = story.counts(Strategy::default(), 0, 4_000);
    assert!(counts.iter().all(|&count| count > 0 && count < 60));
}
