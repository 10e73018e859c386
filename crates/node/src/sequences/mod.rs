//! Sequences: streams whose state the node keeps between requests.
//!
//! A step is applied by an executor to a state that nobody else can touch (`table`), written to the step log
//! (`record`), and answered when the log has it on the disk. States are copied to the database from time to time, which
//! makes old parts of the log superfluous and lets idle sequences leave the memory (`keeper`). After a restart, states
//! are what the database holds plus what the log holds beyond it, to the bit: a state is a fold of the rows it was fed.

mod aside;
mod cover;
mod fold;
mod keeper;
mod manage;
pub(crate) mod record;
mod shared;
mod stateful;
mod step;
mod table;

pub(crate) use keeper::{Keeper, restore};
pub(crate) use record::digest;
pub(crate) use shared::{Shared, shard};
pub(crate) use stateful::{State, Stateful};
pub(crate) use step::{Step, take};
pub(crate) use table::{Entering, Held, Resident, Table, Turn, WAITING_MAX};

use crate::models::Models;
use aside::Aside;
pub(crate) use cover::Cover;
pub use cover::RegionKeys;
use fold::Folded;
use record::{Change, Record, key_of};
use shared::Loaded;
use spinwell_core::{Code, Fault, Millis, SequenceKey, StateSource, UnixMillis};
use spinwell_policy::sequence::{Known, Phase, Refusal};
use spinwell_runtime::options::Sequences as Options;
use spinwell_store::postgres::Postgres;
use spinwell_store::{Database, DatabaseError, Lock, Log, LogError, Position, SequencePhase, SequenceRow};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;

/// How long it is remembered that a sequence has ended, for callers who repeat its last step.
pub(crate) const ENDED_KEPT: Millis = Millis(60_000);

/// How many times `memory_bytes` states may take while they leave the memory.
const OVER: usize = 2;

/// Where sequences outlive the process.
#[derive(Clone)]
pub(crate) enum Durable {
    /// On this machine's disk.
    Local(Local),
    /// In a log that all nodes of the region share.
    Shared(Arc<Shared>),
}

/// What outlives the process, opened.
pub(crate) enum Home {
    Local(Local, Cover),
    Shared(Postgres, Cover),
}

impl Home {
    /// Opens what the options name; nothing where sequences live in memory alone. Blocks.
    pub(crate) fn open(options: &crate::Options, runtime: &Handle) -> Result<Option<Self>, Fault> {
        if let Some(url) = &options.store {
            let store = runtime.block_on(Postgres::open(url.expose())).map_err(|error| error.fault())?;
            let cover = Cover::of_store(options.encryption.as_ref(), &store, runtime)?;
            return Ok(Some(Home::Shared(store, cover)));
        }
        let Some(folder) = &options.data else { return Ok(None) };
        let local = Local::open(folder, runtime)?;
        let cover = Cover::of_folder(options.encryption.as_ref(), folder)?;
        // Whoever has lost the keys, or was not given the root key, is told at once. So he is of entries of the log.
        for row in runtime.block_on(local.database.outermost_sequences()).map_err(|error| error.fault())? {
            match cover.uncover(&row) {
                Err(fault) if fault.code() != Code::DataErased => return Err(fault),
                _ => {}
            }
        }
        Ok(Some(Home::Local(local, cover)))
    }
}

/// A database and a log that nobody else uses.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) database: Database,
    pub(crate) log: Arc<Log>,
    /// What the log need not hold any more of sequences that cannot be made again.
    pub(crate) aside: Aside,
    /// Nobody else writes there meanwhile.
    _lock: Arc<Lock>,
}

/// Why a change is not in the log.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// Another node has written to the shard, and what the change was made of may be behind.
    Fenced,
    /// The same, after an answer of the log was lost: it may have taken the change before.
    InDoubt,
    /// It cannot be written.
    Failed(Fault),
}

