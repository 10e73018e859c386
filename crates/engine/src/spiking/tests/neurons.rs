//! Neurons against the membrane equation τ·v' = b + J + I − v, integrated a hundred times more finely in 64 bits.

use super::*;

/// A neuron in continuous time: a spike where v reaches 1 + a, then v loses 1 and stands still for 2 dt.
struct Fine {
    tau: f64,
    adaptation: f64,
    v: f64,
    threshold: f64,
    silent: f64,
    /// When it fired, in dt.
    spikes: Vec<f64>,
    now: f64,
}

const STEPS: usize = 100;

impl Fine {
    fn new(tau: f64, adaptation: f64) -> Self {
        Self { tau, adaptation, v: 0.0, threshold: 1.0, silent: 0.0, spikes: Vec::new(), now: 0.0 }
    }

    /// One dt under a constant current: a hundred steps of fourth-order Runge-Kutta.
    fn dt(&mut self, current: f64) {
        let h = 1.0 / STEPS as f64;
        for _ in 0..STEPS {
            self.now += h;
            self.threshold = 1.0 + (self.threshold - 1.0) * (-h / 100.0).exp();
            if self.silent > h / 2.0 {
                self.silent -= h;
                continue;
            }
            let slope = |v: f64| (current - v) / self.tau;
            let first = slope(self.v);
            let second = slope(self.v + h / 2.0 * first);
            let third = slope(self.v + h / 2.0 * second);
            let fourth = slope(self.v + h * third);
            self.v += h / 6.0 * (first + 2.0 * second + 2.0 * third + fourth);
            if self.v > self.threshold {
                self.v -= 1.0;
                self.silent = 2.0;
                self.threshold += self.adaptation;
                self.spikes.push(self.now);
            }
        }
    }

    fn period(&self) -> f64 {
        period(&self.spikes)
    }
}

/// The mean time from a spike to the next.
fn period(spikes: &[f64]) -> f64 {
    (spikes[spikes.len() - 1] - spikes[0]) / (spikes.len() - 1) as f64
}

/// One neuron whose rows last one dt, so that each of its spikes and potentials can be seen.
fn observed(tau: f64, bias: f64) -> LiquidWeights {
    let mut weights = bare(1, 1, SpikeEncoding::Current, 1);
    weights.membrane.fill(1.0 - decay(tau));
    weights.bias.fill(bias as f32);
    weights.trace_decays = [0.0; 2];
    weights
}

/// The dt at which a neuron fired, and its potential after each.
fn run(weights: LiquidWeights, inputs: impl Iterator<Item = f32>) -> (Vec<f64>, Vec<f32>) {
    let liquid = Liquid::new(weights).unwrap();
    let mut state = liquid.fresh();
    let (mut spikes, mut potentials) = (Vec::new(), Vec::new());
    for (dt, input) in inputs.enumerate() {
        liquid.step(&mut state, &[input], &mut Work::default());
        if of(&liquid, &state, Feature::Fast)[0] == 1.0 {
            spikes.push((dt + 1) as f64);
        }
        potentials.push(of(&liquid, &state, Feature::Potential)[0]);
    }
    (spikes, potentials)
}

/// A spike is noticed up to one dt late, and of the δ dt that it is late a neuron that keeps what is above the
/// threshold loses what it would have gained meanwhile from rest beyond that: δ/J dt in time. A refractory period
/// that is one dt off, or a reset to 0, is outside these bounds.
#[test]
fn under_constant_currents_the_period_is_that_of_the_equation() {
    for tau in [5.0, 10.0, 20.0] {
        for drive in [1.05f64, 1.2, 1.5, 2.0] {
            let (spikes, _) = run(observed(tau, drive), std::iter::repeat_n(0.5, 4000));
            let mut fine = Fine::new(tau, 0.0);
            (0..4000).for_each(|_| fine.dt(f64::from(drive as f32)));
            let exact = 2.0 + tau * (drive / (drive - 1.0)).ln();
            assert!((fine.period() - exact).abs() < 0.02, "{tau} {drive}: {} {exact}", fine.period());
            let late = period(&spikes) - exact;
            assert!((-0.05..=1.0 / drive).contains(&late), "{tau} {drive}: {late} dt late of {exact}");
        }
        let (spikes, _) = run(observed(tau, 0.99), std::iter::repeat_n(0.5, 4000));
        assert!(spikes.is_empty(), "{tau}: {spikes:?}");
    }
}

/// Below the threshold nothing is rounded but numbers: potentials agree at every dt.
#[test]
fn below_the_threshold_potentials_are_those_of_the_equation() {
    let mut weights = observed(10.0, 0.4);
    weights.tap_weights.fill(1.0);
    let inputs = noise(2000, 1, 3);
    let (spikes, potentials) = run(weights, inputs.iter().map(|row| row[0]));
    assert!(spikes.is_empty());
    let mut fine = Fine::new(10.0, 0.0);
    for (row, potential) in inputs.iter().zip(potentials) {
        fine.dt(0.4 + f64::from(row[0]) - 0.5);
        assert!((f64::from(potential) - fine.v).abs() < 1e-5, "{potential} {}", fine.v);
    }
}

