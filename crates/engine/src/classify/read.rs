//! Reading labelled series from a CSV file.
//!
//! Two layouts are told apart by the header. *Long* has the columns `case` and `t`: one row a time step, rows of a
//! case ordered by `t`, every column that is not `case`, `t`, `split` or the label a channel. *Wide* has neither:
//! one row a series, every column that is not `split` or the label one time step, empty cells at the end meaning a
//! shorter series. A file with one of the two is refused: taken as wide, its case or its time would be a value.

use super::cases::{Case, CaseColumns, Cases, Error, ROWS_MIN, Split};
use crate::data::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// Reads labelled series from a CSV file with a header row.
///
/// # Errors
/// The first fault of the file, with its row and column.
pub fn read_cases(mut input: impl Read, columns: &CaseColumns) -> Result<Cases, Error> {
    let mut bytes = Vec::new();
    let unreadable =
        |error: std::io::Error| Error::Malformed { line: 1, what: format!("reading failed: {error}") };
    input.read_to_end(&mut bytes).map_err(unreadable)?;
    let mut reader = ::csv::ReaderBuilder::new().trim(::csv::Trim::All).from_reader(&bytes[..]);
    let header = reader.headers().map_err(|error| malformed(&error))?.clone();
    let layout = Layout::of(&header, columns)?;
    let mut drafts = Drafts::default();
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|error| malformed(&error))?;
        let line = Line { header: &header, record: &record, row: row + 1 };
        if layout.moment.is_some() {
            drafts.take_step(&layout, &line)?;
        } else {
            drafts.take_series(&layout, &line)?;
        }
    }
    if drafts.drafts.is_empty() {
        return Err(Error::Empty);
    }
    drafts.finish(&header, &layout)
}

/// Refuses a file whose column `case` holds more than one case: taken as one series, they would get one label, and
/// nobody would know that it means nothing. What else may be wrong with the file is for its reader to say.
///
/// # Errors
/// [`Error::Word`] in the first row of the second case.
pub fn check_one_case(file: &[u8], case: &str) -> Result<(), Error> {
    let mut reader = ::csv::ReaderBuilder::new().trim(::csv::Trim::All).from_reader(file);
    let place = reader.headers().ok().and_then(|header| header.iter().position(|title| title == case));
    let Some(place) = place else { return Ok(()) };
    let mut first: Option<String> = None;
    for (row, record) in reader.records().flatten().enumerate() {
        let name = record.get(place).unwrap_or_default();
        match &first {
            None => first = Some(name.to_owned()),
            Some(first) if first == name => {}
            Some(first) => {
                let names = [first.as_str(), name].map(|name| name.chars().take(40).collect::<String>());
                let what = format!(
                    "case {:?} ends and {:?} begins; a label is of one series, so keep the rows of one case",
                    names[0], names[1]
                );
                return Err(Error::Word { row: row + 1, column: case.to_owned(), what });
            }
        }
    }
    Ok(())
}

fn malformed(error: &::csv::Error) -> Error {
    let what = match error.kind() {
        ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} cells, the header has {expected_len}")
        }
        ::csv::ErrorKind::Utf8 { .. } => "the text is not UTF-8".to_owned(),
        ::csv::ErrorKind::Io(error) => format!("reading failed: {error}"),
        _ => "not readable as CSV".to_owned(),
    };
    Error::Malformed { line: error.position().map_or(1, ::csv::Position::line), what }
}

/// Where in a row things stand.
struct Layout {
    label: usize,
    split: Option<usize>,
    /// Columns of the case and of the time, in the long layout.
    moment: Option<(usize, usize)>,
    values: Vec<usize>,
}

