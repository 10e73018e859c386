//! What the gateway saw of one request.

use super::sketch::Sketch;
use spinwell_core::Millis;
use std::net::IpAddr;

/// A hash of an authenticated principal's name. Any 64 bits that are the same each time; the name itself never comes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrincipalId(pub u64);

/// A hash of what was asked for: the name of a model, of a sequence, of a receipt, with its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object(pub u64);

/// One request as it ended. Requests that [`super::Threats::admit`] refused are not observed: who waits out a measure does not prolong it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// When, in milliseconds of any clock that does not go back, the same for all calls.
    pub now: Millis,
    /// Whom the connection is from: the caller, never a proxy, or all callers are one.
    pub address: IpAddr,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Authentication failed. It counts against the address; the identity is only watched.
    Refused(Credential),
    /// A request without any credential, on a path that asks for none or was refused for that. It counts against the address.
    Anonymous(Request),
    /// A request of an authenticated principal. It counts against the principal only.
    Authenticated {
        /// Who.
        principal: PrincipalId,
        /// What the principal is allowed, in requests per second; 0 where nothing is declared.
        quota_per_second: u32,
        /// What was asked.
        request: Request,
    },
}

/// A credential that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// A hash of the key's id or of the identity that was claimed.
    pub key: u64,
    /// A keyed hash of the whole credential, so that one that is tried again is told from another one that is tried. Of a token whose
    /// signature holds and that is refused for its age or audience: a hash of issuer and subject, or each renewed token counts.
    pub credential: u64,
    /// Whether such a key or identity exists here.
    pub is_known: bool,
}

/// What was asked, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What was asked for.
    pub object: Object,
    /// What became of it.
    pub answer: Answer,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was answered; with a sketch of its window, where it had one.
    Answered(Option<Sketch>),
    /// There is no such object, or it is another's (404 and 403). Not for what only is not there yet, as a receipt before its batch is
    /// sealed, and not for a sequence in the caller's own name space: after a retention run an honest client may ask for thousands.
    Missing,
    /// Its payload was refused.
    Payload {
        /// For what.
        anomaly: Anomaly,
        /// A cheap hash of the body, such as of its length and first bytes, by which one that is sent again is known.
        body: u64,
    },
    /// A step of a sequence left a gap (409 with `expected_step`).
    StepJump,
    /// Anything else: over the limit, no room, past the deadline, failed.
    Other,
}

/// For what a payload was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anomaly {
    /// A shape that declares more than any model takes, found before anything was allocated.
    ShapeBomb,
    /// A body over the limit, or one that unpacks to more than the limit.
    Oversize,
    /// Not JSON, not the framing it claims, a datatype or rank that does not fit.
    Malformed,
    /// NaN or infinite. Sensors send such things.
    NotFinite,
}

impl Anomaly {
    /// Points that it counts, against limits such as 100 a minute. Ten bombs are an attack, fifty bad bodies are one or a bad release.
    pub(super) const fn points(self) -> u32 {
        match self {
            Anomaly::ShapeBomb => 10,
            Anomaly::Oversize => 5,
            Anomaly::Malformed => 2,
            Anomaly::NotFinite => 1,
        }
    }
}
