//! Documents to objectives.

use super::super::goal::{BurnRate, Goal, PerMillion};
use super::super::objective::{Events, Indicator, Invalid, Objective, ObjectiveName, Part};
use super::super::rules::{EVENTS_MIN, Rule, Severity};
use super::super::selector::Selector;
use super::super::spans::{MINUTE, SECOND, parse};
use super::tree::{Error, Place, Tree};
use super::{API_VERSION, annotations, query};
use spinwell_core::Millis;

/// How much an objective counts in the health score where nobody says.
const WEIGHT: u32 = 10;

/// The objectives of documents that belong together: those of kind `SLO`, with what they refer to by name among the others.
///
/// # Errors
/// The first field that is wrong, missing, or means something that is not supported. With several documents its path begins with
/// `documents[..]`, counted from 0.
pub fn read(documents: &[Tree]) -> Result<Vec<Objective>, Error> {
    let root = |(index, tree)| match documents.len() {
        1 => Place::root(tree, ""),
        _ => Place::root(tree, &format!("documents[{index}]")),
    };
    let all: Vec<Place<'_>> = documents.iter().enumerate().map(root).collect();
    let mut objectives: Vec<Objective> = Vec::new();
    for document in &all {
        let version = document.field("apiVersion")?;
        if version.text()? != API_VERSION {
            return Err(version.wrong(format!("must be {API_VERSION}")));
        }
        let kind = document.field("kind")?;
        match kind.text()? {
            "SLO" => objectives.extend(Slo::of(document, &all)?.objectives()?),
            "SLI"
            | "AlertPolicy"
            | "AlertCondition"
            | "AlertNotificationTarget"
            | "DataSource"
            | "Service" => {}
            other => return Err(kind.wrong(format!("{other:?} is no kind of document"))),
        }
        let before = objectives.len().saturating_sub(1);
        let is_twice = |own: &Objective| objectives[..before].iter().any(|other| other.name == own.name);
        if objectives.last().is_some_and(is_twice) {
            return Err(document.field("metadata")?.field("name")?.wrong("stands twice"));
        }
    }
    Ok(objectives)
}

/// The document of a kind that is called so.
fn referred<'a>(reference: &Place<'a>, kind: &str, all: &[Place<'a>]) -> Result<Place<'a>, Error> {
    let name = reference.text()?;
    let is_it = |document: &&Place<'a>| {
        let own = document.field("metadata").and_then(|metadata| metadata.field("name"));
        document.field("kind").and_then(|own| own.text()) == Ok(kind)
            && own.and_then(|own| own.text()) == Ok(name)
    };
    let found = all.iter().find(is_it).cloned();
    found
        .ok_or_else(|| reference.wrong(format!("there is no document of kind {kind} with the name {name:?}")))
}

/// An annotation's text.
fn annotation<'a>(document: &Place<'a>, name: &str) -> Result<Option<Place<'a>>, Error> {
    let Some(metadata) = document.optional("metadata")? else { return Ok(None) };
    metadata.optional("annotations")?.map_or(Ok(None), |all| all.optional(name))
}

/// An annotation of ours that is misspelt would otherwise be none.
fn only_known_annotations(document: &Place<'_>) -> Result<(), Error> {
    let Some(all) = document.field("metadata")?.optional("annotations")? else { return Ok(()) };
    let is_wrong = |own: &Place<'_>, name: &str| {
        let is_known = annotations::ALL.contains(&name) || !name.starts_with(annotations::PREFIX);
        (!is_known).then(|| own.wrong("is no annotation that is known here"))
    };
    let wrong = all.fields()?.iter().find_map(|(name, own)| is_wrong(own, name));
    wrong.map_or(Ok(()), Err)
}

/// A number that an annotation holds as a text.
fn number<T: std::str::FromStr>(place: &Place<'_>) -> Result<T, Error> {
    place.text()?.parse().map_err(|_| place.wrong("must be a number in quotes, in range"))
}

/// A share in [0, 1].
fn share(place: &Place<'_>, share: f64) -> Result<PerMillion, Error> {
    let wrong = || place.wrong("must be a share of the whole with at most six digits behind the point");
    PerMillion::from_share(share).ok_or_else(wrong)
}

