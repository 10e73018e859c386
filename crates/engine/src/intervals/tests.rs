//! The intervals as a whole, on streams whose noise is known.

use super::score::TERMS;
use super::*;
use spinwell_core::Rng;

/// Forecasts of a random walk's next values whose errors are `bias(row)` + `size(row)` times noise of unit variance
/// that neighbouring origins share as forecasts `horizon` ahead do.
fn outcomes(seed: u64, rows: usize, horizon: usize, error: impl Fn(usize, f64) -> f64) -> Vec<Outcome> {
    let mut rng = Rng::seeded(seed);
    let shocks: Vec<f64> = (0..rows + horizon).map(|_| rng.normal()).collect();
    let mut last = 0.0;
    let one = |row: usize| {
        last += 0.1 * rng.normal();
        let shared = shocks[row..row + horizon].iter().sum::<f64>() / (horizon as f64).sqrt();
        let forecast = last + 0.2 * rng.normal();
        Outcome { row, last, forecast, truth: forecast + error(row, shared) }
    };
    (0..rows).map(one).collect()
}

fn intervals(outcomes: &[Outcome], horizon: usize, coverage: f64) -> Intervals {
    let track = calibrate(outcomes, Setup { horizon, season: 1, coverage }).track;
    Intervals::new(coverage, vec![horizon], vec![track])
}

/// Serves `outcomes` to a fresh stream. For each: whether it was inside, and the half-width.
fn serve(intervals: &Intervals, outcomes: &[Outcome]) -> Vec<(bool, f64)> {
    let horizon = intervals.scored[0];
    let mut states = intervals.fresh();
    let mut served = Vec::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        let known = index.checked_sub(horizon).map_or(f64::NAN, |origin| outcomes[origin].truth);
        intervals.observe(0, &mut states[0], outcome.row, known);
        states[0].set_last(outcome.last);
        let outlook = intervals.outlook(0, &states, outcome.row, |_| outcome.forecast);
        let half = outlook.half_width(horizon);
        served.push(((outcome.truth - outcome.forecast).abs() <= half, half));
        intervals.note(0, &mut states[0], outcome.row, outcome.forecast);
    }
    served
}

fn coverage(served: &[(bool, f64)]) -> f64 {
    served.iter().filter(|one| one.0).count() as f64 / served.len() as f64
}

/// Shape of an error, what is allowed of the coverage over all, and of its worst 200 rows.
struct Case {
    name: &'static str,
    horizon: usize,
    error: fn(usize, f64) -> f64,
    within: f64,
    worst: f64,
}

#[test]
fn streams_are_covered_while_their_noise_changes() {
    let swelling: fn(usize, f64) -> f64 = |row, noise| noise * (1.5 + (row as f64 / 300.0).sin());
    let cases = [
        Case { name: "steady", horizon: 1, error: |_, noise| noise, within: 0.01, worst: 0.88 },
        Case { name: "swelling", horizon: 1, error: swelling, within: 0.01, worst: 0.88 },
        Case { name: "swelling", horizon: 6, error: swelling, within: 0.02, worst: 0.78 },
        // Four times the noise from row 5,000 on.
        Case {
            name: "louder",
            horizon: 1,
            error: |row, noise| noise * if row < 5000 { 1.0 } else { 4.0 },
            within: 0.01,
            worst: 0.85,
        },
        // Forecasts are off by three deviations from row 5,000 on: only larger intervals help.
        Case {
            name: "shifted",
            horizon: 1,
            error: |row, noise| noise + if row < 5000 { 0.0 } else { 3.0 },
            within: 0.015,
            worst: 0.85,
        },
        Case {
            name: "shifted",
            horizon: 6,
            error: |row, noise| noise + if row < 5000 { 0.0 } else { 3.0 },
            within: 0.04,
            worst: 0.5,
        },
    ];
    for Case { name, horizon, error, within, worst } in cases {
        let outcomes = outcomes(11, 8000, horizon, error);
        let intervals = intervals(&outcomes[..3000], horizon, 0.95);
        let served = serve(&intervals, &outcomes[3000..]);
        let all = coverage(&served);
        assert!((all - 0.95).abs() < within, "{name} {horizon}: {all}");
        let least = served.windows(200).map(coverage).fold(1.0, f64::min);
        assert!(least >= worst, "{name} {horizon}: {least}");
        let last = coverage(&served[4000..]);
        assert!((last - 0.95).abs() < 0.03, "{name} {horizon} at the end: {last}");
    }
}

