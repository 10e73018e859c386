//! Times of rows: reading them, ordering by them, and how far apart they are.
//!
//! Only the order and the spacing of times enter a model, so a [`Moment`] is a civil date and time, or a plain
//! number, without a time zone.

use jiff::civil::{Date, DateTime};
use std::fmt;

/// Steps between civil times may differ by this share of the usual one without being called uneven.
const JITTER: f64 = 0.01;

/// When a row was observed.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum Moment {
    /// A civil date and time.
    Civil(DateTime),
    /// A number in the file's own unit.
    Number(f64),
}

impl Moment {
    /// Reads ISO 8601 dates and times (a zone or offset is read and dropped), `YYYY-MM`,
    /// `YYYY-MM-DD HH:MM[:SS]`, and finite numbers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Moment> {
        let text = text.trim();
        if let Ok(number) = text.parse::<f64>() {
            return number.is_finite().then_some(Moment::Number(number));
        }
        let local = without_offset(text);
        let month = |text: &str| format!("{text}-01").parse::<Date>().ok().filter(|_| text.len() == 7);
        local
            .parse::<DateTime>()
            .ok()
            .or_else(|| local.parse::<Date>().ok().map(|date| date.at(0, 0, 0, 0)))
            .or_else(|| month(local).map(|date| date.at(0, 0, 0, 0)))
            .map(Moment::Civil)
    }

    /// The moment `steps` spacings after this one.
    #[must_use]
    pub fn after(self, spacing: Spacing, steps: usize) -> Option<Moment> {
        match (self, spacing) {
            (Moment::Civil(time), Spacing::Nanoseconds(nanoseconds)) => {
                let span =
                    jiff::SignedDuration::from_nanos(nanoseconds.checked_mul(i64::try_from(steps).ok()?)?);
                time.checked_add(span).ok().map(Moment::Civil)
            }
            (Moment::Civil(time), Spacing::Months(months)) => {
                months_after(time, months, steps).map(Moment::Civil)
            }
            (Moment::Civil(time), Spacing::MonthEnds(months)) => {
                let month = months_after(time.first_of_month(), months, steps)?;
                Some(Moment::Civil(month.last_of_month()))
            }
            (Moment::Number(number), Spacing::Number(step)) => {
                Some(Moment::Number(number + step * steps as f64))
            }
            _ => None,
        }
    }
}

fn months_after(time: DateTime, months: i64, steps: usize) -> Option<DateTime> {
    let span = jiff::Span::new().try_months(months.checked_mul(i64::try_from(steps).ok()?)?).ok()?;
    time.checked_add(span).ok()
}

/// Drops a trailing `Z` or `+hh:mm` of a date with a time; zones do not matter for order and spacing within a
/// file that uses one of them.
fn without_offset(text: &str) -> &str {
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    match text.rfind(['+', '-']) {
        Some(at) if text[..at].contains(':') => &text[..at],
        _ => text,
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Civil(time) => write!(f, "{}", time.strftime("%Y-%m-%d %H:%M:%S%.f")),
            Moment::Number(number) => write!(f, "{number}"),
        }
    }
}

/// The distance between neighbouring rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spacing {
    /// Nanoseconds between civil times.
    Nanoseconds(i64),
    /// Whole calendar months between the same days of them.
    Months(i64),
    /// Whole calendar months between their last days.
    MonthEnds(i64),
    /// Difference of plain numbers.
    Number(f64),
}

impl fmt::Display for Spacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND: i64 = 1_000_000_000;
        match *self {
            Spacing::Nanoseconds(n) if n % (86_400 * SECOND) == 0 => write!(f, "{} d", n / (86_400 * SECOND)),
            Spacing::Nanoseconds(n) if n % (3600 * SECOND) == 0 => write!(f, "{} h", n / (3600 * SECOND)),
            Spacing::Nanoseconds(n) if n % (60 * SECOND) == 0 => write!(f, "{} min", n / (60 * SECOND)),
            Spacing::Nanoseconds(n) => write!(f, "{} s", n as f64 / SECOND as f64),
            Spacing::Months(1) | Spacing::MonthEnds(1) => write!(f, "1 month"),
            Spacing::Months(n) | Spacing::MonthEnds(n) => write!(f, "{n} months"),
            Spacing::Number(n) => write!(f, "{n}"),
        }
    }
}

