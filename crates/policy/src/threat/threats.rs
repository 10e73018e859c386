//! The detectors of one gateway.

use super::finding::{Detector, Evidence, Finding, Level, Severity, Subject, Verdict};
use super::habits::{Past, Unusual};
use super::observation::{Answer, Credential, Event, Observation, PrincipalId, Request};
use super::options::{InvalidOptions, Limits, Options, seconds};
use super::records::{Address, Identity, Principal};
use super::standing::{Standing, Strike};
use super::table::Table;
use super::window::{Crowd, Trip};
use spinwell_core::{Millis, split_mix_64};
use std::net::{IpAddr, Ipv6Addr};

/// What an observation led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observed {
    /// What the next request of the same caller meets.
    pub verdict: Verdict,
    /// What was found by it, if anything. Where two detectors find something in the same request, one is told and the other one begins
    /// anew.
    pub finding: Option<Finding>,
}

/// A request that is not to be served now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// For what.
    pub verdict: Verdict,
    /// How long to wait.
    pub retry_after: Millis,
}

/// How many are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracked {
    /// Addresses.
    pub addresses: usize,
    /// Principals.
    pub principals: usize,
    /// Keys and identities that others try.
    pub identities: usize,
}

/// Refused credentials of strangers, whoever they are.
#[derive(Debug, Default)]
struct Strangers {
    standing: Standing,
    credentials: Crowd<16>,
    count: u32,
    began_s: u32,
    /// Until that second they are looked at more closely: an attack is spread over many of them.
    closely_until_s: u32,
}

/// So many times less is enough to find a stranger, while an attack is spread over many.
const CLOSELY: u32 = 4;

impl Strangers {
    /// What is allowed to an address at which nobody was good.
    fn limits(&self, now_s: u32, usual: Limits) -> Limits {
        if now_s >= self.closely_until_s {
            return usual;
        }
        // Two wrong credentials are a mistake and its correction.
        let less = |limit: u32| (limit / CLOSELY).max(3).min(limit);
        Limits { fast: less(usual.fast), slow: less(usual.slow), ..usual }
    }
}

/// The detectors of one gateway.
#[derive(Debug)]
pub struct Threats {
    options: Options,
    seed: u64,
    /// Hashes of addresses about which is only logged.
    allowed_addresses: Vec<u64>,
    addresses: Table<Address>,
    principals: Table<Principal>,
    identities: Table<Identity>,
    strangers: Strangers,
}

impl Threats {
    /// Detectors that have seen nothing yet. The seed is to be one that nobody outside can know.
    ///
    /// # Errors
    /// Options that cannot be.
    pub fn new(options: Options, seed: u64) -> Result<Self, InvalidOptions> {
        options.validate()?;
        Ok(Self {
            seed,
            allowed_addresses: options.allowed_addresses.iter().map(|one| hash(seed, bits(*one))).collect(),
            addresses: Table::new(options.addresses_max),
            principals: Table::new(options.principals_max),
            identities: Table::new(options.identities_max),
            strangers: Strangers::default(),
            options,
        })
    }

    /// What a request meets now: from an address, and of a principal once that is authenticated.
    ///
    /// An address's measure binds those who are nobody there. A principal that came from the address well before the attack was noticed is not
    /// touched by it, and another one has to keep a low rate at most, of its own: nobody is blocked for what others do.
    #[must_use]
    pub fn verdict(&self, now: Millis, address: IpAddr, principal: Option<PrincipalId>) -> Verdict {
        let key = hash(self.seed, bits(address));
        let at =
            self.addresses.get(key).map(|own| (own.standing.verdict(now), own.standing.strangers_from_s()));
        let (there, since_s) = at.unwrap_or_default();
        let Some(principal) = principal else { return there };
        let own = self.principals.get(hash(!self.seed, principal.0));
        let is_home = || own.is_some_and(|own| own.is_home(key, since_s.unwrap_or(0)));
        match own.map_or(Verdict::Allow, |own| own.standing.verdict(now)) {
            Verdict::Allow if there != Verdict::Allow && !is_home() => self.slow_address(),
            verdict => verdict,
        }
    }

