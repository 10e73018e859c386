//! A node: the real queue, and a model of what is around it.

use crate::scenario::{NodeSpec, Plant};
use spinwell_core::{ModelName, Priority, Ratio, Rng, TenantId};
use spinwell_policy::balance::Report;
use spinwell_policy::batch::{Batch, Cost, Limits, Queue, Refusal, Request, Slot};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a batch takes on a usual node: a beginning, and so much a row.
const BATCH_BEGINS_US: f64 = 4_000.0;
const ROW_US: f64 = 50.0;
/// Standard deviation of a batch's time around that, as a share of it.
const NOISE: f64 = 0.1;
/// What a batch may ask.
const BATCH_MAX: Cost = Cost { windows: 8, rows: 4_096 };

/// Requests of so many rows that a node can answer a second: its batches take at most half of the queue's target.
#[must_use]
pub(crate) fn capacity(spec: &NodeSpec, rows: f64) -> f64 {
    let longest = spec.speed * TARGET.as_secs_f64() * 1e6 / 2.0;
    let windows = ((longest - BATCH_BEGINS_US) / (ROW_US * rows)).clamp(1.0, BATCH_MAX.windows as f64);
    spec.speed * spec.executors as f64 * windows * 1e6 / (BATCH_BEGINS_US + ROW_US * rows * windows)
}

const TARGET: Duration = Duration::from_millis(50);

/// Whether its process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Running,
    /// Running, and about to exit.
    Draining,
    /// Not there: connections are refused.
    Crashed,
    /// Not there, after a drain.
    Exited,
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    spec: NodeSpec,
    limits: Limits,
    queue: Queue<u64>,
    lane: usize,
    slots: BTreeMap<u64, Slot>,
    running: BTreeMap<u64, Running>,
    batches: u64,
    pub(crate) process: Process,
    /// Which process this is: what an earlier one was asked is gone.
    pub(crate) life: u64,
    /// It has withdrawn and not joined again.
    pub(crate) has_withdrawn: bool,
    pub(crate) is_frozen: bool,
    pub(crate) slow: f64,
    pub(crate) errors: f64,
    pub(crate) hangs: f64,
    rng: Rng,
    /// Rows that wait or run, and the integrals of them and of busy executors since the newest report.
    rows: f64,
    rows_area: f64,
    busy_area: f64,
    changed: Instant,
    reported: Instant,
    pub(crate) queue_len_max: usize,
    pub(crate) busy: Duration,
}

#[derive(Debug)]
struct Running {
    attempts: Vec<u64>,
    cost: Cost,
    began: Instant,
}

/// A batch that an executor has begun, and what was refused when it was taken.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Its number, and how long it takes; none where there was only something to refuse.
    pub(crate) batch: Option<(u64, Duration)>,
    pub(crate) refused: Vec<u64>,
}

impl Node {
    pub(crate) fn new(spec: NodeSpec, plant: Option<Plant>, rng: Rng, now: Instant) -> Self {
        let is_unbounded = plant == Some(Plant::UnboundedQueues);
        let limits = Limits {
            len_max: if is_unbounded { usize::MAX } else { spec.queue_len_max },
            batch_max: BATCH_MAX,
            executors: spec.executors,
            target: if is_unbounded { Duration::from_secs(3_600) } else { TARGET },
            interval: Duration::from_millis(100),
        };
        let (queue, lane) = fresh(limits);
        Self {
            spec,
            limits,
            queue,
            lane,
            slots: BTreeMap::new(),
            running: BTreeMap::new(),
            batches: 0,
            process: Process::Running,
            life: 1,
            has_withdrawn: false,
            is_frozen: false,
            slow: 1.0,
            errors: 0.0,
            hangs: 0.0,
            rng,
            rows: 0.0,
            rows_area: 0.0,
            busy_area: 0.0,
            changed: now,
            reported: now,
            queue_len_max: 0,
            busy: Duration::ZERO,
        }
    }

