//! Reading a CSV file: header row, one row a time step, the columns that were asked for and no others.

use super::{Moment, Table, missing, time};
use spinwell_core::Code;
use std::io::Read;

/// Which columns to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Columns of numbers, in the order wanted.
    pub values: Vec<String>,
    /// The column of times: rows are ordered by it and its spacing is checked.
    pub time: Option<String>,
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
    /// A column was asked for that is not in the header.
    #[error("there is no column {name:?}; the file has {present}")]
    UnknownColumn {
        /// The name asked for.
        name: String,
        /// The header's names.
        present: String,
    },
    /// The header has a name twice and it was asked for.
    #[error("column {name:?} stands twice in the header; rename one of them")]
    AmbiguousColumn {
        /// The name that stands twice.
        name: String,
    },
    /// A cell is not a finite number.
    #[error(
        "row {row}, column {column:?}: {cell:?} is not a finite number; leave the cell empty if the value is unknown"
    )]
    Cell {
        /// Data row, from 1.
        row: usize,
        /// Column name.
        column: String,
        /// The cell's text, shortened.
        cell: String,
    },
    /// A cell that marks a row says neither yes nor no.
    #[error("row {row}, column {column:?}: {cell:?} is no mark; use a number (0 for none), true or false")]
    Mark {
        /// Data row, from 1.
        row: usize,
        /// Column name.
        column: String,
        /// The cell's text, shortened.
        cell: String,
    },
    /// Too many consecutive cells are missing.
    #[error("rows {row} to {last}, column {column:?}: {length} cells in a row are missing; at most {limit} are bridged", last = row + length - 1, limit = missing::RUN_MAX)]
    Missing {
        /// First missing data row, from 1.
        row: usize,
        /// Column name.
        column: String,
        /// How many in a row.
        length: usize,
    },
    /// A time cell could not be read.
    #[error(
        "row {row}, column {column:?}: {cell:?} is not a time; use ISO 8601, YYYY-MM, YYYY-MM-DD HH:MM[:SS] or a number"
    )]
    Time {
        /// Data row, from 1.
        row: usize,
        /// Column name.
        column: String,
        /// The cell's text, shortened.
        cell: String,
    },
    /// Two rows have the same time.
    #[error("rows {first} and {second}, column {column:?}: time {time} occurs twice")]
    DuplicateTime {
        /// Data row of the first occurrence, from 1.
        first: usize,
        /// Data row of the second occurrence, from 1.
        second: usize,
        /// Column name.
        column: String,
        /// The time.
        time: String,
    },
}

impl Error {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::Malformed { .. } | Error::Empty => Code::CsvMalformed,
            Error::UnknownColumn { .. } | Error::AmbiguousColumn { .. } => Code::CsvColumn,
            Error::Cell { .. } | Error::Mark { .. } => Code::CsvCell,
            Error::Missing { .. } => Code::CsvMissing,
            Error::Time { .. } | Error::DuplicateTime { .. } => Code::CsvTime,
        }
    }
}

/// Cells that mean "not known".
fn is_missing(cell: &str) -> bool {
    cell.is_empty()
        || ["na", "n/a", "nan", "null", "none", "?"].iter().any(|word| cell.eq_ignore_ascii_case(word))
}

fn shortened(cell: &str) -> String {
    cell.chars().take(40).collect()
}

/// Reads the wanted columns of a CSV file with a header row.
///
/// # Errors
/// The first fault of the file, with its row and column.
pub fn read_csv(input: impl Read, wanted: &Columns) -> Result<Table, Error> {
    read(input, wanted, None).map(|(table, _)| table)
}

/// The same with a column of marks, one for each row of the table: a number other than 0 or `true` marks a row; 0,
/// `false` and an empty cell do not.
///
/// # Errors
/// As [`read_csv`], and where a mark is none of these.
pub fn read_marked_csv(input: impl Read, wanted: &Columns, marks: &str) -> Result<(Table, Vec<bool>), Error> {
    read(input, wanted, Some(marks))
}

