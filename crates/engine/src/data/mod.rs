//! Tables of numbers, as they come from a CSV file.
//!
//! A [`Table`] is complete and finite: every fault of the file is found while it is read, with its row and
//! column, so that nothing later has to look for one. Rows are counted as a person sees them: the header is
//! line 1, the first row of data is row 1 (row 0 of the arrays).

mod csv;
mod missing;
mod time;

pub use csv::{Columns, Error, read_csv, read_marked_csv};
pub use time::{Moment, Spacing};

/// Equally long columns of finite numbers, oldest row first.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The columns' names, in the order they were asked for.
    pub names: Vec<String>,
    /// One vector of values per name.
    pub columns: Vec<Vec<f64>>,
    /// The time of each row, where a time column was named.
    pub times: Option<Vec<Moment>>,
    /// Which cells hold the value before them because the file had none: per column one flag a row, or nothing where
    /// the column was complete. They are inputs like any other, but never a truth to learn or to score.
    pub missing: Vec<Vec<bool>>,
    /// What was done to the file to make it complete: said aloud by the caller.
    pub notes: Vec<String>,
}

impl Table {
    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// The number of columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Whether the file had no value there.
    #[must_use]
    pub fn is_missing(&self, column: usize, row: usize) -> bool {
        self.missing.get(column).and_then(|rows| rows.get(row)).copied().unwrap_or(false)
    }

    /// The usual distance between neighbouring rows, where there are times.
    #[must_use]
    pub fn spacing(&self) -> Option<Spacing> {
        self.times.as_deref().and_then(time::spacing).map(|(spacing, _)| spacing)
    }

    /// A table of the first `rows` rows, or of all where there are no more.
    #[must_use]
    pub fn first_rows(&self, rows: usize) -> Table {
        fn first<T: Clone>(all: &[T], rows: usize) -> Vec<T> {
            all[..rows.min(all.len())].to_vec()
        }
        Table {
            names: self.names.clone(),
            columns: self.columns.iter().map(|column| first(column, rows)).collect(),
            times: self.times.as_ref().map(|times| first(times, rows)),
            missing: self.missing.iter().map(|flags| first(flags, rows)).collect(),
            notes: self.notes.clone(),
        }
    }

    /// Row `row` as one value per column.
    pub fn row_into(&self, row: usize, out: &mut Vec<f64>) {
        out.clear();
        out.extend(self.columns.iter().map(|column| column[row]));
    }
}
