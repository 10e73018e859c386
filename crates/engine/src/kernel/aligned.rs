//! Numbers that begin at the beginning of a cache line.
//!
//! A 64-byte register loaded from the middle of two lines costs two loads. What large weights are stored in is therefore
//! shifted to a line; the allocator itself only promises the alignment of a number.

use std::ops::Deref;

/// Bytes of a cache line, and of the widest register.
const LINE: usize = 64;

/// Numbers that do not change and begin at a cache line.
#[derive(Debug)]
pub(crate) struct Aligned<R> {
    values: Vec<R>,
    start: usize,
    len: usize,
}

impl<R: Copy + Default> Aligned<R> {
    /// Copies the numbers to where they are aligned.
    pub(crate) fn new(numbers: &[R]) -> Self {
        let room = LINE / size_of::<R>();
        let mut values = vec![R::default(); numbers.len() + room];
        let start = values.as_ptr().align_offset(LINE).min(room);
        values[start..][..numbers.len()].copy_from_slice(numbers);
        Self { values, start, len: numbers.len() }
    }
}

impl<R> Deref for Aligned<R> {
    type Target = [R];

    #[inline(always)]
    fn deref(&self) -> &[R] {
        &self.values[self.start..][..self.len]
    }
}

impl<R: Copy + Default> Clone for Aligned<R> {
    fn clone(&self) -> Self {
        Self::new(self)
    }
}

impl<R: PartialEq> PartialEq for Aligned<R> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
