//! Copies states to the database, lets idle ones leave the memory, prunes the log, and expires what nobody uses.
//!
//! One thread. It never stops the sequences: each is copied while it rests, whatever the others do, and the log is read
//! again only behind what each sequence's own row holds. So a copy needs no moment at which all are still.

use super::aside::{Entry, gather};
use super::fold::Folded;
use super::record::{Record, key_of};
use super::{Durable, ENDED_KEPT, Entering, Held, Local, Resident, Sequences, Shared, Turn, of_row, shard};
use crate::models::Models;
use spinwell_core::{Code, Fault, Millis, ModelHash, SequenceKey, UnixMillis};
use spinwell_policy::sequence::{Phase, Role};
use spinwell_runtime::clock;
use spinwell_store::{Position, SequencePhase, SequenceRow};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Rows of one transaction.
const ROWS: usize = 256;
/// Bytes of log after which states are copied, whatever the time: what a restart has to do again.
const LOG_BYTES: u64 = 16 << 20;
/// How often it is looked whether there is something to do.
const TICK: Duration = Duration::from_millis(500);
/// Without use for so long, a state that is copied leaves the memory.
const LEAVES_AFTER: Millis = Millis(300_000);
/// How long a step may keep the log from being pruned; then it is tried again with the next copy.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the database is swept.
const SWEEP: Duration = Duration::from_secs(60);
/// How often it is said that sequences cannot be made again.
const TELLS_EVERY: Duration = Duration::from_secs(60);
/// How long entries of the shared log are kept at least though copies hold them: for whoever reads along, and for a node that asks
/// whether it had written one.
const LOG_KEPT: Millis = Millis(60_000);
/// Entries that are removed from the shared log by one statement, and sequences that are copied for a node that is gone.
const TOGETHER: (u32, u32) = (5000, 256);

/// What the keeper has seen.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// States copied to the database.
    pub(crate) copied: AtomicU64,
    /// Sequences that were given up because nobody used them.
    pub(crate) expired: AtomicU64,
    /// Sequences that cannot be made again, at the last copy.
    pub(crate) lost: AtomicU64,
}

/// The keeper's thread.
pub(crate) struct Keeper {
    stop: Mutex<Option<mpsc::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<Counters>,
}

impl Keeper {
    /// Starts keeping. `runtime` is what the database needs.
    pub(crate) fn start(
        sequences: Arc<Sequences>,
        durable: Durable,
        models: Models,
        runtime: Handle,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let counters = Arc::new(Counters::default());
        let counted = counters.clone();
        let work = Work { sequences, durable, models, runtime, counters: counted, told: Cell::new(None) };
        let thread = thread::Builder::new().name("sequences".to_owned()).spawn(move || work.run(&stopped))?;
        Ok(Self { stop: Mutex::new(Some(stop)), thread: Mutex::new(Some(thread)), counters })
    }

    /// States that it has copied, sequences that it has given up, and those that cannot be made again.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let Counters { copied, expired, lost } = &*self.counters;
        let [copied, expired, lost] = [copied, expired, lost].map(|count| count.load(Ordering::Relaxed));
        (copied, expired, lost)
    }

    /// Takes no more steps, copies everything once more and ends. Blocks.
    pub(crate) fn stop(&self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the keeper of sequences had died before it was stopped");
        }
    }
}

struct Work {
    sequences: Arc<Sequences>,
    durable: Durable,
    models: Models,
    runtime: Handle,
    counters: Arc<Counters>,
    /// When it was last said that sequences cannot be made again.
    told: Cell<Option<Instant>>,
}

