//! What `doctor` finds out: a check is a value, made by whoever knows the system, and shown by somebody else.
//!
//! Checks of one system are noted down one by one, so that one which hangs loses nothing of what was found before.

pub mod disk;
pub mod mend;
pub mod private;
pub mod secrets;
pub mod state;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fraktalia_model::{RoomId, UserId};
use serde::Serialize;

pub use crate::applier::chain;
pub use mend::{MendError, mend};

/// How long the checks of one system may take together.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As it should be.
    Ok,
    /// It could not be found out, or nothing is asked of it.
    NotChecked,
    /// It works, and is not as it should be.
    Warning,
    /// Something does not work, or is open to those who must not have it.
    Failure,
}

/// What a person can do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "text")]
pub enum Cure {
    /// A command that can be pasted into a shell.
    Run(String),
    /// What to change, and where.
    Do(String),
}

impl Cure {
    /// A command line.
    pub fn run(command: impl Into<String>) -> Self {
        Self::Run(command.into())
    }

    /// What to change, and where.
    pub fn edit(text: impl Into<String>) -> Self {
        Self::Do(text.into())
    }
}

/// What can be mended without asking more than once: it takes nothing away that anybody could miss.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Fix {
    /// A file or directory of ours gets narrower permissions.
    Chmod {
        /// Which.
        path: std::path::PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file that an earlier run of ours left behind goes.
    Remove {
        /// Which.
        path: std::path::PathBuf,
    },
    /// The homeserver stops slowing a user down.
    LiftRateLimit {
        /// Whom.
        user: UserId,
    },
}

impl std::fmt::Display for Fix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chmod { path, mode } => write!(f, "chmod {mode:o} {}", path.display()),
            Self::Remove { path } => write!(f, "remove {}", path.display()),
            Self::LiftRateLimit { user } => write!(f, "lift the rate limit of {user}"),
        }
    }
}

/// One check, and how it came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Whose it is: `matrix`, `docker@mox`, `fraktalia` for our own files.
    pub system: String,
    /// A stable name for this kind of check: `matrix.admin`.
    pub code: String,
    /// What was looked at, in a word or two.
    pub title: String,
    /// How it came out.
    pub standing: Standing,
    /// What is the case, and why that matters where it is not well.
    pub found: String,
    /// What to do about it; commands in the order in which they are to be run.
    pub cures: Vec<Cure>,
    /// What `--fix` does about it.
    pub fixes: Vec<Fix>,
}

impl Check {
    /// With something to do about it.
    #[must_use]
    pub fn cure(mut self, cure: Cure) -> Self {
        self.cures.push(cure);
        self
    }

    /// With what to do about it, where that is known.
    #[must_use]
    pub fn hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.cure(Cure::Do(hint)),
            None => self,
        }
    }

    /// With what `--fix` does about it.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fixes.push(fix);
        self
    }
}

/// A room that an agent is to hear, as far as another system than the homeserver knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundRoom {
    /// Which.
    pub room: RoomId,
    /// The agent.
    pub agent: String,
    /// Who has to be in it; the gateway's usual user when absent.
    pub listener: Option<UserId>,
    /// What comes of it when the room looks like a direct chat.
    pub if_direct: (Standing, &'static str),
}

/// Where the checks of one system are noted down.
#[derive(Clone, Debug)]
pub struct Checklist {
    system: String,
    checks: Arc<Mutex<Vec<Check>>>,
}

impl Checklist {
    /// For a system.
    pub fn new(system: impl Into<String>) -> Self {
        Self { system: system.into(), checks: Arc::default() }
    }

    /// Notes a check down.
    pub fn note(&self, check: Check) {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).push(check);
    }

    /// Notes down that all is well.
    pub fn ok(&self, code: &str, title: &str, found: impl Into<String>) {
        self.note(self.check(Standing::Ok, code, title, found));
    }

    /// A check that came out so; to be given cures and then [noted](Self::note).
    pub fn check(&self, standing: Standing, code: &str, title: &str, found: impl Into<String>) -> Check {
        Check {
            system: self.system.clone(),
            code: code.into(),
            title: title.into(),
            standing,
            found: found.into(),
            cures: Vec::new(),
            fixes: Vec::new(),
        }
    }

    /// Something that does not work, or must not be.
    pub fn failure(&self, code: &str, title: &str, found: impl Into<String>) -> Check {
        self.check(Standing::Failure, code, title, found)
    }

    /// Something that is not as it should be.
    pub fn warning(&self, code: &str, title: &str, found: impl Into<String>) -> Check {
        self.check(Standing::Warning, code, title, found)
    }

    /// Something that could not be found out.
    pub fn unknown(&self, code: &str, title: &str, found: impl Into<String>) -> Check {
        self.check(Standing::NotChecked, code, title, found)
    }

    /// All that was noted down so far.
    fn take(&self) -> Vec<Check> {
        std::mem::take(&mut *self.checks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets `work` note its checks down, for no longer than `patience`; what it had found by then stays. What it yields
/// comes with them, if it came to that.
pub async fn within<T, F: Future<Output = T>>(
    system: &str,
    patience: Duration,
    work: impl FnOnce(Checklist) -> F,
) -> (Vec<Check>, Option<T>) {
    let list = Checklist::new(system);
    let answer = tokio::time::timeout(patience, work(list.clone())).await.ok();
    if answer.is_none() {
        let text =
            format!("gave no answer within {} s; what is missing here was not checked", patience.as_secs());
        list.note(
            list.failure("health.slow", "answers", text)
                .cure(Cure::edit("see whether it is overloaded or hung")),
        );
    }
    (list.take(), answer)
}

/// Runs what may block for ever, as a dead network mount does, on a thread of its own: neither a deadline nor the end of
/// this process waits for it.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, answer) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || drop(done.send(work())));
    match answer.await {
        Ok(answer) => answer,
        // It panicked, and said so; whoever waits here has a deadline.
        Err(_) => std::future::pending().await,
    }
}

/// `text` as one word of a POSIX shell.
pub fn word(text: &str) -> String {
    shell_words::quote(text).into_owned()
}

/// A path as one word of a POSIX shell.
pub fn path_word(path: &Path) -> String {
    word(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_system_that_hangs_keeps_what_it_said_before() {
        let (checks, _) = within("matrix", PATIENCE, async |list| {
            list.ok("matrix.reach", "reachable", "yes");
            std::future::pending::<()>().await;
        })
        .await;
        let found: Vec<_> = checks.iter().map(|check| (check.code.as_str(), check.standing)).collect();
        assert_eq!(found, [("matrix.reach", Standing::Ok), ("health.slow", Standing::Failure)]);
    }
}
