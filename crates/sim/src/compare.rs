//! The five strategies on the same traces, as a table.

use crate::figures::Figures;
use crate::history::History;
use crate::traces::{self, Trace};
use crate::world;
use spinwell_policy::balance::Strategy;
use std::fmt::Write as _;

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The trace.
    pub trace: Trace,
    /// The strategy.
    pub strategy: Strategy,
    /// What it did.
    pub figures: Figures,
}

/// Runs a trace with so many seeds through one strategy.
#[must_use]
pub fn row(trace: Trace, strategy: Strategy, seeds: u64) -> Row {
    let runs: Vec<History> = (1..=seeds).map(|seed| world::run(&trace.scenario(seed, strategy))).collect();
    Row { trace, strategy, figures: Figures::of(&runs) }
}

/// The table in Markdown.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| trace | strategy | P50 ms | P99 ms | imbalance | retries | failed | of requests | fell back |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for Row { trace, strategy, figures } in rows {
        let ms = |span: std::time::Duration| span.as_secs_f64() * 1e3;
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.2} | {} | {} | {} | {:.0} % |",
            trace.name,
            strategy.as_str(),
            ms(figures.p50),
            ms(figures.p99),
            figures.imbalance,
            figures.retries,
            figures.failed,
            figures.requests,
            100.0 * figures.fell_back,
        );
    }
    text
}

/// What the traces are.
#[must_use]
pub fn legend() -> String {
    traces::ALL.iter().map(|trace| format!("- *{}*: {}\n", trace.name, trace.about)).collect()
}
