//! How much is in flight at a node: what this gateway has sent, what the node reported, and what follows from both.

use spinwell_core::Ratio;
use std::time::Instant;

/// Share of the newest report in what the others have in flight. One report is a mean over a period, and periods differ.
const NEWEST: f64 = 0.5;
/// Share of the newest report in what a row keeps busy.
const BUSY_NEWEST: f64 = 0.2;

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Rows that waited or ran there, of all gateways, on average since its last report. Not those of the moment: what is in
    /// flight changes in milliseconds and is old when the report comes.
    pub rows_in_flight: f64,
    /// How busy its graphics cards are, where it has any.
    pub gpu: Option<Ratio>,
    /// How full its memory is: the cards' where it has any.
    pub memory: Ratio,
    /// How busy its processors are.
    pub cpu: Ratio,
}

/// The newest report, beside what was known here of the same time.
#[derive(Debug, Clone, Copy)]
struct Reported {
    report: Report,
    made: Instant,
    /// Rows that this gateway had in flight there, on average over the same period.
    own: f64,
    /// Rows that the others had, smoothed.
    others: f64,
}

/// What a row in flight keeps busy, as a share of the node.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct PerRow {
    pub(super) gpu: f64,
    pub(super) cpu: f64,
}

/// Rows in flight at a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Of this gateway.
    own: f64,
    /// The integral of that since the newest report, up to when it changed, in rows · seconds.
    area: f64,
    area_since: Instant,
    changed: Instant,
    reported: Option<Reported>,
    /// What a row in flight keeps busy, by the reports; `None` where none had any.
    busy_per_row: Option<PerRow>,
}

impl Load {
    pub(super) fn new(now: Instant) -> Self {
        Self { own: 0.0, area: 0.0, area_since: now, changed: now, reported: None, busy_per_row: None }
    }

    pub(super) fn begin(&mut self, rows: usize, now: Instant) {
        self.settle(now);
        self.own += rows as f64;
    }

    pub(super) fn end(&mut self, rows: usize, now: Instant) {
        self.settle(now);
        self.own = (self.own - rows as f64).max(0.0);
    }

    fn settle(&mut self, now: Instant) {
        self.area += self.own * now.saturating_duration_since(self.changed).as_secs_f64();
        self.changed = self.changed.max(now);
    }

    /// A report has come. One that is older than the newest says nothing.
    pub(super) fn report(&mut self, report: Report, made: Instant, now: Instant) {
        if self.reported.is_some_and(|newest| newest.made >= made) {
            return;
        }
        self.settle(now);
        let period = now.saturating_duration_since(self.area_since).as_secs_f64();
        let own = if period > 0.0 { self.area / period } else { self.own };
        let rows = if report.rows_in_flight.is_finite() { report.rows_in_flight.max(0.0) } else { own };
        let report = Report { rows_in_flight: rows, ..report };
        let others = (rows - own).max(0.0);
        let others = match self.reported {
            Some(before) => before.others + NEWEST * (others - before.others),
            None => others,
        };
        (self.area, self.area_since) = (0.0, now);
        self.reported = Some(Reported { report, made, own, others });
        if rows >= 1.0 {
            let newest =
                PerRow { gpu: report.gpu.map_or(0.0, Ratio::get) / rows, cpu: report.cpu.get() / rows };
            let before = self.busy_per_row.unwrap_or(newest);
            self.busy_per_row = Some(PerRow {
                gpu: before.gpu + BUSY_NEWEST * (newest.gpu - before.gpu),
                cpu: before.cpu + BUSY_NEWEST * (newest.cpu - before.cpu),
            });
        }
    }

    /// Rows of this gateway.
    pub(super) fn own(&self) -> f64 {
        self.own
    }

    /// Rows of all others, by reports, where the newest was made after `oldest`.
    pub(super) fn others(&self, oldest: Option<Instant>) -> Option<f64> {
        self.fresh(oldest).map(|reported| reported.others)
    }

    /// Rows of this gateway and of all, by the newest report.
    pub(super) fn shares(&self, oldest: Option<Instant>) -> Option<(f64, f64)> {
        self.fresh(oldest).map(|reported| (reported.own, reported.report.rows_in_flight.max(reported.own)))
    }

    /// How many rows more this gateway has there than in the period of the newest report.
    pub(super) fn own_since(&self, oldest: Option<Instant>) -> f64 {
        self.fresh(oldest).map_or(0.0, |reported| self.own - reported.own)
    }

    /// What a row in flight keeps busy, by the reports.
    pub(super) fn busy_per_row(&self) -> Option<PerRow> {
        self.busy_per_row
    }

    /// What is free of cards, memory and processors with that many rows in flight, each in [0, 1]: by the newest report, and by
    /// what a row keeps busy, here or else usually.
    pub(super) fn free(&self, rows: f64, usual: PerRow, oldest: Option<Instant>) -> Option<Free> {
        let report = self.fresh(oldest)?.report;
        let more = rows - report.rows_in_flight;
        let row = self.busy_per_row.unwrap_or(usual);
        let free = |busy: f64, row: f64| 1.0 - (busy + more * row).clamp(0.0, 1.0);
        Some(Free {
            gpu: report.gpu.map(|gpu| free(gpu.get(), row.gpu)),
            memory: 1.0 - report.memory.get(),
            cpu: free(report.cpu.get(), row.cpu),
        })
    }

    fn fresh(&self, oldest: Option<Instant>) -> Option<Reported> {
        self.reported.filter(|reported| oldest.is_none_or(|oldest| reported.made >= oldest))
    }
}

/// What is free of a node, each in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Free {
    pub(super) gpu: Option<f64>,
    pub(super) memory: f64,
    pub(super) cpu: f64,
}
