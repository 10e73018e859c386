//! Filling gaps: linear interpolation up to a limit, because a long invented stretch would be learned as fact.

/// The longest run of missing cells that is filled. Longer runs are refused: half a day of half-hourly data
/// can be bridged by a line, a lost week cannot.
pub(super) const RUN_MAX: usize = 24;

/// The result of filling one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filled {
    /// How many cells were filled.
    Cells(usize),
    /// A run of `length` missing cells begins at `row` (0-based) and is too long to fill.
    RunTooLong {
        /// First missing row, 0-based.
        row: usize,
        /// Missing cells in a row.
        length: usize,
    },
}

/// Replaces `None` by a line between its neighbours, or by the only neighbour at an end.
pub(super) fn fill(cells: &mut [Option<f64>]) -> Filled {
    let mut filled = 0;
    let mut row = 0;
    while row < cells.len() {
        if cells[row].is_some() {
            row += 1;
            continue;
        }
        let end = (row..cells.len()).find(|&r| cells[r].is_some()).unwrap_or(cells.len());
        let length = end - row;
        let before = row.checked_sub(1).and_then(|r| cells[r]);
        let after = cells.get(end).copied().flatten();
        let (from, to) = match (before, after) {
            _ if length > RUN_MAX => return Filled::RunTooLong { row, length },
            (Some(a), Some(b)) => (a, b),
            (Some(a), None) => (a, a),
            (None, Some(b)) => (b, b),
            (None, None) => return Filled::RunTooLong { row, length },
        };
        for (step, cell) in cells[row..end].iter_mut().enumerate() {
            let share = (step + 1) as f64 / (length + 1) as f64;
            *cell = Some(from * (1.0 - share) + to * share);
        }
        filled += length;
        row = end;
    }
    Filled::Cells(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cells: &[Option<f64>], wanted: &Filled, values: &[f64]) {
        let mut cells = cells.to_vec();
        assert_eq!(&fill(&mut cells), wanted);
        if let Filled::Cells(_) = wanted {
            assert_eq!(cells, values.iter().copied().map(Some).collect::<Vec<_>>());
        }
    }

    #[test]
    fn gaps_are_bridged_by_a_line_and_ends_by_their_neighbour() {
        check(&[Some(1.0), None, None, Some(4.0)], &Filled::Cells(2), &[1.0, 2.0, 3.0, 4.0]);
        check(&[None, Some(2.0), None], &Filled::Cells(2), &[2.0, 2.0, 2.0]);
        check(&[Some(1.0)], &Filled::Cells(0), &[1.0]);
    }

    #[test]
    fn long_and_endless_gaps_are_refused_with_their_first_row() {
        let mut long = vec![Some(1.0)];
        long.extend(vec![None; RUN_MAX + 1]);
        long.push(Some(2.0));
        check(&long, &Filled::RunTooLong { row: 1, length: RUN_MAX + 1 }, &[]);
        check(&[None, None], &Filled::RunTooLong { row: 0, length: 2 }, &[]);
    }
}
