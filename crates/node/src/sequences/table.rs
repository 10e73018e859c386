//! The sequences in memory, and whose turn it is with each.
//!
//! A sequence is in one hand at a time: whoever has its [`Turn`] has its state, and gives both back by dropping it. The
//! next in line gets them then, in the order in which they came. So a step never meets half of another, whatever becomes
//! of those who asked for it.
//!
//! Where other nodes write to the same log, what is in a hand may be overtaken by what was read there: it is marked, and whatever
//! its holder gives back is as good as lost.

use crate::repository::Loaded;
use crate::sequences::stateful::State;
use spinwell_core::{SequenceKey, StateSource, UnixMillis};
use spinwell_policy::sequence::{Known, Phase};
use spinwell_store::Position;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Locks, so that steps of different sequences seldom meet.
const SHARDS: usize = 64;
/// Requests that may wait for one sequence.
pub(crate) const WAITING_MAX: usize = 64;

/// About what a sequence takes in memory beside the numbers of its state: itself, its place in the table, of which up to
/// half is free, its id, and what the allocator adds to a dozen parts.
const RESIDENT_BYTES: usize =
    size_of::<Resident>() + 2 * (size_of::<SequenceKey>() + size_of::<Entry>()) + 384;

/// A sequence in memory.
#[derive(Clone)]
pub(crate) struct Resident {
    /// The model that it was begun with.
    pub(crate) model: Arc<Loaded>,
    /// Its state, unless it was given up.
    pub(crate) state: Option<State>,
    /// How far it has come.
    pub(crate) known: Known,
    /// Where its newest step stands in the log.
    pub(crate) position: Position,
    /// The newest step that the database holds.
    pub(crate) saved: Option<Position>,
    /// Where the state came from.
    pub(crate) source: StateSource,
}

impl Resident {
    /// What is left of it when a caller has removed it: that it is over, until the database has that too.
    pub(crate) fn removed(self, position: Position, used: u64) -> Self {
        let (used, begun_at) = (UnixMillis(used), UnixMillis(0));
        let known = Known { step: 0, digest: 0, first_digest: 0, used, begun_at, phase: Phase::Ended };
        Self { state: None, known, position, ..self }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        RESIDENT_BYTES + self.model.state_bytes
    }

    /// Whether the database holds less.
    pub(crate) fn is_dirty(&self) -> bool {
        self.saved != Some(self.position)
    }
}

/// What is in the hand of whoever has a turn.
#[derive(Clone)]
pub(crate) enum Held {
    /// Not in memory: the database may hold it.
    Unread,
    /// The state was lost after steps had been promised: the database and the log hold it together.
    Lost,
    /// It is nowhere.
    Absent,
    /// Here it is.
    Here(Box<Resident>),
}

impl Held {
    /// About how many bytes of memory it takes.
    fn bytes(&self) -> usize {
        match self {
            Held::Here(resident) => resident.bytes(),
            Held::Unread | Held::Lost | Held::Absent => 0,
        }
    }

    /// Whether the sequence is in memory.
    fn is_here(&self) -> bool {
        matches!(self, Held::Here(_))
    }
}

struct Entry {
    /// `None` while somebody has the turn.
    held: Option<Held>,
    waiting: VecDeque<oneshot::Sender<Turn>>,
    /// Whether another node has changed the sequence while it was in the hand that it is in.
    is_overtaken: bool,
}

impl Entry {
    fn resting(held: Held) -> Self {
        Self { held: Some(held), waiting: VecDeque::new(), is_overtaken: false }
    }
}

type Shard = HashMap<SequenceKey, Entry>;

/// All sequences in memory.
pub(crate) struct Table {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// What those take that rest.
    bytes: AtomicUsize,
    /// Sequences in memory that rest.
    resting: AtomicUsize,
    /// Sequences in somebody's hand.
    in_hand: AtomicUsize,
}

/// Somebody's turn with a sequence.
pub(crate) struct Turn {
    table: Arc<Table>,
    pub(crate) key: SequenceKey,
    /// Taken out only where the turn ends.
    held: Option<Held>,
}

/// Where a sequence is that another node has changed.
pub(crate) enum Found {
    /// Not in memory.
    Nowhere,
    /// In somebody's hand, who is too late.
    InHand,
    /// Here; nobody else has it now.
    Resting(Turn),
}

