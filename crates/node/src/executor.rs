//! Running a batch, whatever is in it.
//!
//! Every request of a batch gets its own answer or its own fault. If the engine panics, which it promises not
//! to, the requests are run again one by one, so that the one that provokes the panic is the only one that
//! suffers; the executor lives on.
//!
//! A batch runs in [groups of windows](crate::batch), so that a request whose time has passed, or whose caller
//! has gone, stops costing anything soon and not at the end.

use crate::Predicted;
use crate::batch::{Batch, Part, Place};
use crate::gather::gather;
use crate::repository::Loaded;
use crate::sequences::{self, Sequences, Step};
use spinwell_core::{BatchShare, Code, Fault, NodeId, Series};
use spinwell_engine::{Scratch, Window};
use spinwell_protocol::{InferReply, Outputs};
use spinwell_runtime::clock;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// A request as it waits in the queue.
pub(crate) struct Job {
    /// What to predict from.
    pub(crate) series: Series,
    /// What to answer with.
    pub(crate) outputs: Outputs,
    /// When it came.
    pub(crate) arrived: Instant,
    /// When its answer is worth nothing any more.
    pub(crate) deadline: Instant,
    /// The model.
    pub(crate) model: Arc<Loaded>,
    /// What it does with its sequence, where it is a step of one.
    pub(crate) step: Option<Step>,
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

/// Runs requests of one model: windows together, steps one after the other, each answered. How many rows it ran of them.
pub(crate) fn run(sequences: &Sequences, node: &NodeId, mut jobs: Vec<Job>) -> usize {
    let steps: Vec<Job> = jobs.extract_if(.., |job| job.step.is_some()).collect();
    let model = jobs.first().map(|job| job.model.clone());
    let mut rows = model.map_or(0, |model| run_windows(&model, node, jobs));
    let mut scratch = Scratch::default();
    for mut job in steps {
        let model = job.model.clone();
        if let Some(step) = job.step.take() {
            rows += job.series.rows();
            sequences::take(sequences, &model, node, job, step, &mut scratch);
        }
    }
    rows
}

/// Runs the requests together and answers each.
fn run_windows(model: &Loaded, node: &NodeId, jobs: Vec<Job>) -> usize {
    let started = clock::now();
    let mut batch = Batch::of(jobs, model.windows_max());
    while let Some(group) = batch.next_group(clock::now()) {
        if let Some(predicted) = predict(model, &batch, &group) {
            batch.add(&group, predicted);
        } else {
            return run_alone(model, node, batch);
        }
    }
    let rows = batch.rows_run;
    answer(model, node, batch, started);
    rows
}

/// Runs each request of a batch that failed by itself; refuses it where it already was.
fn run_alone(model: &Loaded, node: &NodeId, batch: Batch) -> usize {
    let is_alone = batch.parts.len() == 1;
    let mut rows = batch.rows_run;
    for Part { job, .. } in batch.parts {
        if is_alone {
            job.refuse(Fault::new(Code::Internal, "the model failed on this request; the server goes on"));
        } else {
            rows += run_windows(model, node, vec![job]);
        }
    }
    rows
}

/// One result for each window of a group, or `None` where the model panicked or lost count.
fn predict(model: &Loaded, batch: &Batch, group: &[Place]) -> Option<Predicted> {
    let windows: Vec<Window<'_>> = group.iter().map(|&place| batch.window(place)).collect();
    // A model is immutable, so nothing half-changed can be left behind by a panic.
    let predicted = catch_unwind(AssertUnwindSafe(|| model.predictor.predict(&windows)));
    let predicted = predicted.ok().filter(|predicted| predicted.results.len() == windows.len());
    if predicted.is_none() {
        let (model, windows) = (&model.description.name, windows.len());
        tracing::error!(%model, requests = batch.parts.len(), windows, "the model failed on a batch");
    }
    predicted
}

/// Answers each request. The first whose answer is taken stands for the batch where batches are counted: an
/// answer that nobody takes is one that nobody counts.
fn answer(model: &Loaded, node: &NodeId, batch: Batch, started: Instant) {
    let compute = clock::since(started);
    let windows = batch.windows_run;
    let mut counts = true;
    for Part { job, results, profile } in batch.parts {
        let reply = gather(&model.description, &job.outputs, results).map(|predictions| InferReply {
            model: model.description.clone(),
            node: node.clone(),
            profile: profile.unwrap_or(model.description.profile),
            predictions,
            queue: started.saturating_duration_since(job.arrived).into(),
            compute,
            batch: BatchShare { windows, counts },
            sequence: None,
            receipt: None,
        });
        let is_prediction = reply.is_ok();
        let is_taken = job.answer.send(reply).is_ok();
        counts &= !(is_prediction && is_taken);
    }
}
