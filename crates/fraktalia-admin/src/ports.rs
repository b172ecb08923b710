//! What the clerk needs of the room and of the hands, so that its tests can do without both.

use std::future::Future;

use fraktalia_desk::commands::Question;
use fraktalia_desk::{Credits, EventId, Key, Order, Outcome, Planned, Words};
use tokio::sync::watch;

/// Says things in the room.
pub trait Chat: Clone + Send + Sync + 'static {
    /// Says something, in a thread where one is named. With the same key it is said once.
    ///
    /// # Errors
    /// Why it may not have been said.
    fn say(
        &self,
        key: &Key,
        thread: Option<&EventId>,
        words: &Words,
    ) -> impl Future<Output = Result<EventId, String>> + Send;

    /// Changes what we said.
    ///
    /// # Errors
    /// Why it may not have been changed.
    fn edit(&self, key: &Key, of: &EventId, words: &Words)
    -> impl Future<Output = Result<(), String>> + Send;

    /// Puts a reaction on what we said.
    ///
    /// # Errors
    /// Why it may not stand there.
    fn react(&self, key: &Key, on: &EventId, with: &str) -> impl Future<Output = Result<(), String>> + Send;
}

/// Plans, and does what was approved. Under the same key a thing is done once.
pub trait Work: Clone + Send + Sync + 'static {
    /// What would happen.
    fn plan(&self, key: &Key, order: &Order) -> impl Future<Output = Planned> + Send;

    /// Does it. Lines about how far it is go to `progress`; once `stop` is true, it ends and is taken back.
    fn run(
        &self,
        run: &Approved,
        progress: impl FnMut(String) + Send,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = Outcome> + Send;

    /// Takes back the commit of a run that failed.
    ///
    /// # Errors
    /// Why it could not be.
    fn take_back(&self, run: &Key) -> impl Future<Output = Result<(), String>> + Send;

    /// Finds out what an operator asks.
    fn look(&self, question: &Question) -> impl Future<Output = String> + Send;
}

/// Something that an operator said yes to.
#[derive(Clone, Debug)]
pub struct Approved {
    /// The act.
    pub key: Key,
    /// What is to be done.
    pub order: Order,
    /// The plan that was approved.
    pub fingerprint: String,
    /// Who is to thank.
    pub credits: Credits,
}

impl Chat for fraktalia_room::Room {
    async fn say(&self, key: &Key, thread: Option<&EventId>, words: &Words) -> Result<EventId, String> {
        Self::say(self, key, thread, words).await.map_err(|error| fraktalia_engine::applier::chain(&error))
    }

    async fn edit(&self, key: &Key, of: &EventId, words: &Words) -> Result<(), String> {
        Self::edit(self, key, of, words).await.map_err(|error| fraktalia_engine::applier::chain(&error))
    }

    async fn react(&self, key: &Key, on: &EventId, with: &str) -> Result<(), String> {
        Self::react(self, key, on, with).await.map_err(|error| fraktalia_engine::applier::chain(&error))
    }
}

impl Work for fraktalia_hands::Hands {
    async fn plan(&self, key: &Key, order: &Order) -> Planned {
        Self::plan(self, key, order).await
    }

    async fn run(
        &self,
        run: &Approved,
        progress: impl FnMut(String) + Send,
        stop: watch::Receiver<bool>,
    ) -> Outcome {
        Self::run(self, &run.key, &run.order, &run.fingerprint, &run.credits, progress, stop).await
    }

    async fn take_back(&self, run: &Key) -> Result<(), String> {
        Self::take_back(self, run).await
    }

    async fn look(&self, question: &Question) -> String {
        Self::look(self, question).await
    }
}
