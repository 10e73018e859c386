//! Measures the threat detectors on simulated traffic: `cargo run -p spinwell-policy --release --example threats [SEEDS]`.
//!
//! Prints tables in Markdown: what is found of each attack, how soon, what gets through, what honest traffic raises, and what
//! an observation costs. Nothing here is a measurement of real attackers; attacks do what their names say and no more.

#![allow(clippy::print_stdout, reason = "an example that prints its results")]

mod attacks;
mod cost;
mod stage;
mod traffic;

use attacks::{ATTACKS, Attack, GREY};
use spinwell_core::{Millis, Rng};
use spinwell_policy::threat::Past;
use stage::{Report, Stage};
use std::collections::{BTreeMap, BTreeSet};
use traffic::{PRINCIPALS, Traffic};

/// Seeds where none are asked for.
const SEEDS: u64 = 10;
/// Seeds of which false alarms are counted.
const HONEST_SEEDS: u64 = 3;
const HOUR_S: u64 = 3_600;
/// Requests of honest traffic before an attack, so that callers are known.
const WARM: u64 = 1_200_000;
/// Seconds of honest traffic in which false alarms are counted, after an hour of learning.
const HONEST_S: u64 = 7_200;

fn main() {
    let seeds = std::env::args().nth(1).and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    let pasts = honest(seeds);
    found(&pasts);
    grey(&pasts);
    cost::print();
}

/// What two hours of honest traffic raise; and what principals are used to then, for each seed.
fn honest(seeds: u64) -> Vec<Vec<Past>> {
    println!("## Honest traffic\n");
    println!(
        "Two hours at 10,000 requests a second after an hour of learning, {} seeds.\n",
        seeds.min(HONEST_SEEDS)
    );
    println!("| requests | findings | above log | refused | which |");
    println!("|---|---|---|---|---|");
    let (mut total, mut which, mut pasts) = (Report::default(), BTreeMap::new(), Vec::new());
    for seed in 0..seeds {
        let mut stage = Stage::new(seed);
        let mut traffic = Traffic::new(seed, 10_000);
        (0..HOUR_S).for_each(|second| traffic.second(second, &mut |own| stage.honest(own)));
        pasts.push(stage.pasts(Millis(HOUR_S * 1_000), PRINCIPALS));
        if seed >= HONEST_SEEDS {
            continue;
        }
        stage.begin_report();
        (HOUR_S..HOUR_S + HONEST_S).for_each(|second| traffic.second(second, &mut |own| stage.honest(own)));
        for finding in &stage.report.honest_findings {
            *which.entry(finding.detector.as_str()).or_insert(0u32) += 1;
        }
        total.add(&stage.report);
    }
    let above = total.honest_findings_above_log();
    let findings = total.honest_findings.len();
    println!("| {} | {findings} | {above} | {} | {which:?} |\n", total.honest, total.honest_refused);
    pasts
}

/// What is found of each attack.
fn found(pasts: &[Vec<Past>]) {
    println!("## Attacks\n");
    println!(
        "Each variant in honest traffic, {} seeds. Times are medians from its first request; *through*: of",
        pasts.len()
    );
    println!(
        "what the attack sent, the part that no measure refused. *Raised* and *refused*: findings about honest callers and"
    );
    println!("authenticated requests of theirs that a measure refused, all seeds.\n");
    println!(
        "| attack | variant | found | as | first finding | slowed | blocked | through | raised | refused |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for attack in ATTACKS {
        row(attack, pasts);
    }
    println!();
}

/// What is found of honest callers that look like attackers.
fn grey(pasts: &[Vec<Past>]) {
    println!("## Honest callers that look like attackers\n");
    println!("The same for callers in whom there is no ill will: here *found* is a false alarm.\n");
    println!(
        "| caller | what | found | as | first finding | slowed | blocked | through | raised | refused |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for caller in GREY {
        row(caller, pasts);
    }
    println!();
}

fn row(attack: &Attack, pasts: &[Vec<Past>]) {
    let (mut first, mut slowed, mut blocked) = (Vec::new(), Vec::new(), Vec::new());
    let (mut total, mut names) = (Report::default(), BTreeSet::new());
    for (seed, pasts) in (0..).zip(pasts) {
        let report = run(attack, seed, pasts);
        first.extend(report.first_s);
        slowed.extend(report.slowed_s);
        blocked.extend(report.blocked_s);
        names.extend(&report.names);
        total.add(&report);
    }
    let names: Vec<&str> = names.into_iter().collect();
    let share = 100.0 * total.attack_through as f64 / total.attack.max(1) as f64;
    println!(
        "| {} | {} | {}/{} | {} | {} | {} | {} | {share:.1} % of {} | {} | {} |",
        attack.name,
        attack.variant,
        first.len(),
        pasts.len(),
        if names.is_empty() { "-".into() } else { names.join(", ") },
        median(first),
        median(slowed),
        median(blocked),
        total.attack / pasts.len() as u64,
        total.honest_findings.len(),
        total.honest_refused,
    );
}

/// Some honest traffic, then the attack in it.
fn run(attack: &Attack, seed: u64, pasts: &[Past]) -> Report {
    let mut stage = Stage::new(seed);
    stage.restore(Millis(HOUR_S * 1_000), pasts);
    let mut traffic = Traffic::new(seed, attack.honest_per_second);
    let begin = HOUR_S + WARM / attack.honest_per_second;
    (HOUR_S..begin).for_each(|second| traffic.second(second, &mut |own| stage.honest(own)));
    let (mut rng, mut sent, mut due) = (Rng::seeded(seed).fork(99), 0, 1.0);
    for second in begin..begin + attack.seconds {
        traffic.second(second, &mut |own| stage.honest(own));
        let from = sent;
        while due >= 1.0 {
            let ms = second * 1_000 + (sent - from) * 1_000 / attack.per_second.ceil() as u64;
            stage.attack((attack.request)(sent, ms.min(second * 1_000 + 999), &mut rng));
            (due, sent) = (due - 1.0, sent + 1);
        }
        due += attack.per_second;
    }
    stage.report
}

fn median(mut seconds: Vec<f64>) -> String {
    seconds.sort_by(f64::total_cmp);
    match seconds.get(seconds.len() / 2) {
        None => "-".into(),
        Some(seconds) if *seconds < 120.0 => format!("{seconds:.1} s"),
        Some(seconds) => format!("{:.0} min", seconds / 60.0),
    }
}
