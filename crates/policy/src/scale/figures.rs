//! What follows from a snapshot before anything is decided: how many there are, how busy they are, and how many would do.

use super::options::Options;
use super::snapshot::{Forecast, Member, Phase, Region, Snapshot};
use crate::capacity::{Load, PerSecond, Queue, Service, survivable};
use std::fmt;
use std::time::Duration;

/// What was counted and computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Members that serve.
    pub serving: usize,
    /// Members that will.
    pub coming: usize,
    /// Members that are being removed.
    pub draining: usize,
    /// Members that are lost.
    pub lost: usize,
    /// What each carries, on average.
    pub capacity_each: PerSecond,
    /// Requests a second now.
    pub arrivals: Option<PerSecond>,
    /// Requests a second on average of late.
    pub arrivals_mean: Option<PerSecond>,
    /// Requests a second to reckon with until a warm-up from now, the usual error on top; no fewer than on average.
    pub arrivals_ahead: Option<PerSecond>,
    /// Whether that is by the forecast, and not by what arrives now.
    pub is_forecast: bool,
    /// How busy those are that serve; more than 1 where more arrives than they carry.
    pub utilization: Option<f64>,
    /// How busy those that serve or come will be a warm-up from now.
    pub utilization_ahead: Option<f64>,
    /// How long requests queue at those that serve, on average.
    pub queue_delay: Option<Duration>,
    /// The share of requests that is refused.
    pub refused: Option<f64>,
    /// So many would be neither too few nor busier than they should be, for what is expected.
    pub wanted: Option<usize>,
}

/// Why so many are too few for a load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Obstacle {
    /// They would be too busy, whatever their number.
    Busy {
        /// How busy.
        utilization: f64,
    },
    /// If one were lost, the others would be too busy.
    Loss {
        /// How busy they would be with it.
        utilization: f64,
        /// How busy so many may be.
        ceiling: f64,
    },
    /// By the queueing model too many requests would take longer than was promised.
    Goal {
        /// How busy they would be.
        utilization: f64,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Busy { utilization } => write!(f, "they would be {:.0} % busy", 100.0 * utilization),
            Obstacle::Loss { utilization, ceiling } => {
                let (is, may) = (100.0 * utilization, 100.0 * ceiling);
                write!(f, "one of them could not be lost: {is:.0} % busy, {may:.0} % at most")
            }
            Obstacle::Goal { utilization } => {
                write!(f, "requests would take too long at {:.0} %", 100.0 * utilization)
            }
        }
    }
}

/// How many do for a load.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// What each carries.
    pub each: PerSecond,
    /// How each serves, where it was measured.
    pub service: Option<Service>,
    /// What they are held to.
    pub options: &'a Options,
}

impl Model<'_> {
    /// How busy so many would be.
    #[must_use]
    pub fn utilization(&self, count: usize, arrivals: PerSecond) -> f64 {
        if arrivals.get() == 0.0 { 0.0 } else { arrivals.get() / (count as f64 * self.each.get()) }
    }

    /// Why so many are too few; nothing where they are enough.
    #[must_use]
    pub fn obstacle(&self, count: usize, arrivals: PerSecond) -> Option<Obstacle> {
        let utilization = self.utilization(count, arrivals);
        let ceiling = survivable(count).get();
        let loss = || (utilization > ceiling).then_some(Obstacle::Loss { utilization, ceiling });
        self.overload(count, arrivals).or_else(loss)
    }

    /// Why so many cannot serve it as promised, even if none is lost.
    #[must_use]
    pub fn overload(&self, count: usize, arrivals: PerSecond) -> Option<Obstacle> {
        let utilization = self.utilization(count, arrivals);
        if utilization >= self.options.scale_up_threshold.get() {
            return Some(Obstacle::Busy { utilization });
        }
        let service = self.service?.at(self.each);
        let queue = Queue::new(count, &service, Load::poisson(arrivals));
        let is_kept = queue.is_some_and(|queue| self.options.goal.is_kept(&queue));
        (!is_kept).then_some(Obstacle::Goal { utilization })
    }

    /// Whether so many are enough, and no busier than they should be.
    #[must_use]
    pub fn suits(&self, count: usize, arrivals: PerSecond) -> bool {
        let is_busy = self.utilization(count, arrivals) > self.options.target_utilization.get();
        !is_busy && self.obstacle(count, arrivals).is_none()
    }

    /// The fewest that serve what arrives now and suit what is expected, as far as bounds allow.
    #[must_use]
    pub fn wanted(&self, now: PerSecond, ahead: PerSecond) -> usize {
        let Options { min, max, .. } = *self.options;
        let does = |count: &usize| self.suits(*count, ahead) && self.overload(*count, now).is_none();
        (min..max).find(does).unwrap_or(max)
    }
}

