//! The parameters of a request: understood, refused, or let pass.
//!
//! The protocol lets a caller send any parameter. One that would change what the answer means and that this
//! server cannot honour (a shared-memory tensor) is refused: an answer computed as if it had not
//! been there would be wrong without anybody noticing. One that nobody here has heard of changes nothing.

use crate::sequence::{self, Gathered, SequenceCall};
use crate::{Packing, quoted};
use spinwell_core::{Code, Fault, Micros, Priority};

/// The longest `subject` or `purpose`: they stand in records, so they may not be of any length.
pub(crate) const LABEL_BYTES_MAX: usize = 128;

/// A parameter's value, from either wire.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterValue {
    /// A truth value.
    Bool(bool),
    /// A whole number below zero.
    Negative(i64),
    /// A whole number from zero.
    Whole(u64),
    /// A number with a fraction.
    Fraction(f64),
    /// A text.
    Text(String),
}

/// Parameters as they arrived, in no particular order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters(pub Vec<(String, ParameterValue)>);

/// The parameters of a request that this server understands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestParameters {
    /// How outputs travel that do not say so themselves, where the caller says it.
    pub packing: Option<Packing>,
    /// How urgent it is.
    pub priority: Priority,
    /// After how long the caller has given up, where he says so.
    pub timeout: Option<Micros>,
    /// Whose data is processed.
    pub subject: Option<String>,
    /// What the prediction is for.
    pub purpose: Option<String>,
    /// The sequence that it is a step of.
    pub sequence: Option<SequenceCall>,
}

