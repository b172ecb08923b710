//! Where things stand in the files, and what was found out about them.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;

use crate::note::{Note, Notes, Span};

/// More findings than this are counted, not listed: nobody reads them, and a hostile file could ask for millions.
const LISTED: usize = 1000;

/// A place in one of the files that were read. Small, so that every value can carry one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// Index into [`Findings::files`].
    pub file: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters; 0 for what spans several lines.
    pub length: u32,
}

/// A value and the place where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Located<T> {
    /// Where.
    pub at: Mark,
    /// What.
    pub value: T,
}

/// Collects findings over all files of a manifest.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The files, as they are to be shown.
    pub files: Vec<PathBuf>,
    notes: Vec<(Option<Mark>, Note)>,
    unlisted: usize,
    errors: usize,
    /// Something could not be read as what it has to be: rules about what is *absent* would only repeat it.
    pub damaged: bool,
    /// Whole names are missing, because a file could not be read: nothing can be said about references.
    pub names_lost: bool,
    /// Top-level keys that stand in some file, whether they could be read or not.
    pub sections: HashSet<String>,
    /// Files that are not YAML, so that nothing is known about what in them is a secret.
    pub opaque: HashSet<u32>,
    /// Byte ranges, by file, that must not be shown to anybody.
    pub masked: Vec<(u32, Range<usize>)>,
}

impl Findings {
    /// The place as people see it.
    pub fn span(&self, at: Mark) -> Span {
        Span {
            file: self.files.get(at.file as usize).cloned().unwrap_or_default(),
            line: at.line,
            column: at.column,
            length: at.length,
        }
    }

    /// Something that is in the way.
    pub fn error(&mut self, code: &str, at: Mark, text: impl Into<String>, hint: impl Into<String>) {
        let note = Note::error(code, text).at(&self.span(at)).hint(hint);
        self.push(Some(at), note);
    }

    /// Something that is in the way, about two places. `at` is the one to change.
    pub fn clash(
        &mut self,
        code: &str,
        at: Mark,
        other: Mark,
        text: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let note = Note::error(code, text).at(&self.span(at)).and_at(&self.span(other)).hint(hint);
        self.push(Some(at), note);
    }

    /// Something that is probably not meant.
    pub fn warning(&mut self, code: &str, at: Mark, text: impl Into<String>, hint: impl Into<String>) {
        let note = Note::warning(code, text).at(&self.span(at)).hint(hint);
        self.push(Some(at), note);
    }

    /// Any other note.
    pub fn push(&mut self, at: Option<Mark>, note: Note) {
        self.errors += usize::from(note.severity == crate::Severity::Error);
        if self.notes.len() < LISTED {
            self.notes.push((at, note));
        } else {
            self.unlisted += 1;
        }
    }

    /// Hides the value of a key that sounds like a secret, where no reader will ask what it is.
    pub fn mask_if_secret(&mut self, key: &str, file: u32, value: Range<usize>) {
        if secret_word(key).is_some() {
            self.masked.push((file, value));
        }
    }

    /// How many findings are in the way.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Whether further notes would only be counted, so that their hints need not be worked out.
    pub fn crowded(&self) -> bool {
        self.notes.len() >= LISTED
    }

    /// All notes in the order of the places that they are about.
    pub fn into_notes(mut self) -> Notes {
        self.notes.sort_by_key(|(at, _)| *at);
        let mut notes: Notes = self.notes.into_iter().map(|(_, note)| note).collect();
        if self.unlisted > 0 {
            let text = format!("there are {} more findings than are listed here", self.unlisted);
            notes.push(Note::error("manifest.too-many-findings", text).hint("correct these first"));
        }
        notes
    }
}

/// Where in a text a word begins that is put on secrets.
pub(crate) fn secret_word(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    ["token", "tokn", "passw", "secret"].iter().filter_map(|word| lower.find(word)).min()
}
