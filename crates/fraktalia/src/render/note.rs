//! Findings and failures: what is the case, where, the line itself, and what to do about it.

use std::error::Error;

use std::collections::BTreeSet;

use fraktalia_model::{Note, Severity, Sources, Span};
use unicode_width::UnicodeWidthStr;

use super::escape::visible;
use super::line::{Line, shortened};
use super::look::{Detail, Look, Tone};
use crate::error::Failure;

/// A source line is cut after this many columns.
const LINE_LIMIT: usize = 160;

/// Notes one after another, the worst last: that is where eyes are. What several resources have in common is said once.
pub fn write_all(notes: &[Note], sources: &Sources, look: &Look, page: &mut String) {
    let mut sorted: Vec<&Note> = notes.iter().collect();
    sorted.sort_by_key(|note| note.severity);
    let mut said = BTreeSet::new();
    for note in sorted {
        let mut this = String::new();
        write(note, sources, look, &mut this);
        if !said.contains(&this) {
            page.push_str(&this);
            said.insert(this);
        }
    }
}

/// One note.
pub fn write(note: &Note, sources: &Sources, look: &Look, page: &mut String) {
    let (word, tone) = match note.severity {
        Severity::Info => ("note", Tone::Own),
        Severity::Warning => ("warning", Tone::Warn),
        Severity::Error => ("error", Tone::Bad),
    };
    Line::new().text(tone, &format!("{word}: ")).hang().plain(&note.text).write(look, page);
    for span in note.at.iter().chain(&note.other) {
        place(span, tone, sources, look, page);
    }
    if let Some(text) = &note.hint {
        hint(text, look, page);
    }
}

/// A warning about no place.
pub fn warning(text: &str, look: &Look, page: &mut String) {
    Line::new().text(Tone::Warn, "warning: ").hang().plain(text).write(look, page);
}

/// What to do next.
pub fn hint(text: &str, look: &Look, page: &mut String) {
    Line::indented(2).text(Tone::Hint, "hint: ").hang().plain(text).write(look, page);
}

/// `fraktalia.yaml:14:5`, the line, and a caret under what is meant.
fn place(span: &Span, tone: Tone, sources: &Sources, look: &Look, page: &mut String) {
    if span.line == 0 {
        return;
    }
    Line::indented(2).text(Tone::Faint, &span.to_string()).write(look, page);
    let Some(text) = sources.line(span) else { return };
    let start = usize::try_from(span.column.max(1) - 1).unwrap_or(0);
    let length = usize::try_from(span.length.max(1)).unwrap_or(1);
    let before: String = text.chars().take(start).collect();
    let meant: String = text.chars().skip(start).take(length).collect();
    let (offset, carets) = (visible(&before).width(), visible(&meant).width().max(1));
    let gutter = format!("{:>5} | ", span.line);
    let room = look.width.min(LINE_LIMIT).saturating_sub(2 + gutter.len());
    if offset + 1 > room {
        return;
    }
    // Not folded: the caret has to stand below its character.
    Line::indented(2).text(Tone::Faint, &gutter).plain(&shortened(&visible(text), room)).write(look, page);
    Line::indented(2)
        .text(Tone::Faint, &format!("{:>5} | ", ""))
        .space(offset)
        .text(tone, &"^".repeat(carets.min(room - offset)))
        .write(look, page);
}

/// Why a command failed: its findings, then one sentence, the causes and the hints.
pub fn write_failure(failure: &Failure, look: &Look, page: &mut String) {
    let nowhere = Sources::default();
    let sources = match failure {
        Failure::Manifest { sources, .. } => sources,
        _ => &nowhere,
    };
    write_all(failure.notes(), sources, look, page);
    if matches!(failure, Failure::Declined) {
        Line::new().plain("Nothing was changed.").write(look, page);
        return;
    }
    Line::new().text(Tone::Bad, "error: ").hang().plain(&causes(failure, look.detail)).write(look, page);
    for text in failure.hints() {
        hint(&text, look, page);
    }
}

