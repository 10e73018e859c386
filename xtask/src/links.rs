//! Relative links in Markdown point to files that exist.
//!
//! Only what stands inside the repository is looked at: whether a page on the web is still there is not ours to
//! promise, and a check that needs the network fails for reasons that are not in the change.

use crate::report::Finding;
use crate::tree::Tree;

/// Broken relative links of the documents for readers: Markdown at the root and under `docs/`.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let documents = tree.ending(".md").filter(|(path, _)| path.starts_with("docs/") || !path.contains('/'));
    documents.flat_map(|(path, text)| broken(tree, path, text)).collect()
}

fn broken(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (number, link) in links(text) {
        let Some(target) = relative(link) else { continue };
        let what = match resolve(folder, target) {
            Some(file) if file.is_empty() || tree.exists(&file) => continue,
            Some(file) => format!("the link {link} points to {file}, which does not exist"),
            None => format!("the link {link} points out of the repository"),
        };
        findings.push(Finding::new(format!("{path}:{number}"), what));
    }
    findings
}

/// Targets of `[text](target)` and of `[name]: target` with their line, outside of code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if start.starts_with("```") || start.starts_with("~~~") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(prose(line).flat_map(inline).map(|target| (index + 1, target)));
            found.extend(definition(start).map(|target| (index + 1, target)));
        }
    }
    found
}

/// The parts of a line that are not inside backticks. A link's text may be code: ``[`name`](target)`` is cut
/// before its `](`, which is all that [`inline`] looks for.
fn prose(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').step_by(2)
}

fn inline(part: &str) -> impl Iterator<Item = &str> {
    part.match_indices("](").filter_map(|(at, _)| {
        let rest = &part[at + 2..];
        rest.find(')').map(|end| without_title(&rest[..end]))
    })
}

fn definition(line: &str) -> Option<&str> {
    let (_, target) = line.strip_prefix('[')?.split_once("]: ")?;
    Some(without_title(target))
}

/// `target "title"` and `<target>` without their dress.
fn without_title(target: &str) -> &str {
    target.split_whitespace().next().unwrap_or("").trim_matches(['<', '>'])
}

/// The path of a link into the repository; `None` for one to the web, and for one inside its own page.
fn relative(link: &str) -> Option<&str> {
    let path = link.split('#').next().unwrap_or("");
    let on_the_web = link.contains("://") || link.starts_with("mailto:");
    (!on_the_web && !path.is_empty()).then_some(path)
}

/// `link` as seen from `folder`, from the root of the repository; `None` where it leaves it.
fn resolve(folder: &str, link: &str) -> Option<String> {
    let (mut parts, link) = match link.strip_prefix('/') {
        Some(from_root) => (Vec::new(), from_root),
        None => (folder.split('/').filter(|part| !part.is_empty()).collect(), link),
    };
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &str); 3] = [("README.md", ""), ("docs/adr/0001-a.md", ""), ("examples/x.csv", "")];

    /// How many findings a page at `path` with that text gives.
    fn check_page(path: &str, text: &str, findings: usize) {
        let found = broken(&Tree::of(&FILES), path, text);
        assert_eq!(found.len(), findings, "{path}: {text}: {found:?}");
    }

    #[test]
    fn links_that_lead_somewhere() {
        for text in [
            "[a](README.md), [b](docs/adr) and [c](./docs/adr/0001-a.md#decision)",
            "![picture](examples/x.csv \"title\")",
            "[a](#here) [b](https://example.org/missing) [c](mailto:a@example.org)",
            "[a](/README.md) [b](docs/../README.md) [root](.)",
            "[`code`](README.md)",
            "[name]: README.md",
            "`[not a link](missing.md)`",
            "```\n[not a link](missing.md)\n```",
        ] {
            check_page("ARCHITECTURE.md", text, 0);
        }
        check_page("docs/adr/README.md", "[a](0001-a.md) [b](../../README.md)", 0);
    }

    #[test]
    fn links_that_do_not() {
        check_page("ARCHITECTURE.md", "[a](missing.md) and [b](docs/missing.md)", 2);
        check_page("ARCHITECTURE.md", "[`code`](missing.md)", 1);
        check_page("ARCHITECTURE.md", "```\nx\n```\n[a](missing.md)", 1);
        check_page("ARCHITECTURE.md", "[a](../elsewhere.md)", 1);
        check_page("ARCHITECTURE.md", "[name]: missing.md", 1);
        check_page("docs/adr/README.md", "[a](README.mdx)", 1);
    }

    #[test]
    fn finding_says_page_and_line() {
        let found = broken(&Tree::of(&FILES), "docs/b.md", "x\n\n[a](c.md)");
        assert_eq!(
            found,
            [Finding::new("docs/b.md:3", "the link c.md points to docs/c.md, which does not exist")]
        );
    }

    #[test]
    fn only_documents_are_read() {
        let text = "[a](missing.md)";
        assert_eq!(
            check(&Tree::of(&[("crates/x/README.md", text), ("docs/a.md", text), ("B.md", text)])).len(),
            2
        );
    }
}
