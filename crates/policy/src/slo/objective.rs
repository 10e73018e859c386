//! What is promised: of which events, what share, over how long.

use super::counts::Counts;
use super::goal::Goal;
use super::rules::Rule;
use super::selector::Selector;
use super::spans::{DAY, HOUR, MINUTE};
use spinwell_core::Millis;
use std::fmt;
use std::sync::Arc;

/// The longest window of an objective: a quarter.
pub const WINDOW_MAX: Millis = Millis(92 * DAY);
/// The shortest.
pub const WINDOW_MIN: Millis = Millis(HOUR);
/// Rules of an objective at most.
const RULES_MAX: usize = 16;
/// The longest window of a rule, where the objective's is not longer.
const RULE_WINDOW_MAX: Millis = Millis(3 * DAY);

/// The name of an objective: 1 to 63 lower-case letters, digits or `-`, beginning and ending with a letter or digit (RFC 1123), so that it is good
/// as a label, in a file's name and in OpenSLO.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectiveName(Arc<str>);

impl ObjectiveName {
    /// The name, where the text is one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let has_ends = text.bytes().next().is_some_and(is_plain) && text.bytes().last().is_some_and(is_plain);
        let is_name = text.len() <= 63 && has_ends && text.bytes().all(|byte| is_plain(byte) || byte == b'-');
        is_name.then(|| Self(text.into()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which counters are read, summed over what each selector means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// Those that tell good events from bad ones.
    pub part: Part,
    /// Those that count all events.
    pub total: Vec<Selector>,
}

/// What is counted beside all events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The good ones.
    Good(Vec<Selector>),
    /// The bad ones. Where a single one matters this is the way: good ones and all are never read in the same instant.
    Bad(Vec<Selector>),
}

/// A sample of a process's page of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample<'a> {
    /// The metric, as it stands there.
    pub metric: &'a str,
    /// Labels and their values.
    pub labels: &'a [(&'a str, &'a str)],
    /// What it has counted.
    pub value: u64,
}

impl Events {
    /// What a process has counted, by the samples of its page; nothing where it shows no counter of all events: that it was asked for
    /// nothing is not said by that.
    #[must_use]
    pub fn counts(&self, page: &[Sample<'_>]) -> Option<Counts> {
        let meant = |selectors: &[Selector]| {
            let of = |own: &Selector| {
                let meant = page.iter().filter(|sample| own.matches(sample.metric, sample.labels));
                meant.fold((0u64, 0usize), |(sum, count), sample| {
                    (sum.saturating_add(sample.value), count + 1)
                })
            };
            selectors
                .iter()
                .map(of)
                .fold((0u64, 0), |(sum, count), own| (sum.saturating_add(own.0), count + own.1))
        };
        let (total, shown) = meant(&self.total);
        let counts = match &self.part {
            Part::Good(good) => Counts { good: meant(good).0, total },
            Part::Bad(bad) => Counts::with_bad(meant(bad).0, total),
        };
        (shown > 0).then_some(counts)
    }
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indicator {
    /// Request-based: the share of good events among all events of the window.
    Ratio(Events),
    /// Time slices: the share of good slices among those of which anything is known. A slice is good where at least so many events
    /// were good as were asked for, or as `per_second` says where more were asked for.
    TimeSlices {
        /// What is asked for (`total`) and what of it was served (`good`).
        events: Events,
        /// How long a slice is: whole seconds.
        length: Millis,
        /// How many a second must be served.
        per_second: u32,
    },
}

impl Indicator {
    /// The counters.
    #[must_use]
    pub const fn events(&self) -> &Events {
        match self {
            Self::Ratio(events) | Self::TimeSlices { events, .. } => events,
        }
    }

    /// All that it means, in a line: two indicators with one line measure the same.
    #[must_use]
    pub fn line(&self) -> String {
        let sum = |selectors: &[Selector]| {
            selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ")
        };
        let Events { part, total } = self.events();
        let part = match part {
            Part::Good(good) => format!("good {}", sum(good)),
            Part::Bad(bad) => format!("bad {}", sum(bad)),
        };
        let slices = match self {
            Self::Ratio(_) => String::new(),
            Self::TimeSlices { length, per_second, .. } => {
                format!(", slices of {length}, {per_second} a second")
            }
        };
        format!("{part} of {}{slices}", sum(total))
    }

    /// `request-based` or `time slices`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ratio(_) => "request-based",
            Self::TimeSlices { .. } => "time slices",
        }
    }
}

/// A service level objective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objective {
    /// What it is called.
    pub name: ObjectiveName,
    /// What people read.
    pub title: String,
    /// What it means, in a sentence or two.
    pub description: String,
    /// Whose level of service it is.
    pub service: String,
    /// What is measured.
    pub indicator: Indicator,
    /// What share must be good.
    pub goal: Goal,
    /// Over how long, rolling.
    pub window: Millis,
    /// When somebody is told.
    pub rules: Vec<Rule>,
    /// How much it counts in the health score, 0 to 100.
    pub weight: u32,
}

