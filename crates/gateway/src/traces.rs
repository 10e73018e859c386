//! Which trace a request belongs to, and whether it is recorded.
//!
//! A caller who sends `traceparent` has decided both, and his answer is taken over. Otherwise a trace begins here, and a
//! share of those is recorded, chosen by the trace's name, so that every process would choose the same ones.

use axum::http::HeaderMap;
use spinwell_core::{Ratio, SpanId, Trace, TraceId, TraceParent, split_mix_64};
use std::sync::atomic::{AtomicU64, Ordering};

/// The header, and the gRPC metadata, by which a caller says which trace his request belongs to.
const TRACEPARENT: &str = "traceparent";

/// Names traces and spans. Shared by all connections: a name costs an addition and no lock.
#[derive(Debug)]
pub struct Traces {
    seeds: [u64; 3],
    next: AtomicU64,
    /// Traces begun here whose name, as a number of 63 bits, is below this are recorded.
    below: u64,
}

impl Traces {
    /// Names that come from `seeds`, and the share of the traces begun here that is recorded.
    #[must_use]
    pub fn new(seeds: [u64; 3], sampled: Ratio) -> Self {
        Self { seeds, next: AtomicU64::new(0), below: (sampled.get() * (1_u64 << 63) as f64) as u64 }
    }

    /// The trace of a request that came with these headers. What is no `traceparent`, or is two, is none.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Trace {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let line = lines.next().filter(|_| lines.next().is_none());
        let parent = line.and_then(|line| line.to_str().ok()?.trim().parse::<TraceParent>().ok());
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let span = SpanId(self.name(2, number).to_be_bytes());
        match parent {
            Some(TraceParent { id, span: parent, is_sampled }) => {
                Trace { id, span, parent: Some(parent), is_sampled }
            }
            None => {
                let chosen = self.name(1, number);
                let mut id = [0; 16];
                id[..8].copy_from_slice(&self.name(0, number).to_be_bytes());
                id[8..].copy_from_slice(&chosen.to_be_bytes());
                Trace { id: TraceId(id), span, parent: None, is_sampled: chosen >> 1 < self.below }
            }
        }
    }

    /// Work that is a part of this one: a request of a batch call.
    pub(crate) fn within(&self, trace: Trace) -> Trace {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Trace { span: SpanId(self.name(2, number).to_be_bytes()), parent: Some(trace.span), ..trace }
    }

    /// A name; never zero, which names nothing.
    fn name(&self, seed: usize, number: u64) -> u64 {
        split_mix_64(self.seeds[seed], number).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn traces(ratio: f64) -> Traces {
        Traces::new([1, 2, 3], Ratio::new(ratio).unwrap())
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACEPARENT, line.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_caller_s_trace_goes_on_whatever_is_sampled_here() {
        let line = |flags: &str| format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        for (flags, ratio, sampled) in [("01", 0.0, true), ("00", 1.0, false)] {
            let trace = traces(ratio).of(&headers(&[&line(flags)]));
            assert_eq!(trace.id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(trace.parent.unwrap().to_string(), "00f067aa0ba902b7");
            assert_eq!(trace.is_sampled, sampled);
        }
        let twice = [line("01"), line("01")];
        for none in [&[][..], &["nonsense"], &[twice[0].as_str(), twice[1].as_str()]] {
            assert_eq!(traces(1.0).of(&headers(none)).parent, None, "{none:?}");
        }
    }

    #[test]
    fn about_the_share_that_is_asked_for_is_recorded() {
        let count = |ratio: f64| {
            let traces = traces(ratio);
            (0..10_000).filter(|_| traces.of(&HeaderMap::new()).is_sampled).count()
        };
        assert_eq!(count(0.0), 0);
        assert_eq!(count(1.0), 10_000);
        assert!((2_300..2_700).contains(&count(0.25)), "{}", count(0.25));
    }

    #[test]
    fn names_do_not_repeat() {
        let traces = traces(1.0);
        let first = traces.of(&HeaderMap::new());
        let mut ids = HashSet::from([first.id]);
        let mut spans = HashSet::from([first.span]);
        for _ in 0..1000 {
            let trace = traces.of(&HeaderMap::new());
            assert!(ids.insert(trace.id) && spans.insert(trace.span));
            let within = traces.within(trace);
            assert!(within.id == trace.id && within.parent == Some(trace.span) && spans.insert(within.span));
        }
    }
}
