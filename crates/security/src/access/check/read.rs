//! A test file's cases, each value with its place, so that a mistake is shown where it is.

use super::Written;
use crate::access::{Action, Effect, Finding, Resource};
use crate::glob::Glob;
use crate::identity::{Grants, Identity, Scopes};
use spinwell_core::{ModelName, TenantId};
use std::collections::BTreeSet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const KEYS: [&str; 9] =
    ["name", "principal", "tenant", "roles", "scopes", "action", "resource", "expect", "policy"];
/// The house's own tenant, as in the schema.
const HOUSE: &str = "default";

/// What is wrong, and at which byte.
struct Wrong {
    at: usize,
    what: String,
}

type Value<'v, 'i> = &'v Spanned<DeValue<'i>>;

pub(super) fn cases(file: &str, text: &str) -> Result<Vec<Written>, Vec<Finding>> {
    let finding = |wrong: Wrong| Finding::at(file, text, wrong.at, wrong.what, None);
    let root = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![finding(Wrong { at, what: error.message().to_owned() })]
    })?;
    let root = root.get_ref();
    if let Some((key, _)) = root.iter().find(|(key, _)| key.get_ref() != "case") {
        let what = format!("unknown key {:?}: a test file has [[case]] only", key.get_ref());
        return Err(vec![finding(Wrong { at: key.span().start, what })]);
    }
    let all = root.get("case").and_then(|value| value.get_ref().as_array());
    let all = all.filter(|all| !all.is_empty());
    let all = all.ok_or_else(|| vec![finding(Wrong { at: 0, what: "no [[case]] stands in it".into() })])?;
    let (mut cases, mut findings) = (Vec::new(), Vec::new());
    for value in all.iter() {
        let line = |at: usize| finding(Wrong { at, what: String::new() }).line;
        match case(value, line(value.span().start)) {
            Ok(case) => cases.push(case),
            Err(wrong) => findings.push(finding(wrong)),
        }
    }
    if findings.is_empty() { Ok(cases) } else { Err(findings) }
}

fn case(value: Value<'_, '_>, line: usize) -> Result<Written, Wrong> {
    let at = value.span().start;
    let table = table(value)?;
    only(table, &KEYS)?;
    let needed =
        |name: &str| table.get(name).ok_or_else(|| Wrong { at, what: format!("this case has no {name:?}") });
    let text_or = |name: &str, other: &str| {
        table.get(name).map_or_else(|| Ok(other.to_owned()), |value| text(value).map(str::to_owned))
    };
    let optional = |name: &str| table.get(name).map(|value| text(value).map(str::to_owned)).transpose();

    let roles: BTreeSet<String> = match table.get("roles") {
        None => BTreeSet::new(),
        Some(value) => list(value, |text| Ok(text.to_owned()))?.into_iter().collect(),
    };
    let scopes = table.get("scopes").map_or_else(|| Ok(Scopes::all()), scopes)?;
    let tenant = TenantId(text_or("tenant", HOUSE)?.into());
    let who = Identity {
        principal: text_or("principal", "somebody")?.into(),
        grants: Grants::new(tenant, roles, scopes).into(),
    };
    let action = needed("action")?;
    let action: Action = text(action)?
        .parse()
        .map_err(|error| wrong(action, format!("{error}; `spinwell policy test --help` lists them")))?;
    let thing = needed("resource")?;
    let resource = resource(thing)?;
    if !action.kinds().contains(&resource.kind()) {
        let kinds: Vec<String> = action.kinds().iter().map(|kind| kind.name().to_lowercase()).collect();
        return Err(wrong(thing, format!("{action} is not for this: its kind is {}", kinds.join(" or "))));
    }
    let expect = needed("expect")?;
    let expected = match text(expect)? {
        "allow" => Effect::Allow,
        "deny" => Effect::Deny,
        _ => return Err(wrong(expect, "expect is \"allow\" or \"deny\"".into())),
    };
    Ok(Written {
        name: optional("name")?,
        line,
        who,
        action,
        resource,
        expected,
        policy: optional("policy")?,
    })
}

fn scopes(value: Value<'_, '_>) -> Result<Scopes, Wrong> {
    let table = table(value)?;
    only(table, &["models", "actions"])?;
    let globs = |name: &str| match table.get(name) {
        None => Ok(Vec::new()),
        Some(value) => list(value, |text| text.parse::<Glob>().map_err(|error| error.to_string())),
    };
    Ok(Scopes { models: globs("models")?, actions: globs("actions")? })
}

fn resource(value: Value<'_, '_>) -> Result<Resource, Wrong> {
    let table = table(value)?;
    only(table, &["kind", "name", "tenant"])?;
    let tenant =
        table.get("tenant").map(|value| text(value).map(|text| TenantId(text.into()))).transpose()?;
    let needed = || tenant.clone().ok_or_else(|| wrong(value, "it has no \"tenant\"".into()));
    let name = || {
        let name = table.get("name").ok_or_else(|| wrong(value, "it has no \"name\"".into()))?;
        text(name)?.parse::<ModelName>().map_err(|error| wrong(name, error.to_string()))
    };
    let kind = table.get("kind").ok_or_else(|| wrong(value, "it has no \"kind\"".into()))?;
    match text(kind)? {
        "model" => Ok(Resource::Model { name: name()?, tenant }),
        "sequence" => Ok(Resource::Sequence { model: name()?, tenant: needed()? }),
        "region" => Ok(Resource::Region),
        "tenant" => Ok(Resource::Tenant(needed()?)),
        "ledger" => Ok(Resource::Ledger(tenant)),
        _ => Err(wrong(kind, "kind is model, sequence, region, tenant or ledger".into())),
    }
}

fn only(table: &DeTable<'_>, keys: &[&str]) -> Result<(), Wrong> {
    match table.keys().find(|key| !keys.contains(&&**key.get_ref())) {
        None => Ok(()),
        Some(key) => {
            let what = format!("unknown key {:?}: there are {}", key.get_ref(), keys.join(", "));
            Err(Wrong { at: key.span().start, what })
        }
    }
}

fn table<'v, 'i>(value: Value<'v, 'i>) -> Result<&'v DeTable<'i>, Wrong> {
    value.get_ref().as_table().ok_or_else(|| wrong(value, "this must be a table".into()))
}

fn text<'v>(value: Value<'v, '_>) -> Result<&'v str, Wrong> {
    value.get_ref().as_str().ok_or_else(|| wrong(value, "this must be a text".into()))
}

fn list<T>(value: Value<'_, '_>, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, Wrong> {
    let all =
        value.get_ref().as_array().ok_or_else(|| wrong(value, "this must be a list of texts".into()))?;
    all.iter().map(|value| read(text(value)?).map_err(|what| wrong(value, what))).collect()
}

fn wrong(value: Value<'_, '_>, what: String) -> Wrong {
    Wrong { at: value.span().start, what }
}
