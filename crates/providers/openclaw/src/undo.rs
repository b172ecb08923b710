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
pub(crate) fn edited(
    text: &str,
    edits: &[Known],
    wish: Option<Dialect>,
) -> Result<Option<String>, FileError> {
    guarded(text, edits, wish, |editor| edits.iter().try_for_each(|edit| editor.apply(edit)))
}

/// The text after `work`, which may take away what `named` names, and nothing else.
fn guarded(
    text: &str,
    named: &[Known],
    wish: Option<Dialect>,
    work: impl FnOnce(&mut Editor<'_, '_>) -> Result<(), FileError>,
) -> Result<Option<String>, FileError> {
    let (mut document, before) = Document::parse_with_value(text)?;
    dialect::check(&document)?;
    let mut editor = Editor::new(&mut document, before.clone(), wish);
    work(&mut editor)?;
    let after = document.render()?;
    if after == text {
        return Ok(None);
    }
    let value = document.value();
    guard(&before, &value, named)?;
    Ok(Some(after))
}

/// That no agent and no binding is lost that no edit names. The gateway would accept a gutted file, and take it for
/// the last good one.
fn guard(before: &Json, after: &Json, edits: &[Known]) -> Result<(), FileError> {
    let (old, new) = (Config::read(before), Config::read(after));
    let dropped = |id: &str| {
        edits
            .iter()
            .any(|edit| matches!(edit, Known::DropAgent { id: gone } if gone.eq_ignore_ascii_case(id)))
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
pub(crate) fn put_back(
    path: &std::path::Path,
    old: &str,
    edits: &[Known],
    wish: Option<Dialect>,
) -> Result<(), FileError> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dialect::Peer;

    fn config() -> Json {
        json!({
            "agents": {"list": [{"id": "a"}, {"id": "b"}]},
            "bindings": [
                {"agentId": "a", "match": {"channel": "matrix", "peer": {"kind": "channel", "id": "!r"}}},
                {"agentId": "b", "match": {"channel": "telegram"}},
                {"agentId": "b", "match": {"channel": "telegram"}},
            ],
        })
    }

    #[test]
    fn an_agent_or_binding_that_no_edit_names_may_not_get_lost() {
        let before = config();
        let mut after = config();
        after["agents"]["list"].as_array_mut().expect("an array").remove(1);
        let error = guard(&before, &after, &[]).expect_err("an agent is gone");
        assert_eq!(error.to_string(), "the edit would have removed the agent `b`, which it does not name");
        guard(&before, &after, &[Known::DropAgent { id: "B".into() }]).expect("it is named");

        let mut after = config();
        after["bindings"].as_array_mut().expect("an array").remove(2);
        let error = guard(&before, &after, &[]).expect_err("one of two equal bindings is gone");
        assert_eq!(error.to_string(), "the edit would have removed a binding to `b`, which it does not name");

        let mut after = config();
        after["bindings"].as_array_mut().expect("an array").remove(0);
        let key = Key::new("a", None, Peer::Room("!r".into()));
        guard(&before, &after, &[Known::DropBinding(key)]).expect("it is named");
        let other = Key::new("a", None, Peer::Room("!other".into()));
        guard(&before, &after, &[Known::DropBinding(other)]).expect_err("another one is named");
    }

    #[test]
    fn an_edit_that_takes_more_with_it_than_it_names_is_not_written() {
        let text = "{ agents: { list: [{ id: 'a' }, { id: 'b' }] }, bindings: [] }";
        let drop = Known::DropAgent { id: "b".into() };
        let named = std::slice::from_ref(&drop);
        assert!(guarded(text, named, None, |editor| editor.apply(&drop)).expect("it is named").is_some());
        // What a bug in an edit would do.
        let error = guarded(text, &[], None, |editor| editor.apply(&drop)).expect_err("nothing names it");
        assert!(matches!(error, FileError::WouldLose { .. }), "{error}");
    }

    #[test]
    fn a_table_that_changed_its_shape_has_lost_nobody() {
        let mut after = config();
        after["agents"] = json!({"entries": {"a": {}, "b": {}}});
        guard(&config(), &after, &[]).expect("all are there");
    }

    #[test]
    fn taking_back_leaves_to_others_what_they_changed_since() {
        let old = "{ agents: { entries: { a: { name: 'A', model: 'x/y' } } }, bindings: [], channels: { matrix: {} } }";
        let field = |path: &str, value: &str| crate::spec::Field::new(path, value);
        let fields = vec![field("name", "New"), field("model.primary", "p/q"), field("identity.name", "New")];
        let edits = [
            Known::PutAgent { id: "a".into(), fields },
            Known::PutAgent { id: "b".into(), fields: vec![field("name", "B")] },
            Known::PutGroup { room: "!r".into(), auto_reply: Some(true) },
        ];
        let ours = edited(old, &edits, None).expect("edits").expect("changes");
        assert_eq!(value_of(&taken_back(&ours, old, &edits, None).expect("back")), {
            let mut want = value_of(old);
            // The table that had to be made for the group stays, empty.
            want["channels"]["matrix"]["groups"] = json!({});
            want
        });
        let theirs = ours.replace("name: 'New'", "name: 'Theirs'");
        let back = value_of(&taken_back(&theirs, old, &edits, None).expect("back"));
        assert_eq!(back["agents"]["entries"]["a"]["name"], "Theirs");
        assert_eq!(back["agents"]["entries"]["a"]["model"], "x/y");
    }

    fn value_of(text: &str) -> Json {
        Document::parse(text).expect("reads").value()
    }
}