/// The table, and the marks of its rows where they are wanted.
fn read(mut input: impl Read, wanted: &Columns, marks: Option<&str>) -> Result<(Table, Vec<bool>), Error> {
    let mut bytes = Vec::new();
    let unreadable =
        |error: std::io::Error| Error::Malformed { line: 1, what: format!("reading failed: {error}") };
    input.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.trim_ascii().is_empty() {
        return Err(Error::Empty);
    }
    let bytes = with_blank_rows(bytes);
    let mut reader = ::csv::ReaderBuilder::new().trim(::csv::Trim::All).from_reader(&bytes[..]);
    let malformed = |error: &::csv::Error| Error::Malformed {
        line: error.position().map_or(1, ::csv::Position::line),
        what: describe(error),
    };
    let header = reader.headers().map_err(|e| malformed(&e))?.clone();
    let indices: Vec<usize> =
        wanted.values.iter().map(|name| locate(&header, name)).collect::<Result<_, _>>()?;
    let time_index = wanted.time.as_deref().map(|name| locate(&header, name)).transpose()?;
    let marks_index = marks.map(|name| locate(&header, name)).transpose()?;

    let mut cells: Vec<Vec<Option<f64>>> = vec![Vec::new(); indices.len()];
    let (mut times, mut marked) = (Vec::new(), Vec::new());
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|e| malformed(&e))?;
        for (column, &index) in indices.iter().enumerate() {
            cells[column].push(number(&record[index], row, &header[index])?);
        }
        if let Some(index) = time_index {
            let cell = &record[index];
            let moment = Moment::parse(cell).ok_or_else(|| Error::Time {
                row: row + 1,
                column: header[index].to_owned(),
                cell: shortened(cell),
            })?;
            times.push(moment);
        }
        if let Some(index) = marks_index {
            marked.push(mark(&record[index], row, &header[index])?);
        }
    }
    if cells.first().is_none_or(Vec::is_empty) {
        return Err(Error::Empty);
    }
    let mut notes = Vec::new();
    let mut order: Vec<usize> = (0..cells[0].len()).collect();
    if let Some(name) = &wanted.time {
        order = order_by_time(&times, name, &mut notes)?;
        times = order.iter().map(|&row| times[row]).collect();
        marked = order.iter().filter_map(|&row| marked.get(row).copied()).collect();
    }
    let complete = |(name, cells): (&String, Vec<Option<f64>>)| complete(name, &cells, &order, &mut notes);
    let complete: Vec<missing::Complete> =
        wanted.values.iter().zip(cells).map(complete).collect::<Result<_, _>>()?;
    let (columns, missing) = complete.into_iter().map(|column| (column.values, column.missing)).unzip();
    let times = time_index.map(|_| times);
    Ok((Table { names: wanted.values.clone(), columns, missing, times, notes }, marked))
}

/// The bytes with every blank line between rows written as an empty cell: in a file of one column a blank line is a
/// missing value, but CSV readers skip it. Files of several columns come back as they are.
fn with_blank_rows(bytes: Vec<u8>) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let is_blank = |line: &[u8]| line.trim_ascii().is_empty();
    while lines.last().is_some_and(|line| is_blank(line)) {
        lines.pop();
    }
    let one_column = lines.first().is_some_and(|head| !is_blank(head) && !head.contains(&b','));
    if !one_column || !lines.iter().any(|line| is_blank(line)) {
        return bytes;
    }
    lines
        .into_iter()
        .map(|line| if is_blank(line) { b"\"\"".as_slice() } else { line })
        .collect::<Vec<_>>()
        .join(&b'\n')
}

fn describe(error: &::csv::Error) -> String {
    match error.kind() {
        ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} cells, the header has {expected_len}")
        }
        ::csv::ErrorKind::Utf8 { .. } => "the text is not UTF-8".to_owned(),
        ::csv::ErrorKind::Io(error) => format!("reading failed: {error}"),
        _ => "not readable as CSV".to_owned(),
    }
}

fn locate(header: &::csv::StringRecord, name: &str) -> Result<usize, Error> {
    let mut found = header.iter().enumerate().filter(|(_, title)| *title == name).map(|(index, _)| index);
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        (Some(_), Some(_)) => Err(Error::AmbiguousColumn { name: name.to_owned() }),
        (None, _) => Err(Error::UnknownColumn {
            name: name.to_owned(),
            present: header.iter().take(30).map(|title| format!("{title:?}")).collect::<Vec<_>>().join(", "),
        }),
    }
}

