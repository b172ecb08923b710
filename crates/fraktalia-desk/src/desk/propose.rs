//! From a message to a plan that can be answered.

use fraktalia_model::Note;

use super::show::{LISTED, findings, is_fingerprint, is_readable, is_shown_whole, show};
use super::{Desk, answer, file};
use crate::act::{Act, Do};
use crate::audit::Happened;
use crate::case::{Case, Choice, End, Kind, ROUNDS, Stage};
use crate::conduct::{Rate, SILENCE_S, Why};
use crate::filed::Reply;
use crate::found::{Found, find};
use crate::fragment::{Checked, check};
use crate::heard::{Planned, Sent};
use crate::ids::{Applicant, CaseId, EventId, Key, Moment};
use crate::policy::Policy;
use crate::words::Words;
use crate::{commands, fragment};

impl Desk {
    /// Somebody wrote something.
    pub(super) fn message(
        &mut self,
        sent: &Sent,
        answers: Option<&EventId>,
        body: &str,
        attachment: Option<&str>,
        policy: &Policy,
    ) -> Vec<Act> {
        // What is older than a case can become would be a replay, or comes too late to matter.
        if sent.by == policy.ours || self.now.since_s(sent.at) > policy.expires_s {
            return Vec::new();
        }
        let command = commands::parse(body);
        let found = if command.is_some() { Found::Nothing } else { find(body, attachment) };
        if command.is_none() && found == Found::Nothing {
            return Vec::new();
        }
        if let Err(acts) = self.admit(sent, command.is_some(), policy) {
            return acts;
        }
        if let Some(command) = command {
            return self.command(sent, &command, policy);
        }
        match found {
            Found::Nothing => Vec::new(),
            Found::One(text) => match self.case_of_thread(answers) {
                Some(case) => self.revise(&case, sent, &text, policy),
                None => self.propose(sent, &text, policy),
            },
            Found::Several => {
                let text = "This message holds more than one fragment, so nobody could say which is approved. \
                            Send one at a time.";
                self.tell(sent, Why::Several, text)
            }
            Found::TooLarge => {
                let most = fragment::BOUNDS.bytes;
                let text = format!(
                    "This message is too large to be looked into. A fragment has at most {most} bytes."
                );
                self.tell(sent, Why::Several, &text)
            }
        }
    }

    /// Whether a message of this person is read, and what is said if not.
    fn admit(&mut self, sent: &Sent, asks: bool, policy: &Policy) -> Result<(), Vec<Act>> {
        let operator = policy.operators.contains(&sent.by);
        if asks && !operator {
            return Err(self.tell(sent, Why::NotOperator, "Only operators can ask for that here."));
        }
        if !operator && !policy.proposers.contains(&sent.by) {
            let text = "You are not a proposer here. An operator can add you to `admin_room.proposers`.";
            return Err(self.tell(sent, Why::NotProposer, text));
        }
        if !sent.joined || !sent.vouched {
            let text = "Nobody vouches that this was you: join the room, and write from a verified device.";
            return Err(self.tell(sent, Why::Unvouched, text));
        }
        let now = self.now;
        let Some(conduct) = self.conduct(&sent.by.clone().into()) else { return Err(Vec::new()) };
        match conduct.message(now, policy.allow.per_minute) {
            Rate::Read => Ok(()),
            Rate::Silence => Err(Vec::new()),
            Rate::NoMore => {
                let minutes = SILENCE_S / 60;
                let text = format!(
                    "More than {} messages in a minute: nothing that you write is read for {minutes} minutes.",
                    policy.allow.per_minute
                );
                // Said each time that it happens, which is once in as many minutes.
                Err(vec![
                    answer(sent, Why::TooMany.word(), Words::line(&text)),
                    self.refusal(sent, Why::TooMany.word()),
                ])
            }
        }
    }

    /// The living case in whose thread somebody wrote.
    fn case_of_thread(&self, answers: Option<&EventId>) -> Option<CaseId> {
        let answers = answers?;
        let here = |case: &&Case| {
            case.is_alive()
                && matches!(case.kind, Kind::Proposal { .. })
                && (case.thread.as_ref() == Some(answers)
                    || case.message.as_ref() == Some(answers)
                    || case.past.contains(answers))
        };
        self.cases.values().find(here).map(|case| case.id.clone())
    }

    /// Somebody proposes.
    fn propose(&mut self, sent: &Sent, text: &str, policy: &Policy) -> Vec<Act> {
        let operator = policy.operators.contains(&sent.by);
        if !operator && let Some(acts) = self.over_day(sent, policy) {
            return acts;
        }
        let checked = match check(text, policy) {
            Ok(checked) => checked,
            Err(notes) => {
                let words = findings(Words::line("This cannot be planned:"), &notes)
                    .and("Correct it and post it again.");
                return self.faulty(sent, words, "findings", policy);
            }
        };
        let mut acts = match self.make_way(sent, &checked, policy) {
            Ok(acts) => acts,
            Err(acts) => return acts,
        };
        // Counted after what it replaces is gone.
        if !operator && let Some(refused) = self.over_open(sent, policy) {
            acts.extend(refused);
            return acts;
        }
        if !operator && let Some(conduct) = self.people.get_mut(&sent.by.clone().into()) {
            conduct.proposed(self.now);
        }
        acts.extend(self.open(sent, checked, policy));
        acts
    }