impl Layout {
    fn of(header: &::csv::StringRecord, columns: &CaseColumns) -> Result<Self, Error> {
        if header.iter().all(str::is_empty) {
            return Err(Error::Empty);
        }
        let mut names = BTreeSet::new();
        if let Some(name) = header.iter().find(|name| !names.insert(*name)) {
            return Err(Error::AmbiguousColumn { name: name.to_owned() });
        }
        let find = |name: &str| header.iter().position(|title| title == name);
        let label = find(&columns.label).ok_or_else(|| Error::UnknownColumn {
            name: columns.label.clone(),
            present: header.iter().take(30).map(|title| format!("{title:?}")).collect::<Vec<_>>().join(", "),
        })?;
        let split = find(&columns.split);
        let moment = match (find(&columns.case), find(&columns.time)) {
            (Some(case), Some(time)) => Some((case, time)),
            (None, None) => None,
            (Some(_), None) => return Err(half_long(columns, &columns.time)),
            (None, Some(_)) => return Err(half_long(columns, &columns.case)),
        };
        let others = [Some(label), split, moment.map(|m| m.0), moment.map(|m| m.1)];
        let values: Vec<usize> = (0..header.len()).filter(|&index| !others.contains(&Some(index))).collect();
        if values.is_empty() {
            let layout = if moment.is_some() {
                "a long file needs a column per channel beside case, t, split and the label"
            } else {
                "a wide file needs a column per time step beside split and the label"
            };
            return Err(Error::NoValues { layout });
        }
        let layout = Self { label, split, moment, values };
        if layout.moment.is_none() {
            layout.check_order(header)?;
        }
        Ok(layout)
    }

    /// Where all time steps are called `t` and a number, the numbers must ascend: shuffled columns would be read
    /// as another series.
    fn check_order(&self, header: &::csv::StringRecord) -> Result<(), Error> {
        let number = |&index: &usize| header[index].strip_prefix('t')?.parse::<u64>().ok();
        let Some(numbers) = self.values.iter().map(number).collect::<Option<Vec<u64>>>() else {
            return Ok(());
        };
        match numbers.windows(2).position(|pair| pair[0] >= pair[1]) {
            None => Ok(()),
            Some(at) => Err(Error::ColumnOrder {
                after: header[self.values[at]].to_owned(),
                before: header[self.values[at + 1]].to_owned(),
            }),
        }
    }
}

fn half_long(columns: &CaseColumns, missing: &str) -> Error {
    let present = if missing == columns.case { &columns.time } else { &columns.case };
    Error::HalfLong { present: present.clone(), missing: missing.to_owned() }
}

/// One row of the file.
struct Line<'l> {
    header: &'l ::csv::StringRecord,
    record: &'l ::csv::StringRecord,
    row: usize,
}

impl Line<'_> {
    fn column(&self, index: usize) -> String {
        self.header[index].to_owned()
    }

    fn shortened(&self, index: usize) -> String {
        self.record[index].chars().take(40).collect()
    }

    fn word(&self, index: usize) -> Result<&str, Error> {
        match &self.record[index] {
            "" => Err(self.wrong(index, "the cell is empty".to_owned())),
            word => Ok(word),
        }
    }

    fn wrong(&self, index: usize, what: String) -> Error {
        Error::Word { row: self.row, column: self.column(index), what }
    }

    fn split(&self, index: Option<usize>) -> Result<Split, Error> {
        let Some(index) = index else { return Ok(Split::Train) };
        let word = self.word(index)?;
        match word {
            _ if word.eq_ignore_ascii_case("train") => Ok(Split::Train),
            _ if word.eq_ignore_ascii_case("test") => Ok(Split::Test),
            _ => Err(self.wrong(index, format!("{:?} is neither train nor test", self.shortened(index)))),
        }
    }

    /// The cell's number; `None` where it is not known.
    fn number(&self, index: usize) -> Result<Option<f64>, Error> {
        let cell = &self.record[index];
        let missing = ["", "na", "n/a", "nan", "null", "none", "?"];
        if missing.iter().any(|word| cell.eq_ignore_ascii_case(word)) {
            return Ok(None);
        }
        match cell.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(Error::Cell { row: self.row, column: self.column(index), cell: self.shortened(index) }),
        }
    }

    fn missing(&self, index: usize) -> Error {
        Error::Missing { row: self.row, column: self.column(index) }
    }
}

/// A series while it is read.
struct Draft {
    label: String,
    split: Split,
    row: usize,
    name: String,
    /// Time, data row and values of each step; times are not used in the wide layout.
    steps: Vec<(Moment, usize, Vec<f64>)>,
}

