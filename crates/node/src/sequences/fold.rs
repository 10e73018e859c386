//! From records to states: what the log says, done again.

use super::cover::Cover;
use super::record::{Change, Record};
use super::{Resident, gone};
use crate::models::Models;
use spinwell_core::{Code, Fault, ModelHash, StateSource, UnixMillis};
use spinwell_engine::Scratch;
use spinwell_policy::sequence::{Known, Phase};
use spinwell_runtime::clock;
use spinwell_store::Position;

/// A sequence while records are folded into it.
pub(crate) struct Folded {
    /// What the records make, or why they make nothing. A record that begins the sequence anew mends that.
    made: Result<Option<Resident>, Fault>,
    scratch: Scratch,
    /// Records up to here are in it, also where that left nothing.
    at: Position,
}

impl Folded {
    /// Begins with what the database holds.
    pub(crate) fn of(made: Result<Option<Resident>, Fault>) -> Self {
        let at =
            made.as_ref().ok().and_then(Option::as_ref).map_or(Position(0), |resident| resident.position);
        Self { made, scratch: Scratch::default(), at }
    }

    /// What all records make.
    ///
    /// # Errors
    /// Where the model is not here, or the records do not follow from what was before.
    pub(crate) fn into_resident(self) -> Result<Option<Resident>, Fault> {
        self.made
    }

    /// Folds the record of an entry in. Gives when it was used, and nothing where it is none; where it is covered and does not open, that is
    /// what becomes of the sequence.
    pub(crate) fn fold_entry(
        &mut self,
        entry: &[u8],
        position: Position,
        cover: &Cover,
        models: &Models,
    ) -> Option<UnixMillis> {
        match cover.record_of(entry) {
            Ok(plain) => {
                let record = Record::read(&plain)?;
                self.fold(&record, position, models);
                Some(UnixMillis(record.used))
            }
            Err(fault) => {
                // One that was erased may go like any that nobody uses; of others that must not be thought.
                let used = (fault.code() != Code::DataErased).then(clock::unix);
                self.fail(position, fault);
                used
            }
        }
    }

    /// The record of that position cannot be had, for this reason.
    pub(crate) fn fail(&mut self, position: Position, fault: Fault) {
        if position > self.at {
            (self.at, self.made) = (position, Err(fault));
        }
    }

    /// Folds a record of that position in; one that is in it already changes nothing.
    pub(crate) fn fold(&mut self, record: &Record<'_>, position: Position, models: &Models) {
        if position <= self.at {
            return;
        }
        self.at = position;
        let before = std::mem::replace(&mut self.made, Ok(None));
        self.made = match &record.change {
            // Over, whatever it was before.
            Change::Remove => {
                Ok(before.ok().flatten().map(|resident| resident.removed(position, record.used)))
            }
            Change::Step { begins: None, ends: true, .. } | Change::End if !matches!(before, Ok(Some(_))) => {
                Ok(None)
            }
            Change::Step { begins: None, .. } if before.is_err() => before,
            change => {
                let before = before.ok().flatten();
                apply(before, change, record, position, models, &mut self.scratch).map(Some)
            }
        };
    }
}

