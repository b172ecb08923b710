//! The clerk sits at the desk: hears what happens, has it decided, and sees to it that what is decided is done.
//!
//! There is one clerk, and one thing at a time is heard. What takes time is done by workers, one for each lane of the outbox
//! at most; what they yield comes back as something heard. A kill at any moment loses nothing: what was heard is in the
//! store, what was not is told again by the homeserver, and what is to be done stands in the outbox until it is done.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use fraktalia_desk::{Act, Audit, AuditError, Do, Heard, Key, Lane, Moment, Store, StoreError, What, audit};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::api::{self, Asked, Section};
use crate::lanes::{Bench, Finished};
use crate::ports::{Chat, Work};
use crate::rules::Rules;

/// How often the time alone may bring something about.
const TICK: Duration = Duration::from_secs(5);

/// Why the clerk cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ClerkError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Our own fault: a worker panicked.
    #[error("a worker broke; what it was to do is done when this starts again")]
    Worker,
}

/// What the clerk is told.
#[derive(Debug)]
pub enum Told {
    /// What happened in the room, and where to go on from once it is on disk.
    Room {
        /// Oldest first.
        events: Vec<What>,
        /// The position behind them.
        position: String,
    },
    /// Something else happened.
    Heard(What),
    /// The API asks.
    Asked(Asked),
}

/// Where the clerk's files are.
#[derive(Clone, Debug)]
pub struct Files {
    /// What the desk knows.
    pub store: PathBuf,
    /// Who decided what.
    pub audit: PathBuf,
    /// A copy of the audit's end, for those who look whether it is whole.
    pub anchor: PathBuf,
}

/// The one at the desk.
pub struct Clerk<C, W> {
    rules: Rules,
    store: Store,
    audit: Audit,
    anchor: PathBuf,
    bench: Bench<C, W>,
    finished: mpsc::Receiver<Finished>,
    busy: BTreeSet<Lane>,
    /// The run that is at work, and how it is told to stop.
    running: Option<(Key, watch::Sender<bool>)>,
    now: Moment,
    /// Counts what was heard, for those who wait for something.
    changes: watch::Sender<u64>,
    /// The manifest's section about the API, as it is now.
    api: watch::Sender<Section>,
}

impl<C: Chat, W: Work> Clerk<C, W> {
    /// Takes the seat: opens the files, or begins them.
    ///
    /// # Errors
    /// When they cannot be read, or somebody else has them.
    pub fn sit_down(files: &Files, rules: Rules, chat: C, work: W) -> Result<Self, ClerkError> {
        let store = Store::open(&files.store)?;
        let audit = Audit::open(&files.audit, store.anchor()?.as_ref())?;
        let (finish, finished) = mpsc::channel(16);
        let section = Section::of(rules.manifest());
        Ok(Self {
            rules,
            store,
            audit,
            anchor: files.anchor.clone(),
            bench: Bench::new(chat, work, finish),
            finished,
            busy: BTreeSet::new(),
            running: None,
            now: Moment::default(),
            changes: watch::Sender::default(),
            api: watch::Sender::new(section),
        })
    }