fn span(place: &Place<'_>) -> Result<Millis, Error> {
    let text = place.text()?;
    parse(text).ok_or_else(|| {
        place.wrong(format!("{text:?} is no number with m, h, d or w; M, Q and Y have no fixed length"))
    })
}

/// A document of kind SLO, taken apart.
struct Slo<'a> {
    document: Place<'a>,
    spec: Place<'a>,
    events: Events,
    window: Millis,
    /// Those of the policies; nothing where there are no policies to read.
    rules: Option<Vec<Rule>>,
}

impl<'a> Slo<'a> {
    fn of(document: &Place<'a>, all: &[Place<'a>]) -> Result<Self, Error> {
        only_known_annotations(document)?;
        let spec = document.field("spec")?;
        let rules = spec.optional("alertPolicies")?.map(|policies| rules(&policies, all)).transpose()?;
        Ok(Self {
            events: events(&spec, all)?,
            window: window(&spec)?,
            rules,
            document: document.clone(),
            spec,
        })
    }

    /// One for each target.
    fn objectives(&self) -> Result<Vec<Objective>, Error> {
        let targets = self.spec.field("objectives")?;
        let items = targets.items()?;
        if items.is_empty() {
            return Err(targets.wrong("must have at least one item"));
        }
        let several = items.len() > 1;
        let objective = |(index, target): (usize, &Place<'a>)| {
            self.objective(target, several.then(|| format!("-{}", index + 1)).as_deref())
        };
        items.iter().enumerate().map(objective).collect()
    }

    fn objective(&self, target: &Place<'a>, suffix: Option<&str>) -> Result<Objective, Error> {
        let metadata = self.document.field("metadata")?;
        let place = metadata.field("name")?;
        let name = format!("{}{}", place.text()?, suffix.unwrap_or_default());
        let wrong = || {
            place.wrong("must be at most 63 lower-case letters, digits or -, a letter or digit at both ends")
        };
        let titles = [suffix.and(target.optional("displayName")?), metadata.optional("displayName")?];
        let title = titles.into_iter().flatten().next().map_or(Ok(name.as_str()), |title| title.text())?;
        let description = self.spec.optional("description")?;
        let goal = self.goal(target)?;
        let weight = annotation(&self.document, annotations::WEIGHT)?;
        let objective = Objective {
            title: title.to_owned(),
            description: description.map_or(Ok(""), |own| own.text())?.to_owned(),
            service: self.spec.field("service")?.text()?.to_owned(),
            indicator: self.indicator(target)?,
            goal,
            window: self.window,
            rules: self.all_rules(goal)?,
            weight: weight.as_ref().map_or(Ok(WEIGHT), number)?,
            name: ObjectiveName::new(&name).ok_or_else(wrong)?,
        };
        objective.validate().map_err(|why| self.invalid(target, &why))?;
        Ok(objective)
    }

    /// Where it stands that an objective cannot be kept an eye on.
    fn invalid(&self, target: &Place<'a>, why: &Invalid) -> Error {
        let place = match why {
            Invalid::Window => self.spec.field("timeWindow"),
            Invalid::NoEvents => self.spec.field("indicator"),
            Invalid::Slices => target.field("timeSliceWindow"),
            Invalid::Band => Ok(target.clone()),
            Invalid::Rules | Invalid::RuleWindows(_) | Invalid::RuleGoal(_) => {
                self.spec.field("alertPolicies")
            }
            Invalid::Weight => self.document.field("metadata"),
        };
        place.unwrap_or_else(|_| self.spec.clone()).wrong(why.to_string())
    }

    fn goal(&self, target: &Place<'a>) -> Result<Goal, Error> {
        target.without("value", "values belong to threshold metrics")?;
        let (as_share, as_percent) = (target.optional("target")?, target.optional("targetPercent")?);
        let own = annotation(&self.document, annotations::TARGET)?;
        let least = match (own, as_share, as_percent) {
            (_, Some(_), Some(percent)) => return Err(percent.wrong("must not stand beside target")),
            (Some(own), _, _) => share(&own, number(&own)?)?,
            (None, Some(place), None) => share(&place, place.number()?)?,
            (None, None, Some(place)) => share(&place, place.number()? / 100.0)?,
            (None, None, None) => return Err(target.wrong("target or targetPercent must be there")),
        };
        let Some(goal) = annotation(&self.document, annotations::GOAL)? else {
            return Ok(Goal::AtLeast(least));
        };
        match goal.text()? {
            annotations::MORE_THAN => Ok(Goal::MoreThan(least)),
            annotations::WITHIN => {
                let needed = |name: &str| {
                    annotation(&self.document, name)?
                        .ok_or_else(|| goal.wrong(format!("needs {name} beside it")))
                };
                let (high, events_min) = (needed(annotations::HIGH)?, needed(annotations::EVENTS_MIN)?);
                let high = share(&high, number(&high)?)?;
                Ok(Goal::Within { low: least, high, events_min: number(&events_min)? })
            }
            _ => Err(goal.wrong("must be more-than or within")),
        }
    }

    fn indicator(&self, target: &Place<'a>) -> Result<Indicator, Error> {
        let method = self.spec.field("budgetingMethod")?;
        match method.text()? {
            "Occurrences" => Ok(Indicator::Ratio(self.events.clone())),
            "Timeslices" => {
                let all = target.field("timeSliceTarget")?;
                if all.number()? < 1.0 {
                    return Err(all.wrong("must be 1: a slice is good where all that is asked for is served"));
                }
                let per_second = annotation(&self.document, annotations::SLICE_PER_SECOND)?;
                Ok(Indicator::TimeSlices {
                    events: self.events.clone(),
                    length: slice(&target.field("timeSliceWindow")?)?,
                    // Where nobody says, all that is asked for must be served, however much that is.
                    per_second: per_second.as_ref().map_or(Ok(u32::MAX), number)?,
                })
            }
            _ => Err(method.wrong("must be Occurrences or Timeslices")),
        }
    }

    /// The rules of policies and annotations, in the order in which they are looked at; the usual ones where none are named.
    fn all_rules(&self, goal: Goal) -> Result<Vec<Rule>, Error> {
        let Some(policies) = &self.rules else { return Ok(Rule::usual(goal)) };
        let mut all = Vec::new();
        if let Some(place) = annotation(&self.document, annotations::OUTAGE)? {
            let wrong = || place.wrong("must be a span and a number of events, such as 30s 5");
            let (lasts, asked_min) = place.text()?.split_once(' ').ok_or_else(wrong)?;
            let asked_min = asked_min.parse().map_err(|_| wrong())?;
            all.push(Rule::Outage { lasts: parse(lasts).ok_or_else(wrong)?, asked_min });
        }
        all.extend(policies);
        if let Some(place) = annotation(&self.document, annotations::ANY_EVENT)? {
            all.push(Rule::AnyEvent { quiet: span(&place)? });
        }
        if annotation(&self.document, annotations::OUT_OF_BAND)?.is_some() {
            all.push(Rule::OutOfBand);
        }
        Ok(all)
    }
}

