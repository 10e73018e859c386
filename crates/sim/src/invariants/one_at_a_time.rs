//! No order stops a node before all that orders have stopped are back and found again by every gateway that had found them, but for those
//! that are gone for good; and nobody orders it while another node that the registry has does not serve, or is missing at a gateway, for
//! longer than it takes until a leader must have seen that.
//!
//! A plan that has given up promises nothing any more: its node may be away still, and its last order under way. A gateway counts that was
//! connected to a node all the time: of one that nobody reaches nobody can tell what it misses.

use crate::control::{Given, History, Life, Link, Scenario};
use spinwell_policy::rolling::{Rolling, Step, Then};
use std::collections::BTreeSet;
use std::time::Duration;

/// A leader must have seen by then what has happened to nodes and their gateways: one that stood still nearly as long as its lease runs, and
/// whose connection was broken a moment before.
const SEEN: Duration = Duration::from_secs(4);

pub(super) fn check(scenario: &Scenario, history: &History) -> Option<String> {
    two_at_once(history).or_else(|| {
        history.given.iter().find_map(|order| {
            let others = (0..scenario.nodes).filter(|node| *node != order.node);
            let away = others.clone().find(|node| is_away(scenario, history, *node, order));
            let away = away.map(|node| format!("{order:?} while node {node} is away"));
            away.or_else(|| others.into_iter().find_map(|node| lacking(history, node, order)))
        })
    })
}

fn two_at_once(history: &History) -> Option<String> {
    let stops: Vec<(Duration, Given)> = history.stops().collect();
    let has_given_up = |order: &Given, at| plan(history, order, at).is_some_and(|plan| plan.stuck.is_some());
    for (place, (at, order)) in stops.iter().enumerate() {
        let mut others = stops[..place].iter().filter(|(_, other)| other.node != order.node);
        let missed = others.find(|before| !has_given_up(&before.1, *at) && is_missed(history, before, *at));
        if let Some(missed) = missed.filter(|_| !has_given_up(order, *at)) {
            return Some(format!("{order:?} was followed at {at:?}, and the node of {missed:?} is not back"));
        }
    }
    None
}

/// What the plan of an order said at a moment.
fn plan<'a>(history: &'a History, order: &Given, at: Duration) -> Option<&'a Rolling> {
    let mut written = history.written.iter().filter(|own| own.id == order.plan && own.at <= at);
    written.next_back().map(|own| &own.kept.plan)
}

/// Whether a node that has stopped is still awaited at a moment.
fn is_missed(history: &History, (at, order): &(Duration, Given), until: Duration) -> bool {
    let lives = || history.lives.iter().filter(|own| own.node == order.node);
    if plan(history, order, until).is_some_and(|plan| plan.then == Then::Gone) {
        return lives().any(|own| own.life == order.life && own.ended.is_none_or(|ended| ended > until));
    }
    let is_back = |own: &&Life| own.began > *at && own.began <= until;
    let back: BTreeSet<u64> = lives().filter(is_back).map(|own| own.life).collect();
    let links = || history.links.iter().filter(|link| link.node.0 == order.node);
    let has_found = |gateway| {
        let mut own = links().filter(|link| link.gateway == gateway && back.contains(&link.node.1));
        own.any(|link| link.found <= until)
    };
    let mut had = links().filter(|link| link.node.1 == order.life && spans(link, *at, *at));
    back.is_empty()
        || had.any(|link| is_told_of(history, link.gateway, *at, until) && !has_found(link.gateway))
}

/// Whether some node could tell of a gateway all the time.
fn is_told_of(history: &History, gateway: (usize, u64), from: Duration, until: Duration) -> bool {
    history.links.iter().any(|link| link.gateway == gateway && spans(link, from.saturating_sub(SEEN), until))
}

fn spans(link: &Link, from: Duration, until: Duration) -> bool {
    link.found <= from && link.lost.is_none_or(|lost| lost > until)
}

/// Whether a node does not serve for long when an order is given, and nothing says that it is not missed.
fn is_away(scenario: &Scenario, history: &History, node: usize, order: &Given) -> bool {
    let name = format!("n{node}");
    let is_gone = plan(history, order, order.at).is_some_and(|plan| {
        plan.nodes.iter().any(|entry| *entry.id.0 == *name && matches!(entry.step, Step::Gone { .. }))
    });
    let serves = |own: &Life| own.began <= order.at && own.left.is_none_or(|left| left + SEEN > order.at);
    !scenario.forgets && !is_gone && !history.lives.iter().any(|own| own.node == node && serves(own))
}

/// A gateway that lacks a node for long when an order is given.
fn lacking(history: &History, node: usize, order: &Given) -> Option<String> {
    let (from, at) = (order.at.saturating_sub(SEEN), order.at);
    let serves = |own: &&Life| own.began <= from && own.left.is_none_or(|left| left > at);
    let life = history.lives.iter().filter(serves).find(|own| own.node == node)?.life;
    let has_found = |link: &&Link| {
        link.node == (node, life) && link.found <= at && link.lost.is_none_or(|lost| lost > from)
    };
    let knows = |gateway| history.links.iter().filter(has_found).any(|link| link.gateway == gateway);
    let lacking =
        history.links.iter().filter(|link| spans(link, from, at)).find(|link| !knows(link.gateway))?;
    Some(format!("{order:?} while gateway {:?} lacks node {node}", lacking.gateway))
}
