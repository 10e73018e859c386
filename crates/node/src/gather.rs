//! From what a model said of each window to the outputs that a request named.
//!
//! Only the named outputs are gathered, and the values of a request's first window are moved, not copied: most
//! requests hold one window and pay nothing here. What a model says is checked against its own description, so that
//! a broken promise is told as one and never encoded.

use crate::Prediction;
use spinwell_core::{Code, Fault};
use spinwell_protocol::{ModelDescription, OutputFacts, OutputName, OutputTensor, Outputs, Predictions};
use spinwell_protocol::{Task, Values};

/// One request's outputs, or the first fault among its windows.
pub(crate) fn gather(
    model: &ModelDescription,
    outputs: &Outputs,
    results: Vec<Result<Prediction, Fault>>,
) -> Result<Predictions, Fault> {
    let mut windows = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    // A direction says nothing of the forecast that it is the sign of.
    windows.iter().try_for_each(|window| match window {
        Prediction::Forecast(own) => check_finite(&own.forecast),
        Prediction::Class { .. } | Prediction::Anomaly { .. } => Ok(()),
    })?;
    let mut tensors = Vec::with_capacity(model.outputs().len());
    for output in outputs.iter() {
        let facts = model.output(output.name).ok_or_else(broken_promise)?;
        let values = joined(&mut windows, facts, model)?;
        if let Values::Fp32(values) = &values {
            check_finite(values)?;
        }
        tensors.push(OutputTensor { name: output.name, values });
    }
    Ok(Predictions { batch: windows.len(), tensors })
}

/// An output's values of all windows.
fn joined(
    windows: &mut [Prediction],
    facts: &OutputFacts,
    model: &ModelDescription,
) -> Result<Values, Fault> {
    let of_one = facts.extents.iter().product::<usize>();
    let others = of_one * windows.len().saturating_sub(1);
    let mut windows = windows.iter_mut();
    let mut one = || -> Result<Option<Values>, Fault> {
        let Some(window) = windows.next() else { return Ok(None) };
        let values = take(window, facts.name, model)
            .filter(|values| values.len() == of_one && values.datatype() == facts.name.datatype());
        values.map(Some).ok_or_else(broken_promise)
    };
    let mut all = one()?.ok_or_else(broken_promise)?;
    all.reserve(others);
    while let Some(more) = one()? {
        all.append(more)?;
    }
    Ok(all)
}

/// Moves an output's values out of a prediction, which has them once. `None` where it is of another task.
fn take(prediction: &mut Prediction, name: OutputName, model: &ModelDescription) -> Option<Values> {
    Some(match (prediction, name) {
        (Prediction::Forecast(own), OutputName::Forecast) => Values::Fp32(std::mem::take(&mut own.forecast)),
        (Prediction::Forecast(own), OutputName::Lower) => Values::Fp32(std::mem::take(&mut own.lower)),
        (Prediction::Forecast(own), OutputName::Upper) => Values::Fp32(std::mem::take(&mut own.upper)),
        (Prediction::Forecast(own), OutputName::Direction) => {
            Values::Int8(std::mem::take(&mut own.direction))
        }
        (Prediction::Forecast(own), OutputName::Confidence) => {
            Values::Fp32(std::mem::take(&mut own.confidence))
        }
        (Prediction::Forecast(own), OutputName::Synchrony) => Values::Fp32(vec![own.activity?.synchrony]),
        (Prediction::Forecast(own), OutputName::BurstRate) => Values::Fp32(vec![own.activity?.burst_rate]),
        (Prediction::Forecast(own), OutputName::DominantFrequency) => {
            Values::Fp32(vec![own.activity?.dominant_frequency])
        }
        (Prediction::Class { label, .. }, OutputName::Label) => match &model.task {
            Task::Classify { labels } => Values::Text(vec![labels.get(*label)?.clone()]),
            _ => return None,
        },
        (Prediction::Class { probabilities, .. }, OutputName::Probabilities) => {
            Values::Fp32(std::mem::take(probabilities))
        }
        (Prediction::Anomaly { score, .. }, OutputName::Score) => Values::Fp32(vec![*score]),
        (Prediction::Anomaly { is_anomaly, .. }, OutputName::Anomaly) => Values::Bool(vec![*is_anomaly]),
        _ => return None,
    })
}

/// Refuses numbers that are none. They come from values so large that what follows from them does not fit.
fn check_finite(values: &[f32]) -> Result<(), Fault> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    let message = "the prediction from these values does not fit 32 bits; send smaller values";
    Err(Fault::new(Code::TensorNotFinite, message))
}