/// How long a slice is: a shorthand, or a number of minutes.
fn slice(place: &Place<'_>) -> Result<Millis, Error> {
    let Ok(minutes) = place.number() else { return span(place) };
    let seconds = (minutes * MINUTE as f64 / SECOND as f64).round();
    let is_span = (1.0..=3_600.0).contains(&seconds);
    is_span
        .then_some(Millis(seconds as u64 * SECOND))
        .ok_or_else(|| place.wrong("must be a second to an hour"))
}

/// The counters of an indicator that stands there or elsewhere.
fn events(spec: &Place<'_>, all: &[Place<'_>]) -> Result<Events, Error> {
    let indicator = match (spec.optional("indicator")?, spec.optional("indicatorRef")?) {
        (Some(indicator), None) => indicator,
        (None, Some(reference)) => referred(&reference, "SLI", all)?,
        (Some(_), Some(reference)) => return Err(reference.wrong("must not stand beside indicator")),
        (None, None) => return Err(spec.wrong("indicator or indicatorRef must be there")),
    };
    let spec = indicator.field("spec")?;
    spec.without("thresholdMetric", "count events on either side of a bucket's boundary by a ratioMetric")?;
    let ratio = spec.field("ratioMetric")?;
    ratio.without("raw", "shares that somebody else has computed cannot be added up")?;
    if let Some(counter) = ratio.optional("counter")?.filter(|own| own.flag() != Ok(true)) {
        return Err(counter.wrong("must be true: only counters are read"));
    }
    let part = match (ratio.optional("good")?, ratio.optional("bad")?) {
        (Some(good), None) => Part::Good(selectors(&good)?),
        (None, Some(bad)) => Part::Bad(selectors(&bad)?),
        (Some(_), Some(bad)) => return Err(bad.wrong("must not stand beside good")),
        (None, None) => return Err(ratio.wrong("good or bad must be there")),
    };
    Ok(Events { part, total: selectors(&ratio.field("total")?)? })
}

