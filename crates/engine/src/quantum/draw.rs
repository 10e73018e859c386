//! The random and scheduled parameters of a bank, as they stand in a model file.
//!
//! Each input has its own networks, and each of these families spans all evolution times, coupling strengths and
//! swings, so that no input is heard only by fast or only by weakly coupled networks. Couplings are random, but not
//! all that chance offers: every network must forget, see [`REMEMBERED_MAX`].

use super::network::Network;
use super::spectral::{self, Spectral};
use super::{EVOLUTION_MAX, QuantumMemory, QuantumSettings, STRENGTH_MAX};
use spinwell_core::Rng;

/// Factors of the coupling that an input's networks cycle through.
const COUPLING_CYCLE: [f64; 3] = [1.0, 2.0, 0.7];

/// Rows after which only the slow parts of a difference are left.
const SETTLING_ROWS: usize = 32;
/// Rows over which they must shrink.
const FADING_ROWS: usize = 32;
/// To this share of themselves: at this pace 150 rows leave 1e-6 of a difference. Where the erased qubit is hardly
/// coupled to some motion of the others, that motion is remembered for thousands of rows, and every stream would
/// take as long to warm up. Refusing such draws made no task less accurate that we tried.
const REMEMBERED_MAX: f64 = 0.05;
/// Draws after which the fastest seen is taken.
const DRAWS_MAX: usize = 16;

/// Everything that a bank is rebuilt from. Of a file it can be anything until [`BankWeights::check`] has seen it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BankWeights {
    /// What it was drawn from; sizes, memory, shots, drive and seed also rule how it steps.
    pub(crate) settings: QuantumSettings,
    /// Inputs of a row.
    pub(crate) inputs: usize,
    /// J_ij of each network, i < j, row after row: networks × qubits·(qubits − 1)/2.
    pub(crate) couplings: Vec<f64>,
    /// h of each network.
    pub(crate) fields: Vec<f64>,
    /// τ of each network, the time from one input to the next.
    pub(crate) evolutions: Vec<f64>,
    /// The input that each network hears.
    pub(crate) heard: Vec<u64>,
    /// How much of qubit 0's range the inputs of each network sweep, in [0, 1]: s = ½ + swing·(input − ½).
    pub(crate) swings: Vec<f64>,
}

impl BankWeights {
    /// Draws a bank for rows of `inputs` values; network r hears input r mod `inputs`.
    pub(crate) fn draw(settings: &QuantumSettings, inputs: usize) -> Self {
        let rng = Rng::seeded(settings.seed);
        let networks = settings.reservoirs.max(inputs);
        let mut weights = Self {
            settings: settings.clone(),
            inputs,
            couplings: Vec::new(),
            fields: vec![settings.field; networks],
            evolutions: Vec::with_capacity(networks),
            heard: Vec::with_capacity(networks),
            swings: Vec::with_capacity(networks),
        };
        for network in 0..networks {
            let (place, heard) = (network / inputs.max(1), network % inputs.max(1));
            let family = (networks - heard).div_ceil(inputs.max(1));
            // Where an input has one network only, it gets the middle of the range.
            let share = if family > 1 { place as f64 / (family - 1) as f64 } else { 0.5 };
            let ratio = settings.evolution_max / settings.evolution_min;
            weights.evolutions.push(settings.evolution_min * ratio.powf(share));
            weights.heard.push(heard as u64);
            weights.swings.push([settings.swing_max, settings.swing_min][place % 2]);
            let half = 0.5 * settings.coupling * COUPLING_CYCLE[place % COUPLING_CYCLE.len()];
            let couplings = weights.drawn(network, half, &mut rng.fork(network as u64));
            weights.couplings.extend(couplings);
        }
        weights
    }