    /// What is said to somebody who has had their proposals of the day.
    fn over_day(&mut self, sent: &Sent, policy: &Policy) -> Option<Vec<Act>> {
        let (now, per_day) = (self.now, policy.allow.per_day);
        if self.conduct(&sent.by.clone().into())?.may_propose(now, per_day) {
            return None;
        }
        let text = format!("{per_day} proposals in 24 hours are what one proposer has. Try again later.");
        Some(self.tell(sent, Why::PerDay, &text))
    }

    /// What is said to somebody who has as many open proposals as they may.
    fn over_open(&mut self, sent: &Sent, policy: &Policy) -> Option<Vec<Act>> {
        if self.open_of(&sent.by.clone().into()) < policy.allow.open as usize {
            return None;
        }
        let text = format!(
            "{} proposals of yours wait for an answer, and no more may. Wait, or delete one of them.",
            policy.allow.open
        );
        Some(self.tell(sent, Why::Open, &text))
    }

    /// How many proposals of somebody wait.
    pub(super) fn open_of(&self, who: &Applicant) -> usize {
        let own = |case: &&Case| case.is_alive() && case.by.as_ref() == Some(who) && case.name().is_some();
        self.cases.values().filter(own).count()
    }

    /// An answer to a proposal that is not taken up, unless there were too many.
    fn faulty(&mut self, sent: &Sent, words: Words, why: &str, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        let Some(conduct) = self.conduct(&sent.by.clone().into()) else { return Vec::new() };
        if conduct.tried(now, policy.allow.per_day) {
            return vec![answer(sent, why, words), self.refusal(sent, why)];
        }
        let text =
            "Too many proposals that could not be planned: faulty ones are not answered any more today.";
        self.tell(sent, Why::Tries, text)
    }

    /// Makes way for a proposal of a name that another has, or refuses it.
    fn make_way(&mut self, sent: &Sent, checked: &Checked, policy: &Policy) -> Result<Vec<Act>, Vec<Act>> {
        let now = self.now;
        let Some(case) = self.same_name(&checked.name, None) else { return Ok(Vec::new()) };
        if case.by.as_ref().is_some_and(|by| *by == sent.by) && !case.is_at_work() {
            return Ok(case.void(now, "its proposer has posted another of that name"));
        }
        let (who, name) = (case.by.clone(), &checked.name);
        let text = if case.is_at_work() {
            format!("`{name}` is being made just now. Choose another name.")
        } else {
            let who = who.map_or_else(String::new, |who| format!(" by {who}"));
            format!("A proposal of `{name}`{who} waits for an answer. Choose another name, or wait.")
        };
        Err(self.faulty(sent, Words::line(&text), "same-name", policy))
    }

    /// The living proposal of a name, other than a given one.
    pub(super) fn same_name(&mut self, name: &str, but: Option<&CaseId>) -> Option<&mut Case> {
        self.cases
            .values_mut()
            .find(|case| case.is_alive() && Some(&case.id) != but && case.name() == Some(name))
    }

    fn open(&mut self, sent: &Sent, checked: Checked, policy: &Policy) -> Vec<Act> {
        let id = CaseId::of(sent.event.as_str());
        let kind = Kind::Proposal { name: checked.name, fragment: checked.text };
        let mut case = Case::new(id.clone(), kind, self.now.after_s(policy.expires_s));
        case.by = Some(sent.by.clone().into());
        case.origin = Some(sent.event.clone());
        case.thread = Some(sent.event.clone());
        let acts = vec![take_source(&mut case, sent, &checked.sha256, self.now), case.ask()];
        self.cases.insert(id, case);
        acts
    }

    /// Somebody answers with a changed fragment.
    fn revise(&mut self, id: &CaseId, sent: &Sent, text: &str, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        let Some(case) = self.cases.get_mut(id) else { return Vec::new() };
        if case.by.as_ref().is_none_or(|by| *by != sent.by) && !policy.operators.contains(&sent.by) {
            let text = "Only its proposer and operators can change a proposal. Post one of your own.";
            return self.tell(sent, Why::NotProposer, text);
        }
        if case.is_at_work() {
            let words = Words::line("Too late: what was approved is being done.");
            return self.faulty(sent, words, "too-late", policy);
        }
        if case.round >= ROUNDS {
            let text = format!("This was planned {ROUNDS} times. Post it as a new proposal.");
            return self.faulty(sent, Words::line(&text), "rounds", policy);
        }
        let checked = match check(text, policy) {
            Ok(checked) => checked,
            Err(notes) => {
                let words = findings(Words::line("The changed fragment cannot be planned:"), &notes)
                    .and("Nothing was replaced: what was proposed before still stands.");
                return self.faulty(sent, words, "findings", policy);
            }
        };
        if self.same_name(&checked.name, Some(id)).is_some() {
            let text =
                format!("Another proposal of `{}` waits for an answer. Nothing was replaced.", checked.name);
            return self.faulty(sent, Words::line(&text), "same-name", policy);
        }
        let Some(case) = self.cases.get_mut(id) else { return Vec::new() };
        let why = format!("{} has sent a changed fragment", sent.by);
        case.kind = Kind::Proposal { name: checked.name, fragment: checked.text };
        let mut acts = case.again(now, &why, "A new one follows; only an answer to that counts.");
        acts.push(take_source(case, sent, &checked.sha256, now));
        acts
    }

