//! What happens to each resource that the manifest asks for.

use super::{
    AnyLast, AnyResource, BTreeMap, Cause, Decision, Decisions, Delta, Input, Note, Notes, Outputs, Owner,
    ResourceId, Verb, Want,
};

/// Decides about all wanted resources, those first that others wait for, so that late values are filled in where
/// they are known already.
pub(super) fn decide<'a>(input: &Input<'a>, notes: &mut Notes) -> Decisions<'a> {
    let mut wanted = Wanted::new();
    let mut known = Outputs::new();
    for (index, view) in input.systems.iter().enumerate() {
        wanted.extend(view.desired.iter().map(|want| (want.id(), (index, want))));
        known.extend(view.observed.outputs.clone());
    }
    let mut decisions = Decisions::new();
    let mut unseen = Unseen::new();
    for id in in_order(&wanted) {
        let (system, want) = wanted[id];
        let pending = !want.pending().is_empty();
        let want = if pending { Want::Settled(want.settled(&known)) } else { Want::Lowered(want) };
        let seen = &input.systems[system];
        let record = input.records.get(id);
        let last = record.and_then(|record| seen.system.recall(record));
        let remembered = seen.system.remember(want.get(), record.zip(last.as_ref()));
        let mut decision = verdict(input, system, want, last.as_ref(), &known, notes, &mut unseen);
        decision.record = remembered;
        if matches!(decision.verb, Verb::Create | Verb::Replace) {
            // What is about to be made anew yields something else than what was seen.
            known.forget(id);
        }
        decisions.insert(id, decision);
    }
    notes.extend(unseen.into_values().filter_map(|ids| incomplete(&ids)));
    decisions
}

/// By system, what was not seen though it may be there.
type Unseen = BTreeMap<usize, Vec<ResourceId>>;

/// The system and the wish of each wanted resource.
type Wanted<'a> = BTreeMap<&'a ResourceId, (usize, &'a dyn AnyResource)>;

/// Ids such that each comes after those whose outputs it uses. A circle is left to the graph, which names it.
fn in_order<'a>(wanted: &Wanted<'a>) -> Vec<&'a ResourceId> {
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
            for need in wanted[id].1.pending() {
                if let Some((&key, _)) = wanted.get_key_value(&need) {
                    open.push((key, false));
                }
            }
        }
    }
    order
}

fn verdict<'a>(
    input: &Input<'a>,
    system: usize,
    want: Want<'a>,
    recalled: Option<&AnyLast>,
    known: &Outputs,
    notes: &mut Notes,
    unseen: &mut Unseen,
) -> Decision<'a> {
    let view = &input.systems[system];
    let id = want.get().id();
    let last = input.records.get(id);
    let Some(have) = view.observed.found.get(id) else {
        return missing(input, system, want, unseen);
    };
    let decided = |want: Want<'a>, verb, delta: Delta, why: &str| Decision {
        system,
        verb,
        on_remove: want.get().on_remove(),
        want: Some(want),
        have: Some(have),
        last,
        record: None,
        fields: delta.fields,
        why: why.into(),
    };
    let keep = |want| decided(want, Verb::Keep, Delta::default(), "");
    if let Owner::Foreign(who) = &have.owner {
        notes.push(foreign(want.get(), who));
        return keep(want);
    }
    let mut delta = view.system.diff(want.get(), have, recalled, known);
    notes.append(&mut delta.notes);
    if let Some(blocked) = delta.blocked.take() {
        notes.push(blocked.about(want.get().id()).at(want.get().at()));
        return keep(want);
    }
    let ours = have.owner == Owner::Ours || last.is_some() || (input.options.as_ours && !delta.is_empty());
    match (ours, delta.is_empty()) {
        (true, true) => keep(want),
        (false, true) => decided(want, Verb::Adopt, Delta::default(), "is there and as wanted"),
        (true, false) => match delta.replace.take() {
            Some(why) => decided(want, Verb::Replace, delta, &why),
            None => {
                let why = why(&delta);
                decided(want, Verb::Update, delta, why)
            }
        },
        (false, false) => {
            notes.push(in_the_way(want.get(), &delta));
            keep(want)
        }
    }
}

fn missing<'a>(input: &Input<'a>, system: usize, want: Want<'a>, unseen: &mut Unseen) -> Decision<'a> {
    let id = want.get().id();
    let verb = if input.systems[system].observed.complete {
        Verb::Create
    } else {
        unseen.entry(system).or_default().push(id.clone());
        Verb::Keep
    };
    let last = input.records.get(id);
    let why = if last.is_some() { "was removed by hand" } else { "new in the manifest" };
    Decision {
        system,
        verb,
        on_remove: want.get().on_remove(),
        want: Some(want),
        have: None,
        last,
        record: None,
        fields: Vec::new(),
        why: why.into(),
    }
}

fn incomplete(unseen: &[ResourceId]) -> Option<Note> {
    let (first, more) = unseen.split_first()?;
    let system = &first.system;
    let text = match more {
        [] => format!("{first} was not seen, but {system} could not be read completely"),
        _ => format!(
            "{} resources were not seen, but {system} could not be read completely: {first} and {} more",
            unseen.len(),
            more.len()
        ),
    };
    let hint = "nothing is made on the strength of an incomplete look: see the other notes for what failed";
    Some(Note::error("plan.incomplete", text).about(first).hint(hint))
}

/// The reason that all fields share, or the broader one.
fn why(delta: &Delta) -> &'static str {
    let mut causes = delta.fields.iter().map(|field| field.cause);
    match causes.next() {
        Some(first) if causes.all(|cause| cause == first) => first.text(),
        _ => Cause::Both.text(),
    }
}

fn foreign(want: &dyn AnyResource, who: &str) -> Note {
    Note::error("plan.not-ours", format!("{} is there already and is {who}", want.id()))
        .about(want.id())
        .at(want.at())
        .hint(if want.id().kind == "room" {
            format!("choose another name, or take it over as it is: `fraktalia adopt {}`", want.id())
        } else {
            "choose another name, or remove what is there by hand".into()
        })
}

fn in_the_way(want: &dyn AnyResource, delta: &Delta) -> Note {
    let fields: Vec<&str> = delta.fields.iter().map(|field| field.field.as_str()).collect();
    let how = match (&delta.replace, fields.as_slice()) {
        (Some(why), []) => why.clone(),
        _ => fields.join(", "),
    };
    Note::error(
        "plan.in-the-way",
        format!("{} is there already, is not ours, and differs in: {how}", want.id()),
    )
    .about(want.id())
    .at(want.at())
    .hint(format!(
        "`fraktalia adopt {}` makes the manifest say what is there; or choose another name",
        want.id()
    ))
}
