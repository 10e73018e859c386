//! Banks against a textbook simulation: complex density matrices over all qubits, operators as Kronecker products,
//! evolution by many short steps of the master equation, no use of parity, eigenvectors or tables.

use super::network::Network;
use super::spectral::Spectral;
use super::transfer::{Mixture, Place, Transfer};
use super::{Bank, BankWeights, Heard, QuantumMemory, QuantumSettings, Work};
use crate::kernel::One;
use spinwell_core::Rng;

type Complex = [f64; 2];

/// One stream's step.
fn step(bank: &Bank, state: &mut [f64], inputs: &[f64], drive: f64, row: u64) {
    let heard = |_: usize, input: usize| Heard { value: inputs[input], drive, row };
    bank.step(&mut One(state), heard, &mut Work::default());
}

/// A complex square matrix, row-major.
#[derive(Clone)]
struct Operator(Vec<Complex>);

impl Operator {
    fn size(&self) -> usize {
        self.0.len().isqrt()
    }

    fn times(&self, other: &Self) -> Self {
        let n = self.size();
        let mut product = vec![[0.0; 2]; n * n];
        for row in 0..n {
            for inner in 0..n {
                let [a, b] = self.0[row * n + inner];
                if a == 0.0 && b == 0.0 {
                    continue;
                }
                for column in 0..n {
                    let [c, d] = other.0[inner * n + column];
                    product[row * n + column][0] += a * c - b * d;
                    product[row * n + column][1] += a * d + b * c;
                }
            }
        }
        Self(product)
    }

    fn plus(&self, factor: Complex, other: &Self) -> Self {
        let [a, b] = factor;
        Self(
            self.0
                .iter()
                .zip(&other.0)
                .map(|(x, y)| [x[0] + a * y[0] - b * y[1], x[1] + a * y[1] + b * y[0]])
                .collect(),
        )
    }

    fn adjoint(&self) -> Self {
        let n = self.size();
        Self((0..n * n).map(|at| self.0[at % n * n + at / n]).map(|[re, im]| [re, -im]).collect())
    }

    fn trace(&self) -> Complex {
        self.0.iter().step_by(self.size() + 1).fold([0.0; 2], |sum, z| [sum[0] + z[0], sum[1] + z[1]])
    }

    /// One factor per qubit, qubit 0 being the leftmost.
    fn product(factors: &[[[f64; 2]; 2]]) -> Self {
        let mut result = vec![[1.0, 0.0]];
        let mut size = 1;
        for factor in factors {
            let mut next = vec![[0.0; 2]; 4 * size * size];
            for (at, entry) in next.iter_mut().enumerate() {
                let (row, column) = (at / (2 * size), at % (2 * size));
                *entry = [result[row / 2 * size + column / 2][0] * factor[row % 2][column % 2], 0.0];
            }
            (result, size) = (next, 2 * size);
        }
        Self(result)
    }

    /// `single` on the qubits named, the identity on the others.
    fn on(qubits: usize, named: &[usize], single: [[f64; 2]; 2]) -> Self {
        let factor = |qubit| if named.contains(&qubit) { single } else { IDENTITY };
        Self::product(&(0..qubits).map(factor).collect::<Vec<_>>())
    }

    /// Smallest value of ⟨v|M|v⟩/⟨v|v⟩ over random vectors.
    fn lowest_seen(&self, rng: &mut Rng) -> f64 {
        let n = self.size();
        let values = (0..200).map(|_| {
            let v: Vec<Complex> = (0..n).map(|_| [rng.normal(), rng.normal()]).collect();
            let mut sum = 0.0;
            for a in 0..n {
                for b in 0..n {
                    let [re, im] = self.0[a * n + b];
                    let overlap =
                        [v[a][0] * v[b][0] + v[a][1] * v[b][1], v[a][0] * v[b][1] - v[a][1] * v[b][0]];
                    sum += re * overlap[0] - im * overlap[1];
                }
            }
            sum / v.iter().map(|[re, im]| re * re + im * im).sum::<f64>()
        });
        values.fold(f64::INFINITY, f64::min)
    }
}

