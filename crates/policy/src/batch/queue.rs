//! The queue itself: requests, their indices, and what is done when a batch is taken.

use super::models::{ModelLimits, Models, Running};
use super::shedding::Shedding;
use super::speed::{Cost, Speed};
use super::turns::Turns;
use spinwell_core::{ModelName, Priority, TenantId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Requests that may wait for time that nobody else wants. They are nobody's loss where they do not fit, and each holds its
/// input.
const SPARE_LEN_MAX: usize = 64;

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
    /// The model's version, by its lane.
    pub lane: usize,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether it runs only in time that nobody else wants. Then its priority means nothing, it is in no backlog, and it
    /// takes an executor only while no other request can run, of several executors never the last.
    pub is_spare: bool,
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
    /// As many of this model wait as its limits allow.
    ModelFull {
        /// How many that is.
        waiting: usize,
    },
    /// What waits already will not let it finish before its deadline, or is too much for a queue that does not drain.
    Backlog {
        /// How long that will take.
        takes: Duration,
    },
    /// It takes longer than its deadline leaves it, whatever waits.
    Hopeless {
        /// How long it takes.
        takes: Duration,
    },
}

/// A request that cannot finish before its deadline any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Late<T> {
    /// The request itself.
    pub work: T,
    /// How long it would take.
    pub takes: Duration,
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
    /// Whether it runs in time that nobody else wants.
    pub is_spare: bool,
    /// To be refused: they cannot finish before their deadlines.
    pub late: Vec<Late<T>>,
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
    models: Models,
    /// Requests for time that nobody else wants, by arrival.
    spare: BTreeMap<u64, Item<T>>,
    /// Lanes that are of no model any more, to be used again.
    closed: Vec<usize>,
    running: Vec<Running>,
    /// For the models that do not live apart.
    shedding: Shedding,
    arrivals: u64,
}

