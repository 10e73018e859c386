//! How good a classifier is on labelled cases.

use super::cases::{Cases, Split};
use super::model::{Classifier, ClassifyError};
use rayon::prelude::*;

/// Probabilities below this count as this in the log-loss, which would otherwise be infinite for one sure error.
const PROBABILITY_MIN: f32 = 1e-7;

/// How a classifier did.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassifyFigures {
    /// Cases scored.
    pub n: usize,
    /// Share of cases that got their label.
    pub accuracy: f64,
    /// The classifier's labels, then those of the cases that it does not know and always gets wrong.
    pub per_class: Vec<ClassFigures>,
    /// Mean of -ln of the true label's probability.
    pub log_loss: f64,
    /// Cases of a true label (rows, as in `per_class`) by the label they got (columns, the classifier's).
    pub confusion: Vec<Vec<usize>>,
}

/// How a classifier did on one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassFigures {
    /// The label.
    pub label: String,
    /// Cases of it.
    pub n: usize,
    /// Share of its cases that got it; `None` without a case.
    pub recall: Option<f64>,
    /// Share of those that got it whose label it is; `None` where none got it.
    pub precision: Option<f64>,
}

/// Scores `classifier` on the cases of one split. Cases shorter than [`Classifier::window_min`] are scored as well.
/// Without cases every share is 0.
///
/// # Errors
/// Where the cases have other channels than the classifier.
pub fn score(classifier: &Classifier, cases: &Cases, split: Split) -> Result<ClassifyFigures, ClassifyError> {
    if classifier.channels().len() != cases.channels.len() {
        return Err(ClassifyError::Channels {
            values: cases.channels.len(),
            wanted: classifier.channels().len(),
            names: classifier.channels().join(", "),
        });
    }
    let known = classifier.labels();
    let unknown = cases.labels.iter().filter(|label| !known.contains(label));
    let labels: Vec<&String> = known.iter().chain(unknown).collect();
    let place = |label: &String| labels.iter().position(|other| *other == label);
    let places: Vec<usize> = cases.labels.iter().filter_map(place).collect();

    let scored: Vec<_> = cases.of(split).collect();
    let answers: Vec<_> = scored.par_iter().map(|case| classifier.answer(&case.values)).collect();
    let mut confusion = vec![vec![0; known.len()]; labels.len()];
    let mut loss = 0.0;
    for (case, answer) in scored.iter().zip(&answers) {
        let truth = places[case.label];
        confusion[truth][answer.label] += 1;
        let probability = answer.probabilities.get(truth).copied().unwrap_or(0.0);
        loss -= f64::from(probability.max(PROBABILITY_MIN)).ln();
    }
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let right: usize = (0..known.len()).map(|label| confusion[label][label]).sum();
    let per_class = labels
        .iter()
        .enumerate()
        .map(|(row, label)| {
            let hits = confusion[row].get(row).copied().unwrap_or(0);
            let n = confusion[row].iter().sum();
            let given = confusion.iter().filter_map(|truth| truth.get(row)).sum();
            ClassFigures { label: (*label).clone(), n, recall: share(hits, n), precision: share(hits, given) }
        })
        .collect();
    Ok(ClassifyFigures {
        n: scored.len(),
        accuracy: share(right, scored.len()).unwrap_or(0.0),
        per_class,
        log_loss: loss / scored.len().max(1) as f64,
        confusion,
    })
}
