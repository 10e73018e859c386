//! The binary `spinwell`: reads the command line, runs one command, prints, and chooses the exit code.
//!
//! Nothing is decided here. Exit codes: 0 done, 1 failed, 2 wrong usage. With `--json` stdout carries exactly one
//! JSON document; everything else goes to stderr.

mod adapt;
mod audit;
mod backtest;
mod bench;
mod classify;
mod client;
mod cluster;
mod connection;
mod detect;
mod evaluate;
mod failure;
mod keys;
mod model;
mod models;
mod output;
mod pictures;
mod pki;
mod plot;
mod policy;
mod predict;
mod progress;
mod report;
mod scoring_args;
mod serve;
mod slo;
mod task;
mod token;
mod train;
mod training_args;

use clap::{Parser, Subcommand};
use spinwell_core::Code;
use spinwell_runtime::clock;
use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Serve time-series predictions from reservoir models: train from a CSV, call over the Open Inference Protocol.
#[derive(Debug, Parser)]
#[command(
    name = "spinwell",
    version,
    max_term_width = 110,
    after_help = "\
Examples:
  spinwell train demand.csv --target mw --time time --horizon 48
  spinwell evaluate demand newer.csv --report report.html
  spinwell serve
  spinwell predict demand demand.csv --url http://127.0.0.1:8000
  spinwell train gestures.csv --task classify --label gesture
  spinwell train pump.csv --task anomaly --target pressure"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a model from a CSV, to forecast, to classify or to find anomalies: compares families on what they have not
    /// seen and keeps the best.
    Train(train::Args),
    /// Train on the first rows of a CSV and score every forecast of the rows after them; or on its train cases, and
    /// score the labels of its test cases; or find the anomalies of the rows after them.
    Backtest(backtest::Args),
    /// Score a model on a CSV: error, intervals and confidence, beside the naive forecasts, as a report on request; or
    /// labels; or alarms.
    Evaluate(evaluate::Args),
    /// Let a model learn from newer rows too, as its next version.
    Adapt(adapt::Args),
    /// Forecast the rows that follow a CSV, name its class, or say whether its last row is an anomaly, with a model file
    /// or through a running server.
    Predict(predict::Args),
    /// List, show, add and remove models, in a folder or of a running server.
    Model(model::Args),
    /// Serve models over HTTP and gRPC (Open Inference Protocol V2).
    Serve(serve::ServeArgs),
    /// Answer callers over HTTP and gRPC with the nodes of a region.
    Gateway(serve::GatewayArgs),
    /// Run models for the gateways of a region.
    Node(serve::NodeArgs),
    /// Lead a region: look after node processes, have all nodes start anew one after the other.
    Control(serve::ControlArgs),
    /// Show the nodes of a region, stop one in good order, start all of them anew one after the other.
    Cluster(cluster::Args),
    /// Show which service levels are promised, whether they are kept, and what is left of their error budgets.
    Slo(slo::Args),
    /// Make the certificates by which gateways, nodes and control know each other, and those that callers are shown.
    Pki(pki::Args),
    /// Make, list and revoke the API keys by which callers show who they are.
    Token(token::Args),
    /// Make and rotate the keys of what rests encrypted, and show which there are.
    Keys(keys::Args),
    /// Check who may do what: policies and their tests.
    Policy(policy::Args),
    /// Verify, read and search the ledger, and get receipts.
    Audit(audit::Args),
    /// Put a server under load and say what its users would have seen: latencies, throughput, failures.
    Bench(Box<bench::Args>),
}

fn main() -> ExitCode {
    // The first to ask is the moment that counts.
    clock::started();
    // Clap prints its own messages and ends the process with 2 on wrong usage, 0 on --help.
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Train(args) => train::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Adapt(args) => adapt::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Model(args) => model::run(&args),
        Command::Serve(args) => serve::run(args).map_err(failure::of_data_folder),
        Command::Gateway(args) => serve::run_gateway(args),
        Command::Node(args) => serve::run_node(args).map_err(failure::of_data_folder),
        Command::Control(args) => serve::run_control(args).map_err(failure::of_data_folder),
        Command::Cluster(args) => cluster::run(&args),
        Command::Slo(args) => slo::run(&args),
        Command::Pki(args) => pki::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(()) if output::is_lost() => {
            failure::report(&failure::fault(Code::Io, "standard output could not be written"))
        }
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
