//! `spinwell audit tail`.

use super::lines::{Line, walk};
use super::logs::Place;
use super::verify::moment;
use crate::output::{self, remark, say};
use anyhow::Result;
use serde_json::{Value, json};
use spinwell_core::UnixMicros;
use spinwell_runtime::at_rest::is_veiled;

/// Options of `spinwell audit tail`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  spinwell audit tail
  spinwell audit tail -n 100 --json")]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// How many lines.
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Reads and prints, the newest last.
pub(super) fn run(args: &Args) -> Result<()> {
    let ledger = args.place.open_readable()?;
    let mut found: Vec<Line> = Vec::new();
    for log in &ledger.logs {
        let mut of_log = Vec::new();
        if args.lines > 0 {
            walk(&ledger, log, true, &|_| true, &mut |line| {
                of_log.push(line);
                of_log.len() < args.lines
            })?;
        }
        found.extend(of_log);
    }
    found.sort_by_key(Line::at);
    let begin = found.len().saturating_sub(args.lines);
    print(&found[begin..], args.json);
    Ok(())
}

/// Prints lines of any kind.
pub(super) fn print(lines: &[Line], json: bool) {
    if json {
        let one = |line: &Line| json!({"log": line.log, "entry": line.entry, "line": line.value});
        output::document(&json!({"lines": lines.iter().map(one).collect::<Vec<_>>()}));
        return;
    }
    lines.iter().for_each(|line| say(&shown(line)));
    if lines.iter().any(Line::is_veiled) {
        remark(
            "names are encrypted there; with the root key they are shown (--root-key-file, or SPINWELL_ROOT_KEY)",
        );
    }
}

fn shown(line: &Line) -> String {
    let at = moment(UnixMicros(line.at()));
    let (log, value) = (&line.log, &line.value);
    if line.is_prediction() {
        let took = value["took"].as_u64().unwrap_or_default() as f64 / 1000.0;
        let version = line.text("version");
        let model =
            if version.is_empty() { line.text("model") } else { format!("{}:{version}", line.text("model")) };
        let sequence = match (readable(line.text("sequence")), line.text("step")) {
            (sequence, _) if sequence.is_empty() => String::new(),
            (sequence, step) => format!("  sequence {sequence} step {step}"),
        };
        let node = line.text("node");
        let by = if node.is_empty() { String::new() } else { format!("  by {node}") };
        let (result, protocol, receipt) = (line.text("result"), line.text("protocol"), line.receipt());
        let who = match readable(line.text("principal")) {
            principal if principal.is_empty() => String::new(),
            principal => format!("  for {principal}"),
        };
        let key = line.text("key");
        let key = if key.is_empty() { key } else { format!(" by key {key}") };
        return format!("{at}  {receipt}  {model}  {result}  {took} ms  {protocol}{by}{sequence}{who}{key}");
    }
    if value.get("phase").is_some() {
        let (call, phase, receipt) = (line.text("batch_call"), line.text("phase"), line.receipt());
        return format!("{at}  {receipt}  batch call {call} {phase}, {} requests", line.text("requests"));
    }
    let entry = line.entry;
    match value["kind"].as_str() {
        Some("opened") => format!("{at}  {log} entry {entry}: {} has begun to write", line.text("program")),
        Some("closed") => format!("{at}  {log} entry {entry}: closed in good order"),
        Some("gap") => format!("{at}  {log} entry {entry}: records may be missing: {}", line.text("reason")),
        Some("checkpoint") => format!("{at}  {log} entry {entry}: {}", recorded(&line.text("note"))),
        Some("event") => format!("{at}  {log} entry {entry}: {}", event(&value["event"])),
        _ => format!("{at}  {log} entry {entry}: {value}"),
    }
}

/// A text as it is shown: of one that is encrypted, that it is.
fn readable(text: String) -> String {
    if is_veiled(&text) { "(encrypted)".to_owned() } else { text }
}

/// What stands in a checkpoint of another log.
fn recorded(note: &str) -> String {
    let mut lines = note.lines();
    let (origin, size) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    format!("the log {origin} has {size} entries")
}

/// An OCSF event in a line; the whole of it is what `--json` and `audit export` are for.
fn event(event: &Value) -> String {
    let text = |value: &Value| readable(value.as_str().unwrap_or_default().to_owned());
    match event["class_uid"].as_u64() {
        Some(6003) => {
            let who = match text(&event["actor"]["user"]["name"]) {
                who if who.is_empty() => "somebody".to_owned(),
                who => who,
            };
            let (what, resource) = (text(&event["api"]["operation"]), &event["resources"][0]);
            let how = match text(&event["unmapped"]["phase"]).as_str() {
                "begun" => "begun".to_owned(),
                _ => match text(&event["status_code"]) {
                    code if code.is_empty() => "done".to_owned(),
                    code => format!("failed [{code}]"),
                },
            };
            let times = match event["count"].as_u64() {
                Some(count) if count > 1 => format!(", {count} times"),
                _ => String::new(),
            };
            format!("{who}: {what} of {} {}, {how}{times}", text(&resource["type"]), text(&resource["name"]))
        }
        Some(3004) => {
            let entity = &event["entity"];
            let activity = text(&event["activity_name"]).to_lowercase();
            let principal = text(&entity["data"]["principal"]);
            let of = if principal.is_empty() { String::new() } else { format!(" of {principal}") };
            format!("{activity} {} {}{of}", text(&entity["type"]), text(&entity["name"]))
        }
        Some(2004) => {
            let (title, then) = (text(&event["finding_info"]["title"]), text(&event["disposition"]));
            format!("finding {title} from {}, {}", text(&event["src_endpoint"]["ip"]), then.to_lowercase())
        }
        _ => event["message"].as_str().map_or_else(|| event.to_string(), str::to_owned),
    }
}
