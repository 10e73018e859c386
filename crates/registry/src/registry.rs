//! The handle through which a process is in its region.

use crate::board::Board;
use crate::clock;
use crate::consul::{self, Client, Wanted, Wish};
use crate::local::Supervisor;
use crate::{Address, Health, InvalidMember, Listed, Member, Role, View};
use spinwell_core::{Millis, NodeId};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Where the list is kept.
#[derive(Debug, Clone)]
pub enum Options {
    /// In this process, by a [`Supervisor`].
    Local,
    /// In the configuration. It never changes; who is gone is found out by those who talk to them.
    Static(Vec<Member>),
    /// In Consul.
    Consul(consul::Options),
}

/// A registry cannot be used as it is set up, or did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A member of the configuration cannot be one.
    #[error("{0} cannot be a member")]
    Member(NodeId, #[source] InvalidMember),
    /// Two members of the configuration have the same role and id.
    #[error("two members of the configuration are the {0} {1}")]
    Twice(Role, NodeId),
    /// The options of Consul are not valid.
    #[error("the options of Consul are not valid")]
    Consul(#[from] consul::InvalidOptions),
    /// The withdrawal was not confirmed in time. The member becomes critical when its beats stop.
    #[error("the registry did not confirm the withdrawal within {0}")]
    NotWithdrawn(Millis),
}

/// A cheap handle on the list: to be on it, and to see who is.
#[derive(Debug, Clone)]
pub struct Registry {
    board: Board,
    us: Us,
}

/// How this process is on the list.
#[derive(Debug, Clone)]
enum Us {
    /// By hand; who we are, once we have said so.
    Local(Supervisor, Arc<Mutex<Option<(Role, NodeId)>>>),
    /// The configuration has us, or not.
    Static,
    /// By a wish that the service carries out.
    Consul {
        wanted: Arc<watch::Sender<Wanted>>,
        settled: watch::Receiver<u64>,
        replaced: watch::Receiver<Option<Address>>,
        patience: Duration,
        /// How long a member stays passing that has died without a word.
        ttl: Duration,
    },
}

/// What runs behind a handle. The handle works while this runs.
#[derive(Debug)]
pub struct Service(Option<consul::Service>);

impl Registry {
    /// A registry as `options` say, and what has to run for it. `seed` spreads its beats and queries; it should be
    /// another for each process.
    ///
    /// # Errors
    /// Where the options are not valid. That Consul cannot be reached is not an error: the view is unknown and frozen
    /// until it can.
    pub fn new(options: Options, seed: u64) -> Result<(Self, Service), Error> {
        let board = Board::new();
        let (us, service) = match options {
            Options::Local => {
                board.publish(Vec::new(), false, clock::now());
                (Us::Local(Supervisor::new(board.clone()), Arc::default()), None)
            }
            Options::Static(members) => {
                board.publish(configured(members)?, false, clock::now());
                (Us::Static, None)
            }
            Options::Consul(options) => {
                let client = Client::new(&options)?;
                let (wanted, seen) = watch::channel(Wanted::default());
                let (told, settled) = watch::channel(0);
                let (lost, replaced) = watch::channel(None);
                // A step that is under way, and the one that takes us off.
                let patience = 2 * Duration::from(options.timeout);
                let ttl = Duration::from(options.ttl);
                let service = consul::Service {
                    client,
                    seed,
                    timing: options.timing(),
                    beat_interval: options.beat_interval(),
                    leave_patience: patience,
                    board: board.clone(),
                    wanted: seen,
                    settled: told,
                    replaced: lost,
                };
                (Us::Consul { wanted: Arc::new(wanted), settled, replaced, patience, ttl }, Some(service))
            }
        };
        Ok((Self { board, us }, Service(service)))
    }

    /// Puts this process on the list, passing, in the place of what it announced before. It is on the list as soon as
    /// the registry can be reached, and stays there, also where the registry forgets it, until it withdraws.
    ///
    /// # Errors
    /// Where no registry could carry what the member says of itself.
    pub fn announce(&self, member: Member) -> Result<(), InvalidMember> {
        member.check()?;
        match &self.us {
            Us::Local(supervisor, us) => {
                let new = (member.role, member.id.clone());
                let old = us.lock().unwrap_or_else(PoisonError::into_inner).replace(new.clone());
                if let Some((role, id)) = old.filter(|old| *old != new) {
                    supervisor.leave(role, &id);
                }
                supervisor.join(member)?;
            }
            Us::Static => {}
            Us::Consul { wanted, .. } => {
                wanted.send_modify(|wanted| wanted.next(Wish::Listed(Arc::new(member), Health::Passing)));
            }
        }
        Ok(())
    }

    /// Says how this process is. Nothing happens before it has announced itself, or where the list is configured.
    pub fn set_health(&self, health: Health) {
        match &self.us {
            Us::Local(supervisor, us) => {
                if let Some((role, id)) = &*us.lock().unwrap_or_else(PoisonError::into_inner) {
                    supervisor.set_health(*role, id, health);
                }
            }
            Us::Static => {}
            Us::Consul { wanted, .. } => {
                wanted.send_if_modified(|wanted| match &wanted.wish {
                    Wish::Listed(member, now) if *now != health => {
                        wanted.next(Wish::Listed(member.clone(), health));
                        true
                    }
                    _ => false,
                });
            }
        }
    }

    /// Takes this process off the list, and returns when the registry has said that it is off.
    ///
    /// # Errors
    /// [`Error::NotWithdrawn`] where it has not said so in time. While the service runs it goes on trying.
    pub async fn withdraw(&self) -> Result<(), Error> {
        match &self.us {
            Us::Local(supervisor, us) => {
                let old = us.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some((role, id)) = old {
                    supervisor.leave(role, &id);
                }
                Ok(())
            }
            Us::Static => Ok(()),
            Us::Consul { wanted, settled, patience, .. } => {
                let mut number = 0;
                wanted.send_modify(|wanted| {
                    wanted.next(Wish::Absent);
                    number = wanted.number;
                });
                let mut settled = settled.clone();
                match tokio::time::timeout(*patience, settled.wait_for(|settled| *settled >= number)).await {
                    Ok(Ok(_)) => Ok(()),
                    _ => {
                        Err(Error::NotWithdrawn(Millis(patience.as_millis().try_into().unwrap_or(u64::MAX))))
                    }
                }
            }
        }
    }

    /// Where another process lives that has this member's role and id: it is passing, takes connections, and has done so for as
    /// long as one that is gone can seem to. Who has the id of one that lives must not announce itself. Nothing where the list is
    /// not Consul's, or Consul does not answer: then who is replaced learns of it by [`Registry::replaced`].
    pub async fn rival(&self, member: &Member) -> Option<Address> {
        let Us::Consul { patience, ttl, .. } = &self.us else { return None };
        let mut view = self.watch();
        let known = tokio::time::timeout(*patience, view.wait_for(|view| view.version() > 0)).await;
        known.ok()?.ok()?;
        let mut is_told = false;
        let going = async {
            loop {
                let Some(other) = other(&view.borrow_and_update(), member) else { return };
                if !consul::takes_connections(&other, *patience).await {
                    return;
                }
                if !std::mem::replace(&mut is_told, true) {
                    let (id, role) = (&member.id, member.role);
                    tracing::warn!(%id, %role, %other, "another process lives under this id; it is waited for, in case it is about to go");
                }
                if view.changed().await.is_err() {
                    return;
                }
            }
        };
        let is_free = tokio::time::timeout(*ttl + *patience, going).await.is_ok();
        if is_free { None } else { other(&view.borrow(), member) }
    }

    /// Comes when another process has registered under our id at our agent and takes connections, with where that is. From then on
    /// nothing is said for this process any more. Where the other one is gone, our place is taken again instead.
    pub async fn replaced(&self) -> Address {
        if let Us::Consul { replaced, .. } = &self.us
            && let Ok(address) = replaced.clone().wait_for(Option::is_some).await
            && let Some(address) = address.clone()
        {
            return address;
        }
        std::future::pending().await
    }

    /// The members, now and as they change. Whoever watches is woken when members come, go or change, and when the
    /// view freezes or thaws.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.board.watch()
    }

    /// Who keeps the list by hand, where it is kept so.
    #[must_use]
    pub fn supervisor(&self) -> Option<Supervisor> {
        match &self.us {
            Us::Local(supervisor, _) => Some(supervisor.clone()),
            Us::Static | Us::Consul { .. } => None,
        }
    }
}

impl Service {
    /// Keeps the list up to date until `shutdown`, and then takes this process off it, where it has not withdrawn
    /// before and the registry answers in time.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        match self.0 {
            Some(service) => service.run(shutdown).await,
            None => shutdown.await,
        }
    }
}

/// Where a member of the same role and id is that may be sent work, if it is another one.
fn other(view: &View, member: &Member) -> Option<Address> {
    let listed = view.get(member.role, &member.id).filter(|listed| listed.health.is_usable())?;
    Some(listed.member.address.clone()).filter(|address| *address != member.address)
}

/// The members of the configuration, passing.
fn configured(members: Vec<Member>) -> Result<Vec<Listed>, Error> {
    let mut seen = BTreeSet::new();
    for member in &members {
        member.check().map_err(|invalid| Error::Member(member.id.clone(), invalid))?;
        if !seen.insert((member.role, member.id.clone())) {
            return Err(Error::Twice(member.role, member.id.clone()));
        }
    }
    Ok(members.into_iter().map(|member| Listed { member, health: Health::Passing }).collect())
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
