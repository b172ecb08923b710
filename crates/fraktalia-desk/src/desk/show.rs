//! How a plan and what is wrong are shown: whole, or not at all.

use fraktalia_model::Note;

use crate::act::Act;
use crate::audit::Happened;
use crate::case::{Case, Choice, Kind, Stage};
use crate::heard::Plan;
use crate::ids::{Applicant, Moment};
use crate::words::{LONGEST_LINE, Words};

/// Findings that are listed; the others are counted.
pub(super) const LISTED: usize = 20;
/// What a plan may have at most, so that all of it is seen by who approves it.
const PLAN_CHARACTERS: usize = 6_000;
const PLAN_LINES: usize = 150;
const PLAN_LINE: usize = 500;
const WARNINGS: usize = 10;
/// Changes, warnings and fragment together, where all are shown. The other lines of the message have at most 1,500.
const SHOWN: usize = 7_500;

/// Shows a plan, for an answer.
pub(super) fn show(case: &mut Case, now: Moment, plan: &Plan) -> Vec<Act> {
    case.fingerprint = Some(plan.fingerprint.clone());
    case.stage = Stage::Posting;
    let post = case.say("post", plan_words(case, plan));
    vec![post, case.record(now, Happened::Planned { fingerprint: plan.fingerprint.clone() })]
}

fn plan_words(case: &Case, plan: &Plan) -> Words {
    let by = |who: &Applicant| format!(", proposed by {who}");
    let title = match &case.kind {
        Kind::Proposal { .. } | Kind::Removal { .. } => {
            format!("Plan for {}{}", case.title(), case.by.as_ref().map(by).unwrap_or_default())
        }
        Kind::Rollback => "Plan for taking back the last run".into(),
        Kind::Drift => "The live systems are not as the manifest says; this would put them back".into(),
    };
    let which = if case.round > 1 { format!(" (plan {})", case.round) } else { String::new() };
    let mut words = Words::line(&format!("{title}{which}: {}", plan.summary)).code(&plan.changes);
    for warning in &plan.warnings {
        words = words.item(&format!("⚠ {warning}"));
    }
    if let Some(fragment) = filed_fragment(case) {
        // Nobody has posted it: it is seen here or nowhere.
        words = words.and("It would be written so:").code(fragment);
    }
    let choices: Vec<String> =
        Choice::of(&case.kind).iter().map(|(key, _, meaning)| format!("{key} {meaning}")).collect();
    words = words.and(&format!("Operators answer by a reaction to this message: {}.", choices.join(", ")));
    if matches!(case.kind, Kind::Proposal { .. }) {
        words = words.and("An answer in this thread with a changed fragment replaces it.");
    }
    let fingerprint: String = plan.fingerprint.chars().take(12).collect();
    words.and(&format!("Fingerprint `{fingerprint}`, void after {}.", utc(case.expires)))
}

/// `2026-11-26 02:34 UTC`
fn utc(moment: Moment) -> String {
    i64::try_from(moment.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "the end of time".into(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// The fragment of what came through the API.
fn filed_fragment(case: &Case) -> Option<&str> {
    match &case.kind {
        Kind::Proposal { fragment, .. } if case.filed.is_some() && case.source.is_none() => Some(fragment),
        _ => None,
    }
}

/// Whether plan and fragment fit into a message where the fragment is shown as well.
pub(super) fn is_shown_whole(case: &Case, plan: &Plan) -> bool {
    let Some(fragment) = filed_fragment(case) else { return true };
    fragment.lines().all(|line| line.chars().count() <= LONGEST_LINE)
        && fragment.chars().count()
            + 4 * fragment.lines().count()
            + plan.changes.chars().count()
            + plan.warnings.iter().map(|warning| warning.chars().count()).sum::<usize>()
            <= SHOWN
}

/// Whether a text can be the fingerprint of a plan.
pub(super) fn is_fingerprint(text: &str) -> bool {
    (1..=128).contains(&text.len())
}

/// Whether a plan can be read whole.
pub(super) fn is_readable(plan: &Plan) -> bool {
    let short = |line: &str, most| line.chars().count() <= most;
    short(&plan.changes, PLAN_CHARACTERS)
        && plan.changes.lines().count() <= PLAN_LINES
        && plan.changes.lines().all(|line| short(line, PLAN_LINE))
        && short(&plan.summary, PLAN_LINE)
        && plan.warnings.len() <= WARNINGS
        && plan.warnings.iter().all(|warning| short(warning, PLAN_LINE))
        && is_fingerprint(&plan.fingerprint)
}

/// Findings as a list: place, what is the case, what to do.
pub(super) fn findings(mut words: Words, notes: &[Note]) -> Words {
    for note in notes.iter().take(LISTED) {
        let place = note.at.as_ref().map(|at| format!("line {}, column {}: ", at.line, at.column));
        let hint = note.hint.as_ref().map(|hint| format!(" ({hint})"));
        let text = format!("{}{}{}", place.unwrap_or_default(), note.text, hint.unwrap_or_default());
        words = words.item(&text);
    }
    match notes.len().saturating_sub(LISTED) {
        0 => words,
        more => words.item(&format!("and {more} more")),
    }
}