impl Unwritten {
    pub(crate) fn fault(self) -> Fault {
        match self {
            Unwritten::Failed(fault) => fault,
            Unwritten::InDoubt => {
                let message = "the store was lost while it took the change: look at the sequence's state before you send it again";
                Fault::new(Code::DatabaseFailed, message)
            }
            Unwritten::Fenced => {
                let message = "another node has written to the sequence's shard at the same time; send the request again";
                Fault::new(Code::SequenceMoved, message).retry_after(Millis(10))
            }
        }
    }
}

impl Local {
    /// Opens database and log in a folder, making them where they are not there. Blocks.
    pub(crate) fn open(folder: &Path, runtime: &Handle) -> Result<Self, Fault> {
        let lock = Arc::new(Lock::take(folder).map_err(|error| error.fault())?);
        let path = folder.join("spinwell.db");
        let opened = runtime.block_on(async {
            let database = Database::open(&path).await?;
            let newest = database.newest_position().await?;
            let copied = database.log_copied().await?;
            Ok((database, newest, copied))
        });
        let (database, newest, copied) = opened.map_err(|error: DatabaseError| error.fault())?;
        let log = Log::open(&folder.join("sequences/log"), newest).map_err(|error| error.fault())?;
        if let Some(message) = lost_states(&path, copied, &log).map_err(|error| error.fault())? {
            tracing::warn!(message);
        }
        let aside = Aside::at(folder.join("sequences/aside"));
        Ok(Self { database, log: Arc::new(log), aside, _lock: lock })
    }
}

/// What is said where the log begins behind the entries that the database was given what came of, before which the log was
/// forgotten: it is another database, or an older one.
fn lost_states(database: &Path, copied: Option<Position>, log: &Log) -> Result<Option<String>, LogError> {
    let first = log.first()?;
    let copied = copied.unwrap_or(Position(1));
    Ok((first > copied).then(|| {
        let holds = match copied.0 {
            ..=1 => "nothing of any entry".to_owned(),
            copied => format!("what came of the entries before {copied} alone"),
        };
        format!(
            "the step log begins at entry {}, and {} holds {holds}: what became of sequences in between is gone. Stop the server \
             and put the database back from a copy, or go on, and begin those sequences anew",
            first.0,
            database.display(),
        )
    }))
}

/// All sequences of a node.
pub(crate) struct Sequences {
    pub(crate) table: Arc<Table>,
    pub(crate) durable: Option<Durable>,
    /// What encrypts what rests.
    pub(crate) cover: Cover,
    pub(crate) options: Options,
}

impl Sequences {
    pub(crate) fn new(table: Arc<Table>, durable: Option<Durable>, cover: Cover, options: Options) -> Self {
        Self { table, durable, cover, options }
    }

    /// Whether a step is answered only when a log has it.
    pub(crate) fn is_promised(&self) -> bool {
        match &self.durable {
            None => false,
            Some(Durable::Local(_)) => self.options.is_durable,
            Some(Durable::Shared(_)) => true,
        }
    }

    /// The log that other nodes write to as well, where it is that.
    pub(crate) fn shared(&self) -> Option<&Arc<Shared>> {
        match &self.durable {
            Some(Durable::Shared(shared)) => Some(shared),
            _ => None,
        }
    }

    /// Writes a change of a sequence that the caller has in hand to the log, which there must be. `done` learns its position when
    /// the log has it, on the log's own thread.
    pub(crate) fn append(
        &self,
        key: &SequenceKey,
        used: UnixMillis,
        change: Change<'_>,
        done: impl FnOnce(Result<Position, Unwritten>) + Send + 'static,
    ) {
        let record = Record::new(key, used, change);
        let begins = record.begins();
        let entry = match self.cover.entry(key, &record) {
            Ok(entry) => entry,
            Err(fault) => return done(Err(Unwritten::Failed(fault))),
        };
        match &self.durable {
            None => done(Err(Unwritten::Failed(Fault::new(Code::Internal, "there is no step log")))),
            Some(Durable::Local(local)) => local.log.append(entry, |written| {
                done(written.map_err(|error| Unwritten::Failed(error.fault_for_callers())));
            }),
            Some(Durable::Shared(shared)) => shared.append(key.clone(), begins, entry, done),
        }
    }