    /// Whether a request may go on, and takes its place in the rate that it has to keep. To be asked once a request: with the principal where
    /// authentication succeeded, without where there is none or it failed.
    ///
    /// # Errors
    /// Not now.
    pub fn admit(
        &mut self,
        now: Millis,
        address: IpAddr,
        principal: Option<PrincipalId>,
    ) -> Result<(), Refusal> {
        let verdict = self.verdict(now, address, principal);
        let wait = match verdict {
            Verdict::Allow => None,
            Verdict::Block { until } => Some(Millis(until.0.saturating_sub(now.0))),
            Verdict::Slow { .. } => self.take_turn(now, address, principal),
        };
        wait.map_or(Ok(()), |retry_after| Err(Refusal { verdict, retry_after }))
    }

    /// Takes a request as it ended.
    pub fn observe(&mut self, observation: &Observation) -> Observed {
        let Observation { now, address, event } = *observation;
        let (principal, finding) = match event {
            Event::Refused(credential) => (None, self.refused(now, address, credential)),
            Event::Anonymous(request) => (None, self.anonymous(now, address, request)),
            Event::Authenticated { principal, quota_per_second, request } => {
                let caller = Caller { id: principal, quota: quota_per_second, address };
                (Some(principal), self.authenticated(now, caller, request))
            }
        };
        Observed { verdict: self.verdict(now, address, principal), finding }
    }

    /// Ends a subject's measures and forgets its strikes, as an operator wishes; whether it was known.
    pub fn lift(&mut self, subject: Subject) -> bool {
        let standing = match subject {
            Subject::Address(address) => {
                self.addresses.get_mut(hash(self.seed, bits(address))).map(|own| &mut own.standing)
            }
            Subject::Principal(id) => {
                self.principals.get_mut(hash(!self.seed, id.0)).map(|own| &mut own.standing)
            }
            Subject::Identity(key) => {
                self.identities.get_mut(hash(self.seed, key)).map(|own| &mut own.standing)
            }
            Subject::Service => Some(&mut self.strangers.standing),
        };
        standing.map(Standing::lift).is_some()
    }

    /// What a principal is used to, to be kept for the next process.
    #[must_use]
    pub fn past(&self, now: Millis, principal: PrincipalId) -> Option<Past> {
        self.principals.get(hash(!self.seed, principal.0)).map(|own| own.habits.past(seconds(now)))
    }

    /// What a principal was used to before this process began.
    pub fn restore(&mut self, now: Millis, principal: PrincipalId, past: Past) {
        let now_s = seconds(now);
        self.principals.enter(hash(!self.seed, principal.0), now_s).habits.restore(past, now_s);
    }

    /// How many are remembered.
    #[must_use]
    pub fn tracked(&self) -> Tracked {
        Tracked {
            addresses: self.addresses.len(),
            principals: self.principals.len(),
            identities: self.identities.len(),
        }
    }

    fn slow_address(&self) -> Verdict {
        Verdict::Slow { rate_per_second: self.options.slow_address_per_second }
    }

    /// The turn of one who has to keep a rate: the principal's own one, or the address's for those who are nobody.
    fn take_turn(&mut self, now: Millis, address: IpAddr, principal: Option<PrincipalId>) -> Option<Millis> {
        let Some(principal) = principal else {
            let own = self.addresses.get_mut(hash(self.seed, bits(address)))?;
            return own.standing.take_turn(now);
        };
        let own = self.principals.enter(hash(!self.seed, principal.0), seconds(now));
        if own.standing.verdict(now) != Verdict::Allow {
            return own.standing.take_turn(now);
        }
        if now < own.next_abroad {
            return Some(Millis(own.next_abroad.0 - now.0));
        }
        own.next_abroad = Millis(now.0 + 1_000 / u64::from(self.options.slow_address_per_second.max(1)));
        None
    }

