//! A batch while it runs: which windows go next, and which requests have become pointless.
//!
//! The engine is not interrupted; instead it is given a batch in groups of a bounded number of rows, and between
//! two groups the clock is read and the callers are looked at. How windows are grouped does not change a bit of
//! any prediction, the engine promises that.

use crate::executor::Job;
use crate::{Predicted, Prediction};
use spinwell_core::{Code, Fault, NumericProfile};
use spinwell_engine::Window;
use std::time::Instant;

/// Rows between two looks at the clock, some tens of milliseconds of work. Fewer would break up the windows
/// that the engine runs side by side; more would let a pointless request hold an executor longer.
const GROUP_ROWS: usize = 16 * 1024;
/// Windows that fill the lanes of a register: a group of a multiple of these leaves none empty.
const SIDE_BY_SIDE: usize = 16;

/// A request and the results of those of its windows that have run.
pub(crate) struct Part {
    pub(crate) job: Job,
    pub(crate) results: Vec<Result<Prediction, Fault>>,
    /// The arithmetic of the results; a card's where any of them is.
    pub(crate) profile: Option<NumericProfile>,
}

impl Part {
    fn is_finished(&self) -> bool {
        self.results.len() == self.job.series.batch()
    }
}

/// A window, by its request's place in the batch and its own in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    part: usize,
    window: usize,
}

/// Requests that run together.
pub(crate) struct Batch {
    /// Those that are still wanted, in order of arrival.
    pub(crate) parts: Vec<Part>,
    /// Windows of a group at most, so that their states fit the model's memory.
    windows_max: usize,
    /// Windows that the engine has run, of all requests that were ever part of the batch.
    pub(crate) windows_run: usize,
    /// Rows of those.
    pub(crate) rows_run: usize,
}

impl Batch {
    /// Requests that run together, in groups of so many windows at most.
    pub(crate) fn of(jobs: Vec<Job>, windows_max: usize) -> Self {
        let parts = jobs.into_iter().map(|job| Part { job, results: Vec::new(), profile: None }).collect();
        Self { parts, windows_max: windows_max.max(1), windows_run: 0, rows_run: 0 }
    }

    /// The windows to run next, after refusing what is late and dropping what nobody waits for. `None` where
    /// every window has run.
    pub(crate) fn next_group(&mut self, now: Instant) -> Option<Vec<Place>> {
        self.drop_pointless(now);
        let left = self.parts.iter().enumerate().flat_map(|(part, Part { job, results, .. })| {
            let windows = results.len()..job.series.batch();
            windows.map(move |window| (Place { part, window }, job.series.rows()))
        });
        let mut group = Vec::new();
        let mut rows = 0_usize;
        for (place, more) in left.take(self.windows_max) {
            rows = rows.saturating_add(more);
            if rows > GROUP_ROWS && !group.is_empty() {
                if group.len() > SIDE_BY_SIDE {
                    group.truncate(group.len() - group.len() % SIDE_BY_SIDE);
                }
                break;
            }
            group.push(place);
        }
        (!group.is_empty()).then_some(group)
    }

