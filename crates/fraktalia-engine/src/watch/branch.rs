//! Follows a branch: asks its remote where it is, and has the newest commit at hand.

use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::happening::{Happening, Teller};
use super::wake::Bell;
use crate::applier::chain;
use crate::git::{Checkout, Clones, GitError};

/// A remote that is lost is asked no less often than this.
const LONGEST: Duration = Duration::from_mins(10);

/// Follows until it is dropped.
pub(super) struct Branch {
    pub clones: Arc<Clones>,
    /// How often the remote is asked.
    pub every: Duration,
    pub bell: Bell,
    pub teller: Arc<dyn Teller>,
    /// The newest commit that may be used.
    pub tip: watch::Sender<Option<Arc<Checkout>>>,
    /// Somebody wants to know now.
    pub poke: Arc<Notify>,
}

/// What was said, so that it is said once.
#[derive(Default)]
struct Told {
    lost: Option<Discriminant<GitError>>,
    /// The commit that is not used.
    refused: Option<String>,
    /// Somebody wants to hear it once more.
    again: bool,
}

impl Branch {
    pub async fn follow(self) {
        let (mut told, mut pause) = (Told::default(), self.every);
        loop {
            match self.look(&mut told).await {
                Ok(()) => (told.again, pause) = (false, self.every),
                Err(error) => {
                    self.lost(&error, &mut told).await;
                    pause = (pause * 2).min(LONGEST).max(self.every);
                }
            }
            self.clones.sweep();
            tokio::select! {
                () = sleep(pause) => {}
                () = self.poke.notified() => told = Told { refused: None, again: true, ..told },
            }
        }
    }

    /// Asks once, and fetches what is new.
    async fn look(&self, told: &mut Told) -> Result<(), GitError> {
        let at = self.clones.ask().await?;
        if told.lost.take().is_some() {
            self.teller.tell(&Happening::Remote { remote: self.clones.remote(), lost: None });
        }
        let known = self.tip.borrow().as_ref().is_some_and(|tip| tip.origin.commit == at);
        if known || told.refused.as_ref() == Some(&at) {
            return Ok(());
        }
        match self.clones.fetch(&at).await {
            Ok(checkout) => {
                told.refused = None;
                self.moved(checkout);
                Ok(())
            }
            Err(error @ GitError::Refused { .. }) => {
                self.refused(&error, told);
                told.refused = Some(at);
                self.fall_back().await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn moved(&self, checkout: Arc<Checkout>) {
        let origin = checkout.origin.clone();
        if self.tip.borrow().as_ref().is_some_and(|tip| tip.origin.commit == origin.commit) {
            return;
        }
        self.teller.tell(&Happening::Commit { origin: &origin, remote: self.clones.remote() });
        self.tip.send_replace(Some(checkout));
        self.bell.ring(format!("{} is at {origin}", self.clones.remote().branch()));
    }

    fn refused(&self, error: &GitError, told: &Told) {
        if let GitError::Refused { commit, why, hint } = error
            && told.refused.as_ref() != Some(commit)
        {
            self.teller.tell(&Happening::Refused { commit, why, hint });
        }
    }

    async fn lost(&self, error: &GitError, told: &mut Told) {
        let again = std::mem::take(&mut told.again);
        if told.lost.replace(discriminant(error)) != Some(discriminant(error)) || again {
            let (why, hint) = (chain(error), error.hint());
            let lost = Some((why.as_str(), hint.as_deref()));
            self.teller.tell(&Happening::Remote { remote: self.clones.remote(), lost });
        }
        self.fall_back().await;
    }

    /// As long as there is nothing newer, what was in force before this watch began is.
    async fn fall_back(&self) {
        if self.tip.borrow().is_some() {
            return;
        }
        match self.clones.good().await {
            Ok(Some(good)) => {
                let what = format!("{} was in force last", good.origin);
                self.tip.send_replace(Some(good));
                self.bell.ring(what);
            }
            Ok(None) => {}
            Err(error) => self.refused(&error, &Told::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::git::Remote;

    #[tokio::test]
    async fn a_remote_that_stays_away_is_told_once_and_again_when_somebody_asks() {
        let dir = tempfile::tempdir().unwrap();
        let url = dir.path().join("nowhere").display().to_string();
        let remote = Remote::new(&url, "main", Path::new("fraktalia.yaml"), None).unwrap();
        let clones = Arc::new(Clones::open(dir.path(), remote).unwrap());
        let said = Arc::<Mutex<u32>>::default();
        let count = Arc::clone(&said);
        let teller = Arc::new(move |happening: &Happening<'_>| {
            *count.lock().unwrap() += u32::from(matches!(happening, Happening::Remote { lost: Some(_), .. }));
        });
        let (bell, _ears) = crate::watch::wake::bell();
        let (tip, _tips) = watch::channel(None);
        let every = Duration::from_secs(1);
        let branch = Branch { clones, every, bell, teller, tip, poke: Arc::default() };
        let mut told = Told::default();
        for (again, times) in [(false, 1), (false, 1), (true, 2), (false, 2)] {
            told.again = again;
            let error = branch.look(&mut told).await.unwrap_err();
            branch.lost(&error, &mut told).await;
            assert_eq!(*said.lock().unwrap(), times);
        }
    }
}
