//! What was found, about whom, and what follows.
//!
//! A [`Finding`] holds what an OCSF Detection Finding (class 2004) asks for: `finding_info.uid` ([`Finding::uid`]), `title`, `analytic`
//! ([`Detector::as_str`]), `attacks` ([`Detector::technique`]), `first_seen_time`, `last_seen_time`, `severity_id`, `count`, the
//! actor or source endpoint (`subject`), `evidences`, and the action and disposition (`response`). It is written as such elsewhere.

use super::observation::PrincipalId;
use spinwell_core::{Millis, split_mix_64};
use std::net::IpAddr;

/// What finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Detector {
    /// Many different credentials refused from one address, mostly of keys that exist.
    CredentialStuffing,
    /// The same, mostly of keys that do not exist.
    KeyEnumeration,
    /// Many different credentials refused for one key or identity, from many addresses.
    IdentityAttack,
    /// Many different credentials refused from addresses at which nobody was good. A quarter as much is then enough, for an hour, to find
    /// one of these by itself.
    DistributedStuffing,
    /// A principal was authenticated from an address that is trying credentials, and had not been seen there before.
    CredentialFound,
    /// Many different names that do not exist or belong to others.
    ObjectEnumeration,
    /// Bodies that are meant to hurt: bombs, oversize, malformed.
    PayloadAnomaly,
    /// Many values that are not finite. Rather a broken sensor than an attack.
    PayloadNotFinite,
    /// More requests than the limit allows, for longer than a burst.
    ImpossibleRate,
    /// Steps of many sequences that left gaps.
    StepJumps,
    /// One principal from many addresses within a minute.
    ManyAddresses,
    /// Many windows that resemble none before, far more than this principal is used to.
    Extraction,
    /// Many different objects read, far more than this principal is used to.
    Scraping,
}

impl Detector {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::CredentialStuffing,
        Self::KeyEnumeration,
        Self::IdentityAttack,
        Self::DistributedStuffing,
        Self::CredentialFound,
        Self::ObjectEnumeration,
        Self::PayloadAnomaly,
        Self::PayloadNotFinite,
        Self::ImpossibleRate,
        Self::StepJumps,
        Self::ManyAddresses,
        Self::Extraction,
        Self::Scraping,
    ];

    /// Its name in configuration, findings and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CredentialStuffing => "credential_stuffing",
            Self::KeyEnumeration => "key_enumeration",
            Self::IdentityAttack => "identity_attack",
            Self::DistributedStuffing => "distributed_stuffing",
            Self::CredentialFound => "credential_found",
            Self::ObjectEnumeration => "object_enumeration",
            Self::PayloadAnomaly => "payload_anomaly",
            Self::PayloadNotFinite => "payload_not_finite",
            Self::ImpossibleRate => "impossible_rate",
            Self::StepJumps => "step_jumps",
            Self::ManyAddresses => "many_addresses",
            Self::Extraction => "extraction",
            Self::Scraping => "scraping",
        }
    }

    /// The technique in MITRE ATT&CK (`T…`) or ATLAS (`AML.T…`) that it looks for; where none fits well, the nearest.
    #[must_use]
    pub const fn technique(self) -> &'static str {
        match self {
            Self::CredentialStuffing | Self::DistributedStuffing => "T1110.004",
            Self::IdentityAttack => "T1110.001",
            Self::CredentialFound | Self::ManyAddresses => "T1078",
            Self::KeyEnumeration | Self::ObjectEnumeration => "T1595.003",
            Self::PayloadAnomaly | Self::ImpossibleRate => "AML.T0029",
            Self::PayloadNotFinite | Self::StepJumps => "AML.T0043",
            Self::Extraction => "AML.T0024.002",
            Self::Scraping => "T1213",
        }
    }

    /// The most that follows from it. Statistics that may be wrong about an honest caller slow him at most; what a third party can
    /// bring about, or only an operator can judge, is logged.
    #[must_use]
    pub const fn ceiling(self) -> Level {
        match self {
            Self::CredentialStuffing
            | Self::KeyEnumeration
            | Self::ObjectEnumeration
            | Self::PayloadAnomaly => Level::Block,
            Self::ImpossibleRate | Self::StepJumps | Self::Extraction | Self::Scraping => Level::Slow,
            Self::IdentityAttack
            | Self::DistributedStuffing
            | Self::CredentialFound
            | Self::PayloadNotFinite
            | Self::ManyAddresses => Level::Log,
        }
    }
}

