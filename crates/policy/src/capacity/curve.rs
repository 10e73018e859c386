//! How long a node takes for how many requests at once.
//!
//! A curve of measured points and straight lines between them, because no formula holds for all nodes: a processor takes longer with
//! each request, a graphics card hardly until it is full. More requests never take less time; where measurements say otherwise, it
//! is their noise, and the points in question are taken together (pool adjacent violators: Ayer et al., Ann. Math. Stat. 26, 1955).

use super::{PerSecond, Service};
use std::fmt;
use std::time::Duration;

/// The share of a new measurement in its point: some twenty count.
const NEWEST: f64 = 0.05;

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Requests at once.
    pub batch: f64,
    /// How long they took.
    pub time: Duration,
}

/// Why points are no curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CurveError {
    /// There is no point.
    Empty,
    /// A batch is no number above zero.
    Batch(f64),
    /// Requests took no time.
    NoTime {
        /// So many at once.
        batch: f64,
    },
}

impl fmt::Display for CurveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CurveError::Empty => f.write_str("no service was measured"),
            CurveError::Batch(batch) => write!(f, "a batch of {batch} requests cannot be measured"),
            CurveError::NoTime { batch } => write!(f, "a batch of {batch} requests took no time"),
        }
    }
}

impl std::error::Error for CurveError {}

/// How long a node takes for how many requests at once, as measured.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceCurve {
    /// What was measured, by batch; each batch once.
    measured: Vec<Point>,
    /// The same, so that more never takes less.
    points: Vec<Point>,
}

impl ServiceCurve {
    /// The curve through measurements. Several of the same batch count as their mean.
    ///
    /// # Errors
    /// Where there is nothing that could have been measured.
    pub fn new(mut points: Vec<Point>) -> Result<Self, CurveError> {
        if points.is_empty() {
            return Err(CurveError::Empty);
        }
        for point in &points {
            if !(point.batch.is_finite() && point.batch > 0.0) {
                return Err(CurveError::Batch(point.batch));
            }
            if point.time.is_zero() {
                return Err(CurveError::NoTime { batch: point.batch });
            }
        }
        points.sort_by(|a, b| a.batch.total_cmp(&b.batch));
        let same = points.chunk_by(|a, b| a.batch == b.batch);
        let measured: Vec<Point> = same
            .map(|same| Point { batch: same[0].batch, time: mean(same.iter().map(|p| p.time)) })
            .collect();
        Ok(Self { points: rising(&measured), measured })
    }

    /// A batch took so long just now. It moves the point whose batch is the nearest, by its own part: how many are served at once varies in
    /// service, and a point for each would never be measured twice.
    pub fn observe(&mut self, batch: f64, took: Duration) {
        if !(batch.is_finite() && batch > 0.0) || took.is_zero() {
            return;
        }
        let usual = self.time(batch).as_secs_f64();
        let distance = |point: &Point| (point.batch / batch).ln().abs();
        let nearest = self.measured.iter_mut().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let Some(point) = nearest else { return };
        let slower = 1.0 + NEWEST * (took.as_secs_f64() / usual - 1.0);
        point.time = Duration::try_from_secs_f64(point.time.as_secs_f64() * slower).unwrap_or(point.time);
        self.points = rising(&self.measured);
    }

    /// How long so many requests take at once. Fewer than were measured take as long as the fewest; more go on in the line of the last
    /// two points, or each as long as the last, where there is one alone.
    #[must_use]
    pub fn time(&self, batch: f64) -> Duration {
        let place = self.points.partition_point(|point| point.batch < batch);
        let seconds = |point: &Point| point.time.as_secs_f64();
        let line = |a: &Point, b: &Point| {
            seconds(a) + (batch - a.batch) / (b.batch - a.batch) * (seconds(b) - seconds(a))
        };
        let value = match (place, self.points.as_slice()) {
            (0, [first, ..]) => seconds(first),
            (_, [only]) => seconds(only) * batch / only.batch,
            (place, points) if place < points.len() => line(&points[place - 1], &points[place]),
            (_, [.., a, b]) => line(a, b),
            (_, []) => 0.0,
        };
        Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
    }

    /// Requests a second of one server that always serves so many at once.
    #[must_use]
    pub fn throughput(&self, batch: f64) -> PerSecond {
        PerSecond::new(batch / self.time(batch).as_secs_f64()).unwrap_or(PerSecond::ZERO)
    }

    /// The measured point that carries the most and takes no longer than that; `None` where all take longer.
    #[must_use]
    pub fn best_within(&self, time: Duration) -> Option<Point> {
        let allowed = self.points.iter().filter(|point| point.time <= time).copied();
        let carries = |point: &Point| self.throughput(point.batch).get();
        allowed.max_by(|a, b| carries(a).total_cmp(&carries(b)))
    }

    /// A node's service where so many servers take on so many requests at once.
    #[must_use]
    pub fn service(&self, batch: f64, servers: usize, variability: f64) -> Service {
        Service { time: self.time(batch), variability, batch, servers }
    }
}

