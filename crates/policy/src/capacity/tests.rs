//! Against published figures, closed forms, and queues that are simulated customer by customer.

use super::*;
use proptest::prelude::*;
use spinwell_core::{Ratio, Rng};
use std::time::Duration;

const P95: f64 = 0.95;

fn rate(value: f64) -> PerSecond {
    PerSecond::new(value).unwrap()
}

fn share(value: f64) -> Ratio {
    Ratio::new(value).unwrap()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Servers that take 10 ms each.
fn service(variability: f64) -> Service {
    Service { time: Duration::from_millis(10), variability, batch: 1.0, servers: 1 }
}

fn queue(nodes: usize, utilization: f64, [arrivals, services]: [f64; 2]) -> Queue {
    let load = Load { arrivals: rate(100.0 * nodes as f64 * utilization), variability: arrivals };
    Queue::new(nodes, &service(services), load).unwrap()
}

const MM: [f64; 2] = [1.0, 1.0];

#[test]
fn the_figures_of_our_reference() {
    // Nodes, utilisation, P95 of waiting in ms, as tabulated for M/M/c with 10 ms of service.
    for (nodes, utilization, wait, precision) in [
        (3, 0.66, 21.0, 0.5),
        (3, 0.80, 43.0, 0.5),
        (6, 0.66, 8.0, 0.5),
        (6, 0.80, 20.0, 0.6),
        (10, 0.66, 3.5, 0.1),
        (10, 0.80, 10.5, 0.1),
        (20, 0.66, 0.2, 0.06),
        (20, 0.80, 4.0, 0.5),
    ] {
        let got = ms(queue(nodes, utilization, MM).wait(share(P95)));
        assert!((got - wait).abs() <= precision, "{nodes} nodes at {utilization}: {got} ms, not {wait}");
    }
    for (utilization, waits) in [(0.66, 0.43), (0.80, 0.65)] {
        let got = queue(3, utilization, MM).wait_probability().get();
        assert!((got - waits).abs() < 0.006, "{utilization}: {got}, not {waits}");
    }
}

#[test]
fn closed_forms() {
    // M/M/1: all of it is exponential.
    let one = queue(1, 0.8, MM);
    assert!((one.wait_probability().get() - 0.8).abs() < 1e-12);
    assert!((ms(one.wait_mean()) - 40.0).abs() < 1e-6);
    assert!((ms(one.latency(share(P95))) - 50.0 * 20f64.ln()).abs() < 1e-3);
    assert!((one.takes_longer(Duration::from_millis(50)).get() - (-1f64).exp()).abs() < 1e-9);
    // M/M/2 at half its capacity: one in three waits.
    assert!((queue(2, 0.5, MM).wait_probability().get() - 1.0 / 3.0).abs() < 1e-12);
    // Pollaczek and Khinchine: constant service halves the mean of waiting.
    assert!((ms(queue(1, 0.8, [1.0, 0.0]).wait_mean()) - 20.0).abs() < 1e-6);
    // Nothing varies, nobody waits.
    assert_eq!(queue(4, 0.9, [0.0, 0.0]).wait(share(0.999)), Duration::ZERO);
    assert!((ms(queue(4, 0.9, [0.0, 0.0]).latency(share(0.999))) - 10.0).abs() < 1e-6);
}

#[test]
fn nothing_to_do_and_too_much_of_it() {
    let idle = queue(3, 0.0, MM);
    assert_eq!((idle.wait_probability().get(), idle.wait_mean()), (0.0, Duration::ZERO));
    assert!((ms(idle.latency(share(P95))) - 10.0 * 20f64.ln()).abs() < 1e-3);
    for nodes in [0, 3] {
        assert_eq!(Queue::new(nodes, &service(1.0), Load::poisson(rate(300.0))), None);
    }
    assert_eq!((PerSecond::new(-1.0), PerSecond::new(f64::NAN)), (None, None));
}

#[test]
fn requests_that_are_served_together_are_one_customer() {
    let alone = Queue::new(3, &service(1.0), Load::poisson(rate(198.0)));
    let together = Service { batch: 8.0, ..service(1.0) };
    assert_eq!(Queue::new(3, &together, Load::poisson(rate(8.0 * 198.0))), alone);
    // Three nodes of two servers are six servers.
    let twice = Service { servers: 2, ..service(1.0) };
    assert_eq!(
        Queue::new(3, &twice, Load::poisson(rate(396.0))),
        Queue::new(6, &service(1.0), Load::poisson(rate(396.0)))
    );
}

#[test]
fn how_many_nodes_bear_a_loss() {
    for (nodes, wanted) in [(3, 0.533), (6, 0.667), (20, 0.76), (1, 0.0), (0, 0.0)] {
        assert!((survivable(nodes).get() - wanted).abs() < 5e-4, "{nodes}");
    }
    for (busy, wanted) in [(0.0, 1), (0.1, 2), (1.6, 3), (1.61, 4), (4.0, 6), (15.2, 20)] {
        assert_eq!(survivable_nodes(busy), wanted, "{busy}");
    }
}

/// A queue of so many customers, in order: waits and latencies in ms, sorted (Kiefer and Wolfowitz: who comes gets the server that is
/// free first).
fn simulated(servers: usize, utilization: f64, [arrivals, services]: [f64; 2], seed: u64) -> [Vec<f64>; 2] {
    let mut rng = Rng::seeded(seed);
    let (mut now, mut free) = (0.0, vec![0.0; servers]);
    let mut seen = [Vec::new(), Vec::new()];
    for customer in 0..330_000 {
        now += 10.0 / (servers as f64 * utilization) * gamma(arrivals, &mut rng);
        let first = (0..servers).min_by(|a, b| f64::total_cmp(&free[*a], &free[*b])).unwrap();
        let wait = f64::max(free[first] - now, 0.0);
        let service = 10.0 * gamma(services, &mut rng);
        free[first] = now + wait + service;
        if customer >= 30_000 {
            seen[0].push(wait);
            seen[1].push(wait + service);
        }
    }
    seen.iter_mut().for_each(|all| all.sort_by(f64::total_cmp));
    seen
}

/// A time of mean 1 and that squared coefficient of variation: constant, a mean of exponential ones, or now and then much longer.
fn gamma(variability: f64, rng: &mut Rng) -> f64 {
    let exponential = |rng: &mut Rng| -(1.0 - rng.uniform()).ln();
    if variability == 0.0 {
        return 1.0;
    }
    if variability <= 1.0 {
        let phases = (1.0 / variability).round() as usize;
        return (0..phases).map(|_| exponential(rng)).sum::<f64>() / phases as f64;
    }
    // Two exponential phases with balanced means.
    let often = 0.5 * (1.0 + ((variability - 1.0) / (variability + 1.0)).sqrt());
    let share = if rng.uniform() < often { often } else { 1.0 - often };
    exponential(rng) / (2.0 * share)
}

#[test]
fn simulated_queues_wait_as_long() {
    // Servers, utilisation, variability of arrivals and services, and how far the model may be off.
    for (servers, utilization, variability, off) in [
        (1, 0.7, MM, 0.05),
        (3, 0.8, MM, 0.05),
        (8, 0.9, MM, 0.1),
        (1, 0.8, [1.0, 0.0], 0.1),
        (3, 0.8, [1.0, 0.25], 0.1),
        (3, 0.85, [2.0, 1.0], 0.2),
        (6, 0.9, [1.0, 0.5], 0.15),
    ] {
        let [waits, latencies] = simulated(servers, utilization, variability, 5);
        let model = queue(servers, utilization, variability);
        let at = |all: &[f64]| all[(P95 * all.len() as f64) as usize];
        let mean = waits.iter().sum::<f64>() / waits.len() as f64;
        for (what, got, wanted) in [
            ("mean wait", ms(model.wait_mean()), mean),
            ("P95 wait", ms(model.wait(share(P95))), at(&waits)),
            ("P95 latency", ms(model.latency(share(P95))), at(&latencies)),
        ] {
            let told =
                format!("{servers} at {utilization}, {variability:?}: {what} {got}, simulated {wanted}");
            assert!((got / wanted - 1.0).abs() <= off, "{told}");
        }
    }
}

proptest! {
    #[test]
    fn the_fewest_nodes_are_the_fewest(
        arrivals in 0.0..20_000.0f64,
        variability in [0.0..2.0f64, 0.0..2.0f64],
        within in 1..80u64,
        is_wait in any::<bool>()
    ) {
        let service = Service { batch: 7.5, ..service(variability[1]) };
        let load = Load { arrivals: rate(arrivals), variability: variability[0] };
        let of = if is_wait { Measure::Wait } else { Measure::Latency };
        let goal = Goal { percentile: share(P95), within: Duration::from_millis(within), of };
        let keeps = |nodes| Queue::new(nodes, &service, load).is_some_and(|queue| goal.is_kept(&queue));
        match nodes_for(load, &service, &goal, 40) {
            Some(nodes) => {
                prop_assert!((nodes..=40).all(keeps));
                prop_assert!(!keeps(nodes - 1));
            }
            None => prop_assert!(!(0..=40).any(keeps)),
        }
    }

    #[test]
    fn percentiles_are_where_so_many_are_later(
        nodes in 1..20usize,
        utilization in 0.01..0.99f64,
        variability in [0.1..3.0f64, 0.1..3.0f64],
        percentile in 0.5..0.999f64
    ) {
        let queue = queue(nodes, utilization, variability);
        let late = 1.0 - percentile;
        let latency = queue.latency(share(percentile));
        prop_assert!((queue.takes_longer(latency).get() - late).abs() < 1e-3 * late.max(1e-3));
        let wait = queue.wait(share(percentile));
        prop_assert!(wait <= latency);
        let longer = queue.waits_longer(wait).get();
        let is_there = if wait.is_zero() { longer <= late } else { (longer - late).abs() < 1e-3 * late };
        prop_assert!(is_there, "{wait:?}: {longer}, not {late}");
    }

    #[test]
    fn more_work_never_waits_less_and_more_nodes_never_longer(
        nodes in 1..20usize,
        utilization in 0.0..0.9f64,
        more in 0.0..0.09f64
    ) {
        let of = |nodes: usize, utilization: f64| queue(nodes, utilization, MM).latency(share(P95));
        prop_assert!(of(nodes, utilization) <= of(nodes, utilization + more) + Duration::from_nanos(2));
        let spread = utilization * nodes as f64 / (nodes as f64 + 1.0);
        prop_assert!(of(nodes + 1, spread) <= of(nodes, utilization) + Duration::from_nanos(2));
    }
}