    fn refused(&mut self, now: Millis, address: IpAddr, refused: Credential) -> Option<Finding> {
        let now_s = seconds(now);
        let key = hash(self.seed, bits(address));
        let credential = hash(self.seed, refused.credential);
        let own = self.addresses.enter(key, now_s);
        own.see(now, &self.options);
        let is_stranger = own.good() == 0;
        let usual = self.options.credentials;
        let limits = if is_stranger { self.strangers.limits(now_s, usual) } else { usual };
        let found = own.refuse(credential, refused.is_known, now_s, limits, &self.options);
        own.is_trying |= found.is_some();
        let mut finding = found.and_then(|(detector, trip)| self.found_at(now, address, detector, trip));
        if refused.is_known {
            let own = self.identities.enter(hash(self.seed, refused.key), now_s);
            if let Some(trip) = own.refuse(credential, key, now_s, &self.options) {
                let about = About::new(now, Detector::IdentityAttack, Subject::Identity(refused.key), trip);
                finding = finding.or(about.strike(&mut own.standing, &self.options, Level::Log));
            }
        }
        if is_stranger {
            finding = finding.or(self.strange(now, credential));
        }
        finding
    }

    fn strange(&mut self, now: Millis, credential: u64) -> Option<Finding> {
        let (now_s, own) = (seconds(now), &mut self.strangers);
        if now_s.saturating_sub(own.began_s) >= self.options.lengths().slow_s {
            (own.credentials, own.count, own.began_s) = (Crowd::default(), 0, now_s);
        }
        own.count = own.count.saturating_add(1);
        let (is_new, limit) = (own.credentials.add(credential), self.options.stranger_credentials);
        let distinct = if is_new { own.credentials.len() } else { 0 };
        if distinct < limit {
            return None;
        }
        let trip = Trip { first_s: own.began_s, count: own.count, distinct, limit };
        (own.credentials, own.count, own.began_s) = (Crowd::default(), 0, now_s);
        own.closely_until_s = now_s.saturating_add(self.options.lengths().slow_s);
        let about = About::new(now, Detector::DistributedStuffing, Subject::Service, trip);
        about.strike(&mut own.standing, &self.options, Level::Log)
    }

    fn anonymous(&mut self, now: Millis, address: IpAddr, request: Request) -> Option<Finding> {
        let own = self.addresses.enter(hash(self.seed, bits(address)), seconds(now));
        own.see(now, &self.options);
        let rate = self.options.anonymous_per_second;
        let (detector, trip) = own.probes.add(request, self.seed, now, rate, &self.options)?;
        self.found_at(now, address, detector, trip)
    }

    /// Something was found about an address.
    fn found_at(&mut self, now: Millis, address: IpAddr, detector: Detector, trip: Trip) -> Option<Finding> {
        let key = hash(self.seed, bits(address));
        let ceiling = if self.allowed_addresses.contains(&key) { Level::Log } else { Level::Block };
        let mut about = About::new(now, detector, Subject::Address(network(address)), trip);
        about.rate_per_second = self.options.slow_address_per_second;
        let own = self.addresses.get_mut(key)?;
        about.strike(&mut own.standing, &self.options, ceiling)
    }

