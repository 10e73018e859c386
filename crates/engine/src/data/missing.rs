//! Gaps: a missing cell holds the value before it, because that is all that was known at its time.
//!
//! A line drawn to the next value would look better and would lie: the model would be shown the future, in training
//! and in every score. Filled cells are marked, so that they are never a truth to learn or to score. Gaps are bridged
//! up to a limit; a long invented stretch would be learned as fact.

/// The longest run of missing cells that is filled. Longer runs are refused: half a day of half-hourly data can be
/// bridged, a lost week cannot.
pub(super) const RUN_MAX: usize = 24;

/// A column without gaps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Complete {
    /// One value a row.
    pub(super) values: Vec<f64>,
    /// Which rows were filled; empty where none was.
    pub(super) missing: Vec<bool>,
}

/// A run of `length` missing cells begins at `row` (0-based) and is too long to fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunTooLong {
    pub(super) row: usize,
    pub(super) length: usize,
}

/// Carries the last known value into each gap; a gap at the start takes the first known value.
pub(super) fn fill(cells: &[Option<f64>]) -> Result<Complete, RunTooLong> {
    let first_known = cells.iter().copied().flatten().next();
    let Some(mut last) = first_known else { return Err(RunTooLong { row: 0, length: cells.len() }) };
    let mut run = 0;
    let mut values = Vec::with_capacity(cells.len());
    for (row, cell) in cells.iter().enumerate() {
        run = if cell.is_some() { 0 } else { run + 1 };
        if run > RUN_MAX {
            let start = row + 1 - run;
            let length = cells[start..].iter().take_while(|cell| cell.is_none()).count();
            return Err(RunTooLong { row: start, length });
        }
        last = cell.unwrap_or(last);
        values.push(last);
    }
    let any = cells.iter().any(Option::is_none);
    let missing = if any { cells.iter().map(Option::is_none).collect() } else { Vec::new() };
    Ok(Complete { values, missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cells: &[Option<f64>], values: &[f64], missing: &[usize]) {
        let complete = fill(cells).unwrap();
        assert_eq!(complete.values, values);
        let marked: Vec<usize> = (0..complete.missing.len()).filter(|&row| complete.missing[row]).collect();
        assert_eq!(marked, missing);
    }

    #[test]
    fn gaps_hold_what_was_known_and_are_marked() {
        check(&[Some(1.0), None, None, Some(4.0)], &[1.0, 1.0, 1.0, 4.0], &[1, 2]);
        check(&[None, Some(2.0), None], &[2.0, 2.0, 2.0], &[0, 2]);
        check(&[Some(1.0)], &[1.0], &[]);
    }

    #[test]
    fn long_and_endless_gaps_are_refused_with_their_first_row() {
        let mut long = vec![Some(1.0)];
        long.extend(vec![None; RUN_MAX + 5]);
        long.push(Some(2.0));
        assert_eq!(fill(&long), Err(RunTooLong { row: 1, length: RUN_MAX + 5 }));
        assert_eq!(fill(&[None, None]), Err(RunTooLong { row: 0, length: 2 }));
    }
}