fn broken_promise() -> Fault {
    Fault::new(Code::Internal, "the model answered with another shape than it declares")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{description, forecaster, spiking_forecaster};
    use spinwell_engine::{Activity, Forecast};
    use spinwell_protocol::Packing;

    fn forecast(from: f32) -> Prediction {
        Prediction::Forecast(Forecast {
            forecast: vec![from, from + 1.0],
            lower: vec![from - 1.0, from],
            upper: vec![from + 1.0, from + 2.0],
            direction: vec![0, 1],
            confidence: vec![0.5, 0.75],
            activity: None,
        })
    }

    /// The outputs named, joined over these predictions.
    fn check(
        model: &ModelDescription,
        names: &[&str],
        predictions: &[Prediction],
        wanted: Result<&[Values], Code>,
    ) {
        let names = names.iter().map(|name| (*name, None));
        let outputs = Outputs::requested(names, Packing::Json, model).unwrap();
        let got = gather(model, &outputs, predictions.iter().cloned().map(Ok).collect());
        let got = got.map(|all| {
            assert_eq!(all.batch, predictions.len());
            all.tensors.into_iter().map(|tensor| tensor.values).collect::<Vec<_>>()
        });
        assert_eq!(got.map_err(|fault| fault.code()), wanted.map(<[_]>::to_vec), "{predictions:?}");
    }

    #[test]
    fn the_named_outputs_of_all_windows_are_joined_in_order() {
        let model = forecaster(2);
        check(&model, &["upper"], &[forecast(1.0)], Ok(&[Values::Fp32(vec![2.0, 3.0])]));
        check(
            &model,
            &["direction", "forecast", "confidence"],
            &[forecast(1.0), forecast(5.0)],
            Ok(&[
                Values::Int8(vec![0, 1, 0, 1]),
                Values::Fp32(vec![1.0, 2.0, 5.0, 6.0]),
                Values::Fp32(vec![0.5, 0.75, 0.5, 0.75]),
            ]),
        );
    }

    #[test]
    fn classes_and_anomalies_become_tensors_too() {
        let class = |label| Prediction::Class { label, probabilities: vec![0.25, 0.75] };
        let classifier = description(Task::Classify { labels: vec!["still".into(), "shaking".into()] });
        check(
            &classifier,
            &[],
            &[class(1), class(0)],
            Ok(&[
                Values::Text(vec!["shaking".into(), "still".into()]),
                Values::Fp32(vec![0.25, 0.75, 0.25, 0.75]),
            ]),
        );
        check(&classifier, &["label"], &[class(2)], Err(Code::Internal));
        let nothing = forecast(f32::NAN);
        check(&forecaster(2), &["direction"], &[forecast(1.0), nothing], Err(Code::TensorNotFinite));
        let row = |score, is_anomaly| Prediction::Anomaly { score, is_anomaly };
        check(
            &description(Task::Detect { targets: vec!["c".into()], alpha: 0.01 }),
            &[],
            &[row(9.5, true), row(0.5, false)],
            Ok(&[Values::Fp32(vec![9.5, 0.5]), Values::Bool(vec![true, false])]),
        );
    }

    #[test]
    fn activity_stands_once_for_each_window_or_is_a_broken_promise() {
        let activity =
            |synchrony| Activity { rate: 0.1, synchrony, burst_rate: 0.25, dominant_frequency: 0.125 };
        let window = |activity| {
            let values = || vec![1.0];
            Prediction::Forecast(Forecast {
                forecast: values(),
                lower: values(),
                upper: values(),
                direction: vec![0],
                confidence: values(),
                activity,
            })
        };
        let (model, names) = (spiking_forecaster(), ["dominant_frequency", "synchrony", "burst_rate"]);
        check(
            &model,
            &names,
            &[window(Some(activity(0.5))), window(Some(activity(1.0)))],
            Ok(&[[0.125, 0.125], [0.5, 1.0], [0.25, 0.25]].map(|values| Values::Fp32(values.to_vec()))),
        );
        check(&model, &names[..1], &[window(None)], Err(Code::Internal));
    }

    #[test]
    fn what_contradicts_the_description_is_never_answered() {
        let model = forecaster(2);
        let odd = |change: fn(&mut Forecast)| {
            let Prediction::Forecast(mut own) = forecast(1.0) else { unreachable!() };
            change(&mut own);
            Prediction::Forecast(own)
        };
        check(&model, &[], &[odd(|own| own.lower.truncate(1))], Err(Code::Internal));
        check(
            &model,
            &["direction"],
            &[forecast(1.0), odd(|own| own.direction.clear())],
            Err(Code::Internal),
        );
        check(&model, &[], &[Prediction::Anomaly { score: 1.0, is_anomaly: false }], Err(Code::Internal));
        check(&model, &[], &[], Err(Code::Internal));
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_where_they_were_asked_for() {
        let model = forecaster(2);
        let Prediction::Forecast(mut own) = forecast(1.0) else { unreachable!() };
        own.upper[1] = f32::INFINITY;
        let huge = [Prediction::Forecast(own)];
        check(&model, &[], &huge, Err(Code::TensorNotFinite));
        check(&model, &["upper"], &huge, Err(Code::TensorNotFinite));
        check(&model, &["direction"], &huge, Ok(&[Values::Int8(vec![0, 1])]));
    }
}
