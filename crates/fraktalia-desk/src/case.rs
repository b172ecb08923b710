//! One matter to be decided, from its first message to its end.

use std::collections::BTreeSet;

use fraktalia_model::UserId;
use serde::{Deserialize, Serialize};

use crate::act::{Act, Approval, Credits, Do, Order};
use crate::audit::{Event, Happened};
use crate::conduct::Why;
use crate::filed::{Filed, Reply};
use crate::ids::{Applicant, CaseId, EventId, Key, Moment};
use crate::words::Words;

/// Most plans of one case: the first, and those for changed fragments or a changed world.
pub(crate) const ROUNDS: u32 = 5;

/// A matter to be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Its id.
    pub id: CaseId,
    /// What it is about.
    pub kind: Kind,
    /// Who began it.
    pub by: Option<Applicant>,
    /// The message that began it.
    pub origin: Option<EventId>,
    /// What was filed, where it came through the API.
    pub filed: Option<Filed>,
    /// The message that its present content comes from, and who wrote that: the first one, or a changed fragment.
    pub source: Option<(EventId, UserId)>,
    /// The first message of its thread.
    pub thread: Option<EventId>,
    /// When it is void by itself.
    pub expires: Moment,
    /// Which plan this is, from 1.
    pub round: u32,
    /// How far it is.
    pub stage: Stage,
    /// The plan of this round.
    pub fingerprint: Option<String>,
    /// The message that shows the plan of this round.
    pub message: Option<EventId>,
    /// The yes to it.
    pub yes: Option<Yes>,
    /// Messages that show plans which are void.
    pub past: BTreeSet<EventId>,
    /// What was said in this case that is said once.
    pub told: BTreeSet<Why>,
    /// Whether it was said that it waits.
    pub told_waiting: bool,
    /// Numbers the steps that can come more than once.
    pub steps: u32,
    /// The last round that has a message about progress.
    pub progress_of: u32,
    /// When that was last changed.
    pub edited: Moment,
}

/// What a case is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A fractal that somebody proposes.
    Proposal {
        /// The key of the fractal.
        name: String,
        /// The fragment; empty once the case is closed.
        fragment: String,
    },
    /// A fractal that is to be removed.
    Removal {
        /// Its key.
        name: String,
    },
    /// Taking back the last run.
    Rollback,
    /// What to do about drift.
    Drift,
}

/// How far a case is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The planner was asked.
    Planning,
    /// The plan is being posted.
    Posting,
    /// The plan stands in the room.
    Open,
    /// There is a yes, and something else is at work.
    Waiting {
        /// Not tried before.
        not_before: Moment,
    },
    /// It is being done.
    Running {
        /// The act.
        run: Key,
        /// Who wants it stopped.
        stopped_by: Option<UserId>,
    },
    /// It failed, and its commit is being taken back.
    TakingBack {
        /// Why it failed.
        reason: String,
    },
    /// It is over.
    Closed {
        /// When.
        at: Moment,
        /// How.
        end: End,
    },
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Done.
    Applied,
    /// An operator said no.
    Rejected,
    /// It cannot be planned, or there is nothing to do.
    Refused,
    /// Something happened after which no answer counts.
    Void,
    /// It was tried, and failed.
    Failed,
}

/// A yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Yes {
    /// Whose.
    pub of: Approval,
    /// When.
    pub at: Moment,
    /// To what.
    pub choice: Choice,
}

impl Yes {
    /// Whether it was given by a reaction.
    pub(crate) fn is_reaction(&self, event: &EventId) -> bool {
        matches!(&self.of, Approval::Operator { reaction, .. } if reaction == event)
    }
}

/// What can be answered to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Do it.
    Yes,
    /// Leave it.
    No,
    /// Put back what drifted.
    PutBack,
    /// Take what drifted into the manifest.
    TakeIn,
}

