//! Sequences in a log that all nodes of a region share.
//!
//! One thread ([`follower`]) speaks with the store, so that what this node reads and what it writes have an order: it keeps the
//! rule that makes the log a fence, which is that memory holds of a shard what its log says up to the tail. Everybody else sends it
//! commands and waits. While the store is away the thread goes on trying: steps wait, and are taken when it is back, if somebody
//! still waits for them.

mod follower;
mod reading;

use super::table::Table;
use super::{Cover, Resident, Unwritten};
use crate::models::Models;
use follower::Follower;
use spinwell_core::{Code, Fault, Millis, ModelHash, NodeId, SequenceKey};
use spinwell_policy::sequence::{Role, Roles, Tails};
use spinwell_policy::shards;
use spinwell_runtime::{clock, entropy};
use spinwell_store::Position;
use spinwell_store::postgres::Postgres;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

/// The shard of a sequence.
pub(crate) fn shard(key: &SequenceKey) -> u16 {
    shards::shard([&key.tenant.0, key.model.as_str(), key.id.as_str()])
}

/// Changes and readings that may wait for the follower. While the store is away those that nobody waits for any more lie there,
/// too: each step of a sequence that is not in memory brings one, whatever becomes of the step. More are refused for now.
const COMMANDS_MAX: usize = 16_384;

/// A command's place among those that wait for the follower; given back when the follower has dealt with it.
struct Place(Arc<AtomicUsize>);

impl Place {
    /// A place, where there is one.
    fn take(taken: &Arc<AtomicUsize>) -> Option<Self> {
        // Before anything is compared, so that no two get the last one.
        let place = Self(taken.clone());
        (taken.fetch_add(1, Ordering::Relaxed) < COMMANDS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the follower is told to do.
enum Command {
    /// To write a change.
    Append(Append),
    /// To read a sequence.
    Load(Load),
    /// To look at the roles.
    Roles,
    /// To write the changes that begin with this model: the store has its file, or cannot be given it.
    Kept(ModelHash, Result<(), Fault>),
    /// To write what has come so far, and end.
    End,
}

/// A change of a sequence that somebody has in hand.
struct Append {
    key: SequenceKey,
    /// The model that it is of, where it begins with this change.
    begins: Option<ModelHash>,
    entry: Vec<u8>,
    done: Box<dyn FnOnce(Result<Position, Unwritten>) + Send>,
    _place: Place,
}

/// What a sequence is by the log, for somebody who has it in hand.
struct Load {
    key: SequenceKey,
    /// Whether he has its state, and needs another only where that is behind.
    has_it: bool,
    answer: oneshot::Sender<Result<Loaded, Fault>>,
    _place: Place,
}

/// What the log says of a sequence.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// What was in hand already.
    Same,
    /// This.
    Now(Option<Box<Resident>>),
}

impl std::fmt::Debug for Resident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resident").field("known", &self.known).field("position", &self.position).finish()
    }
}

/// What was counted since the start.
#[derive(Debug, Default)]
struct Counts {
    /// Changes that were refused because another node had written.
    fenced: AtomicU64,
    /// Entries of others that were folded into states here.
    followed: AtomicU64,
}

/// Since when the store owes an answer.
#[derive(Debug, Default)]
struct Silence(Mutex<Option<Instant>>);

impl Silence {
    /// The store is asked something, perhaps once more.
    fn asks(&self) {
        self.lock().get_or_insert_with(clock::now);
    }

    /// It has answered.
    fn ends(&self) {
        *self.lock() = None;
    }

