//! Tests of policies: what must be allowed and what must not, written down beside them.
//!
//! ```toml
//! [[case]]
//! name = "viewers do not delete"        # optional
//! roles = ["viewer"]
//! tenant = "acme"                       # "default" if it is left out
//! action = "ModelDelete"
//! resource = { kind = "model", name = "taxi", tenant = "acme" }
//! expect = "deny"
//! policy = "some-policy"                # optional: it must be among those that decide
//! ```
//! Further keys: `principal`, and `scopes = { models = [..], actions = [..] }`. Kinds are `model` and `sequence` (with `name`),
//! `region`, `tenant`, `ledger`; `tenant` says whose it is, and may be left out for a model or the ledger.

mod read;

use crate::access::{Action, Decision, Effect, Finding, PolicySet, Resource};
use crate::identity::Identity;
use std::fmt;

/// A test file that cannot be read: all that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidTests(pub Vec<Finding>);

impl fmt::Display for InvalidTests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Finding::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for InvalidTests {}

/// One case and what came of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is called, or what it asks.
    pub name: String,
    /// The line that it begins in.
    pub line: usize,
    /// What was expected.
    pub expected: Effect,
    /// The policy that was expected among those that decide.
    pub expected_policy: Option<String>,
    /// What was decided.
    pub decision: Decision,
}

impl Case {
    /// Whether both agree.
    #[must_use]
    pub fn passed(&self) -> bool {
        let named = |id: &String| self.decision.policies().any(|policy| policy == id);
        self.decision.effect() == self.expected && self.expected_policy.as_ref().is_none_or(named)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, line, expected, expected_policy, decision } = self;
        let list = |ids: Vec<&str>| if ids.is_empty() { "no policy".to_owned() } else { ids.join(", ") };
        write!(f, "{} line {line}: {name}: ", if self.passed() { "ok" } else { "FAILED" })?;
        if !self.passed() {
            let by = expected_policy.as_ref().map(|id| format!(" by {id}")).unwrap_or_default();
            write!(f, "expected {}{by}, but it is ", expected.name())?;
        }
        write!(f, "{} by {}", decision.effect().name(), list(decision.policies().collect()))
    }
}

/// What came of a test file.
#[derive(Debug, Clone)]
pub struct Report {
    /// All cases, as they stand in the file.
    pub cases: Vec<Case>,
}

impl Report {
    /// Whether all passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.cases.iter().all(Case::passed)
    }

    /// Those that did not.
    pub fn failed(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| !case.passed())
    }
}

/// A case as it is written.
struct Written {
    name: Option<String>,
    line: usize,
    who: Identity,
    action: Action,
    resource: Resource,
    expected: Effect,
    policy: Option<String>,
}

/// Asks `policies` each case of a test file, called `file` in messages.
///
/// # Errors
/// Where the file cannot be read, or has no case: a test that tests nothing should not pass. A case that fails is no error.
pub fn run_tests(policies: &PolicySet, file: &str, text: &str) -> Result<Report, InvalidTests> {
    let cases = read::cases(file, text).map_err(InvalidTests)?;
    let run = |case: Written| {
        let Written { name, line, who, action, resource, expected, policy } = case;
        let decision = policies.decide_anew(&who, action, &resource);
        let roles: Vec<&str> = who.grants.roles().iter().map(String::as_str).collect();
        let asks = || format!("{} of {}: {action} on {resource}", roles.join("+"), who.grants.tenant().0);
        Case { name: name.unwrap_or_else(asks), line, expected, expected_policy: policy, decision }
    };
    Ok(Report { cases: cases.into_iter().map(run).collect() })
}
