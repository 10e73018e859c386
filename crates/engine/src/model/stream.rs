//! The state of one stream, and its form as bytes.
//!
//! A state is a fold of the rows it was fed. As bytes it is a header (kind, version, the model's hash) and plain
//! numbers in the order in which they stand here, so that a standby or a snapshot holds the same state to the bit.

use crate::block::State;
use crate::encoder::Memory;
use crate::intervals::{Intervals, TrackState};
use crate::kernel::Real;
use crate::model::mixer::MixState;
use spinwell_core::{Code, ModelHash};

const MAGIC: &[u8; 4] = b"SPWS";
const VERSION: u32 = 2;

/// A stream in the arithmetic of its model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StreamOf<R> {
    /// What the encoder remembers.
    pub(crate) memory: Memory<R>,
    /// Intervals: one per target and scored horizon.
    pub(crate) tracks: Vec<TrackState>,
    /// Members: one per target and scored horizon, or none.
    pub(crate) mixes: Vec<MixState>,
}

/// The state of one stream: a fold of the rows it was fed.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream(pub(crate) Kind);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    F32(StreamOf<f32>),
    F64(StreamOf<f64>),
}

impl Stream {
    /// Rows it has seen.
    #[must_use]
    pub fn rows(&self) -> usize {
        match &self.0 {
            Kind::F32(stream) => stream.memory.rows,
            Kind::F64(stream) => stream.memory.rows,
        }
    }

    /// The state as bytes, for the model of the given hash.
    pub(crate) fn to_bytes(&self, model: ModelHash) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&model.0);
        match self.clone().0 {
            Kind::F32(mut stream) => stream.write(&mut bytes),
            Kind::F64(mut stream) => stream.write(&mut bytes),
        }
        bytes
    }

    /// Overwrites this state, fresh from the model of the given hash, with one from bytes.
    pub(crate) fn overwrite(
        &mut self,
        bytes: &[u8],
        model: ModelHash,
        intervals: &Intervals,
    ) -> Result<(), StateError> {
        let (head, rest) = bytes.split_at_checked(40).ok_or(StateError::Foreign)?;
        let version = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if !head.starts_with(MAGIC) {
            return Err(StateError::Foreign);
        }
        if version != VERSION {
            return Err(StateError::Version { found: version });
        }
        if head[8..] != model.0 {
            return Err(StateError::OtherModel);
        }
        let whole = match &mut self.0 {
            Kind::F32(stream) => stream.read(rest, intervals),
            Kind::F64(stream) => stream.read(rest, intervals),
        };
        whole.ok_or(StateError::Damaged)
    }
}

/// Why bytes are not a state of this model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Not a stream's state at all.
    #[error("this is not the state of a stream")]
    Foreign,
    /// Written in another layout.
    #[error("the state has layout {found}, this program reads {VERSION}")]
    Version {
        /// The layout found.
        found: u32,
    },
    /// It belongs to another model.
    #[error("the state belongs to another model")]
    OtherModel,
    /// Too long, too short, or with numbers that no stream holds.
    #[error("the state is damaged")]
    Damaged,
}

impl StateError {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            StateError::Foreign => Code::FileForeign,
            StateError::Version { .. } => Code::FileFromTheFuture,
            StateError::OtherModel | StateError::Damaged => Code::FileCorrupt,
        }
    }
}

/// One number of a state, to be read or written.
pub(crate) enum Number<'n> {
    Count(&'n mut usize),
    F32(&'n mut f32),
    F64(&'n mut f64),
}

impl Number<'_> {
    /// Appends it, in its own width.
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Number::Count(count) => bytes.extend_from_slice(&(**count as u64).to_le_bytes()),
            Number::F32(value) => bytes.extend_from_slice(&value.to_le_bytes()),
            Number::F64(value) => bytes.extend_from_slice(&value.to_le_bytes()),
        }
    }

    /// Takes it from the front of `bytes`; `None` where they are too few or no such number.
    fn read(self, bytes: &mut &[u8]) -> Option<()> {
        match self {
            Number::Count(count) => {
                let word = u64::from_le_bytes(front(bytes)?);
                *count = usize::try_from(word).ok().filter(|_| word < 1 << 48)?;
            }
            Number::F32(value) => {
                *value = Some(f32::from_le_bytes(front(bytes)?)).filter(|value| value.is_finite())?;
            }
            Number::F64(value) => {
                *value = Some(f64::from_le_bytes(front(bytes)?)).filter(|value| value.is_finite())?;
            }
        }
        Some(())
    }
}

fn front<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*front)
}

/// A floating-point type that states are made of.
pub(crate) trait StateNumber: Real {
    /// The number, to be read or written.
    fn number(&mut self) -> Number<'_>;
}

impl StateNumber for f32 {
    fn number(&mut self) -> Number<'_> {
        Number::F32(self)
    }
}

impl StateNumber for f64 {
    fn number(&mut self) -> Number<'_> {
        Number::F64(self)
    }
}

impl<R: StateNumber> StreamOf<R> {
    fn write(&mut self, bytes: &mut Vec<u8>) {
        self.visit(&mut |number| number.write(bytes));
        let mut numbers = Vec::new();
        self.tracks.iter().for_each(|track| track.write(&mut numbers));
        numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    }

    /// `None` where the bytes are too few, too many, or hold what no stream holds.
    fn read(&mut self, mut bytes: &[u8], intervals: &Intervals) -> Option<()> {
        let mut whole = true;
        self.visit(&mut |number| whole &= number.read(&mut bytes).is_some());
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let numbers: Vec<f64> = words.iter().map(|word| f64::from_le_bytes(*word)).collect();
        if !whole || numbers.len() != intervals.state_len() {
            return None;
        }
        let mut rest = &numbers[..];
        for (state, track) in self.tracks.iter_mut().zip(&intervals.tracks) {
            let (own, after) = rest.split_at(TrackState::len(track));
            *state = TrackState::read(track, own)?;
            rest = after;
        }
        Some(())
    }

    /// Calls `each` for every number of memory and members, always in the same order.
    fn visit(&mut self, each: &mut dyn FnMut(Number<'_>)) {
        each(Number::Count(&mut self.memory.rows));
        self.memory.ring.iter_mut().for_each(|value| each(value.number()));
        for state in &mut self.memory.states {
            match state {
                State::Echo(values) => values.iter_mut().for_each(|value| each(value.number())),
                State::Spiking(values) => values.iter_mut().for_each(|value| each(value.number())),
                State::Quantum(values) => values.iter_mut().for_each(|value| each(value.number())),
            }
        }
        for mix in &mut self.mixes {
            mix.errors.iter_mut().chain(&mut mix.pending).for_each(|value| each(Number::F64(value)));
        }
    }
}
