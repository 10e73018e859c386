//! Policies, read whole and checked, and the decisions that follow.

use crate::access::cache::{Cache, Key};
use crate::access::entities::{Unfit, World};
use crate::access::{Action, Decision, Effect, Finding, InvalidPolicies, Resource, Why};
use crate::identity::Identity;
use cedar_policy::{Authorizer, PolicyId, Schema, ValidationMode, Validator};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, LazyLock};

/// What policies may speak of.
pub const SCHEMA: &str = include_str!("../../policies/schema.cedarschema");
/// The policies that hold where no file says otherwise.
pub const DEFAULT_POLICIES: &str = include_str!("../../policies/default.cedar");
/// What the default policies promise, as `spinwell policy test` reads it.
pub const DEFAULT_TESTS: &str = include_str!("../../policies/default.test.toml");
const ALWAYS: &str = include_str!("../../policies/always.cedar");

/// Ids of our own policies begin with this, and no others may.
const OWN: &str = "spinwell.";
/// A file is no longer than this.
const BYTES_MAX: usize = 1024 * 1024;
/// There are no more policies than this: each is looked at for a decision that is not kept.
const POLICIES_MAX: usize = 1_000;

/// A policy file.
#[derive(Debug, Clone, Copy)]
pub struct PolicyFile<'f> {
    /// What it is called in messages.
    pub name: &'f str,
    /// What stands in it.
    pub text: &'f str,
}

/// A policy as it can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What decisions name it by.
    pub id: Arc<str>,
    /// Which file it stands in.
    pub file: String,
    /// In which line it begins.
    pub line: usize,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// What it says.
    pub text: String,
}

/// All policies. See the module's documentation.
pub struct PolicySet {
    policies: Vec<Policy>,
    ids: HashMap<PolicyId, Arc<str>>,
    cedar: cedar_policy::PolicySet,
    authorizer: Authorizer,
    world: World,
    cache: Cache,
    /// Some policy names a caller, so decisions are kept by caller.
    names_callers: bool,
    hash: [u8; 32],
}

impl PolicySet {
    /// The policies that hold where no file says otherwise.
    ///
    /// # Panics
    /// If they were invalid, which a test of this crate excludes.
    #[must_use]
    pub fn of_defaults() -> Self {
        match Self::parse(&[PolicyFile { name: "default.cedar", text: DEFAULT_POLICIES }]) {
            Ok(policies) => policies,
            Err(invalid) => unreachable!("our own policies are checked by tests: {invalid}"),
        }
    }

