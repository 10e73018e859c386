//! Little-endian fields, appended.

use crate::kernel::Real;

/// Bytes being written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn count(&mut self, value: usize) {
        self.u64(value as u64);
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn counts(&mut self, values: &[usize]) {
        self.count(values.len());
        values.iter().for_each(|&value| self.count(value));
    }

    pub(crate) fn u32s(&mut self, values: &[u32]) {
        self.count(values.len());
        values.iter().for_each(|value| self.bytes.extend_from_slice(&value.to_le_bytes()));
    }

    pub(crate) fn f32s(&mut self, values: &[f32]) {
        self.count(values.len());
        values.iter().for_each(|value| self.bytes.extend_from_slice(&value.to_le_bytes()));
    }

    /// Numbers in the width of their type.
    pub(crate) fn reals<R: Real>(&mut self, values: impl ExactSizeIterator<Item = R>) {
        self.count(values.len());
        values.for_each(|value| value.append_to(&mut self.bytes));
    }

    pub(crate) fn f64s(&mut self, values: &[f64]) {
        self.count(values.len());
        values.iter().for_each(|&value| self.f64(value));
    }
}
