//! The node: models, queue, sequences and executors, behind a [`NodeLink`].

use crate::cards::{Cards, CardsError};
use crate::deliveries::Deliveries;
use crate::executor::Job;
use crate::models::{self, Models};
use crate::queue::{Queue, Refusal};
use crate::repository::{self, Bounds, Loaded, Problem, ScanError, Terms};
use crate::sequences::{self, Cover, Durable, Home, Keeper, Sequences, Shared, Step, Table};
use spinwell_core::{Code, Fault, Millis, ModelName, NodeId, SequenceKey};
use spinwell_policy::batch::{self, Cost, Limits, Request, Slot};
use spinwell_protocol::{
    Catalogue, FileAnswer, FileRequest, IndexEntry, InferFuture, InferReply, InferRequest, LinkFuture,
    NodeLink, NodeLoad, SequenceLoad, StateAnswer, StateCall,
};
use spinwell_runtime::clock;
use spinwell_runtime::machine::Machine;
use spinwell_runtime::options::{Device, Sequences as SequenceOptions, StoreUrl};
use spinwell_security::envelope::Roots;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use work::{at_least_one, hopeless};

/// When a caller who met a full queue should try again: by then the queue has moved.
const RETRY_AFTER: Millis = Millis(100);

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
    /// How sequences are kept.
    pub sequences: SequenceOptions,
    /// The folder for the database, the step log and the models that states are of. Without one, sequences live in memory
    /// alone, and until the end.
    pub data: Option<PathBuf>,
    /// The PostgreSQL database that all nodes of the region share: sequences are there then, and in `data` only the models that
    /// they are of.
    pub store: Option<StoreUrl>,
    /// The root keys of what rests encrypted; nothing is without them.
    pub encryption: Option<Arc<Roots>>,
}

impl Options {
    /// Those of a process that is configured so.
    #[must_use]
    pub fn of(options: &spinwell_runtime::options::Options) -> Self {
        let limits = &options.limits;
        Self {
            id: options.node_id.clone(),
            executors: options.executors,
            queue_len_max: limits.queue_len_max,
            queue_target: limits.queue_target,
            queue_interval: limits.queue_interval,
            batch_windows_max: limits.batch_windows_max,
            batch_rows_max: limits.batch_rows_max,
            rows_max: limits.rows_max,
            device: options.device,
            sequences: options.sequences,
            data: Some(options.data_dir.clone()),
            store: options.store.clone(),
            encryption: options.encryption.clone(),
        }
    }
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
    /// Its sequences cannot be kept, or brought back.
    #[error("the sequences cannot be brought back: {}", .0.message())]
    Sequences(Fault),
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
            StartError::Sequences(fault) => fault.clone(),
            StartError::Thread(error) => Fault::new(Code::Internal, format!("{self}: {error}")),
        }
    }
}

/// A running node.
pub struct Node {
    inner: Arc<Inner>,
    problems: Vec<Problem>,
    devices: Vec<String>,
    restored: usize,
    keeper: Option<Keeper>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What executors share.
struct Inner {
    id: NodeId,
    models: Models,
    queue: Arc<Queue<Job>>,
    sequences: Arc<Sequences>,
    executing: AtomicUsize,
    executors: usize,
    row_micros: AtomicU64,
    /// How busy the machine is; nothing where that is no matter of this node.
    machine: Option<Machine>,
    /// The files that are taken from here and brought here, where there is a folder for them.
    deliveries: Option<Arc<Deliveries>>,
    #[cfg(feature = "gpu")]
    nvidia: Option<crate::nvidia::Nvidia>,
}

impl Node {
    /// Loads the models under `folder`, brings back the sequences, and starts the executors. Blocks, on a thread that may:
    /// within a runtime, one of its blocking threads.
    ///
    /// # Errors
    /// Where the folder or the sequences cannot be read or a thread cannot be started. A broken model file is no error:
    /// see [`Node::problems`].
    pub fn start(folder: &Path, options: &Options) -> Result<Self, StartError> {
        Self::open(folder, options)?.running(options.executors)
    }

