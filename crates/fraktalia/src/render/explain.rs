//! One resource of a plan: what happens to it, why, by which steps, and what those wait for.

use fraktalia_engine::Planned;
use fraktalia_model::ResourceId;
use fraktalia_plan::{Change, Edge, Step, StepId};
use serde::Serialize;

use super::json::{ChangeDocument, NoteDocument, change, notes};
use super::line::Line;
use super::look::{Look, Tone};
use super::plan::{fields, tone, why};

/// What there is to say about one resource.
#[derive(Debug, Serialize)]
pub struct Explained<'a> {
    /// Which.
    pub id: String,
    /// Whether the manifest asks for it.
    pub wanted: bool,
    /// Whether it is there.
    pub there: bool,
    /// Whether our record says that it is ours.
    pub recorded: bool,
    /// What happens to it; nothing when it is as it should be.
    pub change: Option<ChangeDocument<'a>>,
    /// The steps that do it, with what each waits for.
    pub steps: Vec<ExplainedStep>,
    /// Resources that it needs.
    pub needs: Vec<String>,
    /// Findings about it.
    pub notes: Vec<NoteDocument<'a>>,
    #[serde(skip)]
    source: Option<&'a Change>,
}

/// A step, and what it waits for.
#[derive(Debug, Serialize)]
pub struct ExplainedStep {
    /// Position in the plan.
    pub id: StepId,
    /// What it does.
    pub title: String,
    /// `create #lab:chat.home: uses what matrix/room/lab yields`
    pub after: Vec<String>,
    /// The titles of those that wait for it.
    pub before: Vec<String>,
}

impl<'a> Explained<'a> {
    /// The resource of this id, or all of this subject.
    pub fn of(planned: &'a Planned, wish: &str) -> Vec<Self> {
        let plan = &planned.plan;
        let mut ids: Vec<&ResourceId> =
            planned.desired.iter().chain(plan.changes.iter().map(|change| &change.id)).collect();
        ids.sort();
        ids.dedup();
        ids.into_iter()
            .filter(|id| id.to_string() == wish || subject(planned, id) == wish)
            .map(|id| Self::one(planned, id))
            .collect()
    }

    fn one(planned: &'a Planned, id: &ResourceId) -> Self {
        let plan = &planned.plan;
        let source = plan.changes.iter().find(|change| &change.id == id);
        let about: Vec<_> = plan.notes.iter().filter(|note| note.about.as_ref() == Some(id)).collect();
        Self {
            id: id.to_string(),
            wanted: planned.desired.contains(id),
            there: planned.found.contains_key(id),
            recorded: planned.records.contains_key(id),
            change: source.map(change),
            steps: plan
                .steps
                .iter()
                .filter(|step| step.realises.contains(id))
                .map(|step| explained_step(planned, step))
                .collect(),
            needs: planned
                .records
                .get(id)
                .or_else(|| plan.records.get(id))
                .map(|record| record.requires.iter().map(ResourceId::to_string).collect())
                .unwrap_or_default(),
            notes: about.into_iter().flat_map(|note| notes(std::slice::from_ref(note))).collect(),
            source,
        }
    }

    /// As text.
    pub fn text(&self, look: &Look) -> String {
        let mut page = String::new();
        Line::new().text(Tone::Strong, &self.id).write(look, &mut page);
        match self.source {
            Some(change) => {
                Line::indented(2)
                    .text(tone(change.verb), change.verb.symbol())
                    .space(1)
                    .hang()
                    .plain(&change.title)
                    .text(Tone::Faint, &format!("  {}", change.why))
                    .write(look, &mut page);
                fields(&change.fields, 4, look, &mut page);
            }
            None if self.there => {
                Line::indented(2)
                    .text(Tone::Add, "✓ ")
                    .plain("is there and as the manifest says")
                    .write(look, &mut page);
            }
            None => {
                Line::indented(2).plain("is not there, and nothing is planned for it").write(look, &mut page);
            }
        }
        let owner = if self.recorded { "on our record" } else { "not on our record" };
        let wanted = if self.wanted { "in the manifest" } else { "not in the manifest" };
        Line::indented(2).text(Tone::Faint, &format!("{wanted}; {owner}")).write(look, &mut page);
        if !self.needs.is_empty() {
            Line::indented(2)
                .text(Tone::Faint, "needs ")
                .hang()
                .plain(&self.needs.join(", "))
                .write(look, &mut page);
        }
        for step in &self.steps {
            step.write(look, &mut page);
        }
        for note in &self.notes {
            Line::indented(2)
                .text(Tone::Warn, note.severity)
                .plain(": ")
                .hang()
                .plain(note.text)
                .write(look, &mut page);
            if let Some(hint) = note.hint {
                super::note::hint(hint, look, &mut page);
            }
        }
        page
    }
}

