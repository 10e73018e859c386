//! Little-endian fields, appended.

/// Bytes being written.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn count(&mut self, value: usize) {
        self.u64(value as u64);
    }

    pub(super) fn f64(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn counts(&mut self, values: &[usize]) {
        self.count(values.len());
        values.iter().for_each(|&value| self.count(value));
    }

    pub(super) fn u32s(&mut self, values: &[u32]) {
        self.count(values.len());
        values.iter().for_each(|value| self.bytes.extend_from_slice(&value.to_le_bytes()));
    }

    pub(super) fn f32s(&mut self, values: &[f32]) {
        self.count(values.len());
        values.iter().for_each(|value| self.bytes.extend_from_slice(&value.to_le_bytes()));
    }

    pub(super) fn f64s(&mut self, values: &[f64]) {
        self.count(values.len());
        values.iter().for_each(|&value| self.f64(value));
    }
}
