//! A tensor from the wire, checked against the model, as a series.
//!
//! A declared shape is a claim: it is compared with the limits and with the values that really arrived, by
//! arithmetic, before anything is allocated for it. So a shape of 2^60 rows costs what the text of the
//! number costs. Memory is spent on values only after their bytes are here.

use crate::rest::numbers::{Numbers, Trouble};
use crate::sequence::Feeds;
use crate::{ModelDescription, quoted};
use half::f16;
use spinwell_core::{Code, Fault, Samples, Series};

/// The name of the one input of every model.
pub(crate) const INPUT_NAME: &str = "series";

/// Datatypes of the protocol that are no floating-point numbers: known, and taken by no model here.
const OTHER_DATATYPES: &[&str] =
    &["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "BF16", "BYTES"];

/// A datatype that models take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datatype {
    /// 16-bit floats, widened on arrival.
    Fp16,
    /// 32-bit floats, the declared datatype.
    Fp32,
    /// 64-bit floats, narrowed after standardising.
    Fp64,
}

impl Datatype {
    /// The datatype of that name.
    ///
    /// # Errors
    /// [`Code::TensorDatatype`] where there is no such datatype or the model does not take it.
    pub fn parse(name: &str) -> Result<Self, Fault> {
        match name {
            "FP16" => Ok(Datatype::Fp16),
            "FP32" => Ok(Datatype::Fp32),
            "FP64" => Ok(Datatype::Fp64),
            known if OTHER_DATATYPES.contains(&known) => Err(Fault::new(
                Code::TensorDatatype,
                format!("input {INPUT_NAME} has datatype {known}; the model takes FP32, FP64 or FP16"),
            )),
            unknown => Err(Fault::new(
                Code::TensorDatatype,
                format!("there is no datatype {}; the model takes FP32, FP64 or FP16", quoted(unknown)),
            )),
        }
    }

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Datatype::Fp16 => "FP16",
            Datatype::Fp32 => "FP32",
            Datatype::Fp64 => "FP64",
        }
    }

    /// The size of one value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Datatype::Fp16 => 2,
            Datatype::Fp32 => 4,
            Datatype::Fp64 => 8,
        }
    }
}

/// No body holds more values than this, not of two bytes each where `limits.body_bytes` is as large as it can be: whoever declares more
/// has not miscounted his rows.
const DECLARED_MAX: u64 = 1 << 31;

/// A shape that fits the model, `[batch, rows, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    batch: usize,
    rows: usize,
    channels: usize,
}

impl Shape {
    /// The declared dimensions, where the model can take a tensor of that shape. Nothing is allocated for them before.
    pub(crate) fn checked(dimensions: &[i64], model: &ModelDescription, feeds: Feeds) -> Result<Self, Fault> {
        let declared = |dimensions: &[i64]| {
            let extents = dimensions.iter().map(|&extent| u64::try_from(extent).unwrap_or(0));
            extents.fold(1, u64::saturating_mul)
        };
        Self::fitting(dimensions, model, feeds).map_err(|fault| match declared(dimensions) > DECLARED_MAX {
            true => fault.out_of_proportion(),
            false => fault,
        })
    }

