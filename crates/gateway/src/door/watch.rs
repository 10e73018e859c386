//! Detectors of attacks behind each request, and what they have found.

use crate::audit::Audit;
use spinwell_core::{Code, Fault, Fnv, Millis, ResultClass, split_mix_64};
use spinwell_policy::threat::{
    Anomaly, Answer, Credential, Detector, Event, Finding, Level, Object, Observation, Options, PrincipalId,
    Request, Sketch, Subject, Threats, Verdict,
};
use spinwell_security::guard::{Caller, Tried};
use std::hash::Hasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What follows from findings, as metrics count it.
pub(crate) const LEVELS: [(Level, &str); 3] =
    [(Level::Log, "log"), (Level::Slow, "slow"), (Level::Block, "block")];

/// What was asked, and what became of it, as far as the detectors need it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    object: Object,
    answer: Answer,
}

impl Seen {
    /// A request that is no prediction.
    pub(crate) fn other(kind: &str, name: &str, code: Option<Code>) -> Self {
        let answer = match code {
            None => Answer::Answered(None),
            Some(Code::ModelNotFound | Code::VersionNotFound | Code::NotPermitted) => Answer::Missing,
            Some(_) => Answer::Other,
        };
        Self { object: object(kind, name), answer }
    }

    /// A request for predictions that declared more than any request can hold.
    pub(crate) fn bomb(model: &str, body: u64) -> Self {
        Self { object: object("model", model), answer: Answer::Payload { anomaly: Anomaly::ShapeBomb, body } }
    }

    /// A request for predictions; nothing of one that was refused before anybody looked at it.
    pub(crate) fn prediction(
        model: &str,
        result: ResultClass,
        sketch: Option<Sketch>,
        body: u64,
    ) -> Option<Self> {
        let payload = |anomaly| Answer::Payload { anomaly, body };
        let answer = match result {
            ResultClass::Answered => Answer::Answered(sketch),
            ResultClass::Cancelled => Answer::Other,
            ResultClass::Failed(code) => match code {
                Code::CredentialsMissing | Code::CredentialsRefused | Code::CallerHeldBack => return None,
                Code::ModelNotFound | Code::VersionNotFound | Code::NotPermitted => Answer::Missing,
                Code::BodyTooLarge => payload(Anomaly::Oversize),
                Code::JsonMalformed
                | Code::FramingInvalid
                | Code::RequestInvalid
                | Code::TensorUnknown
                | Code::TensorDatatype
                | Code::TensorShape
                | Code::TensorEmpty
                | Code::TensorData => payload(Anomaly::Malformed),
                Code::TensorNotFinite => payload(Anomaly::NotFinite),
                Code::SequenceStep => Answer::StepJump,
                _ => Answer::Other,
            },
        };
        Some(Self { object: object("model", model), answer })
    }
}

fn object(kind: &str, name: &str) -> Object {
    let mut hash = Fnv::default();
    hash.write(kind.as_bytes());
    hash.write_u8(0);
    hash.write(name.as_bytes());
    Object(hash.finish())
}

/// What was counted.
#[derive(Debug, Default)]
struct DoorCounts {
    findings: [[AtomicU64; LEVELS.len()]; Detector::ALL.len()],
}

/// Who watches.
pub struct Watch {
    threats: Mutex<Threats>,
    seed: u64,
    audit: Option<Arc<Audit>>,
    counts: DoorCounts,
}

impl Watch {
    /// Detectors with these options. The seed is to be random. About callers on this machine and at these addresses, which are proxies,
    /// is only written down.
    #[must_use]
    pub fn new(proxies: &[IpAddr], only_log: bool, seed: u64, audit: Option<Arc<Audit>>) -> Self {
        let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let known: Vec<IpAddr> = local.into_iter().chain(proxies.iter().copied()).collect();
        let options = Options {
            allowed_principals: known.iter().map(|address| principal_at(seed, *address)).collect(),
            allowed_addresses: known,
            ceilings: match only_log {
                true => Detector::ALL.map(|detector| (detector, Level::Log)).to_vec(),
                false => Vec::new(),
            },
            ..Options::default()
        };
        let threats = match Threats::new(options, seed) {
            Ok(threats) => threats,
            Err(invalid) => unreachable!("the usual options are tested: {invalid}"),
        };
        Self { threats: Mutex::new(threats), seed, audit, counts: DoorCounts::default() }
    }

