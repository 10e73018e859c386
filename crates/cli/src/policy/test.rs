//! `spinwell policy test`.

use crate::failure;
use crate::output::{self, remark, say};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault};
use spinwell_runtime::access::read_policies;
use spinwell_security::access::{Action, DEFAULT_TESTS, PolicySet, Report, run_tests};
use std::fs;
use std::path::{Path, PathBuf};

/// Options of `spinwell policy test`.
#[derive(Debug, clap::Args)]
#[command(after_help = help())]
pub(super) struct Args {
    /// Test files [default: all *.test.toml beside the policies; the usual ones where there are none].
    tests: Vec<PathBuf>,
    /// Folder of the policies [default: ./spinwell-data/access/policies; the usual policies where there is none].
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

const POLICIES: &str = "./spinwell-data/access/policies";

const HELP: &str = "\
A test file says who asks for what and what is to be decided:
  [[case]]
  roles = [\"predictor\"]
  tenant = \"acme\"
  action = \"PredictionCreate\"
  resource = { kind = \"model\", name = \"acme-load\", tenant = \"acme\" }
  expect = \"allow\"

Actions, and the kinds of resources that they are for:
ACTIONS

Exit code 0 where all cases are decided so, 1 where one is not or a policy is wrong.

Examples:
  spinwell policy test
  spinwell policy test --policies staged/policies staged/policies/mine.test.toml";

/// The help, with all actions in their place.
fn help() -> String {
    let kinds =
        |action: &Action| action.kinds().iter().map(|kind| kind.name().to_lowercase()).collect::<Vec<_>>();
    let actions =
        Action::ALL.iter().map(|action| format!("  {:<18} {}\n", action.name(), kinds(action).join(", ")));
    HELP.replacen("ACTIONS\n", &actions.collect::<String>(), 1)
}

/// Checks and tries.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(dir) = args.policies.as_deref().filter(|dir| !dir.is_dir()) {
        return Err(failure::fault(Code::Io, format!("{} is no folder of policies", dir.display())));
    }
    let dir = args.policies.as_deref().unwrap_or(Path::new(POLICIES));
    let policies = read_policies(dir)?;
    let mut reports = Vec::new();
    for (name, text) in tests(args, dir)? {
        let report = run_tests(&policies, &name, &text);
        reports.push((name, report.map_err(|invalid| Fault::new(Code::OptionInvalid, invalid.to_string()))?));
    }
    let failed: usize = reports.iter().map(|(_, report)| report.failed().count()).sum();
    if args.json {
        output::document(&document(&policies, &reports, failed));
    } else {
        for (name, report) in &reports {
            report.cases.iter().for_each(|case| say(&format!("{name} {case}")));
        }
        let cases: usize = reports.iter().map(|(_, report)| report.cases.len()).sum();
        remark(&format!("{} policies, {cases} cases, {failed} failed", policies.policies().len()));
    }
    if failed > 0 {
        return Err(anyhow::anyhow!("{failed} cases are decided otherwise than expected"));
    }
    Ok(())
}

fn tests(args: &Args, dir: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut paths = args.tests.clone();
    if paths.is_empty() && dir.is_dir() {
        paths = beside(dir)?;
    }
    if paths.is_empty() {
        return Ok(vec![("default.test.toml".to_owned(), DEFAULT_TESTS.to_owned())]);
    }
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).map_err(|error| failure::io(path, "reading", &error))?;
        Ok((path.display().to_string(), text))
    };
    paths.iter().map(read).collect()
}

fn beside(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let wrong = |error: std::io::Error| failure::io(dir, "reading", &error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.to_string_lossy().ends_with(".test.toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn document(policies: &PolicySet, reports: &[(String, Report)], failed: usize) -> Value {
    let policies: Vec<Value> = policies
        .policies()
        .iter()
        .map(|policy| json!({"id": &*policy.id, "file": policy.file, "line": policy.line, "effect": policy.effect.name()}))
        .collect();
    let cases = reports.iter().flat_map(|(name, report)| {
        report.cases.iter().map(move |case| {
            json!({
                "file": name, "line": case.line, "name": case.name, "passed": case.passed(),
                "expected": case.expected.name(), "decided": case.decision.effect().name(),
                "policies": case.decision.policies().collect::<Vec<_>>(),
            })
        })
    });
    json!({"policies": policies, "cases": cases.collect::<Vec<_>>(), "failed": failed})
}
