//! The desk: what is heard goes in, what is to be done comes out. Nothing else decides.
//!
//! It is a value. Told the same things under the same rules it does the same, so that what was not stored can be told
//! again, and every rule can be tested without a room, a clock or a repository.

mod decide;
mod file;
mod greet;
mod operate;
mod propose;
mod run;
mod show;

use std::collections::BTreeMap;

use fraktalia_model::UserId;
use serde::{Deserialize, Serialize};

use crate::act::{Act, Do};
use crate::audit::{Event, Happened};
use crate::case::{Case, Stage};
use crate::conduct::{Conduct, Why};
use crate::heard::{Heard, Sent, What};
use crate::ids::{Applicant, CaseId, EventId, Key, Moment};
use crate::policy::Policy;
use crate::seen::Seen;
use crate::words::Words;

use self::greet::began;

/// How long a case is remembered after its end, in seconds.
const REMEMBERED_S: u64 = 7 * 86_400;
/// How many people's conduct is remembered. Beyond that, strangers are not answered.
const PEOPLE: usize = 500;
/// How long a reaction to an unknown message is kept, in seconds: the message may be our own, and not reported yet.
const EARLY_S: u64 = 600;
/// How many of them.
const EARLY: usize = 32;

/// All that the desk knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desk {
    cases: BTreeMap<CaseId, Case>,
    people: BTreeMap<Applicant, Conduct>,
    early: Vec<Early>,
    /// Questions that wait for an answer, and the messages that asked.
    asked: BTreeMap<Key, EventId>,
    /// Not stored, or every tick of a clock would be written: what time brought about is.
    #[serde(skip)]
    now: Moment,
    horizon: Moment,
    #[serde(skip)]
    seen: Seen,
}

/// A reaction to a message that may be ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Early {
    at: Moment,
    on: EventId,
    by: UserId,
    event: EventId,
    key: String,
}

impl Desk {
    /// A desk that was stored, with the events that it had heard.
    #[must_use]
    pub fn with_seen(mut self, events: impl IntoIterator<Item = (EventId, Moment)>) -> Self {
        self.seen = Seen::stored(events, self.horizon);
        self
    }

    /// The events that were heard.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The cases, those that ended lately included.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.values()
    }

    /// The case that was filed under an origin, as long as it is remembered.
    pub fn case_of(&self, origin: &str) -> Option<&Case> {
        self.cases.values().find(|case| case.filed.as_ref().is_some_and(|filed| filed.origin == origin))
    }

    /// Whether somebody wants a run stopped. To be asked before a run is begun.
    pub fn is_stopped(&self, run: &Key) -> bool {
        let is = |case: &Case| matches!(&case.stage, Stage::Running { run: this, stopped_by: Some(_) } if this == run);
        self.cases.values().any(is)
    }

    /// Takes in what happened; what is to be done about it, in this order.
    #[must_use]
    pub fn hear(&mut self, heard: &Heard, policy: &Policy) -> Vec<Act> {
        self.now = heard.at;
        let mut acts = self.pass(policy);
        if let Some((event, sent)) = heard.what.event() {
            let first = self.seen.is_first(event, sent, self.now);
            self.horizon = self.seen.horizon();
            if !first {
                return acts;
            }
        }
        acts.extend(self.take_in(&heard.what, policy));
        acts.extend(self.start_next(policy));
        acts
    }

    fn take_in(&mut self, what: &What, policy: &Policy) -> Vec<Act> {
        match what {
            What::Message { sent, answers, body, attachment } => {
                self.message(sent, answers.as_ref(), body, attachment.as_deref(), policy)
            }
            What::Edited { sent, of } => self.edited(sent, of, policy),
            What::Redacted { sent, of } => self.redacted(sent, of),
            What::Reaction { sent, on, key } => self.reaction(sent, on, key, policy),
            What::Left { who, .. } => self.left(who),
            What::Unread { event, by, why } => self.unread(event, by, why, policy),
            What::Began => began(policy),
            What::NewDevice => self.new_device(policy),
            What::Filed(filing) => self.filed(filing, policy),
            What::Posted { key, event } => self.posted(key, event, policy),
            What::Planned { key, answer } => self.planned(key, answer),
            What::Progress { key, text } => self.progress(key, text),
            What::Ran { key, outcome } => self.ran(key, outcome),
            What::TakenBack { key, failed } => self.taken_back(key, failed.as_deref()),
            What::Looked { key, text } => self.looked(key, text),
            What::Drifted { plan } => self.drifted(plan, policy),
            What::Settled => self.settled(),
            What::Tick => Vec::new(),
        }
    }

    /// What the time alone brings about.
    fn pass(&mut self, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        let mut acts = Vec::new();
        for case in self.cases.values_mut() {
            if case.is_alive() && !case.is_at_work() && now >= case.expires {
                let hours = policy.expires_s / 3600;
                let why = match case.yes {
                    Some(_) => "it was approved, and could not begin before it expired".into(),
                    None if hours > 0 => format!("nobody answered within {hours} h"),
                    None => "nobody answered in time".into(),
                };
                acts.extend(case.void(now, &why));
            }
        }
        self.cases.retain(|_, case| match case.stage {
            Stage::Closed { at, .. } => now.since_s(at) < REMEMBERED_S,
            _ => true,
        });
        self.forget_refused();
        self.people.retain(|_, conduct| !conduct.is_blank(now));
        self.early.retain(|early| now.since_s(early.at) < EARLY_S);
        acts
    }

    /// What is known of somebody's conduct; nothing for strangers in a crowd.
    fn conduct(&mut self, who: &Applicant) -> Option<&mut Conduct> {
        if self.people.len() >= PEOPLE && !self.people.contains_key(who) {
            return None;
        }
        Some(self.people.entry(who.clone()).or_default())
    }

    /// Says something to somebody, unless it was said lately.
    fn tell(&mut self, sent: &Sent, why: Why, text: &str) -> Vec<Act> {
        let now = self.now;
        if !self.conduct(&sent.by.clone().into()).is_some_and(|conduct| conduct.tell(why, now)) {
            return Vec::new();
        }
        vec![answer(sent, why.word(), Words::line(text)), self.refusal(sent, why.word())]
    }

    /// The entry of the audit for something that was not taken up.
    fn refusal(&self, sent: &Sent, why: &str) -> Act {
        let what = Happened::Refused { by: sent.by.clone(), event: sent.event.clone(), why: why.to_owned() };
        let event = Event { at: self.now, case: None, round: None, what };
        Act { key: Key::of_event(&sent.event, "record"), what: Do::Record(event) }
    }

    /// The living case whose present plan a message shows.
    fn case_of_message(&mut self, message: &EventId) -> Option<&mut Case> {
        self.cases.values_mut().find(|case| case.is_alive() && case.message.as_ref() == Some(message))
    }
}

/// Something to say in the thread of a message.
fn answer(sent: &Sent, step: &str, words: Words) -> Act {
    let thread = Some(sent.event.clone());
    Act { key: Key::of_event(&sent.event, step), what: Do::Say { thread, words } }
}
