//! What operators ask, and what the watch says.

use super::file::removable;
use super::show::show;
use super::{Desk, answer};
use crate::act::{Act, Do};
use crate::audit::{Event, Happened};
use crate::case::{Case, Kind, Stage};
use crate::commands::{Command, Question, WORDS};
use crate::heard::{Plan, Sent};
use crate::ids::{CaseId, Key};
use crate::policy::Policy;
use crate::words::Words;

impl Desk {
    /// An operator asks for something. Who they are was looked at before.
    pub(super) fn command(&mut self, sent: &Sent, command: &Command, policy: &Policy) -> Vec<Act> {
        match command {
            Command::Ask(question) => self.ask(sent, question),
            Command::Rollback => self.rollback(sent, policy),
            Command::Remove(name) => self.remove(sent, name, policy),
            Command::Unknown(text) => vec![answer(sent, "unknown", Words::line(text))],
            Command::Help => {
                let list =
                    WORDS.iter().fold(Words::line("Operators can ask here:"), |words, (word, meaning)| {
                        words.item(&format!("`{word}` {meaning}"))
                    });
                vec![answer(sent, "help", list)]
            }
        }
    }

    fn ask(&mut self, sent: &Sent, question: &Question) -> Vec<Act> {
        // The key carries the message, so that the answer finds its thread after a restart as well.
        let key = Key::of_event(&sent.event, "look");
        self.asked.insert(key.clone(), sent.event.clone());
        let what =
            Happened::Asked { by: sent.by.clone(), event: sent.event.clone(), question: question.clone() };
        let event = Event { at: self.now, case: None, round: None, what };
        vec![
            Act { key, what: Do::Look(question.clone()) },
            Act { key: Key::of_event(&sent.event, "record"), what: Do::Record(event) },
        ]
    }

    /// The answer to a question.
    pub(super) fn looked(&mut self, key: &Key, text: &str) -> Vec<Act> {
        let Some(event) = self.asked.remove(key) else { return Vec::new() };
        let words = Words::default().code(text);
        vec![Act { key: Key::of_event(&event, "answer"), what: Do::Say { thread: Some(event), words } }]
    }

    /// Taking back the last run is planned, shown and approved like anything else.
    fn rollback(&mut self, sent: &Sent, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        let mut acts = Vec::new();
        if let Some(case) =
            self.cases.values_mut().find(|case| case.is_alive() && case.kind == Kind::Rollback)
        {
            if case.is_at_work() {
                return vec![answer(sent, "busy", Words::line("The last run is being taken back just now."))];
            }
            acts.extend(case.void(now, &format!("{} has asked again", sent.by)));
        }
        let what = Happened::AskedRollback { by: sent.by.clone(), event: sent.event.clone() };
        acts.extend(self.begin(sent, Kind::Rollback, what, policy));
        acts
    }

    /// Removing a fractal is planned, shown and approved like anything else.
    fn remove(&mut self, sent: &Sent, name: &str, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        if let Err((why, text)) = removable(name, policy) {
            return vec![answer(sent, why, Words::line(&text))];
        }
        let mut acts = Vec::new();
        if let Some(case) = self.cases.values_mut().find(|case| case.is_alive() && case.name() == Some(name))
        {
            if case.is_at_work() {
                let text = format!("{} is being done just now.", case.title());
                return vec![answer(sent, "busy", Words::line(&text))];
            }
            acts.extend(case.void(now, &format!("{} has asked to remove it", sent.by)));
        }
        let what =
            Happened::AskedRemoval { by: sent.by.clone(), event: sent.event.clone(), name: name.into() };
        acts.extend(self.begin(sent, Kind::Removal { name: name.into() }, what, policy));
        acts
    }

    /// A case that an operator's message begins.
    fn begin(&mut self, sent: &Sent, kind: Kind, what: Happened, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        let id = CaseId::of(sent.event.as_str());
        let mut case = Case::new(id.clone(), kind, now.after_s(policy.expires_s));
        case.by = Some(sent.by.clone().into());
        case.origin = Some(sent.event.clone());
        case.source = Some((sent.event.clone(), sent.by.clone()));
        case.thread = Some(sent.event.clone());
        let acts = vec![case.record(now, what), case.ask()];
        self.cases.insert(id, case);
        acts
    }

    /// The live systems are not as the manifest says.
    pub(super) fn drifted(&mut self, plan: &Plan, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        let mut acts = Vec::new();
        if let Some(case) = self.living_drift() {
            if case.is_at_work() || case.fingerprint.as_ref() == Some(&plan.fingerprint) {
                return acts;
            }
            acts.extend(case.void(now, "other things have drifted since; a new plan follows"));
        }
        if plan.empty {
            return acts;
        }
        let id = CaseId::of(&format!("drift {} {}", now.0, plan.fingerprint));
        if self.cases.contains_key(&id) {
            return acts;
        }
        let mut case = Case::new(id.clone(), Kind::Drift, now.after_s(policy.expires_s));
        acts.extend(show(&mut case, now, plan));
        self.cases.insert(id, case);
        acts
    }

    /// The live systems are as the manifest says.
    pub(super) fn settled(&mut self) -> Vec<Act> {
        let now = self.now;
        match self.living_drift() {
            Some(case) if !case.is_at_work() => {
                case.void(now, "the live systems are as the manifest says again")
            }
            _ => Vec::new(),
        }
    }

    fn living_drift(&mut self) -> Option<&mut Case> {
        self.cases
            .values_mut()
            .find(|case| !matches!(case.stage, Stage::Closed { .. }) && case.kind == Kind::Drift)
    }
}
