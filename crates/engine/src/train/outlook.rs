//! What models will cost to serve, said before any is trained.

use super::draws::Size;
use super::{Feeds, Folds, Options, Plan, Task, season_of};
use crate::cost::{Outline, expected};
use crate::data::Table;
use crate::hands::Hands;
use crate::settings::Settings;
use crate::spec::Family;

/// A window beyond this many microseconds of one core is worth a warning: it alone takes what a request may take at the
/// 99th percentile (100 ms).
pub const WINDOW_US_WARN: f64 = 100_000.0;

/// What models of one family will cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedCost {
    /// The family.
    pub family: Family,
    /// Microseconds of one core for a window of [`ExpectedCost::window_rows`] rows, answered by itself.
    pub window_us: f64,
    /// Rows of a window that such a model usually recommends, at least 1.
    pub window_rows: usize,
}

impl ExpectedCost {
    /// Whether a window costs more than [`WINDOW_US_WARN`].
    #[must_use]
    pub fn is_high(&self) -> bool {
        self.window_us > WINDOW_US_WARN
    }
}

/// For each family that may win and whose size was fixed by hand, what its dearest model will cost. Nothing of families
/// whose size is left to the search, and nothing where the options do not suit the table: that is for [`super::train`]
/// to say.
///
/// What shows only in training (how soon reservoirs forget, whether a mixture is kept) is taken to be as usual.
#[must_use]
pub fn expected_costs(table: &Table, folds: &Folds, options: &Options) -> Vec<ExpectedCost> {
    let suits = (1..=table.width()).contains(&options.targets) && options.horizon > 0;
    if !suits || folds.fit_end() > table.rows() || options.season == Some(0) {
        return Vec::new();
    }
    let season = season_of(table, folds, options);
    let task = Task { table, options, folds, season, hands: Hands::One };
    let is_seasonal = season > 1 && options.feeds == Feeds::Everything;
    let outline = Outline {
        channels: task.heard().len(),
        targets: options.targets,
        horizon: options.horizon,
        naive: if is_seasonal { 2 } else { 1 },
    };
    let examples = Plan::new(&task).examples(Size::Full);
    let sized = Family::ALL.into_iter().filter(|&family| is_sized(family, &options.settings));
    let dearest = |family: Family| {
        let costs = examples.iter().filter(|spec| spec.family == family).map(|spec| {
            let (cost, window_rows) = expected(spec, outline);
            ExpectedCost { family, window_us: cost.window_us, window_rows }
        });
        costs.max_by(|a, b| a.window_us.total_cmp(&b.window_us))
    };
    sized.filter_map(dearest).collect()
}

/// Whether settings fix something of a family that its cost depends on.
fn is_sized(family: Family, settings: &Settings) -> bool {
    let Settings { units, density, topology, neurons, encoding, wiring, .. } = settings;
    let Settings { qubits, reservoirs, substeps, dissipation, taps, order, lags, .. } = settings;
    match family {
        Family::Persistence | Family::SeasonalNaive | Family::Mean | Family::Hybrid => false,
        Family::Linear => lags.is_some(),
        Family::Ngrc => taps.is_some() || order.is_some(),
        Family::Echo => units.is_some() || density.is_some() || topology.is_some(),
        Family::Spiking => neurons.is_some() || encoding.is_some() || wiring.is_some(),
        Family::Quantum => {
            qubits.is_some() || reservoirs.is_some() || substeps.is_some() || dissipation.is_some()
        }
    }
}
