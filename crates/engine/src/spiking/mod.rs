//! The spiking reservoir: a liquid of leaky integrate-and-fire neurons that is only listened to.
//!
//! Rows are far apart in a neuron's time, so a row is held for `substeps` steps of 1 ms (one dt) and the neurons run
//! freely within it. What makes such a liquid forecast is not its recurrence but its **axonal delays**: each
//! neuron hears a few past rows at random distances, fires by a threshold of their weighted sum, and so computes one
//! random nonlinear function of the recent past. Without delays the memory of the membranes, a few rows, is all
//! there is, and the error on NARMA10 triples.
//!
//! v ← v + (1 − e^(−1/τ_m))·(b + J + I − v), a spike where v > 1 + a, then v ← v − 1 and 2 dt of silence; I ← I·e^(−1/τ_s)
//! plus the weight of each arriving spike (Gerstner & Kistler 2002, §4.1; reset by subtraction keeps what is above the
//! threshold, so that the discrete rate follows the continuous one). The readout sees, per neuron, its spikes through
//! two exponential filters, its potential at the end of the row, and its mean potential over the row.
//!
//! [`draw`] wires a liquid, [`encode`] turns rows into currents and spikes, [`liquid`] and [`synapse`] advance,
//! [`activity`] and [`kuramoto`] say what the population is doing as a whole.

mod activity;
mod column;
mod draw;
mod encode;
mod kuramoto;
mod liquid;
mod synapse;
#[cfg(test)]
mod tests;
mod weights;

pub use activity::Activity;
pub(crate) use liquid::{Liquid, Work};
pub(crate) use weights::LiquidWeights;

/// Most neurons of a liquid.
pub(crate) const NEURONS_MAX: usize = 4096;
/// Most dt of a row.
pub(crate) const SUBSTEPS_MAX: usize = 256;
/// Most delayed inputs of a neuron.
pub(crate) const FAN_IN_MAX: usize = 64;
/// Longest axonal delay in rows.
pub(crate) const DELAY_MAX: usize = 8192;

/// How a value in [0, 1] reaches the neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpikeEncoding {
    /// As a current proportional to it. No spike is drawn, so nothing is lost before the neurons: the most accurate.
    Current,
    /// As the probability of a spike in each dt, drawn for each of a neuron's inputs on its own.
    Rate,
    /// As one spike a row, the earlier the larger the value: t = T·(1 − s).
    Latency,
    /// As currents through overlapping Gaussian receptive fields (Bohte, Kok & La Poutré 2002, §4).
    Population,
    /// As one spike a row at the phase 2π·s of an oscillation that all neurons feel.
    Phase,
    /// As spikes of an ON and an OFF fibre where it has moved from where they last fired (Miskowicz 2006, send-on-delta).
    Delta,
}

impl SpikeEncoding {
    /// Every encoding.
    pub const ALL: [SpikeEncoding; 6] = [
        SpikeEncoding::Current,
        SpikeEncoding::Rate,
        SpikeEncoding::Latency,
        SpikeEncoding::Population,
        SpikeEncoding::Phase,
        SpikeEncoding::Delta,
    ];

    /// The encoding's name in options, cards and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SpikeEncoding::Current => "current",
            SpikeEncoding::Rate => "rate",
            SpikeEncoding::Latency => "latency",
            SpikeEncoding::Population => "population",
            SpikeEncoding::Phase => "phase",
            SpikeEncoding::Delta => "delta",
        }
    }
}

/// How the neurons of a liquid are wired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpikingWiring {
    /// Every pair with the same probability, static weights.
    Random,
    /// A column of 3 × 3 × n neurons, near ones likelier, with synapses that tire and recover (Maass, Natschläger & Markram
    /// 2002, "Real-time computing without stable states", appendix).
    Column,
}

impl SpikingWiring {
    /// Every wiring.
    pub const ALL: [SpikingWiring; 2] = [SpikingWiring::Random, SpikingWiring::Column];

    /// The wiring's name in options, cards and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SpikingWiring::Random => "random",
            SpikingWiring::Column => "column",
        }
    }
}

