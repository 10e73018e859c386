//! What a run consists of, drawn from a seed.

use spinwell_core::{Millis, Rng};
use spinwell_policy::rolling::Then;
use std::time::Duration;

/// Everything that fixes a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What all randomness comes from.
    pub seed: u64,
    /// By how many milliseconds the clock of each control's machine is off.
    pub controls: Vec<i64>,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many gateways.
    pub gateways: usize,
    /// Whether the registry forgets a node that has stopped, until it comes back.
    pub forgets: bool,
    /// How long a node that has stopped takes to start, but for those that a fault holds up.
    pub start_max: Duration,
    /// What is wished of which control, and when.
    pub wishes: Vec<(Duration, usize, Wish)>,
    /// What goes wrong when.
    pub faults: Vec<(Duration, Fault)>,
    /// From here on nothing goes wrong any more.
    pub calm: Duration,
    /// A bug, to show that it is found.
    pub plant: Option<Plant>,
}

/// Nodes are to stop, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What becomes of each. Those that are to go nobody looks after from then on.
    pub then: Then,
    /// Which, as far as the control that is asked knows them.
    pub nodes: Vec<usize>,
    /// How long anything may take before the plan ends.
    pub patience: Millis,
}

/// Something goes wrong, or is right again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A control's process is gone.
    CrashControl(usize),
    /// One gives the lease back, and ends in good order.
    StopControl(usize),
    /// It is started again, as another holder of the lease.
    StartControl(usize),
    /// A control stands still: what reaches it waits.
    Freeze(usize),
    /// It goes on.
    Thaw(usize),
    /// A control stands still for so long at the moment in which it gives its next order, before that is sent.
    HoldOrder(usize, Duration),
    /// The store takes and gives nothing; what reaches it waits.
    StoreDown,
    /// It does again.
    StoreUp,
    /// This share of what the store is asked and answers is lost, in thousandths.
    StoreLoses(u64),
    /// These shares of orders are lost, and late, in thousandths.
    Orders(u64, u64),
    /// A node's process is gone, and is started again.
    CrashNode(usize),
    /// A node takes so long when it starts next.
    SlowStart(usize, Duration),
    /// A node does not come back any more when it has stopped.
    Never(usize),
    /// A gateway loses a node.
    Lose(usize, usize),
    /// It finds it again.
    Find(usize, usize),
    /// Nothing passes between a control and a node any more.
    Cut(usize, usize),
    /// It does again.
    Mend(usize, usize),
    /// A gateway is gone.
    GatewayDown(usize),
    /// It is there again.
    GatewayUp(usize),
}

/// A bug of ours that a run is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// A node follows orders of leaders older than one that it has heard of.
    FenceIgnored,
    /// A lease counts from its answer, and not from before it was asked for.
    CountsFromAnswer,
    /// A plan is written whoever has written since.
    WritesBlindly,
    /// A node follows orders whatever life they are for.
    LifeIgnored,
    /// A leader does not look at the clock before it gives an order.
    OrdersUntimed,
    /// A leader asks of one gateway only whether it has found all nodes.
    SeesOneGateway,
    /// A node that is to stop for good counts as gone as soon as its leader is not connected to it.
    GoneUnseen,
    /// A plan that does not come on is not given up.
    NeverStuck,
}

impl Plant {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("fence-ignored", Plant::FenceIgnored),
        ("counts-from-answer", Plant::CountsFromAnswer),
        ("writes-blindly", Plant::WritesBlindly),
        ("life-ignored", Plant::LifeIgnored),
        ("orders-untimed", Plant::OrdersUntimed),
        ("sees-one-gateway", Plant::SeesOneGateway),
        ("gone-unseen", Plant::GoneUnseen),
        ("never-stuck", Plant::NeverStuck),
    ];
}