impl ExplainedStep {
    fn write(&self, look: &Look, page: &mut String) {
        Line::indented(2)
            .text(Tone::Faint, &format!("step {} ", self.id))
            .hang()
            .plain(&self.title)
            .write(look, page);
        for (word, lines) in [("after ", &self.after), ("before ", &self.before)] {
            for line in lines {
                Line::indented(4).text(Tone::Faint, word).hang().plain(line).write(look, page);
            }
        }
    }
}

fn explained_step(planned: &Planned, step: &Step) -> ExplainedStep {
    let plan = &planned.plan;
    let title = |id: StepId| plan.step(id).map(|step| step.title.as_str()).unwrap_or_default();
    let after = |edge: &Edge| format!("{}: {}", title(edge.from), why(&edge.why));
    ExplainedStep {
        id: step.id,
        title: step.title.clone(),
        after: plan.edges.iter().filter(|edge| edge.to == step.id).map(after).collect(),
        before: plan
            .edges
            .iter()
            .filter(|edge| edge.from == step.id)
            .map(|edge| title(edge.to).into())
            .collect(),
    }
}

fn subject<'a>(planned: &'a Planned, id: &'a ResourceId) -> &'a str {
    let change = planned.plan.changes.iter().find(|change| &change.id == id).map(|change| &change.subject);
    let recorded = || planned.records.get(id).map(|record| &record.subject);
    change.or_else(recorded).map_or_else(|| id.name.split('/').next().unwrap_or(&id.name), String::as_str)
}

/// The known id that is most like `wish`.
pub fn similar(planned: &Planned, wish: &str) -> Option<String> {
    let ids: Vec<String> = planned.desired.iter().map(ResourceId::to_string).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    ::similar::get_close_matches(wish, &ids, 1, 0.6).first().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{blocked, plain};
    use fraktalia_model::id;
    use std::collections::BTreeMap;

    fn planned() -> Planned {
        let plan = blocked();
        let mut desired: std::collections::BTreeSet<_> =
            plan.changes.iter().map(|change| change.id.clone()).collect();
        desired.insert(id::room("house"));
        let found = BTreeMap::from([(id::room("house"), "x".into()), (id::agent("cook"), "y".into())]);
        Planned { plan, looks: BTreeMap::new(), desired, found, records: BTreeMap::new() }
    }

    fn text(wish: &str) -> String {
        let planned = planned();
        Explained::of(&planned, wish).iter().map(|one| one.text(&plain(100))).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_resource_says_what_happens_to_it_why_and_when() {
        insta::assert_snapshot!(
            [text("matrix/room/gardener"), text("openclaw/agent/cook"), text("matrix/room/house")]
                .join("=====\n")
        );
    }

    #[test]
    fn a_subject_explains_all_that_belongs_to_it() {
        let planned = planned();
        assert_eq!(Explained::of(&planned, "gardener").len(), 9);
    }

    #[test]
    fn an_unknown_name_finds_its_neighbour() {
        let planned = planned();
        assert!(Explained::of(&planned, "matrix/room/gardner").is_empty());
        assert_eq!(similar(&planned, "matrix/room/gardner").as_deref(), Some("matrix/room/gardener"));
        assert_eq!(similar(&planned, "zzz"), None);
    }
}
