//! How long files are, and how large the crate is that everything stands on.
//!
//! A file over [`LONG`] lines usually holds two things. It is not forbidden, only said, so that somebody looks;
//! over [`TOO_LONG`] it has to be cut.

use crate::report::Finding;
use crate::tree::Tree;

/// From here on a file is noted.
const LONG: usize = 500;
/// A file may have this many lines and not one more.
const TOO_LONG: usize = 600;
/// The folder of `spinwell-core`.
const CORE: &str = "crates/core/";
/// `core` stays below this, tests included: what every crate depends on must be quick to read and to build.
const CORE_LINES: usize = 1_500;

/// Rust files that must be cut, and `core` when it has grown too large.
pub(crate) fn too_long(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = lengths(tree)
        .filter(|&(_, lines)| lines > TOO_LONG)
        .map(|(path, lines)| Finding::new(path, format!("{lines} lines, at most {TOO_LONG}")))
        .collect();
    let core: usize = lengths(tree).filter(|(path, _)| path.starts_with(CORE)).map(|(_, lines)| lines).sum();
    if core >= CORE_LINES {
        findings.push(Finding::new(CORE, format!("{core} lines in all, must stay under {CORE_LINES}")));
    }
    findings
}

/// Rust files that are long, but not yet too long.
pub(crate) fn worth_a_thought(tree: &Tree) -> Vec<Finding> {
    lengths(tree)
        .filter(|(_, lines)| (LONG..=TOO_LONG).contains(lines))
        .map(|(path, lines)| Finding::new(path, format!("{lines} lines, is it still one thing?")))
        .collect()
}

fn lengths(tree: &Tree) -> impl Iterator<Item = (&str, usize)> {
    tree.ending(".rs").map(|(path, text)| (path, text.lines().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, lines: usize, findings: usize, notes: usize) {
        let tree = Tree::of(&[(path, &"x\n".repeat(lines))]);
        assert_eq!(too_long(&tree).len(), findings, "{path} with {lines} lines");
        assert_eq!(worth_a_thought(&tree).len(), notes, "{path} with {lines} lines");
    }

    #[test]
    fn limits_are_where_they_are_said_to_be() {
        check("a.rs", 499, 0, 0);
        check("a.rs", 500, 0, 1);
        check("a.rs", 600, 0, 1);
        check("a.rs", 601, 1, 0);
        check("a.md", 601, 0, 0);
    }

    #[test]
    fn core_is_measured_as_a_whole() {
        let third = "x\n".repeat(499);
        let mut files =
            vec![("crates/core/a.rs", third.as_str()), ("crates/core/b.rs", &third), ("c.rs", &third)];
        files.push(("crates/core/c.rs", &third));
        assert_eq!(too_long(&Tree::of(&files)), []);
        files.push(("crates/core/d.rs", "x\nx\nx\n"));
        assert_eq!(too_long(&Tree::of(&files)).len(), 1);
    }
}
