//! What a process says of itself.

use crate::Address;
use spinwell_core::NodeId;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Runs models.
    Node,
    /// Takes requests from outside and sends them to nodes.
    Gateway,
}

impl Role {
    /// Both of them.
    pub const ALL: [Role; 2] = [Role::Node, Role::Gateway];

    /// The role as it stands in names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Node => "node",
            Role::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a processing cluster: 1 to 64 ASCII letters, digits, `.`, `_` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName(Arc<str>);

impl ClusterName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ClusterName {
    fn default() -> Self {
        Self("default".into())
    }
}

impl FromStr for ClusterName {
    type Err = InvalidMember;

    fn from_str(text: &str) -> Result<Self, InvalidMember> {
        if is_plain(text, CLUSTER_LEN_MAX) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidMember::ProcessingCluster(text.chars().take(SHOWN).collect()))
        }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longest name of a processing cluster.
const CLUSTER_LEN_MAX: usize = 64;
/// Longest id of a member: with the service's name before it, it is still a path of moderate length.
const ID_LEN_MAX: usize = 128;
/// Most entries that a member may add. Consul takes 64 in all, and some are ours.
const META_LEN_MAX: usize = 48;
/// Longest key of an entry (Consul's limit is 128).
const KEY_LEN_MAX: usize = 64;
/// Longest value of an entry in bytes (Consul's limit).
const VALUE_LEN_MAX: usize = 512;
/// Entries whose keys begin so are ours.
pub(crate) const OWN_PREFIX: &str = "spinwell-";
/// Characters of a refused text that are shown.
const SHOWN: usize = 140;

/// What a member says of itself cannot be registered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidMember {
    /// The id cannot be part of a path.
    #[error("{0:?} is not an id: use 1 to 128 letters, digits, '.', '_' or '-', and not only dots")]
    Id(String),
    /// The name of the processing cluster is not one.
    #[error("{0:?} is not the name of a processing cluster: use 1 to 64 letters, digits, '.', '_' or '-'")]
    ProcessingCluster(String),
    /// The capacity is not a positive number.
    #[error("a capacity of {0} a second is not a positive number")]
    Capacity(f64),
    /// An entry's key or value is too long, not plain, or ours.
    #[error(
        "the entry {0:?} cannot be registered: its key has 1 to 64 letters, digits, '_' or '-' and does not begin \
             with {OWN_PREFIX}, its value at most 512 bytes"
    )]
    Meta(String),
    /// There are too many entries.
    #[error("{0} entries are more than the {META_LEN_MAX} that can be registered")]
    MetaLen(usize),
}

/// A process of the region, as it announces itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name, which no other process of the region has.
    pub id: NodeId,
    /// What it does.
    pub role: Role,
    /// Where others send it work: a node's service for gateways, a gateway's HTTP for everybody.
    pub address: Address,
    /// Where a gateway takes gRPC from everybody.
    pub grpc: Option<Address>,
    /// Its operations plane: metrics, health, administration.
    pub ops: Option<Address>,
    /// The group of nodes that it belongs to.
    pub processing_cluster: ClusterName,
    /// Its share of work beside others, in relation to theirs.
    pub weight: NonZeroU16,
    /// Predictions a second that it can carry, where it knows.
    pub capacity_per_second: Option<f64>,
    /// What else it says of itself, in plain words.
    pub meta: BTreeMap<String, String>,
}

/// The weight of a member that says nothing else: room for shares on both sides.
const USUAL_WEIGHT: NonZeroU16 = NonZeroU16::new(100).expect("100 is not 0");

impl Member {
    /// A member with the usual weight, in the default processing cluster, that says nothing more of itself.
    #[must_use]
    pub fn new(role: Role, id: &str, address: Address) -> Self {
        Self {
            id: NodeId(id.into()),
            role,
            address,
            grpc: None,
            ops: None,
            processing_cluster: ClusterName::default(),
            weight: USUAL_WEIGHT,
            capacity_per_second: None,
            meta: BTreeMap::new(),
        }
    }

    /// Whether every registry can carry what the member says of itself.
    ///
    /// # Errors
    /// What it cannot carry.
    pub fn check(&self) -> Result<(), InvalidMember> {
        let id = &*self.id.0;
        if !is_plain(id, ID_LEN_MAX) || id.bytes().all(|b| b == b'.') {
            return Err(InvalidMember::Id(id.chars().take(SHOWN).collect()));
        }
        if let Some(capacity) = self.capacity_per_second.filter(|capacity| !is_capacity(*capacity)) {
            return Err(InvalidMember::Capacity(capacity));
        }
        if self.meta.len() > META_LEN_MAX {
            return Err(InvalidMember::MetaLen(self.meta.len()));
        }
        match self.meta.iter().find(|(key, value)| !is_entry(key, value)) {
            Some((key, _)) => Err(InvalidMember::Meta(key.chars().take(SHOWN).collect())),
            None => Ok(()),
        }
    }
}

/// Whether a number of predictions a second is one.
pub(crate) fn is_capacity(per_second: f64) -> bool {
    per_second.is_finite() && per_second > 0.0
}

fn is_plain(text: &str, len_max: usize) -> bool {
    (1..=len_max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_entry(key: &str, value: &str) -> bool {
    let is_key = is_plain(key, KEY_LEN_MAX) && !key.contains('.') && !key.starts_with(OWN_PREFIX);
    is_key && value.len() <= VALUE_LEN_MAX && !value.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Member {
        Member::new(Role::Node, "node-1", "127.0.0.1:9001".parse().unwrap())
    }

    #[test]
    fn ids_are_safe_in_paths() {
        for (id, is_right) in [
            ("node-1", true),
            ("a.b_c", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("a b", false),
            ("a:b", false),
            ("é", false),
            (&*"x".repeat(129), false),
        ] {
            let member = Member { id: NodeId(id.into()), ..member() };
            assert_eq!(member.check().is_ok(), is_right, "{id:?}");
        }
    }

    #[test]
    fn capacities_are_positive_numbers() {
        for (capacity, is_right) in
            [(500.0, true), (0.0, false), (-1.0, false), (f64::NAN, false), (f64::INFINITY, false)]
        {
            let member = Member { capacity_per_second: Some(capacity), ..member() };
            assert_eq!(member.check().is_ok(), is_right, "{capacity}");
        }
    }

    #[test]
    fn entries_fit_into_every_registry_and_are_not_ours() {
        let long = "x".repeat(513);
        for (key, value, is_right) in [
            ("gpu", "RTX 5070", true),
            ("gpu", "", true),
            ("", "x", false),
            ("a.b", "x", false),
            ("spinwell-id", "x", false),
            ("gpu", long.as_str(), false),
            ("gpu", "a\nb", false),
        ] {
            let member = Member { meta: [(key.to_owned(), value.to_owned())].into(), ..member() };
            assert_eq!(member.check().is_ok(), is_right, "{key:?}: {value:?}");
        }
        let many = (0..49).map(|number| (number.to_string(), String::new())).collect();
        assert_eq!(Member { meta: many, ..member() }.check(), Err(InvalidMember::MetaLen(49)));
    }

    #[test]
    fn processing_clusters_have_plain_names() {
        for (name, is_right) in [("gpu-1", true), ("", false), ("a b", false), (&*"x".repeat(65), false)] {
            assert_eq!(name.parse::<ClusterName>().is_ok(), is_right, "{name:?}");
        }
    }
}