fn selectors(metric: &Place<'_>) -> Result<Vec<Selector>, Error> {
    let source = metric.field("metricSource")?;
    if let Some(kind) = source.optional("type")?
        && !kind.text()?.eq_ignore_ascii_case("prometheus")
    {
        return Err(kind.wrong("must be Prometheus"));
    }
    let query = source.field("spec")?.field("query")?;
    query::read(query.text()?).map_err(|why| query.wrong(why.to_string()))
}

fn window(spec: &Place<'_>) -> Result<Millis, Error> {
    let window = spec.field("timeWindow")?.only()?;
    window.without("calendar", "windows are rolling")?;
    let is_rolling = window.field("isRolling")?;
    if !is_rolling.flag()? {
        return Err(is_rolling.wrong("must be true"));
    }
    span(&window.field("duration")?)
}

/// The rules of policies that stand there or elsewhere.
fn rules(policies: &Place<'_>, all: &[Place<'_>]) -> Result<Vec<Rule>, Error> {
    let rule = |policy: &Place<'_>| {
        let policy = match policy.optional("alertPolicyRef")? {
            Some(reference) => referred(&reference, "AlertPolicy", all)?,
            None => policy.clone(),
        };
        let condition = policy.field("spec")?.field("conditions")?.only()?;
        match condition.optional("conditionRef")? {
            Some(reference) => burn_rate(&referred(&reference, "AlertCondition", all)?),
            None => burn_rate(&condition),
        }
    };
    policies.items()?.iter().map(rule).collect()
}

/// A condition of kind `burnrate`.
fn burn_rate(document: &Place<'_>) -> Result<Rule, Error> {
    let spec = document.field("spec")?;
    let condition = spec.field("condition")?;
    let must_be = |name: &str, wanted: &str| match condition.optional(name)? {
        Some(own) if own.text()? != wanted => Err(own.wrong(format!("must be {wanted}"))),
        _ => Ok(()),
    };
    must_be("kind", "burnrate")?;
    must_be("op", "gt")?;
    must_be("alertAfter", "0m")?;
    let place = spec.field("severity")?;
    let severity = match place.text()? {
        "page" => Severity::Page,
        "ticket" => Severity::Ticket,
        _ => return Err(place.wrong("must be page or ticket")),
    };
    let place = condition.field("threshold")?;
    let (hundredths, whole) = (place.number()? * 100.0, (place.number()? * 100.0).round());
    if !(1.0..=1e8).contains(&whole) || (hundredths - whole).abs() > 1e-6 {
        return Err(place
            .wrong("must be a burn rate from 0.01 to 1,000,000 with at most two digits behind the point"));
    }
    let long = span(&condition.field("lookbackWindow")?)?;
    let short = annotation(document, annotations::SHORT_WINDOW)?;
    let events_min = annotation(document, annotations::EVENTS_MIN)?;
    Ok(Rule::Burn {
        severity,
        long,
        // The workbook's: a twelfth of the long one.
        short: short.as_ref().map_or(Ok(Millis((long.0 / 12 / MINUTE).max(1) * MINUTE)), span)?,
        above: BurnRate { hundredths: whole as u32 },
        events_min: events_min.as_ref().map_or(Ok(EVENTS_MIN), number)?,
    })
}
