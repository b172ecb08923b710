//! Earlier runs: a list of them, one of them, and how the one at hand ended.

use std::time::Duration;

use fraktalia_desk::EventId;
use fraktalia_desk::audit::{Entry, Happened};
use fraktalia_engine::journal::Status;
use fraktalia_engine::{Ended, Origin, Outcome, Run};
use fraktalia_model::{Sources, UserId};
use serde::Serialize;

use super::json::{self, PlanDocument};
use super::line::Line;
use super::look::{Detail, Look, Tone};
use super::note;
use super::plan::{self, About, counts, number};
use super::progress::{Story, seconds};

/// One run in a document for programs.
#[derive(Debug, Serialize)]
pub struct RunDocument<'a> {
    /// Its name.
    pub run: &'a str,
    /// When it began, RFC 3339.
    pub began: &'a str,
    /// When it ended, RFC 3339; `null` while it is open.
    pub ended: Option<&'a str>,
    /// `applied`, `not_converged`, `rolled_back`, `incomplete`, `superseded`, `open`
    pub outcome: &'static str,
    /// Why it failed, where it did.
    pub why: Option<&'a str>,
    /// The version of fraktalia that began it.
    pub version: &'a str,
    /// What whoever began it calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'a str>,
    /// What whoever took it back after its end calls that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_back_note: Option<&'a str>,
    /// Whether `rollback` may take it back, as far as can be said without a look at the systems.
    pub can_be_taken_back: bool,
    /// The commit that its manifest was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<&'a Origin>,
    /// Where each step stands, in the order of the plan.
    pub steps: Vec<&'static str>,
    /// What it was to do; only of a single run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanDocument<'a>>,
}

/// The document of a run.
pub fn document(run: &Run, with_plan: bool) -> RunDocument<'_> {
    RunDocument {
        run: &run.header.run,
        began: &run.header.at,
        ended: run.closed.as_ref().map(|(at, _)| at.as_str()),
        outcome: outcome(run).0,
        why: why(run),
        version: &run.header.version,
        note: run.header.note.as_deref(),
        taken_back_note: run.reopened.as_deref(),
        can_be_taken_back: can_be_taken_back(run),
        commit: run.header.origin.as_ref(),
        steps: run.statuses.iter().map(Status::name).collect(),
        plan: with_plan.then(|| json::plan(&run.header.plan, run.header.origin.as_ref())),
    }
}

fn can_be_taken_back(run: &Run) -> bool {
    match &run.closed {
        Some((_, Outcome::RolledBack { .. } | Outcome::Superseded)) => false,
        _ => !run.passed_the_point_of_no_return(),
    }
}

