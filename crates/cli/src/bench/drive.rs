//! Sends requests when they are due and counts how they end. All on one thread, so that the load takes as little from
//! the server beside it as it can; only an open loop's pacemaker has a thread of its own, because the runtime's timers
//! are exact to a millisecond and no better.

use super::pace::Schedule;
use super::tally::{Ended, Tally};
use super::trace::{Line, StepEnd, Trace};
use spinwell_runtime::clock;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A request to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    /// Its number, from 0.
    pub(crate) number: u64,
    /// When it should be sent.
    pub(crate) intended: Instant,
}

/// Gives out orders to whoever is free.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pace: Pace,
    next: Cell<u64>,
    start: Instant,
    end: Instant,
    limit: u64,
    stopped: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Pace {
    Closed,
    Open { schedule: Arc<Schedule>, due: Arc<Semaphore> },
}

impl Dispatcher {
    /// Orders one after the other, from `start` to `end`, and `limit` of them at most.
    pub(crate) fn closed(start: Instant, end: Instant, limit: u64, stopped: Arc<AtomicBool>) -> Self {
        Self { pace: Pace::Closed, next: Cell::new(0), start, end, limit, stopped }
    }

    /// Orders as they are due, to `callers` who take them.
    pub(crate) fn open(
        start: Instant,
        end: Instant,
        schedule: Schedule,
        callers: usize,
        stopped: Arc<AtomicBool>,
    ) -> Self {
        let (schedule, due) = (Arc::new(schedule), Arc::new(Semaphore::new(0)));
        let limit = schedule.len() as u64;
        let beat = Pacemaker { schedule: schedule.clone(), due: due.clone(), start, callers };
        let given = stopped.clone();
        let thread = std::thread::Builder::new().name("pacemaker".to_owned());
        if thread.spawn(move || beat.run(&given)).is_err() {
            // Nobody would be told of an order: there are none.
            due.close();
        }
        Self { pace: Pace::Open { schedule, due }, next: Cell::new(0), start, end, limit, stopped }
    }

    /// The next order when it is due; none where all are given out. Dropping the future loses none.
    pub(crate) async fn next(&self) -> Option<Order> {
        let number = self.next.get();
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        match &self.pace {
            Pace::Closed => {
                let now = clock::now();
                if number >= self.limit || now >= self.end {
                    return None;
                }
                self.next.set(number + 1);
                Some(Order { number, intended: now })
            }
            Pace::Open { schedule, due } => {
                due.acquire().await.ok()?.forget();
                // Others may have taken orders while this one waited.
                let number = self.next.get();
                let at = schedule.at(usize::try_from(number).ok()?)?;
                self.next.set(number + 1);
                Some(Order { number, intended: self.start + at })
            }
        }
    }

    /// Orders that were given out.
    pub(crate) fn given(&self) -> u64 {
        self.next.get()
    }

    /// Orders that were due and never given out: nobody was free to take them.
    pub(crate) fn left(&self) -> u64 {
        match &self.pace {
            Pace::Closed => 0,
            Pace::Open { .. } if self.stopped.load(Ordering::Relaxed) => 0,
            Pace::Open { .. } => self.limit - self.next.get(),
        }
    }
}

/// Lets orders go when they are due.
struct Pacemaker {
    schedule: Arc<Schedule>,
    due: Arc<Semaphore>,
    start: Instant,
    callers: usize,
}

impl Pacemaker {
    fn run(&self, stopped: &AtomicBool) {
        let mut given = 0;
        while given < self.schedule.len() && !stopped.load(Ordering::Relaxed) {
            let elapsed = clock::now().saturating_duration_since(self.start);
            let due = self.schedule.due(elapsed);
            if due > given && clock::now() >= self.start {
                self.due.add_permits(due - given);
                given = due;
            } else {
                let wait = (self.start + self.schedule.at(given).unwrap_or_default())
                    .saturating_duration_since(clock::now());
                pause(wait.min(Duration::from_millis(100)));
            }
        }
        // Whoever still waits finds that there is none.
        self.due.add_permits(self.callers);
    }
}

#[expect(clippy::disallowed_methods, reason = "a pacemaker waits for a time, not for a state")]
fn pause(wait: Duration) {
    std::thread::sleep(wait);
}

/// Where ends are counted.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) tally: Rc<RefCell<Tally>>,
    /// Where somebody wants to know of each.
    trace: Option<Rc<RefCell<Trace>>>,
}

impl Record {
    pub(crate) fn new(tally: Tally, trace: Option<Trace>) -> Self {
        let trace = trace.map(|trace| Rc::new(RefCell::new(trace)));
        Self { tally: Rc::new(RefCell::new(tally)), trace }
    }

    /// A request has just ended.
    pub(crate) fn end(&self, intended: Instant, sent: Instant, ended: &Ended) {
        self.end_of(intended, sent, ended, None);
    }

    /// A step has just ended.
    pub(crate) fn end_step(&self, intended: Instant, sent: Instant, ended: &Ended, step: StepEnd) {
        self.end_of(intended, sent, ended, Some(step));
    }

    fn end_of(&self, due: Instant, sent: Instant, ended: &Ended, step: Option<StepEnd>) {
        let now = clock::now();
        self.tally.borrow_mut().record(due, sent, now, ended);
        if let Some(trace) = &self.trace {
            let code = match ended {
                Ended::Answered { .. } => String::new(),
                Ended::Failed(failure) => failure.code.clone(),
            };
            trace.borrow_mut().add(Line { due, sent, ended: now, code, step });
        }
    }

    /// What was kept of each request.
    pub(crate) fn trace(&self) -> Option<Trace> {
        self.trace.as_ref().map(|trace| trace.borrow().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::pace::Arrivals;
    use super::*;

    #[tokio::test]
    async fn every_order_is_given_out_once_and_then_there_are_none() {
        let start = clock::now();
        let schedule = Schedule::new(Arrivals::Constant, 10_000.0, Duration::from_millis(20), usize::MAX, 1);
        let stopped = Arc::new(AtomicBool::new(false));
        let end = start + Duration::from_secs(60);
        let open = Dispatcher::open(start, end, schedule, 2, stopped.clone());
        let mut numbers = Vec::new();
        while let Some(order) = open.next().await {
            assert!(order.intended <= clock::now());
            numbers.push(order.number);
        }
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        assert_eq!((open.given(), open.left()), (200, 0));
        assert!(open.next().await.is_none(), "for the other caller too");
        let closed = Dispatcher::closed(start, end, 3, stopped.clone());
        for number in 0..3 {
            assert_eq!(closed.next().await.unwrap().number, number);
        }
        assert!(closed.next().await.is_none());
        let interrupted = Dispatcher::closed(start, end, 3, stopped.clone());
        stopped.store(true, Ordering::Relaxed);
        assert!(interrupted.next().await.is_none());
    }
}
