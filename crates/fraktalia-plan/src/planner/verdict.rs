//! What happens to each resource that the manifest asks for.

use super::{
    AnyResource, AnySeen, BTreeMap, Cause, Decision, Decisions, Delta, Input, Note, Notes, OnRemove, Outputs,
    Owner, ResourceId, Verb,
};

/// Decides about all wanted resources, those first that others wait for, so that late values are filled in where
/// they are known already.
pub(super) fn decide(input: &Input<'_>, notes: &mut Notes) -> Decisions {
    let mut wanted: BTreeMap<&ResourceId, (usize, &AnyResource)> = BTreeMap::new();
    let mut known = Outputs::new();
    for (index, view) in input.systems.iter().enumerate() {
        wanted.extend(view.desired.iter().map(|want| (&want.id, (index, want))));
        known.extend(view.observed.outputs.clone());
    }
    let mut decisions = Decisions::new();
    for id in in_order(&wanted) {
        let (system, want) = wanted[id];
        let mut want = want.clone();
        want.spec = want.spec.settled(&known);
        let decision = verdict(input, system, want, &known, notes);
        if matches!(decision.verb, Verb::Create | Verb::Replace) {
            // What is about to be made anew yields something else than what was seen.
            known.forget(id);
        }
        decisions.insert(id.clone(), decision);
    }
    decisions
}

/// Ids such that each comes after those whose outputs it uses. A circle is left to the graph, which names it.
fn in_order<'a>(wanted: &BTreeMap<&'a ResourceId, (usize, &'a AnyResource)>) -> Vec<&'a ResourceId> {
    let mut order = Vec::with_capacity(wanted.len());
    let mut entered = std::collections::BTreeSet::new();
    for &start in wanted.keys() {
        // Depth first without recursion: `true` marks the way back, when all that it needs is in place.
        let mut open = vec![(start, false)];
        while let Some((id, needs_done)) = open.pop() {
            if needs_done {
                order.push(id);
                continue;
            }
            if !entered.insert(id) {
                continue;
            }
            open.push((id, true));
            for need in wanted[id].1.spec.pending() {
                if let Some((&key, _)) = wanted.get_key_value(&need) {
                    open.push((key, false));
                }
            }
        }
    }
    order
}

fn verdict(
    input: &Input<'_>,
    system: usize,
    want: AnyResource,
    known: &Outputs,
    notes: &mut Notes,
) -> Decision {
    let view = &input.systems[system];
    let record = input.records.get(&want.id);
    let Some(have) = view.observed.found.get(&want.id) else {
        return missing(input, system, want, notes);
    };
    if let Owner::Foreign(who) = &have.owner {
        notes.push(foreign(&want, who));
        return keep(system, want, have);
    }
    let delta = view.system.diff(&want, have, record, known);
    notes.extend(delta.notes.iter().cloned());
    if let Some(blocked) = &delta.blocked {
        notes.push(blocked.clone().about(&want.id).at(&want.at));
        return keep(system, want, have);
    }
    let ours = have.owner == Owner::Ours || record.is_some();
    match (ours, delta.is_empty()) {
        (true, true) => keep(system, want, have),
        (false, true) => {
            decision(system, Verb::Adopt, want, have, Delta::default(), "is there and as wanted")
        }
        (true, false) => change(system, want, have, delta),
        (false, false) => {
            notes.push(in_the_way(&want, &delta));
            keep(system, want, have)
        }
    }
}

fn missing(input: &Input<'_>, system: usize, want: AnyResource, notes: &mut Notes) -> Decision {
    let view = &input.systems[system];
    let verb = if view.observed.complete {
        Verb::Create
    } else {
        notes.push(
            Note::error(
                "plan.incomplete",
                format!("{} was not seen, but {} could not be read completely", want.id, want.id.system),
            )
            .about(&want.id)
            .hint(
                "nothing is made on the strength of an incomplete look: see the other notes for what failed",
            ),
        );
        Verb::Keep
    };
    let why =
        if input.records.contains_key(&want.id) { "was removed by hand" } else { "new in the manifest" };
    Decision {
        system,
        verb,
        on_remove: want.on_remove,
        want: Some(want),
        have: None,
        fields: Vec::new(),
        why: why.into(),
    }
}

fn change(system: usize, want: AnyResource, have: &AnySeen, delta: Delta) -> Decision {
    let (verb, why) = match delta.replace.clone() {
        Some(why) => (Verb::Replace, why),
        None => (Verb::Update, why(&delta).to_owned()),
    };
    decision(system, verb, want, have, delta, &why)
}

/// The reason that all fields share, or the broader one.
fn why(delta: &Delta) -> &'static str {
    let mut causes = delta.fields.iter().map(|field| field.cause);
    match causes.next() {
        Some(first) if causes.all(|cause| cause == first) => first.text(),
        _ => Cause::Both.text(),
    }
}

fn keep(system: usize, want: AnyResource, have: &AnySeen) -> Decision {
    decision(system, Verb::Keep, want, have, Delta::default(), "")
}

fn decision(
    system: usize,
    verb: Verb,
    want: AnyResource,
    have: &AnySeen,
    delta: Delta,
    why: &str,
) -> Decision {
    let on_remove: OnRemove = want.on_remove;
    Decision {
        system,
        verb,
        want: Some(want),
        have: Some(have.clone()),
        on_remove,
        fields: delta.fields,
        why: why.into(),
    }
}

fn foreign(want: &AnyResource, who: &str) -> Note {
    Note::error("plan.not-ours", format!("{} is there already and is {who}", want.id))
        .about(&want.id)
        .at(&want.at)
        .hint("choose another name; taking over what is somebody else's (`fraktalia adopt`) is not in this version yet")
}

fn in_the_way(want: &AnyResource, delta: &Delta) -> Note {
    let fields: Vec<&str> = delta.fields.iter().map(|field| field.field.as_str()).collect();
    let how = match (&delta.replace, fields.as_slice()) {
        (Some(why), []) => why.clone(),
        _ => fields.join(", "),
    };
    Note::error(
        "plan.in-the-way",
        format!("{} is there already, is not ours, and differs in: {how}", want.id),
    )
    .about(&want.id)
    .at(&want.at)
    .hint(format!(
        "make the manifest say what is there, choose another name, or `fraktalia adopt {}`",
        want.id
    ))
}