/// A turn, now or later.
pub(crate) enum Entering {
    /// Now.
    Now(Turn),
    /// When those before have had theirs.
    Later(oneshot::Receiver<Turn>),
    /// Too many wait already.
    Full,
}

impl Table {
    pub(crate) fn new() -> Arc<Self> {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let (bytes, resting, in_hand) = <(AtomicUsize, AtomicUsize, AtomicUsize)>::default();
        Arc::new(Self { shards, hasher: RandomState::new(), bytes, resting, in_hand })
    }

    /// Asks for a turn. The order of calls is the order of turns.
    pub(crate) fn enter(self: &Arc<Self>, key: &SequenceKey) -> Entering {
        let mut shard = self.shard(key);
        let entry = shard.entry(key.clone()).or_insert_with(|| Entry::resting(Held::Unread));
        match entry.held.take() {
            Some(held) => Entering::Now(self.hand(key, held)),
            None => {
                // Those who have left take nobody's place.
                if entry.waiting.len() >= WAITING_MAX {
                    entry.waiting.retain(|waiting| !waiting.is_closed());
                }
                if entry.waiting.len() >= WAITING_MAX {
                    return Entering::Full;
                }
                let (sender, receiver) = oneshot::channel();
                entry.waiting.push_back(sender);
                Entering::Later(receiver)
            }
        }
    }

    /// Puts a sequence into the table before anybody can ask for it.
    pub(crate) fn insert(&self, key: SequenceKey, held: Held) {
        self.rests(&held);
        self.shard(&key).insert(key, Entry::resting(held));
    }

    /// Another node has changed this sequence: whoever has it in hand is marked as overtaken.
    pub(crate) fn overtake(self: &Arc<Self>, key: &SequenceKey) -> Found {
        let mut shard = self.shard(key);
        let Some(entry) = shard.get_mut(key) else { return Found::Nowhere };
        let Some(held) = entry.held.take() else {
            entry.is_overtaken = true;
            return Found::InHand;
        };
        Found::Resting(self.hand(key, held))
    }

    /// Whether another node has changed the sequence while it was in hand.
    pub(crate) fn is_overtaken(&self, key: &SequenceKey) -> bool {
        self.shard(key).get(key).is_some_and(|entry| entry.is_overtaken)
    }

    /// Whoever has the sequence in hand is given what the log says: it is not overtaken any more.
    pub(crate) fn caught_up(&self, key: &SequenceKey) {
        if let Some(entry) = self.shard(key).get_mut(key) {
            entry.is_overtaken = false;
        }
    }

    /// Lets go of every sequence that rests and is `meant`, and marks those in hand as overtaken. Gives those.
    pub(crate) fn let_go(&self, meant: impl Fn(&SequenceKey) -> bool) -> Vec<SequenceKey> {
        let mut in_hand = Vec::new();
        for shard in 0..self.shards.len() {
            let mut goes = |key: &SequenceKey, entry: &mut Entry| {
                if !meant(key) {
                    return false;
                }
                if entry.held.is_none() {
                    entry.is_overtaken = true;
                    in_hand.push(key.clone());
                }
                entry.held.is_some()
            };
            let gone: Vec<_> = self.lock(shard).extract_if(&mut goes).collect();
            gone.iter()
                .filter_map(|(_, entry)| entry.held.as_ref())
                .for_each(|held| self.rests_no_more(held));
        }
        in_hand
    }

    /// Sequences in memory, those in somebody's hand among them. Counted as they come and go: every beat asks, and there may be
    /// millions.
    pub(crate) fn count(&self) -> usize {
        self.resting.load(Ordering::Relaxed) + self.in_hand.load(Ordering::Relaxed)
    }

    /// About how many bytes those take that rest in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Calls `each` with every sequence of a shard that rests in memory; it may change what it says of the database.
    pub(crate) fn visit(&self, shard: usize, mut each: impl FnMut(&SequenceKey, &mut Resident)) {
        for (key, entry) in self.lock(shard).iter_mut() {
            if let Some(Held::Here(resident)) = &mut entry.held {
                each(key, resident);
            }
        }
    }

