//! The thread that reads and writes the shared log.

use super::reading::Synced;
use super::{Append, Command, Counts, Load, Loaded, Silence, ended, shard};
use crate::models::Models;
use crate::sequences::table::Table;
use crate::sequences::{Cover, Unwritten};
use spinwell_core::{Code, Fault, ModelHash, ModelName, SequenceKey};
use spinwell_policy::sequence::{Role, Roles, Tails};
use spinwell_runtime::clock;
use spinwell_store::postgres::{self, Appended, Postgres};
use spinwell_store::{DatabaseError, Position};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often the logs of followed shards are read: how far a standby may be behind.
const FOLLOW: Duration = Duration::from_millis(200);
/// Commands that are done together, and bytes of the entries among them: one statement writes them.
const TOGETHER: (usize, usize) = (1024, 8 << 20);
/// Sequences that a standby reads as a whole at a time: appends of this node wait meanwhile. Others are read with their next step, or
/// when they are asked for here.
const AT_ONCE: usize = 64;
/// Pauses between attempts while the store is away: the first one and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How long the store is tried when the node is to stop.
const LAST: Duration = Duration::from_secs(5);

pub(super) struct Follower {
    pub(super) store: Postgres,
    pub(super) runtime: Handle,
    /// Tells this process's entries from those of others, and of itself in an earlier life.
    pub(super) writer: u64,
    pub(super) table: Arc<Table>,
    pub(super) models: Models,
    pub(super) cover: Cover,
    pub(super) roles: Arc<Mutex<Roles>>,
    pub(super) counts: Arc<Counts>,
    pub(super) silence: Arc<Silence>,
    pub(super) is_ending: Arc<AtomicBool>,
    pub(super) tails: Tails,
    /// Models whose files the store is known to hold.
    pub(super) kept: HashSet<ModelHash>,
    /// Changes that begin with models whose files are on their way to the store. Files may be large, and other changes do not wait
    /// for them.
    pub(super) waiting: HashMap<ModelHash, Vec<Append>>,
    /// For whoever brings a file.
    pub(super) commands: mpsc::Sender<Command>,
    /// Whether the last attempt has failed: the log speaks of it once.
    pub(super) is_failing: bool,
}

impl Follower {
    /// The life of the thread.
    pub(super) fn run(mut self, commands: &mpsc::Receiver<Command>) {
        let mut read = clock::now();
        loop {
            let left = FOLLOW.saturating_sub(clock::now().saturating_duration_since(read));
            let first = match commands.recv_timeout(left) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (mut appends, mut loads, mut is_over) = (Vec::new(), Vec::new(), false);
            let mut bytes = 0;
            for command in first.into_iter().chain(commands.try_iter()) {
                match command {
                    Command::Append(append) => {
                        bytes += append.entry.len();
                        appends.push(append);
                    }
                    Command::Load(load) => loads.push(load),
                    Command::Roles => self.change_roles(),
                    Command::Kept(hash, kept) => appends.extend(self.released(hash, kept)),
                    Command::End => is_over = true,
                }
                if appends.len() + loads.len() >= TOGETHER.0 || bytes >= TOGETHER.1 || is_over {
                    break;
                }
            }
            if clock::now().saturating_duration_since(read) >= FOLLOW {
                self.follow();
                read = clock::now();
            }
            self.load(loads);
            self.append(appends);
            if is_over {
                let waiting = std::mem::take(&mut self.waiting).into_values().flatten();
                return waiting.for_each(|append| (append.done)(Err(Unwritten::Failed(ended()))));
            }
        }
    }

    pub(super) fn roles(&self) -> MutexGuard<'_, Roles> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of shards that this node is nothing to any more, and begins to follow those that it stands by for.
    fn change_roles(&mut self) {
        let roles = self.roles().clone();
        let others: BTreeSet<u16> = self
            .tails
            .iter()
            .map(|(shard, _)| shard)
            .filter(|shard| roles.of(*shard) == Role::None)
            .collect();
        others.iter().for_each(|shard| self.tails.forget(*shard));
        // Whoever has one of their sequences in hand finds that it has moved, and reads it anew.
        self.table.let_go(|key| others.contains(&shard(key)));
        let new: BTreeSet<u16> =
            roles.shards(Role::Standby).filter(|shard| self.tails.of(*shard).is_none()).collect();
        self.sync(&new, &[]);
    }

