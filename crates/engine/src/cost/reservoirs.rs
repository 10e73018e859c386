//! What a step of a reservoir costs, by its kind and size.

use super::Nanoseconds;
use crate::block::{Block, Reservoir};
use crate::echo::{Echo, Recurrent};
use crate::kernel::{LANES, Real};
use crate::quantum::{QuantumCost, QuantumSettings};
use crate::spec::{ReservoirSettings, Topology};
use crate::spiking::{LiquidWeights, SpikingSettings, SpikingWiring};

/// To call a reservoir.
const CALL: Nanoseconds = Nanoseconds { alone: 40.0, together: 20.0 };
/// A weight of dense echo units, in 32 bits: streams alone wait for the cache, together for arithmetic
/// (`echo-300-dense`).
const DENSE: Nanoseconds = Nanoseconds { alone: 0.040, together: 0.018 };
/// The same where 32-bit weights are more than [`CACHE`] (`echo-2000-dense`).
const DENSE_FROM_MEMORY: f64 = 0.1;
/// Weights, in bytes, that come fast enough: the second cache and a share of the third.
const CACHE: f64 = 8e6;
/// A unit's tanh and leak, in 32 bits.
const UNIT: f64 = 0.6;
/// 16 entries of sparse units by permutation, padding included, one stream (`echo-500-sparse-1`).
const SLOT: f64 = 0.8;
/// Numbers that a permutation chooses from, and rows that are padded to the longest of them.
const BLOCK: f64 = 32.0;
/// Standard deviations by which the longest of 32 rows stands above their mean.
const LONGEST: f64 = 2.07;
/// A ring has one entry a row, those of neighbours side by side.
const PADDING_OF_CYCLE: f64 = 2.0;
/// More padding than this, and entries are loaded one by one instead.
const PADDING_MAX: f64 = 8.0;
/// An entry that is loaded by itself, one stream.
const LOADED: f64 = 0.65;
/// An entry of sparse units where streams stand in lanes (`echo-500-sparse-64`).
const IN_LANES: f64 = 0.042;
/// A multiplication of a network's table (`quantum-10x4`).
const TABULATED: Nanoseconds = Nanoseconds { alone: 0.1, together: 0.045 };
/// A tabulated network, whatever its size.
const TABLE: f64 = 40.0;
/// A multiplication in the eigenbasis, which streams do not share (`quantum-6-1`, `quantum-8-1`).
const IN_EIGENBASIS: f64 = 0.063;
/// A network in the eigenbasis, whatever its size: small products are set up as often as large ones.
const NETWORK: f64 = 2500.0;
/// A coordinate of a state, whose trace is kept, or a read-out.
const COORDINATE: f64 = 0.8;
/// A neuron and dt (`lif-500-1`, `lif-1000-1`).
const NEURON: f64 = 2.4;
/// A spike at a synapse, and at one that tires.
const EVENT: f64 = 1.1;
const EVENT_TIRING: f64 = 25.0;
/// Share of neurons that fire in a dt, 0.02 to 0.07 in trained liquids; it depends on the series.
const FIRING: f64 = 0.035;
/// A dt, whatever the neurons.
const DT: f64 = 60.0;
/// A tap of a neuron in a row, and in each dt where inputs come as spikes.
const TAP: f64 = 1.5;
const TAP_OF_SPIKES: f64 = 1.8;
/// What a neuron costs once a row: features, means, variances.
const NEURON_ROW: f64 = 4.0;

/// A step of one block of one stream.
pub(super) fn step<R: Real>(block: &Block<R>) -> Nanoseconds {
    let own = match &block.reservoir {
        Reservoir::Echo(echo) => of_echo(echo),
        Reservoir::Spiking(liquid) => Nanoseconds::both(self::liquid(&Population::drawn(liquid.weights()))),
        Reservoir::Quantum(bank) => of_bank(&bank.weights().settings, bank.inputs_len()),
    };
    own.plus(CALL)
}

/// A step of one stream of a reservoir that has not been drawn, for rows of `inputs` values; `wide` is 1 for 32 bits and 2
/// for 64.
pub(super) fn step_of(settings: &ReservoirSettings, inputs: usize, wide: f64) -> Nanoseconds {
    let own = match settings {
        ReservoirSettings::Echo(echo) => {
            let (units, behind) = (echo.units as f64, (inputs + 1) as f64);
            match echo.topology {
                Topology::Orthogonal => dense(units, behind, wide),
                Topology::Cycle => sparse(units, units, behind, wide),
                Topology::Random if echo.density >= 1.0 => dense(units, behind, wide),
                Topology::Random => sparse(units, echo.density * units * units, behind, wide),
            }
        }
        ReservoirSettings::Spiking(spiking) => Nanoseconds::both(liquid(&Population::expected(spiking))),
        ReservoirSettings::Quantum(quantum) => of_bank(quantum, inputs),
    };
    own.plus(CALL)
}

pub(super) fn of_echo<R: Real>(echo: &Echo<R>) -> Nanoseconds {
    let weights = echo.weights();
    let (units, behind) = (weights.units as f64, (weights.inputs + 1) as f64);
    let wide = size_of::<R>() as f64 / size_of::<f32>() as f64;
    match &weights.recurrent {
        Recurrent::Dense(_) => dense(units, behind, wide),
        Recurrent::Sparse(rows) => sparse(units, rows.values.len() as f64, behind, wide),
    }
}

