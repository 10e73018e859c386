//! Which crate may use which.
//!
//! Arrows only point down: [`TABLE`] is the table of `ARCHITECTURE.md` as data, also for crates that do not exist
//! yet, so that a new crate has its place before it has its first line. Declared dependencies are checked and
//! not resolved ones, so that an arrow behind a feature counts too.

use crate::graph::Member;
use crate::report::Finding;

/// A crate's place in the house.
#[derive(Debug)]
struct Place {
    /// Name without the prefix, also the folder's name.
    name: &'static str,
    /// 0-1 pure, 2 edges, 3 services, 4 what is put together of them.
    tier: u8,
    /// Crates it may use.
    may_use: &'static [&'static str],
}

const PREFIX: &str = "spinwell-";
const CRATES: &str = "crates/";
/// Up to this tier crates are pure.
const PURE: u8 = 1;

/// Tiers 0 to 3: what is put together may use all of it.
const BELOW_THE_BINARIES: &[&str] = &[
    "core",
    "engine",
    "policy",
    "ledger",
    "security",
    "compliance",
    "protocol",
    "store",
    "registry",
    "runtime",
    "node",
    "gateway",
    "control",
];

const TABLE: &[Place] = &[
    Place { name: "core", tier: 0, may_use: &[] },
    Place { name: "engine", tier: 1, may_use: &["core"] },
    Place { name: "policy", tier: 1, may_use: &["core"] },
    Place { name: "ledger", tier: 1, may_use: &["core"] },
    Place { name: "security", tier: 1, may_use: &["core"] },
    Place { name: "compliance", tier: 1, may_use: &["core", "ledger"] },
    Place { name: "protocol", tier: 2, may_use: &["core"] },
    Place { name: "store", tier: 2, may_use: &["core", "ledger"] },
    Place { name: "registry", tier: 2, may_use: &["core"] },
    Place { name: "runtime", tier: 2, may_use: &["core", "security"] },
    Place {
        name: "node",
        tier: 3,
        may_use: &["core", "engine", "policy", "protocol", "registry", "runtime", "security", "store"],
    },
    Place {
        name: "gateway",
        tier: 3,
        may_use: &["core", "policy", "ledger", "protocol", "registry", "runtime", "security", "store"],
    },
    Place {
        name: "control",
        tier: 3,
        may_use: &[
            "core",
            "engine",
            "policy",
            "ledger",
            "compliance",
            "protocol",
            "registry",
            "runtime",
            "security",
            "store",
        ],
    },
    Place { name: "cli", tier: 4, may_use: BELOW_THE_BINARIES },
    Place { name: "sim", tier: 4, may_use: BELOW_THE_BINARIES },
    Place { name: "ring", tier: 4, may_use: BELOW_THE_BINARIES },
];

/// Crates out of place, and arrows that point the wrong way.
pub(crate) fn check(members: &[Member]) -> Vec<Finding> {
    members.iter().flat_map(check_member).collect()
}

/// Whether a crate decides without I/O.
pub(crate) fn is_pure(name: &str) -> bool {
    place(name).is_some_and(|place| place.tier <= PURE)
}

fn place(name: &str) -> Option<&'static Place> {
    let short = name.strip_prefix(PREFIX)?;
    TABLE.iter().find(|place| place.name == short)
}

fn check_member(member: &Member) -> Vec<Finding> {
    let Member { name, folder, uses, .. } = member;
    if !folder.starts_with(CRATES) && !name.starts_with(PREFIX) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let short = name.strip_prefix(PREFIX).unwrap_or(name);
    if *folder != format!("{CRATES}{short}") || !name.starts_with(PREFIX) {
        findings
            .push(Finding::new(folder, format!("holds {name}, but the folder of {PREFIX}X is {CRATES}X")));
    }
    let Some(place) = place(name) else {
        findings.push(Finding::new(name, "is not in the table of crates (xtask/src/arrows.rs)"));
        return findings;
    };
    let allowed = |used: &str| used.strip_prefix(PREFIX).is_some_and(|used| place.may_use.contains(&used));
    for used in uses.iter().filter(|used| !allowed(used)) {
        let may_use = if place.may_use.is_empty() { "nothing".to_owned() } else { place.may_use.join(", ") };
        findings.push(Finding::new(name, format!("uses {used}; it may use {may_use}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, uses: &[&str]) -> Member {
        Member {
            id: name.to_owned(),
            name: name.to_owned(),
            folder: format!("{CRATES}{}", name.trim_start_matches(PREFIX)),
            uses: uses.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn texts(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn table_itself_only_points_down() {
        for (index, place) in TABLE.iter().enumerate() {
            for used in place.may_use {
                let at = TABLE.iter().position(|other| other.name == *used);
                assert!(
                    at.is_some_and(|at| at < index),
                    "{} uses {used}, which does not stand above it",
                    place.name
                );
            }
        }
        assert!(TABLE.is_sorted_by_key(|place| place.tier));
    }

    #[test]
    fn binaries_may_use_every_tier_below_and_not_each_other() {
        let below = TABLE.iter().filter(|place| place.tier < 4).map(|place| place.name);
        assert!(below.eq(BELOW_THE_BINARIES.iter().copied()));
    }

    #[test]
    fn services_do_not_know_each_other() {
        let services: Vec<&Place> = TABLE.iter().filter(|place| place.tier == 3).collect();
        for service in &services {
            assert!(services.iter().all(|other| !service.may_use.contains(&other.name)), "{}", service.name);
        }
    }

    #[test]
    fn arrows() {
        let table: [(&str, &[&str], &[&str]); 8] = [
            ("spinwell-core", &[], &[]),
            ("spinwell-engine", &["spinwell-core"], &[]),
            ("spinwell-cli", &["spinwell-node", "spinwell-gateway", "spinwell-control"], &[]),
            (
                "spinwell-core",
                &["spinwell-engine"],
                &["spinwell-core: uses spinwell-engine; it may use nothing"],
            ),
            (
                "spinwell-compliance",
                &["spinwell-ledger", "spinwell-store"],
                &["spinwell-compliance: uses spinwell-store; it may use core, ledger"],
            ),
            ("spinwell-protocol", &["xtask"], &["spinwell-protocol: uses xtask; it may use core"]),
            ("spinwell-utils", &[], &["spinwell-utils: is not in the table of crates (xtask/src/arrows.rs)"]),
            (
                "xtask",
                &["cargo_metadata"],
                &[
                    "crates/xtask: holds xtask, but the folder of spinwell-X is crates/X",
                    "xtask: is not in the table of crates (xtask/src/arrows.rs)",
                ],
            ),
        ];
        for (name, uses, findings) in table {
            assert_eq!(texts(&check_member(&member(name, uses))), findings, "{name} uses {uses:?}");
        }
    }

    #[test]
    fn folder_is_the_name_without_the_prefix() {
        let folders = [("crates/core", 0), ("crates/spinwell-core", 1), ("core", 1), ("crates/base/core", 1)];
        for (folder, findings) in folders {
            let moved = Member { folder: folder.to_owned(), ..member("spinwell-core", &[]) };
            assert_eq!(check_member(&moved).len(), findings, "{folder}");
        }
        let xtask = Member { folder: "xtask".to_owned(), ..member("xtask", &[]) };
        assert_eq!(check_member(&xtask), []);
    }
}