    fn lasts(&self) -> Option<Millis> {
        let millis = |since| clock::now().saturating_duration_since(since).as_millis();
        self.lock().map(|since| Millis(u64::try_from(millis(since)).unwrap_or(u64::MAX)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the shared log.
pub(crate) struct Shared {
    pub(crate) store: Postgres,
    counts: Arc<Counts>,
    silence: Arc<Silence>,
    commands: mpsc::Sender<Command>,
    /// How many places among the commands that wait are taken.
    taken: Arc<AtomicUsize>,
    roles: Arc<Mutex<Roles>>,
    /// Set when the node stops: what the store does not take soon is given up.
    is_ending: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Told when the thread has died.
    died: Arc<Notify>,
}

/// Says that the thread that holds it has died, where it has.
struct Alarm(Arc<Notify>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.notify_one();
        }
    }
}

impl Shared {
    /// Starts to follow the log for the sequences in `table`. `runtime` is what the store needs.
    pub(crate) fn start(
        store: Postgres,
        own: NodeId,
        table: Arc<Table>,
        models: Models,
        cover: Cover,
        runtime: Handle,
    ) -> std::io::Result<Self> {
        let (commands, received) = mpsc::channel();
        let roles = Arc::new(Mutex::new(Roles::new(own)));
        let (counts, is_ending) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let silence = Arc::<Silence>::default();
        let follower = Follower {
            store: store.clone(),
            runtime,
            writer: entropy::seed(),
            table,
            models,
            cover,
            roles: roles.clone(),
            counts: counts.clone(),
            silence: silence.clone(),
            is_ending: is_ending.clone(),
            tails: Tails::default(),
            kept: HashSet::new(),
            waiting: HashMap::new(),
            commands: commands.clone(),
            is_failing: false,
        };
        let died = Arc::<Notify>::default();
        let alarm = Alarm(died.clone());
        let follow = move || {
            let _alarm = alarm;
            follower.run(&received);
        };
        let thread = thread::Builder::new().name("shared-log".to_owned()).spawn(follow)?;
        let (taken, thread) = (Arc::default(), Mutex::new(Some(thread)));
        Ok(Self { store, counts, silence, commands, taken, roles, is_ending, thread, died })
    }

    /// Comes when the thread has died: then no step is taken here any more. For one who waits.
    pub(crate) async fn died(&self) {
        self.died.notified().await;
    }

    /// Writes a change of a sequence that the caller has in hand. `done` is called on the follower's thread, so it must be quick.
    pub(crate) fn append(
        &self,
        key: SequenceKey,
        begins: Option<ModelHash>,
        entry: Vec<u8>,
        done: impl FnOnce(Result<Position, Unwritten>) + Send + 'static,
    ) {
        let Some(place) = Place::take(&self.taken) else { return done(Err(Unwritten::Failed(full()))) };
        let append = Append { key, begins, entry, done: Box::new(done), _place: place };
        if let Err(mpsc::SendError(Command::Append(append))) = self.commands.send(Command::Append(append)) {
            (append.done)(Err(Unwritten::Failed(ended())));
        }
    }

    /// What the log says now of a sequence that the caller has in hand.
    pub(crate) async fn load(&self, key: &SequenceKey, has_it: bool) -> Result<Loaded, Fault> {
        let (answer, loaded) = oneshot::channel();
        let place = Place::take(&self.taken).ok_or_else(full)?;
        let sent =
            self.commands.send(Command::Load(Load { key: key.clone(), has_it, answer, _place: place }));
        sent.map_err(|_| ended())?;
        loaded.await.unwrap_or_else(|_| Err(ended()))
    }

    /// A gateway says which nodes it sees.
    pub(crate) fn seen(&self, gateway: &str, nodes: Option<Vec<(NodeId, f64)>>) {
        if self.roles().seen(gateway, nodes) {
            let _ = self.commands.send(Command::Roles);
        }
    }

    /// Changes that were refused here, and changes of others that were read along.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let Counts { fenced, followed } = &*self.counts;
        (fenced.load(Ordering::Relaxed), followed.load(Ordering::Relaxed))
    }

    /// For how long the store has not answered what it was asked.
    pub(crate) fn store_silent(&self) -> Option<Millis> {
        self.silence.lasts()
    }

    /// What this node is to the shard of a sequence.
    pub(crate) fn role(&self, key: &SequenceKey) -> Role {
        self.roles().of(shard(key))
    }

    /// The shards that it owns.
    pub(crate) fn owned(&self) -> Vec<u16> {
        self.roles().shards(Role::Owner).collect()
    }

    /// Whether it does what one node of the region has to do.
    pub(crate) fn is_first(&self) -> bool {
        self.roles().of(0) == Role::Owner
    }

    fn roles(&self) -> MutexGuard<'_, Roles> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what has come so far and takes nothing more. Blocks.
    pub(crate) fn close(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        let _ = self.commands.send(Command::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that follows the shared log had died before it was stopped");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

fn full() -> Fault {
    let message = format!("{COMMANDS_MAX} steps wait for the store already; try again");
    Fault::new(Code::QueueFull, message).retry_after(Millis(1000))
}

fn ended() -> Fault {
    Fault::new(Code::Stopping, "the node is stopping and takes no more steps; try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_dies_is_told_of_and_one_that_ends_is_not() {
        let told = Arc::<Notify>::default();
        let alarm = Alarm(told.clone());
        thread::spawn(move || drop(alarm)).join().unwrap();
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), told.notified()).await.is_err());
        let alarm = Alarm(told.clone());
        let died = thread::spawn(move || {
            let _alarm = alarm;
            panic!("planted");
        });
        died.join().unwrap_err();
        told.notified().await;
    }
}
