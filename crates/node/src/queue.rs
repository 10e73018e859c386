//! The queue between connections and threads: [`spinwell_policy::batch`] with a lock, a clock and somebody to wait.
//!
//! A standard mutex, because it is held for about a microsecond and executors are plain threads; a condition variable for
//! those, because an idle executor should cost nothing, and one for the thread that watches deadlines, which would
//! otherwise pass unnoticed while all executors are busy.

use spinwell_core::ModelName;
use spinwell_policy::batch::{self, Batch, Cost, Limits, ModelLimits, Request, Slot};
use spinwell_runtime::clock;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Why a request may not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too much waits already.
    Policy(batch::Refusal),
    /// No new work is taken.
    Stopping,
}

/// Requests that wait for an executor.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    /// Rings when an earlier deadline than all others has come in, and at the end.
    deadline: Condvar,
    len_max: usize,
}

struct State<T> {
    waiting: batch::Queue<T>,
    /// When whoever watches deadlines looks again; `None` where it waits to be called.
    looks_at: Option<Instant>,
    is_stopping: bool,
}

impl<T> Queue<T> {
    /// An empty queue, of no lanes yet.
    pub(crate) fn new(limits: Limits) -> Self {
        let state = State { waiting: batch::Queue::new(limits), looks_at: None, is_stopping: false };
        Self {
            state: Mutex::new(state),
            arrived: Condvar::new(),
            deadline: Condvar::new(),
            len_max: limits.len_max,
        }
    }

    /// A lane for a version of a model, until it is dropped.
    pub(crate) fn open_lane(self: &Arc<Self>, model: &ModelName) -> Lane<T> {
        Lane { number: self.lock().waiting.open_lane(model), queue: Arc::downgrade(self) }
    }

