//! The short form of `examples/threats`: honest traffic raises nothing, and loud attacks in it are found and stopped.

#[path = "../examples/threats/attacks.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod attacks;
#[path = "../examples/threats/stage.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod stage;
#[path = "../examples/threats/traffic.rs"]
mod traffic;

use attacks::{ATTACKS, Attack};
use spinwell_core::{Millis, Rng};
use stage::{Report, Stage};
use traffic::Traffic;

/// Requests a second of all honest callers.
const HONEST: u64 = 1_000;

/// An attack of a minute, after three minutes without it.
fn run(attack: Option<&Attack>, seed: u64) -> Report {
    let (mut stage, mut traffic) = (Stage::new(seed), Traffic::new(seed, HONEST));
    let begin = 7_200;
    stage.restore(Millis(begin * 1_000), &[]);
    let (mut rng, mut sent) = (Rng::seeded(seed), 0);
    for second in begin..begin + 240 {
        traffic.second(second, &mut |own| stage.honest(own));
        let Some(attack) = attack.filter(|_| second >= begin + 180) else { continue };
        let per_second = attack.per_second as u64;
        for place in 0..per_second {
            let ms = second * 1_000 + place * 1_000 / per_second;
            stage.attack((attack.request)(sent, ms, &mut rng));
            sent += 1;
        }
    }
    stage.report
}

#[test]
fn honest_traffic_raises_nothing() {
    for seed in 0..2 {
        let report = run(None, seed);
        assert!(report.honest > 200_000 && report.honest_refused == 0, "{report:?}");
        assert_eq!(report.honest_findings, []);
        assert_eq!(report.honest_findings_above_log(), 0);
    }
}

#[test]
fn loud_attacks_are_found_within_a_minute_and_nobody_else_is_touched() {
    // Extraction takes 2,000 windows, and what is within twice the quota is allowed.
    let is_loud =
        |attack: &&Attack| attack.per_second >= 2.0 && attack.seconds == 300 && attack.per_second != 99.0;
    let loud: Vec<&Attack> = ATTACKS.iter().filter(is_loud).collect();
    assert!(loud.len() > 10);
    for attack in loud {
        let report = run(Some(attack), 1);
        assert!(report.first_s.is_some_and(|first_s| first_s < 60.0), "{}, {}", attack.name, attack.variant);
        assert_eq!(report.honest_findings, [], "{}, {}", attack.name, attack.variant);
        let is_stopped = report.blocked_s.is_some() || report.slowed_s.is_some();
        let is_from_one_place =
            attack.variant.contains("one address") || attack.variant.contains("a principal");
        assert!(is_stopped || !is_from_one_place, "{}, {}", attack.name, attack.variant);
        let through = report.attack_through as f64 / report.attack as f64;
        assert!(through <= 1.0 && (through < 0.9 || report.blocked_s.is_none()), "{through}");
        assert!(!report.names.is_empty());
    }
}
