//! The node: models, queue and executors, behind a [`NodeLink`].

use crate::cards::{Cards, CardsError};
use crate::executor::{self, Job};
use crate::queue::{Queue, Refusal};
use crate::repository::{Bounds, Loaded, Problem, Repository, ScanError};
use spinwell_core::{Code, Fault, Millis, ModelName, ModelVersion, NodeId};
use spinwell_policy::batch::{self, Cost, Limits, Request, Slot};
use spinwell_protocol::{Catalogue, InferFuture, InferRequest, NodeLink, NodeLoad};
use spinwell_runtime::clock;
use spinwell_runtime::options::Device;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;

/// When a caller who met a full queue should try again: by then the queue has moved.
const RETRY_AFTER: Millis = Millis(100);

/// What is said of a request that waited too long.
const LATE: &str = "the request waited so long that it cannot be answered before its deadline";

/// What a node is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The node's name in answers and records.
    pub id: NodeId,
    /// Threads that run models.
    pub executors: usize,
    /// Requests that may wait.
    pub queue_len_max: usize,
    /// Age of the oldest request beyond which the least urgent are shed, if it lasts.
    pub queue_target: Millis,
    /// For how long it must last.
    pub queue_interval: Millis,
    /// Windows in one batch, and so in one request.
    pub batch_windows_max: usize,
    /// Rows in all windows of one batch, and so of one request.
    pub batch_rows_max: usize,
    /// Rows in one window.
    pub rows_max: usize,
    /// Where reservoirs step.
    pub device: Device,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its models cannot be found.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The card that was asked for is not there.
    #[error(transparent)]
    Cards(#[from] CardsError),
    /// It cannot have a thread.
    #[error("an executor thread cannot be started")]
    Thread(#[source] io::Error),
}

impl StartError {
    /// The error as it is shown to the operator.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            StartError::Scan(error) => error.fault(),
            StartError::Cards(error) => error.fault(),
            StartError::Thread(error) => Fault::new(Code::Internal, format!("{self}: {error}")),
        }
    }
}

/// A running node.
pub struct Node {
    inner: Arc<Inner>,
    catalogue: Arc<Catalogue>,
    lanes: HashMap<(ModelName, ModelVersion), usize>,
    problems: Vec<Problem>,
    devices: Vec<String>,
    executors: Mutex<Vec<JoinHandle<()>>>,
}

/// What executors share.
struct Inner {
    id: NodeId,
    models: Vec<Loaded>,
    queue: Queue<Job>,
    executing: AtomicUsize,
    #[cfg(feature = "gpu")]
    nvidia: Option<crate::nvidia::Nvidia>,
}

impl Node {
    /// Loads the models under `folder` and starts the executors.
    ///
    /// # Errors
    /// Where the folder cannot be read or a thread cannot be started. A broken model file is no error: see
    /// [`Node::problems`].
    pub fn start(folder: &Path, options: &Options) -> Result<Self, StartError> {
        let bounds = Bounds {
            windows_max: options.batch_windows_max,
            rows_max: options.rows_max,
            rows_in_all_max: options.batch_rows_max,
        };
        let cards = Cards::open(options.device)?;
        let mut node = Self::with(Repository::scan(folder, bounds, &cards)?, options)?;
        node.devices = cards.notes().to_vec();
        Ok(node)
    }

    /// A node that serves this repository.
    pub(crate) fn with(repository: Repository, options: &Options) -> Result<Self, StartError> {
        let catalogue = Arc::new(repository.catalogue());
        let Repository { models, problems, .. } = repository;
        let lanes = models
            .iter()
            .enumerate()
            .map(|(lane, model)| ((model.description.name.clone(), model.description.version), lane))
            .collect();
        let limits = Limits {
            len_max: options.queue_len_max,
            batch_max: Cost { windows: options.batch_windows_max, rows: options.batch_rows_max },
            executors: options.executors,
            target: options.queue_target.into(),
            interval: options.queue_interval.into(),
        };
        let inner = Arc::new(Inner {
            id: options.id.clone(),
            queue: Queue::new(models.len(), limits),
            models,
            executing: AtomicUsize::new(0),
            #[cfg(feature = "gpu")]
            nvidia: (options.device != Device::Cpu).then(crate::nvidia::Nvidia::find).flatten(),
        });
        let devices = Vec::new();
        let node = Self { inner, catalogue, lanes, problems, devices, executors: Mutex::default() };
        for number in 0..options.executors {
            let inner = node.inner.clone();
            let thread = thread::Builder::new().name(format!("executor-{number}"));
            let thread = thread.spawn(move || inner.execute()).map_err(StartError::Thread)?;
            node.lock_executors().push(thread);
        }
        let inner = node.inner.clone();
        let thread = thread::Builder::new().name("deadlines".to_owned());
        let thread = thread.spawn(move || inner.watch_deadlines()).map_err(StartError::Thread)?;
        node.lock_executors().push(thread);
        Ok(node)
    }

