//! Running a batch, whatever is in it.
//!
//! Every request of a batch gets its own answer or its own fault. If the engine panics, which it promises not
//! to, the requests are run again one by one, so that the one that provokes the panic is the only one that
//! suffers; the executor lives on.

use crate::repository::Loaded;
use spinwell_core::{BatchShare, Code, Fault, Micros, NodeId, Series};
use spinwell_engine::{Forecast, Window};
use spinwell_protocol::{Forecasts, InferReply};
use spinwell_runtime::clock;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;
use tokio::sync::oneshot;

/// A request as it waits in the queue.
pub(crate) struct Job {
    /// What to predict from.
    pub(crate) series: Series,
    /// When it came.
    pub(crate) arrived: Instant,
    /// Where its answer goes.
    pub(crate) answer: oneshot::Sender<Result<InferReply, Fault>>,
}

impl Job {
    /// Whether somebody still waits for the answer.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    /// Ends the request without a prediction.
    pub(crate) fn refuse(self, fault: Fault) {
        // Whoever stopped waiting does not miss it.
        let _ = self.answer.send(Err(fault));
    }
}

/// Runs the requests together and answers each.
pub(crate) fn run(model: &Loaded, node: &NodeId, jobs: Vec<Job>) {
    let started = clock::now();
    match predict(model, &jobs) {
        Some(results) => answer(model, node, Ran { jobs, results, started, compute: clock::since(started) }),
        None if jobs.len() > 1 => {
            for job in jobs {
                run(model, node, vec![job]);
            }
        }
        None => {
            for job in jobs {
                job.refuse(Fault::new(
                    Code::Internal,
                    "the model failed on this request; the server goes on",
                ));
            }
        }
    }
}

/// A batch that has been run.
struct Ran {
    jobs: Vec<Job>,
    results: Vec<Result<Forecast, Fault>>,
    started: Instant,
    compute: Micros,
}

/// One result for each window of all jobs, or `None` where the model panicked or lost count.
fn predict(model: &Loaded, jobs: &[Job]) -> Option<Vec<Result<Forecast, Fault>>> {
    let windows: Vec<Window<'_>> = jobs
        .iter()
        .flat_map(|job| (0..job.series.batch()).map(|index| Window { series: &job.series, index }))
        .collect();
    // A model is immutable, so nothing half-changed can be left behind by a panic.
    let results = catch_unwind(AssertUnwindSafe(|| model.predictor.predict(&windows)));
    let results = results.ok().filter(|results| results.len() == windows.len());
    if results.is_none() {
        let (model, windows) = (&model.description.name, windows.len());
        tracing::error!(%model, requests = jobs.len(), windows, "the model failed on a batch");
    }
    results
}

fn answer(model: &Loaded, node: &NodeId, ran: Ran) {
    let windows = ran.results.len();
    let mut results = ran.results.into_iter();
    let mut counts = true;
    for job in ran.jobs {
        let own = gather(model, results.by_ref().take(job.series.batch()));
        let reply = own.map(|forecasts| InferReply {
            model: model.description.clone(),
            node: node.clone(),
            forecasts,
            queue: ran.started.saturating_duration_since(job.arrived).into(),
            compute: ran.compute,
            batch: BatchShare { windows, counts: std::mem::take(&mut counts) },
        });
        // Whoever stopped waiting does not miss it.
        let _ = job.answer.send(reply);
    }
}

/// The forecasts of one request's windows as one tensor each, or the first fault among them.
fn gather(
    model: &Loaded,
    results: impl ExactSizeIterator<Item = Result<Forecast, Fault>>,
) -> Result<Forecasts, Fault> {
    let batch = results.len();
    let values = batch * model.description.horizon * model.description.targets.len();
    let [forecast, lower, upper] = std::array::from_fn(|_| Vec::with_capacity(values));
    let mut all = Forecasts { batch, forecast, lower, upper };
    for result in results {
        let one = result?;
        all.forecast.extend_from_slice(&one.forecast);
        all.lower.extend_from_slice(&one.lower);
        all.upper.extend_from_slice(&one.upper);
    }
    let parts = [&all.forecast, &all.lower, &all.upper];
    if parts.iter().any(|part| part.len() != values) {
        return Err(Fault::new(Code::Internal, "the model answered with another shape than it declares"));
    }
    if parts.iter().any(|part| part.iter().any(|value| !value.is_finite())) {
        let message = "the prediction from these values does not fit 32 bits; send smaller values";
        return Err(Fault::new(Code::TensorNotFinite, message));
    }
    Ok(all)
}
