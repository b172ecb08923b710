//! What counts as an answer to a plan, and what makes answers count no more.

use fraktalia_model::UserId;

use super::{Desk, EARLY, Early};
use crate::act::{Act, Approval, Do};
use crate::audit::Happened;
use crate::case::{Case, Choice, End, Stage, Yes};
use crate::conduct::Why;
use crate::filed::Reply;
use crate::heard::Sent;
use crate::ids::{Applicant, EventId, Moment};
use crate::policy::Policy;
use crate::words::Words;

impl Desk {
    /// Somebody reacted to a message.
    pub(super) fn reaction(&mut self, sent: &Sent, on: &EventId, key: &str, policy: &Policy) -> Vec<Act> {
        if sent.by == policy.ours {
            return Vec::new();
        }
        let now = self.now;
        let operator = policy.operators.contains(&sent.by);
        if let Some(case) = self.case_of_message(on) {
            let Some(choice) = Choice::read(&case.kind, key) else { return Vec::new() };
            if !operator {
                return once(case, Why::NotOperator, "Only an operator's answer counts.");
            }
            if !sent.joined || !sent.vouched {
                let text = "An answer does not count: nobody vouches that an operator gave it. \
                            Join the room, and answer from a verified device.";
                return once(case, Why::Unvouched, text);
            }
            return decide(case, now, &sent.by, &sent.event, choice);
        }
        if !operator || !sent.joined || !sent.vouched {
            return Vec::new();
        }
        if let Some(case) = self.case_of_notice(on) {
            return match Choice::read(&case.kind, key) {
                Some(Choice::No) => decide(case, now, &sent.by, &sent.event, Choice::No),
                _ => Vec::new(),
            };
        }
        if let Some(case) = self.cases.values_mut().find(|case| case.past.contains(on)) {
            if Choice::read(&case.kind, key).is_none() {
                return Vec::new();
            }
            return after_the_end(case, now, &sent.by, &sent.event, key);
        }
        if self.early.len() < EARLY && key.len() <= 16 {
            let (by, event) = (sent.by.clone(), sent.event.clone());
            self.early.push(Early { at: now, on: on.clone(), by, event, key: key.into() });
        }
        Vec::new()
    }

    /// Reactions to a message of ours that were heard before we knew that it is ours.
    pub(super) fn late_reactions(&mut self, message: &EventId, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        let (due, rest) = std::mem::take(&mut self.early).into_iter().partition(|early| early.on == *message);
        self.early = rest;
        let due: Vec<Early> = due;
        let mut acts = Vec::new();
        for early in due {
            // They were vouched for when they were heard; rules may have changed since.
            if let Some(case) = self.case_of_message(message)
                && policy.operators.contains(&early.by)
                && let Some(choice) = Choice::read(&case.kind, &early.key)
            {
                acts.extend(decide(case, now, &early.by, &early.event, choice));
            }
        }
        acts
    }

    /// A message was edited. That of somebody else nobody can edit: such an event is a forgery, which clients do not show.
    pub(super) fn edited(&mut self, sent: &Sent, of: &EventId, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        if let Some(case) = self.case_of_message(of) {
            // We never edit a plan: whoever did so has our account, or wants it to look so.
            let who = if sent.by == policy.ours { "our own account".into() } else { sent.by.to_string() };
            return changed(case, now, &format!("{who} has edited the plan"));
        }
        match self.case_of_source(of) {
            Some((case, author)) if author == sent.by => {
                changed(case, now, &format!("{author} has edited the proposal; post it anew"))
            }
            _ => Vec::new(),
        }
    }

    /// An event was redacted.
    pub(super) fn redacted(&mut self, sent: &Sent, of: &EventId) -> Vec<Act> {
        let now = self.now;
        self.early.retain(|early| early.event != *of);
        if let Some(case) = self.case_of_message(of) {
            return changed(case, now, &format!("{} has deleted the plan", sent.by));
        }
        if let Some((case, _)) = self.case_of_source(of) {
            return changed(case, now, &format!("{} has deleted the proposal", sent.by));
        }
        let Some(case) = self
            .cases
            .values_mut()
            .find(|case| case.is_alive() && case.yes.as_ref().is_some_and(|yes| yes.is_reaction(of)))
        else {
            return Vec::new();
        };
        match case.stage {
            Stage::Running { .. } => stop(case, now, &sent.by, of, "has taken back the yes"),
            Stage::Waiting { .. } => case.withdraw(now, &format!("{} has taken it back", sent.by)),
            _ => Vec::new(),
        }
    }

