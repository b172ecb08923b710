//! The workers of the lanes: each does one act, and says so.

use std::time::Duration;

use fraktalia_desk::commands::Question;
use fraktalia_desk::{EventId, Key, Lane, Order, What, Words};
use tokio::sync::{mpsc, watch};

use crate::ports::{Approved, Chat, Work};

/// Between two tries to say something, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What a worker says.
#[derive(Debug)]
pub enum Finished {
    /// Something that is to be heard while it goes on.
    Meanwhile(What),
    /// Its act is answered by this.
    Heard(Lane, What),
    /// Its act is done, and nothing answers it.
    Done(Lane, Key),
    /// It broke: its act stands in the outbox.
    Broke,
}

/// Where the workers are.
pub struct Bench<C, W> {
    chat: C,
    work: W,
    finish: mpsc::Sender<Finished>,
}

impl<C: Chat, W: Work> Bench<C, W> {
    /// A bench whose workers say through `finish` what came of it.
    pub fn new(chat: C, work: W, finish: mpsc::Sender<Finished>) -> Self {
        Self { chat, work, finish }
    }

    /// Says something, until it is said.
    pub fn say(&self, key: Key, thread: Option<EventId>, words: Words) {
        let chat = self.chat.clone();
        self.spawn(async move {
            let event = until_done("say something", || chat.say(&key, thread.as_ref(), &words)).await;
            Finished::Heard(Lane::Room, What::Posted { key, event })
        });
    }

    /// Changes what was said, until it is changed.
    pub fn edit(&self, key: Key, of: EventId, words: Words) {
        let chat = self.chat.clone();
        self.spawn(async move {
            until_done("change a message", || chat.edit(&key, &of, &words)).await;
            Finished::Done(Lane::Room, key)
        });
    }

    /// Puts a reaction on what was said, until it stands there.
    pub fn react(&self, key: Key, on: EventId, with: String) {
        let chat = self.chat.clone();
        self.spawn(async move {
            until_done("put a choice on a plan", || chat.react(&key, &on, &with)).await;
            Finished::Done(Lane::Room, key)
        });
    }

    /// Plans.
    pub fn plan(&self, key: Key, order: Order) {
        let work = self.work.clone();
        self.spawn(async move {
            let answer = work.plan(&key, &order).await;
            Finished::Heard(Lane::Planner, What::Planned { key, answer })
        });
    }

    /// Looks.
    pub fn look(&self, key: Key, question: Question) {
        let work = self.work.clone();
        self.spawn(async move {
            let text = work.look(&question).await;
            Finished::Heard(Lane::Planner, What::Looked { key, text })
        });
    }

    /// Does what was approved.
    pub fn run(&self, approved: Approved, stop: watch::Receiver<bool>) {
        let (work, finish) = (self.work.clone(), self.finish.clone());
        self.spawn(async move {
            let key = approved.key.clone();
            let progress = |text| {
                // Who hears of too much progress is told of less.
                let _ = finish.try_send(Finished::Meanwhile(What::Progress { key: key.clone(), text }));
            };
            let outcome = work.run(&approved, progress, stop).await;
            Finished::Heard(Lane::Applier, What::Ran { key: approved.key, outcome })
        });
    }

    /// Takes the commit of a run back.
    pub fn take_back(&self, key: Key, run: Key) {
        let work = self.work.clone();
        self.spawn(async move {
            let failed = work.take_back(&run).await.err();
            Finished::Heard(Lane::Applier, What::TakenBack { key, failed })
        });
    }

    fn spawn(&self, work: impl Future<Output = Finished> + Send + 'static) {
        let finish = self.finish.clone();
        let work = tokio::spawn(work);
        tokio::spawn(async move {
            let finished = work.await.unwrap_or(Finished::Broke);
            // Where the clerk has gone, the act stands in the outbox.
            let _ = finish.send(finished).await;
        });
    }
}

/// Tries until it works: the act stays in the outbox all the while, and others wait for it.
async fn until_done<T, F>(what: &str, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let (mut pause, most) = PAUSE;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(why) => tracing::warn!("cannot {what}, and try again in {pause:?}: {why}"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(most);
    }
}
