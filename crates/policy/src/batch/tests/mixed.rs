//! Stories of small and large requests to one model, told in microseconds.

use super::*;

const LIMITS: Limits = Limits {
    len_max: 1024,
    batch_max: Cost { windows: 1024, rows: 262_144 },
    executors: 1,
    target: Duration::from_millis(250),
    interval: Duration::from_millis(250),
};
const LARGE: Cost = Cost { windows: 256, rows: 256 * 400 };
/// What a caller gives his request.
const PATIENCE: u64 = 1_000_000;

/// A server of one executor, and what a batch takes it.
struct Server<F> {
    zero: Instant,
    queue: Queue<Cost>,
    took: F,
    /// When it is done with what it runs.
    free: u64,
}

/// What became of a request on an idle server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    /// It ran up to its deadline and was cut short.
    Tried,
    /// Takes too long, by that.
    Refused(Duration),
}

impl<F: FnMut(Cost) -> u64> Server<F> {
    #[allow(clippy::disallowed_methods, reason = "any instant will do as the tests' zero")]
    fn new(took: F) -> Self {
        let mut queue = Queue::new(LIMITS);
        queue.open_lane(&model(0));
        Self { zero: Instant::now(), queue, took, free: 0 }
    }

    fn at(&self, us: u64) -> Instant {
        self.zero + Duration::from_micros(us)
    }

    /// A request that comes while nothing runs and nobody waits.
    fn ask(&mut self, cost: Cost, us: u64) -> End {
        let us = us.max(self.free);
        let now = self.at(us);
        let request = Request {
            lane: 0,
            priority: Priority::Normal,
            is_spare: false,
            tenant: TenantId("default".into()),
            cost,
            deadline: self.at(us + PATIENCE),
            work: cost,
        };
        match self.queue.push(request, now) {
            Ok(_) => {}
            Err(Refusal::Hopeless { takes }) => return End::Refused(takes),
            Err(other) => panic!("{cost:?} at {us}: {other:?} though nobody waits"),
        }
        let batch = self.queue.take(now).unwrap();
        assert_eq!((batch.ready, batch.late, batch.shed), (vec![cost], vec![], vec![]), "at {us}");
        let took = (self.took)(cost);
        self.free = us + took.min(PATIENCE);
        let end = self.at(self.free);
        self.queue.observe(0, cost, false, Duration::from_micros(took), end);
        if took > PATIENCE { End::Tried } else { End::Answered }
    }

    /// Small requests, 200 a second, and what became of the large ones that come among them.
    fn trickle(&mut self, mut small: impl FnMut(u64) -> Cost, larges: &[u64], seconds: u64) -> Vec<End> {
        let mut ends = Vec::new();
        for number in 0..200 * seconds {
            let us = 5000 * number;
            if self.free <= us {
                assert_eq!(self.ask(small(number), us), End::Answered);
            }
            if larges.contains(&number) {
                ends.push(self.ask(LARGE, us + 1000));
            }
        }
        ends
    }
}

/// Of an echo-state network: 30 to 50 us to begin with, by what else the machine does, and so much a row.
fn took(row_ns: u64) -> impl FnMut(Cost) -> u64 {
    let mut batch = 0;
    move |cost| {
        batch += 1;
        30 + batch * 7 % 21 + row_ns * cost.rows as u64 / 1000
    }
}

#[test]
fn a_trickle_of_small_requests_leaves_room_for_a_large_one() {
    let check = |rows: fn(u64) -> usize, larges: &[u64]| {
        let mut server = Server::new(took(290));
        let small = |number| Cost { windows: rows(number), rows: rows(number) };
        let ends = server.trickle(small, larges, 60);
        assert!(ends.iter().all(|&end| end == End::Answered), "{ends:?}");
    };
    let often: Vec<u64> = (0..60).map(|second| 200 * second + 50).collect();
    let seldom = [200, 600, 2000, 4500, 9000, 11_000];
    for larges in [&often[..], &seldom] {
        check(|_| 1, larges);
        // Steps that are taken together, of which each has the beginning.
        check(|number| 1 + number as usize % 3, larges);
        check(|number| [1, 1, 1, 2, 1, 7][number as usize % 6], larges);
    }
}

#[test]
fn steps_that_each_have_a_beginning_say_nothing_of_windows() {
    // 64 steps a batch, 40 us each, are 2.6 ms for 64 rows; a window of 400 rows takes 0.12 ms.
    let of = |cost: Cost| {
        if cost.rows == cost.windows { 40 * cost.rows as u64 } else { cost.rows as u64 * 3 / 10 }
    };
    let mut server = Server::new(of);
    let steps =
        |number| if number % 2 == 0 { Cost { windows: 64, rows: 64 } } else { Cost { windows: 1, rows: 1 } };
    let ends = server.trickle(steps, &[100, 150, 2500, 5000], 30);
    assert_eq!(ends, [End::Answered; 4]);
}

#[test]
fn what_is_known_to_take_too_long_is_refused_and_tried_now_and_then() {
    // Six seconds, for which nobody has the patience.
    let mut server = Server::new(took(60_000));
    let larges: Vec<u64> = (0..12_000).step_by(20).collect();
    let ends = server.trickle(|_| Cost { windows: 1, rows: 1 }, &larges, 60);
    let tried = ends.iter().filter(|&&end| end == End::Tried).count();
    assert!((10..=20).contains(&tried), "{tried} of {} were tried", ends.len());
    let refused =
        |end: &End| matches!(end, End::Tried) || matches!(end, End::Refused(takes) if takes.as_secs() >= 1);
    assert!(ends.iter().all(refused), "{ends:?}");
}
