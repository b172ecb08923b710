//! A plan as people read it: what comes, what changes and why, what hurts; nothing that stays as it is.

mod closing;
mod diff;
mod group;
mod steps;

use std::collections::BTreeSet;
use std::time::Duration;

use fraktalia_engine::Origin;
use fraktalia_model::Sources;
use fraktalia_plan::{Plan, Verb};

use super::line::Line;
use super::look::{Detail, Look, Tone};
use super::note;

pub use closing::{counts, impacts, left_alone, number};
pub use diff::write as fields;
pub use group::{Group, Row, groups, label};
pub use steps::why;

/// What is known about a plan besides the plan itself.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The manifest, as it was named.
    pub manifest: String,
    /// The commit that it was read from.
    pub origin: Option<Origin>,
    /// Keys of the fractals: their groups stand first.
    pub fractals: BTreeSet<String>,
    /// Our own homeserver: its users are called by the first half of their ids.
    pub server: Option<String>,
    /// How each system was read, in half a line: `2 changes since the last look`.
    pub read: Vec<(String, String)>,
    /// How long reading took.
    pub took: Option<Duration>,
}

/// The whole plan as text.
pub fn text(plan: &Plan, about: &About, sources: &Sources, look: &Look) -> String {
    let mut page = String::new();
    opening(plan, about, look.detail).write(look, &mut page);
    write_changes(plan, about, look, &mut page);
    if look.detail == Detail::Full && !plan.steps.is_empty() {
        steps::write(plan, look, &mut page);
    }
    end(plan, sources, look, &mut page);
    page
}

/// What changes, and nothing else: for who has the rest from the plan's document.
pub fn changes(plan: &Plan, about: &About, look: &Look) -> String {
    let mut page = String::new();
    write_changes(plan, about, look, &mut page);
    page.trim_start_matches('\n').into()
}

fn write_changes(plan: &Plan, about: &About, look: &Look, page: &mut String) {
    let mut groups = groups(plan, about);
    if look.detail == Detail::Brief {
        for group in &mut groups {
            group.rows.retain(|row| !row.told);
        }
    }
    let columns = Columns::of(&groups, look);
    for group in &groups {
        page.push('\n');
        write_group(group, columns, look, page);
    }
}

/// The plan for somebody who knows it already: how much there is to do, what hurts, and the findings.
pub fn summary(plan: &Plan, about: &About, sources: &Sources, look: &Look) -> String {
    let mut page = String::new();
    opening(plan, about, look.detail).write(look, &mut page);
    end(plan, sources, look, &mut page);
    page
}

fn end(plan: &Plan, sources: &Sources, look: &Look, page: &mut String) {
    closing::write(plan, look, page);
    if !plan.notes.is_empty() {
        page.push('\n');
        note::write_all(&plan.notes, sources, look, page);
    }
    if plan.is_blocked() {
        page.push('\n');
        closing::write_blocked(plan, look, page);
    }
}

/// `home  fraktalia.yaml @ 3f2a91c  read in 0.08 s (docker, matrix, openclaw)`
fn opening(plan: &Plan, about: &About, detail: Detail) -> Line {
    let mut line = Line::new().text(Tone::Strong, &plan.realm).space(2).hang().plain(&about.manifest);
    if let Some(commit) = &about.origin {
        line = line.text(Tone::Faint, &format!(" @ {commit}"));
    }
    if let Some(took) = about.took {
        line = line.text(Tone::Faint, &format!("  read in {:.2} s", took.as_secs_f64()));
    }
    let mut systems: Vec<String> = about
        .read
        .iter()
        .map(|(system, how)| match detail {
            Detail::Brief => system.strip_suffix("@local").unwrap_or(system).into(),
            Detail::Full if how.is_empty() => system.clone(),
            Detail::Full => format!("{system}: {how}"),
        })
        .collect();
    systems.dedup();
    if !systems.is_empty() {
        line = line.text(Tone::Faint, &format!(" ({})", systems.join(", ")));
    }
    line
}

/// Where the columns of all groups start.
#[derive(Clone, Copy, Debug)]
struct Columns {
    symbol: usize,
    title: usize,
    summary: usize,
}

impl Columns {
    fn of(groups: &[Group<'_>], look: &Look) -> Self {
        let rows = || groups.iter().flat_map(|group| &group.rows);
        let symbol = rows().map(|row| row.verb.symbol().len()).max().unwrap_or(1) + 1;
        let title = symbol + rows().map(Row::label_width).max().unwrap_or(0) + 2;
        // A few very long titles must not push every summary off the screen.
        let limit = look.width / 2;
        let widest = rows()
            .filter(|row| row.has_summary())
            .map(|row| Line::new().plain(&row.title).width())
            .filter(|width| title + width <= limit)
            .max()
            .unwrap_or(0);
        Self { symbol, title, summary: title + widest + 2 }
    }
}

fn write_group(group: &Group<'_>, columns: Columns, look: &Look, page: &mut String) {
    let mut heading = Line::new().text(Tone::Strong, group.subject);
    if let Some(mood) = group.mood {
        heading = heading.text(Tone::Faint, &format!("  {mood}"));
    }
    heading.write(look, page);
    for row in &group.rows {
        write_row(row, columns, look, page);
    }
}

fn write_row(row: &Row<'_>, columns: Columns, look: &Look, page: &mut String) {
    let tone = tone(row.verb);
    let mut line = Line::indented(row.indent())
        .text(tone, row.verb.symbol())
        .to_column(row.indent() + columns.symbol, 1)
        .plain(&row.label)
        .to_column(columns.title, 2);
    if row.title.is_empty() {
        line = line.hang();
    } else {
        line = line.text(Tone::Plain, &row.title);
        if row.has_summary() {
            line = line.to_column(columns.summary, 2);
        }
        line = line.hang();
    }
    line = late(line, &row.summary);
    if let Some(remark) = &row.remark {
        let text = if row.summary.is_empty() { remark.clone() } else { format!(" ({remark})") };
        line = line.text(Tone::Faint, &text);
    }
    line.write(look, page);
    if look.detail == Detail::Full {
        if let Some(path) = row.path {
            Line::indented(row.indent() + columns.symbol).text(Tone::Faint, path).write(look, page);
        }
        for id in &row.ids {
            Line::indented(row.indent() + columns.symbol)
                .text(Tone::Faint, &id.to_string())
                .write(look, page);
        }
    }
    diff::write(row.fields, row.indent() + columns.symbol, look, page);
}

/// Text in which what is not known yet stands out.
fn late(line: Line, text: &str) -> Line {
    const MARK: &str = "known after apply";
    let mut line = line;
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        line = line.plain(&rest[..at]).text(Tone::Late, MARK);
        rest = &rest[at + MARK.len()..];
    }
    line.plain(rest)
}

/// The colour of a verb; its symbol says the same.
pub fn tone(verb: Verb) -> Tone {
    match verb {
        Verb::Create => Tone::Add,
        Verb::Update | Verb::Replace => Tone::Change,
        Verb::Adopt | Verb::Forget => Tone::Own,
        Verb::Delete => Tone::Remove,
        Verb::Keep => Tone::Plain,
    }
}

#[cfg(test)]
mod tests;
