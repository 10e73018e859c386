//! Streams that step together, and the room they need for it.
//!
//! Most of what a stream remembers stays with the stream; a block steps all streams in turn, so that its weights are
//! read once a row and not once a row and stream. Only sparse reservoirs keep the states of many streams elsewhere:
//! one stream per lane, number after number, which makes an entry of the matrix one broadcast and one instruction for
//! 16 streams. From there a state is [brought home](Cohort::bring_home) when its features are wanted.

use crate::block::{self, Block};
use crate::encoder::{Encoder, Memory};
use crate::kernel::{LANES, Real, Width};

/// Most streams in a cohort: four registers of 32-bit numbers. More would not be faster.
pub(crate) const STREAMS_MAX: usize = 64;

/// What has a memory that an encoder can advance.
pub(crate) trait Remembers<R> {
    /// The memory.
    fn memory(&self) -> &Memory<R>;
    /// The memory, to be changed.
    fn memory_mut(&mut self) -> &mut Memory<R>;
}

impl<R> Remembers<R> for Memory<R> {
    fn memory(&self) -> &Memory<R> {
        self
    }

    fn memory_mut(&mut self) -> &mut Memory<R> {
        self
    }
}

impl<R, T: Remembers<R>> Remembers<R> for &mut T {
    fn memory(&self) -> &Memory<R> {
        (**self).memory()
    }

    fn memory_mut(&mut self) -> &mut Memory<R> {
        (**self).memory_mut()
    }
}

/// Streams that step together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cohort<R> {
    /// Streams that there is room for in lanes; 0 while streams keep all their state themselves.
    stride: usize,
    /// Fewer streams than this are faster one after the other than in lanes.
    lanes_from: usize,
    /// For each block, the vectors of all streams lane by lane; empty where the block does not step so.
    lanes: Vec<Vec<R>>,
    /// What the block in turn hears, stream after stream.
    pub(crate) inputs: Vec<R>,
    /// What other reservoirs say to the block in turn.
    pub(crate) drives: Vec<f64>,
    /// How many rows each stream has seen.
    pub(crate) rows: Vec<usize>,
    /// Room for the blocks' arithmetic.
    pub(crate) work: block::Work<R>,
    /// Blocks that somebody else steps.
    left_out: Vec<usize>,
}

impl<R: Real> Cohort<R> {
    /// Prepares for `streams` fresh streams.
    pub(crate) fn begin(&mut self, encoder: &Encoder<R>, streams: usize) {
        let lanes_from = encoder.blocks.iter().filter_map(Block::lanes_from).min();
        self.lanes_from = lanes_from.unwrap_or(usize::MAX);
        let wanted = streams >= self.lanes_from;
        self.stride = if wanted { streams.next_multiple_of(LANES) } else { 0 };
        self.lanes.clear();
        self.left_out.clear();
        if !wanted {
            return;
        }
        for block in &encoder.blocks {
            let length = if block.prefers_lanes() { block.vector_len() * self.stride } else { 0 };
            self.lanes.push(vec![R::ZERO; length]);
        }
        (0..streams).for_each(|lane| self.enter(encoder, lane));
    }

    /// Leaves blocks to somebody else until the next beginning.
    #[cfg(feature = "gpu")]
    pub(crate) fn leave_out(&mut self, blocks: &[usize]) {
        self.left_out.extend_from_slice(blocks);
    }

    /// Whether a block is stepped here.
    #[inline(always)]
    pub(crate) fn steps(&self, block: usize) -> bool {
        !self.left_out.contains(&block)
    }

    /// Whether so many streams have their states in lanes and would be faster without.
    pub(crate) fn are_too_few(&self, streams: usize) -> bool {
        self.is_in_lanes() && streams < self.lanes_from
    }

    /// Whether any block has its states in lanes.
    pub(crate) fn is_in_lanes(&self) -> bool {
        self.stride > 0
    }

    /// Lets a fresh stream into a lane.
    pub(crate) fn enter(&mut self, encoder: &Encoder<R>, lane: usize) {
        for (block, lanes) in encoder.blocks.iter().zip(&mut self.lanes) {
            if lanes.is_empty() {
                continue;
            }
            // All zeros but for the constant 1 at the end.
            let numbers = block.vector_len();
            for (index, row) in lanes.chunks_exact_mut(self.stride).enumerate() {
                row[lane] = if index + 1 == numbers { R::ONE } else { R::ZERO };
            }
        }
    }

    /// Moves what is in one lane to another.
    pub(crate) fn move_lane(&mut self, from: usize, to: usize) {
        if self.stride > 0 {
            for row in self.lanes.iter_mut().flat_map(|lanes| lanes.chunks_exact_mut(self.stride)) {
                row[to] = row[from];
            }
        }
    }

    /// Copies the states of a lane to the stream that they belong to.
    #[inline(always)]
    pub(crate) fn bring_home(&self, lane: usize, memory: &mut Memory<R>) {
        for (lanes, state) in self.lanes.iter().zip(&mut memory.states) {
            if lanes.is_empty() {
                continue;
            }
            let vector = state.echo_mut();
            for (number, row) in vector.iter_mut().zip(lanes.chunks_exact(self.stride)) {
                *number = row[lane];
            }
        }
    }

    /// Lets streams, whose states must have been brought home, go on by themselves.
    pub(crate) fn leave_lanes(&mut self) {
        self.stride = 0;
        self.lanes.clear();
    }

    /// The vectors of a block for the first `streams` lanes, where it has them there.
    #[inline(always)]
    pub(crate) fn lanes_of(&mut self, block: usize, streams: usize) -> Option<InLanes<'_, R>> {
        let Self { stride, lanes, inputs, work, .. } = self;
        let vectors = lanes.get_mut(block).filter(|lanes| !lanes.is_empty())?;
        let width = Width { stride: *stride, active: streams.next_multiple_of(LANES) };
        Some(InLanes { vectors, width, inputs, work })
    }
}

/// A block's states in lanes.
pub(crate) struct InLanes<'c, R> {
    /// Number after number, lane by lane.
    pub(crate) vectors: &'c mut [R],
    /// How wide.
    pub(crate) width: Width,
    /// What the block hears, stream after stream.
    pub(crate) inputs: &'c [R],
    /// Room for arithmetic.
    pub(crate) work: &'c mut block::Work<R>,
}
