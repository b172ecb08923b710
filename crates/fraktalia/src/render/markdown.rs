//! A plan as a comment on a pull request: a line that says it all, what hurts, and the rest to unfold.
//!
//! Names and texts stand in code spans and code blocks, where neither Markdown nor HTML nor mentions mean anything.

use std::fmt::Write;

use fraktalia_model::{Note, Severity};
use fraktalia_plan::{FieldChange, Plan};

use super::escape::visible;
use super::graph;
use super::plan::{About, Group, Row, counts, groups, impacts, left_alone};

/// Forges refuse comments of more than 65536 characters. Some count bytes, and a workflow may want to add a word.
const LIMIT: usize = 60_000;
/// Pictures of more steps than this show nothing.
const PICTURE_STEPS: usize = 60;
/// Findings of one kind beyond this many are counted.
const FINDINGS: usize = 30;
/// Findings longer than this many characters are cut.
const FINDING: usize = 600;
/// All findings of one kind may take so many bytes.
const ALERT: usize = 12_000;
/// Values beyond this many characters are cut.
const VALUE: usize = 400;

/// The whole comment, and as much of the rest as a comment may hold: what hurts and what changes come first, then old and
/// new of the fields, then the steps.
pub fn plan(plan: &Plan, about: &About) -> String {
    let at = about.origin.as_ref().map_or_else(String::new, |commit| format!(" at `{commit}`"));
    let mut page = format!("### fraktalia: {}\n\n", headline(plan));
    let _ = writeln!(page, "Realm {}, {}{at}.\n", code(&plan.realm), code(&about.manifest));
    alerts(plan, &mut page);
    let mut end = String::new();
    if let Some(left) = left_alone(plan) {
        let _ = writeln!(end, "Not ours, left alone: {}.", prose(&left));
    }
    let groups = groups(plan, about);
    let mut left_out: Vec<&str> = Vec::new();
    // For the words on what is left out.
    let room = LIMIT.saturating_sub(end.len() + 200);
    if !table(&groups, room, &mut page) {
        left_out.push("the rest of the changes");
    }
    let mut pieces = [("old and new of the fields", details(&groups)), ("the steps", steps(plan, true))];
    if page.len() + pieces[0].1.len() + pieces[1].1.len() > room {
        pieces[1].1 = steps(plan, false);
    }
    for (what, piece) in pieces {
        if page.len() + piece.len() <= room {
            page.push_str(&piece);
        } else {
            left_out.push(what);
        }
    }
    if !left_out.is_empty() {
        let what = left_out.join(", ");
        let _ =
            writeln!(page, "*Too long for a comment, and left out: {what}. `fraktalia plan` shows all.*\n");
    }
    page + &end
}

fn headline(plan: &Plan) -> String {
    match counts(plan) {
        Some(counts) if plan.is_blocked() => format!("blocked ({counts})"),
        Some(counts) => counts,
        None if plan.is_blocked() => "blocked".into(),
        None => "nothing to do".into(),
    }
}

/// What is in the way, what cannot be undone and what disturbs, as the forge's own alerts.
fn alerts(plan: &Plan, page: &mut String) {
    let notes = |severity| plan.notes.iter().filter(move |note| note.severity == severity);
    let impacts = impacts(plan);
    let effects = |effects: &std::collections::BTreeMap<&str, Vec<&str>>| -> Vec<String> {
        let line = |(what, titles): (&&str, &Vec<&str>)| format!("{}: {}", list(titles), prose(what));
        effects.iter().map(line).collect()
    };
    let mut caution: Vec<String> = notes(Severity::Error).map(note).collect();
    caution.extend(effects(&impacts.irreversible).iter().map(|line| format!("**Irreversible.** {line}")));
    let mut warning: Vec<String> =
        effects(&impacts.disruptive).iter().map(|line| format!("**Disruptive.** {line}")).collect();
    warning.extend(notes(Severity::Warning).map(note));
    alert("CAUTION", &caution, page);
    alert("WARNING", &warning, page);
    alert("NOTE", &notes(Severity::Info).map(note).collect::<Vec<_>>(), page);
}

fn alert(kind: &str, lines: &[String], page: &mut String) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(page, "> [!{kind}]");
    let (mut length, mut shown) = (0, 0);
    for line in lines.iter().take(FINDINGS) {
        length += line.len();
        if length > ALERT {
            break;
        }
        shown += 1;
        let _ = writeln!(page, "> - {line}");
    }
    if lines.len() > shown {
        let _ = writeln!(page, "> - and {} more", lines.len() - shown);
    }
    page.push('\n');
}

