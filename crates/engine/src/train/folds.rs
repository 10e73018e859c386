//! Which rows fit, which rows choose.

/// Forward folds: cut points c₀ < c₁ < … < cₖ. Fold i is fitted on rows before cᵢ and scored on targets in
/// [cᵢ, cᵢ₊₁); the final fit uses rows before [`Folds::fit_end`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    cuts: Vec<usize>,
    fit_end: usize,
}

/// Where an origin belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Origin and targets lie in the same stretch: 0 is the first fit, i ≥ 1 the validation of fold i − 1.
    Inside(usize),
    /// The targets cross cut number i − 1: fits that end later may use it, no fold is scored on it.
    Across(usize),
    /// The targets reach beyond the last cut, or across several.
    Beyond,
}

impl Part {
    /// The stretch that the targets end in, if there is one.
    pub(crate) fn stretch(self) -> Option<usize> {
        match self {
            Part::Inside(stretch) | Part::Across(stretch) => Some(stretch),
            Part::Beyond => None,
        }
    }
}

impl Folds {
    /// Three folds inside the first `rows` rows, fitted on 55, 70 and 85 % of them; the final fit uses them all.
    #[must_use]
    pub fn inside(rows: usize) -> Self {
        let cuts = [55, 70, 85, 100].iter().map(|percent| rows * percent / 100).collect();
        Self { cuts, fit_end: rows }
    }

    /// Fit on rows before `fit_end`, choose on [`fit_end`, `choose_end`), and stay with that fit.
    #[must_use]
    pub fn once(fit_end: usize, choose_end: usize) -> Self {
        Self { cuts: vec![fit_end, choose_end], fit_end }
    }

    /// The first row that no fit reads.
    #[must_use]
    pub fn fit_end(&self) -> usize {
        self.fit_end
    }

    /// The first row that is not read at all.
    #[must_use]
    pub fn choose_end(&self) -> usize {
        self.cuts[self.cuts.len() - 1]
    }

    /// The first row that no first fold reads.
    pub(crate) fn first_cut(&self) -> usize {
        self.cuts[0]
    }

    /// Number of folds.
    pub(crate) fn count(&self) -> usize {
        self.cuts.len() - 1
    }

    /// Whether the last stretches also enter the final fit.
    pub(crate) fn refits(&self) -> bool {
        self.fit_end == self.choose_end()
    }

    /// Whether the rows exist and every stretch has room for an origin and its targets.
    pub(crate) fn suit(&self, rows: usize, horizon: usize) -> bool {
        self.choose_end() <= rows
            && self.cuts[0] > horizon + 3
            && self.cuts.windows(2).all(|pair| pair[1] >= pair[0] + horizon)
    }

    /// The stretch that `row` lies in: 0 before the first cut. Fold i may know stretches 0 to i.
    pub(crate) fn stretch(&self, row: usize) -> usize {
        self.cuts.partition_point(|&cut| cut <= row).min(self.count())
    }

    /// Where the origin `row` (the last known row) with targets up to `row + horizon` belongs.
    pub(crate) fn part(&self, row: usize, horizon: usize) -> Part {
        let first = self.cuts.partition_point(|&cut| cut <= row + 1);
        let last = self.cuts.partition_point(|&cut| cut <= row + horizon);
        match (first, last) {
            (_, last) if last == self.cuts.len() => Part::Beyond,
            (first, last) if first == last => Part::Inside(first),
            (first, last) if first + 1 == last => Part::Across(last),
            _ => Part::Beyond,
        }
    }
}

/// Rows that certainly suffice for three folds: every validation stretch (15 %) holds the horizon, and the first
/// fit (55 %) holds the season, the horizon and ten origins.
pub(super) fn rows_needed(horizon: usize, season: usize) -> usize {
    let season = if season > 1 { season } else { 0 };
    (horizon * 100).div_ceil(15).max(((season + horizon + 14) * 100).div_ceil(55)) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fit_sees_a_target_that_its_fold_is_scored_on() {
        let (folds, horizon) = (Folds::inside(100), 5);
        for row in 0..100 {
            match folds.part(row, horizon) {
                Part::Inside(0) => assert!(row + horizon < 55),
                Part::Inside(stretch) => {
                    let (from, to) = (folds.cuts[stretch - 1], folds.cuts[stretch]);
                    assert!(row + 1 >= from && row + horizon < to, "{row} in {stretch}");
                }
                Part::Across(cut) => {
                    let cut = folds.cuts[cut - 1];
                    assert!(row + 1 < cut && row + horizon >= cut, "{row} across {cut}");
                }
                Part::Beyond => assert!(row + horizon >= 100),
            }
        }
        assert!(folds.refits() && folds.count() == 3);
    }

    #[test]
    fn a_separate_choice_keeps_the_fit() {
        let folds = Folds::once(60, 80);
        assert_eq!((folds.fit_end(), folds.choose_end(), folds.refits(), folds.count()), (60, 80, false, 1));
        assert_eq!(folds.part(59, 1), Part::Inside(1));
        assert_eq!(folds.part(58, 1), Part::Inside(0));
        assert_eq!(folds.part(79, 1), Part::Beyond);
    }

    #[test]
    fn the_rows_said_to_be_needed_do_suit() {
        for (horizon, season) in [(1, 1), (48, 336), (96, 24), (7, 52)] {
            let rows = rows_needed(horizon, season);
            assert!(Folds::inside(rows).suit(rows, horizon), "{horizon} {season}");
        }
        assert!(!Folds::inside(10).suit(10, 5));
        assert!(!Folds::inside(100).suit(90, 5));
    }
}