/// Neighbours whose times fall are taken together until none fall.
fn rising(measured: &[Point]) -> Vec<Point> {
    let mut pools: Vec<&[Point]> = Vec::new();
    let of = |pool: &[Point]| mean(pool.iter().map(|point| point.time));
    for index in 0..measured.len() {
        let mut begin = index;
        while let Some(last) = pools.pop_if(|last| of(last) > of(&measured[begin..=index])) {
            begin -= last.len();
        }
        pools.push(&measured[begin..=index]);
    }
    let each = |pool: &&[Point]| {
        let time = of(pool);
        pool.iter().map(move |point| Point { time, ..*point }).collect::<Vec<_>>()
    };
    pools.iter().flat_map(each).collect()
}

fn mean(times: impl ExactSizeIterator<Item = Duration>) -> Duration {
    let count = times.len().max(1) as f64;
    times.sum::<Duration>().div_f64(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(value: f64) -> Duration {
        Duration::from_secs_f64(value / 1e3)
    }

    fn curve(points: &[(f64, f64)]) -> ServiceCurve {
        ServiceCurve::new(points.iter().map(|&(batch, time)| Point { batch, time: ms(time) }).collect())
            .unwrap()
    }

    fn close(got: Duration, wanted: f64) {
        assert!((got.as_secs_f64() * 1e3 - wanted).abs() < 1e-3, "{got:?}, not {wanted} ms");
    }

    #[test]
    fn between_points_and_beyond_them_times_lie_on_lines() {
        let card = curve(&[(8.0, 5.0), (1.0, 4.0), (32.0, 17.0)]);
        for (batch, wanted) in [(0.5, 4.0), (1.0, 4.0), (4.5, 4.5), (8.0, 5.0), (20.0, 11.0), (64.0, 33.0)] {
            close(card.time(batch), wanted);
        }
        close(curve(&[(4.0, 2.0)]).time(8.0), 4.0);
        assert!((card.throughput(8.0).get() - 1_600.0).abs() < 1.0);
        assert_eq!(card.best_within(ms(10.0)).map(|point| point.batch), Some(8.0));
        assert_eq!(card.best_within(ms(20.0)).map(|point| point.batch), Some(32.0));
        assert_eq!(card.best_within(ms(3.0)), None);
        let service = card.service(8.0, 4, 0.5);
        assert!((service.capacity().get() - 6_400.0).abs() < 1.0);
        close(service.at(PerSecond::new(3_200.0).unwrap()).time, 10.0);
    }

    #[test]
    fn noise_does_not_make_more_requests_faster() {
        let noisy = curve(&[(1.0, 4.0), (2.0, 6.0), (4.0, 5.0), (8.0, 4.0), (16.0, 9.0), (2.0, 8.0)]);
        close(noisy.time(1.0), 4.0);
        (2..=8).for_each(|batch| close(noisy.time(f64::from(batch)), 16.0 / 3.0));
        close(noisy.time(16.0), 9.0);
    }

    #[test]
    fn a_node_that_becomes_slower_is_noticed_while_it_serves() {
        let mut node = curve(&[(1.0, 4.0), (8.0, 5.0), (32.0, 17.0)]);
        (0..200).for_each(|_| node.observe(9.0, ms(11.0)));
        let got = node.time(9.0).as_secs_f64() * 1e3;
        assert!((got - 11.0).abs() < 0.1, "{got}");
        close(node.time(1.0), 4.0);
        let before = node.clone();
        node.observe(f64::NAN, ms(1.0));
        node.observe(8.0, Duration::ZERO);
        assert_eq!(node, before);
    }

    #[test]
    fn nonsense_is_no_curve() {
        let of = |batch, time| ServiceCurve::new(vec![Point { batch, time: ms(time) }]).unwrap_err();
        assert_eq!(ServiceCurve::new(Vec::new()).unwrap_err(), CurveError::Empty);
        assert_eq!(of(0.0, 1.0), CurveError::Batch(0.0));
        assert_eq!(of(2.0, 0.0), CurveError::NoTime { batch: 2.0 });
        assert_eq!(of(2.0, 0.0).to_string(), "a batch of 2 requests took no time");
    }

    proptest! {
        #[test]
        fn times_never_fall(
            points in prop::collection::vec((1.0..64.0f64, 0.1..50.0f64), 1..12),
            seen in prop::collection::vec((1.0..64.0f64, 0.1..50.0f64), 0..20)
        ) {
            let mut curve = curve(&points);
            seen.iter().for_each(|(batch, time)| curve.observe(*batch, ms(*time)));
            let times: Vec<Duration> = (1..=128).map(|batch| curve.time(f64::from(batch))).collect();
            prop_assert!(times.iter().all(|time| !time.is_zero()));
            prop_assert!(times.windows(2).all(|pair| pair[0] <= pair[1] + Duration::from_nanos(2)));
        }
    }
}
