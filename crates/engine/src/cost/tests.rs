//! Costs against the figures of `docs/results/engine-speed-epyc.md`, and what must hold of every cost.

use super::*;
use crate::data::Table;
use crate::kernel::Real;
use crate::quantum::QuantumSettings;
use crate::settings::{Precision, Settings};
use crate::spec::{BlockSettings, EchoSettings, Family, Hearing, ReservoirSettings, Topology};
use crate::spiking::SpikingSettings;
use crate::train::{Choice, Feeds, Folds, Options, Score, WINDOW_US_WARN, expected_costs, train};
use crate::{Silent, quantum};

/// How far a cost may be from a measured figure, as a factor.
pub(super) const OFF_MAX: f64 = 1.5;

fn echo(units: usize, density: f64) -> ReservoirSettings {
    ReservoirSettings::Echo(EchoSettings {
        units,
        topology: Topology::Random,
        density,
        spectral_radius: 0.9,
        leak: 0.3,
        input_scale: 0.5,
        bias_scale: 0.2,
        seed: 1,
    })
}

fn bank(qubits: usize, reservoirs: usize, substeps: usize) -> ReservoirSettings {
    ReservoirSettings::Quantum(QuantumSettings { qubits, reservoirs, substeps, ..QuantumSettings::default() })
}

fn liquid(neurons: usize) -> ReservoirSettings {
    ReservoirSettings::Spiking(SpikingSettings { neurons, ..SpikingSettings::default() })
}

/// Microseconds of a step, alone and together.
fn step<R: Real>(reservoir: ReservoirSettings) -> [f64; 2] {
    let settings = BlockSettings { reservoir, hearing: Hearing::default() };
    let block = Block::<R>::draw(&settings, 1).unwrap();
    let Nanoseconds { alone, together } = reservoirs::step(&block);
    [alone / 1e3, together / 1e3]
}

#[test]
fn steps_cost_what_was_measured() {
    for (name, reservoir, alone, together) in [
        ("echo-100-dense", echo(100, 1.0), 0.505, 0.255),
        ("echo-300-dense", echo(300, 1.0), 3.58, 1.71),
        ("echo-300-sparse", echo(300, 0.1), 1.12, 0.45),
        ("echo-500-sparse", echo(500, 0.1), 2.87, 0.996),
        ("echo-1000-sparse", echo(1000, 0.1), 13.9, 4.98),
        ("quantum-10x4", bank(4, 10, 5), 12.3, 5.65),
        ("quantum-6", bank(6, 1, 10), 48.9, 48.9),
        // Of ten dt.
        ("lif-500", liquid(500), 18.0, 18.0),
        ("lif-1000", liquid(1000), 53.7, 53.7),
    ] {
        for (said, measured) in step::<f32>(reservoir).into_iter().zip([alone, together]) {
            let off = (said / measured).max(measured / said);
            assert!(off < OFF_MAX, "{name}: {said} us, measured {measured}");
        }
    }
}

#[test]
fn larger_reservoirs_cost_more_and_64_bits_more_than_32() {
    let families: [(&str, Vec<ReservoirSettings>); 5] = [
        ("dense", [50, 100, 200, 400].map(|units| echo(units, 1.0)).into()),
        ("sparse", [50, 100, 200, 400].map(|units| echo(units, 0.1)).into()),
        ("density", [0.02, 0.1, 0.3, 1.0].map(|density| echo(200, density)).into()),
        ("qubits", [2, 3, 4, 5, 6].map(|qubits| bank(qubits, 2, 5)).into()),
        ("neurons", [50, 100, 200, 400].map(liquid).into()),
    ];
    for (name, sizes) in families {
        let costs: Vec<[f64; 2]> = sizes.into_iter().map(step::<f32>).collect();
        assert!(costs.windows(2).all(|pair| pair[0][0] < pair[1][0]), "{name}: {costs:?}");
        assert!(costs.iter().all(|[alone, together]| together <= alone), "{name}: {costs:?}");
    }
    for density in [0.1, 1.0] {
        let ([narrow, _], [wide, _]) = (step::<f32>(echo(200, density)), step::<f64>(echo(200, density)));
        assert!(wide > 1.5 * narrow, "{density}: {narrow} {wide}");
    }
    assert!(echo_us(5000, 1.0) > echo_us(4096, 1.0) && echo_us(5000, 0.1) < echo_us(5000, 1.0));
    let network = |qubits| network_us(quantum::cost(qubits, 1, 5));
    assert!(network(9) > 4.0 * network(8) && network(64).is_finite());
}

fn wave_table() -> Table {
    let values = (0..300).map(|row| (f64::from(row) * 0.3).sin() + 0.1 * (f64::from(row) * 1.7).cos());
    Table {
        names: vec!["y".to_owned()],
        columns: vec![values.collect()],
        missing: Vec::new(),
        times: None,
        notes: Vec::new(),
    }
}

fn wave_options(horizon: usize, pairs: &[&str], choice: Choice) -> Options {
    Options {
        targets: 1,
        feeds: Feeds::Everything,
        horizon,
        season: Some(1),
        choice,
        settings: Settings::parse(pairs.iter().copied()).unwrap(),
        precision: Precision::F32,
        trials: 2,
        coverage: 0.9,
        seed: 1,
        score: Score::Path,
        time_column: None,
    }
}

fn wave(horizon: usize, pairs: &[&str], family: Family) -> Model {
    let options = wave_options(horizon, pairs, Choice::Only(family));
    train(&wave_table(), &Folds::inside(300), &options, &Silent).unwrap().model
}