    /// Model files that were not loaded.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What was found where cards were looked for, a line each.
    #[must_use]
    pub fn devices(&self) -> &[String] {
        &self.devices
    }

    /// Refuses new requests, answers those that wait, and returns when all is done. Blocks.
    pub fn stop(&self) {
        self.inner.queue.stop();
        let executors = std::mem::take(&mut *self.lock_executors());
        for executor in executors {
            if executor.join().is_err() {
                tracing::error!("an executor had died before it was stopped");
            }
        }
    }

    fn lock_executors(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.executors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, request: InferRequest) -> Result<(oneshot::Receiver<Answer>, Place), Fault> {
        let key = (request.model.name.clone(), request.model.version);
        let lane = *self.lanes.get(&key).ok_or_else(|| {
            let message = format!("model {} version {} is not on this node", key.0, key.1);
            Fault::new(Code::ModelNotFound, message)
        })?;
        let (answer, receiver) = oneshot::channel();
        let InferRequest { series, outputs, deadline, priority, tenant, .. } = request;
        let cost = Cost { windows: series.batch(), rows: series.batch().saturating_mul(series.rows()) };
        let work = Job { series, outputs, arrived: clock::now(), deadline, answer };
        let request = Request { lane, priority, tenant, cost, deadline, work };
        let slot = self.inner.queue.push(request).map_err(|refusal| match refusal {
            Refusal::Policy(batch::Refusal::Full) => {
                let waiting = self.inner.queue.len_max();
                let message = format!("the queue is full: {waiting} requests wait; try again");
                Fault::new(Code::QueueFull, message).retry_after(RETRY_AFTER)
            }
            Refusal::Policy(batch::Refusal::Backlog { takes }) => {
                let takes = Millis(u64::try_from(takes.as_millis()).unwrap_or(u64::MAX).max(1));
                let message = format!("what waits already takes about {takes}; try again after that");
                Fault::new(Code::QueueFull, message).retry_after(takes)
            }
            Refusal::Stopping => {
                Fault::new(Code::Stopping, "the server is stopping and takes no new requests")
            }
        })?;
        Ok((receiver, Place { inner: self.inner.clone(), slot }))
    }
}

/// A place in the queue, given up when the caller goes away.
struct Place {
    inner: Arc<Inner>,
    slot: Slot,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.queue.leave(self.slot);
    }
}

type Answer = Result<spinwell_protocol::InferReply, Fault>;

impl Inner {
    /// The life of an executor.
    fn execute(&self) {
        while let Some(batch) = self.queue.take() {
            for job in batch.late {
                job.refuse(Fault::new(Code::DeadlineExceeded, LATE));
            }
            for job in batch.shed {
                let message = "requests wait longer than this server lets them; the least urgent are refused";
                job.refuse(Fault::new(Code::QueueFull, message).retry_after(RETRY_AFTER));
            }
            if !batch.ready.is_empty() {
                let started = clock::now();
                self.executing.fetch_add(1, Ordering::Relaxed);
                executor::run(&self.models[batch.lane], &self.id, batch.ready);
                self.executing.fetch_sub(1, Ordering::Relaxed);
                let took = clock::now().saturating_duration_since(started);
                self.queue.observe(batch.lane, batch.cost, took);
            }
        }
    }

    /// Refuses what waits when its deadline passes, though all executors be busy.
    fn watch_deadlines(&self) {
        while let Some(expired) = self.queue.expired() {
            for job in expired {
                job.refuse(Fault::new(Code::DeadlineExceeded, LATE));
            }
        }
    }
}

impl NodeLink for Node {
    fn models(&self) -> Arc<Catalogue> {
        self.catalogue.clone()
    }

    fn infer(&self, request: InferRequest) -> InferFuture {
        let queued = self.enqueue(request);
        Box::pin(async move {
            let (answer, _place) = queued?;
            answer.await.unwrap_or_else(|_| {
                Err(Fault::new(Code::Internal, "the request was lost; the server goes on"))
            })
        })
    }

    fn load(&self) -> NodeLoad {
        NodeLoad {
            queue_len: self.inner.queue.len(),
            queue_len_max: self.inner.queue.len_max(),
            batches_executing: self.inner.executing.load(Ordering::Relaxed),
            #[cfg(feature = "gpu")]
            gpus: self.inner.nvidia.as_ref().map(crate::nvidia::Nvidia::load).unwrap_or_default(),
            #[cfg(not(feature = "gpu"))]
            gpus: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
