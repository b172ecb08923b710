//! Leaves out what `--target` does not name or need, and what `--exclude` names or what cannot be done without it.

use super::{BTreeMap, BTreeSet, Decision, Decisions, Input, Note, Notes, ResourceId, Verb, changing};

const NAMES: &str = "write a resource id such as matrix/room/lab, or the key of a fractal, room or network";
/// More than this are counted.
const LISTED: usize = 3;

fn names(name: &str, id: &ResourceId, decision: &Decision<'_>) -> bool {
    name == decision.subject(id) || name == id.to_string()
}

fn named(decisions: &Decisions<'_>, names_: &BTreeSet<String>, notes: &mut Notes) -> Vec<ResourceId> {
    let mut found = Vec::new();
    for name in names_ {
        let before = found.len();
        let hits = decisions.iter().filter(|(id, decision)| names(name, id, decision));
        found.extend(hits.map(|(id, _)| (*id).clone()));
        if found.len() == before {
            let text = format!("`{name}` names nothing in this plan");
            notes.push(Note::error("plan.unknown-target", text).hint(NAMES));
        }
    }
    found
}

/// Keeps what `--target` names, with what it needs.
pub(super) fn to_targets(input: &Input<'_>, decisions: &mut Decisions<'_>, notes: &mut Notes) {
    let targets = &input.options.targets;
    if targets.is_empty() {
        return;
    }
    let mut kept: BTreeSet<ResourceId> = BTreeSet::new();
    let mut open = named(decisions, targets, notes);
    while let Some(id) = open.pop() {
        if let Some(want) = decisions.get(&id).and_then(Decision::want) {
            open.extend(
                want.requires().iter().cloned().chain(want.pending()).filter(|id| !kept.contains(id)),
            );
        }
        kept.insert(id);
    }
    let before = changing(decisions).count();
    decisions.retain(|id, _| kept.contains(*id));
    let left_out = before - changing(decisions).count();
    if left_out > 0 {
        notes.push(Note::info("plan.targets", format!("{left_out} changes are left out by --target")));
    }
}

/// Leaves out what `--exclude` names. What cannot be done without it is left out too, and said.
pub(super) fn without_excluded(
    input: &Input<'_>,
    decisions: &mut Decisions<'_>,
    notes: &mut Notes,
) -> BTreeSet<ResourceId> {
    let excludes = &input.options.excludes;
    if excludes.is_empty() {
        return BTreeSet::new();
    }
    let mut out: BTreeSet<ResourceId> = named(decisions, excludes, notes).into_iter().collect();
    let waiting = waiting(decisions);
    let mut with_it: BTreeMap<ResourceId, Vec<ResourceId>> = BTreeMap::new();
    let mut open: Vec<ResourceId> = out.iter().cloned().collect();
    while let Some(id) = open.pop() {
        for other in waiting.get(&id).into_iter().flatten() {
            if out.insert(other.clone()) {
                with_it.entry(id.clone()).or_default().push(other.clone());
                open.push(other.clone());
            }
        }
    }
    let before = changing(decisions).count();
    decisions.retain(|id, _| !out.contains(*id));
    let left_out = before - changing(decisions).count();
    if left_out > 0 {
        let changes = if left_out == 1 { "change is" } else { "changes are" };
        let text = format!("{left_out} {changes} left out by --exclude");
        notes.push(Note::info("plan.excluded", text));
    }
    notes.extend(with_it.iter().map(|(id, others)| cannot_do_without(id, others)));
    out
}

/// For each resource, those whose change makes no sense while its own is left out: what is to stand on it before it is
/// there, and what it still stands on and is to go.
fn waiting(decisions: &Decisions<'_>) -> BTreeMap<ResourceId, Vec<ResourceId>> {
    let mut waiting: BTreeMap<ResourceId, Vec<ResourceId>> = BTreeMap::new();
    let verb = |id: &ResourceId| decisions.get(id).map(|decision| decision.verb);
    for (id, decision) in changing(decisions) {
        if let Some(want) = decision.want() {
            for needed in want.requires().iter().cloned().chain(want.pending()) {
                if matches!(verb(&needed), Some(Verb::Create | Verb::Replace)) {
                    waiting.entry(needed).or_default().push(id.clone());
                }
            }
        }
        for stood_on in decision.last.into_iter().flat_map(|record| &record.requires) {
            if matches!(verb(stood_on), Some(Verb::Delete | Verb::Replace)) {
                waiting.entry(id.clone()).or_default().push(stood_on.clone());
            }
        }
    }
    waiting
}

fn cannot_do_without(id: &ResourceId, others: &[ResourceId]) -> Note {
    let listed: Vec<String> = others.iter().take(LISTED).map(ToString::to_string).collect();
    let more = others.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text =
        format!("{id} is excluded, and so is what cannot be done without it: {}{more}", listed.join(", "));
    Note::warning("plan.excluded-with", text)
        .about(id)
        .hint("what is left out stays as it is until it is planned without --exclude")
}
