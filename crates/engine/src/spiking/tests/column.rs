//! The classic preset against the numbers of Maass, Natschläger & Markram (2002), appendix, over many draws.

use super::*;

const SEEDS: u64 = 100;
const NEURONS: usize = 135;
const EXCITATORY: usize = 108;

/// What a column says of one kind of connection: C, mean weight in thresholds (15 nA), U, D and F in ms.
struct Kind {
    name: &'static str,
    from: std::ops::Range<usize>,
    to: std::ops::Range<usize>,
    likelihood: f64,
    weight: f64,
    dynamics: [f64; 3],
}

fn kinds() -> [Kind; 4] {
    let (e, i) = (0..EXCITATORY, EXCITATORY..NEURONS);
    let kind = |name, from: &std::ops::Range<usize>, to: &std::ops::Range<usize>, numbers: [f64; 5]| {
        let [likelihood, weight, dynamics @ ..] = numbers;
        Kind { name, from: from.clone(), to: to.clone(), likelihood, weight, dynamics }
    };
    [
        kind("EE", &e, &e, [0.3, 30.0 / 15.0, 0.5, 1100.0, 50.0]),
        kind("EI", &e, &i, [0.2, 60.0 / 15.0, 0.05, 125.0, 1200.0]),
        kind("IE", &i, &e, [0.4, -19.0 / 15.0, 0.25, 700.0, 20.0]),
        kind("II", &i, &i, [0.1, -19.0 / 15.0, 0.32, 144.0, 60.0]),
    ]
}

fn columns() -> Vec<LiquidWeights> {
    (0..SEEDS).map(|seed| draw(&SpikingSettings { seed, ..SpikingSettings::classic() }, 1)).collect()
}

/// The synapses from neuron `source` as (place in the lists, whether they are late).
fn synapses(weights: &LiquidWeights, source: usize) -> impl Iterator<Item = (usize, bool)> {
    let [start, middle, end] = std::array::from_fn(|at| weights.synapse_starts[2 * source + at] as usize);
    (start..end).map(move |synapse| (synapse, synapse >= middle))
}

/// The mean of e^(−(d/2)²) over all pairs of places of a 3 × 3 × 15 grid: what C is multiplied with, since neurons
/// are put there at random.
fn nearness() -> f64 {
    let place = |at: usize| [at % 3, at / 3 % 3, at / 9].map(|coordinate| coordinate as f64);
    let mut sum = 0.0;
    for a in 0..NEURONS {
        for b in (0..NEURONS).filter(|&b| b != a) {
            let squared: f64 = place(a).iter().zip(place(b)).map(|(x, y)| (x - y).powi(2)).sum();
            sum += (-squared / 4.0).exp();
        }
    }
    sum / (NEURONS * (NEURONS - 1)) as f64
}

#[test]
fn a_column_has_its_neurons_and_their_constants() {
    for weights in columns() {
        assert_eq!((weights.neurons, weights.excitatory, weights.delay_max), (NEURONS, EXCITATORY, 0));
        assert!((weights.reset_to - 0.9).abs() < 1e-6 && weights.reset_kept == 0.0);
        assert!(weights.bias.iter().all(|bias| (bias - 0.9).abs() < 1e-6));
        assert!(weights.initial_potentials.iter().all(|v| (0.9..=1.0).contains(v)));
        for neuron in 0..NEURONS {
            let refractory = if neuron < EXCITATORY { 3.0 } else { 2.0 };
            assert_eq!(weights.refractory[neuron], refractory);
            assert_eq!(weights.membrane[neuron], 1.0 - decay(30.0));
            assert_eq!(weights.excitation_decay[neuron], decay(3.0));
            assert_eq!(weights.inhibition_decay[neuron], decay(6.0));
        }
        assert_eq!(weights.trace_decays, [decay(30.0), decay(50.0)]);
        assert_eq!(weights.check(), Ok(()));
    }
}

