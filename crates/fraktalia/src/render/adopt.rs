//! What was found, what goes into the manifest, and what does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fraktalia_model::adopt::{Composed, Entry, What};
use fraktalia_model::manifest::edit::{EditError, Text};
use fraktalia_model::{Note, Sources};
use serde::Serialize;
use serde_json::Value as Json;
use similar::{ChangeTag, TextDiff};

use super::json::{FORMAT, NoteDocument, notes};
use super::look::{Detail, Look, Tone};
use super::plan::number;
use super::{Line, note};

/// Of what is left alone for one reason, so many are named.
const NAMED: usize = 6;

/// A proposal, and what became of it.
pub struct Found<'a> {
    /// What goes into the manifest, and what does not.
    pub composed: &'a Composed,
    /// What could not be looked at.
    pub notes: &'a [Note],
    /// What became of it.
    pub outcome: &'a Outcome,
}

/// What became of a proposal.
pub struct Outcome {
    /// The manifest, as it was named.
    pub manifest: String,
    /// Where it is kept as it was, once it is written.
    pub saved: Option<PathBuf>,
    /// Whether it was to be written.
    pub asked: bool,
}

/// A proposal as a document for programs.
#[derive(Serialize)]
pub struct Document<'a> {
    format: u16,
    entries: Vec<EntryDocument<'a>>,
    left: Vec<LeftDocument<'a>>,
    notes: Vec<NoteDocument<'a>>,
    written: bool,
}

#[derive(Serialize)]
struct EntryDocument<'a> {
    path: Vec<&'a str>,
    value: Json,
    title: &'a str,
    summary: &'a str,
    enters: bool,
    not_managed: &'a [String],
}

#[derive(Serialize)]
struct LeftDocument<'a> {
    kind: &'a str,
    name: &'a str,
    why: &'a str,
}

/// For programs.
pub fn json<'a>(found: &'a Found<'a>) -> Document<'a> {
    let entry = |entry: &'a Entry| EntryDocument {
        path: entry.path(),
        value: entry.value.json(),
        title: &entry.title,
        summary: &entry.summary,
        enters: entry.enters,
        not_managed: &entry.unmanaged,
    };
    let left = found.composed.left.iter();
    Document {
        format: FORMAT,
        entries: found.composed.entries.iter().map(entry).collect(),
        left: left.map(|left| LeftDocument { kind: &left.kind, name: &left.name, why: &left.why }).collect(),
        notes: notes(found.notes),
        written: found.outcome.saved.is_some(),
    }
}

/// As it goes into a manifest.
pub fn yaml(composed: &Composed) -> String {
    let written = || -> Result<String, EditError> {
        let mut text = Text::new("")?;
        for entry in composed.entries.iter().filter(|entry| entry.what != What::Binding) {
            text.set(&entry.path(), &entry.value)?;
        }
        let bindings = composed.entries.iter().filter(|entry| entry.what == What::Binding);
        let bindings: Vec<_> = bindings.map(|entry| entry.value.clone()).collect();
        if !bindings.is_empty() {
            text.push(&["bindings"], &bindings)?;
        }
        Ok(text.text())
    };
    // What we write ourselves is in a layout that we know.
    written().unwrap_or_else(|error| format!("# {error}\n"))
}

/// For people.
pub fn text(found: &Found<'_>, look: &Look) -> String {
    let mut page = String::new();
    note::write_all(found.notes, &Sources::default(), look, &mut page);
    let entries = &found.composed.entries;
    for (heading, of) in [
        ("users", [What::User, What::User]),
        ("fractals", [What::Fractal, What::Fractal]),
        ("rooms", [What::Room, What::Room]),
        ("bindings", [What::Binding, What::CatchAll]),
    ] {
        let of: Vec<&Entry> = entries.iter().filter(|entry| of.contains(&entry.what)).collect();
        section(heading, &of, look, &mut page);
    }
    left_alone(found.composed, look, &mut page);
    page.push_str(&closing(found, look));
    page
}

fn section(heading: &str, entries: &[&Entry], look: &Look, page: &mut String) {
    if entries.is_empty() {
        return;
    }
    Line::new().text(Tone::Strong, heading).write(look, page);
    let width = |entry: &&Entry| Line::new().plain(&entry.title).width();
    let widest = entries.iter().map(width).max().unwrap_or(0).min(look.width / 2);
    for entry in entries {
        let mut line = Line::indented(2).text(Tone::Own, "= ").hang().plain(&entry.title);
        if !entry.summary.is_empty() {
            line = line.to_column(4 + widest + 2, 2).hang().text(Tone::Faint, &entry.summary);
        }
        line.write(look, page);
        if entry.enters {
            Line::indented(6)
                .text(Tone::Warn, "our own user enters it, which its members see")
                .write(look, page);
        }
        for what in &entry.unmanaged {
            Line::indented(6).text(Tone::Faint, &format!("not managed: {what}")).write(look, page);
        }
    }
    page.push('\n');
}

