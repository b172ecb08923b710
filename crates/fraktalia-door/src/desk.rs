//! What the door needs of the desk behind it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use fraktalia_desk::{Case, Filing};
use tokio::sync::watch;

/// The desk, as the door sees it. The program implements it over its store.
#[async_trait]
pub trait Desk: Send + Sync + 'static {
    /// Files something, and says what is known of its case then. Filed again under the same origin it is the same case, also
    /// when what was sent differs: the door compares the digests.
    async fn file(&self, filing: Filing) -> Result<Case, Unavailable>;

    /// The case that was filed under an origin, as long as it is remembered.
    async fn case_of(&self, origin: &str) -> Result<Option<Case>, Unavailable>;

    /// All cases, those that ended lately included.
    async fn cases(&self) -> Result<Vec<Case>, Unavailable>;

    /// The fractals that the manifest has, with all that a case says was applied.
    async fn fractals(&self) -> Result<Vec<Living>, Unavailable>;

    /// Changes whenever a case or the manifest may have.
    fn changes(&self) -> watch::Receiver<u64>;

    /// How all that it needs is.
    async fn health(&self) -> Health;
}

/// A fractal of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Living {
    /// Its key, which is the id of its agent.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub purpose: Option<String>,
    /// The full alias of its room: `#cook:chat.home`.
    pub alias: Option<String>,
    /// The id of its room, once that is known.
    pub room_id: Option<String>,
    /// Whether it is known that the live systems are not as the manifest says.
    pub drifted: bool,
}

/// Whether all that the API needs is there. Shown to everybody: names only, and nothing about why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What was looked at, and whether it is as it has to be.
    pub checks: BTreeMap<&'static str, bool>,
}

impl Health {
    /// Whether nothing is amiss.
    pub fn is_good(&self) -> bool {
        self.checks.values().all(|good| *good)
    }
}

/// The desk does not answer now. The reason is for the log, not for who asked.
#[derive(Debug, thiserror::Error)]
#[error("the desk does not answer: {0}")]
pub struct Unavailable(pub String);
