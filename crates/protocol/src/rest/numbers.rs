//! The numbers of a JSON tensor, straight from the text into one vector.
//!
//! A tensor's data may be flat or nested, and nothing says which before it is read. Going through a tree of
//! JSON values would cost an allocation a number; instead the parser pushes each number where it belongs and
//! notes how the array was nested. Decoding never fails on a wrong element: it notes the first trouble and
//! reads past the rest, so that the caller learns of a wrong name or shape first where both are wrong.

use crate::Datatype;
use half::f16;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use spinwell_core::Samples;
use std::fmt;

/// Arrays nested deeper than a tensor has dimensions are not followed.
const DEPTH_MAX: usize = 3;

/// The first thing that was wrong with the data of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// An element is no number.
    NotANumber {
        /// How many numbers stand before it.
        index: usize,
        /// What it is instead.
        found: &'static str,
    },
    /// The data is no array at all.
    NotAnArray,
    /// Arrays are nested deeper than any tensor.
    TooDeep,
    /// Arrays of one level differ in length, or numbers stand on different levels.
    Ragged,
}

/// The numbers of a tensor, row-major, and how they were nested.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers {
    /// The numbers. 32-bit only where the datatype was known before the data.
    pub(crate) samples: Samples,
    /// The lengths of the nested arrays, outermost first; one entry for flat data.
    pub(crate) extents: Vec<usize>,
    /// The first thing that was wrong.
    pub(crate) trouble: Option<Trouble>,
}

impl Numbers {
    /// The values as the datatype holds them, whatever was known when they were read.
    pub(crate) fn into_samples(self, datatype: Datatype) -> Samples {
        match (self.samples, datatype) {
            (Samples::F64(values), Datatype::Fp32) => {
                Samples::F32(values.iter().map(|v| *v as f32).collect())
            }
            (Samples::F64(values), Datatype::Fp16) => {
                Samples::F32(values.iter().map(|v| f16::from_f64(*v).to_f32()).collect())
            }
            (samples, _) => samples,
        }
    }
}

/// Reads numbers; `Fp32` narrows each on the way, anything else keeps 64 bits.
pub(crate) struct NumbersSeed(pub(crate) Option<Datatype>);

impl<'de> DeserializeSeed<'de> for NumbersSeed {
    type Value = Numbers;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Numbers, D::Error> {
        let samples = match self.0 {
            Some(Datatype::Fp32) => Samples::F32(Vec::new()),
            _ => Samples::F64(Vec::new()),
        };
        let mut collector =
            Collector { samples, extents: [None; DEPTH_MAX], number_depth: None, trouble: None };
        deserializer.deserialize_any(Level { collector: &mut collector, depth: 0 })?;
        let extents = collector.extents.into_iter().flatten().collect();
        Ok(Numbers { samples: collector.samples, extents, trouble: collector.trouble })
    }
}

struct Collector {
    samples: Samples,
    /// The length of the first finished array of each level, which the others must have too.
    extents: [Option<usize>; DEPTH_MAX],
    /// The level that the first number stood on, which all must stand on.
    number_depth: Option<usize>,
    trouble: Option<Trouble>,
}

impl Collector {
    fn note(&mut self, trouble: Trouble) {
        self.trouble.get_or_insert(trouble);
    }

    fn number(&mut self, value: f64, depth: usize) {
        if depth == 0 {
            return self.note(Trouble::NotAnArray);
        }
        if *self.number_depth.get_or_insert(depth) != depth {
            return self.note(Trouble::Ragged);
        }
        if self.trouble.is_none() {
            match &mut self.samples {
                Samples::F32(values) => values.push(value as f32),
                Samples::F64(values) => values.push(value),
            }
        }
    }

    fn other(&mut self, found: &'static str, depth: usize) {
        let index = self.samples.len();
        self.note(if depth == 0 { Trouble::NotAnArray } else { Trouble::NotANumber { index, found } });
    }

    fn closed(&mut self, depth: usize, length: usize) {
        if *self.extents[depth].get_or_insert(length) != length {
            self.note(Trouble::Ragged);
        }
    }
}

struct Level<'a> {
    collector: &'a mut Collector,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of numbers")
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.collector.number(value, self.depth);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.collector.number(value as f64, self.depth);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.collector.number(value as f64, self.depth);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.collector.other("a truth value", self.depth);
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.collector.other("a string", self.depth);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.collector.other("null", self.depth);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.collector.other("an object", self.depth);
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        if self.depth == DEPTH_MAX {
            self.collector.note(Trouble::TooDeep);
            while sequence.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let mut length = 0;
        while sequence
            .next_element_seed(Level { collector: &mut *self.collector, depth: self.depth + 1 })?
            .is_some()
        {
            length += 1;
        }
        self.collector.closed(self.depth, length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, datatype: Option<Datatype>) -> Numbers {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        NumbersSeed(datatype).deserialize(&mut deserializer).unwrap()
    }

    #[test]
    fn flat_and_nested_data_give_the_same_numbers() {
        let check = |text: &str, extents: &[usize]| {
            let numbers = read(text, None);
            assert_eq!(numbers.trouble, None, "{text}");
            assert_eq!(numbers.samples, Samples::F64(vec![1.0, -2.0, 3.5, 4.0]), "{text}");
            assert_eq!(numbers.extents, extents, "{text}");
        };
        check("[1, -2, 3.5, 4e0]", &[4]);
        check("[[1, -2], [3.5, 4]]", &[2, 2]);
        check("[[[1], [-2], [3.5], [4]]]", &[1, 4, 1]);
    }

    #[test]
    fn the_first_trouble_is_noted_and_the_rest_is_read_past() {
        let not_a_number = |index, found| Trouble::NotANumber { index, found };
        let check =
            |text: &str, wanted: Trouble| assert_eq!(read(text, None).trouble, Some(wanted), "{text}");
        check("[1, null, \"x\"]", not_a_number(1, "null"));
        check("[\"a\"]", not_a_number(0, "a string"));
        check("[true]", not_a_number(0, "a truth value"));
        check("[1, {\"a\": [1, 2]}, 3]", not_a_number(1, "an object"));
        check("[[1, 2], [3]]", Trouble::Ragged);
        check("[1, [2]]", Trouble::Ragged);
        check("[[[[1]]]]", Trouble::TooDeep);
        check("7", Trouble::NotAnArray);
        check("\"7\"", Trouble::NotAnArray);
    }

    #[test]
    fn single_precision_is_narrowed_from_the_parsed_double() {
        for (early, late) in [(Some(Datatype::Fp32), Datatype::Fp32), (None, Datatype::Fp32)] {
            let samples = read("[0.1, 16777217, 1e39]", early).into_samples(late);
            assert_eq!(samples, Samples::F32(vec![0.1, 16_777_216.0, f32::INFINITY]));
        }
        assert_eq!(
            read("[0.1]", None).into_samples(Datatype::Fp16),
            Samples::F32(vec![f16::from_f64(0.1).to_f32()])
        );
    }
}