    /// The policies of these files, in place of the default ones.
    ///
    /// # Errors
    /// Where anything is wrong with them: all of it, each with its place. Files take effect together or not at all.
    pub fn parse(files: &[PolicyFile<'_>]) -> Result<Self, InvalidPolicies> {
        let schema = our_schema()?;
        let mut reading = Reading::default();
        reading.read(PolicyFile { name: "always.cedar", text: ALWAYS }, Whose::Ours);
        for file in files {
            reading.read(*file, Whose::Theirs);
        }
        if reading.findings.is_empty() {
            reading.validate(files, schema.clone());
        }
        let Reading { findings, cedar, policies, ids } = reading;
        if !findings.is_empty() {
            return Err(InvalidPolicies(findings));
        }
        let world = World::new(schema).map_err(|error| ours(&*error))?;
        let literals = cedar.policies().flat_map(cedar_policy::Policy::entity_literals);
        let names_callers = literals.into_iter().any(|uid| world.is_user(&uid));
        let mut hash = Sha256::new();
        for text in files.iter().map(|file| file.text).chain([ALWAYS, SCHEMA]) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        Ok(Self {
            policies,
            ids,
            cedar,
            authorizer: Authorizer::new(),
            world,
            cache: Cache::default(),
            names_callers,
            hash: hash.finalize().into(),
        })
    }

    /// Whether `who` may do that.
    pub fn decide(&self, who: &Identity, action: Action, resource: &Resource) -> Decision {
        let key = Key {
            grants: Arc::clone(&who.grants),
            action,
            resource: resource.clone(),
            principal: self.names_callers.then(|| Arc::clone(&who.principal)),
        };
        self.cache.get_or(key, |_| self.decide_anew(who, action, resource))
    }

    /// What [`Self::decide`] answers, without what was decided before.
    pub fn decide_anew(&self, who: &Identity, action: Action, resource: &Resource) -> Decision {
        if !who.grants.scopes().hold(action.name(), resource.model()) {
            return Decision::new(Effect::Deny, Why::Scope, Vec::new());
        }
        self.evaluate(who, action, resource)
            .unwrap_or_else(|_| Decision::new(Effect::Deny, Why::Failed, Vec::new()))
    }

    fn evaluate(&self, who: &Identity, action: Action, resource: &Resource) -> Result<Decision, Unfit> {
        let (request, entities) = self.world.ask(who, action, resource)?;
        let response = self.authorizer.is_authorized(&request, &self.cedar, &entities);
        let ids = |ids: &mut dyn Iterator<Item = &PolicyId>| {
            ids.filter_map(|id| self.ids.get(id)).cloned().collect::<Vec<_>>()
        };
        // A policy that fails is left out by Cedar, also one that forbids; so a failure denies.
        let failed = response.diagnostics().errors().map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
        });
        let failed: Vec<&PolicyId> = failed.collect();
        if !failed.is_empty() {
            return Ok(Decision::new(Effect::Deny, Why::Failed, ids(&mut failed.into_iter())));
        }
        let reasons = ids(&mut response.diagnostics().reason());
        let effect = match response.decision() {
            cedar_policy::Decision::Allow => Effect::Allow,
            cedar_policy::Decision::Deny => Effect::Deny,
        };
        let why = if reasons.is_empty() { Why::NoPolicy } else { Why::Policies };
        Ok(Decision::new(effect, why, reasons))
    }

    /// All policies, those that always hold first, and otherwise as they stand in their files.
    #[must_use]
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// SHA-256 of all that decides: two sets with the same hash decide the same.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.cache.len()
    }
}

impl Default for PolicySet {
    fn default() -> Self {
        Self::of_defaults()
    }
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.policies.iter().map(|policy| &policy.id)).finish()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    Theirs,
}

/// Files on their way to a set.
#[derive(Default)]
struct Reading {
    findings: Vec<Finding>,
    cedar: cedar_policy::PolicySet,
    policies: Vec<Policy>,
    ids: HashMap<PolicyId, Arc<str>>,
}

impl Reading {
    fn read(&mut self, file: PolicyFile<'_>, whose: Whose) {
        let PolicyFile { name, text } = file;
        if text.len() > BYTES_MAX {
            let what = format!("the file has {} bytes, at most {BYTES_MAX} are read", text.len());
            return self.findings.push(Finding::at(name, text, 0, what, None));
        }
        let parsed: cedar_policy::PolicySet = match text.parse() {
            Ok(parsed) => parsed,
            Err(errors) => {
                let errors: cedar_policy::ParseErrors = errors;
                return self.findings.extend(errors.iter().map(|error| Finding::of(error, name, text)));
            }
        };
        if let Some(template) = parsed.templates().next() {
            let byte = place(text, 0, &template.to_cedar());
            let hint = Some("write the policy out".to_owned());
            return self.findings.push(Finding::at(name, text, byte, "templates are not read".into(), hint));
        }
        // Cedar numbers policies as they stand in the text, and lists them in any order.
        let number =
            |policy: &cedar_policy::Policy| policy.id().to_string()["policy".len()..].parse::<usize>().ok();
        let in_order: BTreeMap<_, _> = parsed.policies().map(|policy| (number(policy), policy)).collect();
        let mut from = 0;
        for policy in in_order.into_values() {
            let source = policy.to_cedar().unwrap_or_default();
            let byte = place(text, from, &source);
            from = byte + source.len();
            if let Err((what, hint)) = self.add(policy, &file, byte, whose) {
                self.findings.push(Finding::at(name, text, byte, what, Some(hint)));
            }
        }
    }

