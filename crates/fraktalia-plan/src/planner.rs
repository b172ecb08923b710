//! Desired + observed + recorded in, plan out.
//!
//! Three passes: [`verdict`] says what happens to each resource, [`removal`] what happens to what left the manifest,
//! and the drafts of the systems are put in order by [`crate::graph`].

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_model::manifest::OnRemove;
use fraktalia_model::{Manifest, Note, Notes, Outputs, ResourceId, SystemId};

use crate::change::{Cause, Change, Delta, FieldChange, Verb};
use crate::erase::{AnyDesired, AnyLast, AnyObserved, AnyResource, AnySeen, AnyWork, DynSystem};
use crate::graph::{self, Needs};
use crate::plan::{Basis, FORMAT, Plan};
use crate::record::{Record, Records};
use crate::system::{Described, Owner};

mod narrow;
mod removal;
mod verdict;

/// One system, what is asked of it and what was seen of it.
pub struct View<'a> {
    /// The system.
    pub system: &'a dyn DynSystem,
    /// What the manifest asks for.
    pub desired: &'a AnyDesired,
    /// What lives.
    pub observed: &'a AnyObserved,
}

/// What the person who plans asked for besides the manifest.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only these resources, by id or by subject, with what they need; all when empty.
    pub targets: BTreeSet<String>,
    /// All but these resources, by id or by subject, and what cannot be done without them.
    pub excludes: BTreeSet<String>,
    /// Whether more may be removed than the policy allows.
    pub allow_removals: bool,
    /// Whether what is in the way counts as ours, so that the plan says what differs. Never to be applied.
    pub as_ours: bool,
}

/// All that a plan depends on.
pub struct Input<'a> {
    /// The manifest that the systems lowered.
    pub manifest: &'a Manifest,
    /// The systems.
    pub systems: Vec<View<'a>>,
    /// What is ours.
    pub records: &'a Records,
    /// Flags.
    pub options: &'a Options,
}

/// A wanted resource: as it was lowered, or with late values filled in.
enum Want<'a> {
    Lowered(&'a dyn AnyResource),
    Settled(Box<dyn AnyResource>),
}

impl Want<'_> {
    fn get(&self) -> &dyn AnyResource {
        match self {
            Self::Lowered(want) => *want,
            Self::Settled(want) => want.as_ref(),
        }
    }
}

/// What was decided about one resource.
struct Decision<'a> {
    system: usize,
    verb: Verb,
    want: Option<Want<'a>>,
    have: Option<&'a AnySeen>,
    /// What our record says of it.
    last: Option<&'a Record>,
    /// What it is to say, where that is something else.
    record: Option<Record>,
    on_remove: OnRemove,
    fields: Vec<FieldChange>,
    why: String,
}

impl Decision<'_> {
    fn want(&self) -> Option<&dyn AnyResource> {
        self.want.as_ref().map(Want::get)
    }

    fn subject<'s>(&'s self, id: &'s ResourceId) -> &'s str {
        match (self.want(), self.last) {
            (Some(want), _) => want.subject(),
            (None, Some(record)) => &record.subject,
            (None, None) => id.name.split('/').next().unwrap_or(&id.name),
        }
    }
}

type Decisions<'a> = BTreeMap<&'a ResourceId, Decision<'a>>;

/// Turns what is wanted and what is into what is to be done.
pub fn plan(input: &Input<'_>) -> Plan {
    let mut notes = Notes::new();
    for view in &input.systems {
        notes.extend(view.observed.notes.iter().cloned());
        notes.extend(view.system.lint(view.desired));
    }
    let mut decisions = verdict::decide(input, &mut notes);
    removal::decide(input, &mut decisions, &mut notes);
    narrow::to_targets(input, &mut decisions, &mut notes);
    let left_out = narrow::without_excluded(input, &mut decisions, &mut notes);
    removal::limit(input, &decisions, &mut notes);

    let drafts = input.systems.iter().enumerate().flat_map(|(index, view)| {
        let work: Vec<AnyWork<'_>> = changing(&decisions)
            .filter(|(_, decision)| decision.system == index)
            .map(|(id, decision)| work(id, decision))
            .collect();
        if work.is_empty() { Vec::new() } else { view.system.steps(&work) }
    });
    let (steps, edges) = graph::order(drafts.collect(), &needs(&decisions)).unwrap_or_else(|circle| {
        notes.push(circle_note(&circle));
        (Vec::new(), Vec::new())
    });
    notes.sort_by_key(|note| std::cmp::Reverse(note.severity));
    notes.dedup();
    Plan {
        realm: input.manifest.realm.clone(),
        basis: basis(input, &decisions, &left_out),
        changes: changes(input, &decisions),
        steps,
        edges,
        notes,
        forgotten: forgotten(input, &decisions),
        records: decisions.into_iter().filter_map(|(id, one)| Some((id.clone(), one.record?))).collect(),
        strangers: strangers(&input.systems),
    }
}

