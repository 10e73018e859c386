//! Which outputs a caller wants, in which order, packed how.

use crate::{ModelDescription, OutputDatatype, quoted};
use spinwell_core::{Code, Fault};

/// An output of some model. Which ones a model has follows from its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputName {
    /// The prediction.
    Forecast,
    /// The lower end of the interval.
    Lower,
    /// The upper end of the interval.
    Upper,
    /// Where the prediction points from the last observed value: -1, 0 or 1.
    Direction,
    /// The calibrated probability that the truth goes that way.
    Confidence,
    /// How much the model's spiking neurons have been doing the same.
    Synchrony,
    /// How many bursts its spiking neurons have had in a row.
    BurstRate,
    /// The strongest rhythm of its spiking neurons, in cycles per row.
    DominantFrequency,
    /// The class of the window.
    Label,
    /// The probability of each class.
    Probabilities,
    /// How unusual the last row is: minus the logarithm of its p-value.
    Score,
    /// Whether the last row is called unusual.
    Anomaly,
}

impl OutputName {
    /// How many there are: more cannot be requested, because none may be named twice.
    const COUNT: usize = 12;

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            OutputName::Forecast => "forecast",
            OutputName::Lower => "lower",
            OutputName::Upper => "upper",
            OutputName::Direction => "direction",
            OutputName::Confidence => "confidence",
            OutputName::Synchrony => "synchrony",
            OutputName::BurstRate => "burst_rate",
            OutputName::DominantFrequency => "dominant_frequency",
            OutputName::Label => "label",
            OutputName::Probabilities => "probabilities",
            OutputName::Score => "score",
            OutputName::Anomaly => "anomaly",
        }
    }

    /// The datatype of its values.
    #[must_use]
    pub const fn datatype(self) -> OutputDatatype {
        match self {
            OutputName::Forecast
            | OutputName::Lower
            | OutputName::Upper
            | OutputName::Confidence
            | OutputName::Synchrony
            | OutputName::BurstRate
            | OutputName::DominantFrequency
            | OutputName::Probabilities
            | OutputName::Score => OutputDatatype::Fp32,
            OutputName::Direction => OutputDatatype::Int8,
            OutputName::Label => OutputDatatype::Bytes,
            OutputName::Anomaly => OutputDatatype::Bool,
        }
    }

    /// Whether it is left out where a request names no outputs.
    #[must_use]
    pub const fn is_on_request(self) -> bool {
        matches!(
            self,
            OutputName::Direction
                | OutputName::Confidence
                | OutputName::Synchrony
                | OutputName::BurstRate
                | OutputName::DominantFrequency
        )
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

/// The outputs to answer with, in order, none of them twice, at least one, all of them outputs of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outputs {
    chosen: [Option<RequestedOutput>; OutputName::COUNT],
}

impl Outputs {
    /// What a model answers where nothing is asked for, in the order of the metadata.
    #[must_use]
    pub fn usual(model: &ModelDescription, packing: Packing) -> Self {
        let names = model.outputs().iter().map(|output| output.name).filter(|name| !name.is_on_request());
        let mut chosen = [None; OutputName::COUNT];
        for (slot, name) in chosen.iter_mut().zip(names) {
            *slot = Some(RequestedOutput { name, packing });
        }
        Self { chosen }
    }

