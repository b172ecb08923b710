//! Edits of a text, and their undoing.

use std::path::PathBuf;

use fraktalia_model::manifest::Dialect;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::apply::Editor;
use crate::dialect::{self, Config, Key, bindings};
use crate::document::Document;
use crate::error::FileError;
use crate::op::Known;
use crate::write::{self, Original, hash};

/// The way back: where the old file is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenClawUndo {
    /// The file.
    pub path: PathBuf,
    /// A copy of what it was.
    pub backup: PathBuf,
    /// SHA-256 of that, hex.
    pub hash: String,
}

/// The text after the edits. `None` when they change nothing.
pub(crate) fn edited(text: &str, edits: &[Known], wish: Option<Dialect>) -> Result<Option<String>, FileError> {
    let (mut document, before) = Document::parse_with_value(text)?;
    dialect::check(&document)?;
    let mut editor = Editor::new(&mut document, before.clone(), wish);
    for edit in edits {
        editor.apply(edit)?;
    }
    let after = document.render()?;
    if after == text {
        return Ok(None);
    }
    let value = document.value();
    guard(&before, &value, edits)?;
    Ok(Some(after))
}

/// That no agent and no binding is lost that no edit names. The gateway would accept a gutted file, and take it for
/// the last good one.
fn guard(before: &Json, after: &Json, edits: &[Known]) -> Result<(), FileError> {
    let (old, new) = (Config::read(before), Config::read(after));
    let dropped = |id: &str| {
        edits.iter().any(|edit| matches!(edit, Known::DropAgent { id: gone } if gone.eq_ignore_ascii_case(id)))
    };
    if let Some(id) = old.agents.keys().find(|id| !new.agents.contains_key(*id) && !dropped(id)) {
        return Err(FileError::WouldLose { what: format!("the agent `{id}`") });
    }
    let mut left: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for binding in bindings(after) {
        *left.entry(binding.to_string()).or_default() += 1;
    }
    let unnamed = |key: &Option<Key>| {
        !edits.iter().any(|edit| matches!(edit, Known::DropBinding(gone) if Some(gone) == key.as_ref()))
    };
    for (binding, key) in bindings(before).iter().zip(&old.routes) {
        let there = left.get_mut(&binding.to_string()).filter(|left| **left > 0);
        match there {
            Some(left) => *left -= 1,
            None if unnamed(key) => {
                let what = format!("a binding to `{}`", binding["agentId"].as_str().unwrap_or("?"));
                return Err(FileError::WouldLose { what });
            }
            None => {}
        }
    }
    Ok(())
}

/// Puts the file back to `old`, as far as nobody else has changed it since: byte for byte when it is as we wrote it,
/// edit by edit when somebody else wrote to it afterwards.
pub(crate) fn put_back(path: &std::path::Path, old: &str, edits: &[Known], wish: Option<Dialect>) -> Result<(), FileError> {
    let now = write::read(path)?;
    if now.hash == hash(old.as_bytes()) {
        return Ok(());
    }
    let ours = edited(old, edits, wish).ok().flatten();
    if ours.is_some_and(|ours| hash(ours.as_bytes()) == now.hash) {
        return write_text(&now, old);
    }
    let back = taken_back(&now.text, old, edits, wish)?;
    if back == now.text { Ok(()) } else { write_text(&now, &back) }
}

fn taken_back(text: &str, old: &str, edits: &[Known], wish: Option<Dialect>) -> Result<String, FileError> {
    let (_, before) = Document::parse_with_value(old)?;
    let before = Config::read(&before);
    let (mut document, value) = Document::parse_with_value(text)?;
    dialect::check(&document)?;
    let mut editor = Editor::new(&mut document, value, wish);
    for edit in edits.iter().rev() {
        editor.take_back(edit, &before)?;
    }
    Ok(document.render()?)
}

pub(crate) fn write_text(original: &Original, text: &str) -> Result<(), FileError> {
    original.replace(original.candidate(text)?)
}
