//! Marks of unfinished work, which belong in an issue, and ignored tests, which test nothing.
//!
//! Clippy warns of the two macros; this also finds them behind a `cfg` that the machine does not compile.

use crate::report::Finding;
use crate::tree::Tree;

/// Put together so that this file does not contain them.
const MARKS: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
];

/// Lines of Rust files with a mark.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending(".rs").flat_map(|(path, text)| in_text(path, text)).collect()
}

fn in_text(path: &str, text: &str) -> Vec<Finding> {
    let found = |line: &str| MARKS.into_iter().find(|mark| line.contains(mark));
    let lines = text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, found(line)?)));
    lines
        .map(|(number, mark)| {
            Finding::new(format!("{path}:{number}"), format!("{mark} does not stay in the code"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_found_on_its_line() {
        for mark in MARKS {
            let found = in_text("a.rs", &format!("fn a() {{}}\n    // {mark}\n"));
            assert_eq!(found, [Finding::new("a.rs:2", format!("{mark} does not stay in the code"))]);
        }
    }

    #[test]
    fn harmless_lines_are_not() {
        for line in ["// to do", "fn fix_me() {}", "#[must_use]", "ignore(x);", "unimplemented"] {
            assert_eq!(in_text("a.rs", line), [], "{line}");
        }
    }

    #[test]
    fn only_rust_is_read() {
        assert_eq!(check(&Tree::of(&[("a.md", MARKS[0]), ("b.rs", MARKS[1])])).len(), 1);
    }
}