    fn authenticated(&mut self, now: Millis, caller: Caller, request: Request) -> Option<Finding> {
        let (now_s, options) = (seconds(now), &self.options);
        let address = hash(self.seed, bits(caller.address));
        let id = hash(!self.seed, caller.id.0);
        let place = self.addresses.enter(address, now_s);
        place.see(now, options);
        place.welcome(id, now_s, options);
        let tried_since_s = place.standing.strangers_from_s().filter(|_| place.is_trying);

        let own = self.principals.enter(id, now_s);
        let many = own.see(address, now, options);
        let object = hash(self.seed, request.object.0);
        let probe = own.probes.add(request, self.seed, now, caller.quota, options);
        own.habits.advance(now_s, options);
        let habit = match request.answer {
            Answer::Answered(sketch) => {
                let query = sketch.and_then(|sketch| own.habits.query(sketch, caller.quota, now_s, options));
                let query = query.map(|unusual| (Detector::Extraction, unusual));
                query.or_else(|| own.habits.read(object, now_s, options).map(|one| (Detector::Scraping, one)))
            }
            _ => None,
        };
        let jump = (request.answer == Answer::StepJump).then(|| {
            own.jumps.add(now_s, options.lengths(), object, 1);
            own.jumps.take_distinct(options.step_jumps, 0).map(|trip| (Detector::StepJumps, trip))
        });
        let subject = Subject::Principal(caller.id);
        let trip = probe.or(jump.flatten()).or(many);
        // Last, since it is said only once.
        let is_silent = trip.is_none() && habit.is_none();
        let abroad = tried_since_s.filter(|since_s| is_silent && own.is_newly_abroad(address, *since_s));
        let abroad = abroad.map(|first_s| Trip { first_s, count: 1, distinct: 1, limit: 1 });
        let trip = trip.or(abroad.map(|trip| (Detector::CredentialFound, trip)));
        let mut about = match (trip, habit) {
            (_, Some((detector, unusual))) => About::unusual(now, detector, subject, unusual),
            (Some((detector, trip)), None) => About::new(now, detector, subject, trip),
            (None, None) => return None,
        };
        about.rate_per_second =
            (u64::from(caller.quota) * u64::from(options.slow_percent) / 100).max(1) as u32;
        let is_allowed = options.allowed_principals.contains(&caller.id);
        let is_guess = habit.is_some_and(|(_, unusual)| !unusual.is_learned);
        let ceiling = if is_allowed || is_guess { Level::Log } else { Level::Block };
        about.strike(&mut own.standing, options, ceiling)
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
struct Caller {
    id: PrincipalId,
    /// Requests per second.
    quota: u32,
    address: IpAddr,
}

/// A finding before its consequences are known.
#[derive(Debug, Clone, Copy)]
struct About {
    now: Millis,
    detector: Detector,
    subject: Subject,
    trip: Trip,
    usual: Option<u64>,
    places: Option<u64>,
    rate_per_second: u32,
}

impl About {
    fn new(now: Millis, detector: Detector, subject: Subject, trip: Trip) -> Self {
        Self { now, detector, subject, trip, usual: None, places: None, rate_per_second: 1 }
    }

    fn unusual(now: Millis, detector: Detector, subject: Subject, unusual: Unusual) -> Self {
        let Unusual { first_s, measured, limit, usual, places, .. } = unusual;
        let trip = Trip { first_s, count: measured, distinct: measured, limit };
        Self {
            usual: Some(usual.into()),
            places: places.map(u64::from),
            ..Self::new(now, detector, subject, trip)
        }
    }

    fn strike(self, standing: &mut Standing, options: &Options, ceiling: Level) -> Option<Finding> {
        let Self { now, detector, subject, trip, usual, places, rate_per_second } = self;
        let ceiling = ceiling.min(options.ceiling(detector));
        let strike = Strike { detector, first_s: trip.first_s, now, rate_per_second, ceiling };
        let struck = standing.strike(strike, options)?;
        let by_points = matches!(detector, Detector::PayloadAnomaly | Detector::PayloadNotFinite);
        let measured = u64::from(if by_points { trip.count } else { trip.distinct });
        Some(Finding {
            detector,
            severity: severity(detector, struck.response.level()),
            subject,
            first: Millis(u64::from(struck.since_s) * 1_000),
            last: now,
            count: trip.count.into(),
            evidence: Evidence { measured, limit: trip.limit.into(), usual, places, strikes: struck.strikes },
            response: struck.response,
        })
    }
}

fn severity(detector: Detector, level: Level) -> Severity {
    match (detector, level) {
        (Detector::CredentialFound, _) | (_, Level::Block) => Severity::High,
        (Detector::IdentityAttack | Detector::DistributedStuffing, _) | (_, Level::Slow) => Severity::Medium,
        _ => Severity::Low,
    }
}

/// What is counted as one address: one of IPv4, a /64 of IPv6, which is what one customer gets at least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

fn bits(address: IpAddr) -> u64 {
    match address.to_canonical() {
        // No /64 of the internet begins with 32 zeros and 0x2: they are 2000::/3.
        IpAddr::V4(v4) => u64::from(v4.to_bits()) | 2 << 32,
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

/// A hash that nobody outside can foresee, so that nobody can choose who shares places or bits with whom.
pub(super) fn hash(seed: u64, value: u64) -> u64 {
    split_mix_64(seed, value)
}
