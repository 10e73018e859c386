//! Members as Consul writes them, in both directions.
//!
//! What Consul lists may come from anybody who can register services, so nothing of it is trusted to have a shape: an
//! entry that cannot be read is left out and named, and the rest counts.

use super::names::Names;
use crate::member::OWN_PREFIX;
use crate::{Address, Health, Listed, Member, Role};
use serde::{Deserialize, Serialize};
use spinwell_core::Millis;
use std::collections::BTreeMap;
use std::num::NonZeroU16;

const ID: &str = "spinwell-id";
const OPS: &str = "spinwell-ops";
const GRPC: &str = "spinwell-grpc";
const PROCESSING_CLUSTER: &str = "spinwell-processing-cluster";
const CAPACITY: &str = "spinwell-capacity-per-second";

/// A service as it is registered with an agent.
#[derive(Debug, Serialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Registration {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    tags: Vec<&'static str>,
    address: String,
    port: u16,
    meta: BTreeMap<String, String>,
    weights: Weights,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Weights {
    passing: i64,
    warning: i64,
}

#[derive(Debug, Serialize, PartialEq, Default)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(rename = "CheckID")]
    check_id: String,
    name: &'static str,
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deregister_critical_service_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias_service: Option<String>,
}

/// How long an agent waits for beats, and keeps who sends none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) ttl: Millis,
    pub(super) deregister_after: Millis,
}

/// The service that is a member.
pub(super) fn registration(
    names: &Names,
    member: &Member,
    health: Health,
    patience: Patience,
) -> Registration {
    let ours = [
        (ID, Some(member.id.to_string())),
        (OPS, member.ops.as_ref().map(ToString::to_string)),
        (GRPC, member.grpc.as_ref().map(ToString::to_string)),
        (PROCESSING_CLUSTER, Some(member.processing_cluster.to_string())),
        (CAPACITY, member.capacity_per_second.map(|capacity| capacity.to_string())),
    ];
    let ours = ours.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Registration {
        id: names.id(member),
        name: names.service(member.role),
        tags: vec![tag(member.role)],
        address: member.address.host().to_owned(),
        port: member.address.port(),
        meta: member.meta.clone().into_iter().chain(ours).collect(),
        weights: weights(member),
        checks: vec![Check {
            check_id: names.check(member),
            name: "heard of in time",
            ttl: Some(span(patience.ttl)),
            status: Some(health.as_str()),
            deregister_critical_service_after: Some(span(patience.deregister_after)),
            ..Check::default()
        }],
    }
}

/// The second service of a member that takes gRPC from everybody, as healthy as the first.
pub(super) fn grpc_registration(names: &Names, member: &Member) -> Option<Registration> {
    let address = member.grpc.as_ref()?;
    Some(Registration {
        id: names.grpc_id(member),
        name: names.grpc_service(member.role),
        tags: vec!["grpc"],
        address: address.host().to_owned(),
        port: address.port(),
        meta: [(ID.to_owned(), member.id.to_string())].into(),
        weights: weights(member),
        checks: vec![Check {
            check_id: names.grpc_check(member),
            name: "as the member itself",
            alias_service: Some(names.id(member)),
            ..Check::default()
        }],
    })
}

fn tag(role: Role) -> &'static str {
    match role {
        Role::Node => "grpc",
        Role::Gateway => "http",
    }
}

fn weights(member: &Member) -> Weights {
    // Consul's answers to DNS queries carry the weight of the state the service is in.
    Weights { passing: member.weight.get().into(), warning: (member.weight.get() / 10).max(1).into() }
}

fn span(time: Millis) -> String {
    format!("{}ms", time.0)
}

/// An entry of `/v1/health/service/:name`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    node: Node,
    service: Service,
    #[serde(default)]
    checks: Option<Vec<Status>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(default)]
    address: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: u64,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
    #[serde(default)]
    weights: Option<Weights>,
    #[serde(default)]
    create_index: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    #[serde(default)]
    status: String,
}

/// Who is listed, and the ids of services that are no members.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Listing {
    pub(super) members: Vec<Listed>,
    pub(super) unreadable: Vec<String>,
}

/// Reads the entries of the service that members of the role register as. Where two claim the same id, the healthiest
/// and then the latest registered is it: a member that has moved to another machine leaves a critical one behind.
pub(super) fn read(role: Role, mut entries: Vec<Entry>) -> Listing {
    entries.sort_by_key(|entry| (health(entry), std::cmp::Reverse(entry.service.create_index)));
    let mut listing = Listing::default();
    for entry in entries {
        match member(role, &entry) {
            None => listing.unreadable.push(entry.service.id),
            Some(member) if listing.members.iter().any(|listed| listed.member.id == member.id) => {}
            Some(member) => listing.members.push(Listed { member, health: health(&entry) }),
        }
    }
    listing
}

/// The worst of all checks, those of the machine included.
fn health(entry: &Entry) -> Health {
    let checks = entry.checks.iter().flatten();
    let each = checks.map(|check| match check.status.as_str() {
        "passing" => Health::Passing,
        "warning" => Health::Warning,
        _ => Health::Critical,
    });
    each.max().unwrap_or_default()
}

fn member(role: Role, entry: &Entry) -> Option<Member> {
    let service = &entry.service;
    let none = BTreeMap::new();
    let meta = service.meta.as_ref().unwrap_or(&none);
    let host = if service.address.is_empty() { &entry.node.address } else { &service.address };
    let address = Address::new(host, service.port.try_into().ok()?).ok()?;
    // What is there must be readable; what is not there is not said.
    let read = |key: &str| meta.get(key).map(|text| text.parse::<Address>()).transpose().ok();
    let passing = service.weights.as_ref().map_or(0, |weights| weights.passing);
    let member = Member {
        ops: read(OPS)?,
        grpc: read(GRPC)?,
        processing_cluster: meta
            .get(PROCESSING_CLUSTER)
            .map(|text| text.parse())
            .transpose()
            .ok()?
            .unwrap_or_default(),
        weight: NonZeroU16::new(passing.clamp(1, i64::from(u16::MAX)) as u16)?,
        capacity_per_second: meta.get(CAPACITY).map(|text| text.parse()).transpose().ok()?,
        meta: meta.iter().filter(|(key, _)| !key.starts_with(OWN_PREFIX)).map(owned).collect(),
        ..Member::new(role, meta.get(ID)?, address)
    };
    member.check().is_ok().then_some(member)
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