/// All that does not stay as it is.
fn changing<'d, 'a>(
    decisions: &'d Decisions<'a>,
) -> impl Iterator<Item = (&'a ResourceId, &'d Decision<'a>)> {
    decisions.iter().filter(|(_, decision)| decision.verb != Verb::Keep).map(|(id, decision)| (*id, decision))
}

fn work<'d>(id: &'d ResourceId, decision: &'d Decision<'_>) -> AnyWork<'d> {
    AnyWork {
        id,
        verb: decision.verb,
        want: decision.want(),
        have: decision.have,
        last: decision.last,
        fields: &decision.fields,
        on_remove: decision.on_remove,
    }
}

/// What each changed resource waits for.
fn needs(decisions: &Decisions<'_>) -> BTreeMap<ResourceId, Needs> {
    let mut needs: BTreeMap<ResourceId, Needs> = BTreeMap::new();
    for (id, decision) in changing(decisions) {
        if let Some(want) = decision.want() {
            let entry = needs.entry(id.clone()).or_default();
            entry.outputs.extend(want.pending());
            entry.requires.extend(want.requires().iter().cloned());
        }
        // What stood on something that goes now has to go, or to move away, first.
        for needed in decision.last.into_iter().flat_map(|record| &record.requires) {
            if decisions.get(needed).is_some_and(|other| other.verb == Verb::Delete) {
                needs.entry(needed.clone()).or_default().teardown.insert(id.clone());
            }
        }
    }
    needs
}

fn circle_note(circle: &[String]) -> Note {
    Note::error("plan.circle", format!("these steps wait for each other: {}", circle.join(" -> ")))
        .hint("apply one part of the change first, with --target")
}

/// What is excluded is none of the plan's business, even where something of the plan stands on it.
fn basis(input: &Input<'_>, decisions: &Decisions<'_>, left_out: &BTreeSet<ResourceId>) -> Basis {
    let mut touched = BTreeMap::new();
    let mut touch = |id: &ResourceId, seen: Option<&AnySeen>| {
        touched.insert(id.clone(), seen.map(|seen| seen.fingerprint.clone()));
    };
    for (id, decision) in changing(decisions) {
        touch(id, decision.have);
        let needs = decision.want().into_iter().flat_map(AnyResource::requires);
        for needed in needs.filter(|id| !left_out.contains(*id)) {
            touch(needed, input.systems.iter().find_map(|view| view.observed.found.get(needed)));
        }
    }
    Basis { format: FORMAT, manifest: input.manifest.fingerprint.clone(), touched }
}

fn changes(input: &Input<'_>, decisions: &Decisions<'_>) -> Vec<Change> {
    let mut changes: Vec<Change> = changing(decisions)
        .map(|(id, decision)| {
            let system = input.systems[decision.system].system;
            let shown = match (decision.want(), decision.have) {
                (Some(want), _) => system.describe(want),
                (None, Some(have)) => system.describe_seen(id, have),
                (None, None) => Described::default(),
            };
            Change {
                id: id.clone(),
                subject: decision.subject(id).into(),
                verb: decision.verb,
                title: shown.title,
                summary: shown.summary,
                fields: decision.fields.clone(),
                why: decision.why.clone(),
            }
        })
        .collect();
    changes.sort_by(|a, b| (&a.subject, &a.id).cmp(&(&b.subject, &b.id)));
    changes
}

/// What our record no longer needs to name: it left the manifest, and is gone.
fn forgotten(input: &Input<'_>, decisions: &Decisions<'_>) -> BTreeSet<ResourceId> {
    // What is left out has no decision, and is not gone for that.
    if !input.options.targets.is_empty() || !input.options.excludes.is_empty() {
        return BTreeSet::new();
    }
    let seen_whole: BTreeMap<SystemId, &AnyObserved> = input
        .systems
        .iter()
        .filter(|view| view.observed.complete)
        .map(|view| (view.system.id(), view.observed))
        .collect();
    let gone = |id: &ResourceId| seen_whole.get(&id.system).is_some_and(|seen| !seen.found.contains_key(id));
    input.records.keys().filter(|id| !decisions.contains_key(id) && gone(id)).cloned().collect()
}

fn strangers(systems: &[View<'_>]) -> BTreeMap<String, usize> {
    let mut strangers = BTreeMap::new();
    for (kind, count) in systems.iter().flat_map(|view| &view.observed.strangers) {
        *strangers.entry(kind.clone()).or_default() += count;
    }
    strangers
}