/// What people called the run, and its taking back.
fn notes(run: &Run) -> Option<String> {
    let taken_back = run.reopened.as_ref().map(|note| format!("taken back: {note}"));
    let notes: Vec<String> = run.header.note.iter().cloned().chain(taken_back).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

fn outcome(run: &Run) -> (&'static str, &'static str, Tone) {
    match run.closed.as_ref().map(|(_, outcome)| outcome) {
        None => ("open", "unfinished", Tone::Warn),
        Some(Outcome::Applied) => ("applied", "applied", Tone::Add),
        Some(Outcome::NotConverged) => ("not_converged", "applied, not converged", Tone::Warn),
        Some(Outcome::RolledBack { .. }) => ("rolled_back", "taken back", Tone::Own),
        Some(Outcome::Incomplete { .. }) => ("incomplete", "rollback incomplete", Tone::Bad),
        Some(Outcome::Superseded) => ("superseded", "superseded", Tone::Faint),
    }
}

fn why(run: &Run) -> Option<&str> {
    match run.closed.as_ref().map(|(_, outcome)| outcome) {
        Some(Outcome::RolledBack { why } | Outcome::Incomplete { why }) => Some(why),
        _ => run.failure.as_deref(),
    }
}

/// The latest runs and what was decided meanwhile, the last at the bottom.
pub fn history(runs: &[Run], entries: &[Entry], look: &Look) -> String {
    let mut page = String::new();
    if runs.is_empty() && entries.is_empty() {
        Line::new().plain("No runs yet.").write(look, &mut page);
    }
    let name = runs.iter().map(|run| run.header.run.len()).max().unwrap_or(0);
    let mut entries = entries.iter().peekable();
    for run in runs {
        while let Some(entry) = entries.next_if(|entry| when(entry).as_str() < run.header.at.as_str()) {
            decided(entry, look, &mut page);
        }
        line(run, name, look).write(look, &mut page);
    }
    entries.for_each(|entry| decided(entry, look, &mut page));
    page
}

fn line(run: &Run, name: usize, look: &Look) -> Line {
    let (_, word, tone) = outcome(run);
    let what = counts(&run.header.plan).unwrap_or_else(|| "only our own record changed".into());
    let what = what.split(':').next().unwrap_or_default();
    let mut line = Line::new()
        .text(Tone::Strong, &run.header.run)
        .to_column(name + 2, 2)
        .text(Tone::Faint, &run.header.at)
        .space(2)
        .text(tone, word)
        .to_column(name + 46, 2)
        .hang()
        .plain(what);
    if let Some(origin) = &run.header.origin {
        line = line.text(Tone::Faint, &format!("  @ {origin}"));
    }
    if let Some(notes) = notes(run) {
        line = line.text(Tone::Faint, &format!("  ({notes})"));
    }
    if look.detail == Detail::Full
        && let Some(why) = why(run)
    {
        line = line.text(Tone::Faint, &format!("; {why}"));
    }
    line
}

/// When something was decided, RFC 3339, to the second as runs have it.
pub fn when(entry: &Entry) -> String {
    let seconds = i64::try_from(entry.event.at.0 / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// `1 entry`, `2 entries`.
pub fn plural(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// A line of the desk's.
fn decided(entry: &Entry, look: &Look, page: &mut String) {
    let (tone, who, what, events) = told(&entry.event.what);
    let mut line = Line::indented(2).text(Tone::Faint, &when(entry)).space(2).text(tone, what.0).hang();
    if let Some(who) = who {
        line = line.plain(&format!(" by {who}"));
    }
    if !what.1.is_empty() {
        line = line.plain(&format!(": {}", what.1));
    }
    let case = entry.event.case.iter().map(|case| match entry.event.round {
        Some(round) => format!("case {case}, plan {round}"),
        None => format!("case {case}"),
    });
    let about: Vec<String> = case.chain(events.into_iter().map(ToString::to_string)).collect();
    if !about.is_empty() {
        line = line.text(Tone::Faint, &format!("  ({})", about.join(", ")));
    }
    line.write(look, page);
}

type Told<'e> = (Tone, Option<&'e UserId>, (&'static str, String), Vec<&'e EventId>);

fn told(what: &Happened) -> Told<'_> {
    let said = |tone, what, text: &str| (tone, None, (what, text.to_owned()), Vec::new());
    match what {
        Happened::Proposed { by, event, name, .. } => {
            (Tone::Own, Some(by), ("proposed", format!("`{name}`")), vec![event])
        }
        Happened::Filed { by, name, sha256, .. } => {
            let what = if sha256.is_some() { "" } else { "the removal of " };
            said(Tone::Own, "filed", &format!("{what}`{name}`, by {by}"))
        }
        Happened::FiledInVain { by, why, .. } => {
            said(Tone::Faint, "refused what was filed", &format!("{why}, by {by}"))
        }
        Happened::Refused { by, event, why } => {
            (Tone::Faint, Some(by), ("refused what was written", why.clone()), vec![event])
        }
        Happened::Planned { fingerprint } => said(Tone::Faint, "planned", &beginning(fingerprint)),
        Happened::Approved { by, event, message, .. } => {
            (Tone::Add, Some(by), ("approved", String::new()), vec![event, message])
        }
        Happened::ApprovedByToken { token, fingerprint } => {
            said(Tone::Add, "approved", &format!("{}, by the API's token `{token}`", beginning(fingerprint)))
        }
        Happened::Declined { by, event } => (Tone::Bad, Some(by), ("declined", String::new()), vec![event]),
        Happened::Withdrawn { why } => said(Tone::Warn, "approval withdrawn", why),
        Happened::Void { why } => said(Tone::Warn, "void", why),
        Happened::Closed { why } => said(Tone::Faint, "closed", why),
        Happened::Started { run } => said(Tone::Own, "begun", run.as_str()),
        Happened::Applied { run, commit } => {
            let commit = commit.as_ref().map_or(String::new(), |commit| format!(", commit {commit:.12}"));
            said(Tone::Add, "applied", &format!("run {run}{commit}"))
        }
        Happened::Failed { run, reason } => {
            let run = run.as_ref().map_or(String::new(), |run| format!("run {run}: "));
            said(Tone::Bad, "failed", &format!("{run}{reason}"))
        }
        Happened::TakenBack { failed: None } => said(Tone::Own, "commit taken back", ""),
        Happened::TakenBack { failed: Some(why) } => said(Tone::Bad, "commit not taken back", why),
        Happened::Asked { by, event, question } => {
            (Tone::Faint, Some(by), ("asked", format!("{question:?}").to_lowercase()), vec![event])
        }
        Happened::AskedRemoval { by, event, name } => {
            (Tone::Faint, Some(by), ("asked for the removal of", format!("`{name}`")), vec![event])
        }
        Happened::AskedRollback { by, event } => {
            (Tone::Faint, Some(by), ("asked for a rollback", String::new()), vec![event])
        }
        Happened::NewDevice => said(Tone::Warn, "a new device in the admin room", ""),
    }
}

/// As much of a fingerprint as people compare.
fn beginning(fingerprint: &str) -> String {
    fingerprint.chars().take(12).collect()
}

/// One run: what it was to do, and what became of each step.
pub fn show(run: &Run, about: &About, look: &Look) -> String {
    let (_, word, tone) = outcome(run);
    let mut page = String::new();
    Line::new()
        .text(Tone::Strong, &format!("run {}", run.header.run))
        .space(2)
        .text(tone, word)
        .text(Tone::Faint, &format!("  began {}", run.header.at))
        .text(Tone::Faint, &run.closed.as_ref().map(|(at, _)| format!(", ended {at}")).unwrap_or_default())
        .text(Tone::Faint, &format!(", fraktalia {}", run.header.version))
        .write(look, &mut page);
    if let Some(origin) = &run.header.origin {
        let branch = origin.branch.as_ref().map_or_else(String::new, |branch| format!(" on {branch}"));
        let changed = if origin.changed { ", with changes that were not committed" } else { "" };
        let subject = origin.subject.as_ref().map_or_else(String::new, |subject| format!(": {subject}"));
        let text = format!("commit {}{branch}{changed}{subject}", origin.commit);
        Line::new().text(Tone::Faint, &text).write(look, &mut page);
    }
    if let Some(notes) = notes(run) {
        Line::new().text(Tone::Faint, &format!("note: {notes}")).write(look, &mut page);
    }
    if let Some(why) = why(run) {
        Line::new().text(Tone::Bad, "because ").hang().plain(why).write(look, &mut page);
    }
    page.push('\n');
    let brief = Look { detail: Detail::Brief, ..*look };
    // What the manifest says today is not what the plan was made from.
    let about = About { manifest: "plan".into(), origin: run.header.origin.clone(), ..about.clone() };
    page.push_str(&plan::text(&run.header.plan, &about, &Sources::default(), &brief));
    if !run.statuses.is_empty() {
        page.push('\n');
    }
    for (step, status) in run.header.plan.steps.iter().zip(&run.statuses) {
        let (symbol, tone) = symbol(status);
        Line::indented(2)
            .text(tone, symbol)
            .space(1)
            .text(Tone::Faint, &format!("{:<12}", status.name()))
            .space(1)
            .hang()
            .plain(&step.title)
            .write(look, &mut page);
    }
    page
}

fn symbol(status: &Status) -> (&'static str, Tone) {
    match status {
        Status::Done { .. } => ("✓", Tone::Add),
        Status::Failed | Status::Stuck { .. } => ("✗", Tone::Bad),
        Status::Undone => ("↶", Tone::Own),
        Status::Begun { .. } | Status::Undoing { .. } => ("?", Tone::Warn),
        Status::Untouched => (" ", Tone::Faint),
    }
}

/// What somebody wanted of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// That it is done.
    Apply,
    /// That it is taken back.
    TakeBack,
}

/// How a run ended, in the words that a person needs next.
pub fn ending(ended: &Ended, story: &Story, purpose: Purpose, took: Duration, look: &Look) -> String {
    let mut page = String::new();
    for (at, failed) in story.failures.iter().enumerate() {
        Line::new()
            .text(Tone::Bad, "error: ")
            .hang()
            .plain(&failed.title)
            .plain(": ")
            .plain(&failed.why)
            .write(look, &mut page);
        // Several steps may fail of the same cause: its cure stands after the last of them.
        let again = story.failures[at + 1..].iter().any(|other| other.hint == failed.hint);
        if let Some(hint) = failed.hint.as_ref().filter(|_| !again) {
            note::hint(hint, look, &mut page);
        }
    }
    match &ended.outcome {
        Some(outcome) => closed(outcome, ended, story, purpose, took, look, &mut page),
        None => left_open(ended, look, &mut page),
    }
    page
}

fn closed(
    outcome: &Outcome,
    ended: &Ended,
    story: &Story,
    purpose: Purpose,
    took: Duration,
    look: &Look,
    page: &mut String,
) {
    let mut say = |tone, head: &str, rest: &str| {
        Line::new().text(tone, head).plain(rest).write(look, page);
    };
    match outcome {
        Outcome::Applied if story.done == 0 => say(Tone::Add, "Recorded. ", "Nothing had to be changed."),
        Outcome::Applied => {
            let steps = number(story.done, "step");
            say(Tone::Add, "Applied. ", &format!("{steps} in {}; a second plan is empty.", seconds(took)));
            note::hint(&format!("`fraktalia rollback {}` takes it back", ended.run), look, page);
        }
        Outcome::NotConverged => {
            say(
                Tone::Warn,
                "Applied, but a second plan is not empty. ",
                "Something else changes the same things:",
            );
        }
        Outcome::RolledBack { why } => {
            if story.failures.is_empty() && purpose == Purpose::Apply {
                say(Tone::Plain, "Stopped: ", why);
            }
            if story.stays.is_empty() {
                say(Tone::Own, "Taken back. ", "Everything is as it was before.");
            } else {
                say(
                    Tone::Own,
                    "Taken back. ",
                    "All that we did is undone; what others made of it since stays:",
                );
                for what in &story.stays {
                    Line::indented(2).text(Tone::Own, "· ").hang().plain(what).write(look, page);
                }
            }
        }
        Outcome::Incomplete { why } => {
            if story.failures.is_empty() {
                say(Tone::Bad, "Failed: ", why);
            }
            stuck(story, look, page);
        }
        Outcome::Superseded => say(
            Tone::Own,
            "Settled. ",
            "The world has changed since: what was done is on record, and a new plan does the rest.",
        ),
    }
}

/// What could not be taken back, each with what a person can do instead.
fn stuck(story: &Story, look: &Look, page: &mut String) {
    Line::new()
        .text(Tone::Bad, "Not everything could be taken back. ")
        .plain("This is left:")
        .write(look, page);
    for stuck in &story.stuck {
        Line::indented(2)
            .text(Tone::Bad, "✗ ")
            .hang()
            .plain(&stuck.title)
            .plain(": ")
            .plain(&stuck.why)
            .write(look, page);
        for command in &stuck.by_hand {
            Line::indented(6).text(Tone::Hint, command).write_whole(look, page);
        }
    }
    note::hint("`fraktalia rollback` tries again; or finish by hand as shown", look, page);
}

fn left_open(ended: &Ended, look: &Look, page: &mut String) {
    let why = ended.why.as_deref().unwrap_or("it was asked to stop");
    Line::new()
        .text(Tone::Warn, "Left open. ")
        .hang()
        .plain(&format!("The run {} stopped: {why}.", ended.run))
        .write(look, page);
    note::hint("`fraktalia resume` finishes it, `fraktalia rollback` takes it back", look, page);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::progress::{Failed, Stuck};
    use crate::render::testing::{about, garden, plain};
    use fraktalia_engine::journal::Header;
    use std::collections::BTreeMap;

    fn run(closed: Option<Outcome>, statuses: Vec<Status>) -> Run {
        Run {
            header: std::sync::Arc::new(Header {
                run: "20260314-150000000-abcdef".into(),
                format: 1,
                at: "2026-03-14T15:00:00Z".into(),
                version: "0.1.0".into(),
                plan: garden(),
                before: BTreeMap::new(),
                origin: None,
                note: None,
            }),
            statuses,
            closed: closed.map(|outcome| ("2026-03-14T15:00:12Z".into(), outcome)),
            after: BTreeMap::new(),
            failure: None,
            reopened: None,
        }
    }

    #[test]
    fn history_is_one_line_a_run() {
        let why = "write openclaw.json: refused".to_owned();
        let runs = [
            run(Some(Outcome::Applied), Vec::new()),
            run(Some(Outcome::RolledBack { why: why.clone() }), Vec::new()),
            run(Some(Outcome::Incomplete { why }), Vec::new()),
            run(None, Vec::new()),
        ];
        insta::assert_snapshot!(history(&runs, &[], &plain(120)));
    }

    #[test]
    fn a_run_shows_what_became_of_each_step() {
        let statuses = vec![Status::Undone, Status::Failed, Status::Untouched];
        let shown = show(
            &run(Some(Outcome::RolledBack { why: "no".into() }), statuses),
            &about(&["gardener", "cook"]),
            &plain(100),
        );
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn every_ending_says_what_is_the_case_and_what_comes_next() {
        let story = || Story {
            failures: vec![Failed {
                title: "write openclaw.json".into(),
                why: "refused".into(),
                hint: Some("see the log".into()),
            }],
            stuck: vec![Stuck {
                title: "create #lab".into(),
                why: "403".into(),
                by_hand: vec!["delete room !a".into()],
            }],
            done: 7,
            ..Story::default()
        };
        let why = || "refused".to_owned();
        let outcomes = [
            (Some(Outcome::Applied), Story { done: 7, ..Story::default() }),
            (Some(Outcome::NotConverged), Story::default()),
            (Some(Outcome::RolledBack { why: why() }), Story { stuck: Vec::new(), ..story() }),
            (
                Some(Outcome::RolledBack { why: why() }),
                Story { stays: vec!["workspaces/lab stays: something is in it".into()], ..Story::default() },
            ),
            (Some(Outcome::Incomplete { why: why() }), story()),
            (Some(Outcome::Superseded), Story::default()),
            (None, Story::default()),
        ];
        let pages: Vec<String> = outcomes
            .into_iter()
            .map(|(outcome, story)| {
                let ended = Ended { run: "20260314-1".into(), outcome, why: None };
                ending(&ended, &story, Purpose::Apply, Duration::from_secs(12), &plain(80))
            })
            .collect();
        insta::assert_snapshot!(pages.join("-----\n"));
    }
}