    /// The position of a change that is not written to the log: behind all that is, also what an earlier run has left there.
    pub(crate) fn unlogged(&self, after: Position) -> Position {
        let logged = match &self.durable {
            Some(Durable::Local(local)) => local.log.next(),
            _ => Position(0),
        };
        Position(after.0 + 1).max(logged)
    }

    /// Sees to it that what is in hand is what the log says now, where others write to it as well.
    pub(crate) async fn refresh(&self, turn: &mut Turn) -> Result<(), Fault> {
        let Some(shared) = self.shared() else { return Ok(()) };
        // Whoever leaves meanwhile leaves nothing behind that could be old.
        let held = turn.take();
        let has_it = matches!(held, Held::Here(_));
        turn.put(match shared.load(&turn.key, has_it).await? {
            Loaded::Same => held,
            Loaded::Now(found) => found.map_or(Held::Absent, Held::Here),
        });
        Ok(())
    }

    /// Asks for a turn and, when it has come, brings the sequence into memory. Where the caller `replaces` whatever is
    /// there, it does not matter that it cannot be had any more.
    pub(crate) async fn arrive(
        &self,
        entering: Entering,
        replaces: bool,
        models: &Models,
    ) -> Result<Turn, Fault> {
        let mut turn = match entering {
            Entering::Now(turn) => turn,
            Entering::Later(receiver) => receiver
                .await
                .map_err(|_| Fault::new(Code::Internal, "a turn was lost; the server goes on"))?,
            Entering::Full => {
                let message =
                    format!("{WAITING_MAX} requests wait for this sequence; send one after the other");
                return Err(Fault::new(Code::QueueFull, message).retry_after(Millis(100)));
            }
        };
        self.cover.is_ready_for(&turn.key.tenant.0).await?;
        if matches!(turn.held(), Held::Unread) {
            self.has_room()?;
        }
        let found = match turn.held() {
            Held::Absent | Held::Here(_) => return Ok(turn),
            Held::Unread | Held::Lost if self.shared().is_some() => match self.refresh(&mut turn).await {
                // Whatever is wrong with it, it does not matter any more.
                Err(fault) if replaces && fault.code() != Code::Stopping => Err(fault),
                read => return read.map(|()| turn),
            },
            Held::Unread => of_row(self.read(&turn.key).await?.as_ref(), models, &self.cover),
            Held::Lost => self.rebuild(&turn.key, models).await?,
        };
        let found = match found {
            // Left as it is, and gone only when something else has taken its place.
            Err(fault) if replaces => {
                let (sequence, message) = (turn.key.id.as_str(), fault.message());
                tracing::warn!(
                    sequence,
                    message,
                    "a sequence is begun anew or removed whose state cannot be had"
                );
                return Ok(turn);
            }
            found => found?,
        };
        turn.put(found.map_or(Held::Absent, |resident| Held::Here(Box::new(resident))));
        Ok(turn)
    }

    /// Whether one more may come into memory. Those that rest leave it as fast as they are copied, which may be slower than
    /// others come.
    fn has_room(&self) -> Result<(), Fault> {
        let most = self.options.memory_bytes.saturating_mul(OVER);
        if self.durable.is_none() || self.table.bytes() <= most {
            return Ok(());
        }
        let message = format!(
            "sequences in memory take more than {OVER} times sequences.memory_bytes = {} and leave it more slowly than others \
             come; try again",
            self.options.memory_bytes
        );
        Err(Fault::new(Code::QueueFull, message).retry_after(Millis(1000)))
    }

    async fn read(&self, key: &SequenceKey) -> Result<Option<SequenceRow>, Fault> {
        let Some(Durable::Local(local)) = &self.durable else { return Ok(None) };
        local.database.sequence(key).await.map_err(|error| error.fault())
    }

