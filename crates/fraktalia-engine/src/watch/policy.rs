//! What may be done while nobody watches.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_model::ResourceId;
use fraktalia_plan::{Impact, Plan, Step, StepId, Verb};
use serde::Serialize;

/// How far it goes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// It says what it sees.
    #[default]
    Report,
    /// It does what nobody notices and what removes nothing.
    Safe,
    /// It does all that can be taken back.
    Full,
}

impl Policy {
    /// Whether it does anything at all.
    pub fn acts(self) -> bool {
        self != Self::Report
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Safe => "safe",
            Self::Full => "full",
        }
    }

    /// Why a step is left to a person; `None` when it is not.
    fn objection(self, step: &Step, removed: &BTreeSet<&ResourceId>) -> Option<String> {
        match (&step.impact, self) {
            (_, Self::Report) => Some("the policy is report".into()),
            (Impact::Irreversible(what), _) => Some(format!("cannot be taken back: {what}")),
            (Impact::Disruptive(what), Self::Safe) => Some(format!("somebody would notice: {what}")),
            (Impact::Quiet, Self::Safe) if step.realises.iter().any(|id| removed.contains(id)) => {
                Some("it removes something".into())
            }
            (Impact::Quiet | Impact::Disruptive(_), _) => None,
        }
    }
}

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// What would be done.
    pub title: String,
    /// Why it is not.
    pub why: String,
}

/// What of a plan may be done, and what may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// The changed resources of which every step may be done.
    pub allowed: BTreeSet<ResourceId>,
    /// The steps that may not, in the order of the plan.
    pub waiting: Vec<Waiting>,
}

/// Judges each step. A step waits also when what it needs does, and when another step of the same resource does: half a
/// change is none that a plan has shown.
pub fn judge(policy: Policy, plan: &Plan) -> Judged {
    judge_open(policy, plan, &plan.steps.iter().map(|step| step.id).collect())
}

/// The same, for the steps that are still open.
pub fn judge_open(policy: Policy, plan: &Plan, open: &BTreeSet<StepId>) -> Judged {
    let removes = |verb| matches!(verb, Verb::Delete | Verb::Replace);
    let removed =
        plan.changes.iter().filter(|change| removes(change.verb)).map(|change| &change.id).collect();
    let steps = || plan.steps.iter().filter(|step| open.contains(&step.id));
    let mut held: BTreeMap<StepId, String> =
        steps().filter_map(|step| Some((step.id, policy.objection(step, &removed)?))).collect();
    loop {
        let before = held.len();
        for edge in &plan.edges {
            if held.contains_key(&edge.from) && open.contains(&edge.to) {
                let first = plan.step(edge.from).map_or("another step", |step| &step.title);
                held.entry(edge.to).or_insert_with(|| format!("it comes after: {first}"));
            }
        }
        let resources: BTreeSet<&ResourceId> =
            steps().filter(|step| held.contains_key(&step.id)).flat_map(|step| &step.realises).collect();
        for step in steps() {
            if let Some(shared) = step.realises.iter().find(|id| resources.contains(id)) {
                held.entry(step.id).or_insert_with(|| format!("the rest of {shared} waits"));
            }
        }
        if held.len() == before {
            break;
        }
    }
    let waits: BTreeSet<&ResourceId> =
        steps().filter(|step| held.contains_key(&step.id)).flat_map(|step| &step.realises).collect();
    let allowed = plan.changes.iter().map(|change| &change.id).filter(|id| !waits.contains(id)).cloned();
    let waiting = steps()
        .filter_map(|step| Some(Waiting { title: step.title.clone(), why: held.get(&step.id)?.clone() }));
    Judged { allowed: allowed.collect(), waiting: waiting.collect() }
}

#[cfg(test)]
mod tests {
    use fraktalia_model::SystemId;
    use fraktalia_plan::{Basis, Change, Edge, Sealed, Why};

    use super::*;

    fn id(name: &str) -> ResourceId {
        ResourceId::new(SystemId::named("shelf"), "box", name)
    }