impl Choice {
    /// The choices that a kind of case has, by the reaction that stands for each.
    pub fn of(kind: &Kind) -> &'static [(&'static str, Self, &'static str)] {
        match kind {
            Kind::Proposal { .. } | Kind::Removal { .. } | Kind::Rollback => {
                &[("✅", Self::Yes, "do it"), ("❌", Self::No, "leave it")]
            }
            Kind::Drift => &[
                ("↩", Self::PutBack, "put it back as the manifest says"),
                ("📥", Self::TakeIn, "take it into the manifest"),
                ("❌", Self::No, "leave it"),
            ],
        }
    }

    /// The choice that a reaction stands for. Some clients say by a further character that it is to be drawn in colour.
    pub fn read(kind: &Kind, reaction: &str) -> Option<Self> {
        let plain = reaction.trim_end_matches('\u{fe0f}');
        Self::of(kind).iter().find(|(key, ..)| *key == plain).map(|(_, choice, _)| *choice)
    }
}

impl Case {
    /// A case at its beginning.
    pub(crate) fn new(id: CaseId, kind: Kind, expires: Moment) -> Self {
        Self {
            id,
            kind,
            by: None,
            origin: None,
            filed: None,
            source: None,
            thread: None,
            expires,
            round: 1,
            stage: Stage::Planning,
            fingerprint: None,
            message: None,
            yes: None,
            past: BTreeSet::new(),
            told: BTreeSet::new(),
            told_waiting: false,
            steps: 0,
            progress_of: 0,
            edited: Moment(0),
        }
    }

    /// Whether it is not over.
    pub fn is_alive(&self) -> bool {
        !matches!(self.stage, Stage::Closed { .. })
    }

    /// Whether it is being done, so that it cannot be void any more.
    pub fn is_at_work(&self) -> bool {
        matches!(self.stage, Stage::Running { .. } | Stage::TakingBack { .. })
    }

