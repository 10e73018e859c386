//! Queries: sums of counters.

use super::super::selector::{NotASelector, Selector};

/// `sum(a) + sum(b)`.
pub(super) fn write(selectors: &[Selector]) -> String {
    selectors.iter().map(|own| format!("sum({own})")).collect::<Vec<_>>().join(" + ")
}

/// Reads what [`write`] writes; a counter may also stand without `sum`.
pub(super) fn read(text: &str) -> Result<Vec<Selector>, NotASelector> {
    summands(text).map(|summand| Selector::parse(inside(summand.trim()))).collect()
}

/// What stands in `sum( )`, or all of it.
fn inside(summand: &str) -> &str {
    let rest = summand.strip_prefix("sum").map(str::trim_start).and_then(|rest| rest.strip_prefix('('));
    rest.and_then(|rest| rest.strip_suffix(')')).unwrap_or(summand)
}

/// What stands between plus signs, those in quotes left out.
fn summands(text: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        let is_plus = character == '+' && !is_quoted;
        is_quoted ^= character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_plus
    })
}