#[test]
fn the_same_rows_give_the_same_bits() {
    let outcomes = outcomes(12, 3000, 3, |_, noise| noise);
    let one = serve(&intervals(&outcomes[..2000], 3, 0.95), &outcomes[2000..]);
    let other = serve(&intervals(&outcomes[..2000], 3, 0.95), &outcomes[2000..]);
    assert!(one.iter().zip(&other).all(|(a, b)| a.1.to_bits() == b.1.to_bits()));
}

#[test]
fn half_widths_are_finite_and_not_negative_whatever_the_errors() {
    let ordinary = outcomes(13, 1500, 1, |_, noise| noise);
    let exact: Vec<Outcome> = ordinary.iter().map(|o| Outcome { truth: o.forecast, ..*o }).collect();
    let wild: Vec<Outcome> = ordinary.iter().map(|o| Outcome { truth: o.forecast + 1e6, ..*o }).collect();
    for calibration in [&ordinary, &exact, &wild] {
        let intervals = intervals(calibration, 1, 0.95);
        for served in [&ordinary, &exact, &wild, &ordinary] {
            let served = serve(&intervals, served);
            assert!(served.iter().all(|one| one.1 >= 0.0 && one.1.is_finite()));
        }
        // After exact forecasts wild ones are caught up with, and the other way round.
        let mixed = serve(&intervals, &[&exact[..], &wild[..], &exact[..]].concat());
        assert!(mixed[2000..3000].iter().all(|one| one.1 > 5e5), "{:?}", mixed[2500]);
        assert!(mixed.iter().all(|one| one.1 >= 0.0 && one.1.is_finite()));
    }
}

#[test]
fn scored_horizons_reach_from_one_to_the_last_and_are_at_most_eight() {
    assert_eq!(scored_horizons(3), [1, 2, 3]);
    for horizon in [9, 48, 336] {
        let scored = scored_horizons(horizon);
        assert!(
            scored.len() <= SCORED_MAX && scored[0] == 1 && scored.last() == Some(&horizon),
            "{scored:?}"
        );
        assert!(scored.windows(2).all(|pair| pair[0] < pair[1]), "{scored:?}");
    }
}

#[test]
fn the_quantile_is_the_conformal_rank_and_rises_to_the_cap() {
    let scores: Vec<f32> = (1..=19).map(|i| i as f32).collect();
    let near = |level: f64, wanted: f64| {
        let found = quantile(&scores, level);
        assert!((found - wanted).abs() < 1e-9, "{level}: {found}");
    };
    for (level, wanted) in
        [(0.05, 19.0), (0.5, 10.0), (0.475, 10.5), (1.0, 1.0), (0.0, 28.5), (0.025, 19.0 * 1.25)]
    {
        near(level, wanted);
    }
    assert_eq!(quantile(&[], 0.05), 1.5);
    let widths: Vec<f64> = (0..=1000).map(|i| quantile(&scores, f64::from(i) / 1000.0)).collect();
    assert!(widths.windows(2).all(|pair| pair[0] >= pair[1]));
}