    fn fitting(dimensions: &[i64], model: &ModelDescription, feeds: Feeds) -> Result<Self, Fault> {
        let wanted = || format!("[batch, time, {}]", model.channels.len());
        let refuse = |code: Code, why: String| Err(Fault::new(code, why));
        let &[batch, rows, channels] = dimensions else {
            let why = format!("input {INPUT_NAME} has {} dimensions; send 3: {}", dimensions.len(), wanted());
            return refuse(Code::TensorShape, why);
        };
        if let Some(negative) = dimensions.iter().find(|&&dimension| dimension < 0) {
            let why = format!("a shape of a request has no dimension of {negative}; send {}", wanted());
            return refuse(Code::TensorShape, why);
        }
        if dimensions.contains(&0) {
            let why =
                format!("input {INPUT_NAME} is empty: a dimension of {dimensions:?} is 0; send {}", wanted());
            return refuse(Code::TensorEmpty, why);
        }
        if usize::try_from(channels) != Ok(model.channels.len()) {
            let why = format!(
                "input {INPUT_NAME} has {channels} channels, the model takes {}: {}",
                model.channels.len(),
                quoted(&model.channels.join(","))
            );
            return refuse(Code::TensorShape, why);
        }
        let batch = usize::try_from(batch).unwrap_or(usize::MAX);
        if feeds == Feeds::Sequence && batch != 1 {
            let why =
                format!("a step of a sequence has a batch of 1, this one has {batch}; send one request each");
            return refuse(Code::TensorShape, why);
        }
        if batch > model.max_batch_size {
            let why =
                format!("a request holds at most {} windows, this one has {batch}", model.max_batch_size);
            return refuse(Code::TensorShape, why);
        }
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        if rows > model.window_max {
            let why = format!("a window has at most {} rows, these have {rows}", model.window_max);
            return refuse(Code::TensorShape, why);
        }
        if rows < model.window_min && feeds == Feeds::Windows {
            let why = format!(
                "the window has {rows} rows, model {} needs at least {} (best {})",
                model.name, model.window_min, model.window_recommended
            );
            return refuse(Code::WindowTooShort, why);
        }
        if batch.saturating_mul(rows) > model.request_rows_max {
            let why = format!(
                "a request holds at most {} rows in all, these {batch} windows of {rows} rows hold {}; send \
                 fewer windows",
                model.request_rows_max,
                batch.saturating_mul(rows)
            );
            return refuse(Code::TensorShape, why);
        }
        Ok(Self { batch, rows, channels: model.channels.len() })
    }

    /// How many values the tensor has. Bounded by the limits checked above.
    pub(crate) fn values(self) -> usize {
        self.batch.saturating_mul(self.rows).saturating_mul(self.channels)
    }

    fn dimensions(self) -> [usize; 3] {
        [self.batch, self.rows, self.channels]
    }
}

