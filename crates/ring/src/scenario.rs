//! What a run consists of: load, and what goes wrong when, drawn from a seed.

use spinwell_core::Rng;
use spinwell_gateway::Strategy;
use std::time::Duration;

/// Gateways of every run.
pub(crate) const GATEWAYS: usize = 3;
/// Nodes of every run.
pub(crate) const NODES: usize = 4;
/// When the first request comes: by then all have found each other.
pub(crate) const BEGINS: Duration = Duration::from_millis(1_500);
/// How long the load lasts.
const LOAD: Duration = Duration::from_secs(6);
/// How long a run goes on after the load and the last trouble: until everybody has found everybody again.
const CALM: Duration = Duration::from_secs(5);

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Calm,
    /// A node's process dies and starts again.
    Crash,
    /// A gateway and a node do not reach each other for a while.
    Partition,
    /// A node stands still and goes on.
    Freeze,
    /// A node is drained through a gateway, ends and starts again.
    Drain,
    /// There are more requests than can be answered.
    Overload,
    /// Several of all that can go wrong, at the same time.
    Mix,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Kind::Calm, Kind::Crash, Kind::Partition, Kind::Freeze, Kind::Drain, Kind::Overload, Kind::Mix];

    /// Its name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Calm => "calm",
            Kind::Crash => "crash",
            Kind::Partition => "partition",
            Kind::Freeze => "freeze",
            Kind::Drain => "drain",
            Kind::Overload => "overload",
            Kind::Mix => "mix",
        }
    }
}

/// How a node is in trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Its process dies: its connections are closed.
    Crash,
    /// Its machine is gone: nobody is told.
    PowerCut,
    /// These gateways and it do not reach each other: what is on its way is lost.
    Cut(Vec<usize>),
    /// It stands still: what is on its way waits.
    Freeze,
    /// Its executors stand still; it goes on saying that it lives.
    Stall,
    /// It is drained, at the request of that gateway.
    Drain(usize),
}

/// A node in trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The node.
    pub node: usize,
    /// How.
    pub what: What,
    /// From when, since the start of the run.
    pub from: Duration,
    /// Until when. A node that has ended is started again then.
    pub until: Duration,
}

impl Trouble {
    /// Whether a gateway may notice.
    #[must_use]
    pub fn concerns(&self, gateway: usize) -> bool {
        match &self.what {
            What::Cut(gateways) => gateways.contains(&gateway),
            What::Crash | What::PowerCut | What::Freeze | What::Stall | What::Drain(_) => true,
        }
    }
}

/// A bug of ours that a run is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Nodes do not say that they are leaving.
    HidesLeaving,
    /// A node answers a request with what it has answered to the one before.
    SwapsAnswers,
    /// Gateways ask one node and nobody else.
    NeverRetries,
    /// Gateways ask again without end.
    RetriesWithoutEnd,
    /// Nodes let everybody wait.
    UnboundedQueues,
    /// What becomes of a request whose caller has hung up is not recorded.
    ForgetsCancelled,
}

impl Plant {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 6] = [
        ("hides-leaving", Plant::HidesLeaving),
        ("swaps-answers", Plant::SwapsAnswers),
        ("never-retries", Plant::NeverRetries),
        ("retries-without-end", Plant::RetriesWithoutEnd),
        ("unbounded-queues", Plant::UnboundedQueues),
        ("forgets-cancelled", Plant::ForgetsCancelled),
    ];
}

/// Everything that fixes a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What all randomness comes from.
    pub seed: u64,
    /// What goes wrong.
    pub kind: Kind,
    /// How gateways choose nodes.
    pub strategy: Strategy,
    /// Requests a second at each gateway.
    pub rate: f64,
    /// When the load ends.
    pub load_ends: Duration,
    /// When the run ends.
    pub ends: Duration,
    /// How long an executor works on a row.
    pub row: Duration,
    /// Requests that may wait at a node.
    pub queue_len_max: usize,
    /// How long a message takes at most between two hosts.
    pub latency_max: Duration,
    /// What goes wrong when. No node has two at a time.
    pub troubles: Vec<Trouble>,
    /// A bug, to show that it is found.
    pub plant: Option<Plant>,
}

/// The scenario of a seed in which that goes wrong.
#[must_use]
pub fn scenario(kind: Kind, seed: u64) -> Scenario {
    let mut rng = Rng::seeded(seed).fork(1);
    let is_too_much = kind == Kind::Overload;
    let troubles = troubles(kind, &mut rng);
    let load_ends = BEGINS + LOAD;
    let last = troubles.iter().map(|trouble| trouble.until).fold(load_ends, Duration::max);
    Scenario {
        seed,
        kind,
        strategy: Strategy::ALL[rng.below(Strategy::ALL.len() as u64) as usize],
        rate: if is_too_much { 200.0 } else { rng.uniform_in(40.0, 100.0) },
        load_ends,
        ends: last + CALM,
        // Two executors of four nodes work off some 220 requests a second then.
        row: if is_too_much { Duration::from_micros(1_500) } else { Duration::from_micros(50) },
        queue_len_max: if is_too_much { 8 } else { 256 },
        latency_max: Duration::from_millis(2 + rng.below(19)),
        troubles,
        plant: None,
    }
}

fn troubles(kind: Kind, rng: &mut Rng) -> Vec<Trouble> {
    let what = match kind {
        Kind::Calm | Kind::Overload => return Vec::new(),
        Kind::Crash => vec![if rng.below(2) == 0 { What::Crash } else { What::PowerCut }],
        Kind::Partition => vec![What::Cut(vec![rng.below(GATEWAYS as u64) as usize])],
        Kind::Freeze => vec![if rng.below(3) == 0 { What::Stall } else { What::Freeze }],
        Kind::Drain => vec![What::Drain(rng.below(GATEWAYS as u64) as usize)],
        Kind::Mix => (0..2 + rng.below(3)).map(|_| any(rng)).collect(),
    };
    // Alone a trouble lasts long enough to be noticed in every way.
    let least = if kind == Kind::Mix { 0.3 } else { 1.5 };
    let mut nodes: Vec<usize> = (0..NODES).collect();
    what.into_iter()
        .map(|what| {
            let node = nodes.swap_remove(rng.below(nodes.len() as u64) as usize);
            let from = BEGINS + LOAD.mul_f64(rng.uniform_in(0.1, 0.6));
            let until = from + Duration::from_secs_f64(rng.uniform_in(least, 4.0));
            // A node that drains waits, so that everybody has noticed, before it ends.
            let notice = if matches!(what, What::Drain(_)) { Duration::from_secs(3) } else { Duration::ZERO };
            Trouble { node, what, from, until: until + notice }
        })
        .collect()
}

fn any(rng: &mut Rng) -> What {
    match rng.below(6) {
        0 => What::Crash,
        1 => What::PowerCut,
        2 => {
            let first = rng.below(GATEWAYS as u64) as usize;
            What::Cut((0..GATEWAYS).filter(|gateway| *gateway == first || rng.below(2) == 0).collect())
        }
        3 => What::Freeze,
        4 => What::Stall,
        _ => What::Drain(rng.below(GATEWAYS as u64) as usize),
    }
}
