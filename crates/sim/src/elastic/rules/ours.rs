//! The scaler of `spinwell-policy`, as `control` would run it.
//!
//! Every 2 s it sees means of the seconds since, what each node carries as it is measured in service, and a forecast at the distance of a
//! warm-up by [`Trend`], judged against persistence.

use super::super::region::{BOUNDS, Node, Orders, Sight, WARM_UP_P95, service};
use super::Rule;
use super::window::Window;
use spinwell_core::{Ratio, Rng, UnixMillis};
use spinwell_policy::capacity::PerSecond;
use spinwell_policy::scale::{
    CentsPerHour, Decision, Item, Judged, Member, Options, Phase, Region, Scaler, Snapshot, Trend, Worth,
};
use std::fmt;
use std::time::Duration;

/// How often it looks, in seconds.
const EVERY: usize = 2;
/// What a node costs, as a part of what the load is worth that it carries.
pub(super) const COST: f64 = 0.5;
/// The share of important traffic.
pub(super) const BUSINESS: f64 = 0.3;

/// Its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Ours(pub Options);

impl Default for Ours {
    fn default() -> Self {
        Self(Options { min: BOUNDS[0], max: BOUNDS[1], history_most: 1, ..Options::default() })
    }
}

impl Ours {
    pub(super) fn drawn(rng: &mut Rng) -> Self {
        let usual = Self::default().0;
        let ratio = |value| Ratio::new(value).unwrap_or(Ratio::ZERO);
        Self(Options {
            target_utilization: ratio(rng.uniform_in(0.5, 0.85)),
            scale_up_threshold: ratio(rng.uniform_in(0.7, 0.95)),
            hysteresis: ratio(rng.uniform_in(0.02, 0.3)),
            caution: rng.uniform_in(0.0, 2.0),
            down_pace: Duration::from_secs(5 + rng.below(116)),
            down_after: Duration::from_secs(5 + rng.below(296)),
            ..usual
        })
    }
}

impl fmt::Display for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            target_utilization,
            scale_up_threshold,
            hysteresis,
            caution,
            down_pace,
            down_after,
            ..
        } = self.0;
        let [target, most, hysteresis] = [target_utilization, scale_up_threshold, hysteresis].map(Ratio::get);
        let [pace, after] = [down_pace, down_after].map(|span| span.as_secs());
        write!(
            f,
            "target {target:.2}, up at {most:.2}, hysteresis {hysteresis:.2}, caution {caution:.2}, down every {pace} s after {after} s"
        )
    }
}

/// A second of the day as a moment of civil time.
pub(super) fn now(second: usize) -> UnixMillis {
    UnixMillis(1_700_000_000_000 + 1_000 * second as u64)
}

pub(super) struct Scaling {
    scaler: Scaler<u32>,
    forecast: Judged<Trend>,
    offered: Window,
    refused: Window,
    busy: Window,
    target: usize,
}

impl Scaling {
    pub(super) fn new(settings: &Ours) -> Self {
        Self {
            scaler: Scaler::new(settings.0),
            forecast: Judged::new(Trend::new(WARM_UP_P95)),
            offered: Window::new(EVERY),
            refused: Window::new(EVERY),
            busy: Window::new(EVERY),
            target: 0,
        }
    }

    fn snapshot(&mut self, sight: &Sight<'_>) -> Snapshot<u32> {
        let now = now(sight.second);
        let offered = PerSecond::new(self.offered.mean());
        let forecast = offered.and_then(|offered| self.forecast.observe(now, offered, WARM_UP_P95));
        let region = Region {
            offered,
            refused: PerSecond::new(self.refused.mean()),
            latency_p95: sight.latency_p95(),
            important: Ratio::new(BUSINESS),
            forecast,
            // The horizon of the forecast, too.
            warm_up_p95: Some(WARM_UP_P95),
            service: Some(service()),
            worth: Some(Worth { node: CentsPerHour(COST), load: CentsPerHour(1.0) }),
        };
        let members = sight.nodes.iter().map(|node| self.member(node, sight)).collect();
        Snapshot { now, members, region }
    }

    fn member(&self, node: &Node, sight: &Sight<'_>) -> Member<u32> {
        let phase = match node.gone {
            _ if node.seems_to_serve(sight.second) => Phase::Serving,
            None => Phase::Pending,
            Some(_) => Phase::Draining,
        };
        let serves = phase == Phase::Serving;
        let since = if serves { node.ready } else { node.ordered };
        let in_flight = sight.utilization * node.capacity * service().time.as_secs_f64();
        Member {
            since: now(since),
            capacity: PerSecond::new(node.capacity).filter(|_| serves),
            utilization: Ratio::new(self.busy.mean()).filter(|_| serves),
            queue_delay: Duration::try_from_secs_f64(sight.delay).ok().filter(|_| serves),
            in_flight: Some(in_flight.round() as u64),
            ..Member::new(node.id, phase, now(node.ordered))
        }
    }

    fn orders(&mut self, decision: &Decision<u32>) -> Orders {
        self.target = decision.target;
        let mut orders = Orders { target: decision.target, ..Orders::default() };
        for item in &decision.items {
            match item {
                Item::Add(_) => orders.add += 1,
                Item::Remove(id, _) => orders.remove.push(*id),
            }
        }
        orders
    }
}

impl Rule for Scaling {
    fn look(&mut self, sight: &Sight<'_>) -> Orders {
        self.offered.push(sight.offered);
        self.refused.push(sight.refused);
        self.busy.push(sight.utilization);
        if sight.second % EVERY != EVERY - 1 {
            let target = if self.target == 0 { sight.serving() + sight.coming() } else { self.target };
            return Orders { target, ..Orders::default() };
        }
        let seen = self.snapshot(sight);
        let decision = self.scaler.decide(seen);
        self.orders(&decision)
    }
}
