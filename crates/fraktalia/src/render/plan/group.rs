//! The rows of a plan: grouped by what they belong to, with many small parts in one row.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_model::ResourceId;
use fraktalia_plan::{Change, FieldChange, Plan, Verb};

use super::About;
use crate::render::line::Line;

/// Columns in front of a row.
const INDENT: usize = 2;
/// More names than this are counted rather than listed.
const LISTED: usize = 8;

/// All rows about one fractal, room or network.
#[derive(Debug)]
pub struct Group<'a> {
    /// Its key.
    pub subject: &'a str,
    /// Whether it is a fractal.
    pub fractal: bool,
    /// What happens to it as a whole: `new`.
    pub mood: Option<&'static str>,
    /// What happens in detail.
    pub rows: Vec<Row<'a>>,
}

/// One line of a plan, with the fields below it.
#[derive(Debug)]
pub struct Row<'a> {
    /// What happens.
    pub verb: Verb,
    /// What it is: `room`.
    pub label: String,
    /// What it is called.
    pub title: String,
    /// What it is like; empty for what changes in place.
    pub summary: String,
    /// Why, where that does not go without saying.
    pub remark: Option<String>,
    /// What differs.
    pub fields: &'a [FieldChange],
    /// The resources that stand behind it.
    pub ids: Vec<&'a ResourceId>,
    /// Whether it is a part of the row above.
    pub part: bool,
    /// Whether the row above says as much already: a new room names its members, a new workspace counts its files.
    pub told: bool,
    /// Where it is, where its title is a name.
    pub path: Option<&'a str>,
}

impl Row<'_> {
    /// Columns in front of it.
    pub fn indent(&self) -> usize {
        if self.part { INDENT * 2 } else { INDENT }
    }

    /// Whether anything stands behind its title.
    pub fn has_summary(&self) -> bool {
        !self.title.is_empty() && (!self.summary.is_empty() || self.remark.is_some())
    }

    /// Columns in front of its label and the label itself, without the symbol.
    pub fn label_width(&self) -> usize {
        self.indent() + Line::new().plain(&self.label).width()
    }
}

/// All rows of a plan: fractals first, then the rest, each by name.
pub fn groups<'a>(plan: &'a Plan, about: &About) -> Vec<Group<'a>> {
    let mut by_subject: BTreeMap<(bool, &str), Vec<&Change>> = BTreeMap::new();
    for change in plan.changes.iter().filter(|change| change.verb != Verb::Keep) {
        let fractal = about.fractals.contains(&change.subject) || is_fractals_own(change);
        by_subject.entry((!fractal, &change.subject)).or_default().push(change);
    }
    // A fractal that left the manifest is known by its agent alone; its other rows belong to the same heading.
    let known: BTreeSet<&str> =
        by_subject.keys().filter(|(other, _)| !other).map(|(_, subject)| *subject).collect();
    let mut merged: BTreeMap<(bool, &str), Vec<&Change>> = BTreeMap::new();
    for ((_, subject), changes) in by_subject {
        merged.entry((!known.contains(subject), subject)).or_default().extend(changes);
    }
    let groups = merged
        .into_iter()
        .map(|((other, subject), changes)| Group {
            subject,
            fractal: !other,
            mood: mood(subject, &changes),
            rows: rows(changes, about.server.as_deref()),
        })
        .collect();
    shared(groups)
}

/// Puts single rows that belong to no fractal under one heading: each names itself.
fn shared(groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    let lone = |group: &Group<'_>| !group.fractal && group.rows.len() == 1 && group.rows[0].fields.is_empty();
    if groups.iter().filter(|group| lone(group)).count() < 2 {
        return groups;
    }
    let (single, mut groups): (Vec<_>, Vec<_>) = groups.into_iter().partition(lone);
    let mut rows: Vec<Row<'_>> = single.into_iter().flat_map(|group| group.rows).collect();
    rows.sort_by_key(|row| kind_rank(&row.ids[0].kind));
    groups.push(Group { subject: "shared", fractal: false, mood: None, rows });
    groups
}

fn is_fractals_own(change: &Change) -> bool {
    change.id.kind == "agent" && change.id.name == change.subject
}

