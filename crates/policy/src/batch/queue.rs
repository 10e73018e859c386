//! The queue itself: requests, their indices, and what is done when a batch is taken.

use super::shedding::Shedding;
use super::speed::{Cost, Speed};
use super::turns::Turns;
use spinwell_core::{Priority, TenantId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What a queue is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait.
    pub len_max: usize,
    /// What a batch may ask of an executor; a request that asks for more rides alone.
    pub batch_max: Cost,
    /// Executors that take batches at the same time.
    pub executors: usize,
    /// Age of the oldest request beyond which the lowest class is shed, if it lasts.
    pub target: Duration,
    /// For how long it must last.
    pub interval: Duration,
}

/// A request on its way into the queue.
#[derive(Debug)]
pub struct Request<T> {
    /// The model, by its lane.
    pub lane: usize,
    /// How urgent it is.
    pub priority: Priority,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it asks of an executor.
    pub cost: Cost,
    /// When its answer is worth nothing any more.
    pub deadline: Instant,
    /// The request itself.
    pub work: T,
}

/// A request's place in the queue, by which it can leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u64);

/// Why a request may not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// As many wait as may.
    Full,
    /// What waits already will not let it finish before its deadline, or is too much for a queue that does not drain.
    Backlog {
        /// How long that will take.
        takes: Duration,
    },
}

/// What an executor should do next.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// The model, by its lane.
    pub lane: usize,
    /// To be run together. May be empty.
    pub ready: Vec<T>,
    /// What those ask of the executor.
    pub cost: Cost,
    /// To be refused: they cannot finish before their deadlines.
    pub late: Vec<T>,
    /// To be refused: the queue does not drain.
    pub shed: Vec<T>,
}

/// A request that waits.
#[derive(Debug)]
struct Item<T> {
    request: Request<T>,
    arrived: Instant,
    /// What it was expected to take when it came, counted in the backlog.
    expected: Duration,
}

/// Requests that wait.
#[derive(Debug)]
pub struct Queue<T> {
    limits: Limits,
    /// By arrival, so that the first is the oldest.
    items: BTreeMap<u64, Item<T>>,
    turns: Turns,
    lanes: Vec<BTreeSet<(Priority, Instant, u64)>>,
    deadlines: BTreeSet<(Instant, u64)>,
    speeds: Vec<Speed>,
    /// Lanes that are of no model any more, to be used again.
    closed: Vec<usize>,
    /// What waits is expected to take, by class.
    backlog: [Duration; Priority::COUNT],
    /// The batches that run, by lane, with when each is expected to end.
    running: Vec<(usize, Instant)>,
    shedding: Shedding,
    arrivals: u64,
}

