//! Whose turn it is, by start-time fair queueing (Goyal, Vin & Cheng 1996, "Start-time fair queuing").
//!
//! Every class, and every tenant in it, has a virtual time that advances by the cost of what ran divided by its weight;
//! the one that is furthest behind goes next. One that comes back from idling starts at the virtual time of whoever was
//! served last, so that idling saves nothing up.

use spinwell_core::{Priority, TenantId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Shares of the classes, most urgent first.
const WEIGHTS: [u64; Priority::COUNT] = [8, 4, 2, 1];
/// Virtual time of a row of weight 1: a multiple of all weights, so that shares are exact.
const ROW: u64 = 8;

/// A request's place: deadline, then arrival.
type Place = (Instant, u64);

/// One tenant's requests in a class.
#[derive(Debug, Default)]
struct Tenant {
    time: u64,
    /// By model, so that models which may not run now are passed over at once.
    waiting: BTreeMap<usize, BTreeSet<Place>>,
}

/// One class.
#[derive(Debug, Default)]
struct Class {
    time: u64,
    /// The virtual time of the tenant served last.
    clock: u64,
    tenants: BTreeMap<TenantId, Tenant>,
    /// Tenants that wait, furthest behind first.
    order: BTreeSet<(u64, TenantId)>,
}

impl Tenant {
    /// The request whose deadline is nearest, of those whose models may run.
    fn next(&self, may_run: impl Fn(usize) -> bool) -> Option<u64> {
        let first = |waiting: &BTreeSet<Place>| waiting.first().copied();
        let may_run = self.waiting.iter().filter(|(model, _)| may_run(**model));
        may_run.filter_map(|(_, waiting)| first(waiting)).min().map(|(_, arrival)| arrival)
    }
}

impl Class {
    /// The request whose turn it is in this class.
    fn next(&mut self, may_run: &impl Fn(usize) -> bool) -> Option<u64> {
        let mut passed = Vec::new();
        let mut found = None;
        for (time, tenant) in &self.order {
            found =
                self.tenants.get(tenant).and_then(|own| own.next(may_run)).map(|arrival| (*time, arrival));
            if found.is_some() {
                break;
            }
            passed.push((*time, tenant.clone()));
        }
        let (time, arrival) = found?;
        for (before, tenant) in passed {
            if let Some(own) = self.tenants.get_mut(&tenant) {
                own.time = time;
                self.order.remove(&(before, tenant.clone()));
                self.order.insert((time, tenant));
            }
        }
        Some(arrival)
    }
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    clock: u64,
    classes: [Class; Priority::COUNT],
}

impl Turns {
    /// A request waits from now on.
    pub(super) fn enter(&mut self, class: Priority, tenant: &TenantId, model: usize, place: Place) {
        let clock = self.clock;
        let class = &mut self.classes[class as usize];
        if class.order.is_empty() {
            class.time = class.time.max(clock);
        }
        if !class.tenants.contains_key(tenant) {
            class.tenants.insert(tenant.clone(), Tenant { time: class.clock, ..Tenant::default() });
        }
        let Some(own) = class.tenants.get_mut(tenant) else { return };
        if own.waiting.is_empty() {
            own.time = own.time.max(class.clock);
            class.order.insert((own.time, tenant.clone()));
        }
        own.waiting.entry(model).or_default().insert(place);
    }

    /// A request no longer waits.
    pub(super) fn leave(&mut self, class: Priority, tenant: &TenantId, model: usize, place: Place) {
        let class = &mut self.classes[class as usize];
        let Some(own) = class.tenants.get_mut(tenant) else { return };
        if let Some(waiting) = own.waiting.get_mut(&model) {
            waiting.remove(&place);
            if waiting.is_empty() {
                own.waiting.remove(&model);
            }
        }
        if own.waiting.is_empty() {
            class.order.remove(&(own.time, tenant.clone()));
            // One that is not ahead of the others would start from the same time if it were new.
            if own.time <= class.clock {
                class.tenants.remove(tenant);
            }
        }
        // Nobody is ahead of anybody where nobody waits, and the list of tenants does not grow for ever.
        if class.order.is_empty() {
            class.tenants.clear();
        }
    }

    /// The arrival number of the request whose turn it is, of those whose models may run. Whoever is passed over because
    /// none of his may saves nothing up, as if he had not been there.
    pub(super) fn next(&mut self, may_run: impl Fn(usize) -> bool) -> Option<u64> {
        let mut order: Vec<usize> =
            (0..Priority::COUNT).filter(|&class| !self.classes[class].order.is_empty()).collect();
        order.sort_by_key(|&class| self.classes[class].time);
        for (passed, &class) in order.iter().enumerate() {
            let Some(arrival) = self.classes[class].next(&may_run) else { continue };
            let time = self.classes[class].time;
            for &passed in &order[..passed] {
                self.classes[passed].time = time;
            }
            return Some(arrival);
        }
        None
    }

    /// A request of so many rows is about to run; it must still wait.
    pub(super) fn charge(&mut self, class: Priority, tenant: &TenantId, rows: usize) {
        let cost = ROW.saturating_mul(rows.max(1) as u64);
        let weight = WEIGHTS[class as usize];
        let class = &mut self.classes[class as usize];
        self.clock = self.clock.max(class.time);
        class.time = class.time.saturating_add(cost / weight);
        let Some(own) = class.tenants.get_mut(tenant) else { return };
        class.clock = class.clock.max(own.time);
        let was_waiting = class.order.remove(&(own.time, tenant.clone()));
        own.time = own.time.saturating_add(cost);
        if was_waiting {
            class.order.insert((own.time, tenant.clone()));
        }
    }

    /// Tenants that are remembered.
    #[cfg(test)]
    pub(super) fn tenants(&self) -> usize {
        self.classes.iter().map(|class| class.tenants.len()).sum()
    }
}