/// Counts agree with n·n'·C·(mean of e^(−(d/2)²)) to four standard errors of the draws themselves.
#[test]
fn a_column_has_as_many_synapses_as_its_formula_says() {
    let (columns, nearness) = (columns(), nearness());
    for Kind { name, from, to, likelihood, .. } in kinds() {
        let pairs = from.len() * to.len() - if from == to { from.len() } else { 0 };
        let expected = pairs as f64 * likelihood * nearness;
        let count = |weights: &LiquidWeights| {
            let all = from.clone().flat_map(|source| synapses(weights, source));
            let reach = all.filter(|(synapse, _)| to.contains(&(weights.synapse_targets[*synapse] as usize)));
            reach.count() as f64
        };
        let counts: Vec<f64> = columns.iter().map(count).collect();
        let mean = counts.iter().sum::<f64>() / SEEDS as f64;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (SEEDS - 1) as f64;
        let error = (variance / SEEDS as f64).sqrt();
        assert!((mean - expected).abs() < 4.0 * error, "{name}: {mean} ± {error}, expected {expected}");
        // Four standard errors are a tight bound: a C that is a tenth off would show, but of II, of which there are nine.
        assert!(4.0 * error < 0.06 * expected || name == "II", "{name}: {mean} ± {error}");
    }
}

/// 1.5 ms between excitatory neurons are two dt, 0.8 ms elsewhere one; nobody reaches itself, nobody twice.
#[test]
fn a_column_s_delays_and_targets_are_those_of_the_paper() {
    for weights in columns() {
        for source in 0..NEURONS {
            let mut targets = Vec::new();
            for (synapse, late) in synapses(&weights, source) {
                let target = weights.synapse_targets[synapse] as usize;
                assert_eq!(late, source < EXCITATORY && target < EXCITATORY);
                targets.push(target);
            }
            assert!(!targets.contains(&source));
            targets.sort_unstable();
            assert!(targets.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}

/// Means of weights and of U, D, F over all draws. Normal numbers of half their mean's deviation whose negative ones are
/// drawn again are 2.7 % larger than the mean; exponential ones need thousands of synapses for 5 %.
#[test]
fn a_column_s_weights_and_dynamics_have_the_means_of_the_paper() {
    let columns = columns();
    let time = |decay: f32| -1.0 / f64::from(decay).ln();
    for Kind { name, from, to, weight, dynamics, .. } in kinds() {
        let mut sums = [0.0; 4];
        let mut n = 0.0;
        for weights in &columns {
            for (synapse, _) in from.clone().flat_map(|source| synapses(weights, source)) {
                if to.contains(&(weights.synapse_targets[synapse] as usize)) {
                    n += 1.0;
                    sums[0] += f64::from(weights.synapse_weights[synapse]);
                    sums[1] += f64::from(weights.synapse_use[synapse]);
                    sums[2] += time(weights.depression_decay[synapse]);
                    sums[3] += time(weights.facilitation_decay[synapse]);
                }
            }
        }
        // An exponential number deviates by its mean: four standard errors.
        assert!((sums[0] / n / weight - 1.0).abs() < 4.0 / f64::sqrt(n), "{name}: weight {}", sums[0] / n);
        for (got, wanted) in sums[1..].iter().zip(dynamics) {
            let ratio = got / n / wanted;
            assert!((ratio - 1.027).abs() < 4.0 * 0.5 / f64::sqrt(n) + 0.01, "{name}: {ratio} of {wanted}");
        }
    }
}

#[test]
fn a_column_s_inputs_are_twice_as_strong_onto_excitatory_neurons() {
    let mean = |range: std::ops::Range<usize>| {
        let taps = columns().into_iter().flat_map(|weights| weights.tap_weights[range.clone()].to_vec());
        let taps: Vec<f32> = taps.collect();
        f64::from(taps.iter().sum::<f32>()) / taps.len() as f64
    };
    let (excitatory, inhibitory) = (mean(0..EXCITATORY), mean(EXCITATORY..NEURONS));
    assert!((excitatory / 1.2 - 1.0).abs() < 4.0 / f64::sqrt(100.0 * 108.0), "{excitatory}");
    assert!((inhibitory / 0.6 - 1.0).abs() < 4.0 / f64::sqrt(100.0 * 27.0), "{inhibitory}");
}

#[test]
fn how_many_synapses_to_expect_is_known_before_they_are_drawn() {
    let drawn = |settings: SpikingSettings| {
        let counts = (0..20).map(|seed| {
            let settings = SpikingSettings { seed, ..settings.clone() };
            draw(&settings, 1).synapse_targets.len() as f64
        });
        counts.sum::<f64>() / 20.0
    };
    let random = SpikingSettings { neurons: 80, ..SpikingSettings::default() };
    let larger = SpikingSettings { neurons: 300, density: 0.7, ..SpikingSettings::classic() };
    for settings in [SpikingSettings::classic(), larger, random] {
        let (said, drawn) = (settings.synapses_expected(), drawn(settings.clone()));
        assert!((said / drawn - 1.0).abs() < 0.05, "{said} were expected of {settings:?}, {drawn} drawn");
    }
}
