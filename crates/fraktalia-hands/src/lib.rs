//! The hands of the desk: what it wants planned, written and applied is done by the `fraktalia` command and by `git`, as an
//! operator at a terminal would do it.
//!
//! So the program that faces a hostile room needs no token of an admin for it, every effect can be repeated by hand, and what is
//! relied on are exit codes, saved plans and journals, which are contracts. Whatever is done under a key is done once: the
//! journal of the run carries it as its note, and the commit as a line of its message, and both are asked before anything
//! is done (again).

mod answer;
mod child;
mod drift;
mod journal;
mod look;
mod manifest;
mod plan;
mod record;
mod remove;
mod repository;
mod run;
mod take_in;
mod text;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fraktalia_desk::{Key, Order};
use fraktalia_engine::StatePaths;

pub use drift::Drift;

/// What an outcome calls the run of something that changed nothing live, and so has no journal.
pub const NO_RUN: &str = "none";

type Hook = Arc<dyn Fn(&str) + Send + Sync>;

/// Plans, writes, commits and applies.
#[derive(Clone)]
pub struct Hands {
    program: PathBuf,
    manifest: PathBuf,
    state: StatePaths,
    dir: PathBuf,
    environment: Vec<(String, String)>,
    watch_every: Duration,
    at_work: Arc<AtomicUsize>,
    hook: Option<Hook>,
}

impl Hands {
    /// Hands for the manifest, which use that `fraktalia` and that state directory. What they keep lies in `hands` below
    /// it, readable by its owner alone.
    ///
    /// # Errors
    /// When that directory cannot be made.
    pub fn new(program: &Path, manifest: &Path, state: &Path) -> std::io::Result<Self> {
        let state = StatePaths::new(std::path::absolute(state)?);
        state.create()?;
        let dir = state.root().join("hands");
        for folder in [dir.join("plans"), dir.join("runs")] {
            use std::os::unix::fs::DirBuilderExt as _;
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(Self {
            program: program.to_path_buf(),
            manifest: std::path::absolute(manifest)?,
            state,
            dir,
            environment: Vec::new(),
            watch_every: Duration::from_mins(5),
            at_work: Arc::default(),
            hook: None,
        })
    }

    /// With a variable more in the environment of the `fraktalia` command.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// With looks for drift at least this often.
    #[must_use]
    pub fn looking_every(mut self, every: Duration) -> Self {
        self.watch_every = every;
        self
    }

    /// With somebody who is told after each step of ours, by its name, for tests of crashes.
    #[doc(hidden)]
    #[must_use]
    pub fn with_hook(mut self, hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    fn step(&self, name: &str) {
        if let Some(hook) = &self.hook {
            hook(name);
        }
    }

    /// As long as it lives, a run of ours is at work.
    fn begin(&self) -> AtWork {
        self.at_work.fetch_add(1, Ordering::SeqCst);
        AtWork(Arc::clone(&self.at_work))
    }

    fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::SeqCst) > 0
    }
}

struct AtWork(Arc<AtomicUsize>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What an order is called in a sentence.
fn named(order: &Order) -> String {
    match order {
        Order::Add { name, .. } => format!("add the fractal {name}"),
        Order::Remove { name } => format!("remove the fractal {name}"),
        Order::Rollback => "take the last run back".into(),
        Order::PutBack => "put back what drifted".into(),
        Order::TakeIn => "take in what drifted".into(),
    }
}

/// A key as a part of a file's name. Those of the desk are; nothing else is believed to be.
fn file_name(key: &Key) -> Result<&str, String> {
    let text = key.as_str();
    let fits = (1..=120).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if fits { Ok(text) } else { Err("the key of this act is none that the desk gives".into()) }
}
