//! The values of an output, whatever their datatype, and their bytes.
//!
//! The protocol's binary form is the same behind JSON and in a gRPC message, so it is written once, here: numbers
//! little-endian, a truth value as one byte, a text as its length in four bytes and its UTF-8.

use spinwell_core::{Code, Fault};

/// A datatype that outputs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputDatatype {
    /// Truth values.
    Bool,
    /// Whole numbers from -128 to 127.
    Int8,
    /// 32-bit floats.
    Fp32,
    /// Texts, which the protocol calls bytes.
    Bytes,
}

impl OutputDatatype {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            OutputDatatype::Bool => "BOOL",
            OutputDatatype::Int8 => "INT8",
            OutputDatatype::Fp32 => "FP32",
            OutputDatatype::Bytes => "BYTES",
        }
    }
}

/// The values of one output, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Truth values.
    Bool(Vec<bool>),
    /// Whole numbers from -128 to 127.
    Int8(Vec<i8>),
    /// 32-bit floats.
    Fp32(Vec<f32>),
    /// Texts.
    Text(Vec<String>),
}

impl Values {
    /// Their datatype.
    #[must_use]
    pub const fn datatype(&self) -> OutputDatatype {
        match self {
            Values::Bool(_) => OutputDatatype::Bool,
            Values::Int8(_) => OutputDatatype::Int8,
            Values::Fp32(_) => OutputDatatype::Fp32,
            Values::Text(_) => OutputDatatype::Bytes,
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Values::Bool(values) => values.len(),
            Values::Int8(values) => values.len(),
            Values::Fp32(values) => values.len(),
            Values::Text(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for so many values more.
    pub fn reserve(&mut self, more: usize) {
        match self {
            Values::Bool(values) => values.reserve_exact(more),
            Values::Int8(values) => values.reserve_exact(more),
            Values::Fp32(values) => values.reserve_exact(more),
            Values::Text(values) => values.reserve_exact(more),
        }
    }

    /// Adds the values of another window behind these.
    ///
    /// # Errors
    /// [`Code::Internal`] where they are of another datatype: a model has one for each output.
    pub fn append(&mut self, more: Values) -> Result<(), Fault> {
        match (self, more) {
            (Values::Bool(values), Values::Bool(mut more)) => values.append(&mut more),
            (Values::Int8(values), Values::Int8(mut more)) => values.append(&mut more),
            (Values::Fp32(values), Values::Fp32(mut more)) => values.append(&mut more),
            (Values::Text(values), Values::Text(mut more)) => values.append(&mut more),
            (values, more) => {
                let (wanted, got) = (values.datatype().as_str(), more.datatype().as_str());
                return Err(Fault::new(Code::Internal, format!("an output is {wanted} and {got} at once")));
            }
        }
        Ok(())
    }

    /// The length of their bytes.
    pub(crate) fn bytes_len(&self) -> usize {
        match self {
            Values::Bool(values) => values.len(),
            Values::Int8(values) => values.len(),
            Values::Fp32(values) => size_of_val(values.as_slice()),
            Values::Text(texts) => texts.iter().map(|text| size_of::<u32>() + text.len()).sum(),
        }
    }

    /// The values that were written as these bytes; `None` where they are none of that datatype.
    pub(crate) fn read_bytes(datatype: OutputDatatype, bytes: &[u8]) -> Option<Self> {
        Some(match datatype {
            OutputDatatype::Bool => Values::Bool(bytes.iter().map(|byte| *byte != 0).collect()),
            OutputDatatype::Int8 => {
                Values::Int8(bytes.iter().map(|byte| i8::from_le_bytes([*byte])).collect())
            }
            OutputDatatype::Fp32 => {
                let (chunks, rest) = bytes.as_chunks();
                if !rest.is_empty() {
                    return None;
                }
                Values::Fp32(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
            }
            OutputDatatype::Bytes => {
                let (mut texts, mut rest) = (Vec::new(), bytes);
                while let Some((length, more)) = rest.split_first_chunk() {
                    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
                    let (text, more) = more.split_at_checked(length)?;
                    texts.push(str::from_utf8(text).ok()?.to_owned());
                    rest = more;
                }
                if !rest.is_empty() {
                    return None;
                }
                Values::Text(texts)
            }
        })
    }

    /// Appends their bytes.
    pub fn write_bytes(&self, body: &mut Vec<u8>) {
        body.reserve(self.bytes_len());
        match self {
            Values::Bool(values) => body.extend(values.iter().map(|value| u8::from(*value))),
            Values::Int8(values) => body.extend(values.iter().map(|value| value.to_le_bytes()[0])),
            Values::Fp32(values) => {
                for value in values {
                    body.extend_from_slice(&value.to_le_bytes());
                }
            }
            Values::Text(texts) => {
                for text in texts {
                    // No text of a model comes near four gigabytes.
                    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                    body.extend_from_slice(&length.to_le_bytes());
                    body.extend_from_slice(text.as_bytes());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_the_protocol_says() {
        let check = |values: Values, datatype: &str, wanted: &[u8]| {
            let mut bytes = Vec::new();
            values.write_bytes(&mut bytes);
            assert_eq!((bytes.as_slice(), bytes.len()), (wanted, values.bytes_len()), "{values:?}");
            assert_eq!(values.datatype().as_str(), datatype);
            assert_eq!(Values::read_bytes(values.datatype(), &bytes), Some(values));
        };
        check(Values::Bool(vec![true, false]), "BOOL", &[1, 0]);
        check(Values::Int8(vec![-1, 0, 1]), "INT8", &[255, 0, 1]);
        check(Values::Fp32(vec![1.0, -2.0]), "FP32", &[0, 0, 128, 63, 0, 0, 0, 192]);
        let texts = Values::Text(vec!["ab".to_owned(), String::new(), "ü".to_owned()]);
        check(texts, "BYTES", &[2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0, 2, 0, 0, 0, 0xc3, 0xbc]);
    }

    #[test]
    fn bytes_that_are_no_values_are_refused() {
        for (datatype, bytes) in [
            (OutputDatatype::Fp32, &[0, 0, 128][..]),
            (OutputDatatype::Bytes, &[2, 0, 0, 0, b'a']),
            (OutputDatatype::Bytes, &[1, 0, 0]),
            (OutputDatatype::Bytes, &[1, 0, 0, 0, 0xff]),
            (OutputDatatype::Bytes, &[0xff; 8]),
        ] {
            assert_eq!(Values::read_bytes(datatype, bytes), None, "{datatype:?} {bytes:?}");
        }
    }

    #[test]
    fn windows_join_where_their_datatypes_agree() {
        let mut values = Values::Int8(vec![1]);
        assert_eq!(values.append(Values::Int8(vec![0, -1])), Ok(()));
        let mixed = values.append(Values::Bool(vec![true])).unwrap_err();
        assert_eq!(mixed.code(), Code::Internal);
        assert_eq!(values, Values::Int8(vec![1, 0, -1]));
    }
}