fn note(note: &Note) -> String {
    let mut line = prose(&cut(&note.text, FINDING));
    if let Some(at) = &note.at {
        let _ = write!(line, " ({})", code(&at.to_string()));
    }
    if let Some(hint) = &note.hint {
        let _ = write!(line, " *{}*", prose(&cut(hint, FINDING)));
    }
    line
}

fn cut(text: &str, limit: usize) -> String {
    let mut chars = text.chars();
    let mut cut: String = chars.by_ref().take(limit).collect();
    if chars.next().is_some() {
        cut.push('…');
    }
    cut
}

fn list(titles: &[&str]) -> String {
    match titles {
        [first, _, _, ..] => format!("{} and {} more", code(first), titles.len() - 1),
        titles => titles.iter().map(|title| code(title)).collect::<Vec<_>>().join(", "),
    }
}

/// What changes, as long as there is room; whether all of it is there.
fn table(groups: &[Group<'_>], room: usize, page: &mut String) -> bool {
    if groups.is_empty() {
        return true;
    }
    page.push_str("| | | | |\n|---|---|---|---|\n");
    let mut whole = true;
    for group in groups {
        let mood = group.mood.map(|mood| format!(" *{mood}*")).unwrap_or_default();
        let mut rows = format!("| | **{}**{mood} | | |\n", prose(group.subject));
        for row in group.rows.iter().filter(|row| !row.told) {
            let (symbol, label) = (row.verb.symbol(), prose(&row.label));
            let _ = writeln!(rows, "| `{symbol}` | {label} | {} | {} |", cell(&row.title), behind(row));
        }
        if page.len() + rows.len() > room {
            whole = false;
            break;
        }
        page.push_str(&rows);
    }
    page.push('\n');
    whole
}

fn cell(text: &str) -> String {
    if text.is_empty() { String::new() } else { code(text) }
}

fn behind(row: &Row<'_>) -> String {
    let mut parts = Vec::new();
    if !row.summary.is_empty() {
        parts.push(prose(&row.summary));
    }
    if !row.fields.is_empty() {
        let names: Vec<String> = row.fields.iter().take(4).map(|field| code(&field.field)).collect();
        let more = row.fields.len().saturating_sub(4);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(format!("{}{more}", names.join(", ")));
    }
    if let Some(remark) = &row.remark {
        parts.push(format!("*{}*", prose(remark)));
    }
    parts.join(" ")
}

/// Old and new of every field, folded away.
fn details(groups: &[Group<'_>]) -> String {
    let mut page = String::new();
    let changed: Vec<(&Group<'_>, &Row<'_>)> = groups
        .iter()
        .flat_map(|group| group.rows.iter().map(move |row| (group, row)))
        .filter(|(_, row)| !row.fields.is_empty())
        .collect();
    if changed.is_empty() {
        return page;
    }
    let mut block = String::new();
    for (group, row) in &changed {
        let _ =
            writeln!(block, "# {}: {} {}", visible(group.subject), visible(&row.label), visible(&row.title));
        for field in row.fields {
            write_field(field, &mut block);
        }
    }
    let count: usize = changed.iter().map(|(_, row)| row.fields.len()).sum();
    let s = if count == 1 { "" } else { "s" };
    let _ = writeln!(page, "<details><summary>Old and new of {count} field{s}</summary>\n");
    fenced("diff", &block, &mut page);
    page.push_str("</details>\n\n");
    page
}

fn write_field(field: &FieldChange, block: &mut String) {
    let _ = writeln!(block, "  {}  ({})", visible(&field.field), field.cause.text());
    for (mark, value) in [('-', &field.from), ('+', &field.to)] {
        let Some(value) = value else { continue };
        let cut: String = value.chars().take(VALUE).collect();
        let more = if cut.len() < value.len() { "…" } else { "" };
        for line in cut.split('\n') {
            let _ = writeln!(block, "{mark} {}", visible(line));
        }
        if !more.is_empty() {
            let _ = writeln!(block, "{mark} {more}");
        }
    }
}

fn steps(plan: &Plan, with_picture: bool) -> String {
    let mut page = String::new();
    if plan.steps.is_empty() {
        return page;
    }
    let waves = plan.waves();
    let _ = writeln!(
        page,
        "<details><summary>{} in {}</summary>\n",
        super::plan::number(plan.steps.len(), "step"),
        super::plan::number(waves.len(), "wave"),
    );
    if with_picture && plan.steps.len() <= PICTURE_STEPS {
        fenced("mermaid", &graph::mermaid(plan), &mut page);
    }
    for (index, wave) in (1..).zip(&waves) {
        let _ = writeln!(page, "**Wave {index}**\n");
        for step in wave.iter().filter_map(|&id| plan.step(id)) {
            let _ = writeln!(page, "- {} {}", code(step.system.as_str()), prose(&step.title));
        }
        page.push('\n');
    }
    page.push_str("</details>\n\n");
    page
}

/// A code block whose fence is longer than any in `text`.
fn fenced(language: &str, text: &str, page: &mut String) {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    let _ = writeln!(page, "{fence}{language}\n{}\n{fence}\n", text.trim_end());
}

fn longest_run(text: &str) -> usize {
    text.split(|at| at != '`').map(str::len).max().unwrap_or(0)
}

/// `text` as code, also inside a table.
pub fn code(text: &str) -> String {
    let text = visible(text).replace('|', "\\|");
    if text.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') || text.starts_with(' ') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// `text` between other text: no markup, no HTML, no mention, no issue reference, no link.
pub fn prose(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 8);
    // A zero-width space keeps the forge from making a link of an address.
    let text = visible(text).replace("://", ":\u{200b}//").replace("www.", "www\u{200b}.");
    for at in text.chars() {
        match at {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // The same for people and issues.
            '@' => safe.push_str("@&#8203;"),
            '#' => safe.push_str("#&#8203;"),
            '\u{200b}' => safe.push_str("&#8203;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => {
                safe.push('\\');
                safe.push(at);
            }
            _ => safe.push(at),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{about, blocked, comes, empty, garden};
    use fraktalia_model::id;

    #[test]
    fn a_comment_says_it_all_in_one_line_and_unfolds_the_rest() {
        insta::assert_snapshot!(plan(&garden(), &about(&["gardener", "cook"])));
    }

    #[test]
    fn a_blocked_plan_begins_with_what_is_in_the_way() {
        let page = plan(&blocked(), &about(&["gardener", "cook"]));
        insta::assert_snapshot!(page.split("| | |").next().unwrap_or_default());
    }

    #[test]
    fn nothing_to_do_is_two_lines() {
        insta::assert_snapshot!(plan(&empty(), &about(&[])), @r"
        ### fraktalia: nothing to do

        Realm `home`, `fraktalia.yaml` at `3f2a91c`.
        ");
    }

    #[test]
    fn text_from_outside_is_neither_markup_nor_a_mention() {
        let evil = "@everyone #12 <img src=x> [a](http://b) ``` | **x** \n> quote";
        let mut source = empty();
        source.changes = vec![comes(id::room("lab"), evil, evil, evil)];
        source.realm = evil.into();
        let page = plan(&source, &about(&[]));
        // What stands in code is text already.
        let outside: String = page.split("````").step_by(2).collect();
        assert!(!outside.contains("@everyone") && !outside.contains("#12"), "{outside}");
        let links = outside.replace("\\]", "");
        assert!(!outside.contains("<img") && !links.contains("](http"), "{outside}");
        assert!(!page.contains("\n> quote"));
        insta::assert_snapshot!(page);
    }

    #[test]
    fn a_comment_is_never_longer_than_forges_take_and_says_what_it_leaves_out() {
        let mut source = garden();
        let long = "word ".repeat(80);
        let change = source.changes.iter().find(|change| !change.fields.is_empty()).unwrap().clone();
        for number in 0..400 {
            let mut change = change.clone();
            change.subject = format!("f{number}");
            change.id = id::room(&change.subject);
            change.fields[0].to = Some(long.clone());
            source.changes.push(change);
        }
        let page = plan(&source, &about(&[]));
        assert!(page.len() < LIMIT, "{}", page.len());
        assert!(page.contains("left out: old and new of the fields"), "{}", &page[page.len() - 400..]);
        assert!(page.contains("**f399**"), "all changes are named");
        source.changes = (0..5000)
            .map(|number| {
                comes(id::room(&format!("r{number}")), &format!("r{number}"), "#r:chat.home", &long)
            })
            .collect();
        source.notes = vec![fraktalia_model::Note::error("x", long.repeat(1000)); 1000];
        let page = plan(&source, &about(&[]));
        assert!(page.len() < LIMIT, "{}", page.len());
        assert!(page.contains(" more\n") && page.contains("the rest of the changes"));
        assert!(page.ends_with("shows all.*\n\n") || page.contains("Not ours, left alone"));
    }

    #[test]
    fn a_fence_is_longer_than_any_inside() {
        let mut page = String::new();
        fenced("diff", "a\n````\nb", &mut page);
        assert!(page.starts_with("`````diff\n") && page.contains("\n`````\n"), "{page}");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
    }
}