/// What a step or a put makes of a sequence.
fn apply(
    before: Option<Resident>,
    change: &Change<'_>,
    record: &Record<'_>,
    position: Position,
    models: &Models,
    scratch: &mut Scratch,
) -> Result<Resident, Fault> {
    let broken = |why: &str| {
        let name = record.key().map(|key| key.id.to_string()).unwrap_or_default();
        let message = format!(
            "the step log contradicts itself on sequence {name:?}: {why}; begin it anew with sequence_start, or remove it with DELETE"
        );
        Fault::new(Code::FileCorrupt, message)
    };
    let model_of = |hash: &[u8; 32]| {
        let hash = ModelHash(*hash);
        let key = record.key().ok_or_else(|| broken("it has no name"))?;
        models.of_hash(&key.model, &hash).ok_or_else(|| gone(&key, &hash.to_string()))
    };
    let used = UnixMillis(record.used);
    let saved = before.as_ref().and_then(|resident| resident.saved);
    let (model, state, known) = match change {
        Change::Remove => return Err(broken("a removal makes nothing")),
        Change::End => {
            let resident = before.ok_or_else(|| broken("it ends and was never begun"))?;
            (resident.model, resident.state, Known { used, phase: Phase::Ended, ..resident.known })
        }
        Change::Put { hash, step, digest, state } => {
            let model = model_of(hash)?;
            let stateful = model.stateful.as_ref().ok_or_else(|| broken("its model keeps no state"))?;
            let state = stateful.restore(state).map_err(|error| broken(&error.to_string()))?;
            let (step, digest) = (*step, *digest);
            (
                model,
                Some(state),
                Known { step, digest, first_digest: 0, used, begun_at: used, phase: Phase::Live },
            )
        }
        Change::Step { begins, ends, step, digest, rows } => {
            let rows = rows.series().ok_or_else(|| broken("a step has no rows"))?;
            let begun_at = match (begins, &before) {
                (None, Some(resident)) => resident.known.begun_at,
                _ => used,
            };
            let (model, state, first_digest) = match (begins, before) {
                (Some(hash), _) => (model_of(hash)?, None, *digest),
                (None, Some(resident)) if Some(*step) == resident.known.step.checked_add(1) => {
                    (resident.model, resident.state, resident.known.first_digest)
                }
                (None, Some(_)) => return Err(broken("steps are missing")),
                (None, None) => return Err(broken("it goes on and was never begun")),
            };
            let stateful = model.stateful.as_ref().ok_or_else(|| broken("its model keeps no state"))?;
            if rows.channels() != model.description.channels.len() {
                return Err(broken("a step has other channels than its model"));
            }
            let state = if begins.is_some() { Some(stateful.fresh()) } else { state };
            let mut state = state.ok_or_else(|| broken("it goes on and has no state"))?;
            stateful.feed(&mut state, &rows, scratch);
            let phase = if *ends { Phase::Ended } else { Phase::Live };
            let (step, digest) = (*step, *digest);
            (model, Some(state), Known { step, digest, first_digest, used, begun_at, phase })
        }
    };
    Ok(Resident { model, state, known, position, saved, source: StateSource::Snapshot })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::sequences::record::{Rows, digest};
    use spinwell_core::{Samples, SequenceId, SequenceKey, Series, TenantId};

    fn step(begins: Option<[u8; 32]>, ends: bool, step: u64) -> Change<'static> {
        let rows = Series::new(1, 1, 1, Samples::F32(vec![1.0])).unwrap();
        Change::Step { begins, ends, step, digest: digest(&rows), rows: Rows::of(&rows) }
    }

    /// What records make where the database holds nothing and no model is here.
    fn made(changes: Vec<Change<'static>>) -> Result<bool, Code> {
        let id = SequenceId::of_text("a").unwrap();
        let key = SequenceKey { tenant: TenantId("t".into()), model: "m".parse().unwrap(), id };
        let mut folded = Folded::of(Ok(None));
        for (place, change) in changes.into_iter().enumerate() {
            folded.fold(
                &Record::new(&key, UnixMillis(1), change),
                Position(1 + place as u64),
                &example::no_models(),
            );
        }
        folded.into_resident().map(|resident| resident.is_some()).map_err(|fault| fault.code())
    }

    #[test]
    fn what_is_over_needs_no_beginning_and_what_goes_on_does() {
        assert_eq!(made(vec![]), Ok(false));
        assert_eq!(made(vec![step(None, false, 7)]), Err(Code::FileCorrupt));
        assert_eq!(made(vec![step(None, false, 7), Change::Remove]), Ok(false));
        assert_eq!(made(vec![step(None, false, 7), step(None, true, 8)]), Ok(false));
        assert_eq!(made(vec![step(None, false, 7), Change::End]), Ok(false));
        assert_eq!(made(vec![Change::Remove, step(None, false, 7)]), Err(Code::FileCorrupt));
        assert_eq!(made(vec![step(Some([1; 32]), false, 1)]), Err(Code::SequenceModel));
        assert_eq!(made(vec![step(Some([1; 32]), false, 1), Change::Remove]), Ok(false));
    }
}
