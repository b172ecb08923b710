//! From a yes to its end. One thing is done at a time.

use fraktalia_model::UserId;
use fraktalia_model::manifest::ApiScope;

use super::Desk;
use crate::act::{Act, Do};
use crate::audit::Happened;
use crate::case::{Case, End, Kind, Stage, Yes};
use crate::filed::Reply;
use crate::heard::Outcome;
use crate::ids::{Key, Moment};
use crate::policy::Policy;
use crate::words::{Words, clean_line};

/// How long until something is tried again after another run was at work, in seconds.
const RETRY_S: u64 = 15;
/// Most characters of a reason that are kept.
const REASON: usize = 500;
/// How often the message about progress is changed at most, in milliseconds.
const EDIT_MS: u64 = 2_000;

impl Desk {
    /// Begins what was approved first, when nothing else is at work; says so to those who wait.
    pub(super) fn start_next(&mut self, policy: &Policy) -> Vec<Act> {
        let now = self.now;
        let mut acts = Vec::new();
        for case in self.cases.values_mut() {
            let left =
                |yes: &Yes| yes.of.operator().is_some_and(|operator| !policy.operators.contains(operator));
            if matches!(case.stage, Stage::Waiting { .. }) && case.yes.as_ref().is_some_and(left) {
                acts.extend(case.withdraw(now, "who gave it is no operator any more"));
            }
            let gone =
                case.applies_by_itself().is_some_and(|token| !policy.token_may(token, ApiScope::Apply, now));
            if gone && matches!(case.stage, Stage::Waiting { .. }) {
                acts.extend(case.void(now, "its token may not apply any more"));
            }
        }
        if !self.cases.values().any(Case::is_at_work) {
            let due =
                |case: &&mut Case| matches!(case.stage, Stage::Waiting { not_before } if not_before <= now);
            let first =
                self.cases.values_mut().filter(due).min_by_key(|case| case.yes.as_ref().map(|yes| yes.at));
            if let Some(case) = first {
                acts.extend(start(case, now));
            }
        }
        let busy = self.cases.values().find(|case| case.is_at_work()).map(Case::title);
        for case in self.cases.values_mut() {
            if matches!(case.stage, Stage::Waiting { .. }) && !case.told_waiting {
                case.told_waiting = true;
                let what = busy.clone().unwrap_or_else(|| "another run".into());
                let words = Words::line(&format!("Approved. It begins when {what} is done."));
                acts.push(case.say_again("waiting", words));
            }
        }
        acts
    }

    /// The case that a run belongs to.
    fn case_of_run(&mut self, key: &Key) -> Option<&mut Case> {
        self.cases.values_mut().find(|case| matches!(&case.stage, Stage::Running { run, .. } if run == key))
    }

    /// How far a run is.
    pub(super) fn progress(&mut self, key: &Key, text: &str) -> Vec<Act> {
        let now = self.now;
        let Some(case) = self.case_of_run(key) else { return Vec::new() };
        if now.0 < case.edited.0.saturating_add(EDIT_MS) {
            return Vec::new();
        }
        case.edited = now;
        let words = Words::line(&format!("Doing {}: {text}", case.title()));
        vec![edit(case, key, words)]
    }

    /// What became of a run.
    pub(super) fn ran(&mut self, key: &Key, outcome: &Outcome) -> Vec<Act> {
        let now = self.now;
        let Some(case) = self.case_of_run(key) else { return Vec::new() };
        match outcome {
            Outcome::Applied { run, commit } => applied(case, now, key, run, commit.as_deref()),
            Outcome::Busy(holder) => busy(case, now, key, holder),
            Outcome::Stale => stale(case, now, key),
            Outcome::RolledBack { run, reason } => {
                let text = format!("failed, and all is as it was: {reason}");
                failed(case, now, key, run.as_deref(), &text)
            }
            Outcome::Stuck { run, reason } => {
                let text = format!("failed, and NOT all could be taken back: {reason}");
                failed(case, now, key, run.as_deref(), &text)
            }
        }
    }

    /// Whether the commit of a failed run is gone.
    pub(super) fn taken_back(&mut self, key: &Key, failed: Option<&str>) -> Vec<Act> {
        let now = self.now;
        let asked = |case: &&mut Case| {
            matches!(case.stage, Stage::TakingBack { .. }) && case.key("take-back") == *key
        };
        let Some(case) = self.cases.values_mut().find(asked) else { return Vec::new() };
        let Stage::TakingBack { reason } = &case.stage else { return Vec::new() };
        let mut words = Words::line(&format!("{}: {reason}", capital(&case.title())));
        words = match failed {
            None => words.and("Its commit was taken back as well."),
            Some(why) => {
                words.and(&format!("Its commit could not be taken back: {why}. Take it back by hand."))
            }
        };
        let what = Happened::TakenBack { failed: failed.map(String::from) };
        let acts = vec![case.say("end", words), case.record(now, what)];
        case.close(now, End::Failed);
        acts
    }
}