#[derive(Default)]
struct Drafts {
    drafts: Vec<Draft>,
    /// Places of the long layout's cases.
    places: BTreeMap<String, usize>,
}

impl Drafts {
    fn take_series(&mut self, layout: &Layout, line: &Line<'_>) -> Result<(), Error> {
        let cells: Vec<Option<f64>> =
            layout.values.iter().map(|&index| line.number(index)).collect::<Result<_, _>>()?;
        let rows = cells.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let mut steps = Vec::with_capacity(rows);
        for (place, cell) in cells[..rows].iter().enumerate() {
            let value = cell.ok_or_else(|| line.missing(layout.values[place]))?;
            steps.push((Moment::Number(place as f64), line.row, vec![value]));
        }
        let label = line.word(layout.label)?.to_owned();
        let split = line.split(layout.split)?;
        self.drafts.push(Draft { label, split, row: line.row, name: String::new(), steps });
        Ok(())
    }

    fn take_step(&mut self, layout: &Layout, line: &Line<'_>) -> Result<(), Error> {
        let Some((case, time)) = layout.moment else { return Ok(()) };
        let name = line.word(case)?;
        let label = line.word(layout.label)?;
        let split = line.split(layout.split)?;
        let place = *self.places.entry(name.to_owned()).or_insert(self.drafts.len());
        if place == self.drafts.len() {
            let (label, name) = (label.to_owned(), name.to_owned());
            self.drafts.push(Draft { label, split, row: line.row, name, steps: Vec::new() });
        }
        let draft = &mut self.drafts[place];
        if draft.label != label {
            let what = format!("case {name:?} has label {:?} in row {}", draft.label, draft.row);
            return Err(line.wrong(layout.label, what));
        }
        if draft.split != split {
            let index = layout.split.unwrap_or(layout.label);
            return Err(line.wrong(index, format!("case {name:?} has another split in row {}", draft.row)));
        }
        let kind = std::mem::discriminant::<Moment>;
        let moment = Moment::parse(&line.record[time])
            .filter(|moment| draft.steps.first().is_none_or(|(first, ..)| kind(first) == kind(moment)))
            .ok_or_else(|| Error::Time {
                row: line.row,
                column: line.column(time),
                cell: line.shortened(time),
            })?;
        let value = |&index: &usize| line.number(index)?.ok_or_else(|| line.missing(index));
        let values = layout.values.iter().map(value).collect::<Result<_, _>>()?;
        draft.steps.push((moment, line.row, values));
        Ok(())
    }

    fn finish(mut self, header: &::csv::StringRecord, layout: &Layout) -> Result<Cases, Error> {
        let column = |index: usize| header[index].to_owned();
        for draft in &mut self.drafts {
            let order = std::cmp::Ordering::Equal;
            draft.steps.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(order).then(a.1.cmp(&b.1)));
            if let Some((_, time)) = layout.moment
                && let Some(pair) = draft.steps.windows(2).find(|pair| pair[0].0 == pair[1].0)
            {
                return Err(Error::DuplicateTime {
                    first: pair[0].1,
                    second: pair[1].1,
                    column: column(time),
                    time: pair[0].0.to_string(),
                    case: draft.name.clone(),
                });
            }
            if draft.steps.len() < ROWS_MIN {
                return Err(Error::TooShort { row: draft.row, rows: draft.steps.len() });
            }
        }
        let (labels, known) = self.labels();
        let channels = match layout.moment {
            Some(_) => layout.values.iter().map(|&index| column(index)).collect(),
            None => vec!["value".to_owned()],
        };
        let place = |label: &str| {
            labels.iter().position(|other| other == label).expect("every case's label is in the list")
        };
        let cases = self
            .drafts
            .into_iter()
            .map(|draft| Case {
                label: place(&draft.label),
                split: draft.split,
                values: draft.steps.into_iter().flat_map(|(.., values)| values).collect(),
                row: draft.row,
            })
            .collect();
        Ok(Cases { channels, labels, known, label_column: column(layout.label), cases })
    }

    /// Labels of training cases, then the others, and the number of the former.
    fn labels(&self) -> (Vec<String>, usize) {
        let of = |split: Split| {
            self.drafts.iter().filter(move |draft| draft.split == split).map(|draft| draft.label.clone())
        };
        let train: BTreeSet<String> = of(Split::Train).collect();
        let test: BTreeSet<String> = of(Split::Test).filter(|label| !train.contains(label)).collect();
        let known = train.len();
        (ordered(train).into_iter().chain(ordered(test)).collect(), known)
    }
}

