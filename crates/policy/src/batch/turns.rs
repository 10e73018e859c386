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
    waiting: BTreeSet<Place>,
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

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    clock: u64,
    classes: [Class; Priority::COUNT],
}

impl Turns {
    /// A request waits from now on.
    pub(super) fn enter(&mut self, class: Priority, tenant: &TenantId, place: Place) {
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
        own.waiting.insert(place);
    }

    /// A request no longer waits.
    pub(super) fn leave(&mut self, class: Priority, tenant: &TenantId, place: Place) {
        let class = &mut self.classes[class as usize];
        let Some(own) = class.tenants.get_mut(tenant) else { return };
        own.waiting.remove(&place);
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

    /// The arrival number of the request whose turn it is.
    pub(super) fn next(&self) -> Option<u64> {
        let waiting = self.classes.iter().filter(|class| !class.order.is_empty());
        let class = waiting.min_by_key(|class| class.time)?;
        let (_, tenant) = class.order.first()?;
        class.tenants.get(tenant)?.waiting.first().map(|&(_, arrival)| arrival)
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