    fn add(
        &mut self,
        policy: &cedar_policy::Policy,
        file: &PolicyFile<'_>,
        byte: usize,
        whose: Whose,
    ) -> Result<(), (String, String)> {
        let id = policy.annotation("id").unwrap_or_default();
        if id.is_empty() {
            return Err(("a policy without a name".into(), "write @id(\"some-name\") before it".into()));
        }
        if whose == Whose::Theirs && id.starts_with(OWN) {
            return Err((
                format!("the name {id:?} is reserved"),
                format!("begin with something else than {OWN:?}"),
            ));
        }
        if self.policies.len() >= POLICIES_MAX {
            return Err((format!("more than {POLICIES_MAX} policies"), "put some of them together".into()));
        }
        let named = PolicyId::new(id);
        let text = policy.to_cedar().unwrap_or_default();
        let line = Finding::at(file.name, file.text, byte, String::new(), None).line;
        let effect = match policy.effect() {
            cedar_policy::Effect::Permit => Effect::Allow,
            cedar_policy::Effect::Forbid => Effect::Deny,
        };
        if let Some(other) = self.policies.iter().find(|policy| *policy.id == *id) {
            let place = format!("{}:{}", other.file, other.line);
            return Err((format!("two policies are called {id:?}"), format!("the other is at {place}")));
        }
        self.cedar
            .add(policy.new_id(named.clone()))
            .map_err(|error| (error.to_string(), "choose another name".into()))?;
        let id: Arc<str> = id.into();
        self.ids.insert(named, Arc::clone(&id));
        self.policies.push(Policy { id, file: file.name.to_owned(), line, effect, text });
        Ok(())
    }

    /// Against the schema. What can never apply is an error too: whoever wrote it meant something else.
    fn validate(&mut self, files: &[PolicyFile<'_>], schema: Schema) {
        let result = Validator::new(schema).validate(&self.cedar, ValidationMode::Strict);
        // A policy with a mistake mostly cannot apply either. Only the first cause is shown of each.
        type Rank = u8;
        let mut found: Vec<(Rank, &PolicyId, &dyn miette::Diagnostic)> = Vec::new();
        for error in result.validation_errors() {
            let follows = matches!(error, cedar_policy::ValidationError::InvalidActionApplication(_));
            found.push((Rank::from(follows), error.policy_id(), error));
        }
        found.extend(result.validation_warnings().map(|warning| (2, warning.policy_id(), warning as _)));
        let cause = |id: &PolicyId| found.iter().filter(|(_, of, _)| *of == id).map(|(rank, ..)| *rank).min();
        for (_, id, diagnostic) in found.iter().filter(|(rank, id, _)| Some(*rank) == cause(id)) {
            let policy = self.policies.iter().find(|policy| *policy.id == *id.to_string());
            let file = files.iter().find(|file| policy.is_some_and(|policy| policy.file == file.name));
            let (name, text) = file.map_or(("always.cedar", ALWAYS), |file| (file.name, file.text));
            let mut finding = Finding::of(*diagnostic, name, text);
            if finding.line == 1 {
                finding.line = policy.map_or(1, |policy| policy.line);
            }
            self.findings.push(finding);
        }
        self.findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    }
}

/// Where a policy's own text stands in its file's.
fn place(text: &str, from: usize, source: &str) -> usize {
    text.get(from..).and_then(|rest| rest.find(source)).map_or(from, |at| from + at)
}

/// Read once in a process: it never changes, and reading it takes longer than reading the policies.
fn our_schema() -> Result<Schema, InvalidPolicies> {
    static READ: LazyLock<Result<Schema, InvalidPolicies>> = LazyLock::new(|| {
        let schema = Schema::from_cedarschema_str(SCHEMA).map_err(|error| ours(&error))?;
        Ok(schema.0)
    });
    READ.clone()
}

fn ours(error: &dyn std::error::Error) -> InvalidPolicies {
    let what = error.to_string();
    InvalidPolicies(vec![Finding::at("schema.cedarschema", SCHEMA, 0, what, None)])
}
