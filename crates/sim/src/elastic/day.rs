//! Days: what arrives each second, which nodes are lost, and how nodes become slower. All of it is fixed by a seed.

use spinwell_core::Rng;
use std::f64::consts::TAU;

/// Seconds in a day.
pub const SECONDS: usize = 86_400;
const HOUR: f64 = 3_600.0;
/// How far arrivals stray from what the day says, as a part of it, and for how many seconds.
const STRAYS: f64 = 0.03;
const STRAYS_FOR: f64 = 60.0;

/// A day.
#[derive(Debug, Clone)]
pub struct Day {
    /// Requests that arrive in each second.
    pub arrivals: Vec<f32>,
    /// Seconds in which a node is lost, in order, and which one, as a share of those that serve.
    pub losses: Vec<(usize, f64)>,
    /// How much of its capacity a node has lost after [`Self::leaks_for`] seconds of service.
    pub leak: f64,
    /// Until then it becomes slower, and no more after.
    pub leaks_for: f64,
    /// Fixes how long each node warms up.
    pub seed: u64,
}

impl Day {
    /// The first seconds of it.
    #[must_use]
    pub fn first(mut self, seconds: usize) -> Self {
        self.arrivals.truncate(seconds);
        self
    }

    /// How fast a node is that has served for so many seconds, as a part of a new one.
    #[must_use]
    pub fn speed(&self, served_for: f64) -> f64 {
        if self.leak == 0.0 { 1.0 } else { 1.0 - self.leak * (served_for / self.leaks_for).min(1.0) }
    }
}

/// What is special about a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Night and day.
    Diurnal,
    /// Crowds of five times the usual.
    FlashCrowd,
    /// Up to 10,000 a second and back.
    Ramp,
    /// Nodes that become slower while they serve.
    SlowLeak,
    /// Nodes that die.
    NodeLosses,
    /// Hours in which nothing arrives.
    ZeroTraffic,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Kind::Diurnal, Kind::FlashCrowd, Kind::Ramp, Kind::SlowLeak, Kind::NodeLosses, Kind::ZeroTraffic];

    /// Its name in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Diurnal => "diurnal",
            Kind::FlashCrowd => "flash crowd x5",
            Kind::Ramp => "ramp to 10,000/s",
            Kind::SlowLeak => "slow leak",
            Kind::NodeLosses => "node losses",
            Kind::ZeroTraffic => "zero traffic",
        }
    }

    /// What happens in it.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Kind::Diurnal => "600 to 6,500/s over the day, with a second peak in the evening",
            Kind::FlashCrowd => {
                "900 to 1,500/s; three times it rises to five times as much within 20 to 120 s, stays for 5 to 20 min and dies away"
            }
            Kind::Ramp => {
                "800 to 1,200/s, then to 10,000/s within 1 to 4 h, an hour there, and back as it came"
            }
            Kind::SlowLeak => {
                "2,500 to 4,000/s; a node loses 15 to 30 % of its speed within 6 to 12 h of service"
            }
            Kind::NodeLosses => {
                "1,500 to 4,500/s; eight nodes are lost for good, two of them within a minute of another"
            }
            Kind::ZeroTraffic => {
                "600 to 1,800/s in working hours that begin and end at once, nothing otherwise"
            }
        }
    }

    /// The day of a seed.
    #[must_use]
    pub fn of_seed(self, seed: u64) -> Day {
        let mut rng = Rng::seeded(seed).fork(self as u64);
        let plain = Day { arrivals: Vec::new(), losses: Vec::new(), leak: 0.0, leaks_for: 1.0, seed };
        let (expected, day) = match self {
            Kind::Diurnal => (diurnal(&mut rng, 600.0, 6_500.0), plain),
            Kind::FlashCrowd => (flash_crowds(&mut rng), plain),
            Kind::Ramp => (ramp(&mut rng), plain),
            Kind::SlowLeak => {
                // At more, services alone would take too long for the promise, however many nodes there are.
                let leak = rng.uniform_in(0.15, 0.3);
                let leaks_for = HOUR * rng.uniform_in(6.0, 12.0);
                (diurnal(&mut rng, 2_500.0, 4_000.0), Day { leak, leaks_for, ..plain })
            }
            Kind::NodeLosses => {
                let losses = losses(&mut rng);
                (diurnal(&mut rng, 1_500.0, 4_500.0), Day { losses, ..plain })
            }
            Kind::ZeroTraffic => (working_hours(&mut rng), plain),
        };
        Day { arrivals: with_noise(&expected, &mut rng), ..day }
    }
}

/// What arrives is drawn: it strays slowly from what is expected, and each second by chance.
fn with_noise(expected: &[f64], rng: &mut Rng) -> Vec<f32> {
    let (keeps, mut strayed) = ((-1.0 / STRAYS_FOR).exp(), 0.0);
    let fresh = STRAYS * (1.0 - keeps * keeps).sqrt();
    let draw = |&expected: &f64| {
        strayed = keeps * strayed + fresh * rng.normal();
        let mean = expected * (1.0 + strayed);
        // Poisson, as good as normal at hundreds a second.
        (mean + mean.max(0.0).sqrt() * rng.normal()).max(0.0).round() as f32
    };
    expected.iter().map(draw).collect()
}