#[test]
fn what_a_model_will_cost_is_known_before_it_is_trained() {
    for (family, horizon, pairs) in [
        (Family::Linear, 1, &["lags=24"][..]),
        (Family::Ngrc, 1, &["taps=4", "stride=1", "order=3", "skip=off"]),
        (Family::Echo, 1, &["units=150", "density=1", "skip=off", "leak=0.9"]),
        (Family::Echo, 8, &["units=300", "density=0.1", "lags=24", "leak=0.9"]),
        (Family::Echo, 1, &["units=100", "topology=cycle", "lags=4"]),
        (Family::Spiking, 1, &["neurons=60", "skip=off"]),
        (Family::Spiking, 1, &["neurons=60", "wiring=column", "skip=off"]),
        (Family::Quantum, 1, &["qubits=4", "reservoirs=4", "skip=off"]),
        (Family::Quantum, 1, &["qubits=5", "reservoirs=1", "lags=4"]),
    ] {
        let pairs: Vec<&str> = pairs.iter().copied().chain(["penalty=0.001"]).collect();
        let options = wave_options(horizon, &pairs, Choice::Only(family));
        let said = expected_costs(&wave_table(), &Folds::inside(300), &options);
        assert_eq!(said.iter().map(|said| said.family).collect::<Vec<_>>(), [family], "{pairs:?}");
        let model = wave(horizon, &pairs, family);
        let per_row = |us: f64, rows: usize| us / rows as f64;
        let said = per_row(said[0].window_us, said[0].window_rows);
        let cost = per_row(model.cost().window_us, model.window_recommended());
        let off = (said / cost).max(cost / said);
        assert!(off < OFF_MAX, "{pairs:?}: {said} us a row was said, {cost} it costs");
    }
}

#[test]
fn costs_are_said_of_what_was_fixed_by_hand_and_warned_of_beyond_a_tenth_of_a_second() {
    let said = |pairs: &[&str]| {
        expected_costs(&wave_table(), &Folds::inside(300), &wave_options(1, pairs, Choice::Auto))
    };
    assert_eq!(said(&["leak=0.5"]), []);
    let both = said(&["units=200", "density=1", "neurons=50"]);
    assert_eq!(both.iter().map(|said| said.family).collect::<Vec<_>>(), [Family::Echo, Family::Spiking]);
    assert!(both.iter().all(|said| !said.is_high()), "{both:?}");
    assert!(said(&["units=200", "density=0.1"])[0].window_us < both[0].window_us);
    // Where the search may choose dense reservoirs, those are the dearest.
    let free = said(&["units=600"])[0].window_us;
    assert!(free > 2.0 * said(&["units=600", "topology=random"])[0].window_us, "{free}");
    assert_eq!(free, said(&["units=600", "topology=orthogonal"])[0].window_us);
    let high = said(&["qubits=8", "reservoirs=2"]);
    assert!(high[0].is_high() && high[0].window_us > WINDOW_US_WARN, "{high:?}");
    // What does not suit the table is for training to say.
    let options = Options { targets: 2, ..wave_options(1, &["units=200"], Choice::Auto) };
    assert_eq!(expected_costs(&wave_table(), &Folds::inside(300), &options), []);
    assert_eq!(
        expected_costs(&wave_table(), &Folds::inside(301), &wave_options(1, &["units=200"], Choice::Auto)),
        []
    );
}

#[test]
fn features_are_counted_before_they_are_drawn() {
    let column = SpikingSettings { neurons: 30, ..SpikingSettings::classic() };
    let driven = QuantumSettings { qubits: 2, reservoirs: 2, drive: 0.5, ..QuantumSettings::default() };
    let kinds = [
        echo(20, 0.3),
        bank(3, 1, 4),
        bank(5, 4, 2),
        ReservoirSettings::Quantum(driven),
        liquid(20),
        ReservoirSettings::Spiking(column),
    ];
    for reservoir in kinds {
        for channels in [1, 3] {
            let settings = BlockSettings { reservoir: reservoir.clone(), hearing: Hearing::default() };
            let drawn = Block::<f32>::draw(&settings, channels).unwrap().features_len();
            assert_eq!(settings.features_len(channels), drawn, "{reservoir:?}");
        }
    }
}

#[test]
fn a_model_costs_the_same_wherever_it_is_asked_for_and_more_the_more_it_says() {
    let pairs = ["units=20", "penalty=0.01"];
    let model = wave(1, &pairs, Family::Echo);
    let StepCost { alone_us, together_us, window_us } = model.cost();
    assert_eq!(Model::from_bytes(&model.to_bytes()).unwrap().cost(), model.cost());
    assert_eq!(wave(1, &pairs, Family::Echo).cost(), model.cost());
    assert!(0.1 < together_us && together_us <= 1.1 * alone_us, "{:?}", model.cost());
    let rows = model.window_recommended() as f64;
    assert!(window_us > 0.5 * rows * alone_us && window_us < rows * alone_us + 10.0, "{:?}", model.cost());
    assert!(wave(8, &pairs, Family::Echo).cost().alone_us > alone_us);
    assert!(wave(1, &[], Family::Persistence).cost().alone_us < alone_us);
    assert_eq!(AnyModel::Forecaster(model.clone()).cost(), model.cost());
}

#[test]
fn times_are_said_in_two_digits() {
    for (us, wanted) in
        [(0.0512, "0.051 us"), (1.0, "1 us"), (812.4, "810 us"), (2_340.0, "2.3 ms"), (7.26e6, "7.3 s")]
    {
        assert_eq!(in_words(us), wanted);
    }
}