    /// Makes a state again of which steps had been promised: from the database, and from the log beyond it.
    ///
    /// # Errors
    /// Where one of them cannot be read; inside, where no state comes of what they hold.
    async fn rebuild(
        &self,
        key: &SequenceKey,
        models: &Models,
    ) -> Result<Result<Option<Resident>, Fault>, Fault> {
        let row = self.read(key).await?;
        let Some(Durable::Local(Local { log, aside, .. })) = &self.durable else { return Ok(Ok(None)) };
        let (log, aside) = (log.clone(), aside.clone());
        let (key, models, cover) = (key.clone(), models.clone(), self.cover.clone());
        let rebuilt = tokio::task::spawn_blocking(move || {
            let mut folded = Folded::of(of_row(row.as_ref(), &models, &cover));
            let mut fold = |position, entry: &[u8]| {
                if key_of(entry).as_ref() == Some(&key) {
                    folded.fold_entry(entry, position, &cover, &models);
                }
            };
            aside.read(&mut fold)?;
            log.read(Position(0), &mut fold).map_err(|error| {
                let fault = error.fault();
                tracing::error!(code = %fault.code(), %error, sequence = %key.id, "a sequence cannot be made again");
                error.fault_for_callers()
            })?;
            Ok(folded.into_resident())
        });
        rebuilt.await.unwrap_or_else(|_| Err(Fault::new(Code::Internal, "a state could not be made again")))
    }
}

/// What the database holds of a sequence. That it has ended is as good as nothing where no model is here to say it of.
fn of_row(row: Option<&SequenceRow>, models: &Models, cover: &Cover) -> Result<Option<Resident>, Fault> {
    let is_gone = |row: &SequenceRow| {
        row.phase == SequencePhase::Ended && models.of_hash(&row.key.model, &row.hash).is_none()
    };
    row.filter(|row| !is_gone(row)).map(|row| resident(row, models, cover)).transpose()
}

/// A sequence from the database.
pub(crate) fn resident(row: &SequenceRow, models: &Models, cover: &Cover) -> Result<Resident, Fault> {
    let model =
        models.of_hash(&row.key.model, &row.hash).ok_or_else(|| gone(&row.key, &row.hash.to_string()))?;
    let row = &*cover.uncover(row)?;
    let phase = match row.phase {
        SequencePhase::Live => Phase::Live,
        SequencePhase::Ended => Phase::Ended,
        SequencePhase::Expired => Phase::Expired,
    };
    let state = match (&row.state, &model.stateful) {
        (Some(bytes), Some(stateful)) => {
            let restored = stateful.restore(bytes).map_err(|error| {
                Fault::new(
                    error.code(),
                    format!("the state of sequence {} cannot be read: {error}", row.key.id),
                )
            })?;
            Some(restored)
        }
        _ => None,
    };
    let phase = if state.is_none() && phase == Phase::Live { Phase::Expired } else { phase };
    Ok(Resident {
        model,
        state,
        known: Known {
            step: row.step,
            digest: row.digest,
            first_digest: row.first_digest,
            used: row.used,
            begun_at: row.begun_at,
            phase,
        },
        position: row.position,
        saved: Some(row.position),
        source: StateSource::Snapshot,
    })
}

/// What is said where the model of a sequence is not served any more.
pub(crate) fn gone(key: &SequenceKey, hash: &str) -> Fault {
    let hash = &hash[..hash.len().min(12)];
    let message = format!(
        "sequence {:?} was begun with a model {} ({hash}..) that is not here any more; serve that file again, begin the sequence anew \
         with sequence_start, or remove it with DELETE",
        key.id.as_str(),
        key.model
    );
    Fault::new(Code::SequenceModel, message)
}

