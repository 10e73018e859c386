//! Labelled series, and what may be wrong with a file of them.
//!
//! Every fault of the file is found while it is read ([`super::read`]), with its row and column. What training needs
//! beyond that (several classes, two cases of each) is checked when it begins, so that a file of one class can still be
//! scored.

use spinwell_core::Code;

/// No series is shorter: two changes are the least that has a shape.
pub(crate) const ROWS_MIN: usize = 3;

/// The names of the columns that are not channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseColumns {
    /// The label of a series, any text.
    pub label: String,
    /// Optional: `train` or `test`.
    pub split: String,
    /// Which series a row belongs to, in the long layout.
    pub case: String,
    /// When a row was observed, in the long layout: a time or a number.
    pub time: String,
}

impl Default for CaseColumns {
    fn default() -> Self {
        let [label, split, case, time] = ["label", "split", "case", "t"].map(str::to_owned);
        Self { label, split, case, time }
    }
}

/// What a case is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Training reads it.
    Train,
    /// Training does not read it.
    Test,
}

/// One labelled series.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its label's place in [`Cases::labels`].
    pub label: usize,
    /// What it is for.
    pub split: Split,
    /// Its values, row after row, each with one value per channel, all finite.
    pub values: Vec<f64>,
    /// Its first data row in the file, from 1.
    pub row: usize,
}

/// Labelled series with the same channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Cases {
    /// Names of the channels, in the file's order.
    pub channels: Vec<String>,
    /// The labels: those of training cases in order (of their values where all are numbers, otherwise of their
    /// letters), then those that only test cases have.
    pub labels: Vec<String>,
    /// How many of the labels training cases have.
    pub known: usize,
    /// The column that labels were read from, for messages.
    pub label_column: String,
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
}

impl Cases {
    /// The cases of one split.
    pub fn of(&self, split: Split) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(move |case| case.split == split)
    }

    /// Rows of a case.
    #[must_use]
    pub fn rows(&self, case: &Case) -> usize {
        case.values.len() / self.channels.len()
    }

    /// Whether a classifier can be learned: at least two classes, with at least two training cases each.
    ///
    /// # Errors
    /// What is missing.
    pub fn check_trainable(&self) -> Result<(), Error> {
        let column = || self.label_column.clone();
        match &self.labels[..self.known] {
            [] => return Err(Error::NothingToTrain),
            [label] => return Err(Error::OneClass { column: column(), label: label.clone() }),
            _ => {}
        }
        for (index, label) in self.labels[..self.known].iter().enumerate() {
            let mut cases = self.of(Split::Train).filter(|case| case.label == index);
            if let (Some(case), None) = (cases.next(), cases.next()) {
                return Err(Error::LoneCase { row: case.row, column: column(), label: label.clone() });
            }
        }
        Ok(())
    }
}

/// What is wrong with the file. Rows are 1-based and count data rows; lines count the header too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not CSV, a row has another number of cells than the header, or the text is not UTF-8.
    #[error("line {line}: {what}")]
    Malformed {
        /// Line of the file, the header being 1.
        line: u64,
        /// What is wrong there.
        what: String,
    },
    /// There is no header or no row below it.
    #[error("the file has no header row with rows of data below it")]
    Empty,
    /// A column is missing.
    #[error("there is no column {name:?}; the file has {present}")]
    UnknownColumn {
        /// The name looked for.
        name: String,
        /// The header's names.
        present: String,
    },
    /// The header has a name twice.
    #[error("column {name:?} stands twice in the header; rename one of them")]
    AmbiguousColumn {
        /// The name.
        name: String,
    },
    /// No column is left for values.
    #[error("no column holds values: {layout}")]
    NoValues {
        /// What the layout wants.
        layout: &'static str,
    },
    /// One of the two columns that make a file a long one is there, and the other is not.
    #[error(
        "the file has {present:?} but not {missing:?}: a long file (one row a time step) has both columns, a wide one (one row a series) neither"
    )]
    HalfLong {
        /// The column that is there.
        present: String,
        /// The column that is not.
        missing: String,
    },
    /// The time steps of a wide file are out of order.
    #[error("column {after:?} stands before column {before:?}; put time steps in order")]
    ColumnOrder {
        /// The column of the later time.
        after: String,
        /// The column of the earlier time.
        before: String,
    },
    /// A cell is not a finite number.
    #[error("row {row}, column {column:?}: {cell:?} is not a finite number")]
    Cell {
        /// Data row, from 1.
        row: usize,
        /// Column name.
        column: String,
        /// The cell's text, shortened.
        cell: String,
    },
    /// A cell is empty inside a series.
    #[error(
        "row {row}, column {column:?}: the value is missing; only cells after the end of a series may be empty"
    )]
    Missing {
        /// Data row, from 1.
        row: usize,
        /// Column name.
        column: String,
    },
    /// A label, case or split cell cannot be taken.
    #[error("row {row}, column {column:?}: {what}")]
    Word {
        /// Data row, from 1.
        row: usize,
        /// Column name.
        column: String,
        /// What is wrong with it.
        what: String,
    },
    /// A time cell could not be read, or is of another kind than the case's first.
    #[error("row {row}, column {column:?}: {cell:?} is not a time or number like those above it")]
    Time {
        /// Data row, from 1.
        row: usize,
        /// Column name.
        column: String,
        /// The cell's text, shortened.
        cell: String,
    },
    /// Two rows of a case have the same time.
    #[error("rows {first} and {second}, column {column:?}: time {time} occurs twice in case {case:?}")]
    DuplicateTime {
        /// Data row of the first occurrence, from 1.
        first: usize,
        /// Data row of the second occurrence, from 1.
        second: usize,
        /// Column name.
        column: String,
        /// The time.
        time: String,
        /// The case.
        case: String,
    },
    /// A series has too few values.
    #[error("row {row}: the series has {rows} rows; at least {ROWS_MIN} are needed")]
    TooShort {
        /// Data row where it begins, from 1.
        row: usize,
        /// Its length.
        rows: usize,
    },
    /// No case is for training.
    #[error("no case is for training: no row of the split column says \"train\"")]
    NothingToTrain,
    /// Every training case has the same label.
    #[error("column {column:?}: every training case has label {label:?}; at least two classes are needed")]
    OneClass {
        /// The label column.
        column: String,
        /// The only label.
        label: String,
    },
    /// A class has one training case, so that nothing is left to learn it from when it is left out.
    #[error(
        "row {row}, column {column:?}: label {label:?} has one training case; add another or leave it out"
    )]
    LoneCase {
        /// Data row where that case begins, from 1.
        row: usize,
        /// The label column.
        column: String,
        /// The label.
        label: String,
    },
}

impl Error {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::Malformed { .. } | Error::Empty => Code::CsvMalformed,
            Error::UnknownColumn { .. }
            | Error::AmbiguousColumn { .. }
            | Error::NoValues { .. }
            | Error::HalfLong { .. }
            | Error::ColumnOrder { .. } => Code::CsvColumn,
            Error::Cell { .. } | Error::Word { .. } => Code::CsvCell,
            Error::Missing { .. } => Code::CsvMissing,
            Error::Time { .. } | Error::DuplicateTime { .. } => Code::CsvTime,
            Error::TooShort { .. } | Error::NothingToTrain | Error::LoneCase { .. } => Code::SeriesTooShort,
            Error::OneClass { .. } => Code::SeriesConstant,
        }
    }
}
