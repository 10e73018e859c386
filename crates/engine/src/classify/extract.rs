//! From a standardised series to features: the blocks of a classifier.

use super::series::Series;
use super::shape::{Buffers, Shape};
use super::spec::{ClassifierSpec, ShapeForm};
use super::{pool, shape};
use crate::echo::Echo;

/// One block of features.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Extractor {
    /// Convolutions of the values.
    Values(Shape),
    /// Convolutions of the changes from row to row.
    Differences(Shape),
    /// Pooled states of a reservoir.
    Echo(Echo<f32>),
}

impl Extractor {
    /// Draws the blocks of `spec` for training series of `channels` channels, convolutions first.
    pub(crate) fn draw(spec: &ClassifierSpec, series: &[Series], channels: usize) -> Vec<Self> {
        let mut blocks = Vec::new();
        if let Some(settings) = &spec.shape {
            // Each half of both forms keeps every kernel.
            let features = match settings.form {
                ShapeForm::Both => settings.features / 2,
                _ => settings.features,
            };
            let draw = |series: &[Series], salt: u64| {
                Shape::draw(series, &shape::Draw { channels, features, seed: settings.seed ^ salt })
            };
            if settings.form != ShapeForm::Differences {
                blocks.push(Extractor::Values(draw(series, 0)));
            }
            if settings.form != ShapeForm::Values {
                let changes: Vec<Series> = series.iter().map(|series| series.differences(channels)).collect();
                blocks.push(Extractor::Differences(draw(&changes, 1)));
            }
        }
        if let Some(settings) = &spec.echo {
            blocks.push(Extractor::Echo(Echo::draw(settings, channels)));
        }
        blocks
    }

    /// Number of features.
    pub(crate) fn len(&self) -> usize {
        match self {
            Extractor::Values(shape) | Extractor::Differences(shape) => shape.len(),
            Extractor::Echo(echo) => pool::len(echo),
        }
    }

    /// Appends the features of a series of `channels` channels to `features`.
    pub(crate) fn append(
        &self,
        series: &Series,
        channels: usize,
        buffers: &mut Buffers,
        features: &mut Vec<f32>,
    ) {
        match self {
            Extractor::Values(shape) => shape.features(series, buffers, features),
            Extractor::Differences(shape) => {
                shape.features(&series.differences(channels), buffers, features);
            }
            Extractor::Echo(echo) => pool::features(echo, series, features),
        }
    }
}