const IDENTITY: [[f64; 2]; 2] = [[1.0, 0.0], [0.0, 1.0]];
const X: [[f64; 2]; 2] = [[0.0, 1.0], [1.0, 0.0]];
const Z: [[f64; 2]; 2] = [[1.0, 0.0], [0.0, -1.0]];
const LOWERING: [[f64; 2]; 2] = [[0.0, 1.0], [0.0, 0.0]];

/// Longest step of the integration, and its order: the error of a step is of the order of 1e-16.
const SHORT_STEP: f64 = 0.02;
const ORDER: i32 = 12;

/// The textbook simulation of one network.
struct Textbook {
    qubits: usize,
    hamiltonian: Operator,
    jumps: Vec<Operator>,
    read_outs: Vec<Operator>,
    time: f64,
    substeps: usize,
    lossy: bool,
    density: Operator,
}

impl Textbook {
    fn new(weights: &BankWeights, network: usize, field: f64) -> Self {
        let settings = &weights.settings;
        let n = settings.qubits;
        let mut hamiltonian = Operator(vec![[0.0; 2]; 1 << (2 * n)]);
        let mut read_outs: Vec<Operator> = (0..n).map(|i| Operator::on(n, &[i], Z)).collect();
        for z in &read_outs {
            hamiltonian = hamiltonian.plus([field, 0.0], z);
        }
        let mut couplings = weights.couplings_of(network).iter();
        for i in 0..n {
            for j in i + 1..n {
                let coupling = *couplings.next().unwrap();
                hamiltonian = hamiltonian.plus([coupling, 0.0], &Operator::on(n, &[i, j], X));
                if settings.correlations {
                    read_outs.push(Operator::on(n, &[i, j], Z));
                }
            }
        }
        let (rate, lossy) = match settings.memory {
            QuantumMemory::Erasure => (0.0, false),
            QuantumMemory::Dissipation { rate } => (rate, true),
        };
        let nothing = Operator(vec![[0.0; 2]; 1 << (2 * n)]);
        let scaled = |qubit| nothing.plus([f64::sqrt(rate), 0.0], &Operator::on(n, &[qubit], LOWERING));
        let jumps = (0..n).filter(|_| lossy).map(scaled).collect();
        let density = nothing.plus([1.0 / f64::from(1 << n), 0.0], &Operator::on(n, &[], IDENTITY));
        let (time, substeps) = (weights.evolutions[network], settings.substeps);
        Self { qubits: n, hamiltonian, jumps, read_outs, time, substeps, lossy, density }
    }

    /// ρ' by the Lindblad equation.
    fn change(&self, density: &Operator) -> Operator {
        let mut change = self.hamiltonian.times(density);
        change = Operator(change.0.iter().map(|[re, im]| [*im, -re]).collect());
        change = change.plus([1.0, 0.0], &change.adjoint());
        for jump in &self.jumps {
            let adjoint = jump.adjoint();
            let number = adjoint.times(jump);
            change = change.plus([1.0, 0.0], &jump.times(density).times(&adjoint));
            change = change.plus([-0.5, 0.0], &number.times(density));
            change = change.plus([-0.5, 0.0], &density.times(&number));
        }
        change
    }

    /// Replaces qubit 0 by |ψ⟩⟨ψ|, or turns it by the rotation that takes |0⟩ to |ψ⟩.
    fn input(&mut self, s: f64) {
        let amplitudes = [(1.0 - s).sqrt(), s.sqrt()];
        let turn = [[amplitudes[0], -amplitudes[1]], [amplitudes[1], amplitudes[0]]];
        if self.lossy {
            let turn = Operator::on(self.qubits, &[0], turn);
            self.density = turn.times(&self.density).times(&turn.adjoint());
            return;
        }
        let rest = 1 << (self.qubits - 1);
        let old = self.density.0.clone();
        for (at, entry) in self.density.0.iter_mut().enumerate() {
            let (row, column) = (at / (2 * rest), at % (2 * rest));
            let weight = amplitudes[row / rest] * amplitudes[column / rest];
            let (r, c) = (row % rest, column % rest);
            let (upper, lower) = (old[r * 2 * rest + c], old[(r + rest) * 2 * rest + c + rest]);
            *entry = [weight * (upper[0] + lower[0]), weight * (upper[1] + lower[1])];
        }
    }