    /// Whether its process is there.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.process, Process::Running | Process::Draining)
    }

    /// Whether nothing waits or runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.queue.is_empty()
    }

    /// Lets a request wait.
    pub(crate) fn push(
        &mut self,
        attempt: u64,
        rows: usize,
        deadline: Instant,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.settle(now);
        let request = Request {
            lane: self.lane,
            priority: Priority::Normal,
            is_spare: false,
            tenant: TenantId("default".into()),
            cost: Cost { windows: 1, rows },
            deadline,
            work: attempt,
        };
        let slot = self.queue.push(request, now)?;
        self.slots.insert(attempt, slot);
        self.rows += rows as f64;
        self.queue_len_max = self.queue_len_max.max(self.queue.len());
        Ok(())
    }

    /// Begins the next batch, if an executor is free and somebody waits.
    pub(crate) fn take(&mut self, rows_of: impl Fn(u64) -> usize, now: Instant) -> Option<Begun> {
        if self.running.len() >= self.spec.executors || !self.is_up() {
            return None;
        }
        self.settle(now);
        let Batch { ready, cost, late, shed, .. } = self.queue.take(now)?;
        let refused: Vec<u64> = late.into_iter().map(|late| late.work).chain(shed).collect();
        for attempt in refused.iter().chain(&ready) {
            self.slots.remove(attempt);
        }
        self.rows -= refused.iter().map(|&attempt| rows_of(attempt) as f64).sum::<f64>();
        if ready.is_empty() {
            return Some(Begun { batch: None, refused });
        }
        let usual = BATCH_BEGINS_US + ROW_US * cost.rows as f64;
        let noise = (1.0 + NOISE * self.rng.normal()).clamp(0.5, 2.0);
        let takes = Duration::from_secs_f64(usual * 1e-6 * self.slow / self.spec.speed * noise);
        self.batches += 1;
        self.running.insert(self.batches, Running { attempts: ready, cost, began: now });
        Some(Begun { batch: Some((self.batches, takes)), refused })
    }

    /// A batch has ended: whom it answers. Nobody, where the process that ran it is gone.
    pub(crate) fn end(&mut self, batch: u64, now: Instant) -> Vec<u64> {
        self.settle(now);
        let Some(Running { attempts, cost, began }) = self.running.remove(&batch) else { return Vec::new() };
        let took = now.saturating_duration_since(began);
        self.busy += took;
        self.queue.observe(self.lane, cost, false, took, now);
        self.rows -= cost.rows as f64;
        attempts
    }

    /// Takes out those whose deadlines have passed.
    pub(crate) fn expire(&mut self, rows_of: impl Fn(u64) -> usize, now: Instant) -> Vec<u64> {
        self.settle(now);
        let expired = self.queue.expire(now);
        for attempt in &expired {
            self.slots.remove(attempt);
            self.rows -= rows_of(*attempt) as f64;
        }
        expired
    }

    /// Nobody waits for an attempt any more.
    pub(crate) fn leave(&mut self, attempt: u64, rows: usize, now: Instant) {
        if let Some(slot) = self.slots.remove(&attempt) {
            self.settle(now);
            if self.queue.leave(slot).is_some() {
                self.rows -= rows as f64;
            }
        }
    }

    /// Its process is gone: whom it will not answer.
    pub(crate) fn stop(&mut self, process: Process, now: Instant) -> Vec<u64> {
        self.settle(now);
        self.process = process;
        self.is_frozen = false;
        let waiting = std::mem::take(&mut self.slots).into_keys();
        let running = std::mem::take(&mut self.running);
        let lost = waiting.chain(running.into_values().flat_map(|running| running.attempts)).collect();
        (self.queue, self.lane) = fresh(self.limits);
        self.rows = 0.0;
        lost
    }

    /// Its process starts, with nothing of the one before.
    pub(crate) fn start(&mut self, now: Instant) {
        if self.is_up() {
            return;
        }
        self.process = Process::Running;
        self.life += 1;
        (self.slow, self.errors, self.hangs) = (1.0, 0.0, 0.0);
        (self.rows_area, self.busy_area, self.changed, self.reported) = (0.0, 0.0, now, now);
    }

    /// What it says of the time since its last report.
    pub(crate) fn report(&mut self, now: Instant) -> Report {
        self.settle(now);
        let period = now.saturating_duration_since(self.reported).as_secs_f64().max(1e-6);
        let busy = (self.busy_area / period / self.spec.executors as f64).clamp(0.0, 1.0);
        let rows_in_flight = (self.rows_area / period).max(0.0);
        (self.rows_area, self.busy_area, self.reported) = (0.0, 0.0, now);
        let ratio = |value: f64| Ratio::new(value.clamp(0.0, 1.0)).unwrap_or(Ratio::ZERO);
        let queued = rows_in_flight / (self.spec.queue_len_max as f64 * 64.0);
        Report {
            rows_in_flight,
            gpu: self.spec.has_gpu.then(|| ratio(busy)),
            memory: ratio(0.3 + 0.5 * queued),
            cpu: ratio(0.1 + if self.spec.has_gpu { 0.3 } else { 0.9 } * busy),
        }
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.uniform() < share
    }

    fn settle(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.changed).as_secs_f64();
        self.rows_area += self.rows * passed;
        self.busy_area += self.running.len() as f64 * passed;
        self.changed = self.changed.max(now);
    }
}

fn fresh(limits: Limits) -> (Queue<u64>, usize) {
    let mut queue = Queue::new(limits);
    let lane = queue.open_lane(&model());
    (queue, lane)
}

/// The one model of a simulated cluster.
#[allow(clippy::unwrap_used, reason = "the name is a constant that follows the rule")]
pub(crate) fn model() -> ModelName {
    "taxi".parse().unwrap()
}