    /// Up to where the room was heard before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn position(&self) -> Result<Option<String>, ClerkError> {
        Ok(self.store.position()?)
    }

    /// Whether the room was never heard: the desk is a new one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_new(&self) -> Result<bool, ClerkError> {
        Ok(self.position()?.is_none() && self.store.desk() == &fraktalia_desk::Desk::default())
    }

    /// Changes after everything that was heard; ends with the clerk's work.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The manifest's section about the API, whenever it changes.
    pub fn section(&self) -> watch::Receiver<Section> {
        self.api.subscribe()
    }

    /// Works until `end` is true; then a run that is at work is still brought to its end.
    ///
    /// # Errors
    /// When something cannot be written. What was heard before is safe.
    pub async fn work(
        mut self,
        mut told: mpsc::Receiver<Told>,
        mut end: watch::Receiver<bool>,
    ) -> Result<(), ClerkError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.hand_out()?;
            tokio::select! {
                biased;
                _ = end.wait_for(|end| *end) => break,
                Some(finished) = self.finished.recv() => self.finish(finished)?,
                Some(told) = told.recv() => self.take(told)?,
                _ = tick.tick() => self.hear(What::Tick)?,
            }
        }
        // Whoever asks, or waits for something, hears at once that nobody answers any more.
        drop(told);
        self.changes = watch::Sender::default();
        while self.busy.contains(&Lane::Applier) {
            match self.finished.recv().await {
                Some(finished) => self.finish(finished)?,
                None => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, told: Told) -> Result<(), ClerkError> {
        match told {
            Told::Heard(what) => self.hear(what),
            Told::Asked(asked) => self.answer(asked),
            Told::Room { events, position } => {
                for what in events {
                    self.hear(what)?;
                }
                Ok(self.store.set_position(&position)?)
            }
        }
    }

    fn hear(&mut self, what: What) -> Result<(), ClerkError> {
        self.pass();
        self.store.hear(&Heard { at: self.now, what }, self.rules.now())?;
        let section = Section::of(self.rules.manifest());
        self.api.send_if_modified(|known| {
            let changed = *known != section;
            *known = section;
            changed
        });
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// Answers the API. Whoever has asked may be gone.
    fn answer(&mut self, asked: Asked) -> Result<(), ClerkError> {
        match asked {
            Asked::File(filing, answer) => {
                let origin = filing.origin.clone();
                self.hear(What::Filed(filing))?;
                let _ = answer.send(self.store.desk().case_of(&origin).cloned());
            }
            Asked::CaseOf(origin, answer) => {
                let _ = answer.send(self.store.desk().case_of(&origin).cloned());
            }
            Asked::Cases(answer) => {
                let _ = answer.send(self.store.desk().cases().cloned().collect());
            }
            Asked::Fractals(answer) => {
                self.rules.now();
                let _ = answer.send(self.rules.is_current().then(|| api::living(self.rules.manifest())));
            }
        }
        Ok(())
    }

    /// Time passes, and never backwards.
    fn pass(&mut self) {
        let now = jiff::Timestamp::now().as_millisecond();
        self.now = self.now.max(Moment(now.max(0).unsigned_abs()));
    }

    fn finish(&mut self, finished: Finished) -> Result<(), ClerkError> {
        match finished {
            Finished::Meanwhile(what) => return self.hear(what),
            Finished::Broke => return Err(ClerkError::Worker),
            Finished::Heard(lane, what) => {
                self.hear(what)?;
                self.busy.remove(&lane);
            }
            Finished::Done(lane, key) => {
                self.pass();
                self.store.done(&key, self.now)?;
                self.busy.remove(&lane);
            }
        }
        if !self.busy.contains(&Lane::Applier) {
            self.running = None;
        }
        Ok(())
    }

    /// Gives to each lane that is idle what is next.
    fn hand_out(&mut self) -> Result<(), ClerkError> {
        while let Some(act) = self.store.next(Lane::Audit)? {
            self.record(act)?;
        }
        while let Some(act) = self.store.next(Lane::Brake)? {
            self.stop(&act)?;
        }
        for lane in [Lane::Room, Lane::Planner, Lane::Applier] {
            if self.busy.contains(&lane) {
                continue;
            }
            if let Some(act) = self.store.next(lane)? {
                self.busy.insert(lane);
                self.begin(lane, act)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, lane: Lane, act: Act) -> Result<(), ClerkError> {
        let Act { key, what } = act;
        match what {
            Do::Say { thread, words } => self.bench.say(key, thread, words),
            Do::Edit { of, words } => match self.store.event_of(&of)? {
                Some(event) => self.bench.edit(key, event, words),
                // What was to be changed was never said.
                None => self.finish(Finished::Done(lane, key))?,
            },
            Do::React { to, with } => match self.store.event_of(&to)? {
                Some(event) => self.bench.react(key, event, with),
                None => self.finish(Finished::Done(lane, key))?,
            },
            Do::Plan { order, .. } => self.bench.plan(key, order),
            Do::Look(question) => self.bench.look(key, question),
            Do::Run { order, fingerprint, credits, .. } => {
                let (stop, stopped) = watch::channel(self.store.desk().is_stopped(&key));
                self.running = Some((key.clone(), stop));
                self.bench.run(crate::ports::Approved { key, order, fingerprint, credits }, stopped);
            }
            Do::TakeBack { run } => self.bench.take_back(key, run),
            // These have no worker.
            Do::Stop { .. } | Do::Record(_) => self.finish(Finished::Done(lane, key))?,
        }
        Ok(())
    }

    fn stop(&mut self, act: &Act) -> Result<(), ClerkError> {
        if let (Do::Stop { run }, Some((running, stop))) = (&act.what, &self.running)
            && run == running
        {
            stop.send_replace(true);
        }
        self.pass();
        Ok(self.store.done(&act.key, self.now)?)
    }

    fn record(&mut self, act: Act) -> Result<(), ClerkError> {
        self.pass();
        let Do::Record(event) = act.what else { return Ok(self.store.done(&act.key, self.now)?) };
        let anchor = self.audit.append(&act.key, &event)?;
        self.store.recorded(&act.key, self.now, &anchor)?;
        Ok(audit::anchor::write(&self.anchor, &anchor)?)
    }
}
