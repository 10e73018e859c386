//! Whole models as they are served: what [`crate::cost`] says they cost, beside what they take.

use super::Workload;
use crate::Silent;
use crate::cohort::STREAMS_MAX;
use crate::cost::StepCost;
use crate::data::Table;
use crate::model::{Model, Scratch, Window};
use crate::settings::{Precision, Settings};
use crate::spec::Family;
use crate::train::{Choice, Feeds, Folds, Options, Score, train};
use spinwell_core::{Rng, Samples, Series};
use std::rc::Rc;

/// Rows to learn from: few, for what a step costs does not depend on what was learned.
const ROWS: usize = 600;
/// Rows of a run: what a run costs by itself is hidden, and a step of the largest model is still timed in a second.
const STEPS: usize = 32;
/// Most rows by which windows are lengthened to see what a row of them costs.
const MORE_MAX: usize = 512;

/// A model whose cost is to be compared.
pub struct Costed {
    /// What it is called in tables.
    pub name: &'static str,
    family: Family,
    settings: &'static [&'static str],
    precision: Precision,
    horizon: usize,
    targets: usize,
    season: usize,
}

/// A model's cost, and the work that it is the cost of.
pub struct Compared {
    /// What the model of costs says.
    pub cost: StepCost,
    /// A row of one settled stream.
    pub alone: Workload,
    /// 64 windows of settled rows, and 64 longer ones.
    pub together: [Workload; 2],
    /// Rows of all streams that the longer ones have more.
    pub more_rows: f64,
    /// One window of the recommended length.
    pub window: Workload,
}

const ECHO: Costed = Costed {
    name: "",
    family: Family::Echo,
    settings: &[],
    precision: Precision::F32,
    horizon: 1,
    targets: 1,
    season: 1,
};
const QUANTUM: Costed = Costed { family: Family::Quantum, ..ECHO };
const SPIKING: Costed = Costed { family: Family::Spiking, ..ECHO };
const LINEAR: Costed = Costed { family: Family::Linear, ..ECHO };

/// The models that the cost is held against: every family, every kernel, small and large, narrow and wide.
pub const MODELS: &[Costed] = &[
    Costed { name: "persistence", family: Family::Persistence, ..ECHO },
    Costed { name: "linear, 24 lags", settings: &["lags=24"], ..LINEAR },
    Costed {
        name: "linear, 24 lags, season 48, 48 ahead",
        settings: &["lags=24"],
        horizon: 48,
        season: 48,
        ..LINEAR
    },
    Costed { name: "linear, 24 lags, 8 targets", settings: &["lags=24"], targets: 8, ..LINEAR },
    Costed {
        name: "ngrc, 8 taps, order 3",
        family: Family::Ngrc,
        settings: &["taps=8", "stride=1", "order=3", "skip=off"],
        ..ECHO
    },
    Costed { name: "echo, 100 units dense", settings: &["units=100", "density=1", "skip=off"], ..ECHO },
    Costed { name: "echo, 300 units dense", settings: &["units=300", "density=1", "skip=off"], ..ECHO },
    Costed { name: "echo, 1000 units dense", settings: &["units=1000", "density=1", "skip=off"], ..ECHO },
    Costed { name: "echo, 2000 units dense", settings: &["units=2000", "density=1", "skip=off"], ..ECHO },
    Costed {
        name: "echo, 300 units dense, f64",
        settings: &["units=300", "density=1", "skip=off"],
        precision: Precision::F64,
        ..ECHO
    },
    Costed { name: "echo, 300 units 10 %", settings: &["units=300", "density=0.1", "skip=off"], ..ECHO },
    Costed { name: "echo, 500 units 10 %", settings: &["units=500", "density=0.1", "skip=off"], ..ECHO },
    Costed { name: "echo, 1000 units 10 %", settings: &["units=1000", "density=0.1", "skip=off"], ..ECHO },
    Costed { name: "echo, 2000 units 10 %", settings: &["units=2000", "density=0.1", "skip=off"], ..ECHO },
    Costed { name: "echo, 500 units 2 %", settings: &["units=500", "density=0.02", "skip=off"], ..ECHO },
    Costed { name: "echo, 300 units 50 %", settings: &["units=300", "density=0.5", "skip=off"], ..ECHO },
    Costed { name: "echo, 500 units, cycle", settings: &["units=500", "topology=cycle", "skip=off"], ..ECHO },
    Costed {
        name: "echo, 500 units 10 %, f64",
        settings: &["units=500", "density=0.1", "skip=off"],
        precision: Precision::F64,
        ..ECHO
    },
    Costed {
        name: "echo, 300 units 10 %, 24 lags, 48 ahead",
        settings: &["units=300", "density=0.1", "lags=24"],
        horizon: 48,
        ..ECHO
    },
    Costed {
        name: "quantum, 20 of 3 qubits",
        settings: &["qubits=3", "reservoirs=20", "substeps=5", "skip=off"],
        ..QUANTUM
    },
    Costed {
        name: "quantum, 10 of 4 qubits",
        settings: &["qubits=4", "reservoirs=10", "substeps=5", "skip=off"],
        ..QUANTUM
    },
    Costed {
        name: "quantum, 5 of 4 qubits, dissipation",
        settings: &["qubits=4", "reservoirs=5", "substeps=5", "dissipation=0.1", "skip=off"],
        ..QUANTUM
    },
    Costed {
        name: "quantum, 4 of 5 qubits",
        settings: &["qubits=5", "reservoirs=4", "substeps=5", "skip=off"],
        ..QUANTUM
    },
    Costed {
        name: "quantum, 1 of 6 qubits",
        settings: &["qubits=6", "reservoirs=1", "substeps=10", "skip=off"],
        ..QUANTUM
    },
    Costed {
        name: "quantum, 1 of 7 qubits",
        settings: &["qubits=7", "reservoirs=1", "substeps=5", "skip=off"],
        ..QUANTUM
    },
    Costed { name: "spiking, 200 neurons", settings: &["neurons=200", "skip=off"], ..SPIKING },
    Costed { name: "spiking, 500 neurons", settings: &["neurons=500", "skip=off"], ..SPIKING },
    Costed { name: "spiking, 1000 neurons", settings: &["neurons=1000", "skip=off"], ..SPIKING },
    Costed {
        name: "spiking, 500 neurons, rate",
        settings: &["neurons=500", "encoding=rate", "skip=off"],
        ..SPIKING
    },
    Costed {
        name: "spiking, column of 135 neurons",
        settings: &["neurons=135", "wiring=column", "skip=off"],
        ..SPIKING
    },
];

