//! Chores of this repository that need code: `cargo xtask tidy` checks the rules that no compiler checks.
//!
//! A binary of the workspace and not a shell script, because the checks read cargo's own graph and because a
//! check nobody tests stops finding things without a sound. Every check is a function from data to findings, in
//! the file named after it; reading the disk is left to [`tree`] and [`graph`], printing to this file.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for people: what it prints is its result"
)]

mod arrows;
mod bans;
mod codes;
mod graph;
mod lengths;
mod links;
mod report;
mod tidy;
mod tree;
mod words;

use std::process::ExitCode;

const USAGE: &str =
    "usage: cargo xtask tidy    check crate arrows, error codes, file lengths, links, left-over marks";
/// As for `spinwell`: 0 fine, 1 failed, 2 asked for something that does not exist.
const EXIT_USAGE: u8 = 2;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => {
            let report = tidy::run()?;
            print!("{report}");
            Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        ["--help" | "-h" | "help"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprintln!("{USAGE}");
            Ok(ExitCode::from(EXIT_USAGE))
        }
    }
}