    /// Input, evolution in short steps of ρ(t + h) = ρ + h·ρ' + h²/2·ρ'' + .., read-outs.
    fn step(&mut self, s: f64) -> Vec<f64> {
        self.input(s);
        let mut features = Vec::new();
        let short_steps = (self.time / self.substeps as f64 / SHORT_STEP).ceil();
        let h = self.time / self.substeps as f64 / short_steps;
        for _ in 0..self.substeps {
            for _ in 0..short_steps as usize {
                let mut derivative = self.density.clone();
                let mut factor = 1.0;
                for order in 1..=ORDER {
                    derivative = self.change(&derivative);
                    factor *= h / f64::from(order);
                    self.density = self.density.plus([factor, 0.0], &derivative);
                }
            }
            features.extend(self.read_outs.iter().map(|o| self.density.times(o).trace()[0]));
        }
        features
    }
}

fn settings(qubits: usize) -> QuantumSettings {
    QuantumSettings {
        qubits,
        reservoirs: 2,
        substeps: 3,
        evolution_min: 0.6,
        evolution_max: 1.3,
        field: 1.0,
        swing_max: 1.0,
        swing_min: 0.5,
        seed: 17,
        ..QuantumSettings::default()
    }
}

/// Runs a bank of one input and its textbook simulation side by side and gives the largest difference of features.
fn difference(settings: &QuantumSettings, inputs: &[f64]) -> f64 {
    let bank = Bank::draw(settings, 1);
    let weights = bank.weights();
    let mut textbooks: Vec<Textbook> =
        (0..weights.heard.len()).map(|network| Textbook::new(weights, network, settings.field)).collect();
    let mut state = bank.fresh();
    let mut largest: f64 = 0.0;
    for (row, &input) in inputs.iter().enumerate() {
        step(&bank, &mut state, &[input], 0.7, row as u64 + 1);
        let swung = textbooks.iter_mut().zip([input, 0.25 + 0.5 * input]);
        let expected: Vec<f64> = swung.flat_map(|(textbook, s)| textbook.step(s)).collect();
        assert_eq!(expected.len(), bank.features_len());
        let features = bank.features(&state).iter().zip(&expected);
        largest = features.map(|(a, b)| (a - b).abs()).fold(largest, f64::max);
        let mut rng = Rng::seeded(row as u64);
        for textbook in &textbooks {
            assert!((textbook.density.trace()[0] - 1.0).abs() < 1e-12, "the textbook keeps the trace");
            assert!(textbook.density.lowest_seen(&mut rng) > -1e-12, "the textbook stays positive");
        }
    }
    largest
}

const INPUTS: [f64; 8] = [0.3, 1.0, 0.0, 0.81, 0.5, 0.07, 0.66, 0.2];

#[test]
fn tabulated_banks_agree_with_the_textbook() {
    for qubits in 2..=4 {
        let difference = difference(&settings(qubits), &INPUTS);
        assert!(difference < 1e-12, "{qubits} qubits: {difference:e}");
    }
    let plain = QuantumSettings { correlations: false, ..settings(3) };
    assert!(difference(&plain, &INPUTS) < 1e-12);
}

#[test]
fn a_bank_of_six_qubits_agrees_with_the_textbook() {
    let settings = QuantumSettings { reservoirs: 1, evolution_min: 0.4, evolution_max: 0.4, ..settings(6) };
    let difference = difference(&settings, &INPUTS[..2]);
    assert!(difference < 1e-12, "{difference:e}");
}

