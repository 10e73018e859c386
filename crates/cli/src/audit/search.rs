//! `spinwell audit search`.

use super::index;
use super::lines::{Line, walk};
use super::logs::Place;
use super::tail::print;
use crate::failure;
use crate::output::remark;
use anyhow::Result;
use spinwell_core::{Code, UnixMicros};
use spinwell_ledger::{Entry, line};
use spinwell_runtime::at_rest::Veil;
use spinwell_store::ledger::index::{Sought, kind_of};

/// Members that are encrypted where there is a root key.
const NAMES: [&str; 3] = ["principal", "sequence", "request_id"];

/// The kinds of lines.
const KINDS: [&str; 7] = ["prediction", "batch_call", "event", "checkpoint", "gap", "opened", "closed"];

/// How something may have ended, beside the error codes: predictions, any of both, and acts.
const RESULTS: [&str; 5] = ["answered", "cancelled", "failed", "begun", "done"];

/// Records of a batch are at most so much older than its seal: requests may take a minute, and are recorded at their end.
const BATCH_SPAN_US: u64 = 60_000_000;

/// What is looked for: all of it must fit.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Wanted {
    /// Who asked or acted, or whom an API key is of.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// The API key with which it was asked or done, or that it is about: its id.
    #[arg(long, value_name = "ID")]
    api_key: Option<String>,
    /// The model that was asked for, or that something was done to.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// How it ended: answered or cancelled, of an act begun or done, or an error code; `failed` is any code.
    #[arg(long, value_name = "RESULT")]
    result: Option<String>,
    /// Whose data it is.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// What kind of line: prediction, batch_call, event, checkpoint, gap, opened or closed.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// The node that answered.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The sequence that it is a step of.
    #[arg(long, value_name = "ID")]
    sequence: Option<String>,
    /// The caller's own id.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// The batch call that it came in.
    #[arg(long, value_name = "ID")]
    batch_call: Option<String>,
    /// Not before this moment, such as 2026-11-28T05:00:00Z, or 2026-11-28 for midnight UTC.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this moment.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Options of `spinwell audit search`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Events are found by the same options as records: by who did it or whose API key it is, tenant, model and result (begun, done or a code).
A log that has an index (`spinwell audit index`) is looked up in it, and any other one is read through; the lines are the same.

Examples:
  spinwell audit search --model taxi --result failed
  spinwell audit search --sequence fleet-7 --since 2026-11-28T05:00:00Z --until 2026-11-28T06:00:00Z --json")]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wanted: Wanted,
    /// How many lines at most, the newest.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Searches and prints, the newest last.
pub(super) fn run(args: &Args) -> Result<()> {
    let filter = args.wanted.filter()?;
    let ledger = args.place.open_readable()?;
    let mut found: Vec<Line> = Vec::new();
    // Lines that could be meant, if somebody could read them.
    let (mut unread, is_blind) = (0_u64, filter.has_name() && !ledger.veil.opens());
    for log in &ledger.logs {
        let by_index = match is_blind {
            true => None,
            false => index::search(&ledger, log, &filter, args.limit.saturating_add(1))?,
        };
        if let Some(of_log) = by_index {
            found.extend(of_log);
            continue;
        }
        let mut of_log = Vec::new();
        walk(&ledger, log, true, &|entry| filter.may_have(entry), &mut |line| {
            if filter.fits(&line) {
                of_log.push(line);
            } else if is_blind && line.is_veiled() {
                unread += 1;
            }
            of_log.len() <= args.limit
        })?;
        found.extend(of_log);
    }
    found.sort_by_key(Line::at);
    let begin = found.len().saturating_sub(args.limit);
    print(&found[begin..], args.json);
    tell_unread(unread);
    if begin > 0 {
        remark(&format!("there are more: these are the newest {} (--limit)", args.limit));
    }
    Ok(())
}

/// Says that so many lines could be meant, if somebody could read them.
pub(super) fn tell_unread(lines: u64) {
    if lines > 0 {
        remark(&format!(
            "{lines} lines name somebody or something in encrypted form and were not compared: with the root key they are (--root-key-file, or SPINWELL_ROOT_KEY)"
        ));
    }
}

/// A moment as people write it.
fn time(option: &str, text: Option<&String>) -> Result<Option<UnixMicros>> {
    let Some(text) = text else { return Ok(None) };
    let midnight = || format!("{text}T00:00:00Z").parse::<jiff::Timestamp>();
    let parsed = text.parse::<jiff::Timestamp>().or_else(|_| midnight());
    let parsed = parsed.ok().and_then(|time| u64::try_from(time.as_microsecond()).ok());
    let why = || {
        wrong(format!(
            "{option} {text:?} is no moment such as 2026-11-28T05:00:00Z, and no date such as 2026-11-28"
        ))
    };
    parsed.map(UnixMicros).map(Some).ok_or_else(why)
}