impl Work {
    fn run(&self, stopped: &mpsc::Receiver<()>) {
        let mut copied = clock::now();
        let mut swept = clock::now();
        loop {
            let is_over = !matches!(stopped.recv_timeout(TICK), Err(RecvTimeoutError::Timeout));
            let now = clock::now();
            if is_over {
                match &self.durable {
                    Durable::Local(local) => local.log.close(),
                    Durable::Shared(shared) => shared.close(),
                }
            }
            let sweeps = !is_over && now.saturating_duration_since(swept) >= SWEEP;
            if is_over || sweeps || self.is_due(copied, now) {
                // Taken before the copy: whoever is used after it was not idle at this time, or is refused as expired.
                let civil = clock::unix();
                match self.copy() {
                    // What is swept is judged by its row, which must not be older than its last use.
                    Ok(true) if sweeps => self.sweep(civil),
                    Ok(_) => {}
                    Err(fault) => {
                        tracing::error!(code = %fault.code(), message = fault.message(), "states were not copied");
                    }
                }
                copied = now;
            }
            if is_over {
                return match &self.durable {
                    Durable::Local(local) => self.runtime.block_on(local.database.close()),
                    Durable::Shared(shared) => self.runtime.block_on(shared.store.close()),
                };
            }
            if sweeps {
                swept = now;
            }
        }
    }

    /// Whether states should be copied now: it is time, or the log has grown, or the memory is full.
    fn is_due(&self, copied: Instant, now: Instant) -> bool {
        let log = match &self.durable {
            Durable::Local(local) => local.log.bytes_since_rotation(),
            Durable::Shared(_) => 0,
        };
        now.saturating_duration_since(copied) >= self.sequences.options.snapshot_interval.into()
            || log >= LOG_BYTES
            || self.sequences.table.bytes() > self.sequences.options.memory_bytes
    }

    /// Copies what has changed and makes room. Gives whether all was copied.
    fn copy(&self) -> Result<bool, Fault> {
        match &self.durable {
            Durable::Local(local) => self.copy_here(local),
            Durable::Shared(shared) => self.copy_for_all(shared),
        }
    }

    /// Copies what this node owns, lets go of what it does not need, and prunes the log if that is its business.
    fn copy_for_all(&self, shared: &Shared) -> Result<bool, Fault> {
        let table = &self.sequences.table;
        for shard in 0..table.shards() {
            self.copy_those(|rows| self.collect(shard, rows))?;
            self.evict(shard);
        }
        self.copy_uncopied(shared)?;
        while shared.is_first() {
            let pruned = self.runtime.block_on(shared.store.prune(LOG_KEPT, TOGETHER.0));
            if pruned.map_err(|error| error.fault())? < u64::from(TOGETHER.0) {
                break;
            }
        }
        Ok(shared.is_first())
    }

    /// Copies sequences whose newest steps stand in the log alone for long: the node that took them is gone, and nobody has used
    /// them since.
    fn copy_uncopied(&self, shared: &Shared) -> Result<(), Fault> {
        let age = Millis(2 * self.sequences.options.snapshot_interval.0 + LOG_KEPT.0);
        let keys = self.runtime.block_on(shared.store.uncopied(&shared.owned(), age, TOGETHER.1));
        let mut rows = Vec::new();
        for key in keys.map_err(|error| error.fault())? {
            let entering = self.sequences.table.enter(&key);
            let arrived = self.runtime.block_on(self.sequences.arrive(entering, false, &self.models));
            // One that cannot be made is refused with its reason when somebody asks for it.
            if let Ok(turn) = arrived
                && let Held::Here(resident) = turn.held()
            {
                rows.push(row(&key, resident));
            }
        }
        self.keep(rows)
    }

    /// Copies every state that has changed, forgets the log before, and makes room. Gives whether all was copied.
    fn copy_here(&self, local: &Local) -> Result<bool, Fault> {
        let cut = local.log.rotate().map_err(|error| error.fault())?;
        let table = &self.sequences.table;
        let (mut is_whole, mut lost) = (true, Vec::new());
        for shard in 0..table.shards() {
            self.copy_those(|rows| self.collect(shard, rows))?;
            // What was in somebody's hand meanwhile has changes that stand before the cut, too.
            for keys in table.unsettled(shard).chunks(ROWS) {
                let mut rows = Vec::new();
                for key in keys {
                    let Some(turn) = self.turn(key) else {
                        tracing::warn!(sequence = %key.id, "a step takes so long that the step log is kept");
                        is_whole = false;
                        continue;
                    };
                    match turn.held() {
                        Held::Here(resident) => rows.push(row(key, resident)),
                        Held::Unread | Held::Absent => {}
                        Held::Lost => lost.push(turn),
                    }
                }
                self.keep(rows)?;
            }
            // Now and not at the end: a copy of many takes long, and others begin meanwhile.
            self.evict(shard);
        }
        let aside = self.make_again(local, &mut lost, cut)?;
        if is_whole {
            let kept = self.runtime.block_on(local.database.keep_log_copied(cut));
            kept.map_err(|error| error.fault())?;
        }
        let is_safe = self.runtime.block_on(local.database.force()).map_err(|error| error.fault())?;
        if is_safe && is_whole {
            // Whoever makes one of them again reads this file before the log, and has no turn until both are as they should be.
            local.aside.keep(&aside)?;
            local.log.forget_before(cut).map_err(|error| error.fault())?;
        }
        drop(lost);
        Ok(is_whole)
    }

