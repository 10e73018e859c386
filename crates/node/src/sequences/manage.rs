//! What callers may do with a sequence's state beside stepping it: take it away, put it back, remove it, fork it.

use super::record::{Change, NoState, Portable};
use super::{Durable, Entering, Held, Resident, Sequences, Turn, Unwritten, refused};
use crate::models::Models;
use crate::repository::Loaded;
use spinwell_core::{Code, Fault, ModelHash, SequenceKey, StateSource, UnixMillis};
use spinwell_engine::Scratch;
use spinwell_policy::sequence::{Asked, Decision, Known, Phase, Refusal, decide};
use spinwell_protocol::{StateAnswer, StateCall, StateRequest};
use spinwell_runtime::clock;
use spinwell_store::{Position, SequencePhase, SequenceRow};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Sequences {
    /// Does what a caller asks with the state of a sequence, in the turn that he has asked for. Whoever drops this gives up his
    /// turn, or his place in line; what changes a state goes on to its end.
    ///
    /// # Errors
    /// Where there is none, it is of another model, or it cannot be promised.
    pub(crate) async fn manage(
        self: Arc<Self>,
        entering: Entering,
        key: SequenceKey,
        call: StateCall,
        models: Models,
    ) -> Result<StateAnswer, Fault> {
        let StateCall { request, sent } = call;
        let puts = matches!(request, StateRequest::Put(_));
        // Also what cannot be had any more can be removed.
        let replaces = puts || request == StateRequest::Delete;
        let mut turn = self.arrive(entering, replaces, &models).await?;
        match self.refresh(&mut turn).await {
            // What is replaced need not be had any more.
            Err(fault) if !puts => return Err(fault),
            _ => {}
        }
        self.is_in_time(&turn, replaces, sent)?;
        match request {
            StateRequest::Get => {
                let (model, state, known) = self.live(&turn)?;
                let state = model.stateful.as_ref().map(|stateful| stateful.save(state)).unwrap_or_default();
                let (hash, step) = (model.description.hash, known.step);
                Ok(StateAnswer { step, state: Portable::new(hash, step, known.digest, &state).to_bytes() })
            }
            StateRequest::Put(bytes) => {
                to_its_end(async move { self.put(turn, &bytes, &models, sent).await }).await
            }
            StateRequest::Delete => to_its_end(async move { self.remove(turn, sent).await }).await,
            StateRequest::Fork { to } => {
                let (model, state, known) = self.live(&turn)?;
                let state = model.stateful.as_ref().map(|stateful| stateful.save(state)).unwrap_or_default();
                let (hash, step, digest) = (model.description.hash, known.step, known.digest);
                let target = SequenceKey { id: to, ..key };
                if target == turn.key {
                    return Err(Fault::new(
                        Code::RequestInvalid,
                        "a sequence cannot be forked to itself; name another id",
                    ));
                }
                // Given back before the other is asked for: two who fork crosswise would wait for each other.
                drop(turn);
                let mut other = self.arrive(self.table.enter(&target), true, &models).await?;
                self.refresh(&mut other).await?;
                if self.live(&other).is_ok() {
                    let message =
                        format!("there is a sequence {:?} already; remove it first", target.id.as_str());
                    return Err(Fault::new(Code::SequenceExists, message));
                }
                let place = async move {
                    self.place(other, &Portable::new(hash, step, digest, &state), &models, sent).await
                };
                to_its_end(place).await
            }
        }
    }

    /// Puts the state that somebody has sent where the turn is.
    async fn put(
        &self,
        turn: Turn,
        bytes: &[u8],
        models: &Models,
        sent: Option<UnixMillis>,
    ) -> Result<StateAnswer, Fault> {
        let portable = Portable::read(bytes).map_err(|why| {
            let message = match why {
                NoState::Foreign => "the body is no state of a sequence; send one as GET gave it",
                NoState::Damaged => {
                    "the state is damaged: it does not match its checksum; send one as GET gave it"
                }
            };
            Fault::new(Code::RequestInvalid, message)
        })?;
        self.place(turn, &portable, models, sent).await
    }

    /// Whether nobody has gone on with the sequence since this was sent: what lay in a node that stood still must not undo steps that
    /// another one has acknowledged since.
    fn is_in_time(&self, turn: &Turn, replaces: bool, sent: Option<UnixMillis>) -> Result<(), Fault> {
        let is_late = sent.zip(turn.known()).is_some_and(|(sent, known)| known.used > sent);
        match replaces && is_late {
            true => Err(refused(&turn.key, None, Refusal::Overtaken, self.options.idle_expiry)),
            false => Ok(()),
        }
    }

    /// The state of a sequence that goes on.
    fn live<'t>(&self, turn: &'t Turn) -> Result<(&'t Arc<Loaded>, &'t super::State, Known), Fault> {
        let idle = self.options.idle_expiry;
        let decided = decide(turn.known(), Asked::default(), clock::unix(), idle);
        let refusal = match (decided, turn.held()) {
            (Ok(Decision::Continue { .. }), Held::Here(resident)) => match &resident.state {
                Some(state) => return Ok((&resident.model, state, resident.known)),
                None => Refusal::Expired,
            },
            (Err(refusal), _) => refusal,
            _ => Refusal::Unknown,
        };
        Err(refused(&turn.key, None, refusal, idle))
    }

    /// Puts a state where the turn is.
    async fn place(
        &self,
        mut turn: Turn,
        portable: &Portable<'_>,
        models: &Models,
        sent: Option<UnixMillis>,
    ) -> Result<StateAnswer, Fault> {
        let hash = ModelHash(portable.hash);
        let model = models.of_hash(&turn.key.model, &hash);
        let model = model.ok_or_else(|| {
            let name = &turn.key.model;
            if !models.has(name) {
                return Fault::new(Code::ModelNotFound, format!("there is no model named {name}"));
            }
            let message =
                format!("the state is of another model ({hash}) than those named {} here", turn.key.model);
            Fault::new(Code::SequenceModel, message)
        })?;
        let stateful = model.stateful.as_ref();
        let stateful = stateful.ok_or_else(|| Fault::new(Code::NotOffered, "this model keeps no state"))?;
        let state = stateful.restore(&portable.state).map_err(|error| {
            Fault::new(Code::RequestInvalid, format!("the state cannot be used: {error}"))
        })?;
        // A forger's numbers may all be finite and still have no forecast.
        if !stateful.answer(&state, &mut Scratch::default()).0.is_finite() {
            let message = "the state cannot be used: what follows from its numbers does not fit 32 bits";
            return Err(Fault::new(Code::RequestInvalid, message));
        }
        let (step, digest, used) = (portable.step, portable.digest, used(&turn, sent));
        let change = Change::Put { hash: hash.0, step, digest, state: Cow::Borrowed(&portable.state) };
        let (was, saved) = match turn.held() {
            Held::Here(resident) => (resident.position, resident.saved),
            _ => (Position(0), None),
        };
        // Whoever goes away while the log writes leaves a sequence that is made again from what the log then holds.
        let before = turn.take();
        let position = match self.promise(&turn, used, change).await {
            Ok(written) => written.unwrap_or_else(|| self.unlogged(was)),
            Err(fault) => {
                turn.put(before);
                return Err(fault);
            }
        };
        let known = Known { step, digest, first_digest: 0, used, begun_at: used, phase: Phase::Live };
        let source = StateSource::Snapshot;
        let resident = Resident { model: model.clone(), state: Some(state), known, position, saved, source };
        turn.put(Held::Here(Box::new(resident)));
        Ok(StateAnswer { step, state: Vec::new() })
    }

    /// Removes a sequence. What the database still holds of it is overwritten by the next copy.
    async fn remove(&self, mut turn: Turn, sent: Option<UnixMillis>) -> Result<StateAnswer, Fault> {
        if matches!(turn.held(), Held::Unread | Held::Lost) {
            return self.remove_lost(turn, sent).await;
        }
        let (_, _, known) = self.live(&turn)?;
        let used = used(&turn, sent);
        let before = turn.take();
        let position = match self.promise(&turn, used, Change::Remove).await {
            Ok(written) => written,
            Err(fault) => {
                turn.put(before);
                return Err(fault);
            }
        };
        if let Held::Here(resident) = before {
            let position = position.unwrap_or_else(|| self.unlogged(resident.position));
            turn.put(Held::Here(Box::new(resident.removed(position, used.0))));
        }
        Ok(StateAnswer { step: known.step, state: Vec::new() })
    }

    /// Removes a sequence that cannot be made again: there is nothing in memory that the next copy could overwrite its row with.
    async fn remove_lost(&self, mut turn: Turn, sent: Option<UnixMillis>) -> Result<StateAnswer, Fault> {
        let row = self.read(&turn.key).await?;
        let (step, used) = (row.as_ref().map_or(0, |row| row.step), used(&turn, sent));
        let position = self.promise(&turn, used, Change::Remove).await?;
        if let (Some(row), Some(Durable::Local(local))) = (row, &self.durable) {
            let position = position.unwrap_or_else(|| self.unlogged(row.position));
            let (phase, state) = (SequencePhase::Ended, None);
            let over = SequenceRow { step: 0, digest: 0, position, used, phase, state, ..row };
            local.database.keep_sequences(&[over]).await.map_err(|error| error.fault())?;
        }
        // The next to ask finds what database and log say now.
        turn.put(Held::Unread);
        Ok(StateAnswer { step, state: Vec::new() })
    }

    /// Writes a change to the log, where there is one, and gives its position when it is on the disk.
    async fn promise(
        &self,
        turn: &Turn,
        used: UnixMillis,
        change: Change<'_>,
    ) -> Result<Option<Position>, Fault> {
        if !self.is_promised() {
            return Ok(None);
        }
        let (sender, written) = oneshot::channel();
        self.append(&turn.key, used, change, move |written| {
            let _ = sender.send(written.map_err(Unwritten::fault));
        });
        let lost = || Fault::new(Code::Internal, "the step log has lost a change; the server goes on");
        written.await.map_err(|_| lost())?.map(Some)
    }
}

/// Does what changes a state, whether or not the caller stays: one that is half put is none.
async fn to_its_end(
    change: impl Future<Output = Result<StateAnswer, Fault>> + Send + 'static,
) -> Result<StateAnswer, Fault> {
    let lost = |_| Err(Fault::new(Code::Internal, "the change was lost; the server goes on"));
    tokio::spawn(change).await.unwrap_or_else(lost)
}

/// When a sequence counts as used by what is done with it: as for steps.
fn used(turn: &Turn, sent: Option<UnixMillis>) -> UnixMillis {
    Asked { sent, ..Asked::default() }.used(turn.known(), clock::unix())
}