    /// Couplings uniform in ± `half`, drawn again where the network would not forget.
    fn drawn(&self, network: usize, half: f64, rng: &mut Rng) -> Vec<f64> {
        let settings = &self.settings;
        let mut slowest = (f64::INFINITY, Vec::new());
        for _ in 0..DRAWS_MAX {
            let couplings: Vec<f64> =
                (0..pairs(settings.qubits)).map(|_| rng.uniform_in(-half, half)).collect();
            if settings.memory != QuantumMemory::Erasure {
                return couplings;
            }
            let left = remembered(
                &Network {
                    qubits: settings.qubits,
                    couplings: &couplings,
                    field: self.fields[network],
                    evolution: self.evolutions[network],
                    substeps: 1,
                    correlations: false,
                },
                self.swings[network],
                rng,
            );
            if left < slowest.0 {
                slowest = (left, couplings);
            }
            if slowest.0 <= REMEMBERED_MAX {
                break;
            }
        }
        slowest.1
    }

    /// Whether a bank can be built of it; it may come from anywhere.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        self.settings.check_for(self.inputs)?;
        let networks = self.heard.len();
        if networks != self.settings.reservoirs.max(self.inputs) {
            return Err("a quantum bank has as many networks as its settings and inputs ask for");
        }
        let lengths = [self.couplings.len(), self.fields.len(), self.evolutions.len(), self.swings.len()];
        if lengths != [networks * pairs(self.settings.qubits), networks, networks, networks] {
            return Err("a quantum bank's couplings, fields, times and swings do not fit its networks");
        }
        if self.heard.iter().any(|&input| input >= self.inputs as u64) {
            return Err("a quantum network hears an input that there is not");
        }
        let strong = |value: &f64| !value.is_finite() || value.abs() > STRENGTH_MAX;
        if self.couplings.iter().chain(&self.fields).any(strong) {
            return Err("a quantum network's couplings and field must be within ±100");
        }
        if !self.swings.iter().all(|swing| (0.0..=1.0).contains(swing)) {
            return Err("a quantum network's inputs must sweep 0 to 1 of its range");
        }
        if !self.evolutions.iter().all(|&time| time > 0.0 && time <= EVOLUTION_MAX) {
            return Err("a quantum network's evolution must take more than 0 and at most 1000");
        }
        Ok(())
    }

    /// J_ij of one network.
    pub(crate) fn couplings_of(&self, network: usize) -> &[f64] {
        let pairs = pairs(self.settings.qubits);
        &self.couplings[network * pairs..][..pairs]
    }
}

/// What a difference of two states shrinks to in [`FADING_ROWS`] rows of random inputs, once its fast parts are gone.
fn remembered(network: &Network<'_>, swing: f64, rng: &mut Rng) -> f64 {
    let spectral = Spectral::new(network);
    let dimension = 1 << (network.qubits - 1);
    let mut difference: Vec<f64> = (0..dimension * dimension).map(|_| rng.uniform_in(-1.0, 1.0)).collect();
    // States have the same trace.
    let trace: f64 = difference.iter().step_by(dimension + 1).sum();
    difference.iter_mut().step_by(dimension + 1).for_each(|diagonal| *diagonal -= trace / dimension as f64);
    let (mut features, mut work) = (vec![0.0; network.features()], spectral::Work::default());
    let mut norm_after = |rows: usize| {
        for _ in 0..rows {
            let s = 0.5 + swing * (rng.uniform() - 0.5);
            spectral.step(&mut difference, [(1.0 - s).sqrt(), s.sqrt()], &mut features, &mut work);
        }
        difference.iter().map(|value| value * value).sum::<f64>().sqrt()
    };
    let before = norm_after(SETTLING_ROWS);
    norm_after(FADING_ROWS) / before.max(f64::MIN_POSITIVE)
}

