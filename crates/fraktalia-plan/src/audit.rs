//! Checks a finished plan against what must hold of every plan.
//!
//! It runs after each planning, in production as well: what it finds is a fault of fraktalia and not of the person
//! who planned.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_model::ResourceId;

use crate::change::Verb;
use crate::plan::{Plan, StepId};

/// What is wrong with a plan, one sentence each; empty for a sound plan.
pub fn audit(plan: &Plan) -> Vec<String> {
    let mut findings = Vec::new();
    numbering(plan, &mut findings);
    edges(plan, &mut findings);
    irreversible_last(plan, &mut findings);
    coverage(plan, &mut findings);
    if !plan.is_blocked() {
        // What stands on something that is in the way cannot be ordered, and is not going to run.
        unserved(plan, &mut findings);
        late_values(plan, &mut findings);
    }
    findings
}

fn numbering(plan: &Plan, findings: &mut Vec<String>) {
    for (expected, step) in (1..).zip(&plan.steps) {
        if step.id != expected {
            findings.push(format!("step {} stands at position {expected}", step.id));
        }
        if step.op.system != step.system {
            findings.push(format!(
                "step {} runs on {} but was sealed by {}",
                step.id, step.system, step.op.system
            ));
        }
    }
}

/// Every edge leads forward: then the steps as they stand are an order, and there is no circle.
fn edges(plan: &Plan, findings: &mut Vec<String>) {
    for edge in &plan.edges {
        if edge.from >= edge.to || plan.step(edge.from).is_none() || plan.step(edge.to).is_none() {
            findings.push(format!("the edge {} -> {} does not lead forward", edge.from, edge.to));
        }
    }
}

fn irreversible_last(plan: &Plan, findings: &mut Vec<String>) {
    for edge in &plan.edges {
        let irreversible = |id: StepId| plan.step(id).is_some_and(|step| step.impact.is_irreversible());
        if irreversible(edge.from) && !irreversible(edge.to) {
            findings
                .push(format!("step {} waits for step {}, which cannot be taken back", edge.to, edge.from));
        }
    }
}

/// Every step serves a change.
fn coverage(plan: &Plan, findings: &mut Vec<String>) {
    let changed: BTreeSet<&ResourceId> = plan.changes.iter().map(|change| &change.id).collect();
    let realised: BTreeSet<&ResourceId> = plan.steps.iter().flat_map(|step| &step.realises).collect();
    for id in realised {
        if !changed.contains(id) {
            findings.push(format!("a step acts on {id}, which no change names"));
        }
    }
}

/// Every change that needs an effect has a step.
fn unserved(plan: &Plan, findings: &mut Vec<String>) {
    let realised: BTreeSet<&ResourceId> = plan.steps.iter().flat_map(|step| &step.realises).collect();
    for change in &plan.changes {
        let needs_step = matches!(change.verb, Verb::Create | Verb::Update | Verb::Replace | Verb::Delete);
        if needs_step && !realised.contains(&change.id) {
            findings.push(format!("{} is to change, but no step does it", change.id));
        }
    }
}

/// What a step uses of another resource was seen, or comes from a step it waits for.
fn late_values(plan: &Plan, findings: &mut Vec<String>) {
    let mut makers: BTreeMap<&ResourceId, BTreeSet<StepId>> = BTreeMap::new();
    for step in &plan.steps {
        for id in &step.realises {
            makers.entry(id).or_default().insert(step.id);
        }
    }
    let before: BTreeSet<(StepId, StepId)> = plan.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    for step in &plan.steps {
        let mut waits_for = BTreeSet::new();
        collect_after(&step.op.body, &mut waits_for);
        for id in waits_for {
            let made = makers.get(&id).is_some_and(|makers| {
                makers.iter().any(|&maker| maker == step.id || before.contains(&(maker, step.id)))
            });
            if !made {
                findings.push(format!("step {} uses what {id} yields, but does not wait for it", step.id));
            }
        }
    }
}

/// The references of late values, as [`fraktalia_model::Value`] writes them: `{"after": "matrix/room/lab"}`.
fn collect_after(body: &serde_json::Value, into: &mut BTreeSet<ResourceId>) {
    match body {
        serde_json::Value::Object(map) => {
            if let (1, Some(serde_json::Value::String(text))) = (map.len(), map.get("after")) {
                into.extend(text.parse::<ResourceId>());
            }
            map.values().for_each(|value| collect_after(value, into));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|value| collect_after(value, into)),
        _ => {}
    }
}
