//! What is wrong with a policy file, with the place, and with what would be right.

use miette::Diagnostic;
use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which file.
    pub file: String,
    /// In which line, from 1.
    pub line: usize,
    /// At which character of it, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What would be right, where that is known.
    pub hint: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, what, hint } = self;
        write!(f, "{file}:{line}:{column}: {what}")?;
        hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// Policy files that do not take effect: all that is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPolicies(pub Vec<Finding>);

impl fmt::Display for InvalidPolicies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Finding::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for InvalidPolicies {}

impl Finding {
    /// A finding at a byte of a file's text.
    pub(crate) fn at(file: &str, text: &str, byte: usize, what: String, hint: Option<String>) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        Self { file: file.to_owned(), line, column, what, hint }
    }

    /// What Cedar says, at the first place that it names.
    pub(crate) fn of(diagnostic: &dyn Diagnostic, file: &str, text: &str) -> Self {
        let mut labels = diagnostic.labels().into_iter().flatten();
        let label = labels.next();
        let byte = label.as_ref().map_or(0, miette::LabeledSpan::offset);
        let hints = [
            label.and_then(|label| label.label().map(str::to_owned)),
            diagnostic.help().map(|help| help.to_string()),
        ];
        let hints: Vec<String> = hints.into_iter().flatten().collect();
        let hint = (!hints.is_empty()).then(|| hints.join("; "));
        Self::at(file, text, byte, diagnostic.to_string(), hint)
    }
}
