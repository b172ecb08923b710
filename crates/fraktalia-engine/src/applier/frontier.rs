//! Which steps could start now, forwards or backwards, with a limit for each system.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fraktalia_model::SystemId;
use fraktalia_plan::{Edge, Step, StepId};

/// Which way a graph is walked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From what is needed to what needs it.
    Forward,
    /// From what needs to what is needed.
    Backward,
}

/// The edge between steps that are done and steps that are not.
pub(super) struct Frontier {
    system: BTreeMap<StepId, SystemId>,
    waiting: BTreeMap<StepId, usize>,
    onward: BTreeMap<StepId, Vec<StepId>>,
    ready: BTreeMap<SystemId, VecDeque<StepId>>,
    free: BTreeMap<SystemId, usize>,
    open: BTreeSet<StepId>,
    /// Steps held back until nothing else is open: forwards those that cannot be taken back.
    last: BTreeSet<StepId>,
}

impl Frontier {
    pub fn new(
        steps: &[Step],
        edges: &[Edge],
        direction: Direction,
        limit: impl Fn(&SystemId) -> usize,
    ) -> Self {
        let mut frontier = Self {
            system: steps.iter().map(|step| (step.id, step.system.clone())).collect(),
            waiting: steps.iter().map(|step| (step.id, 0)).collect(),
            onward: BTreeMap::new(),
            ready: BTreeMap::new(),
            free: steps.iter().map(|step| (step.system.clone(), limit(&step.system).max(1))).collect(),
            open: steps.iter().map(|step| step.id).collect(),
            last: steps
                .iter()
                .filter(|step| direction == Direction::Forward && step.impact.is_irreversible())
                .map(|step| step.id)
                .collect(),
        };
        for edge in edges {
            let (first, then) = match direction {
                Direction::Forward => (edge.from, edge.to),
                Direction::Backward => (edge.to, edge.from),
            };
            frontier.onward.entry(first).or_default().push(then);
            *frontier.waiting.entry(then).or_default() += 1;
        }
        let sources: Vec<StepId> =
            frontier.waiting.iter().filter(|(_, waits)| **waits == 0).map(|(id, _)| *id).collect();
        for id in sources {
            frontier.enqueue(id);
        }
        frontier
    }

    fn enqueue(&mut self, id: StepId) {
        let system = self.system[&id].clone();
        self.ready.entry(system).or_default().push_back(id);
    }

    /// The next step that may start now, if there is one. It counts as running until [`Self::done`].
    pub fn next(&mut self) -> Option<StepId> {
        let held_back = self.open.len() > self.last.len();
        for (system, queue) in &mut self.ready {
            let free = self.free.get_mut(system)?;
            if *free == 0 {
                continue;
            }
            let startable = queue.iter().position(|id| !(held_back && self.last.contains(id)));
            if let Some(id) = startable.and_then(|at| queue.remove(at)) {
                *free -= 1;
                return Some(id);
            }
        }
        None
    }

    /// A step that was started has ended well: what waits for it may start.
    pub fn done(&mut self, id: StepId) {
        if let Some(free) = self.free.get_mut(&self.system[&id]) {
            *free += 1;
        }
        self.pass(id);
    }

    /// A step that needs not run: what waits for it may start.
    pub fn skip(&mut self, id: StepId) {
        if let Some(queue) = self.ready.get_mut(&self.system[&id]) {
            queue.retain(|other| *other != id);
        }
        self.pass(id);
    }

    fn pass(&mut self, id: StepId) {
        self.open.remove(&id);
        self.last.remove(&id);
        for other in self.onward.remove(&id).unwrap_or_default() {
            let waits = self.waiting.entry(other).or_default();
            *waits = waits.saturating_sub(1);
            if *waits == 0 && self.open.contains(&other) {
                self.enqueue(other);
            }
        }
    }

    /// Whether every step was passed.
    pub fn is_done(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fraktalia_model::id;
    use fraktalia_plan::{Impact, Sealed, Why};

    fn step(id: StepId, irreversible: bool) -> Step {
        let system = SystemId::matrix();
        let op = Sealed { system: system.clone(), format: 1, body: serde_json::Value::Null };
        let impact = if irreversible { Impact::Irreversible(String::new()) } else { Impact::Quiet };
        Step { id, system, title: String::new(), realises: vec![], op, impact }
    }

    fn edge(from: StepId, to: StepId) -> Edge {
        Edge { from, to, why: Why::Requires(id::room("x")) }
    }

    fn drain(frontier: &mut Frontier) -> Vec<StepId> {
        std::iter::from_fn(|| frontier.next()).collect()
    }

    #[test]
    fn no_more_steps_run_at_once_than_the_system_allows() {
        let steps: Vec<Step> = (1..=5).map(|id| step(id, false)).collect();
        let mut frontier = Frontier::new(&steps, &[], Direction::Forward, |_| 2);
        assert_eq!(drain(&mut frontier), [1, 2]);
        frontier.done(1);
        assert_eq!(drain(&mut frontier), [3]);
    }

    #[test]
    fn what_cannot_be_taken_back_waits_for_everything_else() {
        let steps = [step(1, true), step(2, false), step(3, false)];
        let mut frontier = Frontier::new(&steps, &[edge(2, 3)], Direction::Forward, |_| 8);
        assert_eq!(drain(&mut frontier), [2]);
        frontier.done(2);
        assert_eq!(drain(&mut frontier), [3]);
        frontier.done(3);
        assert_eq!(drain(&mut frontier), [1]);
    }

    #[test]
    fn backwards_what_needs_goes_before_what_is_needed() {
        let steps = [step(1, false), step(2, false), step(3, false)];
        let mut frontier = Frontier::new(&steps, &[edge(1, 2), edge(2, 3)], Direction::Backward, |_| 8);
        frontier.skip(3);
        assert_eq!(drain(&mut frontier), [2]);
        frontier.done(2);
        assert_eq!(drain(&mut frontier), [1]);
        frontier.done(1);
        assert!(frontier.is_done());
    }
}