    /// The planner's answer.
    pub(super) fn planned(&mut self, key: &Key, answer: &Planned) -> Vec<Act> {
        let now = self.now;
        let asked = |case: &&mut Case| case.stage == Stage::Planning && case.key("plan") == *key;
        let Some(case) = self.cases.values_mut().find(asked) else { return Vec::new() };
        let by_itself = case.applies_by_itself().map(String::from);
        match (answer, by_itself) {
            (Planned::Plan(plan), _) if plan.empty => {
                let text = format!("There is nothing to do for {}.", case.title());
                case.reply(Reply::Nothing);
                refuse(case, now, Words::line(&text), "nothing to do")
            }
            // Nobody reads it before it is done.
            (Planned::Plan(plan), Some(token)) if is_fingerprint(&plan.fingerprint) => {
                file::approve(case, now, &token, plan)
            }
            (Planned::Plan(plan), _) if !is_readable(plan) || !is_shown_whole(case, plan) => {
                let text = "This is too long to be read in a message, so it cannot be approved in one.";
                let note = Note::error("proposal.too-long", text);
                case.reply(Reply::Findings(vec![note.hint("propose less at a time, in shorter lines")]));
                let words = Words::line(text).and("Propose less at a time.");
                refuse(case, now, words, "the plan is too long")
            }
            (Planned::Plan(plan), _) => show(case, now, plan),
            (Planned::Findings(notes), _) => {
                let words = findings(Words::line("With this, the manifest would not be in order:"), notes)
                    .and("Correct it and post it again.");
                case.reply(Reply::Findings(notes.iter().take(LISTED).cloned().collect()));
                refuse(case, now, words, "findings")
            }
            (Planned::Unable(reason), _) => {
                let words = Words::line(&format!("This cannot be planned now: {reason}"))
                    .and("Post it again once that is mended.");
                case.reply(Reply::Unable(reason.clone()));
                refuse(case, now, words, "cannot be planned now")
            }
        }
    }

    /// A message of ours stands in the room.
    pub(super) fn posted(&mut self, key: &Key, event: &EventId, policy: &Policy) -> Vec<Act> {
        for case in self.cases.values_mut() {
            if case.stage == Stage::Posting && case.key("post") == *key {
                case.message = Some(event.clone());
                case.thread.get_or_insert_with(|| event.clone());
                case.stage = Stage::Open;
                let mut acts = offer(case, key);
                acts.extend(self.late_reactions(event, policy));
                return acts;
            }
            // The room is told of what a token began: that is where an operator can say no.
            if case.is_alive() && case.applies_by_itself().is_some() && case.key("progress") == *key {
                case.thread.get_or_insert_with(|| event.clone());
                if let Some(filed) = &mut case.filed {
                    filed.notice = Some(event.clone());
                }
                return Vec::new();
            }
            // It was void before it stood there.
            let past = (1..=case.round).any(|round| Key::of_case(&case.id, round, "post") == *key);
            if past {
                case.past.insert(event.clone());
                return Vec::new();
            }
        }
        Vec::new()
    }
}

/// Puts the choices on a plan.
fn offer(case: &Case, post: &Key) -> Vec<Act> {
    let choices = Choice::of(&case.kind).iter().zip(1..);
    let react = |((with, ..), number): (&(&str, Choice, &str), u32)| Act {
        key: case.key(&format!("choice.{number}")),
        what: Do::React { to: post.clone(), with: (*with).into() },
    };
    choices.map(react).collect()
}

/// A new content, and who it is from.
fn take_source(case: &mut Case, sent: &Sent, sha256: &str, now: Moment) -> Act {
    case.source = Some((sent.event.clone(), sent.by.clone()));
    let what = Happened::Proposed {
        by: sent.by.clone(),
        event: sent.event.clone(),
        name: case.name().unwrap_or_default().into(),
        sha256: sha256.into(),
    };
    case.record(now, what)
}

fn refuse(case: &mut Case, now: Moment, words: Words, why: &str) -> Vec<Act> {
    let mut acts = if case.is_unheard() { Vec::new() } else { vec![case.say("end", words)] };
    acts.push(case.record(now, Happened::Closed { why: why.into() }));
    case.close(now, End::Refused);
    acts
}