    /// A plan of one step for each name; an edge from each to the next where `after` says so.
    fn plan(steps: &[(&str, Verb, Impact)], after: &[(u32, u32)]) -> Plan {
        let system = SystemId::named("shelf");
        let op = Sealed { system: system.clone(), format: 1, body: serde_json::Value::Null };
        Plan {
            realm: "test".into(),
            basis: Basis { format: 1, manifest: String::new(), touched: BTreeMap::new() },
            changes: steps
                .iter()
                .map(|(name, verb, _)| Change {
                    id: id(name),
                    subject: (*name).into(),
                    verb: *verb,
                    title: (*name).into(),
                    summary: String::new(),
                    fields: Vec::new(),
                    why: String::new(),
                })
                .collect(),
            steps: (1..)
                .zip(steps)
                .map(|(number, (name, _, impact))| Step {
                    id: number,
                    system: system.clone(),
                    title: format!("do {name}"),
                    realises: vec![id(name)],
                    op: op.clone(),
                    impact: impact.clone(),
                })
                .collect(),
            edges: after.iter().map(|&(from, to)| Edge { from, to, why: Why::Requires(id("x")) }).collect(),
            notes: Vec::new(),
            records: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            strangers: BTreeMap::new(),
        }
    }

    fn names(judged: &Judged) -> Vec<&str> {
        judged.allowed.iter().map(|id| id.name.as_str()).collect()
    }

    fn mixed() -> Plan {
        let noisy = Impact::Disruptive("the channel restarts".into());
        let last = Impact::Irreversible("messages are gone".into());
        plan(
            &[
                ("a-quiet", Verb::Create, Impact::Quiet),
                ("b-noisy", Verb::Update, noisy),
                ("c-gone", Verb::Delete, Impact::Quiet),
                ("d-purged", Verb::Delete, last),
                ("e-after-noisy", Verb::Create, Impact::Quiet),
                ("f-after-purged", Verb::Create, Impact::Quiet),
            ],
            &[(2, 5), (4, 6)],
        )
    }

    #[test]
    fn report_does_nothing() {
        let judged = judge(Policy::Report, &mixed());
        assert_eq!((judged.allowed.len(), judged.waiting.len()), (0, 6));
    }

    #[test]
    fn safe_does_what_is_quiet_removes_nothing_and_needs_nothing_that_waits() {
        let judged = judge(Policy::Safe, &mixed());
        assert_eq!(names(&judged), ["a-quiet"]);
        let why: Vec<&str> = judged.waiting.iter().map(|waiting| waiting.why.as_str()).collect();
        assert_eq!(
            why,
            [
                "somebody would notice: the channel restarts",
                "it removes something",
                "cannot be taken back: messages are gone",
                "it comes after: do b-noisy",
                "it comes after: do d-purged",
            ]
        );
    }

    #[test]
    fn full_does_all_but_what_cannot_be_taken_back_and_what_comes_after_it() {
        let judged = judge(Policy::Full, &mixed());
        assert_eq!(names(&judged), ["a-quiet", "b-noisy", "c-gone", "e-after-noisy"]);
        assert_eq!(judged.waiting.len(), 2);
    }

    #[test]
    fn half_a_change_is_not_done() {
        let mut two = plan(&[("a", Verb::Update, Impact::Quiet), ("b", Verb::Update, Impact::Quiet)], &[]);
        two.steps[1].realises = vec![id("a"), id("b")];
        two.steps[1].impact = Impact::Disruptive("a restart".into());
        let judged = judge(Policy::Safe, &two);
        assert_eq!(names(&judged), Vec::<&str>::new());
        assert_eq!(judged.waiting[0].why, "the rest of shelf/box/a waits");
    }

    #[test]
    fn of_a_run_only_the_open_steps_count() {
        let open = BTreeSet::from([1, 3]);
        assert_eq!(judge_open(Policy::Full, &mixed(), &open).waiting, []);
        assert_eq!(judge_open(Policy::Safe, &mixed(), &BTreeSet::from([1])).waiting, []);
    }
}