    /// The outputs named, each with its own packing or `otherwise`; the usual ones where none is named.
    ///
    /// # Errors
    /// [`Code::OutputUnknown`], or [`Code::RequestInvalid`] where one is named twice.
    pub fn requested<'a>(
        names: impl IntoIterator<Item = (&'a str, Option<Packing>)>,
        otherwise: Packing,
        model: &ModelDescription,
    ) -> Result<Self, Fault> {
        let mut chosen = [None; OutputName::COUNT];
        let mut count = 0;
        for (text, packing) in names {
            let found = model.outputs().iter().find(|output| output.name.as_str() == text);
            let name = found.ok_or_else(|| unknown(text, model))?.name;
            if chosen.iter().flatten().any(|earlier: &RequestedOutput| earlier.name == name) {
                let message = format!("output {text} is requested twice; name each output once");
                return Err(Fault::new(Code::RequestInvalid, message));
            }
            chosen[count] = Some(RequestedOutput { name, packing: packing.unwrap_or(otherwise) });
            count += 1;
        }
        Ok(if count == 0 { Self::usual(model, otherwise) } else { Self { chosen } })
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

fn unknown(text: &str, model: &ModelDescription) -> Fault {
    let names: Vec<&str> = model.outputs().iter().map(|output| output.name.as_str()).collect();
    let offered = match names.as_slice() {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        names => names.concat(),
    };
    Fault::new(Code::OutputUnknown, format!("there is no output named {}; use {offered}", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::{classifier, detector, model, spiking_model};

    #[test]
    fn outputs_come_in_the_order_asked_for_and_once() {
        use Packing::{Binary, Json};
        let (forecaster, classifier, detector) = (model("m", 1, 1), classifier("c"), detector("d"));
        let check = |model: &ModelDescription,
                     names: &[(&str, Option<Packing>)],
                     wanted: Result<&[(&str, Packing)], Code>| {
            let got = Outputs::requested(names.iter().copied(), Json, model);
            let got = got.map(|o| o.iter().map(|r| (r.name.as_str(), r.packing)).collect::<Vec<_>>());
            assert_eq!(got.map_err(|fault| fault.code()), wanted.map(<[_]>::to_vec), "{names:?}");
        };
        check(&forecaster, &[], Ok(&[("forecast", Json), ("lower", Json), ("upper", Json)]));
        check(
            &forecaster,
            &[("upper", None), ("lower", Some(Binary))],
            Ok(&[("upper", Json), ("lower", Binary)]),
        );
        check(
            &forecaster,
            &[
                ("confidence", None),
                ("direction", None),
                ("upper", None),
                ("lower", None),
                ("forecast", None),
            ],
            Ok(&["confidence", "direction", "upper", "lower", "forecast"].map(|name| (name, Json))),
        );
        check(&forecaster, &[("upper", None), ("upper", None)], Err(Code::RequestInvalid));
        check(&forecaster, &[("label", None)], Err(Code::OutputUnknown));
        check(&classifier, &[], Ok(&[("label", Json), ("probabilities", Json)]));
        check(&classifier, &[("probabilities", None)], Ok(&[("probabilities", Json)]));
        check(&classifier, &[("forecast", None)], Err(Code::OutputUnknown));
        check(&detector, &[], Ok(&[("score", Json), ("anomaly", Json)]));
    }

    #[test]
    fn activity_is_told_on_request_and_only_of_spiking_neurons() {
        let named = ["synchrony", "burst_rate", "dominant_frequency"];
        let asked = |model: &ModelDescription, names: &[&str]| {
            let names = names.iter().map(|name| (*name, None));
            let outputs = Outputs::requested(names, Packing::Json, model).map_err(|fault| fault.code())?;
            Ok(outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>())
        };
        let (spiking, other) = (spiking_model("s"), model("m", 1, 1));
        assert_eq!(asked(&spiking, &[]), Ok(vec!["forecast", "lower", "upper"]));
        assert_eq!(asked(&spiking, &named), Ok(named.to_vec()));
        let all: Vec<&str> = spiking.outputs().iter().map(|output| output.name.as_str()).collect();
        assert_eq!(asked(&spiking, &all), Ok(all.clone()));
        assert_eq!(asked(&other, &named[..1]), Err(Code::OutputUnknown));
        assert!(spiking.outputs()[5..].iter().all(|output| output.extents.is_empty()));
    }

    #[test]
    fn an_unknown_output_is_answered_with_the_model_s_own() {
        let message = |model: &ModelDescription| {
            Outputs::requested([("x", None)], Packing::Json, model).unwrap_err().message().to_owned()
        };
        let wanted = "there is no output named \"x\"; use forecast, lower, upper, direction or confidence";
        assert_eq!(message(&model("m", 1, 1)), wanted);
        assert_eq!(message(&classifier("c")), "there is no output named \"x\"; use label or probabilities");
    }
}
