//! What differs in a field: short values side by side, sentences word by word, long texts line by line.

use fraktalia_plan::FieldChange;
use similar::{ChangeTag, TextDiff};

use super::group::causes_differ;
use crate::render::line::{Line, shortened};
use crate::render::look::{Look, Tone};

/// Values up to this many characters are shown side by side.
const SHORT: usize = 32;
/// Values beyond this many bytes are only measured: a diff of them costs more than it tells.
const LONG: usize = 256 * 1024;
/// Beyond this many bytes, sentences are not compared word by word.
const WORDS: usize = 4096;
/// An unchanged stretch keeps this many characters at each end.
const CONTEXT: usize = 20;
/// Lines shown of a text.
const LINES: usize = 12;
/// Characters shown of one line of a text.
const LINE: usize = 160;

/// The fields of a row, below it, `indent` columns in.
pub fn write(fields: &[FieldChange], indent: usize, look: &Look, page: &mut String) {
    let width = |text: &str| Line::new().plain(text).width();
    let names = fields.iter().map(|field| width(&field.field)).max().unwrap_or(0);
    let names = names.min(look.width / 3);
    let values: Vec<(Line, Vec<Line>)> =
        fields.iter().map(|field| value(field.from.as_deref(), field.to.as_deref())).collect();
    let start = indent + names + 2;
    let widest_cause = fields.iter().map(|field| width(field.cause.text())).max().unwrap_or(0);
    let cause = values
        .iter()
        .map(|(value, _)| start + value.width() + 3)
        .filter(|column| column + widest_cause <= look.width)
        .max()
        .unwrap_or(0);
    let each = causes_differ(fields);
    for (field, (value, block)) in fields.iter().zip(values) {
        let mut line = Line::indented(indent).plain(&field.field).to_column(start, 2).hang().then(value);
        if each {
            line = line.to_column(cause, 3).text(Tone::Faint, field.cause.text());
        }
        line.write(look, page);
        for line in block {
            Line::indented(indent + 2).then(line).write(look, page);
        }
    }
}

/// What stands behind the name of a field, and the lines below it.
fn value(from: Option<&str>, to: Option<&str>) -> (Line, Vec<Line>) {
    let long = |text: &str| text.trim_end_matches('\n').contains('\n');
    match (from, to) {
        (Some(from), Some(to)) if from.len() + to.len() > LONG => {
            (Line::new().plain(&format!("{} -> {} characters", count(from), count(to))), Vec::new())
        }
        (Some(from), Some(to)) if long(from) || long(to) => (
            Line::new()
                .text(Tone::Faint, &format!("{} -> {} lines", from.lines().count(), to.lines().count())),
            by_line(from, to),
        ),
        (Some(from), Some(to)) if count(from).max(count(to)) > SHORT && from.len() + to.len() <= WORDS => {
            (by_word(from, to).unwrap_or_else(|| side_by_side(Some(from), Some(to))), Vec::new())
        }
        _ => (side_by_side(from, to), Vec::new()),
    }
}

fn count(text: &str) -> usize {
    text.chars().count()
}

fn side_by_side(from: Option<&str>, to: Option<&str>) -> Line {
    let line = one(Line::new(), from, Tone::Remove).text(Tone::Faint, " -> ");
    one(line, to, Tone::Add)
}

fn one(line: Line, value: Option<&str>, tone: Tone) -> Line {
    match value {
        None => line.text(Tone::Faint, "unset"),
        Some(text) if text.contains("known after apply") => line.text(Tone::Late, text),
        Some(text) if text.is_empty() || text != text.trim() => line.text(tone, &format!("{text:?}")),
        Some(text) => line.text(tone, &shortened(text, LINE)),
    }
}

/// A stretch of a comparison.
enum Stretch {
    Same(String),
    Changed { old: String, new: String },
}