/// An error with its causes. Some libraries repeat a cause in their own text; it is said once, unless all is wanted.
fn causes(error: &dyn Error, detail: Detail) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if detail == Detail::Full || !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::look::Detail;

    fn span(line: u32, column: u32, length: u32) -> Span {
        Span { file: "/fraktalia.yaml".into(), line, column, length }
    }

    fn sources(text: &str) -> Sources {
        let files = fraktalia_model::MemoryFiles::new().with("/fraktalia.yaml", text);
        fraktalia_model::manifest::load("/fraktalia.yaml".as_ref(), &files).sources
    }

    fn shown(note: &Note, source: &str) -> String {
        let look = Look { colour: false, width: 60, detail: Detail::Brief };
        let mut page = String::new();
        write(note, &sources(source), &look, &mut page);
        page
    }

    #[test]
    fn a_finding_shows_its_place_its_line_and_the_cure() {
        let note = Note::error("manifest.unknown-key", "`memebers` is not a key of a fractal")
            .at(&span(2, 3, 8))
            .hint("did you mean `members`?");
        insta::assert_snapshot!(shown(&note, "gardener:\n  memebers: [ana, ben]\n"), @r"
        error: `memebers` is not a key of a fractal
          /fraktalia.yaml:2:3
              2 |   memebers: [ana, ben]
                |   ^^^^^^^^
          hint: did you mean `members`?
        ");
    }

    #[test]
    fn a_clash_shows_both_places() {
        let note = Note::error("manifest.duplicate", "port 9000 is forwarded twice")
            .at(&span(1, 8, 4))
            .and_at(&span(2, 8, 4));
        insta::assert_snapshot!(shown(&note, "ports: 9000\nports: 9000\n"), @r"
        error: port 9000 is forwarded twice
          /fraktalia.yaml:1:8
              1 | ports: 9000
                |        ^^^^
          /fraktalia.yaml:2:8
              2 | ports: 9000
                |        ^^^^
        ");
    }

    #[test]
    fn the_caret_stands_below_its_character_after_wide_and_hidden_ones() {
        let note = Note::warning("x", "odd").at(&span(1, 6, 1));
        insta::assert_snapshot!(shown(&note, "日本\u{1b}: x"), @r"
        warning: odd
          /fraktalia.yaml:1:6
              1 | 日本\u{1b}: x
                |             ^
        ");
    }

    #[test]
    fn a_literal_secret_is_not_repeated_in_the_error_about_it() {
        let text = "version: 1\nrealm: home\nmatrix:\n  admin_token: syt_abcdef\n";
        let files = fraktalia_model::MemoryFiles::new().with("/fraktalia.yaml", text);
        let loaded = fraktalia_model::manifest::load("/fraktalia.yaml".as_ref(), &files);
        let look = Look { colour: false, width: 100, detail: Detail::Full };
        let failure = Failure::Manifest {
            path: "/fraktalia.yaml".into(),
            notes: loaded.notes,
            sources: loaded.sources,
        };
        let mut page = String::new();
        write_failure(&failure, &look, &mut page);
        assert!(page.contains("fraktalia.yaml:4:"), "{page}");
        assert!(!page.contains("syt_"), "{page}");
    }

    #[test]
    fn a_failure_names_its_causes_once_and_its_cure() {
        let failure = Failure::File {
            doing: "write",
            path: "week.plan".into(),
            source: std::io::Error::other("no space left on device"),
        };
        let mut page = String::new();
        write_failure(&failure, &Look { colour: false, width: 80, detail: Detail::Brief }, &mut page);
        assert_eq!(page, "error: cannot write week.plan: no space left on device\n");
    }

    #[test]
    fn a_place_that_cannot_be_read_any_more_is_still_named() {
        let note = Note::error("x", "gone").at(&span(99, 1, 1));
        assert_eq!(shown(&note, "a\n"), "error: gone\n  /fraktalia.yaml:99:1\n");
    }
}
