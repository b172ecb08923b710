//! The order of steps: what waits for what, and a readable path where that would go round in a circle.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_model::ResourceId;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::plan::{Edge, Sealed, Step, StepId, Why};
use crate::system::StepDraft;

/// What a change needs before it, as the planner knows it.
#[derive(Debug, Default)]
pub struct Needs {
    /// What it uses of others.
    pub outputs: BTreeSet<ResourceId>,
    /// What it stands on.
    pub requires: BTreeSet<ResourceId>,
    /// What has to go or move away before it goes.
    pub teardown: BTreeSet<ResourceId>,
}

/// Steps in an order in which they could run, with what waits for what.
///
/// # Errors
/// The titles along a circle, when there is one.
pub fn order(
    drafts: Vec<StepDraft<Sealed>>,
    needs: &BTreeMap<ResourceId, Needs>,
) -> Result<(Vec<Step>, Vec<Edge>), Vec<String>> {
    let edges = edges(&drafts, needs);
    let order = topological(&drafts, &edges)?;
    let mut position: Vec<StepId> = vec![0; drafts.len()];
    for (id, &draft) in (1..).zip(&order) {
        position[draft] = id;
    }
    let mut drafts: Vec<Option<StepDraft<Sealed>>> = drafts.into_iter().map(Some).collect();
    let steps =
        (1..).zip(&order).filter_map(|(id, &at)| drafts[at].take().map(|draft| step(id, draft))).collect();
    let mut edges: Vec<Edge> = edges
        .into_iter()
        .map(|((from, to), why)| Edge { from: position[from], to: position[to], why })
        .collect();
    edges.sort();
    Ok((steps, edges))
}

fn step(id: StepId, draft: StepDraft<Sealed>) -> Step {
    let StepDraft { realises, op, impact, title } = draft;
    Step { id, system: op.system.clone(), title, realises, op, impact }
}

/// Which draft waits for which, by index. One reason is kept for each pair: the first and strongest.
fn edges(drafts: &[StepDraft<Sealed>], needs: &BTreeMap<ResourceId, Needs>) -> BTreeMap<(usize, usize), Why> {
    let mut by_resource: BTreeMap<&ResourceId, Vec<usize>> = BTreeMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        for id in &draft.realises {
            by_resource.entry(id).or_default().push(index);
        }
    }
    let mut edges = BTreeMap::new();
    let mut teardown = BTreeMap::new();
    for (&id, steps) in &by_resource {
        for pair in steps.windows(2) {
            edges.entry((pair[0], pair[1])).or_insert_with(|| Why::Sequence(id.clone()));
        }
        let Some(needs) = needs.get(id) else { continue };
        let wait = |edges: &mut BTreeMap<(usize, usize), Why>, other: &ResourceId, why: Why| {
            for &from in by_resource.get(other).into_iter().flatten() {
                for &to in steps.iter().filter(|to| **to != from) {
                    // What stands on a resource needs it to be there, not to be past the point of no return: the
                    // encryption of a room that exists comes after everything that can be taken back.
                    let last = drafts[from].impact.is_irreversible() && !drafts[to].impact.is_irreversible();
                    if !(last && matches!(why, Why::Requires(_))) {
                        edges.entry((from, to)).or_insert_with(|| why.clone());
                    }
                }
            }
        };
        needs.outputs.iter().for_each(|id| wait(&mut edges, id, Why::NeedsOutput(id.clone())));
        needs.requires.iter().for_each(|id| wait(&mut edges, id, Why::Requires(id.clone())));
        needs.teardown.iter().for_each(|id| wait(&mut teardown, id, Why::TearDown(id.clone())));
    }
    // One step can make what a thing moves to and remove what it stood on. Then it can only move afterwards.
    teardown.retain(|(from, to), _| !edges.contains_key(&(*to, *from)));
    for (pair, why) in teardown {
        edges.entry(pair).or_insert(why);
    }
    edges
}

