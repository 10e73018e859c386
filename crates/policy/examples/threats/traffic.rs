//! Honest traffic: ten tenants, 500 principals, and those whose clients are not in order.

use spinwell_core::{Millis, Rng, split_mix_64};
use spinwell_policy::threat::{
    Anomaly, Answer, Credential, Event, Object, Observation, PrincipalId, Request, Sketch,
};
use std::net::{IpAddr, Ipv4Addr};

pub(crate) const PRINCIPALS: u64 = 500;
/// Principals from here on sit behind one address.
const BEHIND_NAT: u64 = 300;
const NAT: u32 = 1;
/// Who runs a batch in the night, here five minutes of every hour, over 2,000 series.
const BATCH: u64 = 7;
/// Whose sensor fails now and then.
const BROKEN_SENSOR: u64 = 11;
/// Who sends a body again that was refused.
const STUBBORN: u64 = 13;
/// Who asks again for a model that is gone.
const NOSTALGIC: u64 = 17;
/// Who sends requests again that were refused for want of room.
const RETRYING: u64 = 19;
/// Who normalises each window itself, so that no two resemble each other.
const NORMALISING: u64 = 23;

/// A principal.
#[derive(Debug, Clone)]
struct Caller {
    /// Its part of all requests.
    share: f64,
    /// Requests per second that it may send.
    quota: u32,
    addresses: Vec<IpAddr>,
    /// What windows of each of its series have in common at present.
    series: Vec<u64>,
    /// Whether it is in a burst.
    is_bursting: bool,
}

/// Honest traffic.
#[derive(Debug)]
pub(crate) struct Traffic {
    rng: Rng,
    callers: Vec<Caller>,
    per_second: u64,
    number: u64,
}

pub(crate) fn ip(number: u64) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 | number as u32 & 0xff_ffff).into()
}

impl Traffic {
    pub(crate) fn new(seed: u64, per_second: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        // Ten tenants of different size, and within each a few who send most.
        let raw: Vec<f64> =
            (0..PRINCIPALS).map(|n| (1.0 + (n % 10) as f64) * rng.uniform().powi(-1).min(30.0)).collect();
        let total: f64 = raw.iter().sum();
        let callers = raw.iter().enumerate().map(|(n, raw)| {
            let share = raw / total;
            let addresses = if n as u64 >= BEHIND_NAT {
                vec![ip(NAT.into())]
            } else {
                (0..1 + rng.below(4)).map(|k| ip(1_000 + n as u64 * 8 + k)).collect()
            };
            let series = (0..1 + rng.below(60)).map(|_| rng.next_u64()).collect();
            let quota = 20 + (share * 10_000.0 * 4.0) as u32;
            Caller { share, quota, addresses, series, is_bursting: false }
        });
        let callers = callers.collect();
        Self { rng, callers, per_second, number: 0 }
    }

    /// The requests of a second.
    pub(crate) fn second(&mut self, second: u64, send: &mut impl FnMut(Observation)) {
        for caller in 0..self.callers.len() {
            let rng = &mut self.rng;
            let own = &mut self.callers[caller];
            // Bursts of ten seconds at four times the usual rate, a seventh of the time.
            own.is_bursting = if own.is_bursting { rng.below(10) > 0 } else { rng.below(60) == 0 };
            let mean = own.share * self.per_second as f64 * if own.is_bursting { 2.8 } else { 0.7 };
            let count = (mean + rng.uniform()) as u64;
            for place in 0..count {
                let ms = second * 1_000 + place * 1_000 / count;
                let observation = self.request(caller as u64, ms);
                send(observation);
            }
        }
        self.disorderly(second, send);
    }

    /// A usual request.
    fn request(&mut self, caller: u64, ms: u64) -> Observation {
        self.number += 1;
        let (rng, own) = (&mut self.rng, &mut self.callers[caller as usize]);
        let series = rng.below(own.series.len() as u64);
        let common = &mut own.series[series as usize];
        // Of 64 rows moved on by one, 3 % look new.
        if caller == NORMALISING || rng.below(100) < 3 {
            *common = rng.next_u64();
        }
        let answer = match rng.below(2_000) {
            0 => Answer::Missing,
            1 => Answer::Payload { anomaly: Anomaly::Malformed, body: self.number },
            2..=6 => Answer::Other,
            _ => Answer::Answered(Some(Sketch(*common))),
        };
        // Of names that do not exist the same few are asked for.
        let object = if answer == Answer::Missing { rng.below(4) } else { caller << 20 | series };
        self.of(caller, ms, Object(object), answer)
    }

    fn of(&mut self, caller: u64, ms: u64, object: Object, answer: Answer) -> Observation {
        let own = &self.callers[caller as usize];
        let address = own.addresses[self.rng.below(own.addresses.len() as u64) as usize];
        let request = Request { object, answer };
        let event =
            Event::Authenticated { principal: PrincipalId(caller), quota_per_second: own.quota, request };
        Observation { now: Millis(ms), address, event }
    }

    /// What clients send that are not in order.
    fn disorderly(&mut self, second: u64, send: &mut impl FnMut(Observation)) {
        let ms = second * 1_000;
        // A key that expired, tried every second.
        send(refused(ms, ip(500), 42, 42, true));
        // Keys typed wrongly, where their owners are, and from behind the NAT after a rotation of keys.
        if self.rng.below(100) == 0 {
            let number = self.rng.next_u64();
            let caller = self.rng.below(PRINCIPALS) as usize;
            send(refused(ms, self.callers[caller].addresses[0], number, number, false));
        }
        if second % 1_800 < 20 {
            let number = self.rng.below(20);
            send(refused(ms, ip(NAT.into()), number, 1_000 + number, true));
        }
        // What the internet sends by itself: about 50 keys an hour, each from elsewhere.
        if self.rng.below(72) == 0 {
            let number = self.rng.next_u64();
            send(refused(ms, ip(0x40_0000 + self.rng.below(0x40_0000)), number, number, false));
        }
        for place in 0..2 {
            let body = Answer::Payload { anomaly: Anomaly::Malformed, body: 5 };
            send(self.of(STUBBORN, ms + place * 500, Object(1), body));
            send(self.of(NOSTALGIC, ms + place * 500, Object(2), Answer::Missing));
        }
        if second % 600 < 60 {
            for place in 0..5 {
                let body = Answer::Payload { anomaly: Anomaly::NotFinite, body: self.rng.next_u64() };
                send(self.of(BROKEN_SENSOR, ms + place * 200, Object(3), body));
            }
        }
        if second % 300 < 20 {
            let quota = self.callers[RETRYING as usize].quota;
            for place in 0..u64::from(quota) {
                send(self.of(RETRYING, ms + place * 1_000 / u64::from(quota), Object(4), Answer::Other));
            }
        }
        if second % 3_600 < 300 {
            let hour = second / 3_600;
            for place in 0..20 {
                let series = (second % 3_600 * 20 + place) % 2_000;
                let sketch = Sketch(split_mix_64(hour, second * 20 + place));
                let answer = Answer::Answered(Some(sketch));
                send(self.of(BATCH, ms + place * 50, Object(BATCH << 20 | series), answer));
            }
        }
    }
}

/// A credential that was refused.
pub(crate) fn refused(ms: u64, address: IpAddr, key: u64, credential: u64, is_known: bool) -> Observation {
    let event = Event::Refused(Credential { key, credential, is_known });
    Observation { now: Millis(ms), address, event }
}
