//! What the module promises as a whole.

mod alerts;
mod levels;
mod month;

use super::*;
use spinwell_core::{Millis, UnixMillis};

/// A whole second at the start of a month, 10 minutes after which all slots begin as well.
const START: u64 = 1_793_491_200_000;
/// Between two looks.
const TICK: u64 = 10_000;

/// The moment so many looks after the start.
fn tick(number: u64) -> UnixMillis {
    UnixMillis(START + number * TICK)
}

fn named(text: &str) -> ObjectiveName {
    defaults::name(text)
}

/// One of the default objectives.
fn objective(text: &str) -> Objective {
    defaults::objectives().into_iter().find(|own| own.name.as_str() == text).unwrap()
}

/// One objective and one process that counts its events.
struct Story {
    levels: Levels,
    name: ObjectiveName,
    counts: Counts,
    tick: u64,
}

impl Story {
    fn of(objective: Objective) -> Self {
        let name = objective.name.clone();
        let levels = Levels::new(vec![objective], Options::default(), &Past::default(), tick(0)).unwrap();
        Self { levels, name, counts: Counts::ZERO, tick: 0 }
    }

    /// A look at which so many more were good of so many more; what has changed.
    fn look(&mut self, good: u64, total: u64) -> Vec<Change> {
        self.counts = Counts { good: self.counts.good + good, total: self.counts.total + total };
        let source = SourceId("gateway-0".into());
        let started = Some(UnixMillis(START + 1));
        let reading = Reading { source, started, counts: self.counts };
        self.tick += 1;
        self.levels.read(&self.name, &reading, tick(self.tick)).unwrap();
        self.levels.advance(tick(self.tick))
    }

    /// The same so many times: what has changed, and at which look.
    fn looks(&mut self, times: u64, good: u64, total: u64) -> Vec<(u64, Change)> {
        let looks = (0..times).flat_map(|_| {
            let changes = self.look(good, total);
            let at = self.tick;
            changes.into_iter().map(move |change| (at, change))
        });
        looks.collect()
    }

    /// A look at which nobody is heard of.
    fn silence(&mut self) -> Vec<Change> {
        self.tick += 1;
        self.levels.advance(tick(self.tick))
    }

    fn watch(&self) -> &Watch {
        self.levels.watch(&self.name).unwrap()
    }
}

/// In short: the look, and what has changed.
fn shown(changes: &[(u64, Change)]) -> Vec<(u64, String)> {
    let text = |change: &Change| match change {
        Change::Fires(alert) => format!("{} fires", alert.id.rule),
        Change::Resolved(alert) => format!("{} ends", alert.id.rule),
        Change::BreachBegan(breach) => {
            format!("{} breach since {}", breach.severity.as_str(), (breach.began.0 - START) / TICK)
        }
        Change::BreachEnded(breach) => {
            let looks = |at: UnixMillis| (at.0 - START) / TICK;
            format!(
                "{} breach {} to {}",
                breach.severity.as_str(),
                looks(breach.began),
                breach.restored.map(looks).unwrap()
            )
        }
    };
    changes.iter().map(|(at, change)| (*at, text(change))).collect()
}
