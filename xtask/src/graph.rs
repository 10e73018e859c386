//! Cargo's own answer about the workspace, as far as [`crate::arrows`] and [`crate::bans`] need it.
//!
//! The graph is resolved for every platform and with every feature of our crates. Features are unified over the
//! whole workspace there, so a crate may seem to reach something that only a neighbour's features pull in: the
//! check errs on the strict side.

use anyhow::Context;
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, NodeDep, Package};
use std::collections::{BTreeMap, HashMap};

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
    let names: HashMap<_, _> = metadata.packages.iter().map(|package| (&package.id, &package.name)).collect();
    let ids = |deps: &[NodeDep], wanted: fn(&NodeDep) -> bool| {
        deps.iter().filter(|dep| wanted(dep)).map(|dep| dep.pkg.repr.clone()).collect()
    };
    let mut graph = BTreeMap::new();
    for node in &resolve.nodes {
        let name =
            names.get(&node.id).with_context(|| format!("{} is in the graph without a package", node.id))?;
        let normal =
            ids(&node.deps, |dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        let all = ids(&node.deps, |_| true);
        graph.insert(node.id.repr.clone(), Node { name: name.to_string(), normal, all });
    }
    Ok(graph)
}