/// Under currents that vary, spikes are late by half a dt on average, which costs 2 to 4 per cent of them.
#[test]
fn under_varying_currents_rates_and_potentials_follow_the_equation() {
    let mut rng = Rng::seeded(5);
    let steps: Vec<f32> = (0..2000).flat_map(|_| std::iter::repeat_n(rng.uniform() as f32, 10)).collect();
    // Two waves, because under one a neuron fires the same whole number of times in each of its turns.
    let waves = |t: i32| 0.5 + 0.25 * (0.02 * t as f32).sin() + 0.25 * (0.0137 * t as f32).sin();
    let wave: Vec<f32> = (0..20_000).map(waves).collect();
    for adaptation in [0.0, 0.2] {
        for (name, inputs) in [("steps", &steps), ("wave", &wave)] {
            let mut weights = observed(10.0, 1.2);
            weights.tap_weights.fill(1.4);
            weights.adaptation = adaptation as f32;
            let (spikes, potentials) = run(weights, inputs.iter().copied());
            let mut fine = Fine::new(10.0, adaptation);
            let mut mean = 0.0;
            for input in inputs {
                fine.dt(1.2 + 1.4 * (f64::from(*input) - 0.5));
                mean += fine.v / inputs.len() as f64;
            }
            let share = spikes.len() as f64 / fine.spikes.len() as f64;
            assert!(fine.spikes.len() > 300, "{name}: {} spikes prove nothing", fine.spikes.len());
            assert!((0.95..=1.01).contains(&share), "{name} {adaptation}: {share} of the spikes");
            let own = potentials.iter().map(|&v| f64::from(v)).sum::<f64>() / potentials.len() as f64;
            assert!((own - mean).abs() < 0.03, "{name} {adaptation}: potentials {own}, {mean}");
        }
    }
}

/// The current of an input spike jumps and decays by e^(−1/τ_s) a dt; the membrane answers as the equation says.
#[test]
fn an_input_spike_raises_the_potential_as_the_equation_says() {
    let mut weights = bare(1, 1, SpikeEncoding::Latency, 10);
    weights.tap_weights.fill(0.8);
    let liquid = Liquid::new(weights).unwrap();
    let mut state = liquid.fresh();
    let (mut fine, mut current) = (Fine::new(10.0, 0.0), 0.0);
    for row in 0..6 {
        // 0.65 of a row of ten dt is the fourth of them; 0 is no spike.
        let input = if row == 1 { 0.65 } else { 0.0 };
        liquid.step(&mut state, &[input], &mut Work::default());
        let mut mean = 0.0;
        for dt in 0..10 {
            current += if (row, dt) == (1, 3) { 0.8 } else { 0.0 };
            fine.dt(current);
            mean += fine.v / 10.0;
            current *= (-1.0f64 / 5.0).exp();
        }
        let potential = f64::from(of(&liquid, &state, Feature::Potential)[0]);
        assert!((potential - fine.v).abs() < 1e-5, "row {row}: {potential} {}", fine.v);
        let own = f64::from(of(&liquid, &state, Feature::Mean)[0]);
        assert!((own - mean).abs() < 1e-5, "row {row}: mean {own} {mean}");
        assert!(row != 1 || fine.v > 0.05);
    }
}

/// A liquid in which neuron d hears the only line d rows late and forgets within a dt, so that what it shows of a row is
/// what it heard in it.
fn delayed(encoding: SpikeEncoding, delays: &[u32]) -> Liquid {
    let mut weights = bare(delays.len(), 1, encoding, 4);
    weights.delay_max = 9;
    weights.tap_delays = delays.to_vec();
    weights.tap_weights.fill(0.25);
    weights.membrane.fill(1.0);
    weights.excitation_decay.fill(0.0);
    weights.trace_decays = [0.0; 2];
    let loudest = if encoding == SpikeEncoding::Population { weights.lines() as u32 - 1 } else { 0 };
    weights.tap_lines.fill(loudest);
    Liquid::new(weights).unwrap()
}

/// Potentials of all neurons after each row, last and mean.
fn heard(liquid: &Liquid, inputs: &[f32]) -> Vec<Vec<[f32; 2]>> {
    let mut state = liquid.fresh();
    let row = |&input: &f32| {
        liquid.step(&mut state, &[input], &mut Work::default());
        let last = of(liquid, &state, Feature::Potential).iter();
        last.zip(of(liquid, &state, Feature::Mean)).map(|(&last, &mean)| [last, mean]).collect()
    };
    inputs.iter().map(row).collect()
}

#[test]
fn an_impulse_arrives_after_the_axon_s_delay_and_at_no_other_row() {
    for encoding in SpikeEncoding::ALL {
        let delays: Vec<u32> = (0..10).collect();
        let liquid = delayed(encoding, &delays);
        let rest = if encoding == SpikeEncoding::Current { 0.5 } else { 0.0 };
        let mut inputs = vec![rest; 25];
        let silent = heard(&liquid, &inputs);
        inputs[6] = 1.0;
        let struck = heard(&liquid, &inputs);
        for (row, (silent, struck)) in silent.iter().zip(&struck).enumerate() {
            for (neuron, (silent, struck)) in silent.iter().zip(struck).enumerate() {
                let due = 6 + delays[neuron] as usize;
                // The ON fibre of a change fires once: the way back is the OFF fibre's.
                let arrives = row == due;
                assert_eq!(silent != struck, arrives, "{encoding:?} row {row} neuron {neuron}");
            }
        }
    }
}

/// What arrives late is what would have arrived at once, chance included.
#[test]
fn a_delayed_axon_carries_the_same_spikes() {
    let inputs: Vec<f32> = noise(60, 1, 9).concat();
    for encoding in SpikeEncoding::ALL {
        let (prompt, late) =
            (heard(&delayed(encoding, &[0; 16]), &inputs), heard(&delayed(encoding, &[7; 16]), &inputs));
        assert_eq!(prompt[..53], late[7..], "{encoding:?}");
        assert!(prompt.iter().flatten().any(|potential| *potential != prompt[0][0]), "{encoding:?}");
    }
}