fn start(case: &mut Case, now: Moment) -> Vec<Act> {
    let (Some(credits), Some(fingerprint)) = (case.credits(), case.fingerprint.clone()) else {
        // A yes without a plan: nothing leads here, and nothing is done then.
        return case.void(now, "its plan is lost; post it anew");
    };
    let mut acts = Vec::new();
    if !case.has_progress() {
        let words = Words::line(&format!("Doing {}, approved by {}.", case.title(), credits.approved));
        acts.push(case.say("progress", words));
        case.progress_of = case.round;
    }
    let run = case.next_key("run");
    acts.push(case.record(now, Happened::Started { run: run.clone() }));
    let order = case.order();
    acts.push(Act { key: run.clone(), what: Do::Run { case: case.id.clone(), order, fingerprint, credits } });
    case.edited = now;
    case.stage = Stage::Running { run, stopped_by: None };
    acts
}

/// Changes the message about progress.
fn edit(case: &mut Case, run: &Key, words: Words) -> Act {
    let of = case.key("progress");
    let key = case.next_key(&format!("{}.edit", run.as_str().rsplit('.').next().unwrap_or_default()));
    Act { key, what: Do::Edit { of, words } }
}

fn applied(case: &mut Case, now: Moment, key: &Key, run: &str, commit: Option<&str>) -> Vec<Act> {
    let by = case.yes.as_ref().map_or_else(String::new, |yes| format!(", approved by {}", yes.of));
    let late = stopped_by(case);
    let at = commit.map_or_else(String::new, |commit| format!(", commit `{commit}`"));
    let mut words = Words::line(&format!("Done: {}{by}. Run `{run}`{at}.", case.title()));
    if let Some(who) = late {
        words = words.and(&format!(
            "{who} said no, and it was too late. `!rollback` shows what taking it back would do."
        ));
    }
    let what = Happened::Applied { run: run.into(), commit: commit.map(String::from) };
    let done = Words::line(&format!("{} is done.", capital(&case.title())));
    let acts = vec![edit(case, key, done), case.say("end", words), case.record(now, what)];
    case.close(now, End::Applied);
    acts
}

/// Nothing was done, since another run is at work. Who said no meanwhile has been heard.
fn busy(case: &mut Case, now: Moment, key: &Key, holder: &str) -> Vec<Act> {
    if let Some(by) = stopped_by(case) {
        let words = Words::line(&format!("Nothing was done: {by} said no before it could begin."));
        let acts = vec![case.say("end", words)];
        case.reply(Reply::Void("an operator has declined it".into()));
        case.close(now, End::Rejected);
        return acts;
    }
    case.stage = Stage::Waiting { not_before: now.after_s(RETRY_S) };
    if std::mem::replace(&mut case.told_waiting, true) {
        return Vec::new();
    }
    let text = format!("It waits: {holder}. It is tried again until it expires.");
    vec![edit(case, key, Words::line(&text))]
}

/// Who wants the run of a case stopped.
fn stopped_by(case: &Case) -> Option<UserId> {
    match &case.stage {
        Stage::Running { stopped_by, .. } => stopped_by.clone(),
        _ => None,
    }
}

fn stale(case: &mut Case, now: Moment, key: &Key) -> Vec<Act> {
    let first = edit(case, key, Words::line("Nothing was done: the world is not as it was planned for."));
    let why = "something has changed since it was made";
    let mut acts = vec![first];
    if let Some(by) = stopped_by(case) {
        let why = format!("{by} said no");
        acts.extend(case.void(now, &why));
    } else if case.kind == Kind::Drift {
        acts.extend(case.void(now, "the drift is not what it was; a new plan comes with the next look"));
    } else {
        let next = match case.applies_by_itself() {
            Some(_) => "A new one follows, and begins by itself.",
            None => "A new one follows; only an answer to that counts.",
        };
        acts.extend(case.again(now, why, next));
    }
    acts
}

fn failed(case: &mut Case, now: Moment, key: &Key, run: Option<&str>, text: &str) -> Vec<Act> {
    let what = Happened::Failed { run: run.map(String::from), reason: clean_line(text, REASON) };
    case.reply(Reply::Failed(clean_line(text, REASON)));
    let title = capital(&case.title());
    let mut acts =
        vec![edit(case, key, Words::line(&format!("{title} has failed."))), case.record(now, what)];
    if case.order().commits() {
        acts.push(Act { key: case.key("take-back"), what: Do::TakeBack { run: key.clone() } });
        case.stage = Stage::TakingBack { reason: clean_line(text, REASON) };
    } else {
        acts.push(case.say("end", Words::line(&format!("{title}: {text}"))));
        case.close(now, End::Failed);
    }
    acts
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
