//! The breaker of one node.

use super::Class;
use spinwell_core::Rng;
use std::time::{Duration, Instant};

/// Failures in a row that open it.
const CONSECUTIVE: u32 = 5;
/// Ends in the window below which their share says nothing.
const ENDS_MIN: u32 = 20;
/// Slots of the window, a second each. It holds the newest 9 to 10 seconds.
const SLOTS: usize = 10;
/// How long it stays open the first time.
const OPEN_MIN: Duration = Duration::from_secs(10);
/// How long it stays open at most.
const OPEN_MAX: Duration = Duration::from_secs(300);
/// Share by which that differs from one opening to the next, so that breakers which opened together do not probe together.
const JITTER: f64 = 0.2;
/// The stages of half-open: in stage s, 2^s probes must succeed.
const STAGES: u32 = 3;
/// After so long a probe of which nothing was heard is forgotten, and another may be sent. Otherwise a caller that loses
/// one would leave the breaker half-open for ever.
const PROBE_MAX: Duration = Duration::from_secs(30);

/// Ends of the newest seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    slots: [Slot; SLOTS],
}

/// Ends of one second, counted from when the breaker began.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    second: u64,
    ends: u32,
    failures: u32,
}

impl Window {
    fn count(&mut self, is_failure: bool, second: u64) {
        let slot = &mut self.slots[second as usize % SLOTS];
        if slot.second != second {
            *slot = Slot { second, ..Slot::default() };
        }
        slot.ends += 1;
        slot.failures += u32::from(is_failure);
    }

    /// Whether at least half of enough ends were failures.
    fn is_bad(&self, second: u64) -> bool {
        let newest = self.slots.iter().filter(|slot| slot.second + SLOTS as u64 > second);
        let (ends, failures) =
            newest.fold((0, 0), |(ends, failures), slot| (ends + slot.ends, failures + slot.failures));
        ends >= ENDS_MIN && 2 * failures >= ends
    }
}

/// What the breaker does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It lets everybody through.
    Closed,
    /// It lets nobody through.
    Open {
        /// Until then.
        until: Instant,
    },
    /// It lets probes through.
    HalfOpen {
        /// From 0; 2^stage probes must succeed.
        stage: u32,
        /// How many have.
        passed: u32,
        /// Numbers of those under way, and when they began.
        under_way: Vec<(u64, Instant)>,
    },
}

/// The breaker of one node.
#[derive(Debug)]
pub(super) struct Circuit {
    began: Instant,
    state: State,
    window: Window,
    /// Failures since the last success.
    in_a_row: u32,
    /// k: how often it has opened without having been closed for long in between.
    openings: u32,
    /// For how long it was open the last time.
    open_for: Duration,
    closed_since: Instant,
    /// Probes that were ever begun, so that each has a number.
    probes: u64,
}

impl Circuit {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            state: State::Closed,
            window: Window::default(),
            in_a_row: 0,
            openings: 0,
            open_for: Duration::ZERO,
            closed_since: now,
            probes: 0,
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Whether it lets everybody through.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// An open one becomes half-open when its time has come, and probes that nobody has heard of are forgotten.
    pub(super) fn advance(&mut self, now: Instant) {
        match &mut self.state {
            State::Open { until } if *until <= now => {
                self.state = State::HalfOpen { stage: 0, passed: 0, under_way: Vec::new() };
            }
            State::HalfOpen { under_way, .. } => {
                under_way.retain(|&(_, began)| now.saturating_duration_since(began) < PROBE_MAX);
            }
            State::Open { .. } | State::Closed => {}
        }
    }

    /// Whether a probe may be sent.
    pub(super) fn has_probe(&self) -> bool {
        let State::HalfOpen { stage, passed, under_way } = &self.state else { return false };
        passed + (under_way.len() as u32) < 1 << stage
    }

    /// Sends a probe, if one may be: its number.
    pub(super) fn probe(&mut self, now: Instant) -> Option<u64> {
        if !self.has_probe() {
            return None;
        }
        self.probes += 1;
        if let State::HalfOpen { under_way, .. } = &mut self.state {
            under_way.push((self.probes, now));
        }
        Some(self.probes)
    }

    /// An attempt has ended that was let through as usual. Those that began before it opened and end later say nothing new.
    /// Whether the breaker should open now.
    pub(super) fn end(&mut self, class: Class, now: Instant) -> bool {
        if !self.is_closed() || class == Class::Neutral {
            return false;
        }
        let is_failure = class == Class::Failure;
        let second = now.saturating_duration_since(self.began).as_secs();
        self.window.count(is_failure, second);
        self.in_a_row = if is_failure { self.in_a_row.saturating_add(1) } else { 0 };
        is_failure && (self.in_a_row >= CONSECUTIVE || self.window.is_bad(second))
    }

    /// A probe has ended. One that was forgotten, or is of an earlier half-open, changes nothing.
    pub(super) fn end_probe(&mut self, number: u64, class: Class, now: Instant, rng: &mut Rng) {
        let State::HalfOpen { stage, passed, under_way } = &mut self.state else { return };
        let Some(place) = under_way.iter().position(|&(own, _)| own == number) else { return };
        under_way.swap_remove(place);
        match class {
            Class::Neutral => {}
            Class::Failure => self.open(now, rng),
            Class::Success => {
                *passed += 1;
                if *passed < 1 << *stage {
                    return;
                }
                (*stage, *passed) = (*stage + 1, 0);
                if *stage == STAGES {
                    self.close(now);
                }
            }
        }
    }

    /// Opens it, from wherever it is.
    pub(super) fn open(&mut self, now: Instant, rng: &mut Rng) {
        let was_closed_for_long =
            self.is_closed() && now.saturating_duration_since(self.closed_since) >= self.open_for;
        if was_closed_for_long {
            self.openings = 0;
        }
        // 10 s · 2^6 is more than the most, whatever the jitter.
        let usual = OPEN_MIN * 2u32.pow(self.openings.min(6));
        self.open_for = usual.mul_f64(rng.uniform_in(1.0 - JITTER, 1.0 + JITTER)).min(OPEN_MAX);
        self.openings = self.openings.saturating_add(1);
        self.state = State::Open { until: now + self.open_for };
    }

    /// Closes it, from wherever it is: what was seen before counts no more.
    pub(super) fn close(&mut self, now: Instant) {
        self.state = State::Closed;
        self.window = Window::default();
        self.in_a_row = 0;
        self.closed_since = now;
    }
}