/// What happens to the subject as a whole, where all its changes say the same and the thing itself is among them.
fn mood(subject: &str, changes: &[&Change]) -> Option<&'static str> {
    let first = changes.first()?.verb;
    let itself = changes.iter().any(|change| change.id.name == subject);
    if !itself || changes.iter().any(|change| change.verb != first) {
        return None;
    }
    match first {
        Verb::Create if changes.iter().all(|change| change.why != REMOVED_BY_HAND) => Some("new"),
        Verb::Delete => Some("goes"),
        Verb::Adopt => Some("taken over as it is"),
        Verb::Forget => Some("let go, stays as it is"),
        _ => None,
    }
}

/// What the planner says about a thing that was ours and is gone.
const REMOVED_BY_HAND: &str = "was removed by hand";

/// Kinds in the order in which people think of them.
const ORDER: [&str; 17] = [
    "user",
    "token",
    "room",
    "member",
    "name",
    "tree",
    "file",
    "image",
    "network",
    "isolation",
    "sandbox",
    "agent",
    "account",
    "group",
    "binding",
    "forward",
    "helper",
];

fn rank(change: &Change) -> (usize, &ResourceId) {
    (kind_rank(&change.id.kind), &change.id)
}

fn kind_rank(kind: &str) -> usize {
    ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
}

/// Whether a kind is only a part of another, so that many of them make one row.
fn is_part(change: &Change) -> bool {
    matches!(change.id.kind.as_str(), "member" | "file")
}

/// The kind of thing that a part belongs to.
fn whole(kind: &str) -> Option<&'static str> {
    match kind {
        "member" | "name" => Some("room"),
        "file" => Some("tree"),
        _ => None,
    }
}

fn holder(id: &ResourceId) -> &str {
    id.name.split('/').next().unwrap_or_default()
}

/// What comes as a whole: a part that comes with it is not told, nor counted, once more.
pub struct Wholes<'a>(BTreeSet<(&'a str, &'a str)>);

impl<'a> Wholes<'a> {
    /// The rooms and workspaces that these changes create.
    pub fn new(changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let new = changes.into_iter().filter(|change| change.verb == Verb::Create);
        Self(new.map(|change| (change.id.kind.as_str(), change.id.name.as_str())).collect())
    }

    /// Whether this is such a part.
    pub fn tell(&self, change: &Change) -> bool {
        let comes = change.verb == Verb::Create && change.fields.is_empty();
        comes && whole(&change.id.kind).is_some_and(|whole| self.0.contains(&(whole, holder(&change.id))))
    }
}

fn rows<'a>(mut changes: Vec<&'a Change>, server: Option<&str>) -> Vec<Row<'a>> {
    changes.sort_by_key(|change| rank(change));
    let new = Wholes::new(changes.iter().copied());
    let mut rows = Vec::new();
    let mut rolled: BTreeMap<(&str, &str, Verb, &str), Vec<&'a Change>> = BTreeMap::new();
    for change in &changes {
        if is_part(change) && change.fields.is_empty() {
            rolled.entry(part_key(change)).or_default().push(change);
        }
    }
    let wholes: BTreeSet<&str> = changes.iter().map(|change| change.id.kind.as_str()).collect();
    let (names, changes): (Vec<&Change>, Vec<&Change>) =
        changes.iter().partition(|change| goes_without_saying(change, &changes));
    for change in changes {
        let part = whole(&change.id.kind).is_some_and(|whole| wholes.contains(whole));
        if is_part(change) && change.fields.is_empty() {
            if let Some(parts) = rolled.remove(&part_key(change)) {
                let told = new.tell(change);
                rows.push(Row { told, ..roll_up(&parts, part, server) });
            }
        } else {
            rows.push(row(change, part));
        }
    }
    for name in names {
        let of_member = |row: &&mut Row<'_>| row.ids.iter().any(|id| is_named_by(id, name));
        if let Some(member) = rows.iter_mut().find(of_member) {
            member.ids.push(&name.id);
        }
    }
    rows
}

/// Whether a new name belongs to somebody who comes into the room by the same plan, and is shown with them.
fn goes_without_saying(name: &Change, changes: &[&Change]) -> bool {
    name.verb == Verb::Create && changes.iter().any(|change| is_named_by(&change.id, name))
}