    /// Somebody is not in the room any more.
    pub(super) fn left(&mut self, who: &UserId) -> Vec<Act> {
        let now = self.now;
        self.early.retain(|early| early.by != *who);
        let mut acts = Vec::new();
        for case in self.cases.values_mut().filter(|case| case.is_alive() && !case.is_at_work()) {
            if case.name().is_some() && case.by.as_ref().is_some_and(|by| by == who) {
                acts.extend(case.void(now, &format!("{who}, who proposed it, has left the room")));
            } else if case.yes.as_ref().is_some_and(|yes| yes.of.operator() == Some(who)) {
                acts.extend(case.withdraw(now, &format!("{who} has left the room")));
            }
        }
        acts
    }

    /// The living case that has its content from a message, and who wrote that.
    fn case_of_source(&mut self, event: &EventId) -> Option<(&mut Case, UserId)> {
        self.cases.values_mut().filter(|case| case.is_alive()).find_map(|case| {
            let author = match (&case.source, &case.origin, &case.by) {
                (Some((source, author)), ..) if source == event => author.clone(),
                // The first message stays what people read at the top, also when a changed fragment replaced it.
                (_, Some(origin), Some(Applicant::User(by))) if origin == event => by.clone(),
                _ => return None,
            };
            Some((case, author))
        })
    }
}

/// An operator's answer to the present plan of a case.
fn decide(case: &mut Case, now: Moment, by: &UserId, event: &EventId, choice: Choice) -> Vec<Act> {
    match (&case.stage, choice) {
        (Stage::Open | Stage::Waiting { .. }, Choice::No) => {
            let after = match &case.yes {
                Some(yes) => format!(", after the yes of {}", yes.of),
                None => String::new(),
            };
            let words = Words::line(&format!("No: {by} has declined {}{after}.", case.title()));
            let what = Happened::Declined { by: by.clone(), event: event.clone() };
            let acts = vec![case.say("end", words), case.record(now, what)];
            case.reply(Reply::Void("an operator has declined it".into()));
            case.close(now, End::Rejected);
            acts
        }
        (Stage::Open, _) => {
            let Some(message) = case.message.clone() else { return Vec::new() };
            let of = Approval::Operator { by: by.clone(), reaction: event.clone(), message: message.clone() };
            case.yes = Some(Yes { of, at: now, choice });
            case.stage = Stage::Waiting { not_before: now };
            let fingerprint = case.fingerprint.clone().unwrap_or_default();
            let (by, event) = (by.clone(), event.clone());
            vec![case.record(now, Happened::Approved { by, event, message, fingerprint, choice })]
        }
        (Stage::Running { .. }, Choice::No) => stop(case, now, by, event, "says no"),
        // A second yes changes nothing; of two different ones the first holds.
        _ => Vec::new(),
    }
}

/// A no while it is being done: it is stopped if that is still possible, and said in any case.
fn stop(case: &mut Case, now: Moment, by: &UserId, event: &EventId, does: &str) -> Vec<Act> {
    let Stage::Running { run, stopped_by } = &mut case.stage else { return Vec::new() };
    if stopped_by.is_some() {
        return Vec::new();
    }
    *stopped_by = Some(by.clone());
    let run = run.clone();
    let words = Words::line(&format!(
        "{by} {does}, and it is being done already. It is stopped and taken back if it can be."
    ));
    let what = Happened::Declined { by: by.clone(), event: event.clone() };
    vec![
        Act { key: case.next_key("stop"), what: Do::Stop { run } },
        case.say_again("stop", words),
        case.record(now, what),
    ]
}

/// What an answer belongs to was changed by somebody.
fn changed(case: &mut Case, now: Moment, why: &str) -> Vec<Act> {
    if !case.is_at_work() {
        return case.void(now, why);
    }
    let text = format!("{why}. It was approved before, and what was approved is being done.");
    if case.told.insert(Why::Changed) {
        vec![case.say_again("changed", Words::line(&text))]
    } else {
        Vec::new()
    }
}

/// An answer to a plan that is not the present one of a living case.
fn after_the_end(case: &mut Case, now: Moment, by: &UserId, event: &EventId, key: &str) -> Vec<Act> {
    let disagrees = Choice::read(&case.kind, key) == Some(Choice::No);
    let text = match case.stage {
        Stage::Closed { end: End::Applied, .. } if disagrees => {
            format!("{by} says no, after it was done. `!rollback` shows what taking it back would do.")
        }
        Stage::Closed { end: End::Applied, .. } => return Vec::new(),
        _ => format!("{by} has answered a plan that is void: the answer does not count."),
    };
    if !case.told.insert(Why::Late) {
        return Vec::new();
    }
    let why = "it was late".to_owned();
    let what = Happened::Refused { by: by.clone(), event: event.clone(), why };
    vec![case.say_again("late", Words::line(&text)), case.record(now, what)]
}

/// Says something once in a round.
fn once(case: &mut Case, why: Why, text: &str) -> Vec<Act> {
    if case.told.insert(why) { vec![case.say_again(why.word(), Words::line(text))] } else { Vec::new() }
}
