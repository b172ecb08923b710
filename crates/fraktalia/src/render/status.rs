//! In sync or drifted, resource by resource.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_engine::Planned;
use fraktalia_model::ResourceId;
use fraktalia_plan::{Cause, Change, Verb};
use serde::Serialize;

use super::json::FORMAT;
use super::line::Line;
use super::look::{Detail, Look, Tone};
use super::plan::label;

/// How a resource stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As the manifest says.
    InSync,
    /// Somebody changed it by hand.
    Drifted,
    /// It was removed by hand.
    Missing,
    /// The manifest asks for it, or for something else of it, and was not applied yet.
    Pending,
    /// It is there and as wanted, and not ours yet.
    NotOursYet,
    /// It left the manifest and is still there.
    Left,
}

impl Standing {
    /// How the resource of a change stands; `recorded` says whether it is on our record.
    pub fn of(change: &Change, recorded: bool) -> Self {
        match change.verb {
            Verb::Keep => Self::InSync,
            Verb::Create if recorded => Self::Missing,
            Verb::Create => Self::Pending,
            Verb::Adopt => Self::NotOursYet,
            Verb::Delete | Verb::Forget => Self::Left,
            Verb::Update | Verb::Replace => {
                let by_hand = |cause| matches!(cause, Cause::Drift | Cause::Both);
                if change.fields.iter().any(|field| by_hand(field.cause)) {
                    Self::Drifted
                } else {
                    Self::Pending
                }
            }
        }
    }

    fn shown(self) -> (&'static str, &'static str, Tone) {
        match self {
            Self::InSync => ("✓", "in sync", Tone::Add),
            Self::Drifted => ("~", "changed by hand", Tone::Change),
            Self::Missing => ("+", "was removed by hand", Tone::Change),
            Self::Pending => ("…", "not applied yet", Tone::Own),
            Self::NotOursYet => ("=", "as wanted, not ours yet", Tone::Own),
            Self::Left => ("-", "left the manifest", Tone::Remove),
        }
    }
}

/// One resource.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// Which.
    pub id: &'a ResourceId,
    /// The fractal, room or network it belongs to.
    pub subject: String,
    /// How it stands.
    pub standing: Standing,
    /// The fields that differ.
    pub fields: Vec<&'a str>,
}

/// All of a realm.
#[derive(Debug, Serialize)]
pub struct Status<'a> {
    /// Version of this document.
    pub format: u16,
    /// The scope of ownership.
    pub realm: &'a str,
    /// Whether everything is as the manifest says.
    pub in_sync: bool,
    /// Whether something is in the way of making it so.
    pub blocked: bool,
    /// The run that was not finished.
    pub unfinished: Option<String>,
    /// The last run, and how it ended.
    pub last_run: Option<String>,
    /// Resource by resource.
    pub resources: Vec<Entry<'a>>,
}

impl<'a> Status<'a> {
    /// How things stand, by a plan made now.
    pub fn of(planned: &'a Planned, unfinished: Option<String>, last_run: Option<String>) -> Self {
        let changes: BTreeMap<&ResourceId, &Change> =
            planned.plan.changes.iter().map(|change| (&change.id, change)).collect();
        let ids: BTreeSet<&ResourceId> = planned.desired.iter().chain(changes.keys().copied()).collect();
        let resources: Vec<Entry<'a>> = ids
            .into_iter()
            .map(|id| match changes.get(id) {
                Some(change) => Entry {
                    id,
                    subject: change.subject.clone(),
                    standing: Standing::of(change, planned.records.contains_key(id)),
                    fields: change.fields.iter().map(|field| field.field.as_str()).collect(),
                },
                None => Entry {
                    id,
                    subject: subject(planned, id),
                    standing: Standing::InSync,
                    fields: Vec::new(),
                },
            })
            .collect();
        Self {
            format: FORMAT,
            realm: &planned.plan.realm,
            in_sync: resources.iter().all(|entry| entry.standing == Standing::InSync)
                && !planned.plan.is_blocked(),
            blocked: planned.plan.is_blocked(),
            unfinished,
            last_run,
            resources,
        }
    }

