//! `cargo xtask tidy`: reads the workspace once and hands it to every check.

use crate::graph::Workspace;
use crate::report::Report;
use crate::tree::Tree;
use crate::{arrows, bans, codes, graph, lengths, links, words};
use anyhow::Context;

/// Runs every check on the workspace that the working directory is in.
pub(crate) fn run() -> anyhow::Result<Report> {
    let metadata = graph::read().context("cargo metadata failed")?;
    let workspace = graph::workspace(&metadata)?;
    let tree = Tree::read(metadata.workspace_root.as_std_path())?;
    let mut report = check(&workspace, &tree);
    report.scope = format!("{} crates, {} files", workspace.members.len(), tree.texts_len());
    Ok(report)
}

fn check(workspace: &Workspace, tree: &Tree) -> Report {
    let mut findings = arrows::check(&workspace.members);
    findings.extend(bans::check(workspace));
    findings.extend(codes::check(tree));
    findings.extend(lengths::too_long(tree));
    findings.extend(links::check(tree));
    findings.extend(words::check(tree));
    Report { findings, notes: lengths::worth_a_thought(tree), scope: String::new() }
}