    /// The same without threads.
    fn open(folder: &Path, options: &Options) -> Result<Self, StartError> {
        let cards = Arc::new(Cards::open(options.device)?);
        let home = Home::open(options, &Handle::current()).map_err(StartError::Sequences)?;
        let queue = Arc::new(Queue::new(limits(options)));
        let terms = Terms {
            bounds: Bounds {
                windows_max: options.batch_windows_max,
                rows_max: options.rows_max,
                rows_in_all_max: options.batch_rows_max,
            },
            cards: cards.clone(),
            queue: queue.clone(),
            executors: options.executors,
            kept: options.data.as_ref().map(|own| own.join("sequences/models")),
        };
        let repository = repository::scan(folder, &terms)?;
        let problems = repository.problems.clone();
        let models = Models::new(Some(folder.to_owned()), terms, repository);
        let mut node = Self::with(models, queue, home, options)?;
        (node.devices, node.problems) = (cards.notes().to_vec(), problems);
        Ok(node)
    }

    /// A node that serves these models, without threads.
    fn with(
        models: Models,
        queue: Arc<Queue<Job>>,
        home: Option<Home>,
        options: &Options,
    ) -> Result<Self, StartError> {
        let table = Table::new();
        let runtime = home.as_ref().map(|_| Handle::current());
        let (durable, cover) = match home {
            Some(Home::Local(local, cover)) => (Some(Durable::Local(local)), cover),
            Some(Home::Shared(store, cover)) => {
                let (own, runtime) = (options.id.clone(), Handle::current());
                let shared = Shared::start(store, own, table.clone(), models.clone(), cover.clone(), runtime);
                (Some(Durable::Shared(Arc::new(shared.map_err(StartError::Thread)?))), cover)
            }
            None => (None, Cover::default()),
        };
        let sequences = Arc::new(Sequences::new(table, durable.clone(), cover, options.sequences));
        let mut restored = 0;
        let keeper = match durable.zip(runtime) {
            Some((durable, runtime)) => {
                let found = sequences::restore(&sequences, &durable, &models, &runtime)
                    .map_err(StartError::Sequences)?;
                models.clean_kept(&found.models);
                restored = found.sequences;
                let keeper = Keeper::start(sequences.clone(), durable, models.clone(), runtime);
                Some(keeper.map_err(StartError::Thread)?)
            }
            None => None,
        };
        let folder = models.folder().map(Path::to_owned);
        let inner = Arc::new(Inner {
            id: options.id.clone(),
            deliveries: folder.map(|folder| Arc::new(Deliveries::new(folder, models.clone(), &options.id))),
            models,
            queue,
            sequences,
            executing: AtomicUsize::new(0),
            executors: options.executors,
            row_micros: AtomicU64::new(0),
            machine: Some(Machine::default()),
            #[cfg(feature = "gpu")]
            nvidia: (options.device != Device::Cpu).then(crate::nvidia::Nvidia::find).flatten(),
        });
        let (problems, devices, threads) = (Vec::new(), Vec::new(), Mutex::default());
        Ok(Self { inner, problems, devices, restored, keeper, threads })
    }

    /// The same with the threads that run what waits.
    fn running(self, executors: usize) -> Result<Self, StartError> {
        for number in 0..executors {
            let work = |inner: &Inner| {
                give_way();
                inner.execute();
            };
            self.spawn(format!("executor-{number}"), work)?;
        }
        self.spawn("deadlines".to_owned(), Inner::watch_deadlines)?;
        Ok(self)
    }

    fn spawn(&self, name: String, work: impl FnOnce(&Inner) + Send + 'static) -> Result<(), StartError> {
        let inner = self.inner.clone();
        let thread =
            thread::Builder::new().name(name).spawn(move || work(&inner)).map_err(StartError::Thread)?;
        self.lock_threads().push(thread);
        Ok(())
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

    /// How many sequences were brought back at the start whose newest steps only the step log held.
    #[must_use]
    pub fn restored(&self) -> usize {
        self.restored
    }

    /// Comes when the node cannot go on and should be ended and started anew: with what it shares with others it can take no step.
    pub async fn failed(&self) -> Fault {
        let Some(shared) = self.inner.sequences.shared() else { std::future::pending().await };
        shared.died().await;
        Fault::new(
            Code::Internal,
            "the thread that follows the shared log has died; the node ends, to be started anew",
        )
    }

    /// Refuses new requests, answers those that wait, keeps the sequences, and returns when all is done. Blocks, on a
    /// thread that may: within a runtime, one of its blocking threads.
    pub fn stop(&self) {
        self.inner.queue.stop();
        let threads = std::mem::take(&mut *self.lock_threads());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("an executor had died before it was stopped");
            }
        }
        if let Some(keeper) = &self.keeper {
            keeper.stop();
        }
    }