/// `Soups and [stews -> sauces]`, or nothing where too little is shared.
fn by_word(from: &str, to: &str) -> Option<Line> {
    let stretches = stretches(from, to);
    let shared: usize = stretches
        .iter()
        .map(|stretch| match stretch {
            Stretch::Same(text) => text.trim().len(),
            Stretch::Changed { .. } => 0,
        })
        .sum();
    if shared * 3 < from.len().max(to.len()) {
        return None;
    }
    let last = stretches.len() - 1;
    let mut line = Line::new();
    for (index, stretch) in stretches.into_iter().enumerate() {
        line = match stretch {
            Stretch::Same(text) => line.plain(&elided(&text, index > 0, index < last)),
            Stretch::Changed { old, new } => bracketed(line, &old, &new),
        };
    }
    Some(line)
}

fn bracketed(line: Line, old: &str, new: &str) -> Line {
    let line = line.text(Tone::Faint, "[");
    let line = match (old.trim(), new.trim()) {
        ("", new) => line.text(Tone::Add, &format!("+ {new}")),
        (old, "") => line.text(Tone::Remove, &format!("- {old}")),
        (old, new) => line.text(Tone::Remove, old).text(Tone::Faint, " -> ").text(Tone::Add, new),
    };
    let space = if old.ends_with(' ') || new.ends_with(' ') { " " } else { "" };
    line.text(Tone::Faint, "]").plain(space)
}

/// Equal and different stretches; differences with nothing but a space between them become one.
fn stretches(from: &str, to: &str) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let diff = TextDiff::from_words(from, to);
    for change in diff.iter_all_changes() {
        let text = change.value();
        match (change.tag(), stretches.last_mut()) {
            (ChangeTag::Equal, Some(Stretch::Same(same))) => same.push_str(text),
            (ChangeTag::Equal, _) => stretches.push(Stretch::Same(text.into())),
            (ChangeTag::Delete, Some(Stretch::Changed { old, .. })) => old.push_str(text),
            (ChangeTag::Insert, Some(Stretch::Changed { new, .. })) => new.push_str(text),
            (tag, _) => {
                let (mut old, mut new) = (String::new(), String::new());
                if tag == ChangeTag::Delete { &mut old } else { &mut new }.push_str(text);
                join(&mut stretches, old, new);
            }
        }
    }
    stretches
}

fn join(stretches: &mut Vec<Stretch>, old: String, new: String) {
    let blank = matches!(stretches.last(), Some(Stretch::Same(text)) if text.trim().is_empty());
    let after_change =
        stretches.len().checked_sub(2).is_some_and(|at| matches!(stretches[at], Stretch::Changed { .. }));
    if blank
        && after_change
        && let Some(Stretch::Same(space)) = stretches.pop()
    {
        if let Some(Stretch::Changed { old: before, new: after }) = stretches.last_mut() {
            before.push_str(&space);
            before.push_str(&old);
            after.push_str(&space);
            after.push_str(&new);
        }
    } else {
        stretches.push(Stretch::Changed { old, new });
    }
}

/// A long equal stretch without its middle, or without the end that nothing follows.
fn elided(text: &str, before: bool, after: bool) -> String {
    let length = count(text);
    let keep = CONTEXT * (usize::from(before) + usize::from(after));
    if length <= keep + CONTEXT {
        return text.into();
    }
    let head: String = if before { text.chars().take(CONTEXT).collect() } else { String::new() };
    let tail: String = if after { text.chars().skip(length - CONTEXT).collect() } else { String::new() };
    format!("{head}…{tail}")
}

/// Changed lines with one line around them.
fn by_line(from: &str, to: &str) -> Vec<Line> {
    let diff = TextDiff::from_lines(from, to);
    let mut lines = Vec::new();
    for (index, hunk) in diff.grouped_ops(1).iter().enumerate() {
        if index > 0 {
            lines.push(Line::new().text(Tone::Faint, "  …"));
        }
        for change in hunk.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = shortened(change.value().trim_end_matches(['\n', '\r']), LINE);
            let (mark, tone) = match change.tag() {
                ChangeTag::Equal => ("  ", Tone::Faint),
                ChangeTag::Delete => ("- ", Tone::Remove),
                ChangeTag::Insert => ("+ ", Tone::Add),
            };
            lines.push(Line::new().text(tone, mark).hang().text(tone, &text));
        }
    }
    if lines.len() > LINES {
        let more = lines.len() - LINES + 1;
        lines.truncate(LINES - 1);
        lines.push(Line::new().text(Tone::Faint, &format!("  … {more} more lines")));
    }
    lines
}
