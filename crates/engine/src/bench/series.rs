//! Whole classifiers as they are served: what [`crate::cost`] says they cost, beside what they take.

use super::Workload;
use super::models::Compared;
use crate::classify::{
    CaseColumns, Classifier, ClassifierChoice, ClassifierFamily, ClassifyObserver, ClassifyOptions,
    ClassifySettings, read_cases, train_classifier,
};
use crate::model::Window;
use spinwell_core::{Rng, Samples, Series};
use std::rc::Rc;

/// Cases to learn from: few, for what a series costs does not depend on what was learned.
const CASES: usize = 12;
/// Windows that are answered together.
const TOGETHER: usize = 64;

/// A classifier whose cost is to be compared.
pub struct Labelled {
    /// What it is called in tables.
    pub name: &'static str,
    family: ClassifierFamily,
    settings: &'static [&'static str],
    rows: usize,
    channels: usize,
    labels: usize,
}

const SHAPE: Labelled = Labelled {
    name: "",
    family: ClassifierFamily::Shape,
    settings: &["form=values", "features=10080", "penalty=1"],
    rows: 150,
    channels: 1,
    labels: 3,
};

/// The classifiers that the cost is held against: both families and the two together, short and long, narrow and wide.
pub const CLASSIFIERS: &[Labelled] = &[
    Labelled { name: "shape, 10080 features, 150 rows", ..SHAPE },
    Labelled {
        name: "shape, 2016 features, 150 rows",
        settings: &["form=values", "features=2016", "penalty=1"],
        ..SHAPE
    },
    Labelled { name: "shape, 10080 features, 1000 rows", rows: 1000, ..SHAPE },
    Labelled {
        name: "shape, 10080 features of both forms, 300 rows",
        settings: &["form=both", "features=10080", "penalty=1"],
        rows: 300,
        ..SHAPE
    },
    Labelled { name: "shape, 10080 features, 6 channels of 100 rows", rows: 100, channels: 6, ..SHAPE },
    Labelled { name: "shape, 10080 features, 40 labels", labels: 40, ..SHAPE },
    Labelled {
        name: "classes by echo, 300 units 10 %, 150 rows",
        family: ClassifierFamily::Echo,
        settings: &["units=300", "density=0.1", "penalty=1"],
        ..SHAPE
    },
];

/// Noise around waves whose speed says the label.
fn csv(labelled: &Labelled) -> String {
    let mut rng = Rng::seeded(4);
    let channels: Vec<String> = (0..labelled.channels).map(|channel| format!("c{channel}")).collect();
    let mut csv = format!("case,t,label,{}\n", channels.join(","));
    for case in 0..CASES.max(2 * labelled.labels) {
        let label = case % labelled.labels;
        for t in 0..labelled.rows {
            let speed = 0.1 + 0.5 * label as f64 / labelled.labels as f64;
            let value = |_: usize| (t as f64 * speed).sin() + 0.2 * rng.normal();
            let values: Vec<String> = (0..labelled.channels).map(value).map(|v| v.to_string()).collect();
            csv += &format!("{case},{t},{label},{}\n", values.join(","));
        }
    }
    csv
}

impl Labelled {
    /// Trains the classifier and prepares what is to be timed. A step is a row of a series.
    #[must_use]
    pub fn prepare(&self) -> Compared {
        let cases = read_cases(csv(self).as_bytes(), &CaseColumns::default()).expect("a table of cases");
        let settings = ClassifySettings::parse(self.settings.iter().copied()).expect("valid settings");
        let family = ClassifierChoice::Only(self.family);
        let options = ClassifyOptions { family, trials: 1, settings, ..ClassifyOptions::default() };
        let trained =
            train_classifier(&cases, &options, ClassifyObserver::SILENT).expect("waves can be learned");
        let classifier = Rc::new(trained.classifier);
        let rows = classifier.rows_typical();
        Compared {
            cost: classifier.cost(),
            alone: windows(&classifier, "row", [1, rows], rows),
            // Nothing has to settle, so that there is nothing to take off.
            together: [
                Workload::new("nothing", "run", 1, || ()),
                windows(&classifier, "run", [TOGETHER, rows], 1),
            ],
            more_rows: (TOGETHER * rows) as f64,
            window: windows(&classifier, "run", [1, rows], 1),
        }
    }
}

fn windows(
    classifier: &Rc<Classifier>,
    unit: &'static str,
    [count, rows]: [usize; 2],
    units: usize,
) -> Workload {
    let (classifier, mut rng) = (Rc::clone(classifier), Rng::seeded(5));
    let channels = classifier.channels().len();
    let values = (0..count * rows * channels).map(|_| rng.normal()).collect();
    let series = Series::new(count, rows, channels, Samples::F64(values)).expect("whole rows");
    Workload::new("series", unit, units, move || {
        let windows: Vec<Window<'_>> = (0..count).map(|index| Window { series: &series, index }).collect();
        std::hint::black_box(classifier.classify_windows(&windows));
    })
}
