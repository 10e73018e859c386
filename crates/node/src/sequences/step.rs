//! One step of a sequence, on an executor.

use super::record::{Change, Rows};
use super::{Held, Resident, Sequences, Turn, Unwritten};
use crate::executor::Job;
use crate::gather::gather;
use crate::repository::Loaded;
use spinwell_core::{BatchShare, Code, Fault, NodeId, StateSource, UnixMillis};
use spinwell_engine::Scratch;
use spinwell_policy::sequence::{Decision, Known, Phase};
use spinwell_protocol::{InferReply, SequenceReply};
use spinwell_runtime::clock;
use spinwell_store::Position;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a job does with its sequence.
pub(crate) struct Step {
    pub(crate) turn: Turn,
    pub(crate) decision: Decision,
    /// Whether the sequence is over after it.
    pub(crate) ends: bool,
    /// The digest of its rows.
    pub(crate) digest: u64,
    /// When it came.
    pub(crate) used: UnixMillis,
    /// Where the turn goes back to if another node has written first, so that the step can be tried again in its turn.
    pub(crate) back: oneshot::Sender<Turn>,
}

/// Takes the step and answers when it is promised. A step that is not taken leaves the sequence as it was.
pub(crate) fn take(
    sequences: &Sequences,
    model: &Arc<Loaded>,
    node: &NodeId,
    job: Job,
    step: Step,
    scratch: &mut Scratch,
) {
    let now = clock::now();
    if job.deadline <= now {
        return job
            .refuse(Fault::new(Code::DeadlineExceeded, "the deadline passed before the step was taken"));
    }
    if !job.is_wanted() {
        return;
    }
    let started = clock::now();
    let Step { mut turn, decision, ends, digest, used, back } = step;
    let Some(stateful) = &model.stateful else {
        return job.refuse(Fault::new(Code::Internal, "the model keeps no state"));
    };
    let before = turn.take();
    // A step that fails leaves a state half-changed; what was before takes its place again. Whatever ends here in another way
    // leaves the sequence lost, which is then made again from log and database.
    let was = before.clone();
    let (mut state, known, position, saved, source) = match (decision, before) {
        (Decision::Begin, before) => {
            let (position, saved) = match &before {
                Held::Here(resident) => (resident.position, resident.saved),
                _ => (Position(0), None),
            };
            let known =
                Known { step: 1, digest, first_digest: digest, used, begun_at: used, phase: Phase::Live };
            (stateful.fresh(), known, position, saved, StateSource::Cold)
        }
        (Decision::Continue { .. } | Decision::Repeat, Held::Here(resident)) => {
            let Resident { state: Some(state), mut known, position, saved, source, .. } = *resident else {
                return job.refuse(Fault::new(Code::Internal, "a sequence goes on and has no state"));
            };
            if let Decision::Continue { step } = decision {
                known = Known { step, digest, used, ..known };
            }
            (state, known, position, saved, source)
        }
        (_, other) => {
            turn.put(other);
            return job.refuse(Fault::new(Code::Internal, "a sequence goes on and is not here"));
        }
    };
    let is_ended_now = ends && known.phase == Phase::Live;
    let known = if is_ended_now { Known { phase: Phase::Ended, used, ..known } } else { known };
    let answered = catch_unwind(AssertUnwindSafe(|| {
        if decision != Decision::Repeat {
            stateful.feed(&mut state, &job.series, scratch);
        }
        stateful.answer(&state, scratch)
    }));
    let Ok((prediction, warming_up)) = answered else {
        tracing::error!(model = %model.description.name, sequence = %turn.key.id, "the model failed on a step");
        turn.put(was);
        return job.refuse(Fault::new(Code::Internal, "the model failed on this step; the server goes on"));
    };
    let predictions = match gather(&model.description, &job.outputs, vec![Ok(prediction)]) {
        Ok(predictions) => predictions,
        Err(fault) => {
            turn.put(was);
            return job.refuse(fault);
        }
    };
    let is_durable = sequences.is_promised();
    let reply = InferReply {
        model: model.description.clone(),
        node: node.clone(),
        profile: stateful.profile(),
        predictions,
        queue: started.saturating_duration_since(job.arrived).into(),
        compute: clock::since(started),
        batch: BatchShare { windows: 1, counts: true },
        sequence: Some(SequenceReply { step: known.step, source, durable: is_durable, warming_up }),
        receipt: None,
    };
    let resident = Resident {
        model: model.clone(),
        state: Some(state),
        known,
        position,
        saved,
        source: StateSource::Live,
    };
    let Job { series, answer, .. } = job;
    let send = move |reply| {
        // Whoever stopped waiting does not miss it; the step is taken all the same.
        let _ = answer.send(reply);
    };
    let change = match decision {
        Decision::Repeat => is_ended_now.then_some(Change::End),
        Decision::Begin | Decision::Continue { .. } => Some(Change::Step {
            begins: (decision == Decision::Begin).then_some(model.description.hash.0),
            ends,
            step: known.step,
            digest,
            rows: Rows::of(&series),
        }),
    };
    match change {
        Some(change) if is_durable => {
            let key = turn.key.clone();
            sequences.append(&key, used, change, move |written| match written {
                Ok(position) => {
                    turn.put(Held::Here(Box::new(Resident { position, ..resident })));
                    drop(turn);
                    send(Ok(reply));
                }
                // What is in hand is behind; it stays there, to be read anew.
                Err(fenced @ (Unwritten::Fenced | Unwritten::InDoubt)) => {
                    let _ = back.send(turn);
                    send(Err(fenced.fault()));
                }
                // What stood in the log before is promised, this is not.
                Err(failed) => {
                    turn.put(was);
                    drop(turn);
                    send(Err(failed.fault()));
                }
            });
        }
        change => {
            let position =
                if change.is_some() { sequences.unlogged(resident.position) } else { resident.position };
            turn.put(Held::Here(Box::new(Resident { position, ..resident })));
            drop(turn);
            send(Ok(reply));
        }
    }
}
