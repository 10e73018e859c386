//! What asks Consul, beats, and hangs up the view: the machines' hands, which choose nothing.

use super::announce::{Announcer, Answer, Step, Wish};
use super::client::{CallError, Client};
use super::listing::{self, Listing};
use super::watch::{Timing, Watch};
use crate::board::Board;
use crate::{Address, Listed, Member, Role, clock};
use spinwell_core::Rng;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};

/// A wish with a number, so that who had it can wait until it is fulfilled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) number: u64,
    pub(crate) wish: Wish,
}

impl Wanted {
    /// Another wish takes the place of this one.
    pub(crate) fn next(&mut self, wish: Wish) {
        self.number += 1;
        self.wish = wish;
    }
}

/// Everything that runs against one agent.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) client: Client,
    /// Where its random numbers begin.
    pub(crate) seed: u64,
    pub(crate) timing: Timing,
    /// Longest time between two beats.
    pub(crate) beat_interval: Duration,
    /// How long the end waits for the agent to take us off the list.
    pub(crate) leave_patience: Duration,
    /// Where the view hangs.
    pub(crate) board: Board,
    /// What we want to be known as.
    pub(crate) wanted: watch::Receiver<Wanted>,
    /// Number of the last wish that the agent knows of.
    pub(crate) settled: watch::Sender<u64>,
    /// Where the other process is that has taken our place, once there is one.
    pub(crate) replaced: watch::Sender<Option<Address>>,
}

impl Service {
    /// Runs until `shutdown`, and then takes us off the list.
    pub(crate) async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let rng = Rng::seeded(self.seed);
        let lists = Lists::new(self.board.clone(), self.timing.grace);
        let (stop, stopped) = oneshot::channel();
        let watched = async {
            let [nodes, gateways] = Role::ALL
                .map(|role| watch_role(&self.client, role, self.timing, rng.fork(role as u64), &lists));
            tokio::select! {
                () = shutdown => {}
                () = nodes => {}
                () = gateways => {}
            }
            // Whether anybody listens does not matter.
            let _ = stop.send(());
        };
        let announcement = Announcement {
            announcer: Announcer::new(self.beat_interval, clock::now()),
            client: &self.client,
            rng: rng.fork(Role::ALL.len() as u64),
            wanted: self.wanted.clone(),
            settled: &self.settled,
            replaced: &self.replaced,
            is_failing: false,
        };
        tokio::join!(watched, announcement.run(stopped, self.leave_patience));
    }
}

/// Asks who has the role, for ever.
async fn watch_role(client: &Client, role: Role, timing: Timing, mut rng: Rng, lists: &Lists) {
    let mut watch = Watch::new(timing, clock::now());
    loop {
        let query = watch.next(clock::now(), &mut rng);
        tokio::time::sleep_until(query.not_before.into()).await;
        let answer = client.members(role, query).await;
        let now = clock::now();
        let outcome = match answer {
            Ok((index, entries)) => {
                let Listing { members, unreadable } = listing::read(role, entries);
                watch.answered(index, members, now);
                Ok(unreadable)
            }
            Err(error) => {
                watch.failed(now, &mut rng);
                Err(error)
            }
        };
        lists.update(role, &watch, outcome, now);
    }
}

/// What is known of each role, put together on the board.
#[derive(Debug)]
struct Lists {
    board: Board,
    grace: Duration,
    parts: Mutex<[Part; Role::ALL.len()]>,
}

#[derive(Debug, Default)]
struct Part {
    members: Vec<Listed>,
    is_frozen: bool,
    /// When Consul last answered, where it has.
    seen_at: Option<Instant>,
    /// Whether the last query failed.
    is_failing: bool,
    unreadable: Vec<String>,
}

impl Lists {
    fn new(board: Board, grace: Duration) -> Self {
        Self { board, grace, parts: Mutex::default() }
    }

    /// The machine of a role has seen an answer, with the services in it that are no members, or the lack of one.
    fn update(&self, role: Role, watch: &Watch, outcome: Result<Vec<String>, CallError>, now: Instant) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let was_failing = parts.iter().any(|part| part.is_failing);
        let part = &mut parts[role as usize];
        part.members = watch.members().to_vec();
        part.is_frozen = watch.is_frozen();
        part.is_failing = outcome.is_err();
        match outcome {
            Ok(unreadable) => {
                part.seen_at = Some(now);
                if unreadable != part.unreadable && !unreadable.is_empty() {
                    tracing::warn!(%role, services = ?unreadable, "registered services that are no members are left out");
                }
                part.unreadable = unreadable;
                if was_failing && parts.iter().all(|part| !part.is_failing) {
                    let held_ms = self.grace.as_millis();
                    tracing::info!(
                        held_ms,
                        "consul answers again; who it misses is held until everybody has beaten"
                    );
                }
            }
            Err(error) if !was_failing => {
                let members = parts.iter().map(|part| part.members.len()).sum::<usize>();
                tracing::warn!(
                    error = chain(&error),
                    members,
                    "consul cannot be asked; the membership is frozen"
                );
            }
            Err(error) => tracing::debug!(error = chain(&error), %role, "consul still cannot be asked"),
        }
        // The view is unknown until every part is known.
        let seen = parts.iter().map(|part| part.seen_at).collect::<Option<Vec<_>>>();
        if let Some(seen_at) = seen.and_then(|seen| seen.into_iter().min()) {
            let members = parts.iter().flat_map(|part| part.members.iter().cloned()).collect();
            self.board.publish(members, parts.iter().any(|part| part.is_frozen), seen_at);
        }
    }
}

