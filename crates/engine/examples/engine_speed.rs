//! Times the engine's kernels on one thread and prints a JSON line for each.
//!
//! ```text
//! engine_speed [--simd avx512|avx2|portable] [--seconds S] --list | NAME..
//! engine_speed [--seconds S] --cost [PART OF A NAME..]
//! ```
//!
//! `--cost` prints, as a table, what the engine says that whole models cost beside what they take.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use spinwell_engine::bench::{self, Compared, InstructionSet, Planned, Workload};
use std::time::{Duration, Instant};

/// Runs that a figure is the median of, at least.
const RUNS_MIN: usize = 3;
/// Shortest time that is worth looking at: runs shorter than this are timed together.
const SLICE: Duration = Duration::from_millis(2);

fn main() -> Result<()> {
    let mut seconds = 0.5;
    let mut names = Vec::new();
    let (mut list, mut cost) = (false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => list = true,
            "--cost" => cost = true,
            "--seconds" => {
                let value = arguments.next().context("--seconds needs a number")?;
                seconds = value.parse().with_context(|| format!("--seconds {value}"))?;
            }
            "--simd" => {
                let value = arguments.next().context("--simd needs avx512, avx2 or portable")?;
                let set: InstructionSet = value.parse().map_err(anyhow::Error::msg)?;
                if !set.limit() {
                    bail!("this machine has no {value}");
                }
            }
            name => names.push(name.to_owned()),
        }
    }
    if cost {
        return compare(seconds, &names);
    }
    let all = bench::all();
    if list {
        return all.iter().try_for_each(|planned| print(&facts(&planned.prepare())));
    }
    for name in &names {
        let planned = all.iter().find(|planned| planned.name == *name);
        print(&measured(
            planned.with_context(|| format!("there is no workload {name}; see --list"))?,
            seconds,
        ))?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "printing is what the program is for")]
fn print(value: &Value) -> Result<()> {
    println!("{value}");
    Ok(())
}

fn facts(workload: &Workload) -> Value {
    let Workload { name, unit, flops, bytes, .. } = workload;
    json!({ "name": name, "unit": unit, "flops": flops, "bytes": bytes })
}

#[expect(clippy::print_stdout, reason = "printing is what the program is for")]
fn compare(seconds: f64, names: &[String]) -> Result<()> {
    let is_asked = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part));
    println!("| model | alone, us | said | together, us | said | window, us | said |");
    println!("|---|---|---|---|---|---|---|");
    for costed in bench::MODELS.iter().filter(|costed| is_asked(costed.name)) {
        println!("{}", compared(costed.name, costed.prepare(), seconds));
    }
    for labelled in bench::CLASSIFIERS.iter().filter(|labelled| is_asked(labelled.name)) {
        println!("{}", compared(labelled.name, labelled.prepare(), seconds));
    }
    Ok(())
}

/// Measured, and what the engine says divided by it: alone, together, a window.
fn compared(name: &str, compared: Compared, seconds: f64) -> String {
    let Compared { cost, mut alone, mut together, more_rows, mut window } = compared;
    let alone = timed(&mut alone, seconds).median;
    let [short, long] = together.each_mut().map(|windows| timed(windows, seconds).least);
    let together = (long - short) / more_rows;
    let window = timed(&mut window, seconds).median;
    let cell = |said: f64, measured: f64| {
        let digits = [0, 1, 2][usize::from(measured < 100.0) + usize::from(measured < 10.0)];
        format!("{measured:.digits$} | {:.2}", said / measured)
    };
    let cells = [cell(cost.alone_us, alone), cell(cost.together_us, together), cell(cost.window_us, window)];
    format!("| {name} | {} |", cells.join(" | "))
}

/// Times of one unit in microseconds.
struct Timed {
    median: f64,
    least: f64,
}

#[expect(clippy::disallowed_methods, reason = "a stop-watch is what the program is for")]
fn timed(workload: &mut Workload, seconds: f64) -> Timed {
    (workload.run)();
    let began = Instant::now();
    (workload.run)();
    let together = (SLICE.as_secs_f64() / began.elapsed().as_secs_f64().max(1e-9)).ceil().max(1.0) as usize;
    let mut times = Vec::new();
    let began = Instant::now();
    while times.len() < RUNS_MIN || began.elapsed().as_secs_f64() < seconds {
        let started = Instant::now();
        (0..together).for_each(|_| (workload.run)());
        times.push(started.elapsed().as_secs_f64() * 1e6 / (together as f64 * workload.units));
    }
    times.sort_by(f64::total_cmp);
    Timed { median: times[times.len() / 2], least: times[0] }
}

fn measured(planned: &Planned, seconds: f64) -> Value {
    let mut workload = planned.prepare();
    let Timed { median, least } = timed(&mut workload, seconds);
    let giga = |work: Option<f64>| work.map(|work| work / median / 1e3);
    json!({
        "name": workload.name, "unit": "us", "what": format!("per {}", workload.unit), "value": median,
        "min": least, "gflops": giga(workload.flops), "gbytes": giga(workload.bytes),
    })
}
