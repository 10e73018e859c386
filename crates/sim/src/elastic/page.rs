//! The comparison as a page.

use super::day::Kind;
use super::region::WARM_UP_P95;
use super::rules::Settings;
use super::run::{Measured, Named, days};
use super::tune::{self, MISSED_MINUTE, cost, in_parallel, on_days, total};
use std::fmt::Write as _;

/// Node-hours that ours may take beyond those of any rival.
const EXTRA_MOST: f64 = 0.10;

/// What is compared on what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Settings that are tried for each rule.
    pub trials: usize,
    /// Seeds of the days that rules are tuned on.
    pub training: Vec<u64>,
    /// Seeds of the days that they are measured on.
    pub unseen: Vec<u64>,
}

/// A rule and what it did.
#[derive(Debug, Clone)]
pub struct Row {
    /// The rule.
    pub settings: Settings,
    /// Whether it was tuned.
    pub is_tuned: bool,
    /// What it did on each of the unseen days.
    pub measured: Vec<Measured>,
}

impl Row {
    fn total(&self) -> Measured {
        total(&self.measured)
    }

    fn name(&self) -> String {
        format!("{}, {}", self.settings.name(), if self.is_tuned { "tuned" } else { "as it comes" })
    }

    fn is_ours(&self) -> bool {
        matches!(self.settings, Settings::Ours(_))
    }
}

/// All rules, tuned and as they come, on the unseen days.
#[must_use]
pub fn rows(plan: &Plan, mut say: impl FnMut(&str)) -> (Vec<Named>, Vec<Row>) {
    let training = days(&plan.training);
    let mut all = Vec::new();
    for (number, usual) in Settings::defaults().into_iter().enumerate() {
        let (settings, costs) = tune::tuned(&usual, &training, plan.trials, 1 + number as u64);
        say(&format!("{}: {settings}; costs {costs:.0} in training", usual.name()));
        all.extend([(settings, true), (usual, false)]);
    }
    let unseen = days(&plan.unseen);
    let measured = in_parallel(&all, |(settings, _)| on_days(&unseen, settings));
    let row = |((settings, is_tuned), measured)| Row { settings, is_tuned, measured };
    (unseen, all.into_iter().zip(measured).map(row).collect())
}

/// The page, below its title.
#[must_use]
pub fn text(plan: &Plan, unseen: &[Named], rows: &[Row]) -> String {
    let legend: String =
        Kind::ALL.iter().map(|kind| format!("- *{}*: {}\n", kind.as_str(), kind.about())).collect();
    let seeds = |seeds: &[u64]| seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!(
        "Simulated days at steps of a second: a node is rated for 500 a second, which is 66 % of what it carries, serves for 10 ms (exponential), warms up for\n\
         a minute (95 % within {} s) and drains for 30 s; there are 3 to 20. The queue holds a quarter of a second. A second is missed where more than 5 % of its\n\
         requests would take longer than 50 ms by the queueing model, or more than 0.1 % is refused. Lost nodes are noticed after 5 s, and replaced for every\n\
         rule. A flap is more within 30 s after fewer, or fewer within 120 s after more. It compares rules; it does not predict what a region will do.\n\n\
         Each rule was tuned by the same random search, {} trials on all days of the seeds {}, for the least of node-hours and {MISSED_MINUTE:.0} times the minutes\n\
         missed; all are measured on the seeds {}. Targets that depend on the size of a node (KPA, Ray Serve, HPA) are, as they come, what it is rated for.\n\n\
         {legend}\n{}\n## Minutes missed and node-hours by day\n\n{}\n## Settings\n\n{}\n## Claim\n\n{}",
        WARM_UP_P95.as_secs(),
        plan.trials,
        seeds(&plan.training),
        seeds(&plan.unseen),
        totals(rows),
        by_day(unseen, rows),
        settings(rows),
        claim(rows).1
    )
}

fn totals(rows: &[Row]) -> String {
    let mut text = String::from(
        "| rule | minutes missed | node-hours | actions | flaps | cost |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let total = row.total();
        let Measured { missed_minutes, node_hours, actions, flaps } = total;
        let cost = cost(&total);
        let _ = writeln!(
            text,
            "| {} | {missed_minutes:.1} | {node_hours:.0} | {actions} | {flaps} | {cost:.0} |",
            row.name()
        );
    }
    text
}