    /// Holds a model that has lanes to these limits from now on.
    pub(crate) fn set_limits(&self, model: &ModelName, limits: ModelLimits) {
        self.lock().waiting.set_limits(model, limits);
        // Requests that waited for their model may run now.
        self.arrived.notify_all();
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// How many requests wait in each of these lanes, at one time.
    pub(crate) fn lens_of(&self, lanes: impl Iterator<Item = usize>) -> Vec<usize> {
        let state = self.lock();
        lanes.map(|lane| state.waiting.len_of(lane)).collect()
    }

    /// How many requests may wait.
    pub(crate) fn len_max(&self) -> usize {
        self.len_max
    }

    /// Lets a request wait.
    pub(crate) fn push(&self, request: Request<T>) -> Result<Slot, Refusal> {
        let now = clock::now();
        let mut state = self.lock();
        if state.is_stopping {
            return Err(Refusal::Stopping);
        }
        let slot = state.waiting.push(request, now).map_err(Refusal::Policy)?;
        // A look too many is cheaper than a call for each request that comes while nothing waits.
        let is_earlier = match (state.waiting.next_deadline(), state.looks_at) {
            (Some(next), Some(looks_at)) => next < looks_at,
            (next, _) => next.is_some(),
        };
        drop(state);
        self.arrived.notify_one();
        if is_earlier {
            self.deadline.notify_one();
        }
        Ok(slot)
    }

    /// Takes a request out whose caller has gone, if it still waits.
    pub(crate) fn leave(&self, slot: Slot) {
        // Dropped after the lock is released.
        let _gone = self.lock().waiting.leave(slot);
    }

    /// The next batch, waiting for one that may run. `None` once the queue is stopped and empty.
    pub(crate) fn take(&self) -> Option<Batch<T>> {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.waiting.take(clock::now()) {
                return Some(batch);
            }
            if state.is_stopping && state.waiting.is_empty() {
                // The others wait for batches of their models to end, of which this was the last.
                self.arrived.notify_all();
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next batch, if there is one that may run.
    #[cfg(feature = "stepped")]
    pub(crate) fn take_now(&self) -> Option<Batch<T>> {
        self.lock().waiting.take(clock::now())
    }

    /// The requests whose deadlines have passed, if there are some.
    #[cfg(feature = "stepped")]
    pub(crate) fn take_expired(&self) -> Vec<T> {
        self.lock().waiting.expire(clock::now())
    }

    /// Tells what a batch took, so that the next ones are known better.
    pub(crate) fn observe(&self, lane: usize, cost: Cost, is_spare: bool, took: Duration) {
        let mut state = self.lock();
        state.waiting.observe(lane, cost, is_spare, took, clock::now());
        let others_wait = !state.waiting.is_empty();
        drop(state);
        // Somebody may have waited for this batch to end, because its model was at its limit; whoever ran it may be given
        // another one.
        if others_wait {
            self.arrived.notify_one();
        }
    }

    /// The requests whose deadlines have passed, waiting for some. `None` once the queue is stopped.
    pub(crate) fn expired(&self) -> Option<Vec<T>> {
        let mut state = self.lock();
        loop {
            if state.is_stopping {
                return None;
            }
            let now = clock::now();
            let expired = state.waiting.expire(now);
            if !expired.is_empty() {
                return Some(expired);
            }
            let next = state.waiting.next_deadline();
            state.looks_at = next;
            state = match next {
                None => self.deadline.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(next) => self.wait_until(state, next, now),
            };
        }
    }

    fn wait_until<'s>(
        &self,
        state: MutexGuard<'s, State<T>>,
        until: Instant,
        now: Instant,
    ) -> MutexGuard<'s, State<T>> {
        let patience = until.saturating_duration_since(now);
        self.deadline.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes no new requests; those that wait are still given out.
    pub(crate) fn stop(&self) {
        self.lock().is_stopping = true;
        self.arrived.notify_all();
        self.deadline.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that panics runs under the lock; if it ever did, the state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A model's lane in the queue. It is given back when the model is.
pub(crate) struct Lane<T> {
    number: usize,
    queue: Weak<Queue<T>>,
}

impl<T> Lane<T> {
    /// The lane as requests name it.
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

impl<T> Drop for Lane<T> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.upgrade() {
            queue.lock().waiting.close_lane(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::{Priority, TenantId};

    const LIMITS: Limits = Limits {
        len_max: 2,
        batch_max: Cost { windows: 8, rows: 8 },
        executors: 1,
        target: Duration::from_secs(600),
        interval: Duration::from_secs(600),
    };

    fn model() -> ModelName {
        "m".parse().unwrap()
    }

    fn request(work: u32, deadline: Instant) -> Request<u32> {
        Request {
            lane: 0,
            priority: Priority::Normal,
            is_spare: false,
            tenant: TenantId("t".into()),
            cost: Cost { windows: 1, rows: 1 },
            deadline,
            work,
        }
    }

    fn later() -> Instant {
        clock::now() + Duration::from_secs(600)
    }

    #[test]
    fn a_full_queue_refuses_and_a_stopped_one_finishes() {
        let queue = Arc::new(Queue::new(LIMITS));
        let _lane = queue.open_lane(&model());
        assert!(queue.push(request(1, later())).is_ok() && queue.push(request(2, later())).is_ok());
        assert_eq!(queue.push(request(3, later())), Err(Refusal::Policy(batch::Refusal::Full)));
        queue.stop();
        assert_eq!(queue.push(request(4, later())), Err(Refusal::Stopping));
        assert_eq!(queue.take().map(|batch| batch.ready), Some(vec![1, 2]));
        assert_eq!((queue.take(), queue.expired()), (None, None));
    }

    #[test]
    fn an_idle_executor_wakes_for_work_and_for_the_end() {
        let queue = Arc::new(Queue::new(LIMITS));
        let _lane = queue.open_lane(&model());
        let executor = std::thread::spawn({
            let queue = queue.clone();
            move || std::iter::from_fn(|| queue.take()).flat_map(|batch| batch.ready).collect::<Vec<_>>()
        });
        queue.push(request(7, later())).unwrap();
        queue.stop();
        assert_eq!(executor.join().unwrap(), [7]);
    }

    #[test]
    fn executors_wait_for_a_model_at_its_limit_also_at_the_end() {
        let limits = Limits { len_max: 100, executors: 2, batch_max: Cost { windows: 1, rows: 1 }, ..LIMITS };
        let queue = Arc::new(Queue::new(limits));
        let _lane = queue.open_lane(&model());
        queue.set_limits(&model(), ModelLimits { concurrency_max: Some(1), queue_len_max: None });
        (0..50).for_each(|work| assert!(queue.push(request(work, later())).is_ok()));
        let running = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let executor = || {
            let (queue, running) = (queue.clone(), running.clone());
            std::thread::spawn(move || {
                let mut done = 0;
                while let Some(batch) = queue.take() {
                    assert_eq!(running.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    running.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    done += batch.ready.len();
                    queue.observe(batch.lane, batch.cost, batch.is_spare, Duration::ZERO);
                }
                done
            })
        };
        let executors = [executor(), executor()];
        queue.stop();
        assert_eq!(executors.map(|executor| executor.join().unwrap()).iter().sum::<usize>(), 50);
    }

    #[test]
    fn deadlines_pass_while_no_executor_is_free() {
        let queue = Arc::new(Queue::new(LIMITS));
        let _lane = queue.open_lane(&model());
        let watch = std::thread::spawn({
            let queue = queue.clone();
            move || std::iter::from_fn(|| queue.expired()).flatten().next()
        });
        queue.push(request(1, later())).unwrap();
        let slot = queue.push(request(2, clock::now() + Duration::from_millis(5))).unwrap();
        assert_eq!(watch.join().unwrap(), Some(2));
        queue.leave(slot);
        assert_eq!(queue.len(), 1);
        queue.stop();
    }
}