/// The announcer and what it works with.
struct Announcement<'s> {
    announcer: Announcer,
    client: &'s Client,
    rng: Rng,
    wanted: watch::Receiver<Wanted>,
    settled: &'s watch::Sender<u64>,
    replaced: &'s watch::Sender<Option<Address>>,
    is_failing: bool,
}

/// What there may be to do.
enum Event {
    Wish(Wanted),
    Due(Step),
    Stop,
    GiveUp,
}

impl Announcement<'_> {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>, leave_patience: Duration) {
        let mut number = 0;
        let mut give_up_at: Option<Instant> = None;
        let mut has_handles = true;
        // Whose place another one has taken, has nothing to say any more: its beats would count for that one.
        while self.replaced.borrow().is_none() {
            if self.announcer.is_settled() {
                self.settled.send_if_modified(|settled| std::mem::replace(settled, number) != number);
                if give_up_at.is_some() {
                    return;
                }
            }
            let next = self.announcer.next(clock::now());
            let event = tokio::select! {
                // A wish goes before the step it makes needless.
                biased;
                changed = self.wanted.changed(), if has_handles && give_up_at.is_none() => match changed {
                    Ok(()) => Event::Wish(self.wanted.borrow_and_update().clone()),
                    Err(_) => {
                        has_handles = false;
                        continue;
                    }
                },
                _ = &mut stopped, if give_up_at.is_none() => Event::Stop,
                () = sleep_until(give_up_at) => Event::GiveUp,
                step = due(next) => Event::Due(step),
            };
            match event {
                Event::Wish(wanted) => {
                    number = wanted.number;
                    self.announcer.wish(wanted.wish);
                }
                Event::Due(step) => self.take(step).await,
                Event::Stop => {
                    give_up_at = Some(clock::now() + leave_patience);
                    self.announcer.wish(Wish::Absent);
                }
                Event::GiveUp => {
                    tracing::warn!(
                        "consul did not take this process off its list in time; it becomes critical there"
                    );
                    return;
                }
            }
        }
    }

    async fn take(&mut self, step: Step) {
        let result = match &step {
            Step::Register(member, health) => self.client.register(member, *health).await,
            Step::Beat(member, health) => self.client.beat(member, *health).await,
            Step::Deregister(member) => self.client.deregister(member).await,
        };
        let answer = match &result {
            Ok(()) => Answer::Done,
            Err(CallError::Refused { .. }) => Answer::Refused,
            Err(_) => Answer::Unreachable,
        };
        self.announcer.answered(&step, answer, clock::now(), &mut self.rng);
        match (&step, &result) {
            (Step::Register(member, _), Ok(())) => {
                tracing::info!(id = %member.id, role = %member.role, "announced to consul");
            }
            (Step::Deregister(member), Ok(())) => {
                tracing::info!(id = %member.id, role = %member.role, "withdrawn from consul");
            }
            (Step::Beat(..), Err(error)) if answer == Answer::Refused => {
                tracing::warn!(
                    error = chain(error),
                    "consul does not know this process any more; it is announced again"
                );
            }
            // Once for each time that it begins to fail.
            (_, Err(error)) if !self.is_failing => {
                tracing::warn!(
                    error = chain(error),
                    "consul cannot be told of this process; tried again until it can"
                );
            }
            _ => {}
        }
        self.is_failing = self.announcer.is_failing();
        if let (Step::Beat(member, _), Answer::Done) = (&step, answer) {
            self.look_for_another(member, &step).await;
        }
    }

    /// Takes our place again where another process has registered under our id and is gone, and leaves it to one that lives.
    async fn look_for_another(&mut self, member: &Member, beat: &Step) {
        let address = match self.client.registered(member).await {
            Ok(Some(address)) if address != member.address => address,
            // Where the agent cannot be asked, the next beat says so.
            _ => return,
        };
        let (id, role, own) = (&member.id, member.role, &member.address);
        if takes_connections(&address, self.client.timeout()).await {
            tracing::warn!(%id, %role, %own, other = %address, "another process has registered under this id, and lives");
            self.replaced.send_replace(Some(address));
        } else {
            tracing::warn!(
                %id, %role, %own, other = %address,
                "another process has registered under this id and is gone; this one is announced again"
            );
            self.announcer.answered(beat, Answer::Refused, clock::now(), &mut self.rng);
        }
    }
}

/// Whether anything takes connections at an address, within that time.
pub(crate) async fn takes_connections(address: &Address, within: Duration) -> bool {
    let connecting = TcpStream::connect((address.host(), address.port()));
    tokio::time::timeout(within, connecting).await.is_ok_and(|connected| connected.is_ok())
}

/// Comes then, or never.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Gives the step when it is due, or never.
async fn due(next: Option<(Instant, Step)>) -> Step {
    match next {
        Some((at, step)) => {
            tokio::time::sleep_until(at.into()).await;
            step
        }
        None => std::future::pending().await,
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}