/// The scenario of a seed.
#[must_use]
pub fn scenario(seed: u64) -> Scenario {
    let mut rng = Rng::seeded(seed).fork(21);
    let sizes = Sizes {
        controls: 2 + rng.below(3) as usize,
        nodes: 3 + rng.below(6) as usize,
        gateways: 1 + rng.below(3) as usize,
    };
    let wishes = (0..1 + rng.below(4)).map(|_| wish(&sizes, &mut rng)).collect();
    let faults: Vec<_> = (0..rng.below(16)).flat_map(|_| fault(&sizes, &mut rng)).collect();
    let calm = faults.iter().map(|(at, _)| *at).max().unwrap_or_default().max(Duration::from_secs(30));
    Scenario {
        seed,
        controls: (0..sizes.controls).map(|_| offset(&mut rng)).collect(),
        nodes: sizes.nodes,
        gateways: sizes.gateways,
        forgets: rng.below(2) == 0,
        start_max: millis(&mut rng, 400, 4_000),
        wishes,
        faults,
        calm,
        plant: None,
    }
}

struct Sizes {
    controls: usize,
    nodes: usize,
    gateways: usize,
}

/// Most clocks are right within a second, and some are off by minutes.
fn offset(rng: &mut Rng) -> i64 {
    let most = if rng.below(4) == 0 { 300_000 } else { 1_000 };
    rng.below(2 * most).cast_signed() - most.cast_signed()
}

fn wish(sizes: &Sizes, rng: &mut Rng) -> (Duration, usize, Wish) {
    let at = millis(rng, 500, 28_000);
    let control = rng.below(sizes.controls as u64) as usize;
    let patience = Millis(3_000 + rng.below(15_000));
    if rng.below(3) > 0 {
        return (at, control, Wish { then: Then::Anew, nodes: (0..sizes.nodes).collect(), patience });
    }
    // The last ones, so that some stay.
    let first = sizes.nodes - 1 - rng.below(2) as usize;
    (at, control, Wish { then: Then::Gone, nodes: (first..sizes.nodes).collect(), patience })
}

/// One trouble: how it begins and how it ends.
fn fault(sizes: &Sizes, rng: &mut Rng) -> Vec<(Duration, Fault)> {
    let control = rng.below(sizes.controls as u64) as usize;
    let node = rng.below(sizes.nodes as u64) as usize;
    let gateway = rng.below(sizes.gateways as u64) as usize;
    let begin = millis(rng, 200, 28_000);
    let end = begin + millis(rng, 100, 9_000);
    let takes = millis(rng, 4_000, 15_000);
    match rng.below(15) {
        0 | 1 => vec![(begin, Fault::CrashControl(control)), (end, Fault::StartControl(control))],
        2 => vec![(begin, Fault::StopControl(control)), (end, Fault::StartControl(control))],
        3 | 4 => vec![(begin, Fault::Freeze(control)), (end, Fault::Thaw(control))],
        5 => vec![(begin, Fault::HoldOrder(control, end - begin))],
        6 => vec![(begin, Fault::StoreDown), (begin + (end - begin) / 2, Fault::StoreUp)],
        7 => vec![(begin, Fault::StoreLoses(50 + rng.below(300))), (end, Fault::StoreLoses(0))],
        8 => vec![(begin, Fault::Orders(rng.below(500), rng.below(500))), (end, Fault::Orders(0, 0))],
        9 => vec![(begin, Fault::CrashNode(node))],
        10 => vec![(begin, Fault::SlowStart(node, takes))],
        11 if rng.below(3) == 0 => vec![(begin, Fault::Never(node))],
        11 | 12 => vec![(begin, Fault::Lose(gateway, node)), (end, Fault::Find(gateway, node))],
        13 => vec![(begin, Fault::Cut(control, node)), (end, Fault::Mend(control, node))],
        _ => vec![(begin, Fault::GatewayDown(gateway)), (end, Fault::GatewayUp(gateway))],
    }
}

fn millis(rng: &mut Rng, low: u64, high: u64) -> Duration {
    Duration::from_millis(low + rng.below(high - low))
}
