//! A process's page of metrics, read: OpenMetrics, or Prometheus' text format.
//!
//! A page is taken as a whole or not at all. Half a page would make counters seem smaller than they are.

use spinwell_core::UnixMillis;
use spinwell_policy::slo::Sample;
use std::borrow::Cow;

/// Samples of a page at most.
const SAMPLES_MAX: usize = 200_000;
/// When a process started, as Prometheus' own clients call it.
const STARTED: &str = "process_start_time_seconds";

/// Why a page is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// A line is no sample and no comment.
    #[error("line {line} of the page is no sample: {why}")]
    Line {
        /// Which one, from 1.
        line: usize,
        /// Why not.
        why: &'static str,
    },
    /// There are too many.
    #[error("the page has more than {SAMPLES_MAX} samples")]
    TooLong,
}

/// A label and its value.
type Label<'a> = (&'a str, Cow<'a, str>);

/// What counts on a page.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page<'a> {
    samples: Vec<(&'a str, Vec<Label<'a>>, u64)>,
    /// When the process started.
    pub(super) started: Option<UnixMillis>,
}

impl<'a> Page<'a> {
    /// The page that is such a text.
    pub(super) fn of(text: &'a str) -> Result<Self, PageError> {
        let mut page = Self::default();
        let mut is_over = false;
        for (number, line) in text.lines().enumerate() {
            let wrong = |why| PageError::Line { line: number + 1, why };
            let line = line.trim_end_matches('\r');
            if is_over && !line.is_empty() {
                return Err(wrong("it comes after the end"));
            }
            if line.is_empty() || line.starts_with('#') {
                is_over |= line.trim_end() == "# EOF";
                continue;
            }
            page.take(line).map_err(wrong)?;
            if page.samples.len() > SAMPLES_MAX {
                return Err(PageError::TooLong);
            }
        }
        Ok(page)
    }

    fn take(&mut self, line: &'a str) -> Result<(), &'static str> {
        let (metric, rest) = name(line, |byte| byte == b':').ok_or("it begins with no name")?;
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let rest = rest.strip_prefix([' ', '\t']).ok_or("no blank stands before its value")?;
        // An exemplar is no figure of ours.
        let figures = rest.split_once(" # ").map_or(rest, |(figures, _)| figures);
        let mut figures = figures.split_ascii_whitespace();
        let text = figures.next().ok_or("it has no value")?;
        let value: f64 = text.parse().map_err(|_| "its value is no number")?;
        let is_time = figures.next().is_none_or(|time| time.parse::<f64>().is_ok());
        if !is_time || figures.next().is_some() {
            return Err("more than a time follows its value");
        }
        if metric == STARTED && labels.is_empty() && value.is_finite() && value >= 0.0 {
            self.started = Some(UnixMillis((value * 1e3).round() as u64));
        }
        // What is no whole number counts no events.
        let whole = (value >= 0.0 && value.fract() == 0.0 && value.is_finite()).then_some(value as u64);
        if let Some(value) = text.parse().ok().or(whole) {
            self.samples.push((metric, labels, value));
        }
        Ok(())
    }

    /// The samples of metrics that count.
    pub(super) fn with_samples<T>(&self, use_them: impl FnOnce(&[Sample<'_>]) -> T) -> T {
        let labels: Vec<Vec<(&str, &str)>> = self
            .samples
            .iter()
            .map(|(_, labels, _)| labels.iter().map(|(label, value)| (*label, &**value)).collect())
            .collect();
        let samples: Vec<Sample<'_>> = self
            .samples
            .iter()
            .zip(&labels)
            .map(|((metric, _, value), labels)| Sample { metric, labels, value: *value })
            .collect();
        use_them(&samples)
    }
}

/// The name at the beginning of a text, and what follows it.
fn name(text: &str, is_more: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || is_more(byte);
    let end = text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len());
    let is_name = end > 0 && !text.as_bytes()[0].is_ascii_digit();
    is_name.then(|| text.split_at(end))
}

/// The labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Result<(Vec<Label<'_>>, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(' ');
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (label, after) = name(rest, |_| false).ok_or("a label has no name")?;
        let after = after.strip_prefix("=\"").ok_or("a label has no value in quotes")?;
        let (value, after) = quoted(after).ok_or("the value of a label does not end")?;
        labels.push((label, value));
        rest = match after.strip_prefix(',') {
            Some(after) => after,
            None if after.starts_with('}') => after,
            None => return Err("labels are not parted by a comma"),
        };
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut value = Cow::Borrowed("");
    let mut from = 0;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                value += &text[from..at];
                return Some((value, &text[at + 1..]));
            }
            b'\\' => {
                let (_, escaped) = bytes.next()?;
                value += &text[from..at];
                let meant = match escaped {
                    b'n' => "\n",
                    b'"' => "\"",
                    b'\\' => "\\",
                    _ => return None,
                };
                value += meant;
                from = at + 2;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(text: &str) -> Vec<String> {
        let one = |sample: &Sample<'_>| format!("{} {:?} {}", sample.metric, sample.labels, sample.value);
        Page::of(text).unwrap().with_samples(|samples| samples.iter().map(one).collect())
    }

    #[test]
    fn a_page_is_read_with_its_labels_times_and_exemplars() {
        let text = "# HELP a What.\n# TYPE a counter\na_total{code=\"ok\",model=\"q\\\"b\\\\n\\n}\",} 7 1700000000.5\n\
            b 5.0 # {trace_id=\"x y\"} 1 2\nc{} 1e3\nd:e{le=\"+Inf\"} 18446744073709551615\nhalf 0.5\nnone NaN\n\
            process_start_time_seconds 1700000000.25\n\n# EOF\n";
        let wanted = [
            r#"a_total [("code", "ok"), ("model", "q\"b\\n\n}")] 7"#,
            "b [] 5",
            "c [] 1000",
            r#"d:e [("le", "+Inf")] 18446744073709551615"#,
        ];
        assert_eq!(samples(text), wanted);
        assert_eq!(Page::of(text).unwrap().started, Some(UnixMillis(1_700_000_000_250)));
        assert_eq!((samples(""), Page::of("").unwrap().started), (Vec::new(), None));
    }

    #[test]
    fn of_a_page_with_a_line_that_is_none_nothing_is_taken() {
        for wrong in [
            "<html>",
            "a",
            "a ",
            "a b",
            "a 1 2 3",
            "a 1 b",
            "1a 1",
            "a{b} 1",
            "a{b=\"c} 1",
            "a{b=\"c\"d=\"e\"} 1",
            "a{b=\"\\x\"} 1",
            "a{b=\"c\"}1",
            "a{1=\"c\"} 1",
            "a{b=\"c\"",
            "a{b=\"\\",
            "# EOF\na 1",
        ] {
            let text = format!("fine 1\n{wrong}\n");
            let error = Page::of(&text).unwrap_err();
            let line = if wrong.starts_with('#') { "line 3" } else { "line 2" };
            assert!(error.to_string().starts_with(line), "{wrong}: {error}");
        }
    }
}