/// Whether `member` is the membership that a name stands on.
fn is_named_by(member: &ResourceId, name: &Change) -> bool {
    name.id.kind == "name" && member.kind == "member" && member.name == name.id.name
}

fn part_key(change: &Change) -> (&str, &str, Verb, &str) {
    (change.id.kind.as_str(), holder(&change.id), change.verb, change.why.as_str())
}

fn row(change: &Change, part: bool) -> Row<'_> {
    let shows_summary = !matches!(change.verb, Verb::Update | Verb::Replace | Verb::Adopt);
    let mut summary = if shows_summary { change.summary.clone() } else { String::new() };
    if let Some(host) = remote_host(&change.id) {
        let separator = if summary.is_empty() { "" } else { "; " };
        summary = format!("{summary}{separator}on {host}");
    }
    // Where all workspaces lie is always the same; whose it is tells them apart.
    let path = (change.id.kind == "tree").then_some(change.title.as_str());
    let mut fields = change.fields.as_slice();
    // A name is one value, and has no use for a line of its own.
    if let ("name", [field]) = (change.id.kind.as_str(), fields) {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "(none)".into());
        summary = format!("{} -> {}", or_none(&field.from), or_none(&field.to));
        fields = &[];
    }
    Row {
        verb: change.verb,
        label: label(&change.id.kind).into(),
        title: path.map_or(change.title.as_str(), |_| &change.id.name).into(),
        summary,
        remark: remark(change),
        fields,
        ids: vec![&change.id],
        part,
        told: false,
        path,
    }
}

/// Several parts of one thing in one row: their names, without what they share.
fn roll_up<'a>(parts: &[&'a Change], part: bool, server: Option<&str>) -> Row<'a> {
    let first = parts[0];
    let names: Vec<String> = parts.iter().map(|change| short_name(change, server)).collect();
    let mut listed = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        listed = format!("{listed} and {} more", names.len() - LISTED);
    }
    let kind = label(&first.id.kind);
    Row {
        verb: first.verb,
        label: if parts.len() == 1 { kind.into() } else { format!("{kind}s") },
        title: String::new(),
        summary: listed,
        remark: remark(first),
        fields: &[],
        ids: parts.iter().map(|change| &change.id).collect(),
        part,
        told: false,
        path: None,
    }
}

/// What tells a part from its siblings: `ana` for `lab/@ana:chat.home`, `notes/A.md` for `lab/notes/A.md`. Users of
/// other servers keep their whole id.
fn short_name(change: &Change, server: Option<&str>) -> String {
    let name = &change.id.name;
    let inner = name.split_once('/').map_or(name.as_str(), |(_, inner)| inner);
    let local = || inner.strip_prefix('@')?.strip_suffix(server?)?.strip_suffix(':');
    local().filter(|_| change.id.kind == "member").unwrap_or(inner).into()
}

/// What people call a kind.
pub fn label(kind: &str) -> &str {
    match kind {
        "tree" => "workspace",
        // OpenClaw's word for how it behaves in a room.
        "group" => "replies",
        "override" => "limits",
        other => other,
    }
}

/// The host of a Docker resource that does not live here.
fn remote_host(id: &ResourceId) -> Option<&str> {
    let (_, host) = id.system.as_str().split_once('@')?;
    (host != "local").then_some(host)
}

/// The reason, where the symbol does not say it already.
fn remark(change: &Change) -> Option<String> {
    let text = match change.verb {
        Verb::Create if change.why == REMOVED_BY_HAND => "was removed by hand, is made again".into(),
        Verb::Create | Verb::Keep => return None,
        Verb::Update => {
            let mut causes = change.fields.iter().map(|field| field.cause);
            let first = causes.next()?;
            if causes.any(|cause| cause != first) {
                return None;
            }
            first.text().into()
        }
        Verb::Replace => format!("made anew: {}", change.why),
        Verb::Adopt => "there already; ours from now on".into(),
        Verb::Forget => format!("{}; stays, and is no longer ours", change.why),
        Verb::Delete => change.why.clone(),
    };
    Some(text)
}

/// Whether the causes of a row's fields differ, so that each has to say its own.
pub fn causes_differ(fields: &[FieldChange]) -> bool {
    fields.windows(2).any(|pair| pair[0].cause != pair[1].cause)
}
