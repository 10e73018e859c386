//! Steps of reservoirs, alone and together.

use super::{Planned, Workload};
use crate::echo::{self, Echo};
use crate::kernel::{One, States, Width};
use crate::quantum::{self, Bank, Heard, QuantumSettings};
use crate::spec::{EchoSettings, Topology};
use crate::spiking::{self, Liquid, SpikingSettings};
use spinwell_core::Rng;

/// Rows of a run: long enough to hide what a run costs by itself.
const ROWS: usize = 32;

pub(super) fn all() -> Vec<Planned> {
    let mut all = Vec::new();
    for (units, density) in [(100, 1.0), (300, 1.0), (1000, 1.0), (300, 0.1), (500, 0.1), (1000, 0.1)] {
        let kind = if density < 1.0 { "sparse" } else { "dense" };
        let name = format!("echo-{units}-{kind}-1");
        all.push(Planned::new(name.clone(), move || echo_alone(&name, units, density)));
        for streams in [16, 64] {
            let name = format!("echo-{units}-{kind}-{streams}");
            all.push(Planned::new(name.clone(), move || echo_together(&name, units, density, streams)));
        }
    }
    for (name, shape, streams) in [
        ("quantum-10x4-1", [4, 10, 5], 1),
        ("quantum-10x4-64", [4, 10, 5], 64),
        ("quantum-6-1", [6, 1, 10], 1),
        ("quantum-8-1", [8, 1, 10], 1),
    ] {
        all.push(Planned::new(name, move || bank(name, shape, streams)));
    }
    all.push(Planned::new("lif-1000-1", || liquid("lif-1000-1", 1000)));
    all.push(Planned::new("lif-500-1", || liquid("lif-500-1", 500)));
    all
}

pub(super) fn settings(units: usize, density: f64) -> EchoSettings {
    EchoSettings {
        units,
        topology: Topology::Random,
        density,
        spectral_radius: 0.9,
        leak: 0.3,
        input_scale: 0.5,
        bias_scale: 0.2,
        seed: 1,
    }
}

fn echo_alone(name: &str, units: usize, density: f64) -> Workload {
    let echo = Echo::<f32>::draw(&settings(units, density), 1);
    let (mut vector, mut work) = (echo.fresh(), echo::Work::default());
    let inputs = inputs();
    let run = move || {
        for &input in &inputs {
            echo.hear(&mut vector, &[input as f32]);
            echo.step(&mut One(&mut vector), &mut work);
        }
    };
    let weights = density * (units * units) as f64;
    let bytes = weights * if density < 1.0 { 5.0 } else { 4.0 };
    Workload::new(name, "step", ROWS, run).with_flops(2.0 * weights).with_bytes(bytes)
}

/// Many streams of dense weights, or of sparse ones in lanes.
fn echo_together(name: &str, units: usize, density: f64, streams: usize) -> Workload {
    let echo = Echo::<f32>::draw(&settings(units, density), 1);
    let inputs = inputs();
    let mut work = echo::Work::default();
    let mut run: Box<dyn FnMut()> = if echo.prefers_lanes() {
        let width = Width { stride: streams, active: streams };
        let mut vectors = vec![0.0f32; echo.vector_len() * streams];
        vectors[(units + 1) * streams..].fill(1.0);
        Box::new(move || {
            for &input in &inputs {
                vectors[units * streams..][..streams].fill(input as f32);
                echo.step_lanes(&mut vectors, width, &mut work);
            }
        })
    } else {
        let mut vectors = Vectors(vec![echo.fresh(); streams]);
        Box::new(move || {
            for &input in &inputs {
                vectors.0.iter_mut().for_each(|vector| echo.hear(vector, &[input as f32]));
                echo.step(&mut vectors, &mut work);
            }
        })
    };
    run();
    let weights = density * (units * units) as f64;
    Workload::new(name, "stream-step", ROWS * streams, run).with_flops(2.0 * weights)
}

/// Streams whose states stand apart.
struct Vectors<N>(Vec<Vec<N>>);

impl<N> States for Vectors<N> {
    type Number = N;

    fn count(&self) -> usize {
        self.0.len()
    }

    fn get(&self, stream: usize) -> &[N] {
        &self.0[stream]
    }

    fn get_mut(&mut self, stream: usize) -> &mut [N] {
        &mut self.0[stream]
    }
}

fn inputs() -> Vec<f64> {
    let mut rng = Rng::seeded(9);
    (0..ROWS).map(|_| rng.uniform()).collect()
}

fn bank(name: &str, [qubits, reservoirs, substeps]: [usize; 3], streams: usize) -> Workload {
    let settings = QuantumSettings { qubits, reservoirs, substeps, ..QuantumSettings::default() };
    let bank = Bank::draw(&settings, 1);
    let cost = settings.cost(1);
    let (mut states, mut work) = (Vectors(vec![bank.fresh(); streams]), quantum::Work::default());
    let inputs = inputs();
    let run = move || {
        for &value in &inputs {
            bank.step(&mut states, |_, _| Heard { value, drive: 0.5, row: 1 }, &mut work);
        }
    };
    let work = Workload::new(name, "input", ROWS * streams, run);
    work.with_flops(2.0 * cost.multiplications as f64).with_bytes(cost.bytes as f64 / streams as f64)
}

/// A liquid of which about 2 % fire in a dt.
fn liquid(name: &str, neurons: usize) -> Workload {
    let settings = SpikingSettings { neurons, ..SpikingSettings::default() };
    let substeps = settings.substeps;
    let liquid = Liquid::draw(&settings, 1);
    let (mut state, mut work) = (liquid.fresh(), spiking::Work::default());
    let inputs: Vec<f32> = inputs().into_iter().map(|input| input as f32).collect();
    let mut step = move || {
        for &input in &inputs {
            liquid.step(&mut state, &[input], &mut work);
        }
        liquid.activity(&state)
    };
    let fired = f64::from(step().rate);
    let spikes = fired * neurons as f64;
    // A spike reaches a tenth of the neurons; a neuron takes about 20 operations a dt.
    let operations = 20.0 * neurons as f64 + spikes * settings.density * neurons as f64;
    Workload::new(name, "dt", ROWS * substeps, move || {
        step();
    })
    .with_flops(operations)
}