impl Figures {
    /// Of what is seen, without those that are not counted any more.
    pub(super) fn of<I>(
        seen: &Snapshot<I>,
        given_up: impl Fn(&Member<I>) -> bool,
        options: &Options,
    ) -> Self {
        let count = |wanted: fn(Phase) -> bool| {
            seen.members.iter().filter(|member| wanted(member.phase) && !given_up(member)).count()
        };
        let serving = || seen.members.iter().filter(|member| member.phase == Phase::Serving);
        let capacity_each = mean(serving().filter_map(|member| Some(member.capacity?.get())))
            .filter(|each| *each > 0.0)
            .and_then(PerSecond::new)
            .unwrap_or(options.capacity_each);
        let busy = mean(serving().filter_map(|member| Some(member.utilization?.get())));
        let mut figures = Self {
            serving: count(|phase| phase == Phase::Serving),
            coming: count(|phase| matches!(phase, Phase::Pending | Phase::Warming)),
            draining: count(|phase| phase == Phase::Draining),
            lost: count(|phase| phase == Phase::Lost),
            capacity_each,
            arrivals: None,
            arrivals_mean: None,
            arrivals_ahead: None,
            is_forecast: false,
            utilization: None,
            utilization_ahead: None,
            queue_delay: mean(serving().filter_map(|member| Some(member.queue_delay?.as_secs_f64())))
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            refused: refused(&seen.region),
            wanted: None,
        };
        let carried = figures.serving as f64 * capacity_each.get();
        // Where nobody counts what arrives, busy members tell how much they serve at least.
        figures.arrivals = seen.region.offered.or_else(|| PerSecond::new(busy? * carried));
        let model = Model { each: capacity_each, service: seen.region.service, options };
        let demanded = seen.region.offered.map(|offered| model.utilization(figures.serving, offered));
        figures.utilization = busy.into_iter().chain(demanded).reduce(f64::max);
        figures
    }

    /// What will arrive where so much does on average, how busy that will make members, and how many it wants.
    pub(super) fn expect(&mut self, mean: PerSecond, forecast: Option<Forecast>, model: &Model<'_>) {
        let Some(now) = self.arrivals else { return };
        let trusted = forecast.filter(Forecast::is_trusted);
        self.is_forecast = trusted.is_some();
        let (expected, error) = match (trusted, forecast) {
            (Some(own), _) => (own.arrivals.get(), own.error.get()),
            (None, other) => (0.0, other.map_or(0.0, |other| other.error_persistence.get())),
        };
        let ahead = expected.max(mean.get()) + model.options.caution * error;
        let ahead = PerSecond::new(ahead).unwrap_or(mean);
        (self.arrivals_mean, self.arrivals_ahead) = (Some(mean), Some(ahead));
        self.utilization_ahead = Some(model.utilization(self.counted(), ahead));
        self.wanted = Some(model.wanted(now, ahead));
    }

    /// Members that serve or will.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.serving + self.coming
    }
}

fn refused(region: &Region) -> Option<f64> {
    let (offered, refused) = (region.offered?.get(), region.refused?.get());
    Some(if refused == 0.0 { 0.0 } else { refused / offered.max(refused) })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
