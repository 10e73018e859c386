//! One reservoir of a model, whatever its kind, and its state in one stream.
//!
//! Echo-state reservoirs compute in the precision of the model and step several streams at once. Spiking and
//! quantum reservoirs have one arithmetic each (32 and 64 bits) and hand over their features in the model's.

use crate::cohort::{InLanes, Remembers};
use crate::echo::{self, Echo};
use crate::kernel::{Real, States, room};
use crate::quantum::{self, Bank};
use crate::spec::{BlockSettings, Hearing, ReservoirSettings};
use crate::spiking::{self, Activity, Liquid};
use std::marker::PhantomData;

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

impl<R> State<R> {
    /// The vector of an echo-state reservoir.
    #[inline(always)]
    pub(crate) fn echo(&self) -> &[R] {
        match self {
            State::Echo(vector) => vector,
            _ => unreachable!("{KINDS_AGREE}"),
        }
    }

    /// The same, to be changed.
    #[inline(always)]
    pub(crate) fn echo_mut(&mut self) -> &mut [R] {
        match self {
            State::Echo(vector) => vector,
            _ => unreachable!("{KINDS_AGREE}"),
        }
    }
}

/// Room that the arithmetic of the blocks needs. It grows when first used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work<R> {
    narrow: Vec<f32>,
    echo: echo::Work<R>,
    liquid: spiking::Work,
    bank: quantum::Work,
}

/// What a block hears in one row, stream after stream.
pub(crate) struct Heard<'h, R> {
    /// Its inputs.
    pub(crate) inputs: &'h [R],
    /// What other reservoirs say.
    pub(crate) drives: &'h [f64],
    /// How many rows each stream has seen, this one included.
    pub(crate) rows: &'h [usize],
}

/// The states that some streams have of one block.
pub(crate) struct Of<'s, H> {
    /// The streams.
    pub(crate) streams: &'s mut [H],
    /// Which block.
    pub(crate) block: usize,
}

impl<H> Of<'_, H> {
    #[inline(always)]
    fn state<R>(&self, stream: usize) -> &State<R>
    where
        H: Remembers<R>,
    {
        &self.streams[stream].memory().states[self.block]
    }

    #[inline(always)]
    fn state_mut<R>(&mut self, stream: usize) -> &mut State<R>
    where
        H: Remembers<R>,
    {
        &mut self.streams[stream].memory_mut().states[self.block]
    }
}

/// The vectors of an echo-state reservoir.
struct EchoStates<'o, 's, H, R>(&'o mut Of<'s, H>, PhantomData<R>);
/// The numbers of a quantum bank.
struct QuantumStates<'o, 's, H, R>(&'o mut Of<'s, H>, PhantomData<R>);

impl<R, H: Remembers<R>> States for EchoStates<'_, '_, H, R> {
    type Number = R;

    fn count(&self) -> usize {
        self.0.streams.len()
    }

    #[inline(always)]
    fn get(&self, stream: usize) -> &[R] {
        self.0.state(stream).echo()
    }

    #[inline(always)]
    fn get_mut(&mut self, stream: usize) -> &mut [R] {
        self.0.state_mut(stream).echo_mut()
    }
}

impl<R, H: Remembers<R>> States for QuantumStates<'_, '_, H, R> {
    type Number = f64;

    fn count(&self) -> usize {
        self.0.streams.len()
    }

    #[inline(always)]
    fn get(&self, stream: usize) -> &[f64] {
        match self.0.state::<R>(stream) {
            State::Quantum(state) => state,
            _ => unreachable!("{KINDS_AGREE}"),
        }
    }

    #[inline(always)]
    fn get_mut(&mut self, stream: usize) -> &mut [f64] {
        match self.0.state_mut::<R>(stream) {
            State::Quantum(state) => state,
            _ => unreachable!("{KINDS_AGREE}"),
        }
    }
}

const KINDS_AGREE: &str = "a block's state is of its own kind";

impl BlockSettings {
    /// What is wrong with a reservoir of these settings for rows of `channels` channels, if anything.
    pub(crate) fn check_for(&self, channels: usize) -> Result<(), &'static str> {
        let inputs = self.hearing.inputs(channels);
        match &self.reservoir {
            ReservoirSettings::Echo(_) => Ok(()),
            ReservoirSettings::Spiking(spiking) => spiking.check_for(inputs),
            ReservoirSettings::Quantum(quantum) => quantum.check_for(inputs),
        }
    }

    /// Features of the reservoir before it is drawn, for rows of `channels` channels.
    pub(crate) fn features_len(&self, channels: usize) -> usize {
        match &self.reservoir {
            ReservoirSettings::Echo(echo) => echo.units,
            ReservoirSettings::Spiking(spiking) => spiking.features_len(),
            ReservoirSettings::Quantum(quantum) => quantum.features_len(self.hearing.inputs(channels)),
        }
    }
}