impl<T> Queue<T> {
    /// A queue in which nobody waits, of no lanes yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            items: BTreeMap::new(),
            turns: Turns::default(),
            lanes: Vec::new(),
            deadlines: BTreeSet::new(),
            speeds: Vec::new(),
            closed: Vec::new(),
            backlog: [Duration::ZERO; Priority::COUNT],
            running: Vec::new(),
            shedding: Shedding::new(limits.target, limits.interval),
            arrivals: 0,
        }
    }

    /// A lane for a model.
    pub fn open_lane(&mut self) -> usize {
        if let Some(lane) = self.closed.pop() {
            self.speeds[lane] = Speed::default();
            return lane;
        }
        self.lanes.push(BTreeSet::new());
        self.speeds.push(Speed::default());
        self.lanes.len() - 1
    }

    /// A lane whose model is gone, and for which nobody waits and nothing runs.
    pub fn close_lane(&mut self, lane: usize) {
        if self.lanes.get(lane).is_some_and(BTreeSet::is_empty) && !self.closed.contains(&lane) {
            self.closed.push(lane);
        }
    }

    /// How many requests wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Lets a request wait.
    ///
    /// # Errors
    /// Where it may not; then it is gone.
    ///
    /// # Panics
    /// Where there is no such lane.
    pub fn push(&mut self, request: Request<T>, now: Instant) -> Result<Slot, Refusal> {
        if self.items.len() >= self.limits.len_max {
            return Err(Refusal::Full);
        }
        let expected = self.speeds[request.lane].estimate(request.cost, now);
        let backlog = self.backlog_before(request.priority, now);
        let is_hopeless = now + backlog + expected > request.deadline && backlog > Duration::ZERO;
        if is_hopeless || self.shedding.is_on() && backlog > self.limits.target {
            return Err(Refusal::Backlog { takes: backlog });
        }
        let arrival = self.arrivals;
        self.arrivals += 1;
        let Request { lane, priority, deadline, .. } = request;
        self.turns.enter(priority, &request.tenant, (deadline, arrival));
        self.lanes[lane].insert((priority, deadline, arrival));
        self.deadlines.insert((deadline, arrival));
        self.backlog[priority as usize] += expected;
        self.items.insert(arrival, Item { request, arrived: now, expected });
        Ok(Slot(arrival))
    }

    /// What runs and what waits and goes before a request of that class, divided among the executors. Of lower classes only
    /// their share goes before it, which is left out.
    fn backlog_before(&self, priority: Priority, now: Instant) -> Duration {
        let executors = self.limits.executors.max(1);
        let waiting: Duration = self.backlog[..=priority as usize].iter().sum();
        let is_busy = self.running.len() >= executors;
        let running = self.running.iter().map(|&(_, end)| end.saturating_duration_since(now));
        let running: Duration = running.filter(|_| is_busy).sum();
        (waiting + running) / u32::try_from(executors).unwrap_or(u32::MAX)
    }

    /// A request leaves, because its caller has.
    pub fn leave(&mut self, slot: Slot) -> Option<T> {
        self.remove(slot.0).map(|request| request.work)
    }

    /// When the next deadline passes.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Takes out the requests whose deadlines have passed.
    pub fn expire(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some(&(deadline, arrival)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            expired.extend(self.remove(arrival).map(|request| request.work));
        }
        expired
    }

    /// A batch of that model and cost has ended; it took so long.
    ///
    /// # Panics
    /// Where there is no such lane.
    pub fn observe(&mut self, lane: usize, cost: Cost, took: Duration, now: Instant) {
        self.speeds[lane].observe(cost, took, now);
        let ended = self.running.iter().position(|&(running, _)| running == lane);
        ended.map(|place| self.running.swap_remove(place));
    }

    /// Takes the next batch, and with it the requests that are to be refused. `None` where nobody waits.
    pub fn take(&mut self, now: Instant) -> Option<Batch<T>> {
        let mut late = Vec::new();
        let shed = self.shed(now);
        while let Some(arrival) = self.turns.next() {
            let Some(item) = self.items.get(&arrival) else { break };
            let Request { lane, cost, deadline, .. } = item.request;
            if now + self.speeds[lane].estimate(cost, now) >= deadline {
                late.extend(self.remove(arrival).map(|request| request.work));
                continue;
            }
            let (ready, cost) = self.fill(lane, arrival, now);
            self.running.push((lane, now + self.speeds[lane].estimate(cost, now)));
            return Some(Batch { lane, ready, cost, late, shed });
        }
        let nothing = late.is_empty() && shed.is_empty();
        (!nothing).then_some(Batch { lane: 0, ready: Vec::new(), cost: Cost::default(), late, shed })
    }

    /// The request `first` and whoever rides along.
    fn fill(&mut self, lane: usize, first: u64, now: Instant) -> (Vec<T>, Cost) {
        let mut ready = Vec::new();
        let mut cost = Cost::default();
        let mut soonest: Option<Instant> = None;
        let others =
            self.lanes[lane].iter().map(|&(.., arrival)| arrival).filter(|&arrival| arrival != first);
        // Every request has a window, so that no more than these fit.
        let others: Vec<u64> = others.take(self.limits.batch_max.windows).collect();
        for arrival in std::iter::once(first).chain(others) {
            let Some(item) = self.items.get(&arrival) else { continue };
            let together = cost.plus(item.request.cost);
            let takes = self.speeds[lane].estimate(together, now);
            let end = now + takes;
            // A batch that takes as long as requests may wait would make those wait that come next.
            let is_in_time = soonest.is_none_or(|soonest| end < soonest)
                && end < item.request.deadline
                && takes <= self.limits.target / 2;
            if !ready.is_empty() && (!together.is_within(self.limits.batch_max) || !is_in_time) {
                break;
            }
            let deadline = item.request.deadline;
            let (priority, tenant, rows) =
                (item.request.priority, item.request.tenant.clone(), item.request.cost.rows);
            self.turns.charge(priority, &tenant, rows);
            ready.extend(self.remove(arrival).map(|request| request.work));
            soonest = Some(soonest.map_or(deadline, |soonest| soonest.min(deadline)));
            cost = together;
        }
        (ready, cost)
    }

    /// Sheds from the lowest class, the newest first: who has waited longest is nearest to an answer.
    fn shed(&mut self, now: Instant) -> Vec<T> {
        let mut shed = Vec::new();
        while let Some(oldest) = self.items.values().next() {
            let age = now.saturating_duration_since(oldest.arrived);
            if !self.shedding.is_due(age, now) {
                break;
            }
            let lowest = self.items.values().map(|item| item.request.priority).max();
            let newest = self.items.iter().rev().find(|(_, item)| Some(item.request.priority) == lowest);
            let Some(arrival) = newest.map(|(&arrival, _)| arrival) else { break };
            shed.extend(self.remove(arrival).map(|request| request.work));
        }
        shed
    }

    fn remove(&mut self, arrival: u64) -> Option<Request<T>> {
        let Item { request, expected, .. } = self.items.remove(&arrival)?;
        let Request { lane, priority, deadline, .. } = request;
        self.turns.leave(priority, &request.tenant, (deadline, arrival));
        self.lanes[lane].remove(&(priority, deadline, arrival));
        self.deadlines.remove(&(deadline, arrival));
        let backlog = &mut self.backlog[priority as usize];
        *backlog = backlog.saturating_sub(expected);
        Some(request)
    }

    /// Whether nothing is left of requests that are gone.
    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        let backlog = self.backlog.iter().all(Duration::is_zero);
        self.items.is_empty()
            && self.deadlines.is_empty()
            && self.lanes.iter().all(BTreeSet::is_empty)
            && backlog
    }

    /// Tenants that are remembered.
    #[cfg(test)]
    pub(super) fn tenants(&self) -> usize {
        self.turns.tenants()
    }
}