    /// Reads what others have written to the shards that are followed.
    fn follow(&mut self) {
        let all = self.tails.iter().map(|(shard, _)| shard).collect();
        let mut missing = self.sync(&all, &[]).missing;
        // What the standby does not have in memory yet it reads as a whole; meanwhile more may have come.
        for _ in 0..2 {
            if missing.is_empty() {
                return;
            }
            let keys: Vec<_> = std::mem::take(&mut missing).into_iter().take(AT_ONCE).collect();
            let read = self.sync(&keys.iter().map(shard).collect(), &keys);
            for stored in read.stored {
                self.stand_by(&stored);
            }
            missing = read.missing;
            missing.retain(|key| !keys.contains(key));
        }
    }

    /// Tells each what the log says of his sequence.
    fn load(&mut self, mut loads: Vec<Load>) {
        loads.retain(|load| !load.answer.is_closed());
        if loads.is_empty() {
            return;
        }
        // Whoever has a state needs another only where somebody has written behind it, which the log tells: where a standby takes
        // over, that is nobody, and the states of all its sequences are not read to be thrown away.
        let shards = loads.iter().map(|load| shard(&load.key)).collect();
        let (held, absent): (Vec<_>, Vec<_>) = loads.into_iter().partition(|load| load.has_it);
        let read = self.sync(&shards, &keys(&absent));
        self.tell(absent, &read);
        let (behind, current): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|load| read.is_given_up || self.table.is_overtaken(&load.key));
        for load in current {
            self.table.caught_up(&load.key);
            let _ = load.answer.send(Ok(Loaded::Same));
        }
        if !behind.is_empty() {
            let read = match read.is_given_up {
                true => read,
                false => self.sync(&behind.iter().map(|load| shard(&load.key)).collect(), &keys(&behind)),
            };
            self.tell(behind, &read);
        }
    }

    /// Tells each what was read of his sequence.
    fn tell(&mut self, loads: Vec<Load>, read: &Synced) {
        if read.is_given_up {
            return loads.into_iter().for_each(|load| drop(load.answer.send(Err(ended()))));
        }
        for (load, stored) in loads.into_iter().zip(&read.stored) {
            let loaded = self.build(stored).map(|found| Loaded::Now(found.map(Box::new)));
            // It is in his hand, and he knows all there is. Where he has left, what he gives back is lost.
            self.table.caught_up(&load.key);
            let _ = load.answer.send(loaded);
        }
    }

    /// Writes changes behind the tails of their shards, and tells each what has become of his.
    fn append(&mut self, appends: Vec<Append>) {
        let mut groups: BTreeMap<u16, Vec<Append>> = BTreeMap::new();
        for append in appends {
            let shard = shard(&append.key);
            if self.table.is_overtaken(&append.key) || self.tails.of(shard).is_none() {
                self.fenced(append, false);
                continue;
            }
            match append.begins.filter(|hash| !self.kept.contains(hash)) {
                Some(hash) => self.keep_model(hash, append),
                None => groups.entry(shard).or_default().push(append),
            }
        }
        if groups.is_empty() {
            return;
        }
        let mut calls = Vec::with_capacity(groups.len());
        for (shard, group) in &mut groups {
            let entries = group.iter_mut().map(|append| postgres::Entry {
                key: postgres::key_bytes(&append.key),
                bytes: std::mem::take(&mut append.entry),
            });
            let (expected, entries) = (self.tails.of(*shard).unwrap_or_default(), entries.collect());
            calls.push(postgres::Append { shard: *shard, expected, entries });
        }
        let (store, writer) = (self.store.clone(), self.writer);
        let mut asked = 0;
        let written = self.patiently(|| {
            asked += 1;
            store.append(writer, &calls)
        });
        let Some(written) = written else {
            let all = groups.into_values().flatten();
            return all.for_each(|append| (append.done)(Err(Unwritten::Failed(ended()))));
        };
        for ((shard, group), written) in groups.into_iter().zip(written) {
            let first = match written {
                Appended::Written => self.tails.written(shard, group.len() as u64),
                Appended::Fenced => None,
            };
            for (place, append) in group.into_iter().enumerate() {
                match first {
                    Some(first) => (append.done)(Ok(Position(first + place as u64))),
                    None => self.fenced(append, asked > 1),
                }
            }
        }
    }

    fn fenced(&self, append: Append, is_in_doubt: bool) {
        self.counts.fenced.fetch_add(1, Ordering::Relaxed);
        (append.done)(Err(if is_in_doubt { Unwritten::InDoubt } else { Unwritten::Fenced }));
    }

    /// Has the file of a model brought to the store, before the store holds a sequence that begins with it.
    fn keep_model(&mut self, hash: ModelHash, append: Append) {
        let name = append.key.model.clone();
        let waiting = self.waiting.entry(hash).or_default();
        waiting.push(append);
        if waiting.len() > 1 {
            return;
        }
        let (store, models, commands) = (self.store.clone(), self.models.clone(), self.commands.clone());
        let is_ending = self.is_ending.clone();
        self.runtime.spawn(async move {
            let kept = bring(&store, &models, &name, hash, &is_ending).await;
            let _ = commands.send(Command::Kept(hash, kept));
        });
    }

    /// The changes that have waited for a model's file and may be written now.
    fn released(&mut self, hash: ModelHash, kept: Result<(), Fault>) -> Vec<Append> {
        let waiting = self.waiting.remove(&hash).unwrap_or_default();
        match kept {
            Ok(()) => {
                self.kept.insert(hash);
                waiting
            }
            Err(fault) => {
                waiting.into_iter().for_each(|append| (append.done)(Err(Unwritten::Failed(fault.clone()))));
                Vec::new()
            }
        }
    }

    /// Asks the store until it answers. Nothing where the node is to stop and the store stays away.
    pub(super) fn patiently<T, F>(&mut self, mut ask: impl FnMut() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, DatabaseError>>,
    {
        let (mut pause, mut ends) = (PAUSE.0, None::<Instant>);
        self.silence.asks();
        loop {
            match self.runtime.block_on(ask()) {
                Ok(answer) => {
                    self.silence.ends();
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!("the store answers again; steps go on");
                    }
                    return Some(answer);
                }
                Err(error) if !std::mem::replace(&mut self.is_failing, true) => {
                    tracing::error!(code = %error.fault().code(), %error, "the store does not answer; steps wait for it");
                }
                Err(_) => {}
            }
            if self.is_ending.load(Ordering::Relaxed)
                && clock::now() >= *ends.get_or_insert_with(|| clock::now() + LAST)
            {
                return None;
            }
            self.runtime.block_on(async { tokio::time::sleep(pause).await });
            pause = (2 * pause).min(PAUSE.1);
        }
    }
}