    /// The sketch of a window.
    pub(crate) fn sketch(&self, values: &[f32]) -> Sketch {
        Sketch::of(values, self.seed)
    }

    /// How often each detector has found what, by what followed.
    pub(crate) fn findings(&self) -> impl Iterator<Item = (Detector, &'static str, u64)> {
        Detector::ALL.iter().zip(&self.counts.findings).flat_map(|(detector, counts)| {
            let counts = LEVELS.iter().zip(counts);
            counts.map(|((_, level), count)| (*detector, *level, count.load(Ordering::Relaxed)))
        })
    }

    /// Whether a request goes on now.
    ///
    /// # Errors
    /// Where its caller, or everybody unknown at the address, is held back.
    pub(super) fn admit(&self, now: Millis, address: IpAddr, caller: Option<&Caller>) -> Result<(), Fault> {
        let principal = caller.map(|caller| self.principal(caller, address));
        let admitted = self.lock().admit(now, address, principal);
        admitted.map_err(|refusal| {
            let wait = refusal.retry_after.max(Millis(1));
            let who = if principal.is_some() { "this caller" } else { "this address" };
            let message = match refusal.verdict {
                Verdict::Block { .. } => {
                    format!("{who} is held back for what was asked before; try again in {wait}")
                }
                _ => format!("{who} has to keep a low rate for what was asked before; try again in {wait}"),
            };
            Fault::new(Code::CallerHeldBack, message).retry_after(wait)
        })
    }

    /// A request did not come in.
    pub(super) fn refused(&self, now: Millis, address: IpAddr, tried: Option<Tried>) {
        let event = match tried {
            Some(Tried { key, credential, is_known }) => {
                Event::Refused(Credential { key, credential, is_known })
            }
            None => Event::Anonymous(Request { object: object("door", ""), answer: Answer::Other }),
        };
        self.see(Observation { now, address, event }, None);
    }

    /// A request of a caller who came in has ended.
    pub(super) fn observe(&self, now: Millis, address: IpAddr, caller: &Caller, quota: u32, seen: Seen) {
        let Seen { object, answer } = seen;
        let principal = self.principal(caller, address);
        let request = Request { object, answer };
        let event = Event::Authenticated { principal, quota_per_second: quota, request };
        self.see(Observation { now, address, event }, Some(caller));
    }

    fn see(&self, observation: Observation, caller: Option<&Caller>) {
        let finding = self.lock().observe(&observation).finding;
        if let Some(finding) = finding {
            self.found(&finding, observation.address, caller);
        }
    }

    fn found(&self, finding: &Finding, address: IpAddr, caller: Option<&Caller>) {
        let level = finding.response.level();
        let place = Detector::ALL.iter().position(|detector| *detector == finding.detector);
        let step = LEVELS.iter().position(|(other, _)| *other == level);
        if let (Some(place), Some(step)) = (place, step) {
            self.counts.findings[place][step].fetch_add(1, Ordering::Relaxed);
        }
        let principal = caller.map_or("", |caller| caller.principal());
        tracing::warn!(
            detector = finding.detector.as_str(), ?level, %address, principal, count = finding.count,
            "what was asked looks like an attack"
        );
        if let Some(audit) = &self.audit {
            let is_about_address = matches!(finding.subject, Subject::Address(_));
            audit.finding(finding, address, caller.filter(|_| !is_about_address));
        }
    }

    /// A caller as the detectors know him. Where nobody shows who he is, each address is one.
    fn principal(&self, caller: &Caller, address: IpAddr) -> PrincipalId {
        if caller.is_anonymous() {
            return principal_at(self.seed, address);
        }
        let mut hash = Fnv::default();
        hash.write(caller.principal().as_bytes());
        PrincipalId(split_mix_64(self.seed, hash.finish()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Threats> {
        self.threats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn principal_at(seed: u64, address: IpAddr) -> PrincipalId {
    let mut hash = Fnv::default();
    hash.write(b"at ");
    match address.to_canonical() {
        IpAddr::V4(address) => hash.write(&address.octets()),
        // A /64 is what one customer gets at least.
        IpAddr::V6(address) => hash.write(&address.octets()[..8]),
    }
    PrincipalId(split_mix_64(seed, hash.finish()))
}
