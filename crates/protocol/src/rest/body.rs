//! The JSON of an inference request, as it stands on the wire.
//!
//! Written by hand where order matters: a tensor's data is narrowed while it is read if its datatype came
//! first, as every known client sends it. Lists are bounded here, because a list of empty objects is a cheap
//! way to ask for memory.

use super::numbers::{Numbers, NumbersSeed};
use crate::{Datatype, ParameterValue, Parameters, reason};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use spinwell_core::{Code, Fault};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Entries of any list or map in a request's JSON. The largest real request has five outputs.
pub(crate) const ENTRIES_MAX: usize = 64;

/// Whether JSON may be an object. Derived decoding would take an array of fields for one.
pub(super) fn may_be_object(json: &[u8]) -> bool {
    let first = json.iter().find(|byte| !byte.is_ascii_whitespace());
    !matches!(first, Some(b'[' | b'"' | b'0'..=b'9' | b'-'))
}

/// Reads one entry of such a list; `say` puts what is wrong with it into words.
pub(super) fn read_entry<'b, T: Deserialize<'b>>(
    raw: &'b RawValue,
    say: impl FnOnce(&str) -> String,
) -> Result<T, Fault> {
    let wrong = |why: &str| Fault::new(Code::RequestInvalid, say(why));
    if !may_be_object(raw.get().as_bytes()) {
        return Err(wrong("send a JSON object"));
    }
    serde_json::from_str(raw.get()).map_err(|error| {
        // The place would be one within this entry, which nobody sees.
        let why = error.to_string();
        // The last one: a caller may have written the same words.
        wrong(&reason(&why.rsplit_once(" at line ").map_or(&*why, |(why, _)| why)))
    })
}

/// Reads the frame of a call that is a list of `what`: at least one, at most `most`, as `count` tells.
pub(super) fn read_frame<'b, T: Deserialize<'b>>(
    body: &'b [u8],
    what: &str,
    most: usize,
    count: impl FnOnce(&T) -> usize,
) -> Result<T, Fault> {
    if !may_be_object(body) {
        let message = format!("the body is no JSON object; send {{\"{what}\": [...]}}");
        return Err(Fault::new(Code::RequestInvalid, message));
    }
    let call: T = serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Fault::new(
            Code::RequestInvalid,
            format!("the body is no call of the form {{\"{what}\": [...]}}: {}", reason(&error)),
        ),
        _ => Fault::new(Code::JsonMalformed, format!("the body is not JSON: {error}")),
    })?;
    let wrong = match count(&call) {
        0 => format!("there are no {what}; send at least one"),
        many if many > most => {
            format!("there are {many} {what}, at most {most} are taken; send several calls")
        }
        _ => return Ok(call),
    };
    Err(Fault::new(Code::RequestInvalid, wrong))
}

/// The request.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
pub(super) struct InferBody<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) parameters: Parameters,
    #[serde(borrow, deserialize_with = "bounded")]
    pub(super) inputs: Vec<InputTensor<'a>>,
    #[serde(borrow, default, deserialize_with = "bounded")]
    pub(super) outputs: Vec<OutputRequest<'a>>,
}

/// One input.
pub(super) struct InputTensor<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) shape: Vec<i64>,
    pub(super) datatype: Cow<'a, str>,
    pub(super) parameters: Parameters,
    pub(super) data: Option<Numbers>,
}

/// One requested output.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
pub(super) struct OutputRequest<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(default)]
    pub(super) parameters: Parameters,
}

/// A string that stays in the body where it holds no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Dimensions(#[serde(deserialize_with = "bounded")] Vec<i64>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum InputField {
    Name,
    Shape,
    Datatype,
    Parameters,
    Data,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for InputTensor<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = InputTensor<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with name, shape, datatype and data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InputTensor<'de>, A::Error> {
        let (mut name, mut shape, mut datatype, mut parameters, mut data) = (None, None, None, None, None);
        while let Some(field) = map.next_key()? {
            match field {
                InputField::Name => once(&mut name, map.next_value::<Text<'de>>()?.0, "name")?,
                InputField::Shape => once(&mut shape, map.next_value::<Dimensions>()?.0, "shape")?,
                InputField::Datatype => once(&mut datatype, map.next_value::<Text<'de>>()?.0, "datatype")?,
                InputField::Parameters => once(&mut parameters, map.next_value()?, "parameters")?,
                InputField::Data => {
                    let known = datatype.as_deref().and_then(|text| Datatype::parse(text).ok());
                    once(&mut data, map.next_value_seed(NumbersSeed(known))?, "data")?;
                }
                InputField::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(InputTensor {
            name: name.ok_or_else(|| de::Error::missing_field("name"))?,
            shape: shape.ok_or_else(|| de::Error::missing_field("shape"))?,
            datatype: datatype.ok_or_else(|| de::Error::missing_field("datatype"))?,
            parameters: parameters.unwrap_or_default(),
            data,
        })
    }
}

fn once<T, E: de::Error>(slot: &mut Option<T>, value: T, field: &'static str) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(field)),
    }
}

/// A list, or null, of at most [`ENTRIES_MAX`] entries.
pub(super) fn bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    bounded_by::<ENTRIES_MAX, D, T>(deserializer)
}

/// A list, or null, of at most so many entries.
pub(super) fn bounded_by<'de, const MAX: usize, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Bounded<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "an array of at most {MAX} entries")
        }

        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = sequence.next_element()? {
                if entries.len() == MAX {
                    return Err(de::Error::invalid_length(MAX + 1, &self));
                }
                entries.push(entry);
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_any(Bounded::<T, MAX>(PhantomData))
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParametersVisitor)
    }
}

struct ParametersVisitor;

impl<'de> Visitor<'de> for ParametersVisitor {
    type Value = Parameters;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object of at most {ENTRIES_MAX} parameters")
    }

    fn visit_unit<E>(self) -> Result<Parameters, E> {
        Ok(Parameters::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            if entries.len() == ENTRIES_MAX {
                return Err(de::Error::invalid_length(ENTRIES_MAX + 1, &self));
            }
            entries.push(entry);
        }
        Ok(Parameters(entries))
    }
}

impl<'de> Deserialize<'de> for ParameterValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParameterVisitor)
    }
}

struct ParameterVisitor;

impl Visitor<'_> for ParameterVisitor {
    type Value = ParameterValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a parameter: a string, a number or a truth value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ParameterValue, E> {
        Ok(u64::try_from(value).map_or(ParameterValue::Negative(value), ParameterValue::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Fraction(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Text(value.to_owned()))
    }
}