/// A refusal in words.
pub(crate) fn refused(key: &SequenceKey, asked: Option<u64>, refusal: Refusal, idle: Millis) -> Fault {
    let name = format!("sequence {:?} of model {}", key.id.as_str(), key.model);
    let step = asked.unwrap_or_default();
    match refusal {
        Refusal::Unknown => {
            Fault::new(Code::SequenceUnknown, format!("there is no {name}; begin one with sequence_start"))
        }
        Refusal::Ended => {
            Fault::new(Code::SequenceUnknown, format!("{name} has ended; begin it anew with sequence_start"))
        }
        Refusal::Expired => {
            let message =
                format!("{name} was not used for {idle} and has expired; begin it anew with sequence_start");
            Fault::new(Code::SequenceExpired, message)
        }
        Refusal::Overtaken => {
            let message = format!(
                "{name} was used or begun anew after this request was sent, which comes late; send it again if you still want it"
            );
            Fault::new(Code::SequenceOvertaken, message)
        }
        Refusal::StartsAtOne => {
            let message = format!("{name} begins with step 1, not {step}; leave sequence_step out or send 1");
            Fault::new(Code::SequenceStep, message).expected_step(1)
        }
        Refusal::Gap { expected } => {
            let message = format!("step {step} of {name} leaves a gap: step {expected} comes next");
            Fault::new(Code::SequenceStep, message).expected_step(expected)
        }
        Refusal::Old { expected } => {
            let mut message = format!(
                "step {step} of {name} was taken before and its answer is not kept; step {expected} comes next"
            );
            if step == 1 {
                message.push_str(
                    "; to begin it anew send sequence_start without sequence_step, or end the sequence first",
                );
            }
            Fault::new(Code::SequenceStep, message).expected_step(expected)
        }
        Refusal::OtherRows { expected } => {
            let message =
                format!("step {step} of {name} was taken with other rows; step {expected} comes next");
            Fault::new(Code::SequenceStep, message).expected_step(expected)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_pruned_misses_its_database_and_a_new_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Position(0)).unwrap();
        let path = Path::new("own/spinwell.db");
        let said = |log: &Log, copied| lost_states(path, copied, log).unwrap();
        assert_eq!(said(&log, None), None);
        let (sender, written) = std::sync::mpsc::channel();
        log.append(b"x".to_vec(), move |_| sender.send(()).unwrap());
        written.recv().unwrap();
        let cut = log.rotate().unwrap();
        assert_eq!(said(&log, None), None, "all of it is there");
        log.forget_before(cut).unwrap();
        drop(log);
        let log = Log::open(folder.path(), Position(0)).unwrap();
        assert_eq!(said(&log, Some(cut)), None);
        let empty = said(&log, None).unwrap();
        assert!(empty.contains("begins at entry 2, and own/spinwell.db holds nothing"), "{empty}");
        let older = said(&Log::open(folder.path(), Position(8)).unwrap(), Some(Position(2)));
        assert_eq!(older, None, "the old file is still there");
        drop(log);
        std::fs::remove_dir_all(folder.path()).unwrap();
        let older = said(&Log::open(folder.path(), Position(8)).unwrap(), Some(Position(5))).unwrap();
        assert!(
            older.contains("entry 9, and own/spinwell.db holds what came of the entries before 5"),
            "{older}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_empty_database_beside_a_log_that_was_pruned_is_told_from_one_that_has_all() {
        let folder = tempfile::tempdir().unwrap();
        let open = async || {
            let (path, runtime) = (folder.path().to_owned(), Handle::current());
            tokio::task::spawn_blocking(move || Local::open(&path, &runtime).unwrap()).await.unwrap()
        };
        let said = async |local: &Local| {
            let copied = local.database.log_copied().await.unwrap();
            lost_states(Path::new("spinwell.db"), copied, &local.log).unwrap()
        };
        let local = open().await;
        assert_eq!(said(&local).await, None);
        let (sender, written) = std::sync::mpsc::channel();
        local.log.append(b"x".to_vec(), move |_| sender.send(()).unwrap());
        written.recv().unwrap();
        // Of what was copied all was given up since: no row is left, and nothing is lost.
        let cut = local.log.rotate().unwrap();
        local.database.keep_log_copied(cut).await.unwrap();
        local.log.forget_before(cut).unwrap();
        local.database.close().await;
        drop(local);
        let local = open().await;
        assert_eq!(said(&local).await, None);
        local.database.close().await;
        drop(local);
        for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
            if file.file_name().to_string_lossy().starts_with("spinwell.db") {
                std::fs::remove_file(file.path()).unwrap();
            }
        }
        // A file, and nothing in it.
        std::fs::File::create(folder.path().join("spinwell.db")).unwrap();
        assert!(said(&open().await).await.is_some());
    }
}
