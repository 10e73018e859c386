//! Figures of classifiers as tables for people and as JSON for scripts.

use crate::output::{aligned, figure};
use serde_json::{Map, Value, json};
use spinwell_engine::classify::{
    ClassFigures, ClassifierCandidate, ClassifierFamily, ClassifyFigures, TrainedClassifier,
};

/// The comparison, one row a family: its candidate with the least log loss on left-out cases, or the one that is kept.
pub(super) fn comparison(trained: &TrainedClassifier, seconds: &dyn Fn(usize) -> f64) -> String {
    let heads = ["family", "tried", "accuracy", "log loss", "seconds"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let chosen = &trained.candidates[trained.chosen];
    for family in ClassifierFamily::ALL {
        let of_family: Vec<&ClassifierCandidate> =
            trained.candidates.iter().filter(|candidate| candidate.spec.family() == family).collect();
        let least =
            of_family.iter().copied().min_by(|a, b| a.log_loss_validation.total_cmp(&b.log_loss_validation));
        let is_kept = chosen.spec.family() == family;
        let shown = if is_kept { Some(chosen) } else { least };
        let Some(shown) = shown else { continue };
        let total: f64 = of_family.iter().map(|candidate| seconds(candidate.index)).sum();
        rows.push(vec![
            format!("{}{family}", if is_kept { "* " } else { "  " }),
            of_family.len().to_string(),
            figure(shown.accuracy_validation),
            figure(shown.log_loss_validation),
            format!("{total:.1}"),
        ]);
    }
    aligned(&rows)
}

/// How each class did.
pub(super) fn per_class(figures: &ClassifyFigures) -> String {
    let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), figure);
    let mut rows = vec![["label", "cases", "recall", "precision"].map(str::to_owned).to_vec()];
    rows.extend(figures.per_class.iter().map(|class| {
        vec![class.label.clone(), class.n.to_string(), share(class.recall), share(class.precision)]
    }));
    aligned(&rows)
}

/// The candidates of a search.
pub(super) fn candidates_json(trained: &TrainedClassifier, seconds: &dyn Fn(usize) -> f64) -> Value {
    let one = |candidate: &ClassifierCandidate| {
        json!({
            "family": candidate.spec.family().as_str(),
            "params": params_json(candidate.spec.parameters()),
            "penalty": candidate.penalty,
            "accuracy_validation": candidate.accuracy_validation,
            "log_loss_validation": candidate.log_loss_validation,
            "seconds": seconds(candidate.index),
        })
    };
    trained.candidates.iter().map(one).collect()
}

/// Hyper-parameters as an object.
pub(super) fn params_json<K: ToString>(pairs: impl IntoIterator<Item = (K, String)>) -> Value {
    let pairs = pairs.into_iter().map(|(key, value)| (key.to_string(), Value::String(value)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// Figures under the names of the contract.
pub(super) fn figures_json(figures: &ClassifyFigures) -> Map<String, Value> {
    let class = |class: &ClassFigures| json!({"label": class.label, "n": class.n, "recall": class.recall, "precision": class.precision});
    let pairs = [
        ("n", json!(figures.n)),
        ("accuracy", json!(figures.accuracy)),
        ("per_class", figures.per_class.iter().map(class).collect()),
        ("log_loss", json!(figures.log_loss)),
        ("confusion", json!(figures.confusion)),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
