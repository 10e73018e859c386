//! Attacks: what they send.

use crate::stage::ATTACKER;
use crate::traffic::{ip, refused};
use spinwell_core::{Millis, Rng};
use spinwell_policy::threat::{Anomaly, Answer, Event, Object, Observation, PrincipalId, Request, Sketch};

/// An attack.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) variant: &'static str,
    pub(crate) per_second: f64,
    pub(crate) seconds: u64,
    /// Honest requests beside it. Long attacks have few, so that the simulation ends.
    pub(crate) honest_per_second: u64,
    /// Its request of that number, at that millisecond.
    pub(crate) request: fn(u64, u64, &mut Rng) -> Observation,
}

/// Five minutes in full traffic.
const FAST: (u64, u64) = (300, 10_000);
/// Six hours in little traffic.
const LONG: (u64, u64) = (21_600, 100);
const QUOTA: u32 = 50;

const fn attack(
    name: &'static str,
    variant: &'static str,
    per_second: f64,
    length: (u64, u64),
    request: fn(u64, u64, &mut Rng) -> Observation,
) -> Attack {
    Attack { name, variant, per_second, seconds: length.0, honest_per_second: length.1, request }
}

/// All of them.
pub(crate) const ATTACKS: &[Attack] = &[
    attack("credential stuffing", "10/s, one address", 10.0, FAST, |n, ms, _| tried(n, ms, 1, n, true)),
    attack("credential stuffing", "1/min, one address", 1.0 / 60.0, LONG, |n, ms, _| {
        tried(n, ms, 1, n, true)
    }),
    attack("credential stuffing", "1 in 5 min, one address", 1.0 / 300.0, LONG, |n, ms, _| {
        tried(n, ms, 1, n, true)
    }),
    attack("credential stuffing", "10/s over 200 addresses", 10.0, FAST, |n, ms, _| {
        tried(n, ms, 200, n, true)
    }),
    attack("credential stuffing", "2/min over 200 addresses", 1.0 / 30.0, LONG, |n, ms, _| {
        tried(n, ms, 200, n, true)
    }),
    attack("stuffing that finds one in 100", "10/s, one address", 10.0, FAST, |n, ms, _| lucky(n, ms)),
    attack("one identity", "10/s over 200 addresses", 10.0, FAST, |n, ms, _| tried(n, ms, 200, 7, true)),
    attack("one identity", "1/min over 200 addresses", 1.0 / 60.0, LONG, |n, ms, _| {
        tried(n, ms, 200, 7, true)
    }),
    attack("one identity", "1 in 5 min over 200 addresses", 1.0 / 300.0, LONG, |n, ms, _| {
        tried(n, ms, 200, 7, true)
    }),
    attack("key enumeration", "10/s, one address", 10.0, FAST, |n, ms, _| tried(n, ms, 1, n, false)),
    attack("key enumeration", "1/min, one address", 1.0 / 60.0, LONG, |n, ms, _| tried(n, ms, 1, n, false)),
    attack("key enumeration", "10/s over 200 addresses", 10.0, FAST, |n, ms, _| tried(n, ms, 200, n, false)),
    attack("stuffing from the NAT", "10/s, beside 200 principals", 10.0, FAST, |n, ms, _| from_nat(n, ms)),
    attack("stuffing from the NAT", "1/min, beside 200 principals", 1.0 / 60.0, LONG, |n, ms, _| {
        from_nat(n, ms)
    }),
    attack("name enumeration", "5/s, a principal", 5.0, FAST, |n, ms, _| of(ms, 0, 1, n, Answer::Missing)),
    attack("name enumeration", "2/min, a principal", 1.0 / 30.0, LONG, |n, ms, _| {
        of(ms, 0, 1, n, Answer::Missing)
    }),
    attack("name enumeration", "1 in 2 min, a principal", 1.0 / 120.0, LONG, |n, ms, _| {
        of(ms, 0, 1, n, Answer::Missing)
    }),
    attack("name enumeration", "5/s, without authentication", 5.0, FAST, |n, ms, _| anonymous(ms, n)),
    attack("name enumeration", "10/s over 20 principals", 10.0, FAST, |n, ms, _| {
        of(ms, n % 20, 1, n, Answer::Missing)
    }),
    attack("shape bombs", "5/s, a principal", 5.0, FAST, |n, ms, _| {
        of(ms, 0, 1, 1, payload(Anomaly::ShapeBomb, n))
    }),
    attack("shape bombs", "1/min, a principal", 1.0 / 60.0, LONG, |n, ms, _| {
        of(ms, 0, 1, 1, payload(Anomaly::ShapeBomb, n))
    }),
    attack("fuzzed bodies", "5/s, a principal", 5.0, FAST, |n, ms, _| {
        of(ms, 0, 1, 1, payload(Anomaly::Malformed, n))
    }),
    attack("fuzzed bodies", "1/min, a principal", 1.0 / 60.0, LONG, |n, ms, _| {
        of(ms, 0, 1, 1, payload(Anomaly::Malformed, n))
    }),
    attack("extraction", "random windows, 20/s", 20.0, (600, 10_000), |_, ms, rng| made_up(ms, 0, rng)),
    attack("extraction", "random windows, 1/s", 1.0, LONG, |_, ms, rng| made_up(ms, 0, rng)),
    attack("extraction", "random windows, 1 in 3 s", 1.0 / 3.0, LONG, |_, ms, rng| made_up(ms, 0, rng)),
    attack("extraction", "half hidden among its own, 20/s", 20.0, (600, 10_000), |n, ms, rng| {
        hidden(n, ms, rng)
    }),
    attack("extraction", "one window varied, 20/s", 20.0, (600, 10_000), |_, ms, rng| varied(ms, rng)),
    attack("extraction", "20/s over 20 principals", 20.0, (600, 10_000), |n, ms, rng| {
        made_up(ms, n % 20, rng)
    }),
    attack("scraping", "objects one by one, 10/s", 10.0, FAST, |n, ms, _| {
        of(ms, 0, 1, n, Answer::Answered(None))
    }),
    attack("scraping", "objects one by one, 1/min", 1.0 / 60.0, LONG, |n, ms, _| {
        of(ms, 0, 1, n, Answer::Answered(None))
    }),
    attack("impossible rate", "5 times the quota", 250.0, FAST, |_, ms, _| of(ms, 0, 1, 1, Answer::Other)),
    attack("impossible rate", "2 times the quota", 99.0, FAST, |_, ms, _| of(ms, 0, 1, 1, Answer::Other)),
    attack("jumping steps", "2/s, many sequences", 2.0, FAST, |n, ms, _| of(ms, 0, 1, n, Answer::StepJump)),
    attack("shared key", "10/s from 200 addresses", 10.0, FAST, |n, ms, _| {
        of(ms, 0, 200, n % 3, Answer::Answered(None))
    }),
];

