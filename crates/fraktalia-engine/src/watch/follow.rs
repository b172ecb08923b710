//! Listens to the events of all systems, and goes on when a stream of them is lost.

use std::sync::Arc;
use std::time::Duration;

use fraktalia_model::SystemId;
use fraktalia_plan::erase::AnyDesired;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::happening::{Happening, Teller};
use super::wake::Bell;
use crate::applier::chain;
use crate::erase::{AnyFollow, Executor};
use crate::paths::StatePaths;
use crate::secrets::Secrets;
use crate::session::Session;

/// How long after a stream was lost it is opened again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The streams of all systems of a session. Dropping it ends them.
pub(super) struct Followers {
    _tasks: JoinSet<()>,
}

struct Follower {
    system: Arc<dyn Executor>,
    id: SystemId,
    realm: String,
    wanted: Option<AnyDesired>,
    paths: StatePaths,
    secrets: Secrets,
    bell: Bell,
    teller: Arc<dyn Teller>,
}

impl Followers {
    pub fn start(session: &Session, bell: &Bell, teller: &Arc<dyn Teller>) -> Self {
        let mut tasks = JoinSet::new();
        for system in session.registry().iter() {
            let id = system.id();
            let follower = Follower {
                // What cannot be lowered is said when it is planned.
                wanted: system.lower(session.manifest()).ok(),
                system: Arc::clone(system),
                realm: session.manifest().realm.clone(),
                paths: session.paths().clone(),
                secrets: session.secrets().clone(),
                bell: bell.of(id.as_str()),
                teller: Arc::clone(teller),
                id,
            };
            tasks.spawn(follower.run());
        }
        Self { _tasks: tasks }
    }
}

impl Follower {
    async fn run(self) {
        let mut pause = RETRY.0;
        // Why it was not heard last, as it was told.
        let mut told: Option<String> = None;
        loop {
            let began = Instant::now();
            let (why, hint) = self.follow(told.is_some()).await;
            if began.elapsed() > RETRY.1 {
                (pause, told) = (RETRY.0, None);
            }
            // A system that stays away is told of once.
            if told.as_ref() != Some(&why) {
                let hint = hint.as_deref();
                self.teller.tell(&Happening::Deaf { system: &self.id, why: &why, hint });
            }
            told = Some(why);
            sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// Follows once; why that ended, and what to do about it.
    async fn follow(&self, was_deaf: bool) -> (String, Option<String>) {
        let (teller, id, ring) = (Arc::clone(&self.teller), self.id.clone(), self.bell.clone());
        let bell = self.bell.with_hearing(move || {
            teller.tell(&Happening::Heard(&id));
            if was_deaf { ring.ring("heard again") } else { ring.nudge() }
        });
        let follow = AnyFollow {
            realm: &self.realm,
            wanted: self.wanted.as_ref(),
            paths: &self.paths,
            secrets: &self.secrets,
            bell: &bell,
        };
        match self.system.watch(&follow).await {
            Ok(()) => ("its stream of events ended".into(), None),
            Err(error) => (chain(&error), error.hint),
        }
    }
}
