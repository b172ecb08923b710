//! The end of a plan: how much there is to do, what hurts, what is left alone.

use std::collections::BTreeMap;

use fraktalia_model::Severity;
use fraktalia_plan::{Impact, Plan, Verb};

use super::group::Wholes;
use crate::render::line::Line;
use crate::render::look::{Detail, Look, Tone};

/// `11 agents, 14 bindings, 3 rooms`; `None` when there is nothing else.
pub fn left_alone(plan: &Plan) -> Option<String> {
    let counted: Vec<String> = plan
        .strangers
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(kind, count)| format!("{count} {}", if *count == 1 { singular(kind) } else { kind }))
        .collect();
    (!counted.is_empty()).then(|| counted.join(", "))
}

fn singular(kind: &str) -> &str {
    kind.strip_suffix('s').unwrap_or(kind)
}

/// `4 to create, 2 to change, 1 to remove: 6 steps in 3 waves`; `None` when nothing changes.
pub fn counts(plan: &Plan) -> Option<String> {
    let words = [
        (Verb::Create, "create"),
        (Verb::Update, "change"),
        (Verb::Replace, "replace"),
        (Verb::Adopt, "adopt"),
        (Verb::Forget, "let go"),
        (Verb::Delete, "remove"),
    ];
    let whole = Wholes::new(&plan.changes);
    let count =
        |verb| plan.changes.iter().filter(|change| change.verb == verb && !whole.tell(change)).count();
    let counted: Vec<String> = words
        .iter()
        .map(|(verb, word)| (count(*verb), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} to {word}"))
        .collect();
    if counted.is_empty() {
        return None;
    }
    let steps = match plan.steps.len() {
        0 if plan.is_blocked() => "blocked".into(),
        0 => "only our own record changes".into(),
        steps => format!("{} in {}", number(steps, "step"), number(plan.waves().len(), "wave")),
    };
    Some(format!("{}: {steps}", counted.join(", ")))
}

/// `1 step`, `2 steps`.
pub fn number(count: usize, word: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {word}{s}")
}

/// What disrupts and what cannot be taken back: for each effect on people the titles of the steps that have it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Impacts<'a> {
    /// Something stops for a moment.
    pub disruptive: BTreeMap<&'a str, Vec<&'a str>>,
    /// Cannot be taken back.
    pub irreversible: BTreeMap<&'a str, Vec<&'a str>>,
}

/// Steps that somebody notices, by what they notice.
pub fn impacts(plan: &Plan) -> Impacts<'_> {
    let mut impacts = Impacts::default();
    for step in &plan.steps {
        let (list, what) = match &step.impact {
            Impact::Quiet => continue,
            Impact::Disruptive(what) => (&mut impacts.disruptive, what),
            Impact::Irreversible(what) => (&mut impacts.irreversible, what),
        };
        list.entry(what.as_str()).or_default().push(step.title.as_str());
    }
    impacts
}

/// All of the above as text.
pub fn write(plan: &Plan, look: &Look, page: &mut String) {
    page.push('\n');
    match counts(plan) {
        Some(counts) => Line::new().text(Tone::Strong, &format!("{counts}.")).write(look, page),
        None if plan.is_blocked() => Line::new().text(Tone::Bad, "Blocked.").write(look, page),
        None if is_narrowed(plan) => Line::new()
            .text(Tone::Add, "Nothing to do. ")
            .plain("What was asked about is as the manifest says.")
            .write(look, page),
        None => Line::new()
            .text(Tone::Add, "Nothing to do. ")
            .plain("Everything is as the manifest says.")
            .write(look, page),
    }
    let impacts = impacts(plan);
    list("!", Tone::Warn, "", &impacts.disruptive, look, page);
    list("!!", Tone::Bad, "cannot be taken back: ", &impacts.irreversible, look, page);
    if let Some(left) = left_alone(plan) {
        Line::new().text(Tone::Faint, &format!("Not ours, left alone: {left}.")).write(look, page);
    }
}

/// Whether something that would change was left out on request.
fn is_narrowed(plan: &Plan) -> bool {
    plan.notes.iter().any(|note| matches!(note.code.as_str(), "plan.targets" | "plan.excluded"))
}

/// The last words of a plan that cannot be applied: where things stand, and how to go on.
pub fn write_blocked(plan: &Plan, look: &Look, page: &mut String) {
    let errors = plan.notes.iter().filter(|note| note.severity == Severity::Error).count();
    let what =
        if errors == 1 { "the error above is".into() } else { format!("the {errors} errors above are") };
    Line::new()
        .text(Tone::Bad, "Blocked: ")
        .hang()
        .plain(&format!(
            "nothing was changed, and nothing of this is applied until {what} settled. Then plan again."
        ))
        .write(look, page);
}

/// What somebody notices. What it comes from is said where several steps, or all of the details, are behind it.
fn list(
    symbol: &str,
    tone: Tone,
    about: &str,
    effects: &BTreeMap<&str, Vec<&str>>,
    look: &Look,
    page: &mut String,
) {
    for (what, titles) in effects {
        let mut line = Line::new().text(tone, symbol).space(1).hang().text(tone, about).plain(what);
        line = match titles.as_slice() {
            [first, rest @ ..] if !rest.is_empty() => {
                line.text(Tone::Faint, &format!(" ({first} and {} more)", rest.len()))
            }
            [title] if look.detail == Detail::Full => line.text(Tone::Faint, &format!("; step: {title}")),
            _ => line,
        };
        line.write(look, page);
    }
}
