//! The thread that forces the journal, and what it shares with those who write.

use super::LedgerError;
use super::spool::{Frame, Item, Spool, Trouble};
use spinwell_core::{Micros, UnixMicros};
use spinwell_ledger::Entry;
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After a promise has run for this part of its time, it is renewed.
const RENEWED_AFTER: u32 = 5;
/// Records that have waited for this part of that time become a batch.
const RIPE_AFTER: u32 = 2;
/// How long a promise is renewed after the last record: then nothing is forced until somebody comes.
const IDLE: Duration = Duration::from_secs(2);
/// The longest that a record waits for the disk.
const PATIENCE: Duration = Duration::from_secs(2);
/// Entries that were sealed so long ago and are not signed yet: nothing more is taken.
const BEHIND: Duration = Duration::from_secs(30);

/// How long after a write that failed it is tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// Lags that are kept until somebody takes them.
const LAGS_MAX: usize = 4096;

/// Whom to tell that his event is on the disk.
type Done = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;

struct State {
    spool: Spool,
    /// Entries that are in the journal and not forced.
    items: Vec<Item>,
    waiting: Vec<Done>,
    /// Records may be written until then, by both clocks: one stands still while the machine does, the other may be set.
    promised: Option<(Instant, UnixMicros)>,
    /// Somebody waits for a promise.
    is_wanted: bool,
    last_record: Option<Instant>,
    forced: Instant,
    #[cfg(test)]
    forced_bytes: u64,
    /// When the oldest record that is not sealed was written.
    oldest: Option<Instant>,
    is_closing: bool,
    /// Nothing can be forced any more.
    lost: Option<String>,
    /// The journal could not be written a moment ago.
    failing: Option<String>,
    /// What the last attempt to build failed with, and since when attempts fail.
    behind: Option<(Instant, String)>,
    entries_signed: u64,
    records_signed: u64,
    counts: Counts,
    /// Lags since they were last taken.
    lags: Vec<Micros>,
}

/// The monotonic time.
#[allow(clippy::disallowed_methods, reason = "this is the edge where a promise is measured by the clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// What has been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Times that the journal was forced to the disk.
    pub forced: u64,
    /// Records that waited for the disk before they were written.
    pub waited: u64,
    /// Records and events that could not be written.
    pub refused: u64,
    /// The longest time from a record to the disk.
    pub lag_max: Micros,
    /// The last one.
    pub lag: Micros,
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// There is something to force.
    work: Condvar,
    /// Something was forced or signed.
    done: Condvar,
    /// How long records may be written that are not forced.
    span: Duration,
    clock: fn() -> UnixMicros,
}

