//! Weights that no training draws: refused, or harmless.

use super::*;

type Numbers = fn(&mut LiquidWeights) -> &mut Vec<f32>;
type Places = fn(&mut LiquidWeights) -> &mut Vec<u32>;
type Change = fn(&mut LiquidWeights);

const NUMBERS: [(&str, Numbers); 18] = [
    ("membrane", |w| &mut w.membrane),
    ("excitation_decay", |w| &mut w.excitation_decay),
    ("inhibition_decay", |w| &mut w.inhibition_decay),
    ("bias", |w| &mut w.bias),
    ("refractory", |w| &mut w.refractory),
    ("initial_potentials", |w| &mut w.initial_potentials),
    ("tap_weights", |w| &mut w.tap_weights),
    ("oscillation", |w| &mut w.oscillation),
    ("synapse_weights", |w| &mut w.synapse_weights),
    ("synapse_use", |w| &mut w.synapse_use),
    ("depression_decay", |w| &mut w.depression_decay),
    ("facilitation_decay", |w| &mut w.facilitation_decay),
    ("rhythm_frequencies", |w| &mut w.rhythm_frequencies),
    ("rhythm_decays", |w| &mut w.rhythm_decays),
    ("rhythm_cosines", |w| &mut w.rhythm_cosines),
    ("rhythm_sines", |w| &mut w.rhythm_sines),
    ("oscillator_frequencies", |w| &mut w.oscillator_frequencies),
    ("oscillator_sensitivities", |w| &mut w.oscillator_sensitivities),
];

const PLACES: [(&str, Places); 4] = [
    ("tap_lines", |w| &mut w.tap_lines),
    ("tap_delays", |w| &mut w.tap_delays),
    ("synapse_starts", |w| &mut w.synapse_starts),
    ("synapse_targets", |w| &mut w.synapse_targets),
];

/// A liquid that uses every field: dynamic synapses and an oscillation.
fn full() -> LiquidWeights {
    let settings = SpikingSettings {
        neurons: 45,
        encoding: SpikeEncoding::Phase,
        delay_max: 3,
        fan_in: 2,
        ..SpikingSettings::classic()
    };
    draw(&settings, 2)
}

fn refused(name: &str, change: impl Fn(&mut LiquidWeights)) {
    let mut weights = full();
    change(&mut weights);
    assert!(Liquid::new(weights).is_err(), "{name} was accepted");
}

#[test]
fn lengths_numbers_and_places_that_do_not_fit_are_refused() {
    assert!(Liquid::new(full()).is_ok());
    for (name, of) in NUMBERS {
        refused(name, |w| of(w).push(0.5));
        refused(name, |w| {
            of(w).pop();
        });
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30] {
            refused(name, |w| of(w)[0] = value);
            refused(name, |w| *of(w).last_mut().unwrap() = value);
        }
    }
    for (name, of) in PLACES {
        refused(name, |w| of(w).push(0));
        refused(name, |w| {
            of(w).pop();
        });
        refused(name, |w| of(w)[1] = u32::MAX);
    }
}

#[test]
fn sizes_and_constants_out_of_range_are_refused() {
    let changes: [(&str, Change); 32] = [
        ("no neurons", |w| w.neurons = 0),
        ("another neuron", |w| w.neurons += 1),
        ("too many neurons", |w| w.neurons = usize::MAX),
        ("no inputs", |w| w.inputs = 0),
        ("inputs beyond counting", |w| w.inputs = usize::MAX),
        ("a ring of gigabytes", |w| w.inputs = 1 << 22),
        ("no substeps", |w| w.substeps = 0),
        ("too many substeps", |w| w.substeps = 257),
        ("another substep than the oscillation", |w| w.substeps += 1),
        ("another encoding than the oscillation", |w| w.encoding = SpikeEncoding::Current),
        ("no fan", |w| w.fan_in = 0),
        ("another fan", |w| w.fan_in += 1),
        ("fan beyond counting", |w| w.fan_in = usize::MAX),
        ("delay of a tap beyond the longest", |w| w.tap_delays[3] = w.delay_max as u32 + 1),
        ("endless delays", |w| w.delay_max = usize::MAX),
        ("long delays", |w| w.delay_max = 8193),
        ("line that is not", |w| w.tap_lines[3] = 2),
        ("more excitatory than all", |w| w.excitatory = w.neurons + 1),
        ("target that is not", |w| w.synapse_targets[5] = 45),
        ("inhibiting excitation", |w| w.synapse_weights[0] = -0.1),
        ("exciting inhibition", |w| *w.synapse_weights.last_mut().unwrap() = 0.1),
        ("excitatory neurons that inhibit", |w| w.excitatory = w.neurons),
        ("half a dt of silence", |w| w.refractory[0] = 2.5),
        ("no silence", |w| w.refractory[0] = 0.0),
        ("silence too short for late synapses", |w| w.refractory[0] = 1.0),
        ("starts that go back", |w| w.synapse_starts.swap(1, 40)),
        ("endless adaptation", |w| w.adaptation_decay = 1.0),
        ("endless trace", |w| w.trace_decays[1] = 1.0),
        ("trace that is no number", |w| w.trace_decays[0] = f32::NAN),
        ("reset that keeps more than all", |w| w.reset_kept = 1.5),
        ("reset to no number", |w| w.reset_to = f32::NAN),
        ("ringing that grows", |w| (w.rhythm_cosines[0], w.rhythm_sines[0]) = (0.9, 0.9)),
    ];
    for (name, change) in changes {
        refused(name, change);
    }
}

/// Whatever two random changes make of weights is refused or steps to finite features, whatever the rows hold.
#[test]
fn what_is_accepted_neither_panics_nor_leaves_the_numbers() {
    let mut rng = Rng::seeded(4);
    let numbers = [0.0f32, -0.0, 1.0, -1.0, 0.5, 0.99, 2.0, 1e6, -1e6, 1e-40, 100.0, 1e4, f32::NAN];
    let wild = [f32::NAN, f32::INFINITY, -1e30, 0.3, 1.0];
    let (mut accepted, mut declined) = (0, 0);
    for _ in 0..3000 {
        let mut weights = full();
        for _ in 0..2 {
            let value = numbers[rng.below(numbers.len() as u64) as usize];
            if rng.uniform() < 0.6 {
                let values = NUMBERS[rng.below(18) as usize].1(&mut weights);
                let at = rng.below(values.len() as u64) as usize;
                values[at] = value;
            } else {
                let places = PLACES[rng.below(4) as usize].1(&mut weights);
                let at = rng.below(places.len() as u64) as usize;
                places[at] = rng.below(64) as u32;
            }
        }
        let Ok(liquid) = Liquid::new(weights) else {
            declined += 1;
            continue;
        };
        accepted += 1;
        let mut state = liquid.fresh();
        for row in 0..4 {
            liquid.step(&mut state, &[wild[row], wild[row + 1]], &mut Work::default());
        }
        assert!(state.iter().all(|value| value.is_finite()), "{:?}", liquid.weights());
    }
    assert!(accepted > 300 && declined > 300, "{accepted} accepted, {declined} declined");
}

/// What would train and then not load is not drawn at all.
#[test]
fn a_liquid_that_no_file_may_hold_is_not_drawn() {
    let settings = SpikingSettings {
        delay_max: 8192,
        encoding: SpikeEncoding::Population,
        ..SpikingSettings::default()
    };
    assert_eq!(settings.check_for(63), Ok(()));
    assert!(settings.check_for(64).is_err() && settings.check_for(0).is_err());
    assert!(SpikingSettings { delay_max: 8193, ..settings }.check_for(1).is_err());
}
