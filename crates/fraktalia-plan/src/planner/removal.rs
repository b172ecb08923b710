//! What happens to what is ours and left the manifest.

use super::{
    AnyResource, AnySeen, BTreeMap, BTreeSet, Decision, Decisions, Input, Note, Notes, OnRemove, Owner,
    ResourceId, SystemId, Verb, View,
};

/// Decides about all that is ours, was seen in a complete look, and is no longer asked for.
pub(super) fn decide<'a>(input: &Input<'a>, decisions: &mut Decisions<'a>, notes: &mut Notes) {
    for (index, view) in input.systems.iter().enumerate() {
        let wanted: BTreeSet<&ResourceId> = view.desired.iter().map(AnyResource::id).collect();
        let left =
            view.observed.found.iter().filter(|(id, have)| !wanted.contains(id) && ours(input, id, have));
        for (id, have) in left {
            if !view.observed.complete {
                notes.push(left_alone(id));
                continue;
            }
            if input.manifest.policy.protect.contains(id) {
                notes.push(protected(id));
                continue;
            }
            let on_remove = meant(input, view, id);
            let verb = if on_remove == OnRemove::Keep { Verb::Forget } else { Verb::Delete };
            let decision = Decision {
                system: index,
                verb,
                want: None,
                have: Some(have),
                last: input.records.get(id),
                record: None,
                on_remove,
                fields: Vec::new(),
                why: "left the manifest".into(),
            };
            decisions.insert(id, decision);
        }
    }
    unreachable(input, notes);
}

fn ours(input: &Input<'_>, id: &ResourceId, have: &AnySeen) -> bool {
    match have.owner {
        Owner::Ours => true,
        Owner::Unmarked => input.records.contains_key(id),
        Owner::Foreign(_) => false,
    }
}

fn meant(input: &Input<'_>, view: &View<'_>, id: &ResourceId) -> OnRemove {
    input.records.get(id).map_or_else(|| view.system.default_on_remove(id), |record| record.on_remove)
}

/// Objects to more removals than the policy allows.
pub(super) fn limit(input: &Input<'_>, decisions: &Decisions<'_>, notes: &mut Notes) {
    let removals = decisions.values().filter(|decision| decision.verb == Verb::Delete).count();
    if let Some(limit) = input.manifest.policy.max_removals
        && removals > limit
        && !input.options.allow_removals
    {
        notes.push(
            Note::error(
                "policy.max-removals",
                format!("this plan removes {removals} things; the policy allows {limit}"),
            )
            .hint("if that is meant, say --allow-removals"),
        );
    }
}

/// Things on record in a system that the manifest no longer names cannot even be looked at.
fn unreachable(input: &Input<'_>, notes: &mut Notes) {
    let systems: BTreeSet<_> = input.systems.iter().map(|view| view.system.id()).collect();
    let mut lost: BTreeMap<&SystemId, usize> = BTreeMap::new();
    for id in input.records.keys().filter(|id| !systems.contains(&id.system)) {
        *lost.entry(&id.system).or_default() += 1;
    }
    for (system, count) in lost {
        notes.push(
            Note::warning(
                "plan.system-left",
                format!("{system} left the manifest, but {count} things there are still ours"),
            )
            .hint("name it again, remove the things first, and only then the system"),
        );
    }
}

fn left_alone(id: &ResourceId) -> Note {
    Note::warning(
        "plan.incomplete",
        format!("{id} left the manifest, but {} could not be read completely", id.system),
    )
    .about(id)
    .hint("it is left alone until a complete look")
}

fn protected(id: &ResourceId) -> Note {
    Note::info("policy.protected", format!("{id} left the manifest and stays: the policy protects it"))
        .about(id)
}