impl<T> Queue<T> {
    /// A queue in which nobody waits, of no lanes yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let shedding = Shedding::new(limits.target, limits.interval);
        Self {
            limits,
            items: BTreeMap::new(),
            turns: Turns::default(),
            lanes: Vec::new(),
            deadlines: BTreeSet::new(),
            speeds: Vec::new(),
            models: Models::new(shedding),
            spare: BTreeMap::new(),
            closed: Vec::new(),
            running: Vec::new(),
            shedding,
            arrivals: 0,
        }
    }

    /// A lane for a version of a model.
    pub fn open_lane(&mut self, model: &ModelName) -> usize {
        let lane = self.closed.pop().unwrap_or(self.lanes.len());
        if lane == self.lanes.len() {
            self.lanes.push(BTreeSet::new());
            self.speeds.push(Speed::default());
        }
        self.speeds[lane] = Speed::default();
        self.models.open(lane, model);
        lane
    }

    /// A lane whose version is gone, and for which nobody waits and nothing runs.
    pub fn close_lane(&mut self, lane: usize) {
        if self.lanes.get(lane).is_some_and(BTreeSet::is_empty) && !self.closed.contains(&lane) {
            self.closed.push(lane);
            self.models.close(lane);
        }
    }

    /// Holds a model that has lanes to these limits from now on. What runs and waits already stays.
    pub fn set_limits(&mut self, model: &ModelName, limits: ModelLimits) {
        self.models.set_limits(model, limits);
    }

    /// How many requests wait, but for those that run only in time that nobody else wants.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// How many of those wait in a lane.
    #[must_use]
    pub fn len_of(&self, lane: usize) -> usize {
        self.lanes.get(lane).map_or(0, BTreeSet::len)
    }

    /// Whether nobody waits, not even for time that nobody else wants.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.spare.is_empty()
    }

    /// Lets a request wait.
    ///
    /// # Errors
    /// Where it may not; then it is gone.
    ///
    /// # Panics
    /// Where there is no such lane.
    pub fn push(&mut self, request: Request<T>, now: Instant) -> Result<Slot, Refusal> {
        if request.is_spare {
            return self.push_spare(request, now);
        }
        let (number, executors) = (self.models.of_lane(request.lane), self.executors());
        let model = self.models.get(number);
        let waiting = model.waiting.len();
        if model.limits.queue_len_max.is_some_and(|most| waiting >= most) {
            return Err(Refusal::ModelFull { waiting });
        }
        if self.items.len() >= self.limits.len_max {
            return Err(Refusal::Full);
        }
        let pace = self.speeds[request.lane].at(now);
        let alone = pace.estimate(request.cost);
        if now + alone > request.deadline {
            return Err(Refusal::Hopeless { takes: alone });
        }
        let expected = pace.share(request.cost, self.limits.batch_max, self.longest());
        let backlog = self.backlog_before(number, request.priority, now);
        let is_hopeless = now + backlog + alone > request.deadline;
        let apart = model.is_apart(executors).then_some(number);
        let age = self.oldest(apart).map_or(Duration::ZERO, |oldest| now.saturating_duration_since(oldest));
        let shedding = apart.map_or(&mut self.shedding, |model| &mut self.models.get_mut(model).shedding);
        // Whoever is let in may still wait for the end of a batch, and should not be shed for that.
        let is_too_much = shedding.is_closed(age, now) && backlog > self.limits.target / 2;
        if is_too_much {
            shedding.close(now);
        }
        // How old the oldest is tells late: of three times too many, three times as much waits by then as should.
        let is_ahead = age > self.limits.target / 2 && backlog > self.limits.target * 3 / 2;
        if is_hopeless || is_too_much || is_ahead {
            return Err(Refusal::Backlog { takes: backlog });
        }
        let arrival = self.next_arrival();
        let Request { lane, priority, deadline, .. } = request;
        self.turns.enter(priority, &request.tenant, number, (deadline, arrival));
        self.lanes[lane].insert((priority, deadline, arrival));
        self.deadlines.insert((deadline, arrival));
        let model = self.models.get_mut(number);
        model.waiting.insert(arrival);
        model.backlog[priority as usize] += expected;
        self.items.insert(arrival, Item { request, arrived: now, expected });
        Ok(Slot(arrival))
    }

    fn push_spare(&mut self, request: Request<T>, now: Instant) -> Result<Slot, Refusal> {
        if self.spare.len() >= SPARE_LEN_MAX {
            return Err(Refusal::Full);
        }
        let arrival = self.next_arrival();
        self.deadlines.insert((request.deadline, arrival));
        self.spare.insert(arrival, Item { request, arrived: now, expected: Duration::ZERO });
        Ok(Slot(arrival))
    }

    fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals - 1
    }

    /// A batch that takes as long as requests may wait would make those wait that come next.
    fn longest(&self) -> Duration {
        self.limits.target / 2
    }

    /// When the oldest came of those that wait: of a model that lives apart, or of all that do not.
    fn oldest(&self, apart: Option<usize>) -> Option<Instant> {
        let executors = self.executors();
        let oldest = match apart {
            Some(model) => self.models.get(model).waiting.first().copied(),
            None => {
                let together = self.models.iter().filter(|model| !model.is_apart(executors));
                together.filter_map(|model| model.waiting.first().copied()).min()
            }
        };
        Some(self.items.get(&oldest?)?.arrived)
    }

    fn executors(&self) -> usize {
        self.limits.executors.max(1)
    }

    /// What runs and what waits and goes before a request of that model and class, divided among the executors. Of lower
    /// classes only their share goes before it, which is left out, and so is what lives apart. A model that lives apart
    /// has its own backlog as well, and its own executors to divide it among.
    fn backlog_before(&self, model: usize, priority: Priority, now: Instant) -> Duration {
        let executors = self.executors();
        let among = |total: Duration, executors: usize| total / u32::try_from(executors).unwrap_or(u32::MAX);
        let running = |of: Option<usize>, executors: usize| -> Duration {
            let running = self.running.iter().filter(|running| of.is_none_or(|model| running.model == model));
            let is_busy = running.clone().count() >= executors;
            running.map(|running| running.end.saturating_duration_since(now)).filter(|_| is_busy).sum()
        };
        let together = self.models.iter().filter(|model| !model.is_apart(executors));
        let together: Duration = together.map(|model| model.backlog_to(priority)).sum();
        let together = among(together + running(None, executors), executors);
        let own = self.models.get(model);
        if !own.is_apart(executors) {
            return together;
        }
        let concurrency = own.concurrency();
        together.max(among(own.backlog_to(priority) + running(Some(model), concurrency), concurrency))
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

    /// A batch of that model and cost has ended, which ran in spare time or not; it took so long, or would have, had it run to
    /// its end.
    ///
    /// # Panics
    /// Where there is no such lane.
    pub fn observe(&mut self, lane: usize, cost: Cost, is_spare: bool, took: Duration, now: Instant) {
        self.speeds[lane].observe(cost, took, now);
        let ended =
            self.running.iter().position(|running| running.lane == lane && running.is_spare == is_spare);
        ended.map(|place| self.running.swap_remove(place));
    }

    /// Takes the next batch, and with it the requests that are to be refused. `None` where nobody waits who may run.
    pub fn take(&mut self, now: Instant) -> Option<Batch<T>> {
        let mut late = Vec::new();
        let shed = self.shed(now);
        let is_free = |models: &Models, running: &[Running], model: usize| {
            let own = running.iter().filter(|running| running.model == model).count();
            own < models.get(model).concurrency()
        };
        while let Some(arrival) = self.turns.next(|model| is_free(&self.models, &self.running, model)) {
            let Some(item) = self.items.get(&arrival) else { break };
            let Request { lane, cost, deadline, .. } = item.request;
            let takes = self.speeds[lane].at(now).estimate(cost);
            if now + takes >= deadline {
                late.extend(self.remove(arrival).map(|request| Late { work: request.work, takes }));
                continue;
            }
            let (ready, cost) = self.fill(lane, arrival, now);
            self.start(lane, cost, now, false);
            return Some(Batch { lane, ready, cost, is_spare: false, late, shed });
        }
        let nothing = late.is_empty() && shed.is_empty();
        if nothing {
            let mut spare = self.spare.iter();
            let next = spare.find(|(_, item)| {
                is_free(&self.models, &self.running, self.models.of_lane(item.request.lane))
            });
            return next.map(|(&arrival, _)| arrival).and_then(|arrival| self.take_spare(arrival, now));
        }
        Some(Batch { lane: 0, ready: Vec::new(), cost: Cost::default(), is_spare: false, late, shed })
    }

    /// A request for time that nobody else wants, alone, unless as many run as may.
    fn take_spare(&mut self, arrival: u64, now: Instant) -> Option<Batch<T>> {
        let running = self.running.iter().filter(|running| running.is_spare).count();
        if running >= (self.executors() - 1).max(1) {
            return None;
        }
        let Request { lane, cost, work, .. } = self.remove(arrival)?;
        self.start(lane, cost, now, true);
        Some(Batch { lane, ready: vec![work], cost, is_spare: true, late: Vec::new(), shed: Vec::new() })
    }

    fn start(&mut self, lane: usize, cost: Cost, now: Instant, is_spare: bool) {
        let end = now + self.speeds[lane].at(now).estimate(cost);
        self.running.push(Running { lane, model: self.models.of_lane(lane), end, is_spare });
    }

    /// The request `first` and whoever rides along.
    fn fill(&mut self, lane: usize, first: u64, now: Instant) -> (Vec<T>, Cost) {
        let mut ready = Vec::new();
        let mut cost = Cost::default();
        let mut soonest: Option<Instant> = None;
        let pace = self.speeds[lane].at(now);
        let others =
            self.lanes[lane].iter().map(|&(.., arrival)| arrival).filter(|&arrival| arrival != first);
        // Every request has a window, so that no more than these fit.
        let others: Vec<u64> = others.take(self.limits.batch_max.windows).collect();
        for arrival in std::iter::once(first).chain(others) {
            let Some(item) = self.items.get(&arrival) else { continue };
            let together = cost.plus(item.request.cost);
            let takes = pace.fear(together);
            let end = now + takes;
            let is_in_time = soonest.is_none_or(|soonest| end < soonest)
                && end < item.request.deadline
                && takes <= self.longest();
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

    /// Sheds where the queue does not drain: of all models that live together, and of each that lives apart.
    fn shed(&mut self, now: Instant) -> Vec<T> {
        let executors = self.executors();
        let mut shed = Vec::new();
        for model in self.models.apart(executors) {
            self.shed_of(Some(model), now, &mut shed);
        }
        self.shed_of(None, now, &mut shed);
        shed
    }

    /// Sheds from the lowest class, the newest first: who has waited longest is nearest to an answer.
    fn shed_of(&mut self, apart: Option<usize>, now: Instant, shed: &mut Vec<T>) {
        let executors = self.executors();
        loop {
            let Some(oldest) = self.oldest(apart) else { return };
            let age = now.saturating_duration_since(oldest);
            let is_due = match apart {
                Some(model) => self.models.get_mut(model).shedding.is_due(age, now),
                None => self.shedding.is_due(age, now),
            };
            if !is_due {
                return;
            }
            let is_of_these = |item: &Item<T>| match apart {
                Some(model) => self.models.of_lane(item.request.lane) == model,
                None => !self.models.get(self.models.of_lane(item.request.lane)).is_apart(executors),
            };
            let these = self.items.iter().filter(|(_, item)| is_of_these(item));
            let lowest = these.clone().map(|(_, item)| item.request.priority).max();
            let newest = these.rev().find(|(_, item)| Some(item.request.priority) == lowest);
            let Some(arrival) = newest.map(|(&arrival, _)| arrival) else { return };
            shed.extend(self.remove(arrival).map(|request| request.work));
        }
    }

    fn remove(&mut self, arrival: u64) -> Option<Request<T>> {
        if let Some(Item { request, .. }) = self.spare.remove(&arrival) {
            self.deadlines.remove(&(request.deadline, arrival));
            return Some(request);
        }
        let Item { request, expected, .. } = self.items.remove(&arrival)?;
        let Request { lane, priority, deadline, .. } = request;
        let number = self.models.of_lane(lane);
        self.turns.leave(priority, &request.tenant, number, (deadline, arrival));
        self.lanes[lane].remove(&(priority, deadline, arrival));
        self.deadlines.remove(&(deadline, arrival));
        let model = self.models.get_mut(number);
        model.waiting.remove(&arrival);
        let backlog = &mut model.backlog[priority as usize];
        *backlog = backlog.saturating_sub(expected);
        Some(request)
    }

    /// Whether nothing is left of requests that are gone.
    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        let is_without = |model: &super::models::Model| {
            model.waiting.is_empty() && model.backlog.iter().all(Duration::is_zero)
        };
        self.is_empty()
            && self.deadlines.is_empty()
            && self.lanes.iter().all(BTreeSet::is_empty)
            && self.models.iter().all(is_without)
    }

    /// Tenants that are remembered.
    #[cfg(test)]
    pub(super) fn tenants(&self) -> usize {
        self.turns.tenants()
    }
}
