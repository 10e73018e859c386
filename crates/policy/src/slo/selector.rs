//! Which counters are meant: a metric's name and what its labels must be.
//!
//! One value serves three readers: whoever reads a process's page asks [`Selector::matches`], rule files and OpenSLO documents
//! have its [text](Selector#impl-Display-for-Selector), and documents are read by [`Selector::parse`]. So only such conditions exist as all
//! three can keep to the letter: a label is, or is not, one of some values. Regular expressions are read where they are nothing but that.

use std::fmt;

/// What a label must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// One of these.
    OneOf(Vec<String>),
    /// None of these.
    NoneOf(Vec<String>),
}

/// Samples of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The metric.
    pub metric: String,
    /// Labels and what they must be. A label that a sample lacks is empty.
    pub labels: Vec<(String, Condition)>,
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotASelector {
    /// It does not begin with a metric's name.
    Name,
    /// What stands between the braces is not label, operator and value.
    Label {
        /// Where it goes wrong.
        at: String,
    },
    /// A regular expression that is more than some values.
    Regex {
        /// The expression.
        value: String,
    },
    /// Something stands behind the braces, such as a range.
    Rest {
        /// What.
        rest: String,
    },
}

impl fmt::Display for NotASelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("a metric's name is missing"),
            Self::Label { at } => {
                write!(f, "{at:?} is not a label with =, !=, =~ or !~ and a value in quotes")
            }
            Self::Regex { value } => {
                write!(f, "the expression {value:?} is more than values with | between them")
            }
            Self::Rest { rest } => write!(f, "{rest:?} is too much: sums of counters are read, nothing else"),
        }
    }
}

impl std::error::Error for NotASelector {}

/// Characters that mean something in a regular expression.
const SPECIAL: &str = r"\.+*?()|[]{}^$";

fn is_name(text: &str, others: &[char]) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || others.contains(&c))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(&c))
}

impl Selector {
    /// All samples of a metric.
    #[must_use]
    pub fn all(metric: &str) -> Self {
        Self { metric: metric.to_owned(), labels: Vec::new() }
    }

    /// The same where a label is one of some values.
    #[must_use]
    pub fn with(mut self, label: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.labels.push((label.to_owned(), Condition::OneOf(values)));
        self
    }

    /// The same where a label is none of some values.
    #[must_use]
    pub fn without(mut self, label: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.labels.push((label.to_owned(), Condition::NoneOf(values)));
        self
    }

    /// Whether a sample is meant.
    #[must_use]
    pub fn matches(&self, metric: &str, labels: &[(&str, &str)]) -> bool {
        let value = |name: &str| {
            labels.iter().find(|(own, _)| *own == name).map(|(_, value)| *value).unwrap_or_default()
        };
        self.metric == metric
            && self.labels.iter().all(|(label, condition)| match condition {
                Condition::OneOf(values) => values.iter().any(|own| own == value(label)),
                Condition::NoneOf(values) => values.iter().all(|own| own != value(label)),
            })
    }

    /// Reads what [`Display`](fmt::Display) writes, and what else means the same in PromQL.
    ///
    /// # Errors
    /// What is not understood.
    pub fn parse(text: &str) -> Result<Self, NotASelector> {
        let text = text.trim();
        let (metric, labels) = text.split_once('{').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let metric = metric.trim_end();
        if !is_name(metric, &['_', ':']) {
            return Err(NotASelector::Name);
        }
        let mut selector = Self::all(metric);
        let Some(mut rest) = labels.map(str::trim_start) else { return Ok(selector) };
        while !rest.starts_with('}') {
            let (label, condition, after) = parse_label(rest)?;
            selector.labels.push((label, condition));
            let after = after.trim_start();
            let is_next = after.starts_with('}');
            rest = match after.strip_prefix(',') {
                Some(after) => after.trim_start(),
                None if is_next => after,
                None => return Err(NotASelector::Label { at: after.to_owned() }),
            };
        }
        match rest[1..].trim() {
            "" => Ok(selector),
            rest => Err(NotASelector::Rest { rest: rest.to_owned() }),
        }
    }
}