/// A track of scale `size` at rest, whose scores are all 1.
fn resting(horizon: usize, size: f64, scores: usize) -> Track {
    let mut scale = Scale::unfitted(horizon, Phases::default(), size);
    scale.weights = [0.0; TERMS];
    scale.weights[0] = 1.0;
    let confidence = Confidence { knots: vec![(0.5, 0.25 * size as f32), (1.0, 0.25 * size as f32 + 0.1)] };
    Track { scale, scores: vec![1.0; scores], level: 0.1, confidence }
}

#[test]
fn half_widths_and_directions_are_interpolated_between_scored_horizons() {
    let tracks = [(1, 1.0), (3, 2.0), (1, 3.0), (3, 1.0)].map(|(horizon, size)| resting(horizon, size, 100));
    let intervals = Intervals::new(0.9, vec![1, 3], tracks.to_vec());
    let mut states = intervals.fresh();
    intervals.observe(2, &mut states[2], 0, 5.0);
    let outlook = |target: usize| intervals.outlook(target, &states, 0, |_| 0.0);
    let widths = |target: usize| [1, 2, 3].map(|step| outlook(target).half_width(step));
    assert_eq!((widths(0), widths(1)), ([1.0, 1.5, 2.0], [3.0, 2.0, 1.0]));
    let (direction, probability) = outlook(1).direction(2, 4.0);
    // One scale below the last value, 5: no score is larger, all are as large.
    assert!(direction == Direction::Down && (probability - (0.75 + 0.25) / 2.0).abs() < 0.1, "{probability}");
    assert_eq!(outlook(0).direction(1, 9.0), (Direction::Up, 0.35));
    assert_eq!(outlook(0).direction(3, 0.0), (Direction::Flat, 0.5));
}

#[test]
fn a_track_from_a_file_is_checked() {
    let good =
        calibrate(&outcomes(14, 900, 2, |_, noise| noise), Setup { horizon: 2, season: 8, coverage: 0.9 })
            .track;
    assert!(good.is_sound() && resting(1, 1.0, 9).is_sound());
    let spoils: [fn(&mut Track); 9] = [
        |track| track.scale.horizon = 0,
        |track| track.scale.weights[1] = -0.1,
        |track| track.scale.start[4] = 0.0,
        |track| track.scale.phases = Phases { period: 8, count: 9 },
        |track| track.scores[3] = f32::NAN,
        |track| track.scores.swap(0, 400),
        |track| track.scores.extend([1e9; 500]),
        |track| track.level = 1.5,
        |track| track.confidence.knots[0].1 = 1.01,
    ];
    for (index, spoil) in spoils.into_iter().enumerate() {
        let mut track = good.clone();
        spoil(&mut track);
        assert!(!track.is_sound(), "{index}");
    }
}

#[test]
fn a_coverage_is_claimed_from_five_expected_misses_on() {
    let with = |coverage: f64, scores: usize| {
        Intervals::new(coverage, vec![1], vec![resting(1, 1.0, scores)]).are_calibrated()
    };
    assert!(with(0.95, 100) && !with(0.95, 99));
    assert!(with(0.99, 500) && !with(0.99, 499));
    assert!(with(0.995, 500) && !with(0.999, 500));
}

#[test]
fn the_length_of_a_state_is_known_beforehand() {
    let intervals = Intervals::new(0.9, vec![1, 48], vec![resting(1, 1.0, 9), resting(48, 1.0, 9)]);
    let mut numbers = Vec::new();
    intervals.fresh().iter().for_each(|state| state.write(&mut numbers));
    assert_eq!(numbers.len(), intervals.state_len());
    assert_eq!(intervals.state_len(), 2 * (4 + 24 + 2) + 3 * (1 + 48));
}

#[test]
fn a_window_of_any_length_has_a_quantile_at_any_level() {
    for n in 0..4usize {
        let scores: Vec<f32> = (1..=n).map(|score| score as f32).collect();
        for percent in 0..=100 {
            let value = quantile(&scores, f64::from(percent) / 100.0);
            assert!(value.is_finite() && value > 0.0, "{n} scores at {percent} %: {value}");
        }
    }
}