/// By value where all are numbers, otherwise by letters.
fn ordered(labels: BTreeSet<String>) -> Vec<String> {
    let mut labels: Vec<String> = labels.into_iter().collect();
    let number = |label: &String| label.parse::<f64>().ok().filter(|value| value.is_finite());
    if labels.iter().all(|label| number(label).is_some()) {
        // A stable sort: labels of equal value, such as 1 and 1.0, stay in the order of their letters.
        labels.sort_by(|a, b| number(a).unwrap_or(0.0).total_cmp(&number(b).unwrap_or(0.0)));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Code;

    fn read(text: &str) -> Result<Cases, Error> {
        read_cases(text.as_bytes(), &CaseColumns::default())
    }

    #[test]
    fn wide_rows_are_series_and_empty_cells_at_the_end_shorten_them() {
        let cases = read(
            "split,label,t0,t1,t2,t3\ntrain,b,1,2,3,4\ntrain,b,1,2,3,\ntrain,a,5,6,7,NaN\ntrain,a,0,0,1,1\ntest,c,1,1,1,1\n",
        )
        .unwrap();
        assert_eq!(cases.labels, ["a", "b", "c"]);
        assert_eq!((cases.known, cases.channels.len()), (2, 1));
        assert_eq!(cases.cases[1].values, [1.0, 2.0, 3.0]);
        assert_eq!(
            cases.cases[2],
            Case { label: 0, split: Split::Train, values: vec![5.0, 6.0, 7.0], row: 3 }
        );
        assert_eq!(cases.of(Split::Test).count(), 1);
    }

    #[test]
    fn long_rows_are_grouped_by_case_and_ordered_by_time_and_labels_that_are_numbers_by_value() {
        let mut text = "case,label,t,x,y\n".to_owned();
        for (case, label) in [("p", "10"), ("q", "9"), ("r", "10"), ("s", "9")] {
            for t in [2, 0, 1] {
                text += &format!("{case},{label},{t},{t}.5,{}\n", -t);
            }
        }
        let cases = read(&text).unwrap();
        assert_eq!((cases.labels.as_slice(), cases.known), (&["9".to_owned(), "10".to_owned()][..], 2));
        assert_eq!(cases.channels, ["x", "y"]);
        assert_eq!(cases.cases[1].values, [0.5, 0.0, 1.5, -1.0, 2.5, -2.0]);
        assert_eq!((cases.cases[1].label, cases.cases[1].row, cases.rows(&cases.cases[1])), (0, 4, 3));
    }

    #[test]
    fn another_column_may_hold_the_label() {
        let columns = CaseColumns { label: "class".to_owned(), ..CaseColumns::default() };
        let text = "class,t0,t1,t2\na,1,2,3\na,1,2,4\nb,2,2,3\nb,1,1,1\n";
        assert_eq!(read_cases(text.as_bytes(), &columns).unwrap().labels, ["a", "b"]);
        assert_eq!(read(text).unwrap_err().code(), Code::CsvColumn);
    }

    #[test]
    fn every_fault_names_its_row_and_column() {
        let wide = |rows: &str| format!("split,label,t0,t1,t2\n{rows}");
        let long = |rows: &str| format!("case,label,t,x\n{rows}");
        let good = "train,a,1,2,3\ntrain,a,1,2,4\ntrain,b,1,2,3\n";
        for (text, code, message) in [
            (String::new(), Code::CsvMalformed, "no header row"),
            (wide(""), Code::CsvMalformed, "no header row"),
            (wide("train,a,1,2\n"), Code::CsvMalformed, "line 2: the row has 4 cells, the header has 5"),
            ("label,label,t0\n".to_owned(), Code::CsvColumn, "stands twice"),
            ("split,label\n".to_owned(), Code::CsvColumn, "a column per time step"),
            ("case,t,label\n".to_owned(), Code::CsvColumn, "a column per channel"),
            ("case,label,x,y,z\np,a,1,2,3\n".to_owned(), Code::CsvColumn, r#"has "case" but not "t""#),
            ("label,t,x,y\na,1,2,3\n".to_owned(), Code::CsvColumn, r#"has "t" but not "case""#),
            ("label,t0,t2,t1\n".to_owned(), Code::CsvColumn, r#"column "t2" stands before column "t1""#),
            (wide("train,a,1,x,3\n"), Code::CsvCell, r#"row 1, column "t1": "x" is not a finite"#),
            (wide("train,a,1,2,3\ntrain,a,1,2,1e999\n"), Code::CsvCell, r#"row 2, column "t2": "1e999""#),
            (wide("train,a,1,,3\n"), Code::CsvMissing, r#"row 1, column "t1": the value is missing"#),
            (wide("train,,1,2,3\n"), Code::CsvCell, r#"row 1, column "label": the cell is empty"#),
            (wide("dev,a,1,2,3\n"), Code::CsvCell, r#"row 1, column "split": "dev" is neither train nor"#),
            (wide("train,a,1,2,\n"), Code::SeriesTooShort, "row 1: the series has 2 rows"),
            (wide("test,a,1,2,3\n"), Code::SeriesTooShort, r#"no row of the split column says "train""#),
            (wide("train,a,1,2,3\ntest,b,1,2,3\n"), Code::SeriesConstant, r#"has label "a""#),
            (wide(good), Code::SeriesTooShort, r#"row 3, column "label": label "b" has one training case"#),
            (
                long("p,a,0,1\np,b,1,2\n"),
                Code::CsvCell,
                r#"row 2, column "label": case "p" has label "a" in"#,
            ),
            (
                long("p,a,0,1\np,a,1,2\np,a,0,2\n"),
                Code::CsvTime,
                r#"rows 1 and 3, column "t": time 0 occurs"#,
            ),
            (long("p,a,0,1\np,a,soon,2\n"), Code::CsvTime, r#"row 2, column "t": "soon" is not a time"#),
            (long("p,a,0,1\np,a,2020-01-01,2\n"), Code::CsvTime, "row 2"),
            (long("p,a,0,\n"), Code::CsvMissing, r#"row 1, column "x""#),
            (long(",a,0,1\n"), Code::CsvCell, r#"row 1, column "case""#),
        ] {
            let error = read(&text).and_then(|cases| cases.check_trainable()).unwrap_err();
            assert_eq!(error.code(), code, "{text:?}: {error}");
            assert!(error.to_string().contains(message), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_file_of_several_cases_is_not_one_series() {
        for one in ["", "x\n1\n2\n", "case,x\n", "case,x\np,1\np,2\n", "case,x\np,1\nq\n"] {
            assert!(check_one_case(one.as_bytes(), "case").is_ok(), "{one:?}");
        }
        let error = check_one_case(b"x,case\n1,p\n2,p\n3,q\n", "case").unwrap_err();
        assert_eq!(error.code(), Code::CsvCell);
        assert!(
            error.to_string().starts_with(r#"row 3, column "case": case "p" ends and "q" begins"#),
            "{error}"
        );
    }

    #[test]
    fn a_case_is_wholly_for_training_or_for_testing() {
        let text = "case,split,label,t,x\np,train,a,0,1\np,test,a,1,2\n";
        let error = read(text).unwrap_err();
        assert!(error.to_string().contains(r#"row 2, column "split": case "p" has another split in row 1"#));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(case|split|label|t|t0|t1|t2|x|train|test|1|-2.5|nan|,|,|,|\n|\n|\"|é){0,60}") {
            if let Ok(cases) = read(&text) {
                proptest::prop_assert!(cases.cases.iter().all(|case| cases.rows(case) >= 3));
                proptest::prop_assert!(cases.cases.iter().all(|case| case.label < cases.labels.len()));
            }
        }
    }
}