/// Things of one kind that are left for one reason stand together.
fn left_alone(composed: &Composed, look: &Look, page: &mut String) {
    let mut reasons: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for left in &composed.left {
        reasons.entry((&left.kind, &left.why)).or_default().push(&left.name);
    }
    if reasons.is_empty() {
        return;
    }
    Line::new().text(Tone::Strong, "left alone").write(look, page);
    for ((kind, why), names) in reasons {
        let shown = if look.detail == Detail::Full { names.len() } else { NAMED };
        let more = names.len().saturating_sub(shown);
        let listed = names.iter().take(shown).copied().collect::<Vec<_>>().join(", ");
        let rest = if more > 0 { format!(" and {more} more (-v names them)") } else { String::new() };
        Line::indented(2)
            .plain(&format!("{:<11}", if names.len() == 1 { kind.to_owned() } else { plural(kind) }))
            .hang()
            .plain(&format!("{listed}{rest}"))
            .write(look, page);
        Line::indented(13).text(Tone::Faint, why).write(look, page);
    }
    page.push('\n');
}

fn plural(kind: &str) -> String {
    format!("{kind}s")
}

/// How it ended, and what to do next.
pub fn closing(found: &Found<'_>, look: &Look) -> String {
    let mut page = String::new();
    let (composed, outcome) = (found.composed, found.outcome);
    let count = |what: &[What]| composed.entries.iter().filter(|entry| what.contains(&entry.what)).count();
    if composed.entries.is_empty() {
        let text = match composed.left.len() {
            0 => "Nothing that lives is missing in the manifest.",
            _ => "There is nothing more that could go into the manifest.",
        };
        Line::new().plain(text).write(look, &mut page);
        return page;
    }
    let kinds = [
        (count(&[What::Fractal]), "fractal"),
        (count(&[What::Room]), "room"),
        (count(&[What::User]), "user"),
        (count(&[What::Binding, What::CatchAll]), "binding"),
    ];
    let counted: Vec<String> =
        kinds.into_iter().filter(|(many, _)| *many > 0).map(|(many, what)| number(many, what)).collect();
    let rooms = composed.entries.iter().filter(|entry| entry.room.is_some()).count();
    let effect = match rooms {
        0 => "A plan with them changes nothing live.".to_owned(),
        rooms => {
            format!("A plan with them changes nothing live but for our marker in {}.", number(rooms, "room"))
        }
    };
    match &outcome.saved {
        Some(kept) => {
            let text = format!("{} are in {} now. {effect}", counted.join(", "), outcome.manifest);
            Line::new().plain(&text).write(look, &mut page);
            page.push_str(&written(&outcome.manifest, kept, look));
        }
        None => {
            let text = format!("{} would go into {}. {effect}", counted.join(", "), outcome.manifest);
            Line::new().plain(&text).write(look, &mut page);
            let text = "Nothing was changed. `--write` writes it, `--format yaml` shows it.";
            Line::new().text(Tone::Hint, text).write(look, &mut page);
        }
    }
    page
}

/// Where the manifest is kept as it was, and what to do next.
pub fn written(manifest: &str, kept: &Path, look: &Look) -> String {
    let mut page = String::new();
    let text = format!("{manifest} is written; as it was, it lies in {}.", kept.display());
    Line::new().plain(&text).write(look, &mut page);
    let text = "`fraktalia plan` shows what becomes ours; `fraktalia apply` makes it so, after asking.";
    Line::new().text(Tone::Hint, text).write(look, &mut page);
    page
}

/// What changes in the files of a manifest.
pub fn manifest_diff(changed: &BTreeMap<&Path, (&str, String)>, look: &Look) -> String {
    let mut page = String::new();
    for (path, (before, now)) in changed {
        Line::new().text(Tone::Strong, &path.display().to_string()).write(look, &mut page);
        let diff = TextDiff::from_lines(*before, now.as_str());
        for (index, group) in diff.grouped_ops(2).iter().enumerate() {
            if index > 0 {
                Line::indented(2).text(Tone::Faint, "...").write(look, &mut page);
            }
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let (mark, tone) = match change.tag() {
                    ChangeTag::Delete => ("- ", Tone::Remove),
                    ChangeTag::Insert => ("+ ", Tone::Add),
                    ChangeTag::Equal => ("  ", Tone::Plain),
                };
                let text = change.value().trim_end_matches(['\n', '\r']);
                Line::indented(2).text(tone, &format!("{mark}{text}")).write(look, &mut page);
            }
        }
    }
    page
}
