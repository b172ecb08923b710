//! What a picture of a plan shows: boxes and arrows, without those that say nothing new.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_plan::{Impact, Plan, Step, StepId};

/// As many steps of one kind make one box.
const STACK: usize = 3;

/// A box: one step, or several that do the same to different things at the same time.
#[derive(Debug)]
pub struct Node {
    pub steps: Vec<StepId>,
    pub titles: Vec<String>,
    pub title: String,
    pub system: String,
    pub impact: Impact,
}

impl Node {
    /// Unique in its picture.
    pub fn id(&self) -> StepId {
        self.steps.first().copied().unwrap_or_default()
    }

    /// Its title, with how many there are.
    pub fn label(&self) -> String {
        match self.steps.len() {
            1 => self.title.clone(),
            count => format!("{} × {count}", self.title),
        }
    }
}

/// Boxes by wave, and arrows between them, all by index.
#[derive(Debug)]
pub struct Picture {
    pub nodes: Vec<Node>,
    pub waves: Vec<Vec<usize>>,
    pub edges: BTreeSet<(usize, usize)>,
}

impl Picture {
    pub fn of(plan: &Plan) -> Self {
        let arrows = reduced(plan);
        let mut before: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
        let mut after: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
        for &(from, to) in &arrows {
            before.entry(to).or_default().insert(from);
            after.entry(from).or_default().insert(to);
        }
        let mut picture = Self { nodes: Vec::new(), waves: Vec::new(), edges: BTreeSet::new() };
        let mut node_of: BTreeMap<StepId, usize> = BTreeMap::new();
        for wave in plan.waves() {
            let mut alike: BTreeMap<_, Vec<&Step>> = BTreeMap::new();
            for step in wave.iter().filter_map(|&id| plan.step(id)) {
                let verb = step.title.split(' ').next().unwrap_or_default();
                let quiet = step.impact == Impact::Quiet;
                let alone = if quiet { 0 } else { step.id };
                let key = (step.system.as_str(), verb, alone, before.get(&step.id), after.get(&step.id));
                alike.entry(key).or_default().push(step);
            }
            let mut boxes: Vec<Vec<&Step>> = Vec::new();
            for steps in alike.into_values() {
                if steps.len() >= STACK {
                    boxes.push(steps);
                } else {
                    boxes.extend(steps.into_iter().map(|step| vec![step]));
                }
            }
            boxes.sort_by_key(|steps| steps[0].id);
            let first = picture.nodes.len();
            for steps in boxes {
                node_of.extend(steps.iter().map(|step| (step.id, picture.nodes.len())));
                picture.nodes.push(node(&steps));
            }
            picture.waves.push((first..picture.nodes.len()).collect());
        }
        picture.edges = arrows.iter().map(|(from, to)| (node_of[from], node_of[to])).collect();
        picture
    }

    /// The providers in it, by name.
    pub fn systems(&self) -> BTreeSet<&str> {
        self.nodes.iter().map(|node| node.system.as_str()).collect()
    }
}

fn node(steps: &[&Step]) -> Node {
    let titles: Vec<String> = steps.iter().map(|step| step.title.clone()).collect();
    Node {
        steps: steps.iter().map(|step| step.id).collect(),
        title: shared_title(&titles),
        titles,
        system: steps[0].system.to_string(),
        impact: steps[0].impact.clone(),
    }
}

/// `join … to #garden` for several titles that begin and end alike.
fn shared_title(titles: &[String]) -> String {
    let [first, rest @ ..] = titles else { return String::new() };
    if rest.is_empty() {
        return first.clone();
    }
    let words: Vec<&str> = first.split(' ').collect();
    let alike = |at: usize, from_end: bool| {
        rest.iter().all(|title| {
            let mut words_of = title.split(' ');
            let word = if from_end { words_of.nth_back(at) } else { words_of.nth(at) };
            let own = if from_end { words.iter().nth_back(at) } else { words.get(at) };
            word == own.copied()
        })
    };
    let head = (0..words.len()).take_while(|&at| alike(at, false)).count();
    let shortest = titles.iter().map(|title| title.split(' ').count()).min().unwrap_or(0);
    let tail = (0..shortest.saturating_sub(head)).take_while(|&at| alike(at, true)).count();
    let mut shown = words[..head].to_vec();
    if head < words.len() {
        shown.push("…");
    }
    shown.extend(&words[words.len() - tail..]);
    shown.join(" ")
}

/// Arrows without those that follow from others: `a -> c` where `a -> b -> c`.
fn reduced(plan: &Plan) -> BTreeSet<(StepId, StepId)> {
    let mut next: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
    for edge in &plan.edges {
        next.entry(edge.from).or_default().insert(edge.to);
    }
    // Steps stand in an order in which they could run, so from the end on every successor is known already.
    let mut reach: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
    let mut arrows = BTreeSet::new();
    for step in plan.steps.iter().rev() {
        let direct = next.get(&step.id).cloned().unwrap_or_default();
        let mut beyond = BTreeSet::new();
        for to in &direct {
            beyond.extend(reach.get(to).into_iter().flatten().copied());
        }
        arrows.extend(direct.difference(&beyond).map(|&to| (step.id, to)));
        beyond.extend(direct);
        reach.insert(step.id, beyond);
    }
    arrows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::garden;

    #[test]
    fn steps_that_do_the_same_make_one_box() {
        let picture = Picture::of(&garden());
        let stack = picture.nodes.iter().find(|node| node.steps.len() > 1).expect("the three joins");
        assert_eq!(stack.label(), "join … to #gardener:chat.home × 3");
        assert_eq!(picture.nodes.len(), 5);
    }

    #[test]
    fn an_arrow_that_follows_from_others_is_left_out() {
        let arrows = reduced(&garden());
        assert!(!arrows.contains(&(1, 7)), "1 -> 4 -> 7 says it");
        assert!(arrows.contains(&(3, 7)));
    }

    #[test]
    fn titles_share_their_ends_and_nothing_twice() {
        let title = |texts: &[&str]| shared_title(&texts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(title(&["a b", "a c"]), "a …");
        assert_eq!(title(&["a x x b", "a x b"]), "a x … b");
        assert_eq!(title(&["same", "same"]), "same");
    }
}