#[test]
fn lossy_banks_agree_with_the_lindblad_equation() {
    for qubits in 2..=4 {
        let memory = QuantumMemory::Dissipation { rate: 0.4 };
        let settings = QuantumSettings { memory, reservoirs: 1, ..settings(qubits) };
        let difference = difference(&settings, &INPUTS[..if qubits == 4 { 2 } else { 6 }]);
        assert!(difference < 1e-12, "{qubits} qubits: {difference:e}");
    }
}

#[test]
fn tables_agree_with_steps_in_the_eigenbasis() {
    let couplings: Vec<f64> = (0..10).map(|pair| 0.4 - 0.09 * f64::from(pair)).collect();
    for (qubits, pairs) in [(4, 6), (5, 10)] {
        let network = Network {
            qubits,
            couplings: &couplings[..pairs],
            field: 0.8,
            evolution: 2.5,
            substeps: 4,
            correlations: true,
        };
        let spectral = [Spectral::new(&network)];
        let dimension = 1 << (qubits - 1);
        let features = network.features();
        let transfer = Transfer::tabulate(&spectral, dimension, features);
        let order = super::network::positions_by_sector(dimension);
        let mut rng = Rng::seeded(8);
        let mut matrix: Vec<f64> = (0..dimension * dimension).map(|_| rng.normal()).collect();
        let mut numbers: Vec<f64> = order.iter().map(|&position| matrix[position]).collect();
        numbers.resize(order.len() + features, 0.0);
        let mut one = vec![0.0; features];
        for s in INPUTS {
            spectral[0].step(&mut matrix, [(1.0 - s).sqrt(), s.sqrt()], &mut one, &mut Default::default());
            let mixture = Mixture { parts: [1.0 - s, s, (s * (1.0 - s)).sqrt()], shares: [1.0, 0.0] };
            let place = Place { state: 0, features: order.len() };
            transfer.step(&mut One(&mut numbers), place, |_| mixture, &mut Default::default());
            let (coordinates, other) = numbers.split_at(order.len());
            assert!(one.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-12), "{qubits} qubits, features");
            for (&position, coordinate) in order.iter().zip(coordinates) {
                assert!((matrix[position] - coordinate).abs() < 1e-12, "{qubits} qubits, at {position}");
            }
        }
    }
}

#[test]
fn a_drive_mixes_a_weak_and_a_strong_field() {
    for (qubits, memory) in [
        (3, QuantumMemory::Erasure),
        (6, QuantumMemory::Erasure),
        (2, QuantumMemory::Dissipation { rate: 0.2 }),
    ] {
        let driven = QuantumSettings { drive: 0.25, reservoirs: 1, memory, ..settings(qubits) };
        let bank = Bank::draw(&driven, 1);
        let single = |field: f64| {
            let mut weights = bank.weights().clone();
            weights.settings.drive = 0.0;
            weights.fields[0] = field;
            Bank::new(weights).unwrap()
        };
        let (weak, strong) = (single(0.75), single(1.25));
        let mut state = bank.fresh();
        step(&bank, &mut state, &[0.4], 0.9, 1);
        // From one and the same state, the mixture is that of the results.
        let (mut low, mut high) = (state.clone(), state.clone());
        step(&weak, &mut low, &[0.6], 0.0, 2);
        step(&strong, &mut high, &[0.6], 0.3, 2);
        step(&bank, &mut state, &[0.6], 0.3, 2);
        for (index, mixed) in state.iter().enumerate() {
            assert!((mixed - 0.7 * low[index] - 0.3 * high[index]).abs() < 1e-13, "{qubits} qubits: {index}");
        }
    }
}

