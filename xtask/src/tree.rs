//! The repository's files: which exist, and the text of those that checks read.

use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Folders at the root that hold no source: what builds and runs leave behind.
const LEFT_BEHIND: &[&str] = &["target", "spinwell-data", "demo-out"];
/// Folders anywhere that are not ours.
const FOREIGN: &[&str] = &[".git", "node_modules"];
/// Endings of the files whose text is read.
const READ: &[&str] = &[".rs", ".md"];

/// A snapshot of the repository. Paths are relative to its root and separated by `/`.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Every file and folder.
    paths: BTreeSet<String>,
    /// Text of the files that end as [`READ`] says.
    texts: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the repository at `root`.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let entries =
                fs::read_dir(root.join(&folder)).with_context(|| format!("cannot list {folder:?}"))?;
            for entry in entries {
                let entry = entry.with_context(|| format!("cannot list {folder:?}"))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                // A link to a folder is a path that exists, not a second place to look: links may go in circles.
                if !entry.file_type().with_context(|| format!("cannot look at {path}"))?.is_dir() {
                    let text = if is_read(&path) { Some(read_text(&entry.path())?) } else { None };
                    tree.insert(&path, text);
                } else if is_ours(&path, &name) {
                    folders.push(path);
                }
            }
        }
        Ok(tree)
    }

    /// A tree of `(path, text)`, for tests.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.insert(path, is_read(path).then(|| (*text).to_owned()));
        }
        tree
    }

    fn insert(&mut self, path: &str, text: Option<String>) {
        let folders = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
        self.paths.extend(folders);
        self.paths.insert(path.to_owned());
        if let Some(text) = text {
            self.texts.insert(path.to_owned(), text);
        }
    }

    /// Whether a file or folder of that path exists.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// The text of a Rust or Markdown file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Path and text of every file that ends so, by path.
    pub(crate) fn ending<'t>(&'t self, ending: &'t str) -> impl Iterator<Item = (&'t str, &'t str)> {
        self.texts
            .iter()
            .filter(move |(path, _)| path.ends_with(ending))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// How many files were read.
    pub(crate) fn texts_len(&self) -> usize {
        self.texts.len()
    }
}

fn is_read(path: &str) -> bool {
    READ.iter().any(|ending| path.ends_with(ending))
}

fn is_ours(path: &str, name: &str) -> bool {
    !LEFT_BEHIND.contains(&path) && !FOREIGN.contains(&name)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_bring_their_folders_and_only_source_has_text() {
        let tree = Tree::of(&[("docs/adr/a.md", "text"), ("examples/data/x.csv", "1,2")]);
        for path in ["docs", "docs/adr", "docs/adr/a.md", "examples/data", "examples/data/x.csv"] {
            assert!(tree.exists(path), "{path}");
        }
        assert!(!tree.exists("docs/ad"));
        assert_eq!(tree.text("docs/adr/a.md"), Some("text"));
        assert_eq!(tree.text("examples/data/x.csv"), None);
    }

    #[test]
    fn only_what_is_left_behind_is_skipped() {
        let table = [
            ("target", "target", false),
            ("crates/x/src/target", "target", true),
            ("web/node_modules", "node_modules", false),
            (".git", ".git", false),
            (".ci", ".ci", true),
        ];
        for (path, name, ours) in table {
            assert_eq!(is_ours(path, name), ours, "{path}");
        }
    }
}