/// Honest callers that look like attackers.
pub(crate) const GREY: &[Attack] = &[
    attack("keys rotated", "200 clients behind the NAT, old keys", 40.0, FAST, |n, ms, _| {
        refused(ms, ip(1), n % 200, n % 200, true)
    }),
    attack("keys rotated", "20 clients behind the NAT, old keys", 4.0, FAST, |n, ms, _| {
        refused(ms, ip(1), n % 20, n % 20, true)
    }),
    attack("a backfill", "6,000 series once, by one who never did", 20.0, FAST, |_, ms, rng| {
        made_up(ms, 0, rng)
    }),
    attack("a faulty client", "another malformed body each second", 1.0, FAST, |n, ms, _| {
        of(ms, 0, 1, 1, payload(Anomaly::Malformed, n))
    }),
    attack("a broken sensor", "not finite, 5/s", 5.0, FAST, |n, ms, _| {
        of(ms, 0, 1, 1, payload(Anomaly::NotFinite, n))
    }),
    attack("a client begins anew", "gaps in 25 sequences", 20.0, (2, 10_000), |n, ms, _| {
        of(ms, 0, 1, n % 25, Answer::StepJump)
    }),
    attack("a client begins anew", "gaps in 200 sequences", 20.0, (10, 10_000), |n, ms, _| {
        of(ms, 0, 1, n % 200, Answer::StepJump)
    }),
    attack("sequences are gone", "2,000 of them asked for once", 20.0, (100, 10_000), |n, ms, _| {
        of(ms, 0, 1, n, Answer::Missing)
    }),
    attack("functions in a cloud", "10/s from 200 addresses", 10.0, FAST, |n, ms, _| {
        of(ms, 0, 200, n % 3, Answer::Answered(None))
    }),
];

/// The attacker's address of that number, of so many.
fn place(n: u64, addresses: u64) -> std::net::IpAddr {
    ip(ATTACKER + n % addresses)
}

fn tried(n: u64, ms: u64, addresses: u64, key: u64, is_known: bool) -> Observation {
    refused(ms, place(n, addresses), key, 1 << 40 | n, is_known)
}

/// From an address that honest callers share.
fn from_nat(n: u64, ms: u64) -> Observation {
    refused(ms, ip(1), n, 1 << 40 | n, true)
}

fn anonymous(ms: u64, n: u64) -> Observation {
    let event = Event::Anonymous(Request { object: Object(n), answer: Answer::Missing });
    Observation { now: Millis(ms), address: place(0, 1), event }
}

fn of(ms: u64, principal: u64, addresses: u64, object: u64, answer: Answer) -> Observation {
    let request = Request { object: Object(1 << 40 | object), answer };
    let principal = PrincipalId(ATTACKER + principal);
    let event = Event::Authenticated { principal, quota_per_second: QUOTA, request };
    Observation { now: Millis(ms), address: place(ms / 100, addresses), event }
}

/// Each hundredth credential is a good one, of an honest principal.
fn lucky(n: u64, ms: u64) -> Observation {
    if n % 100 < 99 {
        return tried(n, ms, 1, n, true);
    }
    let request = Request { object: Object(1), answer: Answer::Answered(None) };
    let event = Event::Authenticated { principal: PrincipalId(n / 100), quota_per_second: QUOTA, request };
    Observation { now: Millis(ms), address: place(0, 1), event }
}

fn payload(anomaly: Anomaly, body: u64) -> Answer {
    Answer::Payload { anomaly, body }
}

fn made_up(ms: u64, principal: u64, rng: &mut Rng) -> Observation {
    of(ms, principal, 1, 1, Answer::Answered(Some(Sketch(rng.next_u64()))))
}

fn hidden(n: u64, ms: u64, rng: &mut Rng) -> Observation {
    let sketch = if n.is_multiple_of(2) { rng.next_u64() } else { (n / 60) << 33 };
    of(ms, 0, 1, 1, Answer::Answered(Some(Sketch(sketch))))
}

fn varied(ms: u64, rng: &mut Rng) -> Observation {
    of(ms, 0, 1, 1, Answer::Answered(Some(Sketch((rng.next_u64() << 32) | 0x1234))))
}
