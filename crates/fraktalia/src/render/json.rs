//! A plan as a document for programs. It has a version, and holds nothing that a person would not be shown.
//!
//! The effects themselves (`op`) and our own record stay out: they are not a contract, and what is not in a document
//! cannot leak from it.

use std::collections::BTreeMap;

use fraktalia_engine::Origin;
use fraktalia_model::{Note, ResourceId};
use fraktalia_plan::{Cause, Change, Edge, Impact, Plan, StepId, Verb, Why};
use schemars::JsonSchema;
use serde::Serialize;

/// Version of the document. A reader refuses what it does not know; fields may be added without a new version.
pub const FORMAT: u16 = 1;

/// `fraktalia plan --format json`
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanDocument<'a> {
    /// Version of this document.
    pub format: u16,
    /// The scope of ownership.
    pub realm: &'a str,
    /// Fingerprint of the manifest and all it includes: SHA-256, hex.
    pub manifest: &'a str,
    /// The commit that the manifest was read from, where it lies in a repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitDocument<'a>>,
    /// Fingerprint of all that would be done: equal plans do equal things.
    pub fingerprint: String,
    /// Whether nothing would change.
    pub empty: bool,
    /// Whether an error keeps it from being applied.
    pub blocked: bool,
    /// How many resources have each verb.
    pub counts: Counts,
    /// What changes: one for each resource that does not stay as it is.
    pub changes: Vec<ChangeDocument<'a>>,
    /// What is done: one for each effect, in an order in which they could run one by one.
    pub steps: Vec<StepDocument<'a>>,
    /// What waits for what.
    pub edges: Vec<EdgeDocument>,
    /// Findings.
    pub notes: Vec<NoteDocument<'a>>,
    /// What is there and not ours, counted by kind in the plural. It is left alone.
    pub not_ours: &'a BTreeMap<String, usize>,
}

/// The commit that a manifest was read from.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommitDocument<'a> {
    /// Its whole id.
    pub id: &'a str,
    /// Whether what was read is not what was committed.
    pub changed: bool,
    /// The branch, where it is on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<&'a str>,
}

/// How many resources have each verb.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "each is the count of the verb it is called")]
pub struct Counts {
    pub create: usize,
    pub update: usize,
    pub replace: usize,
    pub adopt: usize,
    pub forget: usize,
    pub delete: usize,
}

/// One resource that does not stay as it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChangeDocument<'a> {
    /// `system/kind/name`
    pub id: String,
    /// The fractal, room or network it belongs to.
    pub subject: &'a str,
    /// `create`, `update`, `replace`, `adopt`, `forget`, `delete`
    pub verb: &'static str,
    /// What people call it.
    pub title: &'a str,
    /// What it is like.
    pub summary: &'a str,
    /// What differs.
    pub fields: Vec<FieldDocument<'a>>,
    /// Why.
    pub why: &'a str,
}

/// One field that is not as it should be.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FieldDocument<'a> {
    /// Path inside the resource.
    pub field: &'a str,
    /// As it is; `null` when it is absent.
    pub from: Option<&'a str>,
    /// As it is to be; `null` when it is to be absent.
    pub to: Option<&'a str>,
    /// `new`, `manifest`, `drift` (changed by hand) or `both`
    pub cause: &'static str,
}

/// One effect.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepDocument<'a> {
    /// Position in the plan, from 1.
    pub id: StepId,
    /// Steps of one wave could run at once, from 1.
    pub wave: usize,
    /// The system it acts on.
    pub system: &'a str,
    /// What it does.
    pub title: &'a str,
    /// The resources that are as wanted once it is done.
    pub realises: Vec<String>,
    /// `quiet`, `disruptive` or `irreversible`
    pub impact: &'static str,
    /// What people notice of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<&'a str>,
}

/// `to` starts once `from` is done.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EdgeDocument {
    /// The step that goes first.
    pub from: StepId,
    /// The step that waits.
    pub to: StepId,
    /// `needs_output`, `requires`, `tear_down` or `sequence`
    pub why: &'static str,
    /// The resource it is about.
    pub resource: String,
}

/// One finding.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NoteDocument<'a> {
    /// `info`, `warning` or `error`
    pub severity: &'static str,
    /// A stable name for this kind of finding.
    pub code: &'a str,
    /// What is the case.
    pub text: &'a str,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'a str>,
    /// The resource it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The places in the manifest; two where two things clash.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<PlaceDocument>,
}

/// A place in a file of the manifest.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlaceDocument {
    /// The file, as it was named.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

