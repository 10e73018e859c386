//! Settings of reservoirs: well-known ones first, then drawn around them; small to try many, large to keep one.

use super::{Feeds, Task};
use crate::quantum::{QuantumMemory, QuantumSettings};
use crate::spec::{BlockSettings, EchoSettings, Family, Hearing, ReservoirSettings, Topology};
use crate::spiking::{SpikingSettings, SpikingWiring};
use spinwell_core::Rng;

/// How large a reservoir is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// To try many.
    Small,
    /// To keep one.
    Full,
    /// Where more of it still helps.
    Large,
    /// As it is.
    Same,
}

/// Units of small, full and large echo-state reservoirs.
const ECHO_UNITS: [usize; 3] = [150, 500, 1000];
/// Reservoirs of small and full quantum banks.
const QUANTUM_RESERVOIRS: [usize; 2] = [6, 20];
/// Neurons of small and full liquids, each of which gives four features.
const NEURONS: [usize; 2] = [150, 400];

/// An echo-state reservoir that did well somewhere.
struct KnownEcho {
    topology: Topology,
    spectral_radius: f64,
    leak: f64,
    input_scale: f64,
    bias_scale: f64,
    seasonal: bool,
}

const fn known(topology: Topology, spectral_radius: f64, leak: f64, input_scale: f64) -> KnownEcho {
    KnownEcho { topology, spectral_radius, leak, input_scale, bias_scale: 0.2, seasonal: true }
}

/// Demand, sensor and climate series; then driven systems with memory, chaotic flows and maps.
/// The first of [`KNOWN_ECHOES`] that is dense whatever the density.
const DENSE_ECHO: usize = 2;
const KNOWN_ECHOES: [KnownEcho; 6] = [
    known(Topology::Random, 0.9, 0.3, 0.3),
    known(Topology::Random, 0.9, 0.6, 0.3),
    known(Topology::Orthogonal, 0.9, 1.0, 0.1),
    known(Topology::Random, 1.1, 0.9, 1.0),
    KnownEcho { seasonal: false, ..known(Topology::Random, 0.9, 1.0, 0.3) },
    known(Topology::Cycle, 0.95, 1.0, 0.15),
];

/// Which settings of a family stand for all of a size where costs and room are foretold: the smallest are the first, the
/// dearest of echo-state networks are dense.
pub(super) fn examples(family: Family, size: Size) -> &'static [usize] {
    match (family, size) {
        (Family::Echo, Size::Full) => &[0, DENSE_ECHO],
        _ => &[0],
    }
}

/// The `index`-th settings of a family; `None` for families without a reservoir.
pub(super) fn block(task: &Task<'_>, family: Family, index: usize, size: Size) -> Option<BlockSettings> {
    let rng = Rng::seeded(task.options.seed).fork(family as u64).fork(index as u64);
    let mut block = match family {
        Family::Echo => echo(task, index, rng),
        Family::Spiking => spiking(task, index, rng),
        Family::Quantum => quantum(task, index, rng),
        _ => return None,
    };
    grow(task, &mut block, size, false);
    Some(block)
}

/// What a reservoir hears.
fn hearing(task: &Task<'_>, seasonal: bool, differenced: bool) -> Hearing {
    let (settings, horizon, season) = (&task.options.settings, task.options.horizon, task.season);
    let skip = settings.skip.unwrap_or(true);
    let seasonal = settings.seasonal_inputs.unwrap_or(seasonal && skip) && season > horizon;
    let mut offsets = if seasonal { vec![season - 1, season - horizon] } else { Vec::new() };
    offsets.dedup();
    let differenced = settings.differenced.unwrap_or(differenced && task.options.feeds == Feeds::Everything);
    Hearing { seasonal: offsets, differenced }
}

fn echo(task: &Task<'_>, index: usize, mut rng: Rng) -> BlockSettings {
    let settings = &task.options.settings;
    let seed = rng.next_u64();
    let drawn = KnownEcho {
        topology: if rng.uniform() < 0.6 { Topology::Random } else { Topology::Orthogonal },
        spectral_radius: rng.uniform_in(0.7, 1.2),
        leak: log_uniform(&mut rng, 0.15, 1.0),
        input_scale: log_uniform(&mut rng, 0.08, 1.5),
        bias_scale: log_uniform(&mut rng, 0.1, 1.0),
        seasonal: rng.uniform() < 0.5,
    };
    let differenced = index >= 2 && rng.uniform() < 0.25;
    let from = KNOWN_ECHOES.get(index).unwrap_or(&drawn);
    let density = settings.density.unwrap_or(0.1);
    let topology = match (settings.topology, settings.density) {
        (Some(topology), _) => topology,
        (None, Some(_)) => Topology::Random,
        (None, None) => from.topology,
    };
    let reservoir = ReservoirSettings::Echo(EchoSettings {
        units: ECHO_UNITS[0],
        topology,
        density,
        spectral_radius: settings.spectral_radius.unwrap_or(from.spectral_radius),
        leak: settings.leak.unwrap_or(from.leak),
        input_scale: settings.input_scale.unwrap_or(from.input_scale),
        bias_scale: settings.bias_scale.unwrap_or(from.bias_scale),
        seed,
    });
    BlockSettings { reservoir, hearing: hearing(task, from.seasonal, differenced) }
}