    /// The sequences of a shard of which the database may hold less than the log: those in somebody's hand, those that
    /// have changed, and those whose state was lost.
    pub(crate) fn unsettled(&self, shard: usize) -> Vec<SequenceKey> {
        let is_unsettled = |entry: &Entry| match &entry.held {
            None => true,
            Some(Held::Here(resident)) => resident.is_dirty(),
            Some(Held::Lost) => true,
            Some(Held::Unread | Held::Absent) => false,
        };
        let shard = self.lock(shard);
        shard.iter().filter(|(_, entry)| is_unsettled(entry)).map(|(key, _)| key.clone()).collect()
    }

    /// Calls `act` with a sequence, if it rests in memory.
    pub(crate) fn with(&self, key: &SequenceKey, act: impl FnOnce(&mut Resident)) -> bool {
        let mut shard = self.shard(key);
        match shard.get_mut(key).map(|entry| &mut entry.held) {
            Some(Some(Held::Here(resident))) => {
                act(resident);
                true
            }
            _ => false,
        }
    }

    /// Lets go of the sequences of a shard that were last used before `before`, where they rest and `may_go`: what the node has
    /// of them is elsewhere, too.
    pub(crate) fn evict(
        &self,
        shard: usize,
        before: UnixMillis,
        may_go: impl Fn(&SequenceKey, &Resident) -> bool,
    ) {
        let goes = |key: &SequenceKey, entry: &mut Entry| match &entry.held {
            Some(Held::Here(resident)) => resident.known.used < before && may_go(key, resident),
            _ => false,
        };
        let mut entries = self.lock(shard);
        let gone: Vec<_> = entries.extract_if(goes).collect();
        // A map keeps the room that it once had; a fourth of it in use leaves enough to grow into.
        if entries.capacity() > 4 * entries.len() {
            let room = 2 * entries.len();
            entries.shrink_to(room);
        }
        drop(entries);
        gone.iter().filter_map(|(_, entry)| entry.held.as_ref()).for_each(|held| self.rests_no_more(held));
        // Dropped after the lock is released: models may go with them, which take another lock.
        drop(gone);
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    fn shard(&self, key: &SequenceKey) -> MutexGuard<'_, Shard> {
        let place = self.hasher.hash_one(key) as usize % self.shards.len();
        self.lock(place)
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        // Nothing that panics runs under the lock.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a sequence on to whoever waits, or lets it rest.
    fn pass_on(self: &Arc<Self>, key: &SequenceKey, mut held: Held) {
        let mut shard = self.shard(key);
        let Some(entry) = shard.get_mut(key) else { return };
        if std::mem::take(&mut entry.is_overtaken) {
            held = Held::Lost;
        }
        while let Some(next) = entry.waiting.pop_front() {
            let turn = Turn { table: self.clone(), key: key.clone(), held: Some(held) };
            match next.send(turn) {
                Ok(()) => return,
                // Who has stopped waiting gives the turn back at once; its own end would ask for the lock that is held.
                Err(mut turn) => match turn.held.take() {
                    Some(back) => held = back,
                    None => return,
                },
            }
        }
        self.in_hand.fetch_sub(1, Ordering::Relaxed);
        match held {
            Held::Unread | Held::Absent => {
                shard.remove(key);
            }
            held => {
                self.rests(&held);
                entry.held = Some(held);
            }
        }
    }

    /// Gives what rested into somebody's hand.
    fn hand(self: &Arc<Self>, key: &SequenceKey, held: Held) -> Turn {
        self.rests_no_more(&held);
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        Turn { table: self.clone(), key: key.clone(), held: Some(held) }
    }

    fn rests(&self, held: &Held) {
        self.bytes.fetch_add(held.bytes(), Ordering::Relaxed);
        self.resting.fetch_add(usize::from(held.is_here()), Ordering::Relaxed);
    }

    fn rests_no_more(&self, held: &Held) {
        self.bytes.fetch_sub(held.bytes(), Ordering::Relaxed);
        self.resting.fetch_sub(usize::from(held.is_here()), Ordering::Relaxed);
    }
}

impl Turn {
    /// What is in hand.
    pub(crate) fn held(&self) -> &Held {
        self.held.as_ref().unwrap_or(&Held::Unread)
    }

    /// Takes what is in hand, leaving something to be read again where nothing better is put back.
    pub(crate) fn take(&mut self) -> Held {
        self.held.replace(Held::Lost).unwrap_or(Held::Lost)
    }

    /// Puts something into the hand.
    pub(crate) fn put(&mut self, held: Held) {
        self.held = Some(held);
    }