fn keys(loads: &[Load]) -> Vec<SequenceKey> {
    loads.iter().map(|load| load.key.clone()).collect()
}

/// Brings the file of a model to the store, as often as it takes: the steps that wait for it end with their deadlines.
///
/// # Errors
/// Where the file is not here, or the node is to stop and the store does not take it.
async fn bring(
    store: &Postgres,
    models: &Models,
    name: &ModelName,
    hash: ModelHash,
    is_ending: &AtomicBool,
) -> Result<(), Fault> {
    let (own, wanted) = (models.clone(), name.clone());
    let read = tokio::task::spawn_blocking(move || own.file_of(&wanted, &hash)).await;
    let (version, bytes) = read.map_err(|error| Fault::new(Code::Internal, error.to_string()))??;
    let (mut pause, mut was_told) = (PAUSE.0, false);
    while let Err(error) = store.keep_model(name.as_str(), version, &hash, &bytes).await {
        if !std::mem::replace(&mut was_told, true) {
            tracing::error!(code = %error.fault().code(), %error, model = %name, %hash, "the store does not take a model's file; steps that begin with it wait");
        }
        if is_ending.load(Ordering::Relaxed) {
            return Err(ended());
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(PAUSE.1);
    }
    Ok(())
}

/// What is said where the log holds what this program cannot read.
pub(super) fn unreadable(key: &SequenceKey) -> Fault {
    let message =
        format!("the log of sequence {:?} holds records that this program cannot read", key.id.as_str());
    Fault::new(Code::FileFromTheFuture, message)
}
