//! The models that the node serves, which may change while it serves.
//!
//! Readers take one shelf and keep it for as long as they need it; whoever changes something makes another shelf and puts
//! it in the place of the first in one step. A model that is taken off lives on for the requests and sequences that hold
//! it, and for a short while for requests that were checked against it and have not arrived.

use crate::file::read_model;
use crate::kept;
use crate::repository::{self, Loaded, Problem, Repository, Served, Terms};
use spinwell_core::{Code, Fault, ModelHash, ModelName, ModelVersion};
use spinwell_protocol::{Catalogue, Entry, IndexEntry, ModelDescription, WaitingFor};
use spinwell_runtime::clock;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

/// How long a request may be on its way between the check against a model and the node.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// A handle on the node's models.
#[derive(Clone)]
pub(crate) struct Models(Arc<Inner>);

struct Inner {
    folder: Option<PathBuf>,
    terms: Terms,
    shelf: RwLock<Arc<Shelf>>,
    /// Held by whoever makes another shelf.
    changing: Mutex<()>,
    /// Models that are here for their sequences alone.
    for_sequences: Mutex<HashMap<(ModelName, ModelHash), Weak<Loaded>>>,
}

/// What is served at one time.
#[derive(Default)]
struct Shelf {
    catalogue: Arc<Catalogue>,
    served: BTreeMap<(ModelName, ModelVersion), Arc<Loaded>>,
    broken: BTreeMap<(ModelName, ModelVersion), Problem>,
    /// Why the last attempt to load them changed nothing.
    refused: BTreeMap<(ModelName, ModelVersion), Problem>,
    retired: Vec<(Instant, Arc<Loaded>)>,
    /// How the models are served.
    ways: BTreeMap<ModelName, Served>,
}

impl Shelf {
    fn with_catalogue(mut self) -> Self {
        let mut catalogue = Catalogue::default();
        for ((name, version), problem) in &self.broken {
            catalogue.insert(name, *version, Entry::Broken(problem.code));
        }
        for ((name, version), loaded) in &self.served {
            catalogue.insert(name, *version, Entry::Ready(loaded.description.clone()));
        }
        for (name, way) in &self.ways {
            catalogue.split(name, way.traffic.clone());
        }
        self.catalogue = Arc::new(catalogue);
        self
    }

    /// The same without any version of a model.
    fn without(&self, name: &ModelName, now: Instant) -> Self {
        let mut shelf = self.without_stale(now);
        let gone = shelf.served.extract_if(.., |key, _| key.0 == *name).map(|(_, loaded)| (now, loaded));
        shelf.retired.extend(gone);
        shelf.broken.retain(|key, _| key.0 != *name);
        shelf.refused.retain(|key, _| key.0 != *name);
        shelf.ways.remove(name);
        shelf
    }

    /// The same without models that were taken off a while ago.
    fn without_stale(&self, now: Instant) -> Self {
        let mut shelf = Self {
            catalogue: Arc::default(),
            served: self.served.clone(),
            broken: self.broken.clone(),
            refused: self.refused.clone(),
            retired: self.retired.clone(),
            ways: self.ways.clone(),
        };
        shelf.retired.retain(|(at, _)| now.saturating_duration_since(*at) < GRACE);
        shelf
    }

    fn add(&mut self, repository: Repository) {
        for loaded in repository.models {
            let key = (loaded.description.name.clone(), loaded.description.version);
            self.served.insert(key, loaded);
        }
        for (name, version, problem) in repository.broken {
            self.broken.insert((name, version), problem);
        }
        self.ways.extend(repository.served);
    }

    /// Lets the limits of these models hold.
    fn apply_limits(&self, terms: &Terms) {
        for (name, way) in &self.ways {
            terms.queue.set_limits(name, way.settings.limits);
        }
        for ((name, _), loaded) in &self.served {
            let windows_max = self.ways.get(name).map_or(usize::MAX, |way| way.windows_max);
            loaded.windows_max.store(windows_max, Ordering::Relaxed);
        }
    }
}

