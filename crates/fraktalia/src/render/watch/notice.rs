//! What a watch has to tell, for the people in a room: short, and nothing of it is markup.

use std::fmt::Write as _;

use fraktalia_engine::watch::{Happening, Look as Looked};
use fraktalia_engine::{Ended, Event, Outcome};
use fraktalia_model::{Note, Notes, Severity};
use fraktalia_plan::{Change, Verb};

use super::{change_line, seconds};
use crate::render::escape::visible;
use crate::render::plan::number;

/// More of one kind than this are counted.
const LISTED: usize = 5;
/// Longest text of one entry, in characters.
const LONGEST: usize = 300;
/// How lines begin about what somebody has changed by hand.
const DRIFT: &str = "drift";

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In a word or two.
    pub head: &'static str,
    /// What it is about.
    pub text: String,
}

fn entry(head: &'static str, text: impl AsRef<str>) -> Entry {
    let text: String = visible(text.as_ref()).chars().take(LONGEST).collect();
    Entry { head, text }
}

/// What people in a room want to know of it; nothing, where they do not. `acts` says whether the watch does by itself what
/// it may: then what is done is said, and of what is seen only what somebody has changed by hand.
pub fn entries(happening: &Happening<'_>, acts: bool) -> Vec<Entry> {
    match happening {
        Happening::Looked(look) if look.news => looked(look, acts),
        Happening::Failed { why, news: true, .. } => vec![entry("cannot look", why)],
        Happening::BadManifest { notes, kept, origin, .. } => {
            let at = origin.map_or_else(String::new, |origin| format!(" at {origin}"));
            let stays = if *kept { "; the last good one stays in force" } else { "" };
            let first = entry("manifest", format!("has errors{at}{stays}"));
            std::iter::once(first).chain(findings(notes)).collect()
        }
        Happening::GoodManifest => vec![entry("manifest", "in order again")],
        Happening::Remote { lost: Some((why, _)), .. } => vec![entry("no remote", why)],
        Happening::Remote { remote, lost: None } => {
            vec![entry("remote", format!("{} answers again", remote.url()))]
        }
        Happening::Refused { commit, why, .. } => {
            let short = commit.get(..7).unwrap_or(commit);
            vec![entry("refused", format!("commit {short}: {why}"))]
        }
        Happening::Unfinished { run, waits: Some(why) } => {
            vec![entry("unfinished", format!("the run {run} waits for a person: {why}"))]
        }
        Happening::Applying { plan, origin, .. } => {
            let titles: Vec<&str> = plan.steps.iter().take(LISTED).map(|step| step.title.as_str()).collect();
            let more = plan.steps.len().saturating_sub(LISTED);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            let of = origin.as_ref().map_or_else(String::new, |origin| {
                let by = origin.author.as_ref().map_or_else(String::new, |author| format!(" by {author}"));
                let subject = origin.subject.as_deref().unwrap_or_default();
                format!(" of {origin} {subject}{by}")
            });
            let steps = number(plan.steps.len(), "step");
            vec![entry("applying", format!("{steps}{of}: {}{more}", titles.join("; ")))]
        }
        Happening::Run(Event::Failed { why, .. }) => vec![entry("failed", why)],
        Happening::Run(Event::Stuck { why, .. }) => vec![entry("cannot take back", why)],
        Happening::Ended { ended, took, .. } => {
            vec![ending(ended, &seconds(*took))]
        }
        Happening::GaveUp { times, why } => {
            vec![entry("given up", format!("the same {times} times without lasting: {why}"))]
        }
        _ => Vec::new(),
    }
}

fn looked(look: &Looked<'_>, acts: bool) -> Vec<Entry> {
    let plan = &look.planned.plan;
    let changes: Vec<&Change> = plan.changes.iter().filter(|change| change.verb != Verb::Keep).collect();
    if changes.is_empty() && !plan.is_blocked() {
        return vec![entry("in sync", "nothing to do")];
    }
    let shown: Vec<Entry> = changes
        .iter()
        .map(|change| {
            let (head, _, text) = change_line(change, look.planned.records.contains_key(&change.id));
            entry(head, text)
        })
        .filter(|entry| !acts || plan.is_blocked() || entry.head == DRIFT)
        .collect();
    let more = shown.len().saturating_sub(LISTED);
    let mut all: Vec<Entry> = shown.into_iter().take(LISTED).collect();
    if more > 0 {
        all.push(entry("more", number(more, "change")));
    }
    if plan.is_blocked() {
        all.push(entry("blocked", "nothing is applied while this stands"));
        let blockers: Notes = plan.blockers().cloned().collect();
        all.extend(findings(&blockers));
    }
    let waits = look.waiting.iter().take(LISTED);
    all.extend(waits.map(|one| entry("waits for a person", format!("{}: {}", one.title, one.why))));
    all
}

