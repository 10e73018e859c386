//! The queue between connections and executors: bounded, and refusing at once when it is full.
//!
//! A standard mutex, because it is held for a few dozen nanoseconds and executors are plain threads; a
//! condition variable, because an idle executor should cost nothing.

use crate::waiting::{Batch, Cost, Waiting};
use spinwell_runtime::clock;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Why a request may not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many wait as may.
    Full,
    /// No new work is taken.
    Stopping,
}

/// A request on its way into the queue.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    /// The model, by its lane.
    pub(crate) lane: usize,
    /// What it asks of an executor.
    pub(crate) cost: Cost,
    /// When its answer is worth nothing any more.
    pub(crate) deadline: Instant,
    /// The request itself.
    pub(crate) work: T,
}

/// Requests that wait for an executor.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    len_max: usize,
    cost_max: Cost,
}

struct State<T> {
    waiting: Waiting<T>,
    is_stopping: bool,
}

impl<T> Queue<T> {
    /// An empty queue for `lanes` models that holds at most `len_max` requests and gives batches that cost
    /// at most `cost_max`.
    pub(crate) fn new(lanes: usize, len_max: usize, cost_max: Cost) -> Self {
        let state = State { waiting: Waiting::new(lanes), is_stopping: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), len_max, cost_max }
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// How many requests may wait.
    pub(crate) fn len_max(&self) -> usize {
        self.len_max
    }

    /// Lets a request wait.
    pub(crate) fn push(&self, entry: Entry<T>) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.is_stopping {
            return Err(Refusal::Stopping);
        }
        if state.waiting.len() >= self.len_max {
            return Err(Refusal::Full);
        }
        state.waiting.push(entry.lane, entry.cost, entry.deadline, entry.work);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// The next batch, waiting for one. `None` once the queue is stopped and empty.
    pub(crate) fn take(&self, wanted: impl Fn(&T) -> bool) -> Option<Batch<T>> {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.waiting.take(clock::now(), self.cost_max, &wanted) {
                return Some(batch);
            }
            if state.is_stopping {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes no new requests; those that wait are still given out.
    pub(crate) fn stop(&self) {
        self.lock().is_stopping = true;
        self.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that panics runs under the lock; if it ever did, the state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    const COST: Cost = Cost { windows: 1, rows: 1 };
    const COST_MAX: Cost = Cost { windows: 8, rows: 8 };

    fn entry(work: u32) -> Entry<u32> {
        Entry { lane: 0, cost: COST, deadline: clock::now() + Duration::from_secs(600), work }
    }

    #[test]
    fn a_full_queue_refuses_and_a_stopped_one_finishes() {
        let queue = Queue::new(1, 2, COST_MAX);
        assert_eq!((queue.push(entry(1)), queue.push(entry(2))), (Ok(()), Ok(())));
        assert_eq!(queue.push(entry(3)), Err(Refusal::Full));
        queue.stop();
        assert_eq!(queue.push(entry(4)), Err(Refusal::Stopping));
        assert_eq!(queue.take(|_| true).map(|batch| batch.ready), Some(vec![1, 2]));
        assert_eq!(queue.take(|_| true), None);
    }

    #[test]
    fn an_idle_executor_wakes_for_work_and_for_the_end() {
        let queue = Arc::new(Queue::new(1, 2, COST_MAX));
        let executor = std::thread::spawn({
            let queue = queue.clone();
            move || {
                std::iter::from_fn(|| queue.take(|_| true)).flat_map(|batch| batch.ready).collect::<Vec<_>>()
            }
        });
        queue.push(entry(7)).unwrap();
        queue.stop();
        assert_eq!(executor.join().unwrap(), [7]);
    }
}