    pub(crate) fn window(&self, place: Place) -> Window<'_> {
        Window { series: &self.parts[place.part].job.series, index: place.window }
    }

    /// Keeps the results of a group, one for each of its windows.
    pub(crate) fn add(&mut self, group: &[Place], predicted: Predicted) {
        self.windows_run += group.len();
        let Predicted { results, profile } = predicted;
        for (place, result) in group.iter().zip(results) {
            let part = &mut self.parts[place.part];
            self.rows_run += part.job.series.rows();
            part.results.push(result);
            if part.profile != Some(NumericProfile::GpuF32) {
                part.profile = Some(profile);
            }
        }
    }

    /// What has all its results stays: its answer is ready, and whether it is late is for the gateway to say.
    fn drop_pointless(&mut self, now: Instant) {
        let is_pointless =
            |part: &mut Part| !part.is_finished() && (part.job.deadline <= now || !part.job.is_wanted());
        for Part { job, .. } in self.parts.extract_if(.., is_pointless) {
            job.refuse(Fault::new(
                Code::DeadlineExceeded,
                "the deadline passed while the model worked on the request",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Predictor;
    use crate::example::{forecaster, loaded};
    use spinwell_core::{Samples, Series};
    use spinwell_protocol::{InferReply, Outputs, Packing};
    use spinwell_runtime::clock;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::oneshot::{self, Receiver};

    /// A model that is not asked.
    struct Silent;

    impl Predictor for Silent {
        fn predict(&self, _: &[Window<'_>]) -> Predicted {
            Predicted { results: Vec::new(), profile: NumericProfile::CpuF32 }
        }
    }

    type Answer = Receiver<Result<InferReply, Fault>>;

    fn job(windows: usize, rows: usize, deadline: Instant) -> (Job, Answer) {
        let (answer, receiver) = oneshot::channel();
        let series = Series::new(windows, rows, 1, Samples::F32(vec![0.0; windows * rows])).unwrap();
        let outputs = Outputs::usual(&forecaster(1), Packing::Json);
        let model = loaded(forecaster(1), Arc::new(Silent));
        (Job { series, outputs, arrived: deadline, deadline, model, step: None, answer }, receiver)
    }

    fn prediction() -> Result<Prediction, Fault> {
        Ok(Prediction::Anomaly { score: 0.0, is_anomaly: false })
    }

    fn run_next(batch: &mut Batch, now: Instant) -> Option<usize> {
        let group = batch.next_group(now)?;
        let results = group.iter().map(|_| prediction()).collect();
        batch.add(&group, Predicted { results, profile: NumericProfile::CpuF32 });
        Some(group.len())
    }

    #[test]
    fn groups_hold_a_bounded_number_of_rows_and_few_windows_over() {
        let check_with = |windows_max: usize, requests: &[(usize, usize)], wanted: &[usize]| {
            let now = clock::now();
            let later = now + Duration::from_secs(1);
            let (jobs, _answers): (Vec<_>, Vec<_>) =
                requests.iter().map(|&(windows, rows)| job(windows, rows, later)).unzip();
            let mut batch = Batch::of(jobs, windows_max);
            let groups: Vec<usize> = std::iter::from_fn(|| run_next(&mut batch, now)).collect();
            assert_eq!(groups, wanted, "{requests:?}");
            assert!(batch.parts.iter().all(Part::is_finished));
        };
        let check = |requests: &[_], wanted: &[_]| check_with(usize::MAX, requests, wanted);
        check(&[(1, 10)], &[1]);
        check(&[(7, 100), (1, 200)], &[8]);
        check(&[(3, GROUP_ROWS)], &[1, 1, 1]);
        check(&[(2, GROUP_ROWS + 1), (1, 1)], &[1, 1, 1]);
        check(&[(70, GROUP_ROWS / 35)], &[32, 32, 6]);
        check(&[(5, GROUP_ROWS / 3)], &[3, 2]);
        check_with(3, &[(7, 10), (1, 10)], &[3, 3, 2]);
        check_with(0, &[(2, 10)], &[1, 1]);
    }

    #[test]
    fn the_late_and_the_abandoned_leave_between_groups() {
        let now = clock::now();
        let (soon, later) = (now + Duration::from_millis(1), now + Duration::from_secs(1));
        let (late, mut late_answer) = job(2, GROUP_ROWS, soon);
        let (gone, gone_answer) = job(2, GROUP_ROWS, later);
        let (good, mut good_answer) = job(1, 1, later);
        let mut batch = Batch::of(vec![late, gone, good], usize::MAX);
        assert_eq!(run_next(&mut batch, now), Some(1));
        drop(gone_answer);
        assert_eq!(run_next(&mut batch, soon), Some(1));
        assert_eq!(late_answer.try_recv().unwrap().unwrap_err().code(), Code::DeadlineExceeded);
        assert!(good_answer.try_recv().is_err(), "not answered yet, and not refused");
        // What is finished is not refused any more.
        assert_eq!(run_next(&mut batch, later), None);
        assert_eq!((batch.parts.len(), batch.windows_run, batch.rows_run), (1, 2, GROUP_ROWS + 1));
    }
}