#[test]
fn the_past_fades_and_what_is_read_stays_within_one() {
    let lossy = QuantumMemory::Dissipation { rate: 0.3 };
    for (qubits, memory) in [(4, QuantumMemory::Erasure), (6, QuantumMemory::Erasure), (3, lossy)] {
        let settings = QuantumSettings { memory, evolution_min: 3.0, evolution_max: 4.0, ..settings(qubits) };
        let bank = Bank::draw(&settings, 1);
        let mut rng = Rng::seeded(3);
        let (mut one, mut other) = (bank.fresh(), bank.fresh());
        for row in 1..=20 {
            step(&bank, &mut one, &[rng.uniform()], 0.5, row);
            step(&bank, &mut other, &[rng.uniform()], 0.5, row);
        }
        let apart = |one: &[f64], other: &[f64]| {
            let pairs = bank.features(one).iter().zip(bank.features(other));
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        assert!(apart(&one, &other) > 0.05, "{qubits} qubits: other inputs leave other states");
        for row in 21..=300 {
            let s = [rng.uniform()];
            step(&bank, &mut one, &s, 0.5, row);
            step(&bank, &mut other, &s, 0.5, row);
            assert!(bank.features(&one).iter().all(|feature| feature.abs() <= 1.0));
        }
        assert!(apart(&one, &other) < 1e-8, "{qubits} qubits: {}", apart(&one, &other));
    }
}

#[test]
fn probability_is_kept_over_a_long_stream() {
    let bank = Bank::draw(&settings(4), 1);
    let mut state = bank.fresh();
    let mut rng = Rng::seeded(12);
    for row in 1..=50_000 {
        step(&bank, &mut state, &[rng.uniform()], 0.5, row);
    }
    let order = super::network::positions_by_sector(8);
    for density in state[..128].chunks_exact(64) {
        let trace: f64 =
            order.iter().zip(density).filter(|(position, _)| **position % 9 == 0).map(|(_, p)| p).sum();
        assert!((trace - 1.0).abs() < 1e-11, "{trace}");
        // Tr ρ² of the coordinates, at most 1 and at least that of the mixed state.
        let purity: f64 = density.iter().map(|r| r * r).sum();
        assert!((0.125..=1.0).contains(&purity), "{purity}");
    }
}

#[test]
fn a_bank_is_the_same_from_its_seed_and_from_its_weights() {
    let settings = QuantumSettings { shots: Some(1000), ..settings(4) };
    let bank = Bank::draw(&settings, 3);
    assert_eq!((bank.inputs_len(), bank.weights().heard.as_slice()), (3, [0, 1, 2].as_slice()));
    let again = Bank::new(bank.weights().clone()).unwrap();
    assert_eq!(bank, again);
    assert_ne!(bank, Bank::draw(&QuantumSettings { seed: 18, ..settings }, 3));
    let (mut one, mut other) = (bank.fresh(), again.fresh());
    assert!(bank.features(&one).iter().all(|&feature| feature == 0.0));
    for row in 1..=5 {
        step(&bank, &mut one, &[0.2, 0.4, 0.9], 0.5, row);
        step(&again, &mut other, &[0.2, 0.4, 0.9], 0.5, row);
    }
    assert_eq!(one, other);
}

#[test]
fn inputs_beyond_the_ends_are_followed_as_far_as_there_is_room() {
    let bank = Bank::draw(&settings(3), 1);
    let narrow = Bank::draw(&QuantumSettings { swing_max: 0.5, reservoirs: 1, ..settings(3) }, 1);
    let [at_end, beyond, far_beyond] = [1.0, 1.4, 9.0].map(|input| {
        let mut state = narrow.fresh();
        step(&narrow, &mut state, &[input], 0.5, 1);
        state
    });
    assert!(at_end != beyond && beyond != far_beyond);
    let after = |s: f64, drive: f64| {
        let mut state = bank.fresh();
        step(&bank, &mut state, &[s], drive, 1);
        state
    };
    assert_eq!(after(-2.0, 0.5), after(-3.0, 0.5));
    assert_eq!(after(7.0, 0.5), after(8.0, f64::NAN));
    assert_eq!(after(f64::NAN, 0.5), after(-2.0, 0.5));
}

#[test]
fn shots_disturb_what_is_read_and_not_the_state() {
    let exact = Bank::draw(&settings(4), 1);
    let noisy = Bank::draw(&QuantumSettings { shots: Some(10_000), ..settings(4) }, 1);
    let (mut one, mut other) = (exact.fresh(), noisy.fresh());
    let mut scores = Vec::new();
    for row in 1..=200 {
        let s = [(row as f64 * 0.37).fract()];
        step(&exact, &mut one, &s, 0.5, row);
        step(&noisy, &mut other, &s, 0.5, row);
        let coordinates = one.len() - exact.features_len();
        assert_eq!(one[..coordinates], other[..coordinates]);
        for (z, seen) in exact.features(&one).iter().zip(noisy.features(&other)) {
            scores.push((seen - z) / ((1.0 - z * z) / 10_000.0).sqrt());
        }
    }
    let variance = scores.iter().map(|score| score * score).sum::<f64>() / scores.len() as f64;
    assert!((variance - 1.0).abs() < 0.05, "{variance}");
}

#[test]
fn the_cost_of_a_bank_is_what_its_matrices_hold_and_more_qubits_are_refused() {
    let cost = super::cost(4, 10, 5);
    // 64 coordinates in two halves: (32 + 50 → 96) and 32 rows of 3 · 32 columns.
    assert_eq!(cost.multiplications, 10 * 128 * 96);
    assert_eq!(cost.bytes, 10 * 8 * (128 * 96 + 64 + 50));
    let (eight, nine) = (super::cost(8, 1, 10), super::cost(9, 1, 10));
    assert!(nine.multiplications > 6 * eight.multiplications && nine.bytes > 3 * eight.bytes);
    assert!(super::cost(200, 10, 5).bytes == u64::MAX, "absurd sizes do not overflow");
    let lossy =
        QuantumSettings { memory: QuantumMemory::Dissipation { rate: 0.1 }, ..QuantumSettings::fast() };
    // 256 coordinates: (128 + 50 → 192) and 128 rows of 3 · 128 columns.
    assert_eq!(lossy.cost(1).multiplications, 10 * 320 * 384);
    assert_eq!(QuantumSettings { drive: 0.1, ..lossy }.cost(25).multiplications, 2 * 25 * 320 * 384);
    let nine = QuantumSettings { qubits: 9, ..settings(4) };
    assert_eq!(nine.check(), Err("qubits must be 2 to 8, or 2 to 4 with dissipation"));
}

#[test]
fn forged_weights_build_no_bank() {
    let mut weights = Bank::draw(&settings(3), 1).weights().clone();
    weights.couplings[0] = f64::NAN;
    assert!(Bank::new(weights).is_err());
}

#[test]
fn the_bits_of_a_bank_are_fixed_for_ever() {
    // Frozen from this implementation: a change here would make old models forecast otherwise. What is drawn may
    // differ between machines, and is kept in the model.
    let digest = |settings: &QuantumSettings| {
        let mut weights = Bank::draw(settings, 1).weights().clone();
        weights.evolutions = vec![1.5, 2.0];
        for (pair, coupling) in weights.couplings.iter_mut().enumerate() {
            *coupling = 0.5 - (pair * 7 % 16) as f64 / 16.0;
        }
        let bank = Bank::new(weights).unwrap();
        let mut state = bank.fresh();
        for row in 1..=3 {
            step(&bank, &mut state, &[0.37], 0.5, row);
        }
        state.iter().fold(0u64, |digest, value| {
            (digest ^ value.to_bits()).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        })
    };
    let lossy = QuantumSettings { memory: QuantumMemory::Dissipation { rate: 0.5 }, ..settings(3) };
    let noisy = QuantumSettings { shots: Some(100), ..settings(6) };
    assert_eq!(
        [&settings(4), &noisy, &lossy].map(digest),
        [10_690_756_107_107_079_731, 2_663_379_331_238_712_658, 15_356_768_466_187_953_612]
    );
}
