//! Keeps a realm as its manifest says, or says that it is not.
//!
//! It is level-triggered: whatever happens only wakes it. Then the manifest is read afresh, all systems are looked at,
//! and what to do follows from what is found, never from the event. So a lost event costs time and nothing else, and a
//! storm of them is one look a second.

mod branch;
pub mod failures;
pub mod files;
mod follow;
pub mod happening;
mod keeper;
pub mod policy;
mod reader;
pub mod wake;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fraktalia_model::{Manifest, SystemId};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::applier::Stop;
use crate::git::Clones;
use crate::session::Session;

pub use failures::Patience;
pub use happening::{Happening, Look, Teller};
pub use policy::{Policy, Waiting};
pub use wake::{Bell, Cause, Wake};

use branch::Branch;
use files::FileEvents;
use keeper::Keeper;
use reader::Reader;
use wake::Ears;

/// It has to be quiet for so long before anybody looks: a file is written in several pieces.
const QUIET: Duration = Duration::from_millis(100);
/// But no longer than this after the first event.
const MOST: Duration = Duration::from_secs(1);
/// After a look it rests for as long as the look took, but no longer than this: so a storm takes half of the time at most.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// How long after files could not be followed it is tried again.
const FILES_AGAIN: Duration = Duration::from_secs(30);

/// How a realm is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How far it goes by itself.
    pub policy: Policy,
    /// It looks at least this often.
    pub every: Duration,
    /// What it does when an apply fails.
    pub patience: Patience,
}

impl Default for Settings {
    fn default() -> Self {
        Self { policy: Policy::Report, every: Duration::from_mins(5), patience: Patience::default() }
    }
}

/// Makes a session for a manifest, or says why that cannot be.
pub type Open = dyn Fn(Manifest) -> Result<Session, String> + Send + Sync;

/// Where the manifest is.
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// On a branch, whose remote is asked so often.
    Branch(Clones, Duration),
}

impl<P: Into<PathBuf>> From<P> for Source {
    fn from(path: P) -> Self {
        Self::File(path.into())
    }
}

/// A watch over one manifest.
pub struct Watch {
    source: Source,
    settings: Settings,
    open: Box<Open>,
    teller: Arc<dyn Teller>,
    bell: Bell,
    ears: Ears,
}

impl Watch {
    /// A watch over the manifest at `source`. What happens is told to `teller`.
    pub fn new(
        source: impl Into<Source>,
        settings: Settings,
        open: Box<Open>,
        teller: Arc<dyn Teller>,
    ) -> Self {
        let (bell, ears) = wake::bell();
        Self { source: source.into(), settings, open, teller, bell, ears }
    }

    /// Wakes it.
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Watches until somebody wants it to stop. A run that is at work then is finished or taken back first.
    pub async fn run(mut self, stop: watch::Receiver<Stop>) {
        let Settings { policy, every, .. } = self.settings;
        self.teller.tell(&Happening::Began { policy, every });
        let files = Arc::new(FileEvents::new(&self.bell.of("manifest")));
        let keeping = tokio::spawn(keep_files(Arc::clone(&files), Arc::clone(&self.teller)));
        let (reader, following) = self.source.follow(files, &self.bell, &self.teller);
        let teller = Arc::clone(&self.teller);
        let mut keeper = Keeper::new(reader, self.settings, self.open, teller, self.bell.clone());
        self.bell.of("start").ring("");
        let (mut rest, mut clock) = (Instant::now(), Instant::now() + every);
        let mut again: Option<Instant> = None;
        loop {
            let next = async {
                sleep_until(rest).await;
                self.ears.next(QUIET, MOST).await
            };
            let wake = tokio::select! {
                biased;
                () = stopped(stop.clone()) => break,
                wake = next => wake,
                () = sleep_until(again.unwrap_or(clock).min(clock)) => {
                    if again.take().is_some_and(|then| then < clock) {
                        self.bell.of("again").ring("");
                    } else {
                        self.bell.of("timer").ring("");
                        clock = Instant::now() + every;
                    }
                    continue;
                }
            };
            let began = Instant::now();
            again = keeper.round(&wake, &stop).await.map(|pause| Instant::now() + pause);
            rest = Instant::now() + began.elapsed().min(LONGEST_REST);
            clock = Instant::now() + every;
        }
        keeping.abort();
        drop(following);
        self.teller.tell(&Happening::Ending);
    }
}

impl Source {
    /// Whoever reads it, and what has to run meanwhile.
    fn follow(
        self,
        files: Arc<Result<FileEvents, crate::ObserveError>>,
        bell: &Bell,
        teller: &Arc<dyn Teller>,
    ) -> (Reader, JoinSet<()>) {
        let mut tasks = JoinSet::new();
        let reader = match self {
            Self::File(path) => Reader::file(path, files),
            Self::Branch(clones, every) => {
                let (clones, poke) = (Arc::new(clones), Arc::<Notify>::default());
                let (tip, tips) = watch::channel(None);
                let reader = Reader::branch(Arc::clone(&clones), tips, Arc::clone(&poke));
                let (bell, teller) = (bell.of("git"), Arc::clone(teller));
                tasks.spawn(Branch { clones, every, bell, teller, tip, poke }.follow());
                reader
            }
        };
        (reader, tasks)
    }
}

/// Done once somebody wants it to stop; never, when nobody can any more.
async fn stopped(mut stop: watch::Receiver<Stop>) {
    if stop.wait_for(|wish| *wish != Stop::No).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Follows the manifest's files for as long as it runs.
async fn keep_files(files: Arc<Result<FileEvents, crate::ObserveError>>, teller: Arc<dyn Teller>) {
    let mut told = false;
    loop {
        let error = match &*files {
            Ok(files) => match files.keep_up().await {
                Ok(()) => continue,
                Err(error) => (crate::applier::chain(&error), error.hint),
            },
            Err(error) => (error.to_string(), error.hint.clone()),
        };
        if !std::mem::replace(&mut told, true) {
            let system = SystemId::named("manifest");
            let (why, hint) = (error.0.as_str(), error.1.as_deref());
            teller.tell(&Happening::Deaf { system: &system, why, hint });
        }
        sleep(FILES_AGAIN).await;
    }
}
