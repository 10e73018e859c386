//! What a run consists of, drawn from a seed.

use spinwell_core::Rng;
use std::time::Duration;

/// Everything that fixes a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What all randomness comes from.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many gateways.
    pub gateways: usize,
    /// The callers, each with a sequence of his own.
    pub callers: Vec<CallerSpec>,
    /// What happens when.
    pub faults: Vec<(Duration, Fault)>,
    /// From here on nothing goes wrong any more.
    pub calm: Duration,
    /// When callers stop.
    pub length: Duration,
    /// A bug, to show that it is found.
    pub plant: Option<Plant>,
}

impl Scenario {
    /// Whether nothing fails in it: nodes come and go in good order, and callers are patient and do as they should.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        let are_good = self.callers.iter().all(|caller| caller.mischief <= 0.0);
        are_good && self.faults.iter().all(|(_, fault)| matches!(fault, Fault::Withdraw(_) | Fault::Join(_)))
    }
}

/// How a caller behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CallerSpec {
    /// Whether he numbers his steps.
    pub numbers: bool,
    /// Steps that he sends at once at most.
    pub depth: u64,
    /// How far apart those are.
    pub apart: Duration,
    /// How long he thinks, on average.
    pub thinks: Duration,
    /// How long he waits for an answer.
    pub waits: Duration,
    /// How often he does something that is to be refused, or sends a step through two gateways.
    pub mischief: f64,
    /// How often he begins his sequence anew, or ends it.
    pub restarts: f64,
}

/// Something goes wrong, or is right again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A node's process is gone, and its memory.
    Crash(usize),
    /// It starts again.
    Start(usize),
    /// A node is stopped: what reaches it waits.
    Freeze(usize),
    /// It goes on.
    Thaw(usize),
    /// Nothing passes between a gateway and a node any more.
    Cut(usize, usize),
    /// It does again; what was sent before arrives late.
    Mend(usize, usize),
    /// A node leaves the membership, alive and well: gateways hear of it one after another.
    Withdraw(usize),
    /// It is a member again.
    Join(usize),
    /// The log takes and gives nothing; what reaches it waits.
    LogDown,
    /// It does again.
    LogUp,
    /// This share of what the log answers is lost on its way, in thousandths.
    LogLoses(u64),
    /// A gateway is gone, and what it waited for.
    GatewayDown(usize),
    /// It is there again.
    GatewayUp(usize),
}

/// A bug of ours that a run is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// A refusal is given by what is known, without a look at the log.
    RefusesUnread,
    /// What is appended stands behind the log's end, whoever wrote it.
    AppendsAtHead,
    /// A state in hand is not marked when entries of others are read.
    OvertakenUnmarked,
    /// A beginning begins, however late it is.
    LateStartWins,
    /// A step without a number is sent again when its node is lost.
    ResendsUnnumbered,
    /// The log is pruned where there is no copy.
    PrunesUncopied,
    /// A gateway sends steps to the new owner while others are under way at the one before.
    HomesIgnored,
    /// A sequence counts as used when a step comes to its node, not when the gateway got it.
    UsedOnArrival,
    /// A step is taken into a life of its sequence that was begun after it was sent.
    LivesMix,
    /// An append that was sent twice and has failed counts as one that was not taken.
    DoubtIgnored,
    /// What is sent again goes behind what came later.
    AgainLast,
    /// What is sent again counts as sent then.
    SentAnew,
    /// A beginning may have the time of the step before it.
    BeginsAtOnce,
}

impl Plant {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 13] = [
        ("refuses-unread", Plant::RefusesUnread),
        ("appends-at-head", Plant::AppendsAtHead),
        ("overtaken-unmarked", Plant::OvertakenUnmarked),
        ("late-start-wins", Plant::LateStartWins),
        ("resends-unnumbered", Plant::ResendsUnnumbered),
        ("prunes-uncopied", Plant::PrunesUncopied),
        ("homes-ignored", Plant::HomesIgnored),
        ("used-on-arrival", Plant::UsedOnArrival),
        ("lives-mix", Plant::LivesMix),
        ("doubt-ignored", Plant::DoubtIgnored),
        ("again-last", Plant::AgainLast),
        ("sent-anew", Plant::SentAnew),
        ("begins-at-once", Plant::BeginsAtOnce),
    ];
}

/// How long callers go on after the last fault.
const AFTER: Duration = Duration::from_secs(7);
/// Every so many seeds nothing fails, nodes only come and go: so that what an orderly hand-over promises is looked at, too.
const ORDERLY_EVERY: u64 = 4;

/// The scenario of a seed.
#[must_use]
pub fn scenario(seed: u64) -> Scenario {
    let mut rng = Rng::seeded(seed).fork(17);
    let nodes = 2 + rng.below(4) as usize;
    let gateways = 2 + rng.below(2) as usize;
    let is_orderly = seed.is_multiple_of(ORDERLY_EVERY);
    let callers = (0..5 + rng.below(6)).map(|_| caller(is_orderly, &mut rng)).collect();
    let most = if is_orderly { 12 } else { 6 };
    let faults: Vec<_> =
        (0..1 + rng.below(most)).flat_map(|_| fault(nodes, gateways, is_orderly, &mut rng)).collect();
    let calm = faults.iter().map(|(at, _)| *at).max().unwrap_or_default();
    Scenario { seed, nodes, gateways, callers, faults, calm, length: calm + AFTER, plant: None }
}

fn caller(is_orderly: bool, rng: &mut Rng) -> CallerSpec {
    CallerSpec {
        numbers: rng.below(4) > 0,
        depth: 1 + rng.below(4),
        // Half of them at once.
        apart: Duration::from_micros(rng.fork(5).below(2) * rng.fork(6).below(6_000)),
        thinks: millis(rng, 2, 120),
        // Who gives up an orderly step was not refused.
        waits: if is_orderly { Duration::from_secs(4) } else { millis(rng, 300, 1_500) },
        mischief: if is_orderly { 0.0 } else { rng.uniform_in(0.0, 0.3) },
        restarts: rng.uniform_in(0.0, 0.4),
    }
}

/// One trouble: how it begins and how it ends.
fn fault(nodes: usize, gateways: usize, is_orderly: bool, rng: &mut Rng) -> Vec<(Duration, Fault)> {
    let node = rng.below(nodes as u64) as usize;
    let gateway = rng.below(gateways as u64) as usize;
    let begin = millis(rng, 500, 8_000);
    let end = begin + millis(rng, 100, 4_000);
    match if is_orderly { 0 } else { rng.below(8) } {
        // The first one stays: without any member nobody could be answered, and that is no hand-over.
        0 => vec![(begin, Fault::Withdraw(node.max(1))), (end, Fault::Join(node.max(1)))],
        1 | 2 => vec![(begin, Fault::Freeze(node)), (end, Fault::Thaw(node))],
        3 => vec![(begin, Fault::Crash(node)), (end, Fault::Start(node))],
        4 => vec![(begin, Fault::Cut(gateway, node)), (end, Fault::Mend(gateway, node))],
        5 => vec![(begin, Fault::LogDown), (begin + (end - begin) / 2, Fault::LogUp)],
        6 => vec![(begin, Fault::LogLoses(100 + rng.below(400))), (end, Fault::LogLoses(0))],
        _ => vec![(begin, Fault::GatewayDown(gateway)), (end, Fault::GatewayUp(gateway))],
    }
}

fn millis(rng: &mut Rng, low: u64, high: u64) -> Duration {
    Duration::from_millis(low + rng.below(high - low))
}