fn number(cell: &str, row: usize, column: &str) -> Result<Option<f64>, Error> {
    if is_missing(cell) {
        return Ok(None);
    }
    match cell.parse::<f64>() {
        // Half the largest finite number keeps differences and sums of two cells finite.
        Ok(value) if value.abs() <= f64::MAX / 2.0 => Ok(Some(value)),
        _ => Err(Error::Cell { row: row + 1, column: column.to_owned(), cell: shortened(cell) }),
    }
}

/// Whether a cell marks its row.
fn mark(cell: &str, row: usize, column: &str) -> Result<bool, Error> {
    if is_missing(cell) || cell.eq_ignore_ascii_case("false") {
        return Ok(false);
    }
    if cell.eq_ignore_ascii_case("true") {
        return Ok(true);
    }
    let number = cell.parse().ok().filter(|number: &f64| number.is_finite());
    let wrong = || Error::Mark { row: row + 1, column: column.to_owned(), cell: shortened(cell) };
    number.map(|number| number != 0.0).ok_or_else(wrong)
}

/// The order of rows by time. Duplicates are an error; disorder and uneven spacing are noted.
fn order_by_time(times: &[Moment], column: &str, notes: &mut Vec<String>) -> Result<Vec<usize>, Error> {
    let kind = std::mem::discriminant::<Moment>;
    if let Some(mixed) = times.iter().position(|time| kind(time) != kind(&times[0])) {
        return Err(Error::Time {
            row: mixed + 1,
            column: column.to_owned(),
            cell: times[mixed].to_string(),
        });
    }
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by(|&a, &b| {
        times[a].partial_cmp(&times[b]).unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(&b))
    });
    if let Some(pair) = order.windows(2).find(|pair| times[pair[0]] == times[pair[1]]) {
        return Err(Error::DuplicateTime {
            first: pair[0] + 1,
            second: pair[1] + 1,
            column: column.to_owned(),
            time: times[pair[0]].to_string(),
        });
    }
    if order.windows(2).any(|pair| pair[0] > pair[1]) {
        notes.push(format!("rows were not in the order of {column:?}: they have been sorted by it"));
    }
    let ordered: Vec<Moment> = order.iter().map(|&row| times[row]).collect();
    if let Some((spacing, uneven)) = time::spacing(&ordered)
        && let Some(&first) = uneven.first()
    {
        notes.push(format!(
            "times are not equally spaced: the usual step is {spacing}, {} steps differ, the first between {} (row {}) \
             and {} (row {}); rows are taken as consecutive steps",
            uneven.len(),
            ordered[first - 1],
            order[first - 1] + 1,
            ordered[first],
            order[first] + 1,
        ));
    }
    Ok(order)
}

