//! One reservoir of a model, whatever its kind, and its state in one stream.
//!
//! Echo-state reservoirs compute in the precision of the model and step several streams at once. Spiking and
//! quantum reservoirs have one arithmetic each (32 and 64 bits) and hand over their features in the model's.

use crate::echo::Echo;
use crate::kernel::Real;
use crate::quantum::Bank;
use crate::spec::{BlockSettings, Hearing, ReservoirSettings};
use crate::spiking::{Activity, Liquid};

/// A reservoir and what it hears.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block<R> {
    /// What it hears of each row.
    pub(crate) hearing: Hearing,
    /// What it is.
    pub(crate) reservoir: Reservoir<R>,
}

/// The kinds of reservoirs, ready to step.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a model has a few of them, and the commonest kind is the large one"
)]
pub(crate) enum Reservoir<R> {
    /// Leaky tanh units.
    Echo(Echo<R>),
    /// Spiking neurons.
    Spiking(Box<Liquid>),
    /// Simulated qubits.
    Quantum(Box<Bank>),
}

/// The state of a reservoir in one stream, as plain numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State<R> {
    /// Activations, room for the inputs, and the constant 1.
    Echo(Vec<R>),
    /// See [`Liquid::fresh`].
    Spiking(Vec<f32>),
    /// See [`Bank::fresh`].
    Quantum(Vec<f64>),
}

impl<R> Default for State<R> {
    fn default() -> Self {
        State::Echo(Vec::new())
    }
}

const KINDS_AGREE: &str = "a block's state is of its own kind";

impl<R: Real> Block<R> {
    /// Draws the random parts of `settings` for rows of `channels` channels; `None` where they are out of range.
    pub(crate) fn draw(settings: &BlockSettings, channels: usize) -> Option<Self> {
        let inputs = settings.hearing.inputs(channels);
        let reservoir = match &settings.reservoir {
            ReservoirSettings::Echo(echo) => Reservoir::Echo(Echo::draw(echo, inputs)),
            ReservoirSettings::Spiking(spiking) => {
                spiking.check_for(inputs).ok()?;
                Reservoir::Spiking(Box::new(Liquid::draw(spiking, inputs)))
            }
            ReservoirSettings::Quantum(quantum) => {
                quantum.check_for(inputs).ok()?;
                Reservoir::Quantum(Box::new(Bank::draw(quantum, inputs)))
            }
        };
        Some(Self { hearing: settings.hearing.clone(), reservoir })
    }

    /// Whether it hears where a value lies in the range of training, in [0, 1], instead of standard deviations.
    pub(crate) fn hears_shares(&self) -> bool {
        !matches!(self.reservoir, Reservoir::Echo(_))
    }

    /// Number of features.
    pub(crate) fn features_len(&self) -> usize {
        match &self.reservoir {
            Reservoir::Echo(echo) => echo.units(),
            Reservoir::Spiking(liquid) => liquid.features_len(),
            Reservoir::Quantum(bank) => bank.features_len(),
        }
    }

    /// The state before the first row.
    pub(crate) fn fresh(&self) -> State<R> {
        match &self.reservoir {
            Reservoir::Echo(echo) => State::Echo(echo.fresh()),
            Reservoir::Spiking(liquid) => State::Spiking(liquid.fresh()),
            Reservoir::Quantum(bank) => State::Quantum(bank.fresh()),
        }
    }

    /// Where the next step's inputs are written.
    #[inline(always)]
    pub(crate) fn inputs<'v>(&self, state: &'v mut State<R>, scratch: &'v mut Vec<R>) -> &'v mut [R] {
        match (&self.reservoir, state) {
            (Reservoir::Echo(echo), State::Echo(vector)) => echo.inputs(vector),
            (Reservoir::Spiking(liquid), _) => {
                scratch.resize(liquid.inputs_len(), R::ZERO);
                scratch
            }
            (Reservoir::Quantum(bank), _) => {
                scratch.resize(bank.inputs_len(), R::ZERO);
                scratch
            }
            _ => unreachable!("{KINDS_AGREE}"),
        }
    }

