//! From records to states: what the log says, done again.

use super::record::{Change, Record};
use super::{Resident, gone};
use crate::models::Models;
use spinwell_core::{Code, Fault, ModelHash, StateSource, UnixMillis};
use spinwell_engine::Scratch;
use spinwell_policy::sequence::{Known, Phase};
use spinwell_store::Position;

/// A sequence while records are folded into it.
pub(crate) struct Folded {
    resident: Option<Resident>,
    scratch: Scratch,
    /// Records up to here are in it, also where that left nothing.
    at: Position,
}

impl Folded {
    pub(crate) fn of(resident: Option<Resident>) -> Self {
        let at = resident.as_ref().map_or(Position(0), |resident| resident.position);
        Self { resident, scratch: Scratch::default(), at }
    }

    pub(crate) fn into_resident(self) -> Option<Resident> {
        self.resident
    }
}

/// Folds a record of that position into a sequence; one that is in it already changes nothing.
///
/// # Errors
/// Where the model is not here, or the record does not follow from what is.
pub(crate) fn fold(
    folded: &mut Folded,
    record: &Record<'_>,
    position: Position,
    models: &Models,
) -> Result<(), Fault> {
    if position <= folded.at {
        return Ok(());
    }
    let broken = |why: &str| {
        let name = record.key().map(|key| key.id.to_string()).unwrap_or_default();
        Fault::new(Code::FileCorrupt, format!("the step log contradicts itself on sequence {name:?}: {why}"))
    };
    let model_of = |hash: &[u8; 32]| {
        let hash = ModelHash(*hash);
        let key = record.key().ok_or_else(|| broken("it has no name"))?;
        models.of_hash(&hash).ok_or_else(|| gone(&key, &hash.to_string()))
    };
    let used = UnixMillis(record.used);
    let saved = folded.resident.as_ref().and_then(|resident| resident.saved);
    match &record.change {
        Change::Remove => folded.resident = None,
        Change::Put { hash, step, digest, state } => {
            let model = model_of(hash)?;
            let stateful = model.stateful.as_ref().ok_or_else(|| broken("its model keeps no state"))?;
            let state = stateful.restore(state).map_err(|error| broken(&error.to_string()))?;
            let known = Known { step: *step, digest: *digest, used, phase: Phase::Live };
            folded.resident = Some(Resident {
                model: model.clone(),
                state: Some(state),
                known,
                position,
                saved,
                source: StateSource::Snapshot,
            });
        }
        Change::Step { begins, ends, step, digest, rows } => {
            let rows = rows.series().ok_or_else(|| broken("a step has no rows"))?;
            let (model, mut state) = match (begins, folded.resident.take()) {
                (Some(hash), _) => (model_of(hash)?, None),
                (None, Some(resident)) => (resident.model, resident.state),
                (None, None) => return Err(broken("it goes on and was never begun")),
            };
            let stateful = model.stateful.as_ref().ok_or_else(|| broken("its model keeps no state"))?;
            if rows.channels() != model.description.channels.len() {
                return Err(broken("a step has other channels than its model"));
            }
            if begins.is_some() {
                state = Some(stateful.fresh());
            }
            let mut state = state.ok_or_else(|| broken("it goes on and has no state"))?;
            stateful.feed(&mut state, &rows, &mut folded.scratch);
            let phase = if *ends { Phase::Ended } else { Phase::Live };
            let known = Known { step: *step, digest: *digest, used, phase };
            let source = StateSource::Snapshot;
            folded.resident =
                Some(Resident { model: model.clone(), state: Some(state), known, position, saved, source });
        }
    }
    folded.at = position;
    Ok(())
}