    /// How far the sequence has come, where it is here.
    pub(crate) fn known(&self) -> Option<&Known> {
        match self.held() {
            Held::Here(resident) => Some(&resident.known),
            _ => None,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.table.pass_on(&self.key, held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::{SequenceId, TenantId};

    fn key(id: &str) -> SequenceKey {
        let id = SequenceId::of_text(id).unwrap();
        SequenceKey { tenant: TenantId("t".into()), model: "m".parse().unwrap(), id }
    }

    fn now(entering: Entering) -> Turn {
        match entering {
            Entering::Now(turn) => turn,
            _ => panic!("it is nobody's turn"),
        }
    }

    fn later(entering: Entering) -> oneshot::Receiver<Turn> {
        match entering {
            Entering::Later(receiver) => receiver,
            _ => panic!("it is somebody's turn"),
        }
    }

    #[test]
    fn turns_are_taken_in_order_and_those_who_left_are_passed_over() {
        let table = Table::new();
        let first = now(table.enter(&key("a")));
        let _other = now(table.enter(&key("b")));
        let [mut second, third, mut fourth] = [(); 3].map(|()| later(table.enter(&key("a"))));
        assert!(second.try_recv().is_err());
        drop(first);
        let second = second.try_recv().unwrap();
        drop(third);
        drop(second);
        let fourth = fourth.try_recv().unwrap();
        drop(fourth);
        assert_eq!((0..SHARDS).map(|shard| table.unsettled(shard).len()).sum::<usize>(), 1, "only the other");
        drop(now(table.enter(&key("a"))));
    }

    #[test]
    fn a_turn_that_arrives_after_its_owner_has_left_goes_on() {
        let table = Table::new();
        let first = now(table.enter(&key("a")));
        let second = later(table.enter(&key("a")));
        let mut third = later(table.enter(&key("a")));
        drop(first);
        // The turn lies in the channel when its owner leaves.
        drop(second);
        assert!(third.try_recv().is_ok());
    }

    #[test]
    fn what_is_taken_and_not_put_back_is_lost_and_not_forgotten() {
        let table = Table::new();
        let mut turn = now(table.enter(&key("a")));
        turn.put(Held::Absent);
        assert!(matches!(turn.take(), Held::Absent));
        drop(turn);
        assert!(matches!(now(table.enter(&key("a"))).held(), Held::Lost));
        assert_eq!(table.count(), 0);
        assert_eq!((0..SHARDS).flat_map(|shard| table.unsettled(shard)).collect::<Vec<_>>(), [key("a")]);
    }

    #[test]
    fn what_was_overtaken_in_hand_is_lost_when_it_is_given_back() {
        let table = Table::new();
        assert!(matches!(table.overtake(&key("a")), Found::Nowhere));
        let mut turn = now(table.enter(&key("a")));
        let mut next = later(table.enter(&key("a")));
        assert!(matches!(table.overtake(&key("a")), Found::InHand));
        assert!(table.is_overtaken(&key("a")) && !table.is_overtaken(&key("b")));
        turn.put(Held::Absent);
        drop(turn);
        let next = next.try_recv().unwrap();
        assert!(matches!(next.held(), Held::Lost));
        assert!(!table.is_overtaken(&key("a")), "the next one reads it anew");
        table.let_go(|_| true);
        table.caught_up(&key("a"));
        drop(next);
        assert!(
            matches!(table.overtake(&key("a")), Found::Resting(turn) if matches!(turn.held(), Held::Lost))
        );
        assert!(table.let_go(|_| true).is_empty());
        assert!(matches!(table.overtake(&key("a")), Found::Nowhere));
    }

    #[test]
    fn counting_looks_at_no_sequence() {
        let table = Table::new();
        let turn = now(table.enter(&key("a")));
        let shards: Vec<_> = (0..SHARDS).map(|shard| table.lock(shard)).collect();
        assert_eq!(table.count(), 1, "whoever looked would wait for ever");
        drop(shards);
        drop(turn);
        assert_eq!(table.count(), 0);
    }

    #[test]
    fn only_so_many_wait_for_one_sequence() {
        let table = Table::new();
        let _first = now(table.enter(&key("a")));
        let _waiting: Vec<_> = (0..WAITING_MAX).map(|_| later(table.enter(&key("a")))).collect();
        assert!(matches!(table.enter(&key("a")), Entering::Full));
        assert!(matches!(table.enter(&key("b")), Entering::Now(_)));
    }
}