fn spiking(task: &Task<'_>, index: usize, mut rng: Rng) -> BlockSettings {
    let settings = &task.options.settings;
    let delays = [15, 30, 8, 48];
    let drawn = rng.below(60) as usize;
    let seed = rng.next_u64();
    let gain = log_uniform(&mut rng, 2.0, 12.0);
    let spiking = match settings.wiring {
        Some(SpikingWiring::Column) => SpikingSettings { seed, ..SpikingSettings::classic() },
        _ => SpikingSettings {
            delay_max: delays.get(index).copied().unwrap_or(drawn),
            gain: if index < delays.len() { SpikingSettings::default().gain } else { gain },
            fan_in: if index % 3 == 2 { 3 } else { 2 },
            seed,
            ..SpikingSettings::default()
        },
    };
    let spiking = SpikingSettings {
        delay_max: settings.delay_max.unwrap_or(spiking.delay_max),
        encoding: settings.encoding.unwrap_or(spiking.encoding),
        ..spiking
    };
    BlockSettings { reservoir: ReservoirSettings::Spiking(spiking), hearing: hearing(task, false, false) }
}

/// Ranges that a quantum bank's inputs sweep: for most series; strongly nonlinear; long and linear memory.
const KNOWN_SWINGS: [(f64, f64); 4] = [(0.9, 0.3), (0.95, 0.95), (0.1, 0.1), (0.5, 0.15)];

fn quantum(task: &Task<'_>, index: usize, mut rng: Rng) -> BlockSettings {
    let settings = &task.options.settings;
    let default = QuantumSettings::default();
    let seed = rng.next_u64();
    let (a, b) = (log_uniform(&mut rng, 0.05, 0.95), log_uniform(&mut rng, 0.05, 0.95));
    let (swing_max, swing_min) = KNOWN_SWINGS.get(index).copied().unwrap_or((a.max(b), a.min(b)));
    let field = if index < KNOWN_SWINGS.len() { default.field } else { rng.uniform_in(0.4, 1.5) };
    let quantum = QuantumSettings {
        qubits: settings.qubits.unwrap_or(default.qubits),
        substeps: settings.substeps.unwrap_or(default.substeps),
        field: settings.field.unwrap_or(field),
        swing_max,
        swing_min,
        shots: settings.shots,
        memory: settings.dissipation.map_or(default.memory, |rate| QuantumMemory::Dissipation { rate }),
        seed,
        ..default
    };
    BlockSettings { reservoir: ReservoirSettings::Quantum(quantum), hearing: hearing(task, false, false) }
}

fn log_uniform(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low * (high / low).powf(rng.uniform())
}

/// Gives a reservoir its size, unless it was fixed by hand.
pub(super) fn grow(task: &Task<'_>, block: &mut BlockSettings, size: Size, noiseless: bool) {
    let settings = &task.options.settings;
    let rows = task.folds.fit_end();
    let place = match size {
        Size::Small => 0,
        Size::Full => 1,
        Size::Large => 2,
        Size::Same => return,
    };
    // Where there is noise, a feature needs rows to be fitted to.
    let bound = if noiseless { rows / 4 } else { rows / 8 };
    match &mut block.reservoir {
        ReservoirSettings::Echo(echo) => {
            echo.units = settings.units.unwrap_or_else(|| bound.clamp(10, ECHO_UNITS[place]));
        }
        ReservoirSettings::Quantum(quantum) => {
            let most = QUANTUM_RESERVOIRS[place.min(1)];
            quantum.reservoirs = settings.reservoirs.unwrap_or_else(|| (bound / 25).clamp(2, most));
        }
        // The classic column has its size.
        ReservoirSettings::Spiking(spiking) if spiking.wiring == SpikingWiring::Column => {
            spiking.neurons = settings.neurons.unwrap_or(spiking.neurons);
        }
        ReservoirSettings::Spiking(spiking) => {
            spiking.neurons =
                settings.neurons.unwrap_or_else(|| (bound / 2).clamp(10, NEURONS[place.min(1)]));
        }
    }
}

/// A size at which several reservoirs can stand beside each other.
pub(super) fn shrink(task: &Task<'_>, block: &mut BlockSettings) {
    let settings = &task.options.settings;
    match &mut block.reservoir {
        ReservoirSettings::Echo(_) => {}
        ReservoirSettings::Quantum(quantum) => {
            quantum.reservoirs = settings.reservoirs.unwrap_or(quantum.reservoirs.min(10));
        }
        // The classic column has its size.
        ReservoirSettings::Spiking(spiking) if spiking.wiring == SpikingWiring::Column => {
            spiking.neurons = settings.neurons.unwrap_or(spiking.neurons);
        }
        ReservoirSettings::Spiking(spiking) => {
            spiking.neurons = settings.neurons.unwrap_or(spiking.neurons.min(135));
        }
    }
}

/// Draws the same settings' random parts anew; 0 leaves them.
pub(super) fn reseed(block: &mut BlockSettings, by: u64) {
    if by == 0 {
        return;
    }
    let seed = match &mut block.reservoir {
        ReservoirSettings::Echo(echo) => &mut echo.seed,
        ReservoirSettings::Quantum(quantum) => &mut quantum.seed,
        ReservoirSettings::Spiking(spiking) => &mut spiking.seed,
    };
    *seed = Rng::seeded(*seed).fork(by).next_u64();
}