fn wrong(message: String) -> anyhow::Error {
    failure::fault(Code::OptionInvalid, message)
}

impl Wanted {
    /// What it stands for.
    ///
    /// # Errors
    /// Where a moment, a kind or a result is none, or nothing can be so.
    pub(super) fn filter(&self) -> Result<Filter<'_>> {
        if let Some(kind) = self.kind.as_deref().filter(|kind| !KINDS.contains(kind)) {
            return Err(wrong(format!("--kind {kind:?} is none: there are {}", KINDS.join(", "))));
        }
        let is_result = |result: &str| RESULTS.contains(&result) || Code::named(result).is_some();
        if let Some(result) = self.result.as_deref().filter(|result| !is_result(result)) {
            let known = RESULTS.join(", ");
            return Err(wrong(format!(
                "--result {result:?} is none: there are {known} and error codes such as SPW-QUEUE-FULL"
            )));
        }
        let (since, until) = (time("--since", self.since.as_ref())?, time("--until", self.until.as_ref())?);
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            return Err(wrong("--since is after --until: nothing can be in between".to_owned()));
        }
        Ok(Filter { wanted: self, since, until })
    }
}

/// What is looked for.
pub(super) struct Filter<'a> {
    wanted: &'a Wanted,
    since: Option<UnixMicros>,
    until: Option<UnixMicros>,
}

impl Filter<'_> {
    /// Whether something in an entry may fit, by its time.
    pub(super) fn may_have(&self, entry: &Entry) -> bool {
        let at = entry.at().0;
        let earliest =
            if matches!(entry, Entry::Batch { .. }) { at.saturating_sub(BATCH_SPAN_US) } else { at };
        self.since.is_none_or(|since| at >= since.0) && self.until.is_none_or(|until| earliest < until.0)
    }

    /// Members of lines that are to have one value.
    fn members(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Wanted { principal, api_key, tenant, model, node, sequence, request_id, batch_call, .. } =
            self.wanted;
        let members = [
            ("principal", principal),
            ("key", api_key),
            ("tenant", tenant),
            ("model", model),
            ("node", node),
            ("sequence", sequence),
            ("request_id", request_id),
            ("batch_call", batch_call),
        ];
        members.into_iter().filter_map(|(name, wanted)| Some((name, wanted.as_deref()?)))
    }

    /// Whether a name is looked for, which may stand there encrypted.
    pub(super) fn has_name(&self) -> bool {
        self.members().any(|(member, _)| NAMES.contains(&member))
    }

    /// The same for an index.
    pub(super) fn sought(&self, veil: &Veil) -> Sought<'_> {
        let Wanted { result, kind, .. } = self.wanted;
        let has_failed = result.as_deref() == Some("failed");
        let result =
            result.as_deref().filter(|_| !has_failed).map(|result| ("result", vec![result.to_owned()]));
        // A name may stand there as itself or encrypted; that of a key is encrypted as another member.
        let forms = |(member, text): (&'static str, &str)| match NAMES.contains(&member) {
            true => {
                let places = std::iter::once(member).chain((member == "principal").then_some("name"));
                (member, places.flat_map(|place| veil.forms(place, text)).collect())
            }
            false => (member, vec![text.to_owned()]),
        };
        let (kind, since, until) = (kind.as_deref(), self.since, self.until);
        Sought { members: self.members().map(forms).chain(result).collect(), kind, has_failed, since, until }
    }

    /// Whether a line fits.
    pub(super) fn fits(&self, line: &Line) -> bool {
        let at = line.at();
        let Wanted { result, kind, .. } = self.wanted;
        let has = |member: &str, wanted: &str| {
            line::looked_at(member).into_iter().any(|member| line.sought(member).as_deref() == Some(wanted))
        };
        let is_result = |wanted: &String| match (wanted.as_str(), line.sought("result").unwrap_or_default()) {
            ("failed", result) => result.starts_with("SPW-"),
            (wanted, result) => result == wanted,
        };
        self.since.is_none_or(|since| at >= since.0)
            && self.until.is_none_or(|until| at < until.0)
            && self.members().all(|(member, wanted)| has(member, wanted))
            && kind.as_ref().is_none_or(|kind| kind_of(&line.value) == kind)
            && result.as_ref().is_none_or(is_result)
    }
}
