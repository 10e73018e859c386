//! What a classifier costs: nothing of it steps from row to row of a stream, a whole series becomes features at once.
//!
//! These constants were fitted on an Intel Xeon with AVX-512 beside other programs, on which reservoirs took 1 to 2.5 times
//! what they are said to cost; on the machine of the other constants they may be as much too high.

use super::{StepCost, reservoirs};
use crate::classify::{Classifier, Extractor, Shape};

/// To standardise a value and copy it.
const VALUE: f64 = 4.0;
/// To shift a series of one channel for a dilation, a row.
const SHIFT: f64 = 2.0;
/// To convolve a row of one channel by one kernel.
const CONVOLVE: f64 = 0.35;
/// To put a row of a convolution into its lane, and the same where the lanes outgrow the first cache.
const LANE: f64 = 0.4;
const LANE_FAR: f64 = 4.0;
/// Bytes of the first cache, and of a row in lanes.
const FIRST_CACHE: f64 = 32_768.0;
const LANES_ROW: f64 = 64.0;
/// To compare a row with one threshold.
const COMPARE: f64 = 0.2;
/// To add a unit's state to its sums, a row and direction.
const POOL: f64 = 1.0;
/// A weight of the readout, in 64 bits: with many labels they come from the third cache.
const LABEL_WEIGHT: f64 = 0.3;
/// A label's exponential.
const LABEL: f64 = 50.0;
/// To begin a series and to hand its answer over.
const SERIES: f64 = 1500.0;

impl Classifier {
    /// What it costs to serve a series as long as the shortest training case, twice [`Classifier::window_min`] rows. A
    /// step is a row's share of that; together nothing is won, for series are answered one after the other.
    #[must_use]
    pub fn cost(&self) -> StepCost {
        let rows = self.rows_typical();
        let window_us = self.cost_us_of(rows);
        let row_us = window_us / rows as f64;
        StepCost { alone_us: row_us, together_us: row_us, window_us }
    }

    /// Rows of a typical series.
    pub(crate) fn rows_typical(&self) -> usize {
        2 * self.window_min()
    }

    fn cost_us_of(&self, rows: usize) -> f64 {
        let (parts, rows) = (self.parts(), rows as f64);
        let channels = parts.channels.len() as f64;
        let blocks = parts.blocks.iter().map(|block| match block {
            Extractor::Values(shape) => rows * of_shape(shape, rows),
            Extractor::Differences(shape) => rows * (of_shape(shape, rows) + channels),
            Extractor::Echo(echo) => {
                2.0 * rows * (reservoirs::of_echo(echo).alone + POOL * echo.units() as f64)
            }
        });
        let features = parts.padded_len() as f64;
        let labels = parts.labels.len() as f64 * (LABEL_WEIGHT * features + LABEL);
        (SERIES + VALUE * channels * rows + blocks.sum::<f64>() + features + labels) / 1e3
    }
}

/// A row of convolutions and of their comparisons, in a series of so many rows.
fn of_shape(shape: &Shape, rows: f64) -> f64 {
    let dilations = shape.dilations.len() as f64;
    let kernels = (shape.subset_starts.len() - 1) as f64;
    let bytes = LANES_ROW * rows;
    let far = (bytes - FIRST_CACHE).max(0.0) / bytes;
    SHIFT * dilations * shape.channels as f64
        + CONVOLVE * shape.subsets.len() as f64
        + (LANE * (1.0 - far) + LANE_FAR * far) * kernels
        + COMPARE * shape.thresholds.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::tests::OFF_MAX;
    use crate::classify::{
        CaseColumns, Classifier, ClassifierChoice, ClassifierFamily, ClassifyObserver, ClassifyOptions,
        ClassifySettings, read_cases, train_classifier,
    };

    fn classifier(family: ClassifierFamily, pairs: &[&str], rows: usize, labels: usize) -> Classifier {
        let times: Vec<String> = (0..rows).map(|t| format!("t{t}")).collect();
        let mut csv = format!("label,{}\n", times.join(","));
        for case in 0..4 * labels {
            let speed = 0.1 + 0.5 * (case % labels) as f64 / labels as f64;
            let wave = |t: usize| ((t + 3 * case) as f64 * speed).sin().to_string();
            csv += &format!("{},{}\n", case % labels, (0..rows).map(wave).collect::<Vec<_>>().join(","));
        }
        let cases = read_cases(csv.as_bytes(), &CaseColumns::default()).unwrap();
        let settings = ClassifySettings::parse(pairs.iter().copied().chain(["penalty=1"])).unwrap();
        let family = ClassifierChoice::Only(family);
        let options = ClassifyOptions { family, trials: 1, settings, ..ClassifyOptions::default() };
        train_classifier(&cases, &options, ClassifyObserver::SILENT).unwrap().classifier
    }

    #[test]
    fn a_series_costs_what_was_measured() {
        // The least of four runs of `engine_speed --cost` on the machine that the constants are of.
        for (family, pairs, rows, measured) in [
            (ClassifierFamily::Shape, &["form=values", "features=2016"][..], 150, 0.39),
            (ClassifierFamily::Shape, &["form=values", "features=10080"], 150, 1.46),
            (ClassifierFamily::Shape, &["form=values", "features=10080"], 1000, 4.68),
            (ClassifierFamily::Shape, &["form=both", "features=10080"], 300, 2.07),
            (ClassifierFamily::Echo, &["units=300", "density=0.1"], 150, 3.28),
        ] {
            let cost = classifier(family, pairs, rows, 3).cost();
            let off = (cost.alone_us / measured).max(measured / cost.alone_us);
            assert!(off < OFF_MAX, "{pairs:?}, {rows} rows: {} us a row, measured {measured}", cost.alone_us);
            assert!((cost.window_us / rows as f64 / cost.alone_us - 1.0).abs() < 1e-9, "{cost:?}");
            assert!(cost.together_us == cost.alone_us);
        }
    }

    #[test]
    fn more_of_anything_costs_more_and_the_same_model_the_same() {
        let shape = |pairs: &[&str], rows, labels| classifier(ClassifierFamily::Shape, pairs, rows, labels);
        let (few, many) = (&["form=values", "features=672"][..], &["form=values", "features=2016"][..]);
        let own = shape(few, 60, 2);
        let us = own.cost().window_us;
        for (name, other) in [
            ("features", shape(many, 60, 2)),
            ("rows", shape(few, 120, 2)),
            ("labels", shape(few, 60, 6)),
            ("differences", shape(&["form=differences", "features=672"], 60, 2)),
        ] {
            assert!(other.cost().window_us > us, "{name}: {:?} {us}", other.cost());
        }
        assert_eq!(Classifier::from_bytes(&own.to_bytes()).unwrap().cost(), own.cost());
        assert_eq!(crate::AnyModel::Classifier(own.clone()).cost(), own.cost());
    }
}