/// A spiking reservoir before its random parts are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct SpikingSettings {
    /// Neurons, 1 to 4096.
    pub neurons: usize,
    /// Steps of 1 ms that a row lasts, 1 to 256. More of them count spikes more finely and cost in proportion.
    pub substeps: usize,
    /// How values reach the neurons.
    pub encoding: SpikeEncoding,
    /// Axonal delays are uniform in 0 to this many rows, at most 8192: what of the past the liquid can know.
    pub delay_max: usize,
    /// Share of excitatory neurons, in [0, 1].
    pub excitatory: f64,
    /// Inhibitory weights are this many times as strong.
    pub inhibition: f64,
    /// Share of pairs that are connected, in [0, 1]; of a column, a factor of its own probabilities.
    pub density: f64,
    /// Strength of the recurrent weights.
    pub coupling: f64,
    /// Strength of the input weights.
    pub gain: f64,
    /// Delayed inputs that a neuron hears, 1 to 64.
    pub fan_in: usize,
    /// What a spike adds to its neuron's threshold, which then decays over 100 dt. 0 is none.
    pub adaptation: f64,
    /// How the neurons are wired.
    pub wiring: SpikingWiring,
    /// Which random parts.
    pub seed: u64,
}

impl Default for SpikingSettings {
    /// The settings that did best on NARMA10, Mackey-Glass and the Santa Fe laser together.
    fn default() -> Self {
        Self {
            neurons: 500,
            substeps: 10,
            encoding: SpikeEncoding::Current,
            delay_max: 15,
            excitatory: 0.8,
            inhibition: 4.0,
            density: 0.1,
            coupling: 0.2,
            gain: 8.0,
            fan_in: 2,
            adaptation: 0.0,
            wiring: SpikingWiring::Random,
            seed: 0,
        }
    }
}

impl SpikingSettings {
    /// The liquid state machine as it was first described: a column of 135 neurons with dynamic synapses, driven by
    /// spike trains, without delays between rows.
    #[must_use]
    pub fn classic() -> Self {
        Self {
            neurons: 135,
            encoding: SpikeEncoding::Rate,
            delay_max: 0,
            inhibition: 1.0,
            density: 1.0,
            coupling: 1.0,
            gain: 1.0,
            fan_in: 1,
            wiring: SpikingWiring::Column,
            ..Self::default()
        }
    }

    /// What is wrong with a liquid of these settings for rows of `inputs` values, if anything: a setting out of its range,
    /// or more remembered of past rows than a model file may ask for, which would train well and never load again.
    pub(crate) fn check_for(&self, inputs: usize) -> Result<(), &'static str> {
        self.check()?;
        match weights::ring_len(self.encoding, inputs, self.delay_max) {
            Some(_) if inputs > 0 => Ok(()),
            _ => Err("a liquid of this many inputs and delays would remember more than four million numbers"),
        }
    }

    /// Features of a liquid of these settings.
    pub(crate) fn features_len(&self) -> usize {
        liquid::FEATURES * self.neurons
    }

    /// Synapses between the neurons of a liquid of these settings, on average over draws.
    pub(crate) fn synapses_expected(&self) -> f64 {
        let neurons = self.neurons as f64;
        match self.wiring {
            SpikingWiring::Random => self.density * neurons * (neurons - 1.0),
            SpikingWiring::Column => column::synapses_expected(self),
        }
    }

    /// Whether inputs reach the neurons once a row and not as spikes.
    pub(crate) fn is_steady(&self) -> bool {
        encode::is_steady(self.encoding)
    }

    /// Says which setting is out of its range, if one is.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let finite = [self.inhibition, self.coupling, self.gain, self.adaptation];
        if !(1..=NEURONS_MAX).contains(&self.neurons) {
            Err("neurons must be 1 to 4096")
        } else if !(1..=SUBSTEPS_MAX).contains(&self.substeps) {
            Err("substeps must be 1 to 256")
        } else if self.delay_max > DELAY_MAX {
            Err("delay_max must be at most 8192")
        } else if !(1..=FAN_IN_MAX).contains(&self.fan_in) {
            Err("fan_in must be 1 to 64")
        } else if !(0.0..=1.0).contains(&self.excitatory) || !(0.0..=1.0).contains(&self.density) {
            Err("excitatory and density must be 0 to 1")
        } else if !finite.iter().all(|value| (0.0..=100.0).contains(value)) {
            Err("inhibition, coupling, gain and adaptation must be 0 to 100")
        } else {
            Ok(())
        }
    }
}
