//! `spinwell-sim`: compares strategies, and runs scenarios with faults from seeds.

#![allow(clippy::print_stdout, reason = "a command for people: what it prints is its result")]

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use spinwell_policy::balance::Strategy;
use spinwell_sim::elastic::page::{self, Plan};
use spinwell_sim::faults::{Kind, Size};
use spinwell_sim::scenario::Plant;
use spinwell_sim::{compare, control, faults, invariants, sequences, traces, world};
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

#[derive(Parser)]
#[command(about = "A cluster on a virtual clock", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Replays the same traces through all five strategies and prints a table.
    Compare {
        /// Runs of each trace, with seeds from 1.
        #[arg(long, default_value_t = 5)]
        seeds: u64,
        /// Only the traces whose names contain this.
        #[arg(long, default_value = "")]
        trace: String,
        /// Also writes a page with the table.
        #[arg(long)]
        out: Option<PathBuf>,
        /// What the page says of when and of what it was made.
        #[arg(long, default_value = "by hand")]
        written: String,
    },
    /// Runs days of a region that grows and shrinks under our scaler and under the rules of others, each tuned and as it comes, and prints
    /// what they miss and take.
    Elastic {
        /// Settings that are tried for each rule.
        #[arg(long, default_value_t = 40)]
        trials: usize,
        /// Seeds of days that rules are tuned on, from 101.
        #[arg(long, default_value_t = 3)]
        training: u64,
        /// Seeds of days that they are measured on, from 601.
        #[arg(long, default_value_t = 5)]
        unseen: u64,
        /// Also writes a page with all of it.
        #[arg(long)]
        out: Option<PathBuf>,
        /// What the page says of when and of what it was made.
        #[arg(long, default_value = "by hand")]
        written: String,
    },
    /// Runs a scenario of each seed and checks all invariants after it.
    Run {
        /// How many seeds.
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// The first of them.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// What may go wrong: all, none, or names with commas between.
        #[arg(long, default_value = "all")]
        faults: String,
        /// Small scenarios, as in the crate's tests.
        #[arg(long)]
        small: bool,
        /// A bug to run with, which should be found.
        #[arg(long)]
        plant: Option<String>,
    },
    /// Runs sequences across nodes under a scenario of each seed and checks all their invariants after it.
    Sequences {
        /// How many seeds.
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// The first of them.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// A bug to run with, which should be found.
        #[arg(long)]
        plant: Option<String>,
    },
    /// Runs controls that lead a region and stop its nodes one after the other under a scenario of each seed and checks all their
    /// invariants after it.
    Control {
        /// How many seeds.
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// The first of them.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// A bug to run with, which should be found.
        #[arg(long)]
        plant: Option<String>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Compare { seeds, trace, out, written } => {
            compare_all(seeds, &trace, out.as_deref(), &written)
        }
        Command::Elastic { trials, training, unseen, out, written } => {
            let plan = Plan {
                trials,
                training: (101..=100 + training).collect(),
                unseen: (601..=600 + unseen).collect(),
            };
            compare_days(&plan, out.as_deref(), &written)
        }
        Command::Run { seeds, first, faults, small, plant } => {
            let size = if small { Size::SMALL } else { Size::LARGE };
            run_all(first..first + seeds, &kinds(&faults)?, size, planted(&Plant::ALL, plant.as_deref())?)
        }
        Command::Sequences { seeds, first, plant } => {
            run_sequences(first..first + seeds, planted(&sequences::Plant::ALL, plant.as_deref())?)
        }
        Command::Control { seeds, first, plant } => {
            run_control(first..first + seeds, planted(&control::Plant::ALL, plant.as_deref())?)
        }
    }
}

fn compare_all(seeds: u64, only: &str, out: Option<&Path>, written: &str) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for trace in traces::ALL.into_iter().filter(|trace| trace.name.contains(only)) {
        for strategy in Strategy::ALL {
            let row = compare::row(trace, strategy, seeds);
            let table = compare::table(&[row]);
            let skipped = if rows.is_empty() { 0 } else { 2 };
            table.lines().skip(skipped).for_each(|line| println!("{line}"));
            rows.push(row);
        }
    }
    let Some(out) = out else { return Ok(()) };
    let page = format!(
        "# Balancing strategies on the same traces\n\n\
         Written by `make sim-compare`: {written}. {seeds} seeds a row, taken together. A simulation on a virtual clock: nodes are\n\
         the real queue with modelled executors (a batch takes 4 ms and 50 µs a row; requests have 64 rows, one in ten 256),\n\
         gateways the real balancer, breakers, retry budget and timeouts. It compares strategies; it does not predict what a\n\
         machine will do.\n\n{}\n{}",
        compare::legend(),
        compare::table(&rows)
    );
    write_whole(out, &page).with_context(|| format!("cannot write {}", out.display()))
}

