//! A bank of networks ready to step, and the state of one stream.

use super::draw::BankWeights;
use super::loss::Lossy;
use super::network::{Network, positions_by_sector};
use super::shots;
use super::spectral::Spectral;
use super::transfer::{Channel, Transfer};
use super::{QuantumMemory, QuantumSettings, TRANSFER_QUBITS_MAX};

/// A bank of quantum reservoirs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bank {
    weights: BankWeights,
    networks: Vec<Form>,
    /// Coordinates of a network's state whose sum is its trace.
    diagonal: Vec<usize>,
}

/// How a network steps, chosen by its size.
#[derive(Debug, Clone, PartialEq)]
enum Form {
    /// The state is a vector of coordinates, those of the first sector first.
    Transfer(Transfer),
    /// One for each field; the state is a row-major matrix.
    Spectral(Vec<Spectral>),
}

impl Bank {
    /// Draws a bank of `settings`, which must be valid, for rows of `inputs` values. Network r hears input
    /// r mod `inputs`; where there are more inputs than networks asked for, there are as many networks as inputs.
    ///
    /// # Panics
    /// Where [`QuantumSettings::check_for`] would have refused.
    pub(crate) fn draw(settings: &QuantumSettings, inputs: usize) -> Self {
        Self::new(BankWeights::draw(settings, inputs)).expect("settings are checked before a bank is drawn")
    }

    /// Rebuilds a bank from what stands in a model file, which is trusted in nothing.
    ///
    /// # Errors
    /// What is wrong with the weights.
    pub(crate) fn new(weights: BankWeights) -> Result<Self, &'static str> {
        weights.check()?;
        let networks: Vec<Form> = (0..weights.heard.len()).map(|index| prepared(&weights, index)).collect();
        let dimension = weights.settings.coordinates_per_reservoir().isqrt();
        let places = match networks.first() {
            Some(Form::Transfer(_)) => positions_by_sector(dimension),
            _ => (0..dimension * dimension).collect(),
        };
        let on_diagonal = |(index, place): (usize, usize)| (place % (dimension + 1) == 0).then_some(index);
        let diagonal = places.into_iter().enumerate().filter_map(on_diagonal).collect();
        Ok(Self { weights, networks, diagonal })
    }

    /// What the bank was built from, and is rebuilt from.
    pub(crate) fn weights(&self) -> &BankWeights {
        &self.weights
    }

    /// Inputs of a row.
    pub(crate) fn inputs_len(&self) -> usize {
        self.weights.inputs
    }

    /// Number of features: network after network, part after part of the evolution, ⟨Z_i⟩ and then ⟨Z_i·Z_j⟩.
    pub(crate) fn features_len(&self) -> usize {
        self.networks.len() * self.weights.settings.features_per_reservoir()
    }

    /// A stream's state before its first row: every density operator maximally mixed, then the features, zeros.
    pub(crate) fn fresh(&self) -> Vec<f64> {
        let coordinates = self.weights.settings.coordinates_per_reservoir();
        let mut state = vec![0.0; self.networks.len() * coordinates + self.features_len()];
        let share = 1.0 / self.diagonal.len() as f64;
        for state in state.chunks_exact_mut(coordinates).take(self.networks.len()) {
            self.diagonal.iter().for_each(|&index| state[index] = share);
        }
        state
    }

    /// Advances a stream's state by a row of inputs, meant to be in [0, 1]. An input beyond is followed as far as the
    /// swing of the network leaves room: cut off at 1, two values of 5,000 that were above all of training doubled the
    /// error on the Mackey-Glass series. `drive` in [0, 1] says how far the field is shifted, from the low to the high
    /// end of its range. `row` counts the stream's rows from 1 and decides the noise of finite shots.
    ///
    /// # Panics
    /// Where `state` is of another bank or `inputs` of another length.
    pub(crate) fn step(&self, state: &mut [f64], inputs: &[f64], drive: f64, row: u64) {
        let settings = &self.weights.settings;
        let coordinates = settings.coordinates_per_reservoir();
        let length = self.networks.len() * coordinates + self.features_len();
        assert_eq!((state.len(), inputs.len()), (length, self.weights.inputs), "a bank's state and inputs");
        let (states, features) = state.split_at_mut(self.networks.len() * coordinates);
        let read_outs = features.chunks_exact_mut(settings.features_per_reservoir());
        // Where nothing is driven there is one map and its share is 1.
        let drive = if settings.drive > 0.0 { unit(drive) } else { 0.0 };
        let shares = [1.0 - drive, drive];
        let heard = self.weights.heard.iter().map(|&input| inputs[input as usize]);
        let populations =
            heard.zip(&self.weights.swings).map(|(input, swing)| unit(0.5 + swing * (input - 0.5)));
        for ((network, s), (state, features)) in
            self.networks.iter().zip(populations).zip(states.chunks_exact_mut(coordinates).zip(read_outs))
        {
            let amplitudes = [(1.0 - s).sqrt(), s.sqrt()];
            match network {
                Form::Transfer(transfer) => {
                    let parts = [1.0 - s, s, (s * (1.0 - s)).sqrt()];
                    transfer.step(state, parts, shares, features);
                }
                Form::Spectral(channels) => mixed_step(channels, state, amplitudes, shares, features),
            }
            // Rounding loses or gains 1e-15 of the probability, and erasure would never forget it.
            let trace: f64 = self.diagonal.iter().map(|&index| state[index]).sum();
            state.iter_mut().for_each(|coordinate| *coordinate /= trace);
        }
        // Rounding may have left a certain outcome a hair beyond it.
        features.iter_mut().for_each(|feature| *feature = feature.clamp(-1.0, 1.0));
        if let Some(shots) = settings.shots {
            shots::add_noise(features, shots, settings.seed, row);
        }
    }

    /// The features of a stream's latest row.
    pub(crate) fn features<'s>(&self, state: &'s [f64]) -> &'s [f64] {
        &state[state.len() - self.features_len()..]
    }
}