fn pairs(qubits: usize) -> usize {
    qubits * (qubits - 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantum::QuantumMemory;

    #[test]
    fn each_input_has_networks_of_every_speed_and_strength() {
        let settings = QuantumSettings { reservoirs: 12, ..QuantumSettings::default() };
        let weights = BankWeights::draw(&settings, 2);
        assert_eq!(weights.check(), Ok(()));
        for input in 0..2 {
            let own: Vec<usize> = (0..12).filter(|&network| weights.heard[network] == input).collect();
            let times: Vec<f64> = own.iter().map(|&network| weights.evolutions[network]).collect();
            assert!(
                (times[0] - 1.0).abs() < 1e-12 && (times[5] - 8.0).abs() < 1e-12,
                "input {input}: {times:?}"
            );
            for (place, &network) in own.iter().enumerate() {
                assert_eq!(weights.swings[network], [0.9, 0.3][place % 2]);
                let limit = [0.5, 1.0, 0.35][place % 3];
                let largest = weights.couplings_of(network).iter().map(|j| j.abs()).fold(0.0, f64::max);
                assert!(largest <= limit && largest > 0.3 * limit, "network {network}: {largest} of {limit}");
            }
        }
    }

    #[test]
    fn a_drawn_network_forgets() {
        let settings = QuantumSettings { reservoirs: 6, evolution_min: 3.0, ..QuantumSettings::default() };
        let weights = BankWeights::draw(&settings, 1);
        for network in 0..6 {
            let left = remembered(
                &Network {
                    qubits: 4,
                    couplings: weights.couplings_of(network),
                    field: weights.fields[network],
                    evolution: weights.evolutions[network],
                    substeps: 1,
                    correlations: false,
                },
                weights.swings[network],
                &mut Rng::seeded(99),
            );
            // Other inputs than those it was drawn with change the pace a little.
            assert!(left < 2.0 * REMEMBERED_MAX, "network {network}: {left}");
        }
    }

    #[test]
    fn more_inputs_than_networks_get_a_network_each() {
        let settings = QuantumSettings { reservoirs: 2, ..QuantumSettings::default() };
        let weights = BankWeights::draw(&settings, 3);
        assert_eq!((weights.heard.as_slice(), weights.check()), ([0, 1, 2].as_slice(), Ok(())));
        assert!(weights.evolutions.iter().all(|time| (time - 8.0f64.sqrt()).abs() < 1e-12));
    }

    #[test]
    fn weights_that_no_bank_was_drawn_with_are_refused() {
        let good = || BankWeights::draw(&QuantumSettings { reservoirs: 3, ..QuantumSettings::default() }, 2);
        let refused = |what: &str, change: &dyn Fn(&mut BankWeights)| {
            let mut weights = good();
            change(&mut weights);
            assert!(weights.check().is_err(), "{what}");
        };
        assert_eq!(good().check(), Ok(()));
        refused("one qubit", &|w| w.settings.qubits = 1);
        refused("nine qubits", &|w| w.settings.qubits = 9);
        refused("another number of qubits", &|w| w.settings.qubits = 5);
        refused("no parts", &|w| w.settings.substeps = 0);
        refused("endless parts", &|w| w.settings.substeps = usize::MAX);
        refused("no shots", &|w| w.settings.shots = Some(0));
        refused("backward drive", &|w| w.settings.drive = -0.1);
        refused("a drive that is no number", &|w| w.settings.drive = f64::NAN);
        refused("gain", &|w| w.settings.memory = QuantumMemory::Dissipation { rate: -1.0 });
        refused("fewer networks than promised", &|w| w.settings.reservoirs = 4);
        refused("endless networks", &|w| w.settings.reservoirs = usize::MAX);
        refused("no input", &|w| w.inputs = 0);
        refused("deaf network", &|w| w.heard[1] = 2);
        refused("a coupling too few", &|w| w.couplings.truncate(17));
        refused("infinite coupling", &|w| w.couplings[4] = f64::INFINITY);
        refused("a field that is no number", &|w| w.fields[0] = f64::NAN);
        refused("a field too many", &|w| w.fields.push(1.0));
        refused("inputs that leave the range", &|w| w.swings[0] = 1.1);
        refused("a swing too few", &|w| w.swings.truncate(2));
        refused("a swing that is no number", &|w| w.swings[1] = f64::NAN);
        refused("settings of no swing", &|w| w.settings.swing_min = 0.0);
        refused("time standing still", &|w| w.evolutions[2] = 0.0);
        refused("time that is no number", &|w| w.evolutions[2] = f64::NAN);
        refused("settings out of order", &|w| w.settings.evolution_min = 9.0);
        let huge = QuantumSettings { qubits: 8, reservoirs: 512, ..QuantumSettings::default() };
        assert_eq!(huge.check(), Ok(()));
        assert!(huge.check_for(1).is_err(), "more than a server should allocate");
        assert!(good().settings.check_for(0).is_err() && good().settings.check_for(513).is_err());
    }
}
