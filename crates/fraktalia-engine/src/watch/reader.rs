//! Reads the manifest of a watch: from files that are followed, or from the newest commit of a branch.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use fraktalia_model::Loaded;
use tokio::sync::{Notify, watch};

use super::files::{FileEvents, Target};
use crate::git::{self, Checkout, Clones, GitError, Origin};
use crate::load;
use crate::provider::ObserveError;

/// How often the manifest is read at once, when it names other files each time.
const READINGS: usize = 4;

/// A manifest that was read.
pub(super) struct Read {
    pub loaded: Loaded,
    /// The commit that it is of.
    pub origin: Option<Origin>,
    /// Its files, where they are of a branch.
    pub checkout: Option<Arc<Checkout>>,
}

/// Where it reads.
pub(super) enum Reader {
    File(FileReader),
    Branch(BranchReader),
}

/// A file of somebody's, with all that it names.
pub(super) struct FileReader {
    path: PathBuf,
    files: Arc<Result<FileEvents, ObserveError>>,
    targets: BTreeSet<Target>,
}

/// The commits of a branch.
pub(super) struct BranchReader {
    clones: Arc<Clones>,
    tip: watch::Receiver<Option<Arc<Checkout>>>,
    /// Wakes whoever asks the remote.
    poke: Arc<Notify>,
    /// The commit that was read last.
    read: Option<String>,
}

impl Reader {
    pub fn file(path: PathBuf, files: Arc<Result<FileEvents, ObserveError>>) -> Self {
        Self::File(FileReader { path, files, targets: BTreeSet::new() })
    }

    pub fn branch(
        clones: Arc<Clones>,
        tip: watch::Receiver<Option<Arc<Checkout>>>,
        poke: Arc<Notify>,
    ) -> Self {
        Self::Branch(BranchReader { clones, tip, poke, read: None })
    }

    /// The manifest as it is now; nothing, where it is known already or not there yet. `afresh` believes neither.
    pub async fn read(&mut self, afresh: bool) -> Option<Read> {
        match self {
            Self::File(reader) => Some(reader.read().await),
            Self::Branch(reader) => reader.read(afresh).await,
        }
    }

    /// Reads once more what was read already.
    pub fn forget(&mut self) {
        if let Self::Branch(reader) = self {
            reader.read = None;
        }
    }

    /// Whether a manifest was in force before this watch began.
    pub fn has_good(&self) -> bool {
        matches!(self, Self::Branch(reader) if reader.clones.in_force().is_some())
    }

    /// The manifest that was in force before this watch began.
    pub async fn last_good(&mut self) -> Option<Read> {
        let Self::Branch(reader) = self else { return None };
        let checkout = reader.clones.good().await.ok().flatten()?;
        Some(load_commit(&reader.clones, checkout).await)
    }

    /// Puts the commit in force that was read.
    pub fn put_in_force(&self, read: Option<&Checkout>) -> Result<(), GitError> {
        match (self, read) {
            (Self::Branch(reader), Some(checkout)) => reader.clones.put_in_force(checkout),
            _ => Ok(()),
        }
    }
}

impl FileReader {
    /// Reads it, and follows the files that it was read from. Whatever is written before they are followed makes no
    /// event, so it is read once more then.
    async fn read(&mut self) -> Read {
        let mut tries = 0;
        let loaded = loop {
            tries += 1;
            let path = self.path.clone();
            let (loaded, targets) = blocking(move || load::load_with_targets(&path)).await;
            if targets == self.targets || tries > READINGS {
                break loaded;
            }
            self.targets.clone_from(&targets);
            // Where they cannot be followed, the clock remains; whoever keeps the files says so.
            if !matches!(&*self.files, Ok(files) if files.set(targets).is_ok()) {
                break loaded;
            }
        };
        let origin = git::origin(&self.path, &self.targets).await;
        Read { loaded, origin, checkout: None }
    }
}

impl BranchReader {
    async fn read(&mut self, afresh: bool) -> Option<Read> {
        if afresh {
            self.read = None;
            self.poke.notify_one();
        }
        let checkout = self.tip.borrow().clone()?;
        // A commit does not change.
        if self.read.replace(checkout.origin.commit.clone()).as_ref() == Some(&checkout.origin.commit) {
            return None;
        }
        Some(load_commit(&self.clones, checkout).await)
    }
}

async fn load_commit(clones: &Arc<Clones>, checkout: Arc<Checkout>) -> Read {
    let (from, of) = (Arc::clone(clones), Arc::clone(&checkout));
    let loaded = blocking(move || git::load(&from, &of)).await;
    Read { loaded, origin: Some(checkout.origin.clone()), checkout: Some(checkout) }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