    /// Makes lost sequences again as far as they can be. Gives the entries before the cut of those that cannot, which were used
    /// not too long ago: nothing else of them is anywhere.
    fn make_again(&self, local: &Local, lost: &mut [Turn], cut: Position) -> Result<Vec<Entry>, Fault> {
        let mut entries: HashMap<_, Vec<Entry>> =
            lost.iter().map(|turn| (turn.key.clone(), Vec::new())).collect();
        if !lost.is_empty() {
            local.aside.read(|position, entry| gather(&mut entries, position, entry))?;
            let read = local.log.read(Position(0), |position, entry| gather(&mut entries, position, entry));
            read.map_err(|error| error.fault())?;
        }
        let idle_since = clock::unix().before(self.sequences.options.idle_expiry);
        let (mut aside, mut rows, mut why) = (Vec::new(), Vec::new(), Vec::new());
        for turn in lost {
            let own = entries.remove(&turn.key).unwrap_or_default();
            let found =
                self.runtime.block_on(local.database.sequence(&turn.key)).map_err(|error| error.fault())?;
            let mut used = found.as_ref().map_or(UnixMillis(0), |row| row.used);
            let cover = &self.sequences.cover;
            let mut folded = Folded::of(of_row(found.as_ref(), &self.models, cover));
            for (position, entry) in &own {
                let folded = folded.fold_entry(entry, *position, cover, &self.models);
                used = used.max(folded.unwrap_or(UnixMillis(0)));
            }
            match folded.into_resident() {
                Ok(Some(resident)) => {
                    rows.push(row(&turn.key, &resident));
                    turn.put(Held::Here(Box::new(resident)));
                }
                Ok(None) => turn.put(Held::Absent),
                // Over like any other; its row is swept.
                Err(_) if used < idle_since => {
                    self.counters.expired.fetch_add(u64::from(found.is_none()), Ordering::Relaxed);
                    turn.put(Held::Unread);
                }
                Err(fault) => {
                    // The row is older than the entries, and must not be swept for that.
                    rows.extend(found.filter(|row| row.used < used).map(|row| SequenceRow { used, ..row }));
                    aside.extend(own.into_iter().filter(|(position, _)| *position < cut));
                    why.push((turn.key.clone(), fault));
                }
            }
        }
        self.keep(rows)?;
        self.tell(&why);
        Ok(aside)
    }

    /// Says which sequences cannot be made again, once a minute.
    fn tell(&self, lost: &[(SequenceKey, Fault)]) {
        self.counters.lost.store(lost.len() as u64, Ordering::Relaxed);
        let Some((key, fault)) = lost.first() else { return };
        let now = clock::now();
        if self.told.get().is_none_or(|told| now.saturating_duration_since(told) >= TELLS_EVERY) {
            let (count, sequence, message) = (lost.len(), key.id.as_str(), fault.message());
            tracing::error!(code = %fault.code(), count, sequence, message, "sequences cannot be made again; of one of them");
            self.told.set(Some(now));
        }
    }

    /// The keeper's own turn with a sequence, after those who wait for it already.
    fn turn(&self, key: &SequenceKey) -> Option<Turn> {
        match self.sequences.table.enter(key) {
            Entering::Now(turn) => Some(turn),
            Entering::Later(turn) => {
                self.runtime.block_on(async { timeout(PATIENCE, turn).await.ok()?.ok() })
            }
            Entering::Full => None,
        }
    }

