//! Every request of a run, a line each: for those who want to know what a fault did to which of them, and for how long.
//!
//! The summary has a second's resolution and knows no sequence. Lines are kept until the run is over, some 100 bytes each, so
//! that writing them takes nothing from the load.

use crate::failure;
use spinwell_core::UnixMicros;
use spinwell_runtime::clock;
use spinwell_runtime::files::write_atomically;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

const HEAD: &str = "due_us,sent_us,ended_us,code,sequence,step,answer,expected_step\n";

/// What a step was and what was answered to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepEnd {
    /// The number of its sequence.
    pub(crate) sequence: u64,
    /// Its number in the sequence.
    pub(crate) step: u64,
    /// A number made of all bits of the answer.
    pub(crate) answer: Option<u64>,
    /// Which step the server expected, where it was not this one.
    pub(crate) expected: Option<u64>,
}

/// A request that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// When it should have been sent.
    pub(crate) due: Instant,
    /// When it was sent, for the first time.
    pub(crate) sent: Instant,
    /// When it ended.
    pub(crate) ended: Instant,
    /// Why it was not answered; empty where it was.
    pub(crate) code: String,
    /// Of sequences.
    pub(crate) step: Option<StepEnd>,
}

/// The requests of a run in the order in which they ended.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    origin: Instant,
    origin_unix: UnixMicros,
    lines: Vec<Line>,
}

impl Trace {
    /// Times are told from now on.
    pub(crate) fn new() -> Self {
        Self { origin: clock::now(), origin_unix: clock::unix_micros(), lines: Vec::new() }
    }

    /// Adds a request.
    pub(crate) fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Writes it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_atomically(path, self.csv().as_bytes()).map_err(|error| failure::io(path, "writing", &error))
    }

    fn csv(&self) -> String {
        let mut text = HEAD.to_owned();
        for Line { due, sent, ended, code, step } in &self.lines {
            let [due, sent, ended] = [due, sent, ended].map(|moment| self.unix_us(*moment));
            let _ = write!(text, "{due},{sent},{ended},{code},");
            let _ = match step {
                None => writeln!(text, ",,,"),
                Some(StepEnd { sequence, step, answer, expected }) => {
                    let answer = answer.map(|answer| format!("{answer:016x}")).unwrap_or_default();
                    let expected = expected.map(|step| step.to_string()).unwrap_or_default();
                    writeln!(text, "{sequence},{step},{answer},{expected}")
                }
            };
        }
        text
    }

    fn unix_us(&self, moment: Instant) -> u64 {
        let us = |wait: std::time::Duration| u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        match moment.checked_duration_since(self.origin) {
            Some(after) => self.origin_unix.0.saturating_add(us(after)),
            None => self.origin_unix.0.saturating_sub(us(self.origin - moment)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_request_is_a_line_with_its_times_and_what_became_of_it() {
        let mut trace = Trace::new();
        trace.origin_unix = UnixMicros(1_000_000);
        let at = |us: u64| trace.origin + Duration::from_micros(us);
        let line = |code: &str, step| Line {
            due: trace.origin - Duration::from_micros(5),
            sent: at(7),
            ended: at(90),
            code: code.to_owned(),
            step,
        };
        let step = |answer, expected| Some(StepEnd { sequence: 3, step: 4, answer, expected });
        let lines = [
            line("", None),
            line("", step(Some(0xab), None)),
            line("SPW-SEQUENCE-STEP", step(None, Some(2))),
        ];
        lines.into_iter().for_each(|line| trace.add(line));
        let wanted = "999995,1000007,1000090,,,,,\n\
                      999995,1000007,1000090,,3,4,00000000000000ab,\n\
                      999995,1000007,1000090,SPW-SEQUENCE-STEP,3,4,,2\n";
        assert_eq!(trace.csv(), format!("{HEAD}{wanted}"));
    }
}
