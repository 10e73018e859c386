//! Spans of time: how they are counted and written.

use spinwell_core::{Millis, UnixMillis};

/// Milliseconds of a second.
pub(super) const SECOND: u64 = 1_000;
/// Milliseconds of a minute.
pub(super) const MINUTE: u64 = 60 * SECOND;
/// Milliseconds of an hour.
pub(super) const HOUR: u64 = 60 * MINUTE;
/// Milliseconds of a day.
pub(super) const DAY: u64 = 24 * HOUR;
/// Milliseconds of a week.
pub(super) const WEEK: u64 = 7 * DAY;

/// From one moment to a later one; nothing where it is not later.
pub(super) fn between(from: UnixMillis, to: UnixMillis) -> Millis {
    Millis(to.0.saturating_sub(from.0))
}

/// A span as Prometheus and OpenSLO write it: `5m`, `1h`, `3d`. The largest unit that it is a whole number of; days are the largest.
pub(super) fn text(span: Millis) -> String {
    let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    let unit = units.into_iter().find(|(unit, _)| span.0 > 0 && span.0.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{}ms", span.0), |(unit, name)| format!("{}{name}", span.0 / unit))
}

/// The span that is written so, in OpenSLO's shorthand without what has no fixed length: `m`, `h`, `d`, `w`, and `s` besides.
pub(super) fn parse(text: &str) -> Option<Millis> {
    let unit = match text.chars().last()? {
        's' => SECOND,
        'm' => MINUTE,
        'h' => HOUR,
        'd' => DAY,
        'w' => WEEK,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|number| is_plain && *number > 0)?;
    number.checked_mul(unit).map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_they_are_written() {
        for (written, ms) in
            [("30s", 30_000), ("5m", 300_000), ("1h", HOUR), ("3d", 3 * DAY), ("30d", 30 * DAY)]
        {
            assert_eq!((text(Millis(ms)).as_str(), parse(written)), (written, Some(Millis(ms))));
        }
        assert_eq!(parse("4w"), Some(Millis(28 * DAY)));
        assert_eq!(text(Millis(1_500)), "1500ms");
        for wrong in ["", "h", "0h", "1M", "1Q", "-1h", "1.5h", "+1h", "1 h", "99999999999999999999d", "é"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