    fn lock_threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the scheduler that this thread computes: when it wakes it does not displace one that runs, so that connections are
/// read to their end before the next batch is formed of what they brought.
fn give_way() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{
            NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityOsValue, ThreadSchedulePolicy,
            set_thread_priority_and_policy, thread_native_id,
        };
        let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
        let usual = ThreadPriority::Os(ThreadPriorityOsValue::default());
        if let Err(error) = set_thread_priority_and_policy(thread_native_id(), usual, policy) {
            tracing::debug!(?error, "executors are scheduled like other threads");
        }
    }
}

fn limits(options: &Options) -> Limits {
    Limits {
        len_max: options.queue_len_max,
        batch_max: Cost { windows: options.batch_windows_max, rows: options.batch_rows_max },
        executors: options.executors,
        target: options.queue_target.into(),
        interval: options.queue_interval.into(),
    }
}

impl Inner {
    /// Lets a request wait for an executor, to be run by this model.
    fn enqueue(
        self: &Arc<Self>,
        request: InferRequest,
        model: Arc<Loaded>,
        step: Option<Step>,
    ) -> Result<(oneshot::Receiver<Answer>, Place), Fault> {
        let (answer, receiver) = oneshot::channel();
        let InferRequest { series, outputs, deadline, priority, is_spare, tenant, .. } = request;
        let cost = Cost { windows: series.batch(), rows: series.batch().saturating_mul(series.rows()) };
        let lane = model.lane.number();
        // Until the queue is unlocked: a request that it refuses may hold the last of a model, whose end locks it again.
        let held = model.clone();
        let work = Job { series, outputs, arrived: clock::now(), deadline, model, step, answer };
        let request = Request { lane, priority, is_spare, tenant, cost, deadline, work };
        let slot = self.queue.push(request).map_err(|refusal| self.refused(refusal, &held))?;
        Ok((receiver, Place { inner: self.clone(), slot }))
    }

    fn refused(&self, refusal: Refusal, model: &Loaded) -> Fault {
        match refusal {
            Refusal::Policy(batch::Refusal::ModelFull { waiting }) => {
                let name = &model.description.name;
                let message =
                    format!("the queue of model {name} is full: {waiting} of its requests wait; try again");
                Fault::new(Code::QueueFull, message).retry_after(RETRY_AFTER)
            }
            Refusal::Policy(batch::Refusal::Full) => {
                let waiting = self.queue.len_max();
                let message = format!("the queue is full: {waiting} requests wait; try again");
                Fault::new(Code::QueueFull, message).retry_after(RETRY_AFTER)
            }
            Refusal::Policy(batch::Refusal::Hopeless { takes }) => hopeless(takes),
            Refusal::Policy(batch::Refusal::Backlog { takes }) => {
                let takes = at_least_one(takes);
                let message = format!("what waits already takes about {takes}; try again after that");
                Fault::new(Code::QueueFull, message).retry_after(takes)
            }
            Refusal::Stopping => {
                Fault::new(Code::Stopping, "the server is stopping and takes no new requests")
            }
        }
    }