/// The document of a plan, made from a manifest of the commit `origin`.
pub fn plan<'a>(plan: &'a Plan, origin: Option<&'a Origin>) -> PlanDocument<'a> {
    let waves = plan.waves();
    let wave_of: BTreeMap<StepId, usize> =
        (1..).zip(&waves).flat_map(|(wave, steps)| steps.iter().map(move |step| (*step, wave))).collect();
    PlanDocument {
        format: FORMAT,
        realm: &plan.realm,
        manifest: &plan.basis.manifest,
        commit: origin.map(|origin| CommitDocument {
            id: &origin.commit,
            changed: origin.changed,
            branch: origin.branch.as_deref(),
        }),
        fingerprint: plan.fingerprint(),
        empty: plan.is_empty(),
        blocked: plan.is_blocked(),
        counts: counts(plan),
        changes: plan.changes.iter().map(change).collect(),
        steps: plan
            .steps
            .iter()
            .map(|step| StepDocument {
                id: step.id,
                wave: wave_of.get(&step.id).copied().unwrap_or_default(),
                system: step.system.as_str(),
                title: &step.title,
                realises: step.realises.iter().map(ResourceId::to_string).collect(),
                impact: impact(&step.impact).0,
                notice: impact(&step.impact).1,
            })
            .collect(),
        edges: plan.edges.iter().map(edge).collect(),
        notes: notes(&plan.notes),
        not_ours: &plan.strangers,
    }
}

fn counts(plan: &Plan) -> Counts {
    Counts {
        create: plan.count(Verb::Create),
        update: plan.count(Verb::Update),
        replace: plan.count(Verb::Replace),
        adopt: plan.count(Verb::Adopt),
        forget: plan.count(Verb::Forget),
        delete: plan.count(Verb::Delete),
    }
}

/// One change as a document.
pub fn change(change: &Change) -> ChangeDocument<'_> {
    ChangeDocument {
        id: change.id.to_string(),
        subject: &change.subject,
        verb: verb(change.verb),
        title: &change.title,
        summary: &change.summary,
        fields: change
            .fields
            .iter()
            .map(|field| FieldDocument {
                field: &field.field,
                from: field.from.as_deref(),
                to: field.to.as_deref(),
                cause: cause(field.cause),
            })
            .collect(),
        why: &change.why,
    }
}

/// Notes as documents, for instance of `check --format json`.
pub fn notes(notes: &[Note]) -> Vec<NoteDocument<'_>> {
    notes.iter().map(note).collect()
}

fn note(note: &Note) -> NoteDocument<'_> {
    NoteDocument {
        severity: match note.severity {
            fraktalia_model::Severity::Info => "info",
            fraktalia_model::Severity::Warning => "warning",
            fraktalia_model::Severity::Error => "error",
        },
        code: &note.code,
        text: &note.text,
        hint: note.hint.as_deref(),
        about: note.about.as_ref().map(ResourceId::to_string),
        places: note
            .at
            .iter()
            .chain(&note.other)
            .map(|span| PlaceDocument {
                file: span.file.display().to_string(),
                line: span.line,
                column: span.column,
            })
            .collect(),
    }
}

fn edge(edge: &Edge) -> EdgeDocument {
    let (why, resource) = match &edge.why {
        Why::NeedsOutput(id) => ("needs_output", id),
        Why::Requires(id) => ("requires", id),
        Why::TearDown(id) => ("tear_down", id),
        Why::Sequence(id) => ("sequence", id),
    };
    EdgeDocument { from: edge.from, to: edge.to, why, resource: resource.to_string() }
}

/// The name of a verb in documents.
pub fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Replace => "replace",
        Verb::Adopt => "adopt",
        Verb::Forget => "forget",
        Verb::Delete => "delete",
        Verb::Keep => "keep",
    }
}

fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::New => "new",
        Cause::Manifest => "manifest",
        Cause::Drift => "drift",
        Cause::Both => "both",
    }
}

fn impact(impact: &Impact) -> (&'static str, Option<&str>) {
    match impact {
        Impact::Quiet => ("quiet", None),
        Impact::Disruptive(what) => ("disruptive", Some(what)),
        Impact::Irreversible(what) => ("irreversible", Some(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::blocked;

    #[test]
    fn the_document_has_a_version_and_no_effects() {
        let source = blocked();
        let text = serde_json::to_string_pretty(&plan(&source, None)).unwrap();
        assert!(!text.contains("never"), "an op is in the document");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn what_is_absent_and_what_is_empty_are_told_apart() {
        let mut source = blocked();
        source.changes[6].fields[0].from = None;
        source.changes[6].fields[0].to = Some(String::new());
        let document = serde_json::to_value(plan(&source, None)).unwrap();
        let field = &document["changes"][6]["fields"][0];
        assert!(field["from"].is_null());
        assert_eq!(field["to"], "");
    }
}
