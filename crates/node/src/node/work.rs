//! What the threads of a node do: executors, and who watches deadlines.

use super::{Inner, RETRY_AFTER};
use crate::executor::{self, Job};
use crate::repository::Loaded;
use spinwell_core::{Code, Fault, Millis};
use spinwell_policy::batch::{self, Cost, Late};
use spinwell_runtime::clock;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What is said of a request whose deadline passes while it waits.
const LATE: &str = "the request waited so long that it cannot be answered before its deadline";

/// A batch in the hands of an executor.
pub(super) struct Begun {
    jobs: Vec<Job>,
    lane: usize,
    pub(super) cost: Cost,
    is_spare: bool,
    started: Instant,
    /// Held to the end: its lane must not become another model's before the batch is accounted for.
    _model: Arc<Loaded>,
}

impl Inner {
    /// The life of an executor.
    pub(super) fn execute(&self) {
        while let Some(batch) = self.queue.take() {
            if let Some(begun) = self.begin(batch) {
                self.finish(begun);
            }
        }
    }

    /// Refuses what of a batch is not to run. The rest, where there is some, has begun.
    pub(super) fn begin(&self, batch: batch::Batch<Job>) -> Option<Begun> {
        for Late { work: job, takes } in batch.late {
            let fault = late(takes, job.arrived, job.deadline);
            job.refuse(fault);
        }
        for job in batch.shed {
            let message = "requests wait longer than this server lets them; the least urgent are refused";
            job.refuse(Fault::new(Code::QueueFull, message).retry_after(RETRY_AFTER));
        }
        let _model = batch.ready.first()?.model.clone();
        let started = clock::now();
        let waited = batch.ready.iter().map(|job| row_micros(job, started)).sum();
        self.row_micros.fetch_add(waited, Ordering::Relaxed);
        self.executing.fetch_add(1, Ordering::Relaxed);
        let (lane, cost, is_spare) = (batch.lane, batch.cost, batch.is_spare);
        Some(Begun { jobs: batch.ready, lane, cost, is_spare, started, _model })
    }

    /// Runs a batch and answers its requests.
    pub(super) fn finish(&self, begun: Begun) {
        let Begun { jobs, lane, cost, is_spare, started, _model } = begun;
        let ran = executor::run(&self.sequences, &self.id, jobs);
        self.executing.fetch_sub(1, Ordering::Relaxed);
        let took = clock::now().saturating_duration_since(started);
        self.row_micros.fetch_add(micros(took).saturating_mul(cost.rows as u64), Ordering::Relaxed);
        let (cost, took) = whole(cost, ran, took);
        self.queue.observe(lane, cost, is_spare, took);
    }

    /// Refuses what waits when its deadline passes, though all executors be busy.
    pub(super) fn watch_deadlines(&self) {
        while let Some(expired) = self.queue.expired() {
            refuse_late(expired);
        }
    }
}

/// Refuses requests whose deadlines have passed while they waited.
pub(super) fn refuse_late(jobs: Vec<Job>) {
    for job in jobs {
        job.refuse(Fault::new(Code::DeadlineExceeded, LATE));
    }
}

/// What a batch would have taken of which so many rows ran until the last of its callers had gone, or his time had passed:
/// nobody should take it for a fast one. Of one that did not run at all, nothing is known.
fn whole(cost: Cost, ran: usize, took: Duration) -> (Cost, Duration) {
    match ran {
        0 => (Cost::default(), took),
        ran => (cost, took.mul_f64(cost.rows as f64 / ran as f64)),
    }
}

/// What is said of a request that would have to be answered sooner than it can be, whatever else waits.
pub(super) fn hopeless(takes: Duration) -> Fault {
    let message = format!(
        "the request takes about {}, which is longer than its deadline leaves it; ask for fewer windows at once or give it \
         more time",
        at_least_one(takes)
    );
    Fault::new(Code::DeadlineExceeded, message)
}

/// What is said of a request that cannot be answered before its deadline when its turn has come.
fn late(takes: Duration, arrived: Instant, deadline: Instant) -> Fault {
    if deadline.saturating_duration_since(arrived) <= takes {
        return hopeless(takes);
    }
    let waited = at_least_one(clock::now().saturating_duration_since(arrived));
    let message = format!(
        "the request waited {waited} and takes about {}, so that it cannot be answered before its deadline",
        at_least_one(takes)
    );
    Fault::new(Code::DeadlineExceeded, message)
}

pub(super) fn at_least_one(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1))
}

/// How long the rows of a request have waited together.
fn row_micros(job: &Job, now: Instant) -> u64 {
    let rows = job.series.batch() * job.series.rows();
    micros(now.saturating_duration_since(job.arrived)).saturating_mul(rows as u64)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_for_lack_of_time_is_told_why() {
        let (now, ms) = (clock::now(), Duration::from_millis);
        let check = |takes: u64, said: &str| {
            let fault = late(ms(takes), now, now + ms(1000));
            assert_eq!(fault.code(), Code::DeadlineExceeded);
            assert!(fault.message().contains(said), "{takes} ms: {fault}");
        };
        check(3000, "the request takes about 3000 ms, which is longer than its deadline leaves it");
        check(900, "and takes about 900 ms, so that it cannot be answered before its deadline");
        // A batch that was cut short is no fast one.
        let cost = Cost { windows: 4, rows: 400 };
        assert_eq!(whole(cost, 400, ms(100)), (cost, ms(100)));
        assert_eq!(whole(cost, 100, ms(100)), (cost, ms(400)));
        assert_eq!(whole(cost, 0, ms(100)).0, Cost::default());
    }
}
