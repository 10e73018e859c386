//! Detectors on the command line: the parts that `train`, `backtest`, `evaluate` and `predict` share.
//!
//! The commands are the forecasts' own; each hands over here once it knows the task, from `--task` or from the model.
//! Rows are judged as a stream, because alarms are for those who watch one; labels are only ever counted against.

pub(crate) mod backtest;
pub(crate) mod evaluate;
pub(crate) mod predict;
mod show;
pub(crate) mod train;

use crate::failure;
use crate::output::remark;
use crate::progress::Progress;
use crate::training_args::TrainingArgs;
use spinwell_core::{Code, Fault};
use spinwell_engine::data::Table;
use spinwell_engine::detect::train_detector;
use spinwell_engine::detect::{ALPHA, Detector, Events, TrainedDetector, Verdict, events, scored_rows};
use spinwell_engine::train::Options;
use std::ops::Range;

/// A row that was called an anomaly.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Alarm {
    row: usize,
    score: f64,
}

/// How many of some rows were judged, and how many of these were called anomalies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    judged: usize,
    anomalies: usize,
}

impl Count {
    fn of(verdicts: &[Option<Verdict>]) -> Self {
        let judged = verdicts.iter().flatten();
        Self {
            anomalies: judged.clone().filter(|verdict| verdict.is_anomaly).count(),
            judged: judged.count(),
        }
    }

    /// The share that was called anomalies, where any row was judged.
    fn share(self) -> Option<f64> {
        (self.judged > 0).then(|| self.anomalies as f64 / self.judged as f64)
    }
}

/// A file as a detector judged it.
#[derive(Debug)]
struct Judged<'t> {
    table: &'t Table,
    /// What is said of each row of the table; nothing of those that come too early or are missing.
    verdicts: Vec<Option<Verdict>>,
    /// Which rows lie inside a known anomaly, where that is known.
    labels: Option<Vec<bool>>,
    /// The first row that counts.
    first: usize,
}

impl<'t> Judged<'t> {
    fn by(detector: &Detector, table: &'t Table, labels: Option<Vec<bool>>, first: usize) -> Self {
        Self { table, verdicts: scored_rows(detector, table), labels, first }
    }

    fn count(&self) -> Count {
        Count::of(&self.verdicts[self.first..])
    }

    /// The rows that were called anomalies, in their order.
    fn alarms(&self) -> Vec<Alarm> {
        let rows = self.verdicts.iter().enumerate().skip(self.first);
        let alarm = |(row, verdict): (usize, &Option<Verdict>)| {
            verdict.filter(|verdict| verdict.is_anomaly).map(|verdict| Alarm { row, score: verdict.score })
        };
        rows.filter_map(alarm).collect()
    }

    /// What the alarms were worth, where the known anomalies are given.
    fn events(&self) -> Option<Events> {
        let alarms: Vec<bool> =
            self.verdicts.iter().map(|verdict| verdict.is_some_and(|verdict| verdict.is_anomaly)).collect();
        self.labels.as_ref().map(|labels| events(labels, &alarms, self.first))
    }

    fn is_inside(&self, row: usize) -> Option<bool> {
        self.labels.as_ref().map(|labels| labels[row])
    }

    /// The known anomalies, each a run of rows.
    fn windows(&self) -> Vec<Range<usize>> {
        let labels = self.labels.as_deref().unwrap_or_default();
        let runs = labels.chunk_by(|a, b| a == b).scan(0, |from, run| {
            let rows = *from..*from + run.len();
            *from = rows.end;
            Some((run[0], rows))
        });
        runs.filter(|(inside, _)| *inside).map(|(_, rows)| rows).collect()
    }
}

/// The alpha that was asked for.
fn alpha(training: &TrainingArgs) -> f64 {
    training.alpha.unwrap_or(ALPHA)
}

/// Trains on the first `rows` rows.
fn search(
    table: &Table,
    rows: usize,
    training: &TrainingArgs,
    options: &Options,
    progress: &Progress,
) -> anyhow::Result<TrainedDetector> {
    let found = train_detector(table, rows, alpha(training), options, progress);
    progress.finish();
    let trained = found.map_err(|error| failure::fault(error.code(), error))?;
    if trained.search.stopped_early {
        remark("the search was cut short; the best of the candidates that finished is kept");
    }
    Ok(trained)
}

/// Refuses a file in which no row could be judged.
fn check_judged(judged: &Judged<'_>, detector: &Detector, file: &str) -> anyhow::Result<()> {
    if judged.count().judged > 0 {
        return Ok(());
    }
    let text = format!(
        "{file}: no row of the {} from row {} on could be judged; the first that can be is the {}. of a file",
        judged.table.rows(),
        judged.first,
        detector.window_min()
    );
    Err(Fault::new(Code::SeriesTooShort, text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_alarms_and_windows_are_of_the_rows_that_count() {
        let table = Table {
            names: vec!["v".to_owned()],
            columns: vec![vec![0.0; 6]],
            times: None,
            missing: Vec::new(),
            notes: Vec::new(),
        };
        let said = |score| Some(Verdict { score, is_anomaly: score > 5.0 });
        let verdicts = vec![None, said(9.0), said(1.0), None, said(8.0), said(0.0)];
        let labels = Some(vec![true, true, false, false, true, false]);
        let judged = Judged { table: &table, verdicts, labels, first: 2 };
        assert_eq!(judged.count(), Count { judged: 3, anomalies: 1 });
        assert_eq!(judged.alarms(), [Alarm { row: 4, score: 8.0 }]);
        assert_eq!(judged.windows(), [0..2, 4..5]);
        let wanted = Events { windows_detected: 1, windows_total: 2, false_events: 0 };
        assert_eq!(judged.events(), Some(wanted));
        assert_eq!(Count { judged: 0, anomalies: 0 }.share(), None);
    }
}
