//! How many retries the cluster can bear.

use std::time::Instant;

/// Slots of the window, a second each: what a request adds to the budget is gone after 9 to 10 s (Finagle's retry budgets
/// let it expire after 10 s).
const SLOTS: usize = 10;

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetOptions {
    /// Retries for each request, in the newest 10 s and of those under way.
    pub share: f64,
    /// Retries a second that are allowed however few requests there are.
    pub per_second_min: u32,
    /// Retries under way that are allowed however few requests are.
    pub under_way_min: u32,
}

impl Default for BudgetOptions {
    fn default() -> Self {
        Self { share: 0.2, per_second_min: 10, under_way_min: 10 }
    }
}

/// Requests and retries of one second.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    second: u64,
    requests: u64,
    retries: u64,
}

/// The budget of one gateway.
#[derive(Debug)]
pub struct Budget {
    options: BudgetOptions,
    began: Instant,
    slots: [Slot; SLOTS],
    requests_under_way: u64,
    retries_under_way: u64,
}

impl Budget {
    /// A budget to which nobody has added yet.
    #[must_use]
    pub fn new(options: BudgetOptions, now: Instant) -> Self {
        let slots = [Slot::default(); SLOTS];
        Self { options, began: now, slots, requests_under_way: 0, retries_under_way: 0 }
    }

    /// A request begins: its first attempt adds to the budget.
    pub fn begin(&mut self, now: Instant) {
        self.requests_under_way += 1;
        self.slot(now).requests += 1;
    }

    /// A request has its outcome.
    pub fn end(&mut self) {
        self.requests_under_way = self.requests_under_way.saturating_sub(1);
    }

    /// Takes a retry out of the budget, if there is one. It is to be ended.
    pub fn begin_retry(&mut self, now: Instant) -> bool {
        let newest = self.slot(now).second;
        let slots = self.slots.iter().filter(|slot| slot.second + SLOTS as u64 > newest);
        let (requests, retries) = slots
            .fold((0, 0), |(requests, retries), slot| (requests + slot.requests, retries + slot.retries));
        let least = u64::from(self.options.per_second_min) * SLOTS as u64;
        let most = (self.options.share * requests as f64) as u64 + least;
        let under_way = (self.options.share * self.requests_under_way as f64) as u64;
        let under_way_max = under_way.max(u64::from(self.options.under_way_min));
        let is_allowed = retries < most && self.retries_under_way < under_way_max;
        if is_allowed {
            self.retries_under_way += 1;
            self.slot(now).retries += 1;
        }
        is_allowed
    }

    /// A retry has ended.
    pub fn end_retry(&mut self) {
        self.retries_under_way = self.retries_under_way.saturating_sub(1);
    }

    /// Retries that are under way.
    #[must_use]
    pub fn retries_under_way(&self) -> u64 {
        self.retries_under_way
    }

    fn slot(&mut self, now: Instant) -> &mut Slot {
        let second = now.saturating_duration_since(self.began).as_secs();
        let slot = &mut self.slots[second as usize % SLOTS];
        if slot.second != second {
            *slot = Slot { second, ..Slot::default() };
        }
        slot
    }
}
