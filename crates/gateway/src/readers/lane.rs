//! The queue between requests and one reader, and the thread that reads.
//!
//! The thread looks into the queue at intervals instead of being woken: waking it would cost every request a system
//! call, and a reader that is some milliseconds late harms nobody.

use super::Record;
use crate::metrics::ReaderCounts;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks into an empty queue.
const INTERVAL: Duration = Duration::from_millis(50);

/// Records that are read between two deliveries at most, so that a reader's memory is bounded too.
pub(super) const RECORDS_A_DELIVERY: usize = 256;

/// A reader that may be slow, on a thread of its own.
pub(super) trait SlowReader: Send + 'static {
    /// How many records it takes before it must deliver, at least one: none of what it delivers is larger.
    fn room(&self) -> usize {
        RECORDS_A_DELIVERY
    }

    /// Takes one record.
    fn read(&mut self, record: &Record);

    /// So many records found no room in the queue since the last call.
    fn lost(&mut self, records: u64);

    /// Delivers what was taken.
    fn deliver(&mut self, when: When) -> Delivery;
}

/// When a reader is to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// If it is worth it: there is enough, or it has waited long enough.
    Due,
    /// At once: nothing comes any more.
    Last,
}

/// What became of records since the last delivery; the rest is still in the reader's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Delivery {
    /// Records that arrived.
    pub(super) delivered: u64,
    /// Records that are lost.
    pub(super) failed: u64,
}

/// Which records a reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    All,
    /// Those whose trace is recorded.
    Sampled,
}

/// What a record is, as far as the choice needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request or the end of a batch call, of a trace that is recorded.
    Sampled,
    Other,
}

/// What a lane is.
pub(super) struct Spec {
    /// The reader's name in the metrics.
    pub(super) name: &'static str,
    /// Records that may wait.
    pub(super) length: usize,
    /// Which records it takes.
    pub(super) takes: Takes,
}

/// The end of the queue where requests put their records.
pub(super) struct Lane {
    records: SyncSender<Arc<Record>>,
    takes: Takes,
    counts: ReaderCounts,
    /// Dropped records that the reader has not been told of.
    untold: Arc<AtomicU64>,
}

impl Lane {
    /// Whether the reader wants such records.
    pub(super) fn takes(&self, kind: Kind) -> bool {
        self.takes == Takes::All || kind == Kind::Sampled
    }

    /// A record that the reader does not want.
    pub(super) fn skip(&self) {
        self.counts.skipped.inc();
    }

    /// Puts a record into the queue, or counts it where there is no room. Never waits.
    pub(super) fn send(&self, record: Arc<Record>) {
        self.counts.waiting.inc();
        if self.records.try_send(record).is_err() {
            self.counts.waiting.dec();
            self.counts.dropped.inc();
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread that reads.
pub(super) struct Worker {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Asks it to deliver what waits and to end.
    pub(super) fn ask_to_stop(self) -> Stopping {
        // That nobody could send any more is the wish.
        drop(self.stop);
        Stopping(self.thread)
    }
}

/// A thread that was asked to end.
pub(super) struct Stopping(JoinHandle<()>);

impl Stopping {
    /// Waits for its end.
    pub(super) fn wait(self) {
        if self.0.join().is_err() {
            tracing::error!("a reader of outcomes panicked; what it had not delivered is lost");
        }
    }
}

/// Starts the thread of `reader`.
pub(super) fn start(
    spec: &Spec,
    counts: ReaderCounts,
    reader: impl SlowReader,
) -> io::Result<(Lane, Worker)> {
    let (sender, records) = mpsc::sync_channel(spec.length);
    let (stop, stopped) = mpsc::channel();
    let untold = Arc::new(AtomicU64::new(0));
    let mut reading = Reading { records, counts: counts.clone(), untold: untold.clone(), reader };
    let thread = thread::Builder::new().name(spec.name.to_owned()).spawn(move || reading.run(&stopped))?;
    Ok((Lane { records: sender, takes: spec.takes, counts, untold }, Worker { stop, thread }))
}

/// The end of the queue where the reader is.
struct Reading<R> {
    records: Receiver<Arc<Record>>,
    counts: ReaderCounts,
    untold: Arc<AtomicU64>,
    reader: R,
}

impl<R: SlowReader> Reading<R> {
    fn run(&mut self, stopped: &Receiver<()>) {
        loop {
            let is_over = !matches!(stopped.recv_timeout(INTERVAL), Err(RecvTimeoutError::Timeout));
            while self.fills_up() {
                self.deliver(When::Due);
            }
            // The queue was empty: the reader has caught up.
            let untold = self.untold.swap(0, Ordering::Relaxed);
            if untold > 0 {
                self.reader.lost(untold);
            }
            self.deliver(if is_over { When::Last } else { When::Due });
            if is_over {
                return;
            }
        }
    }

    /// Reads what waits, and says whether the reader had room for no more.
    fn fills_up(&mut self) -> bool {
        let room = self.reader.room().max(1);
        let some = self.records.try_iter().take(room);
        some.map(|record| self.reader.read(&record)).count() == room
    }

    fn deliver(&mut self, when: When) {
        let Delivery { delivered, failed } = self.reader.deliver(when);
        self.counts.delivered.inc_by(delivered);
        self.counts.failed.inc_by(failed);
        self.counts.waiting.dec_by(i64::try_from(delivered + failed).unwrap_or(i64::MAX));
    }
}
