//! Detectors between callers and a service that answers everybody.

use spinwell_core::Millis;
use spinwell_policy::threat::{
    Event, Finding, Level, Observation, Options, Past, PrincipalId, Subject, Threats,
};
use std::collections::BTreeSet;

/// First number of what belongs to attackers, in principals and in the last 24 bits of addresses.
pub(crate) const ATTACKER: u64 = 0x80_0000;

/// What happened since the report began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// Honest requests.
    pub(crate) honest: u64,
    /// Those with good credentials that were refused because of a measure.
    pub(crate) honest_refused: u64,
    pub(crate) honest_findings: Vec<Finding>,
    /// Requests of the attack.
    pub(crate) attack: u64,
    /// Those that were not refused because of a measure.
    pub(crate) attack_through: u64,
    /// Seconds from the attack's first request to the first finding about it.
    pub(crate) first_s: Option<f64>,
    pub(crate) slowed_s: Option<f64>,
    pub(crate) blocked_s: Option<f64>,
    /// Detectors that found it.
    pub(crate) names: BTreeSet<&'static str>,
}

impl Report {
    pub(crate) fn add(&mut self, other: &Report) {
        self.honest += other.honest;
        self.honest_refused += other.honest_refused;
        self.honest_findings.extend(&other.honest_findings);
        self.attack += other.attack;
        self.attack_through += other.attack_through;
    }

    pub(crate) fn honest_findings_above_log(&self) -> usize {
        self.honest_findings.iter().filter(|finding| finding.response.level() > Level::Log).count()
    }
}

/// Detectors, and what they did.
#[derive(Debug)]
pub(crate) struct Stage {
    threats: Threats,
    began_ms: Option<u64>,
    /// Whom findings may be about that are about the attack.
    attackers: BTreeSet<Subject>,
    /// Whether the attack tries credentials.
    tries: bool,
    pub(crate) report: Report,
}

impl Stage {
    /// Detectors as they are by default, but that an hour teaches them what a day does.
    pub(crate) fn new(seed: u64) -> Self {
        let options = Options { learning: Millis(3_600_000), ..Options::default() };
        let threats = Threats::new(options, seed).unwrap_or_else(|error| panic!("{error}"));
        Self { threats, began_ms: None, attackers: BTreeSet::new(), tries: false, report: Report::default() }
    }

    /// What the principals are used to.
    pub(crate) fn pasts(&self, now: Millis, principals: u64) -> Vec<Past> {
        (0..principals).filter_map(|id| self.threats.past(now, PrincipalId(id))).collect()
    }

    /// Principals that have been there before, and twenty more, whose keys attackers have, that never did much.
    pub(crate) fn restore(&mut self, now: Millis, pasts: &[Past]) {
        let modest = Past { watched_for: Millis(48 * 3_600_000), fresh_peak: 50, objects_peak: 5 };
        let attackers = (ATTACKER..ATTACKER + 20).map(|id| (id, modest));
        for (id, past) in (0..).zip(pasts.iter().copied()).chain(attackers) {
            self.threats.restore(now, PrincipalId(id), past);
        }
    }

    pub(crate) fn begin_report(&mut self) {
        self.report = Report::default();
    }

    /// A request of an honest caller, whether it was served.
    pub(crate) fn honest(&mut self, observation: Observation) {
        self.report.honest += 1;
        let would_be_served = matches!(observation.event, Event::Authenticated { .. });
        if !self.send(&observation) && would_be_served {
            self.report.honest_refused += 1;
        }
    }

    /// A request of the attack.
    pub(crate) fn attack(&mut self, observation: Observation) {
        self.began_ms.get_or_insert(observation.now.0);
        self.attackers.insert(Subject::Address(observation.address));
        self.tries |= matches!(observation.event, Event::Refused(_));
        if let Event::Authenticated { principal, .. } = observation.event {
            self.attackers.insert(Subject::Principal(principal));
        }
        self.report.attack += 1;
        self.report.attack_through += u64::from(self.send(&observation));
    }

    fn send(&mut self, observation: &Observation) -> bool {
        let principal = match observation.event {
            Event::Authenticated { principal, .. } => Some(principal),
            Event::Refused(_) | Event::Anonymous(_) => None,
        };
        if self.threats.admit(observation.now, observation.address, principal).is_err() {
            return false;
        }
        if let Some(finding) = self.threats.observe(observation).finding {
            self.note(finding);
        }
        true
    }

    fn note(&mut self, finding: Finding) {
        // An attack on an identity is about it, one from everywhere is about nobody.
        let is_general = self.tries && matches!(finding.subject, Subject::Identity(_) | Subject::Service);
        if self.began_ms.is_none() || !is_general && !self.attackers.contains(&finding.subject) {
            self.report.honest_findings.push(finding);
            return;
        }
        let since_s = (finding.last.0 - self.began_ms.unwrap_or(finding.last.0)) as f64 / 1_000.0;
        self.report.names.insert(finding.detector.as_str());
        self.report.first_s.get_or_insert(since_s);
        if finding.response.level() >= Level::Slow {
            self.report.slowed_s.get_or_insert(since_s);
        }
        if finding.response.level() == Level::Block {
            self.report.blocked_s.get_or_insert(since_s);
        }
    }
}