impl Models {
    /// The models of a repository.
    pub(crate) fn new(folder: Option<PathBuf>, terms: Terms, repository: Repository) -> Self {
        let mut shelf = Shelf::default();
        shelf.add(repository);
        shelf.apply_limits(&terms);
        Self(Arc::new(Inner {
            folder,
            terms,
            shelf: RwLock::new(Arc::new(shelf.with_catalogue())),
            changing: Mutex::default(),
            for_sequences: Mutex::default(),
        }))
    }

    /// Where the models are, if they have a folder.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.0.folder.as_deref()
    }

    /// What is served, as of now.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.shelf().catalogue.clone()
    }

    /// The very model that a request was checked against.
    pub(crate) fn find(&self, model: &ModelDescription) -> Result<Arc<Loaded>, Fault> {
        let shelf = self.shelf();
        let key = (model.name.clone(), model.version);
        let served = shelf.served.get(&key).filter(|loaded| loaded.description.hash == model.hash);
        let is_it = |loaded: &&Arc<Loaded>| *loaded.description == *model;
        let found = served.or_else(|| shelf.retired.iter().map(|(_, loaded)| loaded).find(is_it));
        found.cloned().ok_or_else(|| {
            let message = format!("model {} version {} is not on this node", key.0, key.1);
            Fault::new(Code::ModelNotFound, message)
        })
    }

    /// Whether any version of that name is served.
    pub(crate) fn has(&self, name: &ModelName) -> bool {
        self.shelf().served.keys().any(|(served, _)| served == name)
    }

    /// The model of that name and hash: one that is served, or one that is kept for its sequences.
    pub(crate) fn of_hash(&self, name: &ModelName, hash: &ModelHash) -> Option<Arc<Loaded>> {
        let shelf = self.shelf();
        let retired = shelf.retired.iter().map(|(_, loaded)| loaded);
        let is_it =
            |loaded: &&Arc<Loaded>| loaded.description.hash == *hash && loaded.description.name == *name;
        let found = shelf.served.values().chain(retired).find(is_it);
        found.cloned().or_else(|| self.for_sequences(name, hash))
    }

    fn for_sequences(&self, name: &ModelName, hash: &ModelHash) -> Option<Arc<Loaded>> {
        let mut all = lock(&self.0.for_sequences);
        let key = (name.clone(), *hash);
        if let Some(loaded) = all.get(&key).and_then(Weak::upgrade) {
            return Some(loaded);
        }
        let (path, version) = kept::find(self.0.terms.kept.as_ref()?, name, hash)?;
        let (model, bytes) = read_model(&path).ok().filter(|(model, _)| model.hash() == *hash)?;
        // Sequences step on the CPU: it needs no card.
        let terms = Terms { cards: Arc::default(), ..self.0.terms.clone() };
        let loaded = Arc::new(repository::place(model, bytes.len(), name, version, &terms));
        all.retain(|_, loaded| loaded.strong_count() > 0);
        all.insert(key, Arc::downgrade(&loaded));
        Some(loaded)
    }

    /// The version and the file of the model of that name and hash.
    ///
    /// # Errors
    /// Where it is not here, or cannot be read.
    pub(crate) fn file_of(
        &self,
        name: &ModelName,
        hash: &ModelHash,
    ) -> Result<(ModelVersion, Vec<u8>), Fault> {
        let gone = || {
            Fault::new(
                Code::ModelNotFound,
                format!("the file of model {name} ({hash}) is not kept on this node"),
            )
        };
        let (path, version) =
            self.0.terms.kept.as_ref().and_then(|kept| kept::find(kept, name, hash)).ok_or_else(gone)?;
        let bytes = std::fs::read(&path)
            .map_err(|error| Fault::new(Code::Io, format!("{}: {error}", path.display())))?;
        Ok((version, bytes))
    }

    /// Keeps the file of a model that came from elsewhere. Whether it is what its hash says is seen when it is read.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn keep(
        &self,
        name: &ModelName,
        version: ModelVersion,
        hash: &ModelHash,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let Some(folder) = &self.0.terms.kept else { return Ok(()) };
        kept::keep_file(folder, hash, version, name, bytes)
            .map_err(|error| Fault::new(Code::Io, error.to_string()))
    }

    /// Removes the files that are kept for sequences and that neither these sequences nor what is served needs.
    pub(crate) fn clean_kept(&self, of_sequences: &HashSet<(String, ModelHash)>) {
        let Some(folder) = &self.0.terms.kept else { return };
        let shelf = self.shelf();
        let served = shelf.served.values().map(|loaded| &loaded.description);
        let served = served.map(|model| (model.name.as_str(), model.hash_text().to_owned()));
        let of_sequences = of_sequences.iter().map(|(name, hash)| (name.as_str(), hash.to_string()));
        let needed: HashSet<(&str, String)> = of_sequences.chain(served).collect();
        match kept::clean(folder, |name, hash| needed.contains(&(name.as_str(), hash.to_owned()))) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "files of models removed that no sequence needs any more"),
            Err(error) => {
                tracing::warn!(%error, folder = %folder.display(), "kept files of models were not cleaned up");
            }
        }
    }

    /// Serves a model's files as they are now. Returns the versions that could not be loaded beside those that were.
    ///
    /// # Errors
    /// Where it has none, none of them can be served, or its `serving.toml` cannot be followed; what is served then stays.
    pub(crate) fn load(&self, name: &ModelName) -> Result<Vec<IndexEntry>, Fault> {
        let folder = self
            .0
            .folder
            .as_ref()
            .ok_or_else(|| Fault::new(Code::NotOffered, "this node has no folder of models"))?;
        let _changing = lock(&self.0.changing);
        let before = self.shelf();
        let own: Vec<_> = before
            .served
            .iter()
            .filter(|(key, _)| key.0 == *name)
            .map(|(_, loaded)| loaded.clone())
            .collect();
        let keep = |refused: Vec<_>| {
            let mut shelf = before.without_stale(clock::now());
            shelf.refused.retain(|key, _| key.0 != *name);
            shelf.refused.extend(refused);
            self.put(shelf);
        };
        let repository = repository::scan_model(folder, name, &own, &self.0.terms).inspect_err(|fault| {
            let path = folder.join(name.as_str());
            let versions = repository::versions_in(&path).unwrap_or_default();
            let problem = Problem { path, code: fault.code(), message: fault.message().to_owned() };
            keep(versions.into_iter().map(|version| ((name.clone(), version), problem.clone())).collect());
        })?;
        if repository.models.is_empty() {
            let broken = repository.broken.iter();
            keep(
                broken.map(|(name, version, problem)| ((name.clone(), *version), problem.clone())).collect(),
            );
            return Err(match repository.problems.first() {
                Some(Problem { code, message, .. }) => {
                    Fault::new(*code, format!("no version of model {name} can be loaded: {message}"))
                }
                None => Fault::new(
                    Code::ModelNotFound,
                    format!("model {name} has no version in the models folder"),
                ),
            });
        }
        let left_out = repository.broken.iter().map(|(name, version, problem)| IndexEntry {
            name: name.clone(),
            version: *version,
            is_ready: false,
            reason: problem.said(),
        });
        let left_out = left_out.collect();
        let mut shelf = before.without(name, clock::now());
        shelf.add(repository);
        self.put(shelf);
        Ok(left_out)
    }

    /// Serves no version of a model any more, and forgets those that could not be served.
    ///
    /// # Errors
    /// Where there is none of either.
    pub(crate) fn unload(&self, name: &ModelName) -> Result<(), Fault> {
        let _changing = lock(&self.0.changing);
        let before = self.shelf();
        if !before.served.keys().chain(before.broken.keys()).any(|key| key.0 == *name) {
            return Err(before
                .catalogue
                .find(name.as_str(), None)
                .err()
                .unwrap_or_else(|| Fault::new(Code::ModelNotFound, format!("model {name} is not served"))));
        }
        self.put(before.without(name, clock::now()));
        tracing::info!(model = %name, "model unloaded");
        Ok(())
    }

    /// How many requests wait for each version: all that are served, and those that are not any more while some do.
    pub(crate) fn waiting(&self) -> Vec<WaitingFor> {
        let shelf = self.shelf();
        let served: Vec<_> = shelf.served.values().cloned().collect();
        let retired = shelf.retired.iter().map(|(_, loaded)| loaded.clone());
        let of_sequences: Vec<_> = lock(&self.0.for_sequences).values().filter_map(Weak::upgrade).collect();
        let (count, mut all) = (served.len(), served);
        all.extend(retired.chain(of_sequences));
        let requests = self.0.terms.queue.lens_of(all.iter().map(|loaded| loaded.lane.number()));
        let mut waiting = BTreeMap::new();
        for (place, (loaded, requests)) in all.iter().zip(requests).enumerate() {
            if place < count || requests > 0 {
                let key = (loaded.description.name.clone(), loaded.description.version);
                *waiting.entry(key).or_default() += requests;
            }
        }
        let one = |((model, version), requests)| WaitingFor { model, version, requests };
        waiting.into_iter().map(one).collect()
    }

    /// Lets go of models that were taken off a while ago.
    pub(crate) fn forget_retired(&self) {
        let _changing = lock(&self.0.changing);
        let before = self.shelf();
        self.put(before.without_stale(clock::now()));
    }

    /// Every version that is served or could be.
    ///
    /// # Errors
    /// Where the folder of models cannot be read.
    pub(crate) fn index(&self) -> Result<Vec<IndexEntry>, Fault> {
        let shelf = self.shelf();
        let on_disk = match &self.0.folder {
            Some(folder) => repository::list(folder).map_err(|error| error.fault())?,
            None => Vec::new(),
        };
        let mut all: BTreeMap<_, String> =
            on_disk.into_iter().map(|key| (key, "it is not loaded".to_owned())).collect();
        let troubled = shelf.broken.iter().chain(&shelf.refused);
        all.extend(troubled.map(|(key, problem)| (key.clone(), problem.said())));
        all.extend(shelf.served.keys().map(|key| {
            let refused = shelf.refused.get(key);
            let what = |problem: &Problem| {
                format!("what is on the disk cannot be loaded, what was before is served: {}", problem.said())
            };
            (key.clone(), refused.map(what).unwrap_or_default())
        }));
        // Said where its requests go.
        for (name, way) in shelf.ways.iter().filter(|(_, way)| !way.off.is_empty()) {
            if let Ok(model) = shelf.catalogue.find(name.as_str(), None) {
                let why: Vec<String> = way.off.iter().map(ToString::to_string).collect();
                all.insert((name.clone(), model.version), format!("it answers alone: {}", why.join("; ")));
            }
        }
        let entry = |((name, version), reason): ((ModelName, ModelVersion), String)| {
            let is_ready = shelf.served.contains_key(&(name.clone(), version));
            IndexEntry { name, version, is_ready, reason }
        };
        Ok(all.into_iter().map(entry).collect())
    }

    fn shelf(&self) -> Arc<Shelf> {
        self.0.shelf.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, shelf: Shelf) {
        shelf.apply_limits(&self.0.terms);
        let shelf = Arc::new(shelf.with_catalogue());
        let before =
            std::mem::replace(&mut *self.0.shelf.write().unwrap_or_else(PoisonError::into_inner), shelf);
        // Dropped after the lock is released: models may go with it.
        drop(before);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