    /// Changes what is served, and later lets go of what was.
    fn change_models<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Models) -> Result<T, Fault> + Send + 'static,
    ) -> LinkFuture<T> {
        let (models, later) = (self.models.clone(), self.models.clone());
        let changed = blocking(move || change(&models));
        tokio::spawn(async move {
            tokio::time::sleep(models::GRACE).await;
            tokio::task::spawn_blocking(move || later.forget_retired()).await
        });
        changed
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

type Answer = Result<InferReply, Fault>;

/// What is said where an answer was dropped, which nothing does.
fn lost() -> Fault {
    Fault::new(Code::Internal, "the request was lost; the server goes on")
}

impl NodeLink for Node {
    fn models(&self) -> Arc<Catalogue> {
        self.inner.models.catalogue()
    }

    fn infer(&self, mut request: InferRequest) -> InferFuture {
        let inner = self.inner.clone();
        if let Some(call) = request.sequence.take() {
            let (tenant, model) = (request.tenant.clone(), request.model.name.clone());
            // Here and not when the future is first asked: requests take their turns in the order in which they came.
            let entering =
                self.inner.sequences.table.enter(&SequenceKey { tenant, model, id: call.id.clone() });
            // A task of its own: a caller whose answers nobody takes must not keep others from their turns. It ends with the
            // future.
            let mut task = JoinSet::new();
            task.spawn(inner.step(entering, request, call));
            return Box::pin(async move {
                task.join_next().await.and_then(Result::ok).unwrap_or_else(|| Err(lost()))
            });
        }
        let queued = inner.models.find(&request.model).and_then(|model| inner.enqueue(request, model, None));
        Box::pin(async move {
            let (answer, _place) = queued?;
            answer.await.unwrap_or_else(|_| Err(lost()))
        })
    }

    fn sequence_state(&self, key: SequenceKey, call: StateCall) -> LinkFuture<StateAnswer> {
        let (sequences, models) = (self.inner.sequences.clone(), self.inner.models.clone());
        // As for steps: it takes its turn in the order in which it came, and ends with the future.
        let entering = sequences.table.enter(&key);
        let mut task = JoinSet::new();
        task.spawn(sequences.manage(entering, key, call, models));
        Box::pin(async move { task.join_next().await.and_then(Result::ok).unwrap_or_else(|| Err(lost())) })
    }

    fn index(&self) -> LinkFuture<Vec<IndexEntry>> {
        let models = self.inner.models.clone();
        blocking(move || models.index())
    }

    fn load_model(&self, name: ModelName) -> LinkFuture<Vec<IndexEntry>> {
        self.inner.change_models(move |models| models.load(&name))
    }

    fn unload_model(&self, name: ModelName) -> LinkFuture<()> {
        self.inner.change_models(move |models| models.unload(&name))
    }

    fn load(&self) -> NodeLoad {
        let machine =
            self.inner.machine.as_ref().map(|machine| machine.load(clock::now())).unwrap_or_default();
        let (copied, expired, lost) = self.keeper.as_ref().map(Keeper::counts).unwrap_or_default();
        let shared = self.inner.sequences.shared();
        let (fenced, followed) = shared.map(|shared| shared.counts()).unwrap_or_default();
        NodeLoad {
            queue_len: self.inner.queue.len(),
            queue_len_max: self.inner.queue.len_max(),
            waiting: self.inner.models.waiting(),
            batches_executing: self.inner.executing.load(Ordering::Relaxed),
            executors: self.inner.executors,
            row_micros: self.inner.row_micros.load(Ordering::Relaxed),
            cpu_free: machine.cpu_free,
            memory_free: machine.memory_free,
            sequences: SequenceLoad {
                in_memory: self.inner.sequences.table.count() as u64,
                copied,
                expired,
                lost,
                fenced,
                followed,
                store_silent: shared.and_then(|shared| shared.store_silent()),
            },
            #[cfg(feature = "gpu")]
            gpus: self.inner.nvidia.as_ref().map(crate::nvidia::Nvidia::load).unwrap_or_default(),
            #[cfg(not(feature = "gpu"))]
            gpus: Vec::new(),
            ..NodeLoad::default()
        }
    }

    fn exchanges_files(&self) -> bool {
        self.inner.deliveries.is_some()
    }

    fn files(&self, request: FileRequest) -> LinkFuture<FileAnswer> {
        let Some(deliveries) = self.inner.deliveries.clone() else {
            return Box::pin(async {
                Err(Fault::new(Code::NotOffered, "this node has no folder of models"))
            });
        };
        let store = self.inner.sequences.shared().map(|shared| shared.store.clone());
        // To its end, whether or not the gateway stays.
        let answered = tokio::spawn(deliveries.answer(request, store));
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err(lost())) })
    }

    fn shares_sequences(&self) -> bool {
        self.inner.sequences.shared().is_some()
    }

    fn seen(&self, gateway: &str, nodes: Option<Vec<(NodeId, f64)>>) {
        if let Some(shared) = self.inner.sequences.shared() {
            shared.seen(gateway, nodes);
        }
    }
}

/// Does something that reads the disk where it keeps nobody waiting, to its end.
fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> LinkFuture<T> {
    let done = tokio::task::spawn_blocking(work);
    Box::pin(async move { done.await.unwrap_or_else(|_| Err(lost())) })
}

#[cfg(feature = "stepped")]
pub mod stepped;
mod steps;
mod work;

#[cfg(test)]
mod cover_tests;
#[cfg(test)]
mod sequence_tests;
#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod tests;