/// `wide` is 1 for 32 bits and 2 for 64.
fn dense(units: f64, behind: f64, wide: f64) -> Nanoseconds {
    let entries = units.max(LANES as f64) * (units + behind);
    let bytes = 4.0 * wide * entries;
    let far = (bytes - CACHE).max(0.0) / bytes;
    let alone = DENSE.alone * (1.0 - far) + DENSE_FROM_MEMORY * far;
    let tanh = UNIT * units;
    Nanoseconds { alone: wide * (alone * entries + tanh), together: wide * (DENSE.together * entries + tanh) }
}

fn sparse(units: f64, recurrent: f64, behind: f64, wide: f64) -> Nanoseconds {
    let entries = recurrent + units * behind;
    let padding = padding(units, recurrent);
    let is_permuted = padding <= PADDING_MAX && wide < 2.0;
    let alone = if is_permuted {
        SLOT / LANES as f64 * (padding * recurrent + units * behind)
    } else {
        LOADED * entries
    };
    let tanh = UNIT * units * wide;
    Nanoseconds { alone: alone + tanh, together: wide * IN_LANES * entries + tanh }
}

/// What is permuted for each entry that is not padding.
fn padding(units: f64, recurrent: f64) -> f64 {
    if recurrent <= units {
        return PADDING_OF_CYCLE;
    }
    // Entries of a row among the numbers that one permutation chooses from, and of the longest of 32 rows.
    let mean = BLOCK * recurrent / (units * units.max(BLOCK));
    (mean + LONGEST * mean.sqrt() + 0.5) / mean
}

fn of_bank(settings: &QuantumSettings, inputs: usize) -> Nanoseconds {
    let (cost, networks) = (settings.cost(inputs), settings.reservoirs.max(inputs));
    if settings.is_tabulated() {
        tabulated(cost, networks)
    } else {
        Nanoseconds::both(in_eigenbasis(cost, networks))
    }
}

fn tabulated(cost: QuantumCost, networks: usize) -> Nanoseconds {
    let multiplications = cost.multiplications as f64;
    let rest = COORDINATE * cost.coordinates as f64 + TABLE * networks as f64;
    Nanoseconds {
        alone: TABULATED.alone * multiplications + rest,
        together: TABULATED.together * multiplications + rest,
    }
}

fn in_eigenbasis(cost: QuantumCost, networks: usize) -> f64 {
    let (multiplications, rest) = (cost.multiplications as f64, COORDINATE * cost.coordinates as f64);
    IN_EIGENBASIS * multiplications + NETWORK * networks as f64 + rest
}

/// What of a liquid costs something.
struct Population {
    neurons: f64,
    substeps: f64,
    /// Delayed inputs that all neurons hear.
    taps: f64,
    synapses: f64,
    /// Of a spike at a synapse.
    event: f64,
    /// Whether inputs come once a row and not as spikes.
    is_steady: bool,
}

impl Population {
    fn drawn(weights: &LiquidWeights) -> Self {
        Self {
            neurons: weights.neurons as f64,
            substeps: weights.substeps as f64,
            taps: (weights.neurons * weights.fan_in) as f64,
            synapses: weights.synapse_targets.len() as f64,
            event: if weights.is_dynamic() { EVENT_TIRING } else { EVENT },
            is_steady: weights.is_steady(),
        }
    }

    fn expected(settings: &SpikingSettings) -> Self {
        let neurons = settings.neurons as f64;
        Self {
            neurons,
            substeps: settings.substeps as f64,
            taps: neurons * settings.fan_in as f64,
            synapses: settings.synapses_expected(),
            event: if settings.wiring == SpikingWiring::Column { EVENT_TIRING } else { EVENT },
            is_steady: settings.is_steady(),
        }
    }
}

fn liquid(population: &Population) -> f64 {
    let &Population { neurons, substeps, taps, synapses, event, is_steady } = population;
    let arriving = if is_steady { 0.0 } else { TAP_OF_SPIKES * taps };
    let dt = DT + NEURON * neurons + FIRING * event * synapses + arriving;
    substeps * dt + TAP * taps + NEURON_ROW * neurons
}

/// Microseconds of a row of one stream, of a reservoir of `units` echo units of a density in (0, 1] in 32 bits.
pub(crate) fn echo_us(units: usize, density: f64) -> f64 {
    let units = units as f64;
    let step = if density >= 1.0 {
        dense(units, 2.0, 1.0)
    } else {
        sparse(units, density * units * units, 2.0, 1.0)
    };
    step.alone / 1e3
}

/// Microseconds of a row of one stream, of a liquid.
pub(crate) fn liquid_us(settings: &SpikingSettings) -> f64 {
    liquid(&Population::expected(settings)) / 1e3
}

/// Microseconds of a row of one stream, of a network too large to be tabulated.
pub(crate) fn network_us(cost: QuantumCost) -> f64 {
    in_eigenbasis(cost, 1) / 1e3
}