/// Noisy waves, one a target.
fn waves(rows: usize, columns: usize) -> Vec<Vec<f64>> {
    let mut rng = Rng::seeded(2);
    let mut column = |index: usize| {
        (0..rows).map(|row| ((row + 3 * index) as f64 * 0.3).sin() + 0.1 * rng.normal()).collect()
    };
    (0..columns).map(&mut column).collect()
}

impl Costed {
    /// Trains the model and prepares what is to be timed.
    #[must_use]
    pub fn prepare(&self) -> Compared {
        let model = Rc::new(self.train());
        let window_rows = model.window_recommended();
        let settled = model.scored_from() + model.horizon();
        // Enough for the difference of two long runs to be told from their noise.
        let more = (settled / 2).clamp(STEPS, MORE_MAX);
        Compared {
            cost: model.cost(),
            alone: alone(Rc::clone(&model), settled),
            together: [settled, settled + more].map(|rows| windows(Rc::clone(&model), STREAMS_MAX, rows)),
            more_rows: (STREAMS_MAX * more) as f64,
            window: windows(model, 1, window_rows),
        }
    }

    fn train(&self) -> Model {
        let names = (0..self.targets).map(|index| format!("y{index}")).collect();
        let columns = waves(ROWS, self.targets);
        let table = Table { names, columns, missing: Vec::new(), times: None, notes: Vec::new() };
        let mut settings = Settings::parse(self.settings.iter().copied()).expect("valid settings");
        settings.penalty = Some(1e-3);
        let options = Options {
            targets: self.targets,
            feeds: Feeds::Everything,
            horizon: self.horizon,
            season: Some(self.season),
            choice: Choice::Only(self.family),
            settings,
            precision: self.precision,
            trials: 2,
            coverage: 0.9,
            seed: 1,
            score: Score::Path,
            time_column: None,
        };
        train(&table, &Folds::inside(ROWS), &options, &Silent).expect("waves can be learned").model
    }
}

/// Rows of one stream that has seen `settled` rows.
fn alone(model: Rc<Model>, settled: usize) -> Workload {
    let columns = waves(settled + STEPS, model.channels().len());
    let row = |row: usize| columns.iter().map(|column| column[row]).collect::<Vec<f64>>();
    let (mut stream, mut scratch) = (model.stream(), Scratch::default());
    (0..settled).for_each(|index| model.step(&mut stream, &row(index), &mut scratch));
    let rows: Vec<Vec<f64>> = (settled..settled + STEPS).map(row).collect();
    Workload::new("alone", "row", STEPS, move || {
        rows.iter().for_each(|row| model.step(&mut stream, row, &mut scratch));
    })
}

/// Windows of as many rows that are forecast together.
fn windows(model: Rc<Model>, count: usize, rows: usize) -> Workload {
    let columns = waves(count * rows, model.channels().len());
    let values = (0..count * rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    let series = Series::new(count, rows, columns.len(), Samples::F64(values)).expect("whole rows");
    Workload::new("windows", "run", 1, move || {
        let windows: Vec<Window<'_>> = (0..count).map(|index| Window { series: &series, index }).collect();
        std::hint::black_box(model.forecast_windows(&windows));
    })
}
