//! Several streams that a kernel works on together, and the room it needs for that.

/// The states of several streams, wherever they are kept.
pub(crate) trait States {
    /// What a state consists of.
    type Number;

    /// How many streams there are.
    fn count(&self) -> usize;

    /// The state of one of them.
    fn get(&self, stream: usize) -> &[Self::Number];

    /// The same, to be changed.
    fn get_mut(&mut self, stream: usize) -> &mut [Self::Number];
}

/// The state of a single stream.
pub(crate) struct One<'s, N>(pub(crate) &'s mut [N]);

impl<N> States for One<'_, N> {
    type Number = N;

    fn count(&self) -> usize {
        1
    }

    fn get(&self, _: usize) -> &[N] {
        self.0
    }

    fn get_mut(&mut self, _: usize) -> &mut [N] {
        self.0
    }
}

/// Streams that stand one per lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Width {
    /// From a number of all streams to the next number; a multiple of 16.
    pub(crate) stride: usize,
    /// Lanes that are worked on, from the first; a multiple of 16.
    pub(crate) active: usize,
}

/// The first `length` numbers of a buffer that grows when it must, and so only before the first step of a kind.
#[inline]
pub(crate) fn room<N: Clone + Default>(buffer: &mut Vec<N>, length: usize) -> &mut [N] {
    if buffer.len() < length {
        buffer.resize(length, N::default());
    }
    &mut buffer[..length]
}