/// How much follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Level {
    /// It is written down.
    #[default]
    Log,
    /// The subject gets a lower rate.
    Slow,
    /// The subject gets nothing.
    Block,
}

/// What is to be done with a request now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// Nothing.
    #[default]
    Allow,
    /// It has to keep a rate.
    Slow {
        /// In requests per second.
        rate_per_second: u32,
    },
    /// It is refused.
    Block {
        /// Until then, on the clock of the observations.
        until: Millis,
    },
}

/// What follows from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// It is written down.
    Log,
    /// The subject has to keep a rate.
    Slow {
        /// In requests per second.
        rate_per_second: u32,
        /// Until then.
        until: Millis,
    },
    /// The subject is refused.
    Block {
        /// Until then.
        until: Millis,
    },
}

impl Response {
    /// How much that is.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Response::Log => Level::Log,
            Response::Slow { .. } => Level::Slow,
            Response::Block { .. } => Level::Block,
        }
    }
}

/// How bad it is, with OCSF's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// To be looked at when there is time.
    Low = 2,
    /// To be looked at.
    Medium = 3,
    /// To be looked at now.
    High = 4,
}

impl Severity {
    /// OCSF's `severity_id`.
    #[must_use]
    pub const fn ocsf_id(self) -> u8 {
        self as u8
    }
}

/// About whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A client address; of IPv6 its /64, the rest being zero.
    Address(IpAddr),
    /// An authenticated principal.
    Principal(PrincipalId),
    /// A key or identity that others try to use: [`super::Credential::key`].
    Identity(u64),
    /// Nobody in particular.
    Service,
}

/// Something that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What found it.
    pub detector: Detector,
    /// How bad it is.
    pub severity: Severity,
    /// About whom.
    pub subject: Subject,
    /// When the first event of the episode was: findings about a subject between which its strikes did not fade are one episode. Whole
    /// seconds.
    pub first: Millis,
    /// When the last one was.
    pub last: Millis,
    /// Events that count in this finding (points, where payloads count points).
    pub count: u64,
    /// The numbers behind it.
    pub evidence: Evidence,
    /// What follows.
    pub response: Response,
}

/// The numbers behind a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// What was compared with the limit: different credentials, names or addresses, points, fresh windows, requests.
    pub measured: u64,
    /// The limit that it reached.
    pub limit: u64,
    /// What is usual for the subject, where that was asked: its peak of an hour.
    pub usual: Option<u64>,
    /// In how many coarse places of a model's input space the fresh windows lay, by sign and power of two of mean, spread and last
    /// value, counted up to 300: few where one window was varied, many where the space was swept.
    pub places: Option<u64>,
    /// How often this subject has been found, this time included.
    pub strikes: u32,
}

impl Finding {
    /// The same for all findings of one detector in one episode: the first creates, the others update.
    #[must_use]
    pub fn uid(&self) -> u64 {
        let subject = match self.subject {
            Subject::Address(IpAddr::V4(address)) => u64::from(address.to_bits()),
            Subject::Address(IpAddr::V6(address)) => (address.to_bits() >> 64) as u64 ^ 1 << 63,
            Subject::Principal(PrincipalId(principal)) => principal,
            Subject::Identity(key) => key.rotate_left(1),
            Subject::Service => 0,
        };
        split_mix_64(split_mix_64(subject, self.first.0), self.detector as u64 + 1)
    }
}