/// One label with its condition, and what comes after it.
fn parse_label(text: &str) -> Result<(String, Condition, &str), NotASelector> {
    let wrong = || NotASelector::Label { at: text.to_owned() };
    let (label, rest) = text.split_at(text.find(['=', '!']).ok_or_else(wrong)?);
    let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| rest.starts_with(operator));
    let operator = operator.ok_or_else(wrong)?;
    let quoted = rest[operator.len()..].trim_start().strip_prefix('"').ok_or_else(wrong)?;
    let (value, rest) = unquoted(quoted).ok_or_else(wrong)?;
    if !is_name(label.trim_end(), &['_']) {
        return Err(wrong());
    }
    let values = if operator.ends_with('~') { alternatives(&value)? } else { vec![value] };
    let condition =
        if operator.starts_with('!') { Condition::NoneOf(values) } else { Condition::OneOf(values) };
    Ok((label.trim_end().to_owned(), condition, rest))
}

/// A text up to its closing quote, and what comes after that.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// The values that an expression means, where it is nothing but values with `|` between them.
fn alternatives(expression: &str) -> Result<Vec<String>, NotASelector> {
    let wrong = || NotASelector::Regex { value: expression.to_owned() };
    let mut values = vec![String::new()];
    let mut characters = expression.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '|' => {
                values.push(String::new());
                continue;
            }
            '\\' => {
                characters.next().filter(|next| SPECIAL.contains(*next) || *next == '-').ok_or_else(wrong)?
            }
            special if SPECIAL.contains(special) => return Err(wrong()),
            other => other,
        };
        if let Some(value) = values.last_mut() {
            value.push(literal);
        }
    }
    Ok(values)
}

/// An expression that means these values and nothing else.
fn expression(values: &[String]) -> String {
    let escaped = values.iter().map(|value| {
        value.chars().fold(String::new(), |mut text, character| {
            if SPECIAL.contains(character) {
                text.push('\\');
            }
            text.push(character);
            text
        })
    });
    escaped.collect::<Vec<_>>().join("|")
}

/// A text in quotes, as PromQL and YAML's double quotes have it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

impl fmt::Display for Selector {
    /// As PromQL has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        if self.labels.is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        for (place, (label, condition)) in self.labels.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            let (sign, values) = match condition {
                Condition::OneOf(values) => ("=", values),
                Condition::NoneOf(values) => ("!", values),
            };
            match (sign, values.as_slice()) {
                ("=", [one]) => write!(f, "{comma}{label}={}", quoted(one))?,
                (_, [one]) => write!(f, "{comma}{label}!={}", quoted(one))?,
                (_, values) => write!(f, "{comma}{label}{sign}~{}", quoted(&expression(values)))?,
            }
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sample_is_meant_or_not() {
        let selector = Selector::all("requests").with("code", &["ok", "late"]).without("model", &["-"]);
        let check =
            |labels: &[(&str, &str)], expected| assert_eq!(selector.matches("requests", labels), expected);
        check(&[("code", "ok"), ("model", "taxi")], true);
        check(&[("code", "late")], true);
        check(&[("code", "ok"), ("model", "-")], false);
        check(&[("code", "full")], false);
        check(&[], false);
        assert!(!selector.matches("others", &[("code", "ok")]));
        assert_eq!(selector.to_string(), r#"requests{code=~"ok|late",model!="-"}"#);
    }

    #[test]
    fn what_cannot_be_kept_to_the_letter_is_refused() {
        let check = |text: &str, expected| assert_eq!(Selector::parse(text), Err(expected), "{text}");
        check("", NotASelector::Name);
        check(r#"{a="b"}"#, NotASelector::Name);
        check(r#"a{b=~"x.*"}"#, NotASelector::Regex { value: "x.*".into() });
        check(r#"a{b="c"}[5m]"#, NotASelector::Rest { rest: "[5m]".into() });
        check("a{b=c}", NotASelector::Label { at: "b=c}".into() });
        check(r#"a{b="c" d="e"}"#, NotASelector::Label { at: r#"d="e"}"#.into() });
        check(r#"a{b="c"#, NotASelector::Label { at: r#"b="c"#.into() });
        assert_eq!(Selector::parse(r#" a { b = "c" , } "#), Ok(Selector::all("a").with("b", &["c"])));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(
            values in prop::collection::vec(r#"[a-z0-9 .|"\\\n+-]{1,6}"#, 1..4), is_one_of: bool,
        ) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let all = Selector::all("a:b_total").with("x", &["1"]);
            let selector = if is_one_of { all.with("y", &values) } else { all.without("y", &values) };
            prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
        }

        #[test]
        fn no_text_stops_it(text in ".{0,40}") {
            let _ = Selector::parse(&text);
        }
    }
}