fn by_day(unseen: &[Named], rows: &[Row]) -> String {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let mut text = format!("| rule | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for row in rows {
        let of = |kind: Kind| {
            let own = unseen.iter().zip(&row.measured).filter(|(named, _)| named.kind == kind);
            let Measured { missed_minutes, node_hours, .. } = total(own.map(|(_, measured)| measured));
            format!("{missed_minutes:.1}, {node_hours:.0} h")
        };
        let _ = writeln!(text, "| {} | {} |", row.name(), Kind::ALL.map(of).join(" | "));
    }
    text
}

fn settings(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("- {}: {}\n", row.name(), row.settings)).collect()
}

/// Whether ours, tuned, misses no more than any rival, takes no more than a tenth more node-hours than any, and does not flap.
#[must_use]
pub fn claim(rows: &[Row]) -> (bool, String) {
    let least = |of: fn(&Measured) -> f64| {
        let rivals = rows.iter().filter(|row| !row.is_ours());
        rivals.min_by(|a, b| of(&a.total()).total_cmp(&of(&b.total())))
    };
    let ours = rows.iter().find(|row| row.is_ours() && row.is_tuned);
    let (Some(ours), Some(best), Some(cheapest), Some(thriftiest)) =
        (ours, least(|total| total.missed_minutes), least(|total| total.node_hours), least(cost))
    else {
        return (false, String::new());
    };
    let (own, other) = (ours.total(), best.total());
    let extra = |row: &Row| own.node_hours / row.total().node_hours - 1.0;
    let flaps: usize = rows.iter().filter(|row| row.is_ours()).map(|row| row.total().flaps).sum();
    let holds = |is_so| if is_so { "holds" } else { "does not hold" };
    let parts = [own.missed_minutes <= other.missed_minutes, extra(cheapest) <= EXTRA_MOST, flaps == 0];
    let text = format!(
        "- Ours, tuned, misses no more than any rival, tuned or as it comes: {:.1} minutes, the best of them ({}) {:.1}, at {:+.1} % of its node-hours: **{}**.\n\
         - It takes no more than a tenth more node-hours than any of them: {:+.1} % beside the one that takes the least ({}): **{}**.\n\
         - It never flaps, tuned or as it comes: {flaps} flaps: **{}**.\n\
         - By the cost that rules were tuned for, which the claim does not speak of: ours, tuned, {:.0}, the best rival ({}) {:.0}.\n",
        own.missed_minutes,
        best.name(),
        other.missed_minutes,
        100.0 * extra(best),
        holds(parts[0]),
        100.0 * extra(cheapest),
        cheapest.name(),
        holds(parts[1]),
        holds(parts[2]),
        cost(&own),
        thriftiest.name(),
        cost(&thriftiest.total()),
    );
    (parts.iter().all(|part| *part), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: usize, missed_minutes: f64, node_hours: f64, flaps: usize) -> Row {
        let measured = Measured { missed_minutes, node_hours, actions: 1, flaps };
        Row { settings: Settings::defaults()[number].clone(), is_tuned: true, measured: vec![measured] }
    }

    #[test]
    fn a_claim_holds_where_all_of_it_does() {
        let check = |ours: Row, wanted| {
            let rows = [ours, row(1, 9.0, 100.0, 3), row(2, 5.0, 120.0, 0)];
            let (holds, text) = claim(&rows);
            assert_eq!(holds, wanted, "{text}");
            assert!(text.contains("the best of them (HPA, tuned) 5.0"), "{text}");
        };
        check(row(0, 5.0, 109.9, 0), true);
        check(row(0, 5.1, 90.0, 0), false);
        check(row(0, 1.0, 110.5, 0), false);
        check(row(0, 1.0, 90.0, 1), false);
        assert!(!claim(&[]).0);
    }

    #[test]
    fn tables_have_all_rules() {
        let rows: Vec<Row> = (0..5).map(|number| row(number, number as f64, 90.0, 0)).collect();
        let table = totals(&rows);
        assert_eq!(table.lines().count(), 7);
        assert!(table.contains("| Ray Serve, tuned | 4.0 | 90 | 1 | 0 | 102 |"), "{table}");
        assert!(settings(&rows).contains("Knative KPA, tuned: target 0.70"));
    }
}