    /// Copies what `collect` finds, some at a time, until it finds little.
    fn copy_those(&self, collect: impl Fn(&mut Vec<SequenceRow>)) -> Result<(), Fault> {
        loop {
            let mut rows = Vec::new();
            collect(&mut rows);
            let count = rows.len();
            self.keep(rows)?;
            if count < ROWS {
                return Ok(());
            }
        }
    }

    fn keep(&self, rows: Vec<SequenceRow>) -> Result<(), Fault> {
        let rows = self.covered(rows)?;
        if rows.is_empty() {
            return Ok(());
        }
        let kept = match &self.durable {
            Durable::Local(local) => self.runtime.block_on(local.database.keep_sequences(&rows)),
            Durable::Shared(shared) => {
                let rows: Vec<_> = rows.iter().map(|row| (shard(&row.key), row.clone())).collect();
                self.runtime.block_on(shared.store.keep_sequences(&rows))
            }
        };
        kept.map_err(|error| error.fault())?;
        for row in &rows {
            self.sequences.table.with(&row.key, |resident| resident.saved = Some(row.position));
        }
        self.counters.copied.fetch_add(rows.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// The rows, encrypted where that is wanted. What belongs to a tenant whose keys were erased leaves the memory instead.
    fn covered(&self, rows: Vec<SequenceRow>) -> Result<Vec<SequenceRow>, Fault> {
        let (mut covered, mut erased) = (Vec::with_capacity(rows.len()), HashSet::new());
        for mut row in rows {
            match self.sequences.cover.cover(&mut row) {
                Ok(()) => covered.push(row),
                Err(fault) if fault.code() == Code::DataErased => drop(erased.insert(row.key.tenant)),
                Err(fault) => return Err(fault),
            }
        }
        if !erased.is_empty() {
            self.sequences.table.let_go(|key| erased.contains(&key.tenant));
        }
        Ok(covered)
    }

    /// Rows of sequences in a shard that rest and are not copied.
    fn collect(&self, shard: usize, rows: &mut Vec<SequenceRow>) {
        self.sequences.table.visit(shard, |key, resident| {
            if rows.len() < ROWS && resident.is_dirty() && self.is_own(key) {
                rows.push(row(key, resident));
            }
        });
    }

    /// Whether it is this node that copies a sequence.
    fn is_own(&self, key: &SequenceKey) -> bool {
        match &self.durable {
            Durable::Local(_) => true,
            Durable::Shared(shared) => shared.role(key) == Role::Owner,
        }
    }

    /// Lets states of a shard leave the memory that are not used, or, where it has more than its share, those not used for
    /// longest.
    fn evict(&self, shard: usize) {
        let table = &self.sequences.table;
        let mut resting: Vec<(UnixMillis, usize)> = Vec::new();
        table.visit(shard, |_, resident| resting.push((resident.known.used, resident.bytes())));
        let bytes: usize = resting.iter().map(|(_, bytes)| bytes).sum();
        let mut over = bytes.saturating_sub(self.sequences.options.memory_bytes / table.shards());
        if over > 0 {
            resting.sort_unstable();
        }
        let mut before = clock::unix().before(LEAVES_AFTER);
        for (used, bytes) in resting {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(bytes);
            before = before.max(UnixMillis(used.0 + 1));
        }
        table.evict(shard, before, |key, resident| self.may_go(key, resident));
    }

    /// Whether a state is also elsewhere.
    fn may_go(&self, key: &SequenceKey, resident: &Resident) -> bool {
        !resident.is_dirty() || !self.is_own(key)
    }

    /// Gives up what was not used for too long, as of a time at which all was copied.
    fn sweep(&self, now: UnixMillis) {
        let idle = self.sequences.options.idle_expiry;
        let (idle_since, forget) = (now.before(idle), now.before(Millis(idle.0.saturating_mul(2))));
        let ended = now.before(ENDED_KEPT);
        let swept = match &self.durable {
            Durable::Local(local) => {
                self.runtime.block_on(local.database.sweep_sequences(idle_since, ended, forget))
            }
            Durable::Shared(shared) => {
                self.runtime.block_on(shared.store.sweep_sequences(idle_since, ended, forget))
            }
        };
        match swept {
            Ok(swept) => {
                self.counters.expired.fetch_add(swept.expired, Ordering::Relaxed);
            }
            Err(error) => tracing::error!(%error, "expired sequences were not swept"),
        }
        // Those in memory are over too; their rows were expired above, or are when they are copied.
        let table = &self.sequences.table;
        (0..table.shards()).for_each(|shard| {
            table.evict(shard, idle_since, |key, resident| self.may_go(key, resident));
        });
    }
}

/// A sequence as the database keeps it, not encrypted yet.
fn row(key: &SequenceKey, resident: &Resident) -> SequenceRow {
    let stateful = resident.model.stateful.as_ref();
    SequenceRow {
        key: key.clone(),
        hash: resident.model.description.hash,
        step: resident.known.step,
        digest: resident.known.digest,
        first_digest: resident.known.first_digest,
        begun_at: resident.known.begun_at,
        position: resident.position,
        used: resident.known.used,
        phase: kept(resident.known.phase),
        state: resident.state.as_ref().zip(stateful).map(|(state, model)| model.save(state)),
    }
}

fn kept(phase: Phase) -> SequencePhase {
    match phase {
        Phase::Live => SequencePhase::Live,
        Phase::Ended => SequencePhase::Ended,
        Phase::Expired => SequencePhase::Expired,
    }
}

/// What was brought back.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// Sequences that go on whose newest steps only the log held.
    pub(crate) sequences: usize,
    /// Models that the log's records or the database's states are of, by name and hash.
    pub(crate) models: HashSet<(String, ModelHash)>,
}

/// Brings into memory what the log holds beyond the database.
///
/// # Errors
/// Where log or database cannot be read. A sequence whose model is not here stays in the log, and is told of.
pub(crate) fn restore(
    sequences: &Sequences,
    durable: &Durable,
    models: &Models,
    runtime: &Handle,
) -> Result<Restored, Fault> {
    let durable = match durable {
        Durable::Local(local) => local,
        // Each is read when somebody asks for it. Models that are not here any more come from the store.
        Durable::Shared(_) => return Ok(Restored::default()),
    };
    let cover = &sequences.cover;
    let mut all: HashMap<SequenceKey, Folded> = HashMap::new();
    let kept = runtime.block_on(durable.database.models_of_sequences()).map_err(|error| error.fault())?;
    let mut restored = Restored { sequences: 0, models: kept.into_iter().collect() };
    let mut failed = None;
    let mut fold = |position, entry: &[u8]| {
        let mut is_unreadable = || {
            let message = "the step log holds records that this program cannot read";
            failed = Some(Fault::new(Code::FileFromTheFuture, message));
        };
        let Some(key) = key_of(entry) else { return is_unreadable() };
        let plain = cover.record_of(entry);
        let record = match &plain {
            Ok(plain) => match Record::read(plain) {
                Some(record) => Ok(record),
                None => return is_unreadable(),
            },
            // Of an erased tenant nothing comes back, and all others do.
            Err(fault) if fault.code() == Code::DataErased => Err(fault.clone()),
            Err(fault) => return failed = Some(fault.clone()),
        };
        if let Some(hash) = record.as_ref().ok().and_then(Record::begins) {
            restored.models.insert((key.model.to_string(), hash));
        }
        let folded = all.entry(key).or_insert_with_key(|key| {
            let row = runtime.block_on(durable.database.sequence(key)).unwrap_or_else(|error| {
                failed = Some(error.fault());
                None
            });
            Folded::of(of_row(row.as_ref(), models, cover))
        });
        match record {
            Ok(record) => folded.fold(&record, position, models),
            Err(fault) => folded.fail(position, fault),
        }
    };
    durable.aside.read(&mut fold)?;
    durable.log.read(Position(0), &mut fold).map_err(|error| error.fault())?;
    if let Some(fault) = failed {
        return Err(fault);
    }
    for (key, folded) in all {
        match folded.into_resident() {
            Ok(Some(resident)) => {
                restored.sequences += usize::from(resident.known.phase == Phase::Live);
                sequences.table.insert(key, Held::Here(Box::new(resident)));
            }
            Ok(None) => {}
            Err(fault) => {
                tracing::error!(code = %fault.code(), message = fault.message(), "a sequence stays in the log");
                sequences.table.insert(key, Held::Lost);
            }
        }
    }
    Ok(restored)
}