    /// As text: what is in sync is counted, everything else is named.
    pub fn text(&self, look: &Look) -> String {
        let mut page = String::new();
        let fine = self.resources.iter().filter(|entry| entry.standing == Standing::InSync).count();
        Line::new()
            .text(Tone::Strong, self.realm)
            .plain(&format!("  {fine} of {} in sync", self.resources.len()))
            .text(
                Tone::Faint,
                &self.last_run.as_ref().map(|run| format!("  last run {run}")).unwrap_or_default(),
            )
            .write(look, &mut page);
        if let Some(run) = &self.unfinished {
            Line::new()
                .text(Tone::Warn, "unfinished: ")
                .plain(&format!("the run {run}; `fraktalia resume` or `fraktalia rollback`"))
                .write(look, &mut page);
        }
        let mut by_subject: BTreeMap<&str, Vec<&Entry<'_>>> = BTreeMap::new();
        for entry in &self.resources {
            by_subject.entry(&entry.subject).or_default().push(entry);
        }
        let width = by_subject.keys().map(|subject| Line::new().plain(subject).width()).max().unwrap_or(0);
        for (subject, entries) in by_subject {
            write_subject(subject, width, &entries, look, &mut page);
        }
        page
    }
}

/// The heading of a resource that stays as it is.
fn subject(planned: &Planned, id: &ResourceId) -> String {
    planned
        .records
        .get(id)
        .map_or_else(|| id.name.split('/').next().unwrap_or(&id.name).into(), |record| record.subject.clone())
}

fn write_subject(subject: &str, width: usize, entries: &[&Entry<'_>], look: &Look, page: &mut String) {
    let worst = entries.iter().map(|entry| entry.standing).find(|standing| *standing != Standing::InSync);
    let (symbol, _, tone) = worst.unwrap_or(Standing::InSync).shown();
    let fine = entries.iter().filter(|entry| entry.standing == Standing::InSync).count();
    let said = if worst.is_none() {
        format!("{fine} in sync")
    } else {
        format!("{fine} of {} in sync", entries.len())
    };
    Line::indented(2)
        .text(tone, symbol)
        .space(1)
        .text(Tone::Strong, subject)
        .to_column(width + 6, 2)
        .text(Tone::Faint, &said)
        .write(look, page);
    for entry in entries {
        if entry.standing == Standing::InSync && look.detail == Detail::Brief {
            continue;
        }
        let (symbol, word, tone) = entry.standing.shown();
        let mut line = Line::indented(6)
            .text(tone, symbol)
            .space(1)
            .plain(label(&entry.id.kind))
            .to_column(20, 1)
            .plain(&entry.id.name)
            .space(2)
            .hang()
            .text(tone, word);
        if !entry.fields.is_empty() {
            line = line.text(Tone::Faint, &format!(": {}", entry.fields.join(", ")));
        }
        line.write(look, page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{garden, plain};
    use fraktalia_model::id;

    fn planned() -> Planned {
        let plan = garden();
        let mut desired: BTreeSet<ResourceId> = plan
            .changes
            .iter()
            .filter(|change| change.verb != Verb::Delete)
            .map(|change| change.id.clone())
            .collect();
        desired.extend([id::room("house"), id::tree("cook"), id::binding("cook", "room/cook")]);
        Planned { plan, looks: BTreeMap::new(), desired, found: BTreeMap::new(), records: BTreeMap::new() }
    }

    #[test]
    fn what_is_in_sync_is_counted_and_the_rest_is_named() {
        let planned = planned();
        let status = Status::of(&planned, Some("20260314-2".into()), Some("20260314-1, applied".into()));
        assert!(!status.in_sync);
        insta::assert_snapshot!(status.text(&plain(100)));
    }

    #[test]
    fn verbose_names_everything() {
        let planned = planned();
        let status = Status::of(&planned, None, None);
        insta::assert_snapshot!(status.text(&Look { detail: Detail::Full, ..plain(100) }));
    }

    #[test]
    fn a_change_by_hand_outweighs_a_pending_one() {
        let planned = planned();
        let status = Status::of(&planned, None, None);
        let standing = |id: &ResourceId| {
            status.resources.iter().find(|entry| entry.id == id).map(|entry| entry.standing)
        };
        assert_eq!(standing(&id::agent("cook")), Some(Standing::Drifted));
        assert_eq!(standing(&id::room("cook")), Some(Standing::Pending));
        assert_eq!(standing(&id::room("house")), Some(Standing::InSync));
        assert_eq!(standing(&id::binding("mox", "room/lounge")), Some(Standing::Left));
    }
}