/// Draft indices such that each comes after what it waits for, irreversible ones as late as they can.
///
/// Among those that could run next the first draft is taken, so the result depends on nothing but the input.
fn topological(
    drafts: &[StepDraft<Sealed>],
    edges: &BTreeMap<(usize, usize), Why>,
) -> Result<Vec<usize>, Vec<String>> {
    let mut waiting = vec![0_usize; drafts.len()];
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); drafts.len()];
    for &(from, to) in edges.keys() {
        waiting[to] += 1;
        next[from].push(to);
    }
    let rank = |index: usize| (drafts[index].impact.is_irreversible(), index);
    let mut ready: BTreeSet<(bool, usize)> =
        (0..drafts.len()).filter(|&index| waiting[index] == 0).map(rank).collect();
    let mut order = Vec::with_capacity(drafts.len());
    while let Some((_, index)) = ready.pop_first() {
        order.push(index);
        for &other in &next[index] {
            waiting[other] -= 1;
            if waiting[other] == 0 {
                ready.insert(rank(other));
            }
        }
    }
    if order.len() == drafts.len() { Ok(order) } else { Err(circle(drafts, edges)) }
}

/// The titles along one circle, the first one again at the end.
fn circle(drafts: &[StepDraft<Sealed>], edges: &BTreeMap<(usize, usize), Why>) -> Vec<String> {
    let mut graph = DiGraph::<usize, ()>::new();
    let nodes: Vec<NodeIndex> = (0..drafts.len()).map(|index| graph.add_node(index)).collect();
    for &(from, to) in edges.keys() {
        graph.add_edge(nodes[from], nodes[to], ());
    }
    let Some(component) = tarjan_scc(&graph).into_iter().find(|component| component.len() > 1) else {
        return Vec::new();
    };
    let inside: BTreeSet<NodeIndex> = component.iter().copied().collect();
    let mut path = vec![component[0]];
    while let Some(&at) = path.last() {
        let Some(onward) = graph.neighbors(at).find(|node| inside.contains(node)) else {
            break;
        };
        let closed = path.iter().position(|&node| node == onward);
        path.push(onward);
        if let Some(start) = closed {
            path.drain(..start);
            break;
        }
    }
    path.into_iter().map(|node| drafts[graph[node]].title.clone()).collect()
}

/// Step ids in waves: each wave could run at once when the ones before it are done. Steps that cannot be taken
/// back come after all others.
pub fn waves(steps: &[Step], edges: &[Edge]) -> Vec<Vec<StepId>> {
    let mut depth: BTreeMap<StepId, usize> = BTreeMap::new();
    let mut before: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
    for edge in edges {
        before.entry(edge.to).or_default().push(edge.from);
    }
    let mut deepest = 0;
    // Steps stand in an order in which they could run, irreversible ones last: one pass is enough.
    for irreversible in [false, true] {
        let floor = if irreversible && !depth.is_empty() { deepest + 1 } else { 0 };
        for step in steps.iter().filter(|step| step.impact.is_irreversible() == irreversible) {
            let above = before.get(&step.id).into_iter().flatten().filter_map(|id| depth.get(id)).max();
            let at = above.map_or(0, |above| above + 1).max(floor);
            depth.insert(step.id, at);
            deepest = deepest.max(at);
        }
    }
    let mut waves = vec![Vec::new(); if depth.is_empty() { 0 } else { deepest + 1 }];
    for (id, at) in depth {
        waves[at].push(id);
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Impact;
    use fraktalia_model::SystemId;

    fn draft(id: &str, impact: Impact) -> StepDraft<Sealed> {
        let op = Sealed { system: SystemId::matrix(), format: 1, body: serde_json::Value::Null };
        StepDraft { realises: vec![id.parse().unwrap()], op, impact, title: id.to_owned() }
    }

    #[test]
    fn what_stands_on_a_resource_does_not_wait_for_its_irreversible_step() {
        let (room, member) = ("matrix/room/lab", "matrix/member/lab.ana");
        let drafts = vec![
            draft(room, Impact::Quiet),
            draft(room, Impact::Irreversible("encrypted for ever".into())),
            draft(member, Impact::Quiet),
        ];
        let needs = Needs { requires: BTreeSet::from([room.parse().unwrap()]), ..Needs::default() };
        let (steps, edges) = order(drafts, &BTreeMap::from([(member.parse().unwrap(), needs)])).unwrap();
        assert!(steps[2].impact.is_irreversible(), "it comes last");
        let pairs: Vec<_> = edges.iter().map(|edge| (edge.from, edge.to)).collect();
        assert_eq!(pairs, [(1, 2), (1, 3)]);
    }
}
