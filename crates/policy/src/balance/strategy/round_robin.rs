//! `round_robin`: each node in turn, 1 ÷ (w · pace) of a round apart.
//!
//! A node's turn comes at a time on a virtual clock; after it, its next comes 1 ÷ (w · pace) later (start-time fair queueing,
//! Goyal, Vin & Cheng 1996). Whose turn has come are all that begin before the first of them would be over; one of these is
//! drawn by weight. With equal weights each round is the nodes in random order, which keeps gateways that started
//! together from walking around the cluster in step.
//!
//! Nobody saves turns up: who was not a candidate for a while goes on from where the clock is.

use super::super::draw::Scored;

/// No node waits longer than so many rounds of a node of weight 1, so that one that had lost its weight is soon tried again.
const WAIT_MAX: f64 = 100.0;

/// A node's turn and weight.
#[derive(Debug, Clone, Copy)]
pub(in crate::balance) struct Turn {
    pub(in crate::balance) turn: f64,
    pub(in crate::balance) weight: f64,
}

impl Turn {
    /// How long it lasts.
    fn length(&self) -> f64 {
        (1.0 / self.weight.max(1e-9)).min(WAIT_MAX)
    }

    /// When it begins, on a clock that has come so far.
    fn begin(&self, clock: f64) -> f64 {
        self.turn.max(clock)
    }

    /// When the turn after it begins.
    pub(in crate::balance) fn after(&self, clock: f64) -> f64 {
        self.begin(clock) + self.length()
    }
}

/// Where the clock goes, and who may be drawn: score 1 for whoever's turn has come.
pub(in crate::balance) fn scores(turns: &[Turn], clock: f64) -> (f64, Vec<Scored>) {
    let first = turns.iter().map(|turn| turn.begin(clock)).fold(f64::INFINITY, f64::min);
    let first_over = turns.iter().map(|turn| turn.after(clock)).fold(f64::INFINITY, f64::min);
    let score = |turn: &Turn| if turn.begin(clock) < first_over { 1.0 } else { 0.0 };
    let scored = turns.iter().map(|turn| Scored { score: score(turn), weight: turn.weight }).collect();
    (first, scored)
}