/// A series from little-endian bytes.
pub(crate) fn from_bytes(shape: Shape, datatype: Datatype, bytes: &[u8]) -> Result<Series, Fault> {
    let wanted = shape.values().saturating_mul(datatype.bytes());
    if bytes.len() != wanted {
        let message = format!(
            "input {INPUT_NAME} has {} bytes, its shape {:?} of {} needs {wanted}",
            bytes.len(),
            shape.dimensions(),
            datatype.as_str()
        );
        return Err(Fault::new(Code::FramingInvalid, message));
    }
    let samples = match datatype {
        Datatype::Fp16 => {
            let (values, _) = bytes.as_chunks::<2>();
            Samples::F32(values.iter().map(|value| f16::from_le_bytes(*value).to_f32()).collect())
        }
        Datatype::Fp32 => {
            let (values, _) = bytes.as_chunks::<4>();
            Samples::F32(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
        }
        Datatype::Fp64 => {
            let (values, _) = bytes.as_chunks::<8>();
            Samples::F64(values.iter().map(|value| f64::from_le_bytes(*value)).collect())
        }
    };
    finite(shape, samples)
}

/// Refuses numbers that are none, or nested as no tensor is.
pub(crate) fn check_numbers(numbers: &Numbers) -> Result<(), Fault> {
    let data_fault = |why: String| Err(Fault::new(Code::TensorData, why));
    let shape_fault = |why: String| Err(Fault::new(Code::TensorShape, why));
    match &numbers.trouble {
        Some(Trouble::NotANumber { index, found }) => {
            data_fault(format!("value {index} of input {INPUT_NAME} is {found}; send finite numbers"))
        }
        Some(Trouble::NotAnArray) => {
            data_fault(format!("the data of input {INPUT_NAME} is no array; send an array of numbers"))
        }
        Some(Trouble::TooDeep) => {
            shape_fault(format!("the data of input {INPUT_NAME} is nested deeper than its 3 dimensions"))
        }
        Some(Trouble::Ragged) => {
            shape_fault(format!("the data of input {INPUT_NAME} is nested unevenly; nest it like its shape"))
        }
        None => Ok(()),
    }
}

/// A series from the numbers of a JSON array, nested like the shape or flat.
pub(crate) fn from_numbers(shape: Shape, datatype: Datatype, numbers: Numbers) -> Result<Series, Fault> {
    check_numbers(&numbers)?;
    let shape_fault = |why: String| Err(Fault::new(Code::TensorShape, why));
    let dimensions = shape.dimensions();
    if numbers.samples.len() != shape.values() {
        return shape_fault(format!(
            "input {INPUT_NAME} has {} values, its shape {dimensions:?} needs {}",
            numbers.samples.len(),
            shape.values()
        ));
    }
    if numbers.extents.len() > 1 && numbers.extents.as_slice() != dimensions {
        return shape_fault(format!(
            "the data of input {INPUT_NAME} is nested as {:?}, its shape is {dimensions:?}; nest it like the \
             shape or send it flat",
            numbers.extents
        ));
    }
    finite(shape, numbers.into_samples(datatype))
}

/// A series from values that arrived typed.
pub(crate) fn from_samples(shape: Shape, samples: Samples) -> Result<Series, Fault> {
    if samples.len() != shape.values() {
        let message = format!(
            "input {INPUT_NAME} has {} values, its shape {:?} needs {}",
            samples.len(),
            shape.dimensions(),
            shape.values()
        );
        return Err(Fault::new(Code::TensorShape, message));
    }
    finite(shape, samples)
}

/// Refuses an input of another name than the model's.
pub(crate) fn checked_name(name: &str) -> Result<(), Fault> {
    if name == INPUT_NAME {
        return Ok(());
    }
    let message = format!("there is no input named {}; the model takes {INPUT_NAME}", quoted(name));
    Err(Fault::new(Code::TensorUnknown, message))
}

/// Refuses any number of inputs but one.
pub(crate) fn one_input<T>(inputs: Vec<T>) -> Result<T, Fault> {
    let count = inputs.len();
    let mut inputs = inputs.into_iter();
    match (inputs.next(), inputs.next()) {
        (Some(input), None) => Ok(input),
        _ => {
            let message = format!("the request has {count} inputs; send exactly one, named {INPUT_NAME}");
            Err(Fault::new(Code::RequestInvalid, message))
        }
    }
}

fn finite(shape: Shape, samples: Samples) -> Result<Series, Fault> {
    if let Some(index) = samples.first_not_finite() {
        let row_values = shape.channels;
        let window_values = shape.rows * row_values;
        let message = format!(
            "value [{}, {}, {}] of input {INPUT_NAME} is {}; every value must be finite",
            index / window_values,
            index % window_values / row_values,
            index % row_values,
            samples.get(index)
        );
        return Err(Fault::new(Code::TensorNotFinite, message));
    }
    Series::new(shape.batch, shape.rows, shape.channels, samples)
        .ok_or_else(|| Fault::new(Code::Internal, "a checked tensor does not fit its shape"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::model;

    #[test]
    fn shapes_are_refused_before_anything_is_allocated() {
        let model = model("m", 1, 2);
        let check = |dimensions: &[i64], wanted: Result<usize, Code>| {
            let got = Shape::checked(dimensions, &model, Feeds::Windows)
                .map(Shape::values)
                .map_err(|fault| fault.code());
            assert_eq!(got, wanted, "{dimensions:?}");
        };
        check(&[2, 4, 2], Ok(16));
        check(&[4, 1000, 2], Ok(8000));
        check(&[5, 1000, 2], Err(Code::TensorShape));
        check(&[8], Err(Code::TensorShape));
        check(&[], Err(Code::TensorShape));
        check(&[2, 4, 2, 1], Err(Code::TensorShape));
        check(&[-1, 4, 2], Err(Code::TensorShape));
        check(&[0, 4, 2], Err(Code::TensorEmpty));
        check(&[1, 0, 2], Err(Code::TensorEmpty));
        check(&[1, 4, 3], Err(Code::TensorShape));
        check(&[17, 4, 2], Err(Code::TensorShape));
        check(&[1 << 60, 4, 2], Err(Code::TensorShape));
        check(&[1, i64::MAX, 2], Err(Code::TensorShape));
        check(&[i64::MAX, i64::MAX, i64::MAX], Err(Code::TensorShape));
        check(&[1, 1001, 2], Err(Code::TensorShape));
        check(&[1, 3, 2], Err(Code::WindowTooShort));
        let step = |dimensions: &[i64]| {
            let shape = Shape::checked(dimensions, &model, Feeds::Sequence);
            shape.map(Shape::values).map_err(|fault| fault.code())
        };
        assert_eq!(step(&[1, 1, 2]), Ok(2));
        assert_eq!(step(&[2, 4, 2]), Err(Code::TensorShape));
        assert_eq!(step(&[1, 0, 2]), Err(Code::TensorEmpty));
        assert_eq!(step(&[1, 1001, 2]), Err(Code::TensorShape));
        // Too much for any body, or only too much for the model.
        let is_bomb = |dimensions: &[i64]| {
            Shape::checked(dimensions, &model, Feeds::Windows).unwrap_err().is_out_of_proportion()
        };
        for bomb in [&[1 << 60, 4, 2][..], &[1, i64::MAX, 2], &[1, 1 << 31, 2], &[2, 4, 2, 1 << 40]] {
            assert!(is_bomb(bomb), "{bomb:?}");
        }
        for mistake in [&[1, 1 << 30, 2][..], &[17, 4, 2], &[8], &[-1, i64::MAX, 2], &[0, i64::MAX, 2]] {
            assert!(!is_bomb(mistake), "{mistake:?}");
        }
    }

    #[test]
    fn bytes_become_the_values_they_hold_in_every_precision() {
        let shape = Shape::checked(&[1, 4, 1], &model("m", 1, 1), Feeds::Windows).unwrap();
        let values = [1.5, -2.0, 0.25, 1024.0];
        let half: Vec<u8> = values.iter().flat_map(|v| f16::from_f64(*v).to_le_bytes()).collect();
        let single: Vec<u8> = values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect();
        let double: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        for (datatype, bytes) in [(Datatype::Fp16, half), (Datatype::Fp32, single), (Datatype::Fp64, double)]
        {
            let series = from_bytes(shape, datatype, &bytes).unwrap();
            assert!((0..4).all(|row| series.value(0, row, 0) == values[row]), "{datatype:?}");
            let short = from_bytes(shape, datatype, &bytes[1..]).unwrap_err();
            assert_eq!(short.code(), Code::FramingInvalid);
        }
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_named() {
        let shape = Shape::checked(&[2, 4, 2], &model("m", 1, 2), Feeds::Windows).unwrap();
        let mut values = vec![0.0_f32; 16];
        values[13] = f32::NEG_INFINITY;
        let fault = from_samples(shape, Samples::F32(values)).unwrap_err();
        assert_eq!(fault.code(), Code::TensorNotFinite);
        assert!(
            fault.message().starts_with("value [1, 2, 1] of input series is -inf"),
            "{}",
            fault.message()
        );
    }

    #[test]
    fn datatypes_that_exist_and_those_that_do_not_get_different_words() {
        assert!(Datatype::parse("INT8").unwrap_err().message().contains("has datatype INT8"));
        assert!(Datatype::parse("FP31").unwrap_err().message().contains("no datatype \"FP31\""));
        assert_eq!(Datatype::parse("fp32").unwrap_err().code(), Code::TensorDatatype);
    }
}
