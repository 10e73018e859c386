//! Which outputs a caller wants, in which order, packed how.

use crate::quoted;
use spinwell_core::{Code, Fault};

/// An output of a forecast model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputName {
    /// The prediction.
    Forecast,
    /// The lower end of the interval.
    Lower,
    /// The upper end of the interval.
    Upper,
}

impl OutputName {
    /// Every output, in the order of the metadata.
    pub const ALL: [OutputName; 3] = [OutputName::Forecast, OutputName::Lower, OutputName::Upper];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            OutputName::Forecast => "forecast",
            OutputName::Lower => "lower",
            OutputName::Upper => "upper",
        }
    }
}

/// How an output's numbers travel over REST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// As JSON numbers.
    #[default]
    Json,
    /// As little-endian bytes behind the JSON.
    Binary,
}

impl Packing {
    /// What a `binary_data` or `binary_data_output` parameter asks for.
    #[must_use]
    pub fn from_parameter(binary: bool) -> Self {
        if binary { Packing::Binary } else { Packing::Json }
    }
}

/// An output and how it should travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedOutput {
    /// Which one.
    pub name: OutputName,
    /// How it should travel over REST; gRPC always answers raw.
    pub packing: Packing,
}

/// The outputs to answer with, in order, none of them twice, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outputs {
    chosen: [Option<RequestedOutput>; 3],
}

impl Outputs {
    /// All outputs, in the order of the metadata.
    #[must_use]
    pub fn all(packing: Packing) -> Self {
        Self { chosen: OutputName::ALL.map(|name| Some(RequestedOutput { name, packing })) }
    }

    /// The outputs named, each with its own packing or `otherwise`; all of them where none is named.
    ///
    /// # Errors
    /// [`Code::OutputUnknown`], or [`Code::RequestInvalid`] where one is named twice.
    pub fn requested<'a>(
        names: impl IntoIterator<Item = (&'a str, Option<Packing>)>,
        otherwise: Packing,
    ) -> Result<Self, Fault> {
        let mut chosen = [None; 3];
        let mut count = 0;
        for (text, packing) in names {
            let name = OutputName::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| {
                let message =
                    format!("there is no output named {}; use forecast, lower or upper", quoted(text));
                Fault::new(Code::OutputUnknown, message)
            })?;
            if chosen.iter().flatten().any(|earlier: &RequestedOutput| earlier.name == name) {
                let message = format!("output {text} is requested twice; name each output once");
                return Err(Fault::new(Code::RequestInvalid, message));
            }
            chosen[count] = Some(RequestedOutput { name, packing: packing.unwrap_or(otherwise) });
            count += 1;
        }
        Ok(if count == 0 { Self::all(otherwise) } else { Self { chosen } })
    }

    /// The outputs, in order.
    pub fn iter(&self) -> impl Iterator<Item = RequestedOutput> + '_ {
        self.chosen.iter().flatten().copied()
    }

    /// Whether any output travels as bytes.
    #[must_use]
    pub fn any_binary(&self) -> bool {
        self.iter().any(|output| output.packing == Packing::Binary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_come_in_the_order_asked_for_and_once() {
        let check = |names: &[(&str, Option<Packing>)], wanted: Result<&[(&str, Packing)], Code>| {
            let got = Outputs::requested(names.iter().copied(), Json);
            let got = got.map(|o| o.iter().map(|r| (r.name.as_str(), r.packing)).collect::<Vec<_>>());
            assert_eq!(got.map_err(|fault| fault.code()), wanted.map(<[_]>::to_vec), "{names:?}");
        };
        use Packing::{Binary, Json};
        check(&[], Ok(&[("forecast", Json), ("lower", Json), ("upper", Json)]));
        check(&[("upper", None), ("lower", Some(Binary))], Ok(&[("upper", Json), ("lower", Binary)]));
        check(&[("upper", None), ("upper", None)], Err(Code::RequestInvalid));
        check(&[("label", None)], Err(Code::OutputUnknown));
    }
}
