//! `spinwell-ring`: runs scenarios of the real services over a simulated network, from seeds.

#![allow(clippy::print_stdout, reason = "a command for people: what it prints is its result")]

use anyhow::{Context, bail};
use clap::Parser;
use spinwell_core::Code;
use spinwell_ring::{Ended, History, Kind, Plant, Scenario, invariants, run, scenario};
use std::fmt;

#[derive(Parser)]
#[command(about = "The real gateway and node over a simulated network")]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// What goes wrong: calm, crash, partition, freeze, drain, overload, mix; all, for one after the other.
    #[arg(long, default_value = "all")]
    kind: String,
    /// Runs each seed twice and compares the two.
    #[arg(long)]
    twice: bool,
    /// A bug to run with, which should be found.
    #[arg(long)]
    plant: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let Arguments { seeds, first, kind, twice, plant } = Arguments::parse();
    let (kinds, plant) = (kinds(&kind)?, planted(plant.as_deref())?);
    let (mut totals, mut broken) = (Totals::default(), 0);
    for seed in first..first + seeds {
        let kind = kinds[(seed % kinds.len() as u64) as usize];
        let scenario = Scenario { plant, ..scenario(kind, seed) };
        let history = run(&scenario).with_context(|| format!("seed {seed}, kind {}", kind.as_str()))?;
        totals.add(&history);
        if let Some(difference) =
            twice.then(|| run(&scenario)).transpose()?.and_then(|again| history.difference(&again))
        {
            broken += 1;
            println!("seed {seed}, kind {}: it is not the same run twice: {difference}", kind.as_str());
        }
        for invariants::Broken { invariant, how } in invariants::check(&scenario, &history) {
            broken += 1;
            println!("seed {seed}, kind {}: {invariant} is broken: {how}", kind.as_str());
        }
    }
    println!("{seeds} seeds, {totals}; checked: {}; broken: {broken}", invariants::names().join(", "));
    if broken > 0 {
        bail!("{broken} invariants were broken; one run again: --seeds 1 --first SEED --kind KIND");
    }
    Ok(())
}

/// What all runs together were like.
#[derive(Default)]
struct Totals {
    requests: usize,
    answered: usize,
    hung_up: usize,
    full: usize,
    late: usize,
    retries: u64,
    timeouts: u64,
}

impl Totals {
    fn add(&mut self, history: &History) {
        self.requests += history.asked.len();
        self.answered += history.count(|ended| matches!(ended, Ended::Answered(_)));
        self.hung_up += history.count(|ended| *ended == Ended::HungUp);
        self.full += history.count(|ended| *ended == Ended::Failed(Code::QueueFull));
        self.late += history.count(|ended| *ended == Ended::Failed(Code::DeadlineExceeded));
        self.retries += history.retries;
        self.timeouts += history.timeouts;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, answered, hung_up, full, late, retries, timeouts } = self;
        let other = requests - answered - hung_up - full - late;
        write!(
            to,
            "{requests} requests: {answered} answered, {hung_up} hung up, {full} refused as too many, {late} late, {other} failed \
             otherwise; {retries} retries, {timeouts} attempts given up"
        )
    }
}

fn kinds(name: &str) -> anyhow::Result<Vec<Kind>> {
    if name == "all" {
        return Ok(Kind::ALL.to_vec());
    }
    let names = || Kind::ALL.map(Kind::as_str).join(", ");
    let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == name);
    Ok(vec![found.with_context(|| format!("there is no kind {name}; there are {}", names()))?])
}

fn planted(name: Option<&str>) -> anyhow::Result<Option<Plant>> {
    let Some(name) = name else { return Ok(None) };
    let found = Plant::ALL.iter().find(|(own, _)| *own == name);
    let names = || Plant::ALL.map(|(name, _)| name).join(", ");
    Ok(Some(found.with_context(|| format!("there is no bug {name}; there are {}", names()))?.1))
}