/// The commonest spacing of ordered `times`, and the 0-based rows whose distance to the row before is another
/// one. `None` for fewer than two rows or mixed kinds of time.
pub(super) fn spacing(times: &[Moment]) -> Option<(Spacing, Vec<usize>)> {
    let gap = |row: usize| match (times[row - 1], times[row]) {
        (Moment::Civil(a), Moment::Civil(b)) => Some(b.duration_since(a).as_nanos() as f64),
        (Moment::Number(a), Moment::Number(b)) => Some(b - a),
        _ => None,
    };
    let gaps: Vec<f64> = (1..times.len()).map(gap).collect::<Option<_>>()?;
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = *sorted.get(sorted.len() / 2)?;
    let uneven = |tolerance: f64| -> Vec<usize> {
        gaps.iter()
            .enumerate()
            .filter(|(_, gap)| (*gap - middle).abs() > tolerance)
            .map(|(i, _)| i + 1)
            .collect()
    };
    match times[0] {
        Moment::Number(_) => Some((Spacing::Number(middle), uneven(1e-6 * middle.abs()))),
        Moment::Civil(_) => {
            if let Some(monthly) = monthly(times) {
                return Some((monthly, Vec::new()));
            }
            Some((Spacing::Nanoseconds(middle as i64), uneven(JITTER * middle)))
        }
    }
}

/// The spacing of times that lie whole months apart, on the same day of the month or always on its last one.
fn monthly(times: &[Moment]) -> Option<Spacing> {
    let civil = |moment: &Moment| match moment {
        Moment::Civil(time) => Some(*time),
        Moment::Number(_) => None,
    };
    let times: Vec<DateTime> = times.iter().map(civil).collect::<Option<_>>()?;
    let month = |time: &DateTime| i64::from(time.year()) * 12 + i64::from(time.month());
    let step = month(times.get(1)?) - month(&times[0]);
    if step <= 0 || times.windows(2).any(|pair| month(&pair[1]) - month(&pair[0]) != step) {
        return None;
    }
    if times.iter().all(|time| time.day() == times[0].day()) {
        return Some(Spacing::Months(step));
    }
    let all_last = times.iter().all(|time| time.day() == time.last_of_month().day());
    all_last.then_some(Spacing::MonthEnds(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_form_is_read() {
        for (text, wanted) in [
            ("2014-07-01 00:30:00", "2014-07-01 00:30:00"),
            ("2014-07-01 00:30", "2014-07-01 00:30:00"),
            ("2014-07-01T00:30:00Z", "2014-07-01 00:30:00"),
            ("2014-07-01T00:30:00+02:00", "2014-07-01 00:30:00"),
            ("2014-07-01", "2014-07-01 00:00:00"),
            ("1749-01", "1749-01-01 00:00:00"),
            ("12.5", "12.5"),
        ] {
            assert_eq!(Moment::parse(text).map(|m| m.to_string()).as_deref(), Some(wanted), "{text}");
        }
        for text in ["", "yesterday", "2014-13-01", "NaN", "01/02/2014"] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    fn moments(texts: &[&str]) -> Vec<Moment> {
        texts.iter().map(|text| Moment::parse(text).unwrap()).collect()
    }

    #[test]
    fn months_are_equal_though_their_days_are_not() {
        let times = moments(&["1749-01", "1749-02", "1749-03", "1749-04"]);
        assert_eq!(spacing(&times), Some((Spacing::Months(1), vec![])));
        assert_eq!(times[3].after(Spacing::Months(1), 2), Moment::parse("1749-06"));
    }

    #[test]
    fn month_ends_and_milliseconds_go_on_as_they_began() {
        for (times, next) in [
            (["2014-11-30", "2014-12-31", "2015-01-31"], ["2015-02-28 00:00:00", "2015-03-31 00:00:00"]),
            (
                ["2020-01-01 00:00:05", "2020-01-01 00:00:05.010", "2020-01-01 00:00:05.02"],
                ["2020-01-01 00:00:05.03", "2020-01-01 00:00:05.04"],
            ),
        ] {
            let times = moments(&times);
            let (spacing, uneven) = spacing(&times).unwrap();
            assert!(uneven.is_empty(), "{spacing}");
            assert_eq!([1, 2].map(|steps| times[2].after(spacing, steps).unwrap().to_string()), next);
        }
    }

    #[test]
    fn uneven_rows_are_named() {
        let times =
            moments(&["2020-01-01 00:00", "2020-01-01 00:30", "2020-01-01 01:00", "2020-01-01 02:00"]);
        let half_hour = Spacing::Nanoseconds(1_800_000_000_000);
        assert_eq!(spacing(&times), Some((half_hour, vec![3])));
        assert_eq!(
            (half_hour.to_string().as_str(), times[3].after(half_hour, 1)),
            ("30 min", Moment::parse("2020-01-01 02:30"))
        );
        assert_eq!(spacing(&times[..1]), None);
        let fast = [
            "2020-01-01 00:00:00",
            "2020-01-01 00:00:00.01",
            "2020-01-01 00:00:00.02",
            "2020-01-01 00:00:00.04",
        ];
        assert_eq!(spacing(&moments(&fast)), Some((Spacing::Nanoseconds(10_000_000), vec![3])));
    }
}