impl Shared {
    pub(super) fn new(spool: Spool, span: Duration, clock: fn() -> UnixMicros, signed: (u64, u64)) -> Self {
        let state = State {
            spool,
            items: Vec::new(),
            waiting: Vec::new(),
            promised: None,
            is_wanted: false,
            last_record: None,
            forced: now(),
            #[cfg(test)]
            forced_bytes: 0,
            oldest: None,
            is_closing: false,
            lost: None,
            failing: None,
            behind: None,
            entries_signed: signed.0,
            records_signed: signed.1,
            counts: Counts::default(),
            lags: Vec::new(),
        };
        Self { state: Mutex::new(state), work: Condvar::new(), done: Condvar::new(), span, clock }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held leaves what was written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a record: its number and the time are given to `line`.
    pub(super) fn record(
        &self,
        line: impl FnOnce(u64, UnixMicros, &mut Vec<u8>),
    ) -> Result<u64, LedgerError> {
        let mut state = self.lock();
        let began = now();
        let mut time = began;
        while !state.may_follow(time, self.clock) {
            state.refusal()?;
            if let Some(failing) = state.failing.clone() {
                // Tried again, for those who come later.
                state.is_wanted = true;
                state.counts.refused += 1;
                self.work.notify_one();
                return Err(LedgerError::Disk(failing));
            }
            if time - began >= PATIENCE {
                state.counts.refused += 1;
                // Others need not wait as long to hear the same.
                state.failing = Some(LedgerError::Slow.to_string());
                return Err(LedgerError::Slow);
            }
            if !state.is_wanted {
                state.counts.waited += 1;
                state.is_wanted = true;
                self.work.notify_one();
            }
            state = self.done.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
            time = now();
        }
        state.refusal()?;
        let (number, at) = (state.spool.standing.records, state.now(self.clock));
        let mut text = Vec::with_capacity(512);
        line(number, at, &mut text);
        if let Err(error) = state.spool.append(at, Frame::Record(&text)) {
            state.counts.refused += 1;
            return Err(LedgerError::Disk(error.to_string()));
        }
        state.last_record = Some(time);
        if state.oldest.is_none() {
            state.oldest = Some(time);
            self.work.notify_one();
        }
        Ok(number)
    }

    /// Writes an entry, and tells when it is on the disk.
    pub(super) fn entry(&self, entry: impl FnOnce(UnixMicros) -> Vec<u8>, done: Done) {
        let mut state = self.lock();
        if let Err(refused) = state.refusal() {
            drop(state);
            return done(Err(refused));
        }
        let at = state.now(self.clock);
        match state.spool.append(at, Frame::Entry(&entry(at))) {
            Ok(item) => {
                state.items.extend(item);
                state.waiting.push(done);
                self.work.notify_one();
            }
            Err(error) => {
                state.counts.refused += 1;
                drop(state);
                done(Err(LedgerError::Disk(error.to_string())));
            }
        }
    }

    /// Counts a record that was not written.
    pub(super) fn refuse(&self) {
        self.lock().counts.refused += 1;
    }

    /// Nothing more is taken; what was taken is sealed and forced.
    pub(super) fn close(&self) {
        self.lock().is_closing = true;
        self.work.notify_one();
    }

    /// All entries up to there are signed.
    pub(super) fn signed(&self, entries: u64, records: u64) {
        let mut state = self.lock();
        (state.entries_signed, state.records_signed) = (entries, records);
        self.done.notify_all();
    }

    /// Does something again and again until it succeeds; meanwhile the log is behind. Whether it was done: at the end it is given up.
    pub(super) fn try_until_done(
        &self,
        pause: Duration,
        mut attempt: impl FnMut() -> io::Result<()>,
    ) -> bool {
        let mut is_first = true;
        while let Err(error) = attempt() {
            let mut state = self.lock();
            let since = state.behind.take().map_or_else(now, |(since, _)| since);
            state.behind = Some((since, error.to_string()));
            if std::mem::take(&mut is_first) {
                tracing::error!(%error, "the ledger's files cannot be written; trying again");
            }
            if state.is_closing {
                // It is made of the journal at the next start.
                return false;
            }
            drop(self.work_done_or(state, pause));
        }
        let mut state = self.lock();
        if state.behind.take().is_some() {
            tracing::info!("the ledger's files can be written again");
        }
        true
    }

    /// Waits for so long, or less.
    fn work_done_or<'a>(&'a self, state: MutexGuard<'a, State>, pause: Duration) -> MutexGuard<'a, State> {
        let mut state = state;
        let until = now() + pause;
        while now() < until && !state.is_closing {
            let rest = until.saturating_duration_since(now());
            state = self.done.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    /// Somebody is about to write a record: the disk begins to make room for it where it must.
    pub(super) fn expect(&self) {
        let mut state = self.lock();
        let soon = now() + self.span / RENEWED_AFTER;
        if !state.is_wanted && !state.may_follow(soon, self.clock) {
            state.is_wanted = true;
            self.work.notify_one();
        }
    }

    /// How far the log goes, and how far it is signed: records.
    pub(super) fn records(&self) -> (u64, u64) {
        let state = self.lock();
        (state.spool.standing.records, state.records_signed)
    }

    /// How many entries it has, and how many are signed.
    pub(super) fn entries(&self) -> (u64, u64) {
        let state = self.lock();
        (state.spool.standing.entries, state.entries_signed)
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The times from a record to the disk since this was last asked, at most some thousands of them.
    pub(super) fn take_lags(&self) -> Vec<Micros> {
        std::mem::take(&mut self.lock().lags)
    }

    /// Whether anything is taken, or why not.
    pub(super) fn refusal(&self) -> Result<(), LedgerError> {
        self.lock().refusal()
    }

    /// How many bytes of the journal's last file have been forced.
    #[cfg(test)]
    pub(super) fn forced_bytes(&self) -> u64 {
        self.lock().forced_bytes
    }

    /// Waits until the record of this number is signed. Whether it is.
    pub(super) fn wait_signed(&self, number: u64, patience: Duration) -> bool {
        let until = now() + patience;
        let mut state = self.lock();
        loop {
            let time = now();
            if state.records_signed > number || time >= until || state.lost.is_some() {
                return state.records_signed > number;
            }
            state = self.done.wait_timeout(state, until - time).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Forces what is written, until the log is closed.
    pub(super) fn run(&self, items: &Sender<Vec<Item>>) {
        let renew = self.span * 2 / RENEWED_AFTER;
        let mut state = self.lock();
        loop {
            let time = now();
            let is_used = state.last_record.is_some_and(|last| time.saturating_duration_since(last) < IDLE);
            let due = match state.is_due() {
                true => Some(time),
                // Records wait for company, and promises are renewed in good time.
                false if is_used || state.oldest.is_some() => Some(state.forced + renew),
                false => None,
            };
            match due {
                Some(due) if due <= time => {}
                Some(due) => {
                    state =
                        self.work.wait_timeout(state, due - time).unwrap_or_else(PoisonError::into_inner).0;
                    continue;
                }
                None => {
                    state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
            }
            let is_last = state.is_closing;
            let Forced { state: after, waiting, items: ready, result } = self.force(state, time);
            state = after;
            if let Err(Trouble::Force(error)) = &result {
                tracing::error!(%error, "the ledger's journal cannot be forced to the disk; restart this server");
                state.lost = Some(error.to_string());
            }
            drop(state);
            self.done.notify_all();
            for done in waiting {
                done(result.as_ref().copied().map_err(|trouble| LedgerError::Disk(trouble.to_string())));
            }
            if !ready.is_empty() {
                // Nobody listens only where the builder is gone, with the process.
                let _ = items.send(ready);
            }
            state = self.lock();
            state.failing = result.as_ref().err().map(ToString::to_string);
            if is_last || state.lost.is_some() {
                return Self::end(state);
            }
            if let Err(error) = result {
                tracing::warn!(%error, "the ledger's journal cannot be written; trying again");
                state = self.work.wait_timeout(state, AGAIN).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let size = state.entries_signed;
            state.spool.forget(size);
            let at = state.now(self.clock);
            match state.spool.go_on(at) {
                Ok(item) => state.items.extend(item),
                Err(Trouble::Write(error)) => {
                    tracing::warn!(%error, "the ledger's journal cannot be written; trying again");
                }
                Err(Trouble::Force(error)) => {
                    tracing::error!(%error, "the ledger's journal cannot be forced to the disk; restart this server");
                    state.lost = Some(error.to_string());
                    return Self::end(state);
                }
            }
        }
    }

    /// Nothing is forced any more: whoever waits for it hears so.
    fn end(mut state: MutexGuard<'_, State>) {
        let waiting = std::mem::take(&mut state.waiting);
        let lost = state.lost.clone();
        drop(state);
        for done in waiting {
            done(Err(lost.clone().map_or(LedgerError::Closed, LedgerError::Disk)));
        }
    }

    /// Seals what is there, promises more, and forces it all. While the disk works, records are written.
    fn force<'a>(&'a self, mut state: MutexGuard<'a, State>, time: Instant) -> Forced<'a> {
        let (promised, oldest) = (time + self.span, state.oldest);
        // Each time for the disk, every other time for a batch: half as many files.
        let is_ripe =
            oldest.is_some_and(|oldest| time.saturating_duration_since(oldest) >= self.span / RIPE_AFTER);
        let oldest = oldest.filter(|_| is_ripe || state.is_closing);
        let sealed = state.seal(self.clock, self.span, oldest.is_some()).map_err(Trouble::Write);
        let waiting = std::mem::take(&mut state.waiting);
        let to_force = sealed.and_then(|until| Ok((until, state.spool.to_force().map_err(Trouble::Write)?)));
        let (until, (file, position)) = match to_force {
            Ok(to_force) => to_force,
            // What stands in the journal by now is forced another time, and built then.
            Err(trouble) => return Forced { state, waiting, items: Vec::new(), result: Err(trouble) },
        };
        let items = std::mem::take(&mut state.items);
        if oldest.is_some() {
            state.oldest = None;
        }
        #[cfg(test)]
        let bytes = state.spool.end;
        drop(state);
        let result = file.sync_data().map_err(Trouble::Force);
        // What is not on the disk is not built.
        let items = if result.is_ok() { items } else { Vec::new() };
        let mut state = self.lock();
        if result.is_ok() {
            state.spool.forced(position);
            (state.promised, state.is_wanted, state.forced) = (Some((promised, until)), false, time);
            state.counts.forced += 1;
            #[cfg(test)]
            {
                state.forced_bytes = bytes;
            }
            if let Some(oldest) = oldest {
                let lag = Micros(
                    u64::try_from(now().saturating_duration_since(oldest).as_micros()).unwrap_or(u64::MAX),
                );
                state.counts.lag = lag;
                state.counts.lag_max = state.counts.lag_max.max(lag);
                if state.lags.len() < LAGS_MAX {
                    state.lags.push(lag);
                }
            }
        }
        Forced { state, waiting, items, result }
    }
}

/// What one write to the disk has brought.
struct Forced<'a> {
    state: MutexGuard<'a, State>,
    /// Who waited for it.
    waiting: Vec<Done>,
    /// What is in it.
    items: Vec<Item>,
    result: Result<(), Trouble>,
}

impl State {
    /// The time, which does not run backwards within a log.
    fn now(&self, clock: fn() -> UnixMicros) -> UnixMicros {
        clock().max(self.spool.standing.at)
    }

    /// Whether there is something to force at once.
    fn is_due(&self) -> bool {
        self.is_closing || self.is_wanted || !self.waiting.is_empty()
    }

    /// Why nothing is taken.
    fn refusal(&self) -> Result<(), LedgerError> {
        match (&self.lost, &self.behind) {
            (Some(lost), _) => Err(LedgerError::Disk(lost.clone())),
            (None, Some((since, why))) if now().saturating_duration_since(*since) > BEHIND => {
                Err(LedgerError::Disk(why.clone()))
            }
            _ if self.is_closing => Err(LedgerError::Closed),
            _ => Ok(()),
        }
    }

    /// Makes a batch of the records that are in none, and says how long others may follow; in the end, that it is the end.
    fn seal(&mut self, clock: fn() -> UnixMicros, span: Duration, is_ripe: bool) -> io::Result<UnixMicros> {
        let at = self.now(clock);
        if is_ripe && !self.spool.standing.lines.is_empty() {
            let item = self.spool.append(at, Frame::Seal)?;
            self.items.extend(item);
        }
        if self.is_closing {
            let entry = Entry::Closed { at }.to_bytes();
            let item = self.spool.append(at, Frame::Entry(&entry))?;
            self.items.extend(item);
            self.spool.append(at, Frame::Closed)?;
            return Ok(at);
        }
        let until = at.after(Micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)));
        self.spool.append(at, Frame::Until(until))?;
        Ok(until)
    }

    /// Whether a record that is written then is within what was promised.
    fn may_follow(&self, time: Instant, clock: fn() -> UnixMicros) -> bool {
        self.promised.is_some_and(|(promised, until)| time < promised && self.now(clock) <= until)
    }
}
