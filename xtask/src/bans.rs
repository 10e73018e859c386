//! What must not be found in the dependency graph.
//!
//! Checked in the resolved graph and not in the manifests: a ban that stops at the first crate bans nothing. Each
//! finding shows the way, because the crate at fault is rarely the one that is named.

use crate::arrows::is_pure;
use crate::graph::{Graph, Member, Workspace};
use crate::report::Finding;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Never below a pure crate: what decides must run without I/O, in the simulator and in property tests.
const NOT_BELOW_PURE: &[&str] = &["tokio", "tonic", "hyper", "rustls", "sqlx", "axum", "reqwest"];
/// Nowhere: one crypto provider, and it is another one.
const NOWHERE: &[&str] = &["ring", "openssl-sys"];

/// Banned crates, and pure crates that reach something heavy.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let pure = workspace.members.iter().filter(|member| is_pure(&member.name));
    let mut findings: Vec<Finding> = pure.flat_map(|member| check_purity(&workspace.graph, member)).collect();
    findings.extend(check_bans(&workspace.graph));
    findings
}

fn check_purity(graph: &Graph, member: &Member) -> Vec<Finding> {
    let name = |id| graph.get(id).map_or(id, |node| node.name.as_str());
    let ways = ways_below(graph, &member.id);
    let heavy = ways.keys().filter(|id| NOT_BELOW_PURE.contains(&name(id)));
    heavy
        .map(|id| {
            let way: Vec<&str> = way_to(&ways, id).into_iter().map(name).collect();
            Finding::new(&member.name, format!("is pure, but reaches {}: {}", name(id), way.join(" > ")))
        })
        .collect()
}

/// Everything below `from` by normal dependencies, each with the crate it was first reached from, nearest first.
fn ways_below<'g>(graph: &'g Graph, from: &'g str) -> BTreeMap<&'g str, &'g str> {
    let mut ways = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(id) = queue.pop_front() {
        for next in graph.get(id).map_or(&[][..], |node| &node.normal) {
            if next != from && !ways.contains_key(next.as_str()) {
                ways.insert(next.as_str(), id);
                queue.push_back(next);
            }
        }
    }
    ways
}

/// The shortest way to `id`, from the top.
fn way_to<'g>(ways: &BTreeMap<&'g str, &'g str>, id: &'g str) -> Vec<&'g str> {
    let mut way: Vec<&str> = std::iter::successors(Some(id), |id| ways.get(id).copied()).collect();
    way.reverse();
    way
}

fn check_bans(graph: &Graph) -> Vec<Finding> {
    let banned = graph.iter().filter(|(_, node)| NOWHERE.contains(&node.name.as_str()));
    banned
        .map(|(id, node)| {
            let users: BTreeSet<&str> =
                graph.values().filter(|user| user.all.contains(id)).map(|user| user.name.as_str()).collect();
            let users: Vec<&str> = users.into_iter().collect();
            Finding::new("Cargo.lock", format!("{} is banned, used by {}", node.name, users.join(", ")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Node;

    fn member(name: &str) -> Member {
        Member { id: name.to_owned(), name: name.to_owned(), folder: String::new(), uses: Vec::new() }
    }

    /// A graph whose ids are names, of `(crate, normal dependencies, other dependencies)`.
    fn graph(crates: &[(&str, &[&str], &[&str])]) -> Graph {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let node = |name: &str, normal: &[&str], other: &[&str]| Node {
            name: name.to_owned(),
            normal: owned(normal),
            all: owned(&[normal, other].concat()),
        };
        crates.iter().map(|&(name, normal, other)| (name.to_owned(), node(name, normal, other))).collect()
    }

    fn texts(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn heavy_crate_far_below_a_pure_one_is_found_with_its_way() {
        let crates: [(&str, &[&str], &[&str]); 5] = [
            ("spinwell-policy", &["a"], &[]),
            ("a", &["b", "c"], &["reqwest"]),
            ("b", &["a"], &[]),
            ("c", &["tokio"], &[]),
            ("spinwell-node", &["tokio"], &[]),
        ];
        let members = vec![member("spinwell-policy"), member("spinwell-node")];
        let found = check(&Workspace { members, graph: graph(&crates) });
        assert_eq!(
            texts(&found),
            ["spinwell-policy: is pure, but reaches tokio: spinwell-policy > a > c > tokio"]
        );
    }

    #[test]
    fn banned_crate_is_found_with_its_users() {
        let crates: [(&str, &[&str], &[&str]); 3] =
            [("a", &["ring"], &[]), ("b", &[], &["ring"]), ("ring", &[], &[])];
        assert_eq!(texts(&check_bans(&graph(&crates))), ["Cargo.lock: ring is banned, used by a, b"]);
        assert_eq!(check_bans(&graph(&[("a", &["aws-lc-rs"], &[]), ("aws-lc-rs", &[], &[])])), []);
    }
}