/// Low at night, a peak by day and a smaller one in the evening.
fn diurnal(rng: &mut Rng, low: f64, high: f64) -> Vec<f64> {
    let noon = HOUR * rng.uniform_in(10.0, 15.0);
    let evening = rng.uniform_in(0.1, 0.3);
    let shape = |second: usize| {
        let angle = TAU * (second as f64 - noon) / SECONDS as f64;
        let day = 0.5 + 0.5 * angle.cos();
        let late = 0.5 + 0.5 * (2.0 * angle - 2.5).cos();
        low + (high - low) * ((1.0 - evening) * day + evening * late * day)
    };
    (0..SECONDS).map(shape).collect()
}

fn flash_crowds(rng: &mut Rng) -> Vec<f64> {
    let usual = diurnal(rng, 900.0, 1_500.0);
    let crowds: Vec<[f64; 4]> = (0..3)
        .map(|number| {
            let begin = HOUR * (2.0 + 7.0 * f64::from(number) + rng.uniform_in(0.0, 5.0));
            [
                begin,
                rng.uniform_in(20.0, 120.0),
                60.0 * rng.uniform_in(5.0, 20.0),
                60.0 * rng.uniform_in(2.0, 8.0),
            ]
        })
        .collect();
    let times = |second: usize| {
        let more = crowds.iter().map(|&[begin, rises, stays, dies]| {
            let past = second as f64 - begin;
            let left = past - rises - stays;
            if past < 0.0 {
                0.0
            } else if left < 0.0 {
                (past / rises).min(1.0)
            } else {
                (-left / dies).exp()
            }
        });
        1.0 + 4.0 * more.fold(0.0, f64::max)
    };
    usual.iter().enumerate().map(|(second, usual)| usual * times(second)).collect()
}

fn ramp(rng: &mut Rng) -> Vec<f64> {
    let low = rng.uniform_in(800.0, 1_200.0);
    let (takes, begin) = (HOUR * rng.uniform_in(1.0, 4.0), HOUR * rng.uniform_in(3.0, 8.0));
    let shape = |second: usize| {
        let middle = begin + takes + 0.5 * HOUR;
        let away = (second as f64 - middle).abs() - 0.5 * HOUR;
        low + (10_000.0 - low) * (1.0 - away / takes).clamp(0.0, 1.0)
    };
    (0..SECONDS).map(shape).collect()
}

fn working_hours(rng: &mut Rng) -> Vec<f64> {
    let (begin, end) = (HOUR * rng.uniform_in(5.0, 8.0), HOUR * rng.uniform_in(16.0, 20.0));
    let (pause, takes) = (HOUR * rng.uniform_in(11.0, 13.0), HOUR * rng.uniform_in(0.5, 1.5));
    let usual = diurnal(rng, 600.0, 1_800.0);
    let is_open = |second: f64| (begin..end).contains(&second) && !(pause..pause + takes).contains(&second);
    let arrives = |(second, usual)| if is_open(second as f64) { usual } else { 0.0 };
    usual.into_iter().enumerate().map(arrives).collect()
}

fn losses(rng: &mut Rng) -> Vec<(usize, f64)> {
    let mut at: Vec<usize> = (0..6).map(|_| rng.below(SECONDS as u64 - 600) as usize).collect();
    let soon = |rng: &mut Rng, after: usize| after + 5 + rng.below(55) as usize;
    at.extend([soon(rng, at[0]), soon(rng, at[1])]);
    at.sort_unstable();
    at.into_iter().map(|second| (second, rng.uniform())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(of: &[f32]) -> f64 {
        of.iter().map(|arrivals| f64::from(*arrivals)).sum::<f64>() / of.len() as f64
    }

    fn most(day: &Day) -> f64 {
        day.arrivals.chunks(60).map(mean).fold(0.0, f64::max)
    }

    #[test]
    fn a_seed_fixes_a_day_and_another_one_changes_it() {
        for kind in Kind::ALL {
            let day = kind.of_seed(1);
            assert_eq!(day.arrivals, kind.of_seed(1).arrivals);
            assert_ne!(day.arrivals, kind.of_seed(2).arrivals, "{}", kind.as_str());
            assert_eq!(day.arrivals.len(), SECONDS);
        }
    }

    #[test]
    fn days_are_what_they_are_called() {
        for seed in 1..=5 {
            let diurnal = Kind::Diurnal.of_seed(seed);
            let night = diurnal.arrivals.chunks(60).map(mean).fold(f64::MAX, f64::min);
            assert!(
                night < 900.0 && (5_000.0..7_200.0).contains(&most(&diurnal)),
                "{night} {}",
                most(&diurnal)
            );
            let crowd = Kind::FlashCrowd.of_seed(seed);
            assert!((4_000.0..8_500.0).contains(&most(&crowd)), "{}", most(&crowd));
            assert!(mean(&crowd.arrivals) < 2_500.0, "most of the day is usual");
            assert!((9_500.0..10_900.0).contains(&most(&Kind::Ramp.of_seed(seed))));
            let leak = Kind::SlowLeak.of_seed(seed);
            assert_eq!(leak.speed(0.0), 1.0);
            assert!((0.69..0.86).contains(&leak.speed(SECONDS as f64)));
            assert_eq!(Kind::NodeLosses.of_seed(seed).losses.len(), 8);
            let idle = Kind::ZeroTraffic.of_seed(seed);
            let nothing = idle.arrivals.iter().filter(|arrivals| **arrivals == 0.0).count();
            assert!((30_000..62_000).contains(&nothing), "{nothing}");
        }
    }
}
