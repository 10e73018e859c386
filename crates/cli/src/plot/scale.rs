//! Axes: from data to positions, and ticks at numbers that people would choose.

/// A linear map from data to positions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Maps [`low`, `high`] onto [`from`, `to`]; equal ends are widened so that a constant stands in the middle.
    pub(super) fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let pad = if high > low { 0.0 } else { low.abs().max(1.0) * 0.5 };
        Self { low: low - pad, high: high + pad, from, to }
    }

    pub(super) fn position(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// The ends of the data.
    pub(super) fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// About `wanted` ticks at multiples of 1, 2 or 5 times a power of ten.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<f64> {
        let raw = (self.high - self.low) / wanted.max(1) as f64;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= raw * 0.999);
        let step = step.unwrap_or(raw);
        let first = (self.low / step).ceil() as i64;
        (first..)
            .map(|k| k as f64 * step)
            .take_while(|tick| *tick <= self.high + step * 1e-9)
            .take(50)
            .collect()
    }
}

/// At most `most` of the rows on an axis, with their times. Rows with the shortest labels are taken: the starts of days
/// where the axis spans days.
pub(super) fn time_ticks(times: &[String], axis: &Scale, most: usize) -> Vec<(usize, String)> {
    let (first, last) = axis.ends();
    let shown = (first.ceil().max(0.0) as usize..=last as usize)
        .filter(|&row| times.get(row).is_some_and(|time| !time.is_empty()));
    let shortest = shown.clone().map(|row| times[row].len()).min().unwrap_or(0);
    let round: Vec<usize> = shown.clone().filter(|&row| times[row].len() == shortest).collect();
    let rows = if round.len() >= 3 { round } else { shown.collect() };
    let every = rows.len().div_ceil(most).max(1);
    rows.into_iter().step_by(every).map(|row| (row, times[row].clone())).collect()
}

/// A tick's label: thousands as k, millions as M, no needless zeros, tiny numbers by their power of ten.
pub(super) fn label(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v > 0.0 && v < 1e-3 => return format!("{value:.1e}").replace(".0e", "e"),
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{}{unit}", if text == "-0" { "0" } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::new((0.0, 32_000.0), (0.0, 1.0));
        assert_eq!(scale.ticks(6), [0.0, 10_000.0, 20_000.0, 30_000.0]);
        assert_eq!(Scale::new((5.0, 5.0), (0.0, 10.0)).position(5.0), 5.0);
        assert!(Scale::new((-0.013, 0.027), (0.0, 1.0)).ticks(5).contains(&0.0));
    }

    #[test]
    fn labels_are_short() {
        for (value, wanted) in
            [(0.0, "0"), (0.25, "0.25"), (2e-5, "2e-5"), (9000.0, "9000"), (12_500.0, "12.5k"), (-3e6, "-3M")]
        {
            assert_eq!(label(value), wanted);
        }
    }
}