fn complete(
    name: &str,
    cells: &[Option<f64>],
    order: &[usize],
    notes: &mut Vec<String>,
) -> Result<missing::Complete, Error> {
    let cells: Vec<Option<f64>> = order.iter().map(|&row| cells[row]).collect();
    let complete = missing::fill(&cells).map_err(|run| Error::Missing {
        row: order[run.row] + 1,
        column: name.to_owned(),
        length: run.length,
    })?;
    let count = complete.missing.iter().filter(|&&missing| missing).count();
    if count > 0 {
        notes.push(format!(
            "column {name:?}: {count} missing cells hold the value before them; they are neither learned nor scored"
        ));
    }
    Ok(complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, values: &[&str], time: Option<&str>) -> Result<Table, Error> {
        let values = values.iter().map(|&name| name.to_owned()).collect();
        read_csv(text.as_bytes(), &Columns { values, time: time.map(str::to_owned) })
    }

    #[test]
    fn only_the_wanted_columns_are_read_in_the_wanted_order() {
        let table = read("a,b,c\n1,x,3\n4,y,6\n", &["c", "a"], None).unwrap();
        assert_eq!(table.columns, [[3.0, 6.0], [1.0, 4.0]]);
        assert!(table.notes.is_empty());
    }

    #[test]
    fn rows_are_ordered_by_time_and_gaps_are_filled_in_that_order_and_said_aloud() {
        let table = read("t,v\n2020-01-03,3\n2020-01-01,1\n2020-01-02,\n", &["v"], Some("t")).unwrap();
        assert_eq!(table.columns, [[1.0, 1.0, 3.0]]);
        assert_eq!(table.notes.len(), 2, "{:?}", table.notes);
        assert!(table.is_missing(0, 1) && !table.is_missing(0, 2));
    }

    #[test]
    fn a_blank_line_in_a_file_of_one_column_is_a_missing_value_and_one_at_the_end_is_nothing() {
        let table = read("v\n1\n\n3\r\n\r\n5\n\n\n", &["v"], None).unwrap();
        assert_eq!(table.columns, [[1.0, 1.0, 3.0, 3.0, 5.0]]);
        assert!(table.notes[0].contains("2 missing cells"), "{:?}", table.notes);
        assert_eq!(read("v,w\n1,2\n\n3,4\n", &["v"], None).unwrap().columns, [[1.0, 3.0]]);
    }

    #[test]
    fn marks_follow_their_rows_and_are_numbers_or_truths() {
        let columns = Columns { values: vec!["v".to_owned()], time: Some("t".to_owned()) };
        let read = |text: &str| read_marked_csv(text.as_bytes(), &columns, "m");
        let (table, marked) = read("t,v,m\n3,3,TRUE\n1,1,0\n2,2,0.5\n4,4,\n5,5,false\n6,6,-1\n").unwrap();
        assert_eq!(table.columns, [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]);
        assert_eq!(marked, [false, true, true, false, false, true]);
        let error = read("t,v,m\n1,1,0\n2,2,maybe\n").unwrap_err();
        assert_eq!(error.code(), Code::CsvCell);
        assert!(error.to_string().starts_with(r#"row 2, column "m": "maybe" is no mark"#), "{error}");
        assert_eq!(read("t,v\n1,1\n").unwrap_err().code(), Code::CsvColumn);
    }

    #[test]
    fn uneven_times_are_said_aloud() {
        let table = read("t,v\n1,1\n2,2\n3,3\n7,4\n", &["v"], Some("t")).unwrap();
        assert!(table.notes[0].contains("the first between 3 (row 3) and 7 (row 4)"), "{:?}", table.notes);
    }

    #[test]
    fn every_fault_names_its_row_and_column() {
        for (text, time, code, message) in [
            ("v\n1\nx\n", None, Code::CsvCell, r#"row 2, column "v": "x" is not a finite number"#),
            ("v\n1\n1e999\n", None, Code::CsvCell, r#"row 2, column "v": "1e999""#),
            ("v\n1\ninf\n", None, Code::CsvCell, "row 2"),
            ("w\n1\n", None, Code::CsvColumn, r#"there is no column "v"; the file has "w""#),
            ("v,v\n1,2\n", None, Code::CsvColumn, "stands twice"),
            ("v,w\n1,2\n3\n", None, Code::CsvMalformed, "line 3: the row has 1 cells, the header has 2"),
            ("v\n", None, Code::CsvMalformed, "no header row with rows"),
            ("", None, Code::CsvMalformed, "no header row"),
            ("t,v\n1,1\nsoon,2\n", Some("t"), Code::CsvTime, r#"row 2, column "t": "soon" is not a time"#),
            ("t,v\n1,1\n2,2\n1,3\n", Some("t"), Code::CsvTime, "rows 1 and 3"),
            ("t,v\n1,1\n2020-01-01,2\n", Some("t"), Code::CsvTime, "row 2"),
        ] {
            let error = read(text, &["v"], time).unwrap_err();
            assert_eq!(error.code(), code, "{text:?}: {error}");
            assert!(error.to_string().contains(message), "{text:?}: {error}");
        }
        let gap = format!("v\n1\n{}2\n", "NA\n".repeat(25));
        assert!(
            read(&gap, &["v"], None)
                .unwrap_err()
                .to_string()
                .starts_with("rows 2 to 26, column \"v\": 25 cells")
        );
    }
}