    /// The key of its fractal.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Proposal { name, .. } | Kind::Removal { name } => Some(name),
            Kind::Rollback | Kind::Drift => None,
        }
    }

    /// How people know it.
    pub(crate) fn title(&self) -> String {
        match &self.kind {
            Kind::Proposal { name, .. } => format!("`{name}`"),
            Kind::Removal { name } => format!("removing `{name}`"),
            Kind::Rollback => "the rollback of the last run".into(),
            Kind::Drift => "what drifted".into(),
        }
    }

    /// What doing it means.
    pub(crate) fn order(&self) -> Order {
        match (&self.kind, self.yes.as_ref().map(|yes| yes.choice)) {
            (Kind::Proposal { name, fragment }, _) => {
                Order::Add { name: name.clone(), fragment: fragment.clone() }
            }
            (Kind::Removal { name }, _) => Order::Remove { name: name.clone() },
            (Kind::Rollback, _) => Order::Rollback,
            (Kind::Drift, Some(Choice::TakeIn)) => Order::TakeIn,
            (Kind::Drift, _) => Order::PutBack,
        }
    }

    /// The key of a step that comes once in a round.
    pub(crate) fn key(&self, step: &str) -> Key {
        Key::of_case(&self.id, self.round, step)
    }

    /// The key of a step that can come again.
    pub(crate) fn next_key(&mut self, step: &str) -> Key {
        self.steps += 1;
        self.key(&format!("{step}.{}", self.steps))
    }

    /// Whether this round has a message about progress.
    pub(crate) fn has_progress(&self) -> bool {
        self.progress_of == self.round
    }

    /// Something to say in its thread, once in a round.
    pub(crate) fn say(&self, step: &str, words: Words) -> Act {
        Act { key: self.key(step), what: Do::Say { thread: self.thread.clone(), words } }
    }

    /// Something to say in its thread that can come again.
    pub(crate) fn say_again(&mut self, step: &str, words: Words) -> Act {
        Act { key: self.next_key(step), what: Do::Say { thread: self.thread.clone(), words } }
    }

    /// An entry of the audit.
    pub(crate) fn record(&mut self, at: Moment, what: Happened) -> Act {
        let (case, round) = (Some(self.id.clone()), Some(self.round));
        Act { key: self.next_key("record"), what: Do::Record(Event { at, case, round, what }) }
    }

    /// Asks for the plan of this round.
    pub(crate) fn ask(&mut self) -> Act {
        self.stage = Stage::Planning;
        Act { key: self.key("plan"), what: Do::Plan { case: self.id.clone(), order: self.order() } }
    }

    /// No answer counts any more, and the thread says why.
    pub(crate) fn void(&mut self, at: Moment, why: &str) -> Vec<Act> {
        let words = Words::line(&format!("Void: {why}. No answer to {} counts any more.", self.title()));
        let mut acts: Vec<Act> = if self.is_unheard() { Vec::new() } else { vec![self.say("void", words)] };
        acts.push(self.record(at, Happened::Void { why: why.into() }));
        self.reply(Reply::Void(why.into()));
        self.close(at, End::Void);
        acts
    }

    /// The plan of this round is void, and another is asked for; or all of it is, after too many.
    pub(crate) fn again(&mut self, at: Moment, why: &str, hint: &str) -> Vec<Act> {
        if self.round >= ROUNDS {
            return self.void(at, &format!("{why}, and this was the last of {ROUNDS} plans"));
        }
        let words = Words::line(&format!("The plan above is void: {why}. {hint}"));
        let mut acts = vec![self.say("void", words), self.record(at, Happened::Void { why: why.into() })];
        self.past.extend(self.message.take());
        (self.yes, self.fingerprint, self.told_waiting) = (None, None, false);
        self.told.clear();
        self.round += 1;
        acts.push(self.ask());
        acts
    }

    /// The yes does not count any more; the plan still does.
    pub(crate) fn withdraw(&mut self, at: Moment, why: &str) -> Vec<Act> {
        self.yes = None;
        self.told_waiting = false;
        self.stage = Stage::Open;
        let words =
            Words::line(&format!("The yes does not count: {why}. The plan still waits for an answer."));
        vec![self.say_again("withdrawn", words), self.record(at, Happened::Withdrawn { why: why.into() })]
    }

    /// It is over. What is not needed any more is forgotten.
    pub(crate) fn close(&mut self, at: Moment, end: End) {
        self.stage = Stage::Closed { at, end };
        self.past.extend(self.message.take());
        self.past.extend(self.filed.as_mut().and_then(|filed| filed.notice.take()));
        if let Kind::Proposal { fragment, .. } = &mut self.kind {
            fragment.clear();
        }
    }

    /// Who is to thank for what is about to be done.
    pub(crate) fn credits(&self) -> Option<Credits> {
        let yes = self.yes.as_ref()?;
        Some(Credits {
            proposed_by: self.by.clone(),
            proposal: self.source.as_ref().map(|(event, _)| event.clone()),
            approved: yes.of.clone(),
        })
    }

    /// Whether nobody in the room has heard of it: it was filed, and is still planned.
    pub(crate) fn is_unheard(&self) -> bool {
        self.filed.is_some()
            && self.thread.is_none()
            && self.progress_of == 0
            && self.stage == Stage::Planning
    }

    /// The token that may do it without anybody's answer.
    pub(crate) fn applies_by_itself(&self) -> Option<&str> {
        match (&self.filed, &self.by) {
            (Some(Filed { may_apply: true, .. }), Some(Applicant::Token(name))) => Some(name),
            _ => None,
        }
    }

    /// Keeps what is to be told to whoever filed it. The last word holds.
    pub(crate) fn reply(&mut self, reply: Reply) {
        if let Some(filed) = &mut self.filed {
            filed.reply = Some(reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reaction_is_read_as_it_is_drawn() {
        let read = |key| Choice::read(&Kind::Rollback, key);
        assert_eq!(read("✅"), Some(Choice::Yes));
        assert_eq!(read("✅\u{fe0f}"), Some(Choice::Yes));
        assert_eq!(read("❌"), Some(Choice::No));
        for other in ["", "👍", "✔️", "yes", "✅✅", " ✅"] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(Choice::read(&Kind::Drift, "↩️"), Some(Choice::PutBack));
        assert_eq!(Choice::read(&Kind::Drift, "✅"), None);
    }
}
