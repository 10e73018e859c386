//! What a check says: findings, which fail, and notes, which do not.

use std::fmt;

/// One thing that is wrong, at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// A path, a path with a line, or a crate.
    place: String,
    /// What is wrong there, and where it helps what would be right.
    what: String,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// All checks' results.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What must be put right.
    pub(crate) findings: Vec<Finding>,
    /// What is worth a thought.
    pub(crate) notes: Vec<Finding>,
    /// What was looked at, for the summary.
    pub(crate) scope: String,
}

impl Report {
    pub(crate) fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        if self.is_clean() {
            return writeln!(f, "tidy: nothing to put right in {}", self.scope);
        }
        writeln!(f, "tidy: {} to put right in {}", self.findings.len(), self.scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_finding_and_notes_do_not_fail() {
        let mut report = Report { scope: "2 files".to_owned(), ..Report::default() };
        report.notes.push(Finding::new("a.rs", "long"));
        assert!(report.is_clean());
        assert_eq!(report.to_string(), "note: a.rs: long\ntidy: nothing to put right in 2 files\n");
        report.findings.push(Finding::new("b.rs:3", "wrong"));
        assert!(!report.is_clean());
        assert_eq!(report.to_string(), "note: a.rs: long\nb.rs:3: wrong\ntidy: 1 to put right in 2 files\n");
    }
}