impl RequestParameters {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`] for a value of the wrong kind, [`Code::NotOffered`] for a parameter that
    /// changes what the answer means in a way that this server does not know.
    pub fn read(parameters: Parameters) -> Result<Self, Fault> {
        let mut read = Self::default();
        let mut gathered = Gathered::default();
        for (key, value) in parameters.0 {
            match key.as_str() {
                "binary_data_output" => read.packing = Some(Packing::from_parameter(truth(&key, &value)?)),
                "priority" => read.priority = Priority::of_number(whole(&key, &value)?),
                "timeout" => read.timeout = Some(Micros(whole(&key, &value)?)).filter(|t| t.0 > 0),
                "subject" => read.subject = Some(label(&key, value)?),
                "purpose" => read.purpose = Some(label(&key, value)?),
                "sequence_id" => gathered.id = sequence::id(&value)?,
                "sequence_start" => gathered.starts = truth(&key, &value)?,
                "sequence_end" => gathered.ends = truth(&key, &value)?,
                "sequence_step" => gathered.step = Some(step(&value)?),
                _ => {}
            }
        }
        read.sequence = gathered.call()?;
        Ok(read)
    }
}

/// What an output's own parameters say about its packing.
pub(crate) fn output_packing(name: &str, parameters: &Parameters) -> Result<Option<Packing>, Fault> {
    let mut packing = None;
    for (key, value) in &parameters.0 {
        match key.as_str() {
            "binary_data" => packing = Some(Packing::from_parameter(truth(key, value)?)),
            "classification" if *value != ParameterValue::Whole(0) => {
                return Err(not_offered(
                    name,
                    key,
                    "the answer holds every value; choose the largest from it",
                ));
            }
            _ if key.starts_with("shared_memory_") => {
                return Err(not_offered(name, key, "the values come with the answer"));
            }
            _ => {}
        }
    }
    Ok(packing)
}

/// The size of an input's binary tensor, where it has one.
pub(crate) fn input_binary_size(name: &str, parameters: &Parameters) -> Result<Option<u64>, Fault> {
    let mut size = None;
    for (key, value) in &parameters.0 {
        match key.as_str() {
            "binary_data_size" => size = Some(whole(key, value)?),
            _ if key.starts_with("shared_memory_") => {
                return Err(not_offered(name, key, "send the values in the request"));
            }
            _ => {}
        }
    }
    Ok(size)
}

fn not_offered(tensor: &str, key: &str, instead: &str) -> Fault {
    let message = format!("parameter {} of tensor {} is not offered; {instead}", quoted(key), quoted(tensor));
    Fault::new(Code::NotOffered, message)
}

fn truth(key: &str, value: &ParameterValue) -> Result<bool, Fault> {
    match value {
        ParameterValue::Bool(value) => Ok(*value),
        other => Err(wrong_kind(key, "true or false", other)),
    }
}

fn whole(key: &str, value: &ParameterValue) -> Result<u64, Fault> {
    match value {
        ParameterValue::Whole(value) => Ok(*value),
        other => Err(wrong_kind(key, "a whole number from 0", other)),
    }
}

/// The number of a step in a parameter.
pub(crate) fn step(value: &ParameterValue) -> Result<u64, Fault> {
    match value {
        ParameterValue::Whole(number @ 1..) => Ok(*number),
        other => Err(wrong_kind("sequence_step", "a whole number from 1", other)),
    }
}

fn label(key: &str, value: ParameterValue) -> Result<String, Fault> {
    match value {
        ParameterValue::Text(text) if text.len() <= LABEL_BYTES_MAX => Ok(text),
        other => Err(wrong_kind(key, &format!("a string of at most {LABEL_BYTES_MAX} bytes"), &other)),
    }
}

/// What is said of a `subject` or `purpose` that is too long.
pub(crate) fn label_fault(key: &str, text: &str) -> Fault {
    wrong_kind(
        key,
        &format!("a string of at most {LABEL_BYTES_MAX} bytes"),
        &ParameterValue::Text(text.to_owned()),
    )
}

fn wrong_kind(key: &str, wanted: &str, got: &ParameterValue) -> Fault {
    let got = match got {
        ParameterValue::Bool(value) => value.to_string(),
        ParameterValue::Negative(value) => value.to_string(),
        ParameterValue::Whole(value) => value.to_string(),
        // With its point, without which 1.0 would read as the whole number that it is not.
        ParameterValue::Fraction(value) => format!("{value:?}"),
        ParameterValue::Text(text) => quoted(text),
    };
    Fault::new(Code::RequestInvalid, format!("parameter {} must be {wanted}, it is {got}", quoted(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ParameterValue::{Bool, Fraction, Negative, Text, Whole};

    #[test]
    fn steps_count_from_one() {
        assert_eq!(step(&Whole(1)), Ok(1));
        for wrong in [Whole(0), Negative(-1), Fraction(1.5), Bool(true)] {
            let fault = step(&wrong).unwrap_err();
            assert_eq!(fault.code(), Code::RequestInvalid);
            assert!(fault.message().contains("\"sequence_step\" must be a whole number from 1"), "{fault}");
        }
        let read = |number| {
            let pairs = [("sequence_id", Whole(7)), ("sequence_step", Whole(number))];
            RequestParameters::read(Parameters(pairs.map(|(key, value)| (key.to_owned(), value)).to_vec()))
        };
        assert_eq!(read(0).unwrap_err().code(), Code::RequestInvalid);
        assert!(read(1).is_ok());
    }

    #[test]
    fn parameters_that_change_the_meaning_are_never_ignored() {
        let check = |key: &str, value: ParameterValue, wanted: Result<(), Code>| {
            let read = RequestParameters::read(Parameters(vec![(key.into(), value.clone())]));
            assert_eq!(read.map(|_| ()).map_err(|fault| fault.code()), wanted, "{key} {value:?}");
        };
        check("sequence_id", Whole(0), Ok(()));
        check("sequence_id", Text(String::new()), Ok(()));
        check("sequence_id", Whole(7), Ok(()));
        check("sequence_id", Text("x".repeat(129)), Err(Code::RequestInvalid));
        check("sequence_id", Negative(-1), Err(Code::RequestInvalid));
        check("sequence_start", Bool(false), Ok(()));
        check("sequence_start", Bool(true), Err(Code::RequestInvalid));
        check("sequence_step", Whole(3), Err(Code::RequestInvalid));
        check("sequence_end", Whole(1), Err(Code::RequestInvalid));
        check("priority", Whole(3), Ok(()));
        check("priority", Fraction(1.5), Err(Code::RequestInvalid));
        check("timeout", Negative(-5), Err(Code::RequestInvalid));
        check("subject", Text("x".repeat(128)), Ok(()));
        check("subject", Text("x".repeat(129)), Err(Code::RequestInvalid));
        check("purpose", Whole(1), Err(Code::RequestInvalid));
        check("binary_data_output", Bool(true), Ok(()));
        check("nobody_has_heard_of_it", Whole(1), Ok(()));
    }

    #[test]
    fn what_is_said_of_a_sequence_comes_together_in_any_order() {
        let read = |parameters: &[(&str, ParameterValue)]| {
            let parameters =
                parameters.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
            RequestParameters::read(Parameters(parameters)).unwrap().sequence
        };
        let all =
            read(&[("sequence_step", Whole(1)), ("sequence_start", Bool(true)), ("sequence_id", Whole(7))]);
        let id = sequence::checked_id("7").unwrap();
        assert_eq!(
            all,
            Some(SequenceCall {
                id,
                starts: true,
                ends: false,
                step: Some(1),
                sent: None,
                names_version: false
            })
        );
        assert_eq!(read(&[("sequence_id", Whole(0)), ("sequence_end", Bool(false))]), None);
    }

    #[test]
    fn a_timeout_of_zero_means_none() {
        let read =
            |us| RequestParameters::read(Parameters(vec![("timeout".into(), Whole(us))])).unwrap().timeout;
        assert_eq!((read(0), read(5)), (None, Some(Micros(5))));
    }

    #[test]
    fn tensors_in_shared_memory_are_refused() {
        let shared = Parameters(vec![("shared_memory_region".into(), Text("r".into()))]);
        assert_eq!(input_binary_size("series", &shared).unwrap_err().code(), Code::NotOffered);
        assert_eq!(output_packing("forecast", &shared).unwrap_err().code(), Code::NotOffered);
    }

    #[test]
    fn what_is_not_offered_says_what_to_do_instead() {
        let of = |key: &str| Parameters(vec![(key.into(), Whole(2))]);
        let fault = output_packing("label", &of("classification")).unwrap_err();
        let wanted = "parameter \"classification\" of tensor \"label\" is not offered; the answer holds every value; \
            choose the largest from it";
        assert_eq!((fault.code(), fault.message()), (Code::NotOffered, wanted));
        let fault = input_binary_size("series", &of("shared_memory_offset")).unwrap_err();
        assert!(fault.message().ends_with("send the values in the request"), "{fault}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_repeated_as_it_is() {
        let message = |value| {
            let fault = RequestParameters::read(Parameters(vec![("timeout".into(), value)])).unwrap_err();
            fault.message().to_owned()
        };
        assert_eq!(message(Fraction(1.0)), "parameter \"timeout\" must be a whole number from 0, it is 1.0");
        assert!(message(Fraction(1e300)).ends_with("it is 1e300"));
        assert!(message(Negative(-1)).ends_with("it is -1"));
    }
}