impl Channel for Spectral {
    fn step(&self, state: &mut [f64], input: [f64; 2], features: &mut [f64]) {
        self.step(state, input, features);
    }
}

/// A convex mixture of physical maps is a physical map, and mixing results is exact.
fn mixed_step(
    channels: &[Spectral],
    state: &mut [f64],
    input: [f64; 2],
    shares: [f64; 2],
    features: &mut [f64],
) {
    let [first, rest @ ..] = channels else { return };
    let (mut other_state, mut other_features) = (Vec::new(), vec![0.0; features.len()]);
    if !rest.is_empty() {
        other_state = state.to_vec();
    }
    first.step(state, input, features);
    let Some(second) = rest.first() else { return };
    second.step(&mut other_state, input, &mut other_features);
    let mix = |one: &mut [f64], other: &[f64]| {
        one.iter_mut().zip(other).for_each(|(one, other)| *one = shares[0] * *one + shares[1] * other);
    };
    mix(state, &other_state);
    mix(features, &other_features);
}

/// Builds the matrices of one network.
fn prepared(weights: &BankWeights, index: usize) -> Form {
    let settings = &weights.settings;
    let networks: Vec<Network<'_>> = fields(weights.fields[index], settings.drive)
        .into_iter()
        .map(|field| Network {
            qubits: settings.qubits,
            couplings: weights.couplings_of(index),
            field,
            evolution: weights.evolutions[index],
            substeps: settings.substeps,
            correlations: settings.correlations,
        })
        .collect();
    let dimension = settings.coordinates_per_reservoir().isqrt();
    let features = settings.features_per_reservoir();
    match settings.memory {
        QuantumMemory::Dissipation { rate } => {
            let channels: Vec<Lossy> = networks.iter().map(|network| Lossy::new(network, rate)).collect();
            Form::Transfer(Transfer::tabulate(&channels, dimension, features))
        }
        QuantumMemory::Erasure => {
            let channels: Vec<Spectral> = networks.iter().map(Spectral::new).collect();
            if settings.qubits > TRANSFER_QUBITS_MAX {
                return Form::Spectral(channels);
            }
            Form::Transfer(Transfer::tabulate(&channels, dimension, features))
        }
    }
}

/// The fields that a network can be under.
fn fields(field: f64, drive: f64) -> Vec<f64> {
    if drive > 0.0 { vec![field * (1.0 - drive), field * (1.0 + drive)] } else { vec![field] }
}

/// The value, or the nearer end of [0, 1]; 0 for what is no number.
fn unit(value: f64) -> f64 {
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}
