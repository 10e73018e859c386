//! The tensor that a forecast starts from.

use std::fmt;

/// The values of a series in the precision they arrived in.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    /// 32-bit floats; half-precision input is widened to these.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
}

impl Samples {
    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Samples::F32(values) => values.len(),
            Samples::F64(values) => values.len(),
        }
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value `index`, widened to 64 bits.
    ///
    /// # Panics
    /// Where `index` is not below [`Samples::len`].
    #[must_use]
    pub fn get(&self, index: usize) -> f64 {
        match self {
            Samples::F32(values) => f64::from(values[index]),
            Samples::F64(values) => values[index],
        }
    }

    /// The index of the first NaN or infinity.
    #[must_use]
    pub fn first_not_finite(&self) -> Option<usize> {
        match self {
            Samples::F32(values) => values.iter().position(|v| !v.is_finite()),
            Samples::F64(values) => values.iter().position(|v| !v.is_finite()),
        }
    }
}

/// Windows of equal length: shape `[batch, rows, channels]`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    batch: usize,
    rows: usize,
    channels: usize,
    samples: Samples,
}

impl Series {
    /// A series of the given shape, or `None` where the number of values is not `batch * rows * channels`.
    #[must_use]
    pub fn new(batch: usize, rows: usize, channels: usize, samples: Samples) -> Option<Self> {
        let wanted = batch.checked_mul(rows)?.checked_mul(channels)?;
        (wanted == samples.len()).then_some(Self { batch, rows, channels, samples })
    }

    /// How many windows.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Rows of each window: time steps, oldest first.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Channels of each row.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// All values, row-major.
    #[must_use]
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The value of `channel` in `row` of `window`, widened to 64 bits.
    ///
    /// # Panics
    /// Where an index lies outside the shape.
    #[must_use]
    pub fn value(&self, window: usize, row: usize, channel: usize) -> f64 {
        assert!(row < self.rows && channel < self.channels, "index outside the series");
        self.samples.get((window * self.rows + row) * self.channels + channel)
    }
}

/// The arithmetic a prediction was made with. Within one profile its bits depend only on model, input and
/// state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NumericProfile {
    /// 32-bit CPU kernels: 16 logical lanes, fused multiply-add, our own tanh.
    CpuF32,
    /// The same kernels in 64 bits, for series so free of noise that 32 bits would be the noise.
    CpuF64,
    /// Reservoirs in 32 bits on a graphics card, the rest as in `cpu-f32`. Bits also depend on card, driver and shaders; a
    /// model answers so only where it came within 1e-4 standard deviations of `cpu-f32` when it was loaded.
    GpuF32,
}

impl NumericProfile {
    /// The profile as it appears on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            NumericProfile::CpuF32 => "cpu-f32",
            NumericProfile::CpuF64 => "cpu-f64",
            NumericProfile::GpuF32 => "gpu-f32",
        }
    }
}

impl fmt::Display for NumericProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_does_not_fit_its_values_is_refused() {
        assert!(Series::new(2, 3, 1, Samples::F32(vec![0.0; 6])).is_some());
        assert!(Series::new(2, 3, 1, Samples::F32(vec![0.0; 5])).is_none());
        assert!(Series::new(usize::MAX, 2, 2, Samples::F32(vec![])).is_none());
    }

    #[test]
    fn values_are_found_by_window_row_and_channel() {
        let series = Series::new(2, 2, 2, Samples::F64((0..8).map(f64::from).collect())).unwrap();
        assert_eq!(series.value(1, 0, 1), 5.0);
        assert_eq!(Samples::F32(vec![0.0, f32::NAN]).first_not_finite(), Some(1));
    }
}
