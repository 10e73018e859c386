//! `spinwell slo`: what is promised, and whether it is kept, through a control.

use crate::client::Client;
use crate::connection::Connection;
use crate::output::{self, remark, say};
use clap::Subcommand;
use serde_json::Value;
use spinwell_core::{Code, Fault, UnixMillis};
use spinwell_runtime::clock;

/// Options of `spinwell slo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A control is asked on its operations plane: it reads what all gateways count every ten seconds. See docs/cluster.md.

Examples:
  spinwell slo status --url http://127.0.0.1:8012
  spinwell slo status --url http://127.0.0.1:8012 --json")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show each objective with its goal, what is measured now and what is left of its error budget, the health score and the alerts that fire.
    #[command(after_help = "Example:\n  spinwell slo status --url http://127.0.0.1:8012")]
    Status {
        /// The operations plane of a control.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8002")]
        url: String,
        #[command(flatten)]
        connection: Connection,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command that was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Command::Status { url, connection, json } = &args.command;
    let client = Client::new(url, connection)?;
    let levels = client.service_levels().map_err(|fault| match fault.code() {
        Code::PathNotFound => {
            let message = "this is no control; ask one (--url with the address of `spinwell control`)";
            Fault::new(Code::OptionInvalid, message)
        }
        _ => fault,
    })?;
    if *json {
        output::document(&levels);
        return Ok(());
    }
    for line in lines(&levels) {
        say(&line);
    }
    let looks = &levels["looks"];
    for unread in looks["unread"].as_array().into_iter().flatten() {
        remark(&format!("{} cannot be read: {}", text(&unread["source"]), text(&unread["why"])));
    }
    if let Some(since) = moment(&looks["blind_since_ms"]) {
        remark(&format!(
            "no gateway's metrics could be read since {since}: nothing is known of what is served now"
        ));
    } else if looks["read"].as_array().is_none_or(Vec::is_empty) {
        remark(
            "this control has read no gateway yet; it knows those in the registry and in control.gateways",
        );
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn moment(value: &Value) -> Option<String> {
    value.as_u64().map(|at| clock::civil(UnixMillis(at)))
}

/// A share in per cent, or a dash.
fn share(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |share| format!("{} %", output::without_zeros(share)))
}

fn goal(threshold: &Value) -> String {
    let percent = share(&threshold["percent"]);
    match text(&threshold["is"]) {
        "at least" => format!(">= {percent}"),
        "more than" => format!("> {percent}"),
        _ => format!("{} to {}", percent.trim_end_matches(" %"), share(&threshold["percent_max"])),
    }
}

/// What people read.
fn lines(levels: &Value) -> Vec<String> {
    let heads = ["objective", "goal", "now", "budget left", "status", "since"];
    let row = |objective: &Value| {
        let budget = &objective["budget"];
        let left = match (budget["left_percent"].as_f64(), budget["left"].as_i64()) {
            (Some(percent), Some(left)) => format!("{left} ({} %)", output::without_zeros(percent)),
            _ => "-".to_owned(),
        };
        let alerts = objective["alerts"].as_array().into_iter().flatten();
        let since = alerts.filter_map(|alert| alert["since_ms"].as_u64()).min();
        let since = since.map_or("-".to_owned(), |at| clock::civil(UnixMillis(at)));
        let status = text(&objective["status"]).to_owned();
        vec![
            text(&objective["name"]).to_owned(),
            goal(&objective["threshold"]),
            share(&objective["current_percent"]),
            left,
            status,
            since,
        ]
    };
    let objectives = || levels["objectives"].as_array().into_iter().flatten();
    let rows: Vec<_> =
        std::iter::once(heads.map(str::to_owned).to_vec()).chain(objectives().map(row)).collect();
    let score = levels["health"]["score"].as_f64();
    let score = score
        .map_or("not enough data".to_owned(), |score| format!("{} of 100", output::without_zeros(score)));
    let mut lines = vec![output::aligned(&rows), String::new(), format!("health score: {score}")];
    for alert in objectives().flat_map(|objective| objective["alerts"].as_array().into_iter().flatten()) {
        lines.push(format!(
            "{}: {}/{} since {}: {}",
            text(&alert["severity"]),
            text(&alert["objective"]),
            text(&alert["rule"]),
            moment(&alert["since_ms"]).unwrap_or_default(),
            text(&alert["reason"]),
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn people_see_goals_budgets_and_alerts() {
        let alert = json!({
            "objective": "availability", "rule": "outage", "severity": "page", "since_ms": 1_700_000_000_000_u64,
            "reason": "nothing has succeeded for 30 s, 9 were asked for",
        });
        let of = |name: &str, threshold: Value, alerts: Vec<&Value>| {
            json!({
                "name": name, "threshold": threshold, "current_percent": 99.5, "status": "kept",
                "budget": {"left": 7, "left_percent": 70.0}, "alerts": alerts,
            })
        };
        let mut band =
            of("coverage", json!({"is": "within", "percent": 94.0, "percent_max": 96.0}), Vec::new());
        band["budget"]["left_percent"] = Value::Null;
        let levels = json!({
            "objectives": [of("availability", json!({"is": "at least", "percent": 99.95}), vec![&alert]), band],
            "health": {"score": 49.0},
        });
        let shown = lines(&levels).join("\n");
        for part in [
            ">= 99.95 %",
            "99.5 %",
            "7 (70 %)",
            "94 to 96 %",
            "health score: 49 of 100",
            "page: availability/outage since 2023-11-14T22:13:20Z: nothing has succeeded for 30 s, 9 were asked for",
        ] {
            assert!(shown.contains(part), "{part} is missing in\n{shown}");
        }
    }
}
