//! Holds a table: what it was told is in force, whatever others do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::events::Events;
use super::listing::{Drift, drift};
use super::nft::{Nft, NftError};
use super::rules::{BadRules, Rules, Ruleset, Table, ruleset};

/// It looks this often also when it heard nothing: a message may be lost, and so may our ear.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Somebody who changes rules without pause costs two looks in this time, and no more.
const PAUSE: Duration = Duration::from_millis(50);

/// Keeps one table as it was told to. Dropping it leaves the table in force, as a process that is killed does.
#[derive(Debug)]
pub struct Guard {
    shared: Arc<Shared>,
    watch: JoinHandle<()>,
}

/// Rules that are not in force, and why.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// They cannot be.
    #[error(transparent)]
    Rules(#[from] BadRules),
    /// The kernel did not take them.
    #[error(transparent)]
    Nft(#[from] NftError),
}

#[derive(Debug)]
struct Shared {
    nft: Nft,
    table: Table,
    healed: AtomicU64,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    rules: Rules,
    /// What was loaded last.
    loaded: Ruleset,
    /// What the last look found amiss and could not heal.
    trouble: Option<String>,
}

impl Guard {
    /// Puts the rules in force, and keeps them so from then on. [`Rules::elsewhere`] is found out, not taken.
    pub async fn start(nft: Nft, table: Table, rules: Rules) -> Result<Self, GuardError> {
        // It listens before it loads: no change is missed in between.
        let events = Events::open().inspect_err(deaf).ok();
        let (rules, loaded) = load(&nft, &table, rules).await?;
        let held = Mutex::new(Held { rules, loaded, trouble: None });
        let shared = Arc::new(Shared { nft, table, healed: AtomicU64::new(0), held });
        let watch = tokio::spawn(watch(Arc::clone(&shared), events));
        Ok(Self { shared, watch })
    }

    /// Puts other rules in the place of those in force. At any moment one of the two is; when this fails, the old
    /// ones are and stay.
    pub async fn set(&self, rules: Rules) -> Result<(), GuardError> {
        let mut held = self.shared.held.lock().await;
        let (rules, loaded) = match load(&self.shared.nft, &self.shared.table, rules).await {
            Ok(new) => new,
            Err(error) => {
                // The rules may have come into force and only their seal not.
                self.shared.look(&mut held).await;
                return Err(error);
            }
        };
        *held = Held { rules, loaded, trouble: None };
        Ok(())
    }

    /// How often the table was found changed, and put right.
    pub fn healed(&self) -> u64 {
        self.shared.healed.load(Ordering::Relaxed)
    }

    /// What is amiss since the last look; `None`: the table was found in order, or was healed.
    pub async fn trouble(&self) -> Option<String> {
        self.shared.held.lock().await.trouble.clone()
    }

    /// The text that is in force.
    pub async fn ruleset(&self) -> Ruleset {
        self.shared.held.lock().await.loaded.clone()
    }

    /// Removes the table, and with it all protection of these networks; no other table is touched.
    pub async fn remove(self) -> Result<(), GuardError> {
        let _held = self.shared.held.lock().await;
        self.watch.abort();
        Ok(self.shared.nft.remove(&self.shared.table).await?)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Shared {
    /// Looks, and puts right what is not as it was told.
    async fn look(&self, held: &mut Held) {
        let outcome = self.heal(held).await;
        if let Err(error) = &outcome {
            tracing::warn!(table = self.table.name(), %error, "the rules could not be looked after");
        }
        held.trouble = outcome.err().map(|error| error.to_string());
    }

    async fn heal(&self, held: &mut Held) -> Result<(), GuardError> {
        let found = drift(&held.loaded, self.nft.look(&self.table).await?.as_ref());
        if found != Drift::None {
            // Until this is done the networks may be open: it comes before all questions.
            self.nft.replace(&held.loaded).await?;
            self.healed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(table = self.table.name(), ?found, "somebody changed the rules; put right");
        }
        if self.nft.elsewhere(&self.table).await? != held.rules.elsewhere {
            (held.rules, held.loaded) = load(&self.nft, &self.table, held.rules.clone()).await?;
        }
        Ok(())
    }
}

async fn load(nft: &Nft, table: &Table, mut rules: Rules) -> Result<(Rules, Ruleset), GuardError> {
    rules.elsewhere = nft.elsewhere(table).await?;
    let text = ruleset(table, &rules)?;
    nft.load(&text).await?;
    Ok((rules, text))
}

async fn watch(shared: Arc<Shared>, mut events: Option<Events>) {
    loop {
        let heard = tokio::time::timeout(LOOK_EVERY, next(&mut events)).await;
        shared.look(&mut *shared.held.lock().await).await;
        if heard.is_ok() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Waits for a change of anybody's rules, our own included; for ever, when nothing can be heard.
async fn next(events: &mut Option<Events>) {
    if let Some(open) = events {
        match open.next().await {
            Ok(()) => return,
            Err(error) => deaf(&error),
        }
        *events = Events::open().ok();
    }
    std::future::pending::<()>().await;
}

fn deaf(error: &std::io::Error) {
    tracing::warn!(%error, "changes of the rules are not heard; they are looked for every 2 s instead");
}