fn compare_days(plan: &Plan, out: Option<&Path>, written: &str) -> anyhow::Result<()> {
    let (days, rows) = page::rows(plan, |line| println!("{line}"));
    let text = page::text(plan, &days, &rows);
    println!("\n{text}");
    let Some(out) = out else { return Ok(()) };
    let page =
        format!("# Scaling rules on the same days\n\nWritten by `make sim-elastic`: {written}.\n\n{text}");
    write_whole(out, &page).with_context(|| format!("cannot write {}", out.display()))
}

fn run_all(seeds: Range<u64>, kinds: &[Kind], size: Size, plant: Option<Plant>) -> anyhow::Result<()> {
    let (mut requests, mut unanswered, mut broken) = (0, 0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut scenario = faults::scenario(seed, kinds, size);
        scenario.plant = plant;
        let history = world::run(&scenario);
        requests += history.outcomes.len();
        unanswered += spinwell_sim::Figures::of(std::slice::from_ref(&history)).failed;
        broken += told(seed, &invariants::check(&scenario, &history));
    }
    println!(
        "{count} seeds, {requests} requests, {unanswered} without an answer; checked: {}; broken: {broken}",
        invariants::names().join(", ")
    );
    ended(broken)
}

fn run_sequences(seeds: Range<u64>, plant: Option<sequences::Plant>) -> anyhow::Result<()> {
    let (mut totals, mut broken) = (sequences::Totals::default(), 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let scenario = sequences::Scenario { plant, ..sequences::scenario(seed) };
        let history = sequences::run(&scenario);
        totals.add(&history);
        broken += told(seed, &invariants::check_sequences(&scenario, &history));
    }
    let checked = invariants::names_of_sequences().join(", ");
    println!("{count} seeds, {totals}; checked: {checked}; broken: {broken}");
    ended(broken)
}

fn run_control(seeds: Range<u64>, plant: Option<control::Plant>) -> anyhow::Result<()> {
    let (mut totals, mut broken) = (control::Totals::default(), 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let scenario = control::Scenario { plant, ..control::scenario(seed) };
        let history = control::run(&scenario);
        totals.add(&history);
        broken += told(seed, &invariants::check_control(&scenario, &history));
    }
    let checked = invariants::names_of_control().join(", ");
    println!("{count} seeds, {totals}; checked: {checked}; broken: {broken}");
    ended(broken)
}

/// Tells what a seed has broken, and how much that is.
fn told(seed: u64, broken: &[invariants::Broken]) -> usize {
    for invariants::Broken { invariant, how } in broken {
        println!("seed {seed}: {invariant} is broken: {how}");
    }
    broken.len()
}

fn ended(broken: usize) -> anyhow::Result<()> {
    if broken > 0 {
        bail!("{broken} invariants were broken");
    }
    Ok(())
}

fn kinds(names: &str) -> anyhow::Result<Vec<Kind>> {
    match names {
        "all" => Ok(Kind::ALL.to_vec()),
        "none" => Ok(Vec::new()),
        names => names.split(',').map(kind).collect(),
    }
}

fn kind(name: &str) -> anyhow::Result<Kind> {
    let all = Kind::ALL.map(Kind::as_str).join(", ");
    let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == name);
    found.with_context(|| format!("there is no fault {name}; there are {all}"))
}

fn planted<P: Copy>(all: &[(&str, P)], name: Option<&str>) -> anyhow::Result<Option<P>> {
    let Some(name) = name else { return Ok(None) };
    let found = all.iter().find(|(own, _)| *own == name);
    let names = || all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    Ok(Some(found.with_context(|| format!("there is no bug {name}; there are {}", names()))?.1))
}

/// Writes a file whole or not at all. As `runtime::files` does it, whose crate would bring a whole server here.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
