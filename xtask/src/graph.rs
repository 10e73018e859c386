//! Cargo's own answer about the workspace, as far as [`crate::arrows`] and [`crate::bans`] need it.
//!
//! The graph is resolved for every platform and with every feature of our crates. Features are unified over the
//! whole workspace there, so a crate may seem to reach something that only a neighbour's features pull in: the
//! check errs on the strict side.

use anyhow::Context;
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, NodeDep, Package};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The workspace as cargo sees it.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Crates of the workspace.
    pub(crate) members: Vec<Member>,
    /// What they stand on, themselves included.
    pub(crate) graph: Graph,
}

/// A crate of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Its key in the graph.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its folder from the root of the workspace.
    pub(crate) folder: String,
    /// Names of the workspace crates among its normal and build dependencies.
    pub(crate) uses: Vec<String>,
}

/// Every crate that is built or may be built, by its id.
pub(crate) type Graph = BTreeMap<String, Node>;

/// A crate of the resolved graph.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// Ids of its normal dependencies.
    pub(crate) normal: Vec<String>,
    /// Ids of all its dependencies.
    pub(crate) all: Vec<String>,
}

/// The platform that dependencies are looked at for: what others need is never built for it.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Asks cargo about the workspace that the working directory is in.
pub(crate) fn read() -> cargo_metadata::Result<Metadata> {
    let platform = ["--filter-platform", PLATFORM].map(str::to_owned).to_vec();
    MetadataCommand::new().features(CargoOpt::AllFeatures).other_options(platform).exec()
}

/// The part of the answer that checks look at.
pub(crate) fn workspace(metadata: &Metadata) -> anyhow::Result<Workspace> {
    let packages = metadata.workspace_packages();
    let members =
        packages.iter().map(|package| member(metadata, &packages, package)).collect::<anyhow::Result<_>>()?;
    Ok(Workspace { members, graph: graph(metadata)? })
}

fn member(metadata: &Metadata, packages: &[&Package], package: &Package) -> anyhow::Result<Member> {
    let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path);
    let folder = folder
        .strip_prefix(&metadata.workspace_root)
        .with_context(|| format!("{} lies outside of the workspace", package.name))?;
    let is_member = |name: &str| packages.iter().any(|other| other.name.as_str() == name);
    let uses = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.path.is_some() && is_member(&dependency.name))
        .filter(|dependency| matches!(dependency.kind, DependencyKind::Normal | DependencyKind::Build))
        .map(|dependency| dependency.name.clone())
        .collect();
    Ok(Member {
        id: package.id.repr.clone(),
        name: package.name.to_string(),
        folder: folder.as_str().replace('\\', "/"),
        uses,
    })
}

fn graph(metadata: &Metadata) -> anyhow::Result<Graph> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata gave no dependency graph")?;
    let packages: HashMap<_, _> = metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let package =
        |id| packages.get(id).with_context(|| format!("{id} is in the graph without a package")).copied();
    let mut graph = BTreeMap::new();
    for node in &resolve.nodes {
        let own = package(&node.id)?;
        let features: Vec<&str> = node.features.iter().map(|feature| feature.as_str()).collect();
        let mut deps = Vec::new();
        for dep in &node.deps {
            if is_switched_on(own, &features, package(&dep.pkg)?.name.as_str()) {
                deps.push(dep);
            }
        }
        let ids = |wanted: fn(&NodeDep) -> bool| {
            deps.iter().filter(|dep| wanted(dep)).map(|dep| dep.pkg.repr.clone()).collect()
        };
        let normal = ids(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        graph.insert(node.id.repr.clone(), Node { name: own.name.to_string(), normal, all: ids(|_| true) });
    }
    // What only such a dependency would have brought is not there either.
    let reached = reached(&graph, metadata.workspace_members.iter().map(|id| id.repr.clone()).collect());
    graph.retain(|id, _| reached.contains(id));
    Ok(graph)
}

fn reached(graph: &Graph, mut queue: Vec<String>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    while let Some(id) = queue.pop() {
        if reached.insert(id.clone()) {
            queue.extend(graph.get(&id).into_iter().flat_map(|node| node.all.iter().cloned()));
        }
    }
    reached
}

/// Whether a package has this dependency with these features. Cargo lists an optional one as soon as a feature mentions it, also
/// one such as `ring?/alloc`, which only says how it is to be where something else switches it on.
fn is_switched_on(package: &Package, features: &[&str], dependency: &str) -> bool {
    let declared: Vec<_> =
        package.dependencies.iter().filter(|other| other.name.as_str() == dependency).collect();
    if declared.is_empty() || declared.iter().any(|other| !other.optional) {
        return true;
    }
    // A package may call its dependency by another name.
    let called = |text: &str| {
        declared.iter().any(|other| {
            let name = other.rename.as_deref().unwrap_or(dependency);
            let switch = text.strip_prefix("dep:").unwrap_or(text);
            switch == name || switch.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    let mut said = features.iter().filter_map(|feature| package.features.get(*feature)).flatten();
    features.iter().any(|feature| called(feature)) || said.any(|text| called(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package with an optional `ring`, as rustls-webpki declares it.
    fn package(rename: &str) -> Package {
        let text = format!(
            r#"{{"name":"webpki","version":"1.0.0","id":"webpki","license":null,"license_file":null,"description":null,
            "source":null,"targets":[],"manifest_path":"/x","metadata":null,"publish":null,"authors":[],"categories":[],
            "keywords":[],"readme":null,"repository":null,"homepage":null,"documentation":null,"edition":"2021","links":null,
            "default_run":null,"rust_version":null,
            "features":{{"alloc":["{name}?/alloc"],"ring":["dep:{name}"],"full":["{name}/std"],"std":["alloc"]}},
            "dependencies":[{{"name":"ring","source":null,"req":"*","kind":null,"rename":{rename},"optional":true,
            "uses_default_features":true,"features":[],"target":null,"registry":null}}]}}"#,
            name = if rename == "null" { "ring" } else { "circle" },
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn an_optional_dependency_is_there_only_where_a_feature_switches_it_on() {
        for rename in ["null", "\"circle\""] {
            let package = package(rename);
            let check = |features: &[&str], on: bool| {
                assert_eq!(is_switched_on(&package, features, "ring"), on, "{features:?} {rename}");
            };
            check(&[], false);
            check(&["alloc", "std"], false);
            check(&["alloc", "ring"], true);
            check(&["full"], true);
            assert!(is_switched_on(&package, &["std"], "untrusted"));
        }
    }
}
