//! A bank of networks ready to step, and the state of one stream.

use super::draw::BankWeights;
use super::loss::Lossy;
use super::network::{Network, positions_by_sector};
use super::shots;
use super::spectral::{self, Spectral};
use super::transfer::{self, Channel, Mixture, Place, Transfer};
use super::{QuantumMemory, QuantumSettings, TRANSFER_QUBITS_MAX};
use crate::kernel::{States, room};

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

/// What the networks of a bank step by, all in the same form.
#[cfg(feature = "gpu")]
pub(crate) enum Matrices<'b> {
    Tables(Vec<&'b Transfer>),
    Spectra(Vec<&'b Spectral>),
}

/// What a stream hears at one input, and what decides how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Heard {
    /// The input.
    pub(crate) value: f64,
    /// How far the field is shifted, from the low (0) to the high end (1) of its range.
    pub(crate) drive: f64,
    /// The stream's rows, counted from 1: decides the noise of finite shots.
    pub(crate) row: u64,
}

/// Room that steps need. It grows when first used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    transfer: transfer::Work,
    spectral: spectral::Work,
    state: Vec<f64>,
    features: Vec<f64>,
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

    /// What the networks step by, the first field's where there are two.
    #[cfg(feature = "gpu")]
    pub(crate) fn matrices(&self) -> Matrices<'_> {
        let (mut tables, mut spectra) = (Vec::new(), Vec::new());
        for network in &self.networks {
            match network {
                Form::Transfer(table) => tables.push(table),
                Form::Spectral(fields) => spectra.push(&fields[0]),
            }
        }
        if spectra.is_empty() { Matrices::Tables(tables) } else { Matrices::Spectra(spectra) }
    }

    /// How many numbers the matrices of all networks have together.
    #[cfg(feature = "gpu")]
    pub(crate) fn matrices_len(&self) -> usize {
        let of_one = |network: &Form| match network {
            Form::Transfer(table) => 3 * table.half() * (2 * table.half() + table.features()),
            Form::Spectral(fields) => fields[0].len(),
        };
        self.networks.iter().map(of_one).sum()
    }

    /// Coordinates of a network's state whose sum is its trace.
    #[cfg(feature = "gpu")]
    pub(crate) fn diagonal(&self) -> &[usize] {
        &self.diagonal
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

    /// Advances streams by a row of inputs each, meant to be in [0, 1]; `heard(stream, input)` is one of them. An input
    /// beyond is followed as far as the swing of the network leaves room: cut off at 1, two values of 5,000 that were
    /// above all of training doubled the error on the Mackey-Glass series.
    ///
    /// # Panics
    /// Where a state is of another bank.
    pub(crate) fn step(
        &self,
        states: &mut impl States<Number = f64>,
        heard: impl Fn(usize, usize) -> Heard,
        work: &mut Work,
    ) {
        let settings = &self.weights.settings;
        let (coordinates, features) =
            (settings.coordinates_per_reservoir(), settings.features_per_reservoir());
        let first_feature = self.networks.len() * coordinates;
        let length = first_feature + self.features_len();
        // Where nothing is driven there is one map and its share is 1.
        let shares = |drive: f64| {
            let drive = if settings.drive > 0.0 { unit(drive) } else { 0.0 };
            [1.0 - drive, drive]
        };
        for (index, network) in self.networks.iter().enumerate() {
            let (input, swing) = (self.weights.heard[index] as usize, self.weights.swings[index]);
            let population = |heard: Heard| unit(0.5 + swing * (heard.value - 0.5));
            let place = Place { state: index * coordinates, features: first_feature + index * features };
            match network {
                Form::Transfer(transfer) => {
                    let mixture = |stream: usize| {
                        let heard = heard(stream, input);
                        let s = population(heard);
                        let parts = [1.0 - s, s, (s * (1.0 - s)).sqrt()];
                        Mixture { parts, shares: shares(heard.drive) }
                    };
                    transfer.step(states, place, mixture, &mut work.transfer);
                }
                Form::Spectral(channels) => {
                    for stream in 0..states.count() {
                        let heard = heard(stream, input);
                        let s = population(heard);
                        let (state, read) = states.get_mut(stream).split_at_mut(first_feature);
                        let state = &mut state[place.state..][..coordinates];
                        let read = &mut read[index * features..][..features];
                        let amplitudes = [(1.0 - s).sqrt(), s.sqrt()];
                        mixed_step(channels, state, amplitudes, shares(heard.drive), read, work);
                    }
                }
            }
        }
        for stream in 0..states.count() {
            let numbers = states.get_mut(stream);
            assert_eq!(numbers.len(), length, "a bank's state");
            self.tidy(numbers, heard(stream, 0).row);
        }
    }

    /// What rounding and shots do to a stream's numbers after a step.
    fn tidy(&self, numbers: &mut [f64], row: u64) {
        let settings = &self.weights.settings;
        let coordinates = settings.coordinates_per_reservoir();
        let (states, features) = numbers.split_at_mut(self.networks.len() * coordinates);
        for state in states.chunks_exact_mut(coordinates) {
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
        self.step(state, input, features, &mut spectral::Work::default());
    }
}

/// A convex mixture of physical maps is a physical map, and mixing results is exact.
fn mixed_step(
    channels: &[Spectral],
    state: &mut [f64],
    input: [f64; 2],
    shares: [f64; 2],
    features: &mut [f64],
    work: &mut Work,
) {
    let [first, rest @ ..] = channels else { return };
    let Work { spectral, state: other_state, features: other_features, .. } = work;
    let Some(second) = rest.first() else {
        return first.step(state, input, features, spectral);
    };
    let (other_state, other_features) =
        (room(other_state, state.len()), room(other_features, features.len()));
    other_state.copy_from_slice(state);
    first.step(state, input, features, spectral);
    second.step(other_state, input, other_features, spectral);
    let mix = |one: &mut [f64], other: &[f64]| {
        one.iter_mut().zip(other).for_each(|(one, other)| *one = shares[0] * *one + shares[1] * other);
    };
    mix(state, other_state);
    mix(features, other_features);
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