    /// Takes the inputs just written. `drives` come from other reservoirs, `rows` count each stream's rows from 1.
    #[inline(always)]
    pub(crate) fn step<const STREAMS: usize>(
        &self,
        states: &mut [State<R>; STREAMS],
        scratch: &mut [Vec<R>; STREAMS],
        drives: [f64; STREAMS],
        rows: [usize; STREAMS],
    ) {
        match &self.reservoir {
            Reservoir::Echo(echo) => {
                let mut vectors = states.each_mut().map(|state| match state {
                    State::Echo(vector) => vector.as_mut_slice(),
                    _ => unreachable!("{KINDS_AGREE}"),
                });
                let mut scratch = scratch.each_mut().map(|scratch| {
                    scratch.resize(echo.scratch_len(), R::ZERO);
                    scratch.as_mut_slice()
                });
                echo.step(&mut vectors, &mut scratch);
            }
            Reservoir::Spiking(liquid) => {
                for (state, inputs) in states.iter_mut().zip(scratch.iter()) {
                    let State::Spiking(state) = state else { unreachable!("{KINDS_AGREE}") };
                    let inputs: Vec<f32> = inputs.iter().map(|input| input.widen() as f32).collect();
                    liquid.step(state, &inputs);
                }
            }
            Reservoir::Quantum(bank) => {
                for (stream, (state, inputs)) in states.iter_mut().zip(scratch.iter()).enumerate() {
                    let State::Quantum(state) = state else { unreachable!("{KINDS_AGREE}") };
                    let inputs: Vec<f64> = inputs.iter().map(|input| input.widen()).collect();
                    bank.step(state, &inputs, drives[stream], rows[stream] as u64);
                }
            }
        }
    }

    /// Writes the features to the front of `features` and returns how many there are.
    #[inline(always)]
    pub(crate) fn write_features(&self, state: &State<R>, features: &mut [R]) -> usize {
        let length = self.features_len();
        let features = &mut features[..length];
        match (&self.reservoir, state) {
            (_, State::Echo(vector)) => features.copy_from_slice(&vector[..length]),
            (Reservoir::Spiking(liquid), State::Spiking(state)) => {
                for (feature, &value) in features.iter_mut().zip(liquid.features(state)) {
                    *feature = R::narrow(f64::from(value));
                }
            }
            (Reservoir::Quantum(bank), State::Quantum(state)) => {
                for (feature, &value) in features.iter_mut().zip(bank.features(state)) {
                    *feature = R::narrow(value);
                }
            }
            _ => unreachable!("{KINDS_AGREE}"),
        }
        length
    }

    /// What a spiking population says to the qubits that follow it, in [0, 1].
    pub(crate) fn drive(&self, state: &State<R>) -> Option<f64> {
        match (&self.reservoir, state) {
            (Reservoir::Spiking(liquid), State::Spiking(state)) => Some(f64::from(liquid.drive(state))),
            _ => None,
        }
    }

    /// Whether its reservoir is a population of spiking neurons.
    pub(crate) fn is_spiking(&self) -> bool {
        matches!(self.reservoir, Reservoir::Spiking(_))
    }

    /// What a spiking population has been doing.
    pub(crate) fn activity(&self, state: &State<R>) -> Option<Activity> {
        match (&self.reservoir, state) {
            (Reservoir::Spiking(liquid), State::Spiking(state)) => Some(liquid.activity(state)),
            _ => None,
        }
    }

    /// The largest difference of two states' features.
    pub(crate) fn distance(&self, a: &State<R>, b: &State<R>) -> f64 {
        let features = |state: &State<R>| {
            let mut features = vec![R::ZERO; self.features_len()];
            self.write_features(state, &mut features);
            features
        };
        let (a, b) = (features(a), features(b));
        a.iter().zip(&b).map(|(x, y)| (x.widen() - y.widen()).abs()).fold(0.0, f64::max)
    }

    /// Puts the reservoir somewhere else: echo units at `towards` in [−1, 1]. Spiking and quantum reservoirs, whose
    /// states are not free to stand anywhere, go back to where every stream begins.
    pub(crate) fn displace(&self, state: &mut State<R>, towards: f64) {
        match (&self.reservoir, &mut *state) {
            (Reservoir::Echo(echo), State::Echo(vector)) => vector[..echo.units()].fill(R::narrow(towards)),
            _ => *state = self.fresh(),
        }
    }
}