impl<R: Real> Block<R> {
    /// Draws the random parts of `settings` for rows of `channels` channels.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub(crate) fn draw(settings: &BlockSettings, channels: usize) -> Result<Self, &'static str> {
        settings.check_for(channels)?;
        let inputs = settings.hearing.inputs(channels);
        let reservoir = match &settings.reservoir {
            ReservoirSettings::Echo(echo) => Reservoir::Echo(Echo::draw(echo, inputs)),
            ReservoirSettings::Spiking(spiking) => {
                Reservoir::Spiking(Box::new(Liquid::draw(spiking, inputs)))
            }
            ReservoirSettings::Quantum(quantum) => Reservoir::Quantum(Box::new(Bank::draw(quantum, inputs))),
        };
        Ok(Self { hearing: settings.hearing.clone(), reservoir })
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

    /// A state that holds no more than the features, for a reservoir that steps elsewhere.
    #[cfg(feature = "gpu")]
    pub(crate) fn outlet(&self) -> State<R> {
        match &self.reservoir {
            Reservoir::Echo(echo) => State::Echo(vec![R::ZERO; echo.units()]),
            Reservoir::Spiking(liquid) => State::Spiking(liquid.fresh()),
            Reservoir::Quantum(bank) => State::Quantum(vec![0.0; bank.features_len()]),
        }
    }

    /// Puts features that were computed elsewhere into an [outlet](Self::outlet).
    #[cfg(feature = "gpu")]
    pub(crate) fn put_features(&self, state: &mut State<R>, features: &[R]) {
        match state {
            State::Echo(vector) => vector.copy_from_slice(features),
            State::Quantum(state) => {
                state.iter_mut().zip(features).for_each(|(value, feature)| *value = feature.widen());
            }
            State::Spiking(_) => unreachable!("spiking neurons step here"),
        }
    }

    /// An input, or the nearest that the reservoir can tell from others.
    #[cfg(feature = "gpu")]
    pub(crate) fn within_limit(&self, input: R) -> R {
        match &self.reservoir {
            Reservoir::Echo(_) => echo::within_limit(input),
            _ => input,
        }
    }

    /// Inputs of a row.
    pub(crate) fn inputs_len(&self) -> usize {
        match &self.reservoir {
            Reservoir::Echo(echo) => echo.inputs_len(),
            Reservoir::Spiking(liquid) => liquid.inputs_len(),
            Reservoir::Quantum(bank) => bank.inputs_len(),
        }
    }

    /// Whether many streams step one per lane.
    pub(crate) fn prefers_lanes(&self) -> bool {
        matches!(&self.reservoir, Reservoir::Echo(echo) if echo.prefers_lanes())
    }

    /// From how many streams on one stream per lane is faster; none where it never is.
    pub(crate) fn lanes_from(&self) -> Option<usize> {
        match &self.reservoir {
            Reservoir::Echo(echo) => echo.lanes_from(),
            _ => None,
        }
    }

    /// Numbers of a stream's vector in lanes.
    pub(crate) fn vector_len(&self) -> usize {
        match &self.reservoir {
            Reservoir::Echo(echo) => echo.vector_len(),
            _ => 0,
        }
    }

    /// Steps each stream by its row of `heard`.
    #[inline(always)]
    pub(crate) fn step<H: Remembers<R>>(
        &self,
        streams: &mut Of<'_, H>,
        heard: &Heard<'_, R>,
        work: &mut Work<R>,
    ) {
        let inputs_len = self.inputs_len();
        let inputs = |stream: usize| &heard.inputs[stream * inputs_len..][..inputs_len];
        match &self.reservoir {
            Reservoir::Echo(echo) => {
                let mut states = EchoStates(streams, PhantomData);
                for stream in 0..states.count() {
                    echo.hear(states.get_mut(stream), inputs(stream));
                }
                echo.step(&mut states, &mut work.echo);
            }
            Reservoir::Spiking(liquid) => {
                let values = room(&mut work.narrow, inputs_len);
                for stream in 0..streams.streams.len() {
                    values
                        .iter_mut()
                        .zip(inputs(stream))
                        .for_each(|(value, input)| *value = input.widen() as f32);
                    let State::Spiking(state) = streams.state_mut(stream) else {
                        unreachable!("{KINDS_AGREE}")
                    };
                    liquid.step(state, values, &mut work.liquid);
                }
            }
            Reservoir::Quantum(bank) => {
                let heard = |stream: usize, input: usize| quantum::Heard {
                    value: inputs(stream)[input].widen(),
                    drive: heard.drives[stream],
                    row: heard.rows[stream] as u64,
                };
                bank.step(&mut QuantumStates(streams, PhantomData), heard, &mut work.bank);
            }
        }
    }

    /// Steps streams whose states stand in lanes.
    #[inline(always)]
    pub(crate) fn step_lanes(&self, streams: usize, lanes: InLanes<'_, R>) {
        let Reservoir::Echo(echo) = &self.reservoir else { unreachable!("{KINDS_AGREE}") };
        let InLanes { vectors, width, inputs, work } = lanes;
        let rows = vectors[echo.units() * width.stride..].chunks_exact_mut(width.stride);
        for (index, row) in rows.take(echo.inputs_len()).enumerate() {
            for (stream, slot) in row[..streams].iter_mut().enumerate() {
                *slot = echo::within_limit(inputs[stream * echo.inputs_len() + index]);
            }
        }
        echo.step_lanes(vectors, width, &mut work.echo);
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