/// Why an objective cannot be kept an eye on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalid {
    /// Its window is not between an hour and 92 days, or no whole number of minutes.
    Window,
    /// No counter is named.
    NoEvents,
    /// A slice is not a whole number of seconds from one second to an hour, or nothing has to be served in it.
    Slices,
    /// Of a band, the least is more than the most.
    Band,
    /// It has too many rules, or two of one name.
    Rules,
    /// The windows of a rule are not as they must be: both whole minutes, the short one shorter, the long one not longer than 3 days or
    /// the objective's.
    RuleWindows(String),
    /// A rule cannot be kept with such a goal: a burn rate where there is no budget, or one that cannot be reached.
    RuleGoal(String),
    /// Its weight is more than 100.
    Weight,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window => f.write_str("the window must be whole minutes, from 1 h to 92 d"),
            Self::NoEvents => f.write_str("no counter is named"),
            Self::Slices => {
                f.write_str("a slice must be whole seconds, from 1 s to 1 h, in which something is served")
            }
            Self::Band => f.write_str("the least share must not be more than the most"),
            Self::Rules => write!(f, "at most {RULES_MAX} rules, each of another name"),
            Self::RuleWindows(rule) => write!(
                f,
                "the windows of rule {rule} must be whole minutes, the short one shorter, the long one at most 3 d or the objective's"
            ),
            Self::RuleGoal(rule) => write!(f, "rule {rule} can never hold with such a goal"),
            Self::Weight => f.write_str("the weight must be at most 100"),
        }
    }
}

impl std::error::Error for Invalid {}

impl Objective {
    /// Whether it can be kept an eye on.
    ///
    /// # Errors
    /// The first reason why it cannot.
    pub fn validate(&self) -> Result<(), Invalid> {
        let is_whole = |span: Millis| span.0 > 0 && span.0.is_multiple_of(MINUTE);
        let (Part::Good(part) | Part::Bad(part)) = &self.indicator.events().part;
        let is_band_wrong = matches!(self.goal, Goal::Within { low, high, .. } if low > high);
        let refuse = |is_wrong: bool, why: Invalid| if is_wrong { Err(why) } else { Ok(()) };
        refuse(!is_whole(self.window) || !(WINDOW_MIN..=WINDOW_MAX).contains(&self.window), Invalid::Window)?;
        refuse(part.is_empty() || self.indicator.events().total.is_empty(), Invalid::NoEvents)?;
        if let Indicator::TimeSlices { length, per_second, .. } = self.indicator {
            let is_length = length.0.is_multiple_of(1_000) && (1_000..=HOUR).contains(&length.0);
            refuse(!is_length || per_second == 0, Invalid::Slices)?;
        }
        refuse(is_band_wrong, Invalid::Band)?;
        refuse(self.weight > 100, Invalid::Weight)?;
        self.validate_rules()
    }

    fn validate_rules(&self) -> Result<(), Invalid> {
        let names: Vec<String> = self.rules.iter().map(Rule::name).collect();
        let is_twice = names.iter().enumerate().any(|(place, name)| names[..place].contains(name));
        if is_twice || names.len() > RULES_MAX {
            return Err(Invalid::Rules);
        }
        for (rule, name) in self.rules.iter().zip(names) {
            if !rule.has_windows_within(self.window.max(RULE_WINDOW_MAX)) {
                return Err(Invalid::RuleWindows(name));
            }
            if !rule.fits(self.goal) {
                return Err(Invalid::RuleGoal(name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_good_as_labels_and_in_file_names() {
        for good in ["a", "latency-p99-9", "0x", &"n".repeat(63)] {
            assert!(ObjectiveName::new(good).is_some(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a b", "é", &"n".repeat(64)] {
            assert!(ObjectiveName::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_page_is_summed_over_what_is_meant() {
        let sample = |labels, value| Sample { metric: "requests", labels, value };
        let ok: &[(&str, &str)] = &[("code", "ok"), ("model", "taxi")];
        let other: &[(&str, &str)] = &[("code", "ok"), ("model", "demand")];
        let failed: &[(&str, &str)] = &[("code", "full")];
        let page = [sample(ok, 7), sample(other, 5), sample(failed, 2)];
        let all = || vec![Selector::all("requests")];
        let good = Part::Good(vec![Selector::all("requests").with("code", &["ok"])]);
        let bad = Part::Bad(vec![Selector::all("requests").without("code", &["ok"])]);
        let expected = Some(Counts { good: 12, total: 14 });
        assert_eq!(Events { part: good, total: all() }.counts(&page), expected);
        assert_eq!(Events { part: bad.clone(), total: all() }.counts(&page), expected);
        assert_eq!(Events { part: bad, total: all() }.counts(&[]), None, "no counter is not no request");
    }
}
