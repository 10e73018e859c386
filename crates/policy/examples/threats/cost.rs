//! What an observation costs.

use crate::traffic::{Traffic, refused};
use spinwell_core::Rng;
use spinwell_policy::threat::{Event, Observation, Options, Sketch, Threats};
use std::hint::black_box;
use std::time::Instant;

/// Observations in a measurement.
const OBSERVATIONS: usize = 1_000_000;

/// Prints nanoseconds for each call, the least of five.
pub(crate) fn print() {
    println!("## Cost\n\nNanoseconds a call, the least of five runs over {OBSERVATIONS} observations.\n");
    println!("| what | ns |\n|---|---|");
    let honest = honest();
    let fresh = || Threats::new(Options::default(), 1).unwrap_or_else(|error| panic!("{error}"));
    let mut own = fresh();
    row("observe, honest traffic", || observe(&mut own, &honest));
    row("admit, honest traffic", || honest.iter().for_each(|one| admit(&mut own, one)));
    let rotating: Vec<Observation> = (0..OBSERVATIONS as u64)
        .map(|n| refused(n / 10, crate::traffic::ip(0x80_0000 + n % 0x7f_0000), n, n, false))
        .collect();
    let mut own = fresh();
    row("observe, a new address each time", || observe(&mut own, &rotating));
    let mut rng = Rng::seeded(1);
    let values: Vec<f32> = (0..64).map(|_| rng.normal() as f32).collect();
    row("sketch of 64 values", || sketch(&values));
}

fn observe(own: &mut Threats, all: &[Observation]) {
    for one in all {
        black_box(own.observe(one).finding);
    }
}

fn sketch(values: &[f32]) {
    for seed in 0..OBSERVATIONS as u64 {
        black_box(Sketch::of(black_box(values), seed));
    }
}

fn admit(own: &mut Threats, one: &Observation) {
    let principal = match one.event {
        Event::Authenticated { principal, .. } => Some(principal),
        Event::Refused(_) | Event::Anonymous(_) => None,
    };
    let _ = black_box(own.admit(one.now, one.address, principal));
}

fn honest() -> Vec<Observation> {
    let (mut traffic, mut all) = (Traffic::new(1, 10_000), Vec::with_capacity(OBSERVATIONS));
    for second in 0.. {
        traffic.second(second, &mut |one| all.push(one));
        if all.len() >= OBSERVATIONS {
            break;
        }
    }
    // As they come: callers mixed within each second.
    all.sort_by_key(|one| one.now);
    all.truncate(OBSERVATIONS);
    all
}

fn row(what: &str, mut run: impl FnMut()) {
    let mut least = f64::INFINITY;
    for _ in 0..5 {
        #[allow(clippy::disallowed_methods, reason = "an example that measures time")]
        let began = Instant::now();
        run();
        least = least.min(began.elapsed().as_secs_f64());
    }
    println!("| {what} | {:.0} |", least * 1e9 / OBSERVATIONS as f64);
}