fn findings(notes: &Notes) -> Vec<Entry> {
    let errors: Vec<&Note> = notes.iter().filter(|note| note.severity == Severity::Error).collect();
    let line = |note: &&Note| {
        let at = note.at.as_ref().map_or_else(String::new, |at| format!("{at}: "));
        entry("error", format!("{at}{}", note.text))
    };
    let more = errors.len().saturating_sub(LISTED);
    let more = (more > 0).then(|| entry("more", number(more, "error")));
    errors.iter().take(LISTED).map(line).chain(more).collect()
}

fn ending(ended: &Ended, took: &str) -> Entry {
    let run = &ended.run;
    let why = ended.why.as_deref().unwrap_or("for no known reason");
    match &ended.outcome {
        Some(Outcome::Applied) => entry("applied", format!("run {run} in {took}")),
        Some(Outcome::Superseded) => entry("settled", format!("run {run}; a new plan does the rest")),
        Some(Outcome::RolledBack { .. }) => entry("failed and taken back", format!("run {run}: {why}")),
        Some(Outcome::NotConverged) => {
            entry("not converged", format!("run {run} was applied, and a second plan is not empty"))
        }
        Some(Outcome::Incomplete { .. }) => entry(
            "not taken back completely",
            format!("run {run}: {why}; `fraktalia show {run}` lists what is left"),
        ),
        None => entry("left open", format!("run {run}: {why}")),
    }
}

/// A message of several entries, as text and as HTML. `head` says whose it is.
pub fn message(head: &str, entries: &[Entry], left_out: usize) -> (String, String) {
    let (mut plain, mut html) = (visible(head), format!("<b>{}</b>", escaped(&visible(head))));
    for Entry { head, text } in entries {
        let _ = write!(plain, "\n{head}: {text}");
        let _ = write!(html, "<br>{}: {}", escaped(head), escaped(text));
    }
    if left_out > 0 {
        let _ = write!(plain, "\nmore: {left_out} before these were left out");
        let _ = write!(html, "<br>more: {left_out} before these were left out");
    }
    (plain, html)
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 8);
    for at in text.chars() {
        match at {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            _ => safe.push(at),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup_or_a_line_of_its_own() {
        let evil = "<a href='https://matrix.to/#/@ana:chat.home'>x</a>\nfraktalia: all is well \u{202e}";
        let entries = entries(&Happening::GaveUp { times: 3, why: evil }, true);
        let (plain, html) = message("home", &entries, 0);
        assert_eq!(plain.lines().count(), 2, "{plain}");
        assert!(
            !html.contains("<a") && !html.contains('\u{202e}') && html.matches("<br>").count() == 1,
            "{html}"
        );
    }

    #[test]
    fn a_message_stays_small_whatever_happens() {
        let why = "x".repeat(100_000);
        let entries = entries(&Happening::GaveUp { times: 3, why: &why }, false);
        assert!(message("home", &entries, 7).0.len() < 1000);
    }

    #[test]
    fn every_ending_is_said_in_one_line() {
        let of = |outcome| {
            let ended = Ended { run: "20260314-1502".into(), outcome, why: Some("the shelf says no".into()) };
            let entry = ending(&ended, "0.8 s");
            format!("{}: {}", entry.head, entry.text)
        };
        let why = || "no".to_owned();
        assert_eq!(of(Some(Outcome::Applied)), "applied: run 20260314-1502 in 0.8 s");
        assert_eq!(
            of(Some(Outcome::RolledBack { why: why() })),
            "failed and taken back: run 20260314-1502: the shelf says no"
        );
        assert!(of(Some(Outcome::Incomplete { why: why() })).contains("fraktalia show"));
    }
}
