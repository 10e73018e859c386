//! A run: hosts, a network between them, and what the scenario does to both.

use crate::gateway;
use crate::history::{History, Recorder};
use crate::model::OnDisk;
use crate::node::{self, Knobs};
use crate::scenario::{GATEWAYS, NODES, Scenario, Trouble, What};
use anyhow::{Context, anyhow};
use spinwell_runtime::options::{Options, Sources};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use turmoil::Sim;

/// How far all hosts go before the next one does.
const TICK: Duration = Duration::from_millis(1);
/// Segments that may be under way of a connection, more than what waits in any run: the network loses some of a connection that is cut, and never
/// gives their places back.
const SEGMENTS_MAX: usize = 65_536;

/// Runs a scenario. The same scenario is the same run.
///
/// # Errors
/// Where a host cannot go on, which none should.
pub fn run(scenario: &Scenario) -> anyhow::Result<History> {
    let mut world = World::new(scenario)?;
    let mut changes = changes(scenario);
    while world.sim.elapsed() < scenario.ends + TICK {
        while let Some((_, change)) = changes.pop_if(|(at, _)| *at <= world.sim.elapsed()) {
            world.change(&change);
        }
        world.step()?;
    }
    let mut history = world.recorder.take();
    history.left_over = world.knobs.iter().map(|knobs| knobs.has.load(Ordering::Relaxed)).sum();
    Ok(history)
}

/// A trouble begins, or ends.
#[derive(Clone)]
enum Change {
    Begins(Trouble),
    Ends(Trouble),
}

/// All changes, the last one first.
fn changes(scenario: &Scenario) -> Vec<(Duration, Change)> {
    let both = |trouble: &Trouble| {
        [(trouble.from, Change::Begins(trouble.clone())), (trouble.until, Change::Ends(trouble.clone()))]
    };
    let mut changes: Vec<_> = scenario.troubles.iter().flat_map(both).collect();
    changes.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    changes
}

struct World {
    sim: Sim<'static>,
    recorder: Recorder,
    knobs: Vec<Arc<Knobs>>,
    /// Nodes to start as soon as their processes have ended.
    starts_again: [bool; NODES],
    /// Operators, one at each gateway.
    drains: Vec<UnboundedSender<usize>>,
}

impl World {
    fn new(scenario: &Scenario) -> anyhow::Result<Self> {
        let model = OnDisk::get()?;
        let options = Options::load(&Sources::default()).map_err(|error| anyhow!("{error}"))?.options;
        let (options, scenario) = (Arc::new(options), Arc::new(scenario.clone()));
        let recorder = Recorder::default();
        recorder.write().queue_len_max = vec![0; NODES];
        let mut sim = turmoil::Builder::new()
            .rng_seed(scenario.seed)
            .epoch(UNIX_EPOCH + Duration::from_secs(1_800_000_000))
            .tick_duration(TICK)
            .simulation_duration(2 * scenario.ends)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(scenario.latency_max)
            .tcp_capacity(SEGMENTS_MAX)
            .enable_random_order()
            .build();
        let knobs: Vec<Arc<Knobs>> = (0..NODES).map(|_| Arc::default()).collect();
        for (place, knobs) in knobs.iter().enumerate() {
            let (scenario, options) = (scenario.clone(), options.clone());
            let (recorder, knobs) = (recorder.clone(), knobs.clone());
            let terms = node::Terms { place, model, scenario, options, recorder, knobs };
            sim.host(node::name(place), move || node::live(terms.clone()));
        }
        let mut drains = Vec::new();
        for place in 0..GATEWAYS {
            let (sender, asked) = unbounded_channel();
            drains.push(sender);
            let (scenario, options, recorder) = (scenario.clone(), options.clone(), recorder.clone());
            let terms = gateway::Terms { place, model, scenario, options, recorder, drains: asked };
            sim.client(gateway::name(place), gateway::live(terms));
        }
        Ok(Self { sim, recorder, knobs, starts_again: [false; NODES], drains })
    }

    fn step(&mut self) -> anyhow::Result<()> {
        self.sim.step().map_err(|error| anyhow!("{error}")).context("a host of the simulation failed")?;
        for (place, knobs) in self.knobs.iter().enumerate() {
            if !knobs.has_ended.swap(false, Ordering::Relaxed) {
                continue;
            }
            self.sim.crash(node::name(place));
            if std::mem::take(&mut self.starts_again[place]) {
                self.sim.bounce(node::name(place));
            }
        }
        Ok(())
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Begins(trouble) => self.begin(trouble),
            Change::Ends(trouble) => self.end(trouble),
        }
    }

    fn begin(&mut self, trouble: &Trouble) {
        let host = node::name(trouble.node);
        match &trouble.what {
            What::Crash => self.kill(trouble.node),
            What::PowerCut => {
                // First, so that nothing is said of the end.
                (0..GATEWAYS).for_each(|gateway| self.sim.partition(gateway::name(gateway), host.clone()));
                self.kill(trouble.node);
            }
            What::Cut(gateways) => {
                gateways.iter().for_each(|gateway| self.sim.partition(gateway::name(*gateway), host.clone()));
            }
            What::Freeze => {
                (0..GATEWAYS).for_each(|gateway| self.sim.hold(gateway::name(gateway), host.clone()));
                self.stall(trouble.node, true);
            }
            What::Stall => self.stall(trouble.node, true),
            What::Drain(gateway) => {
                // A gateway that has ended drains nobody.
                let _ = self.drains[*gateway].send(trouble.node);
            }
        }
    }

    fn end(&mut self, trouble: &Trouble) {
        let host = node::name(trouble.node);
        match &trouble.what {
            What::Crash | What::Drain(_) => self.start(trouble.node),
            What::PowerCut => {
                (0..GATEWAYS).for_each(|gateway| self.sim.repair(gateway::name(gateway), host.clone()));
                self.start(trouble.node);
            }
            What::Cut(gateways) => {
                gateways.iter().for_each(|gateway| self.sim.repair(gateway::name(*gateway), host.clone()));
            }
            What::Freeze => {
                (0..GATEWAYS).for_each(|gateway| self.sim.release(gateway::name(gateway), host.clone()));
                self.stall(trouble.node, false);
            }
            What::Stall => self.stall(trouble.node, false),
        }
    }

    /// Lets a node's process die within a tick.
    fn kill(&self, node: usize) {
        self.knobs[node].is_killed.store(true, Ordering::Relaxed);
    }

    /// Starts a node that has ended. One that should have and has not is killed before.
    fn start(&mut self, node: usize) {
        let host = node::name(node);
        if self.sim.is_host_running(host.clone()) {
            self.starts_again[node] = true;
            self.kill(node);
        } else {
            self.sim.bounce(host);
        }
    }

    fn stall(&self, node: usize, is_stalled: bool) {
        self.knobs[node].is_stalled.store(is_stalled, Ordering::Relaxed);
    }
}
