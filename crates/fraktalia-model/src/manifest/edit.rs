//! Changes a manifest and leaves all of it as it is but for what is changed: comments, order, layout, line ends.
//!
//! Each edit is one replacement in the text. What comes out is read again and compared with what was to come out, so
//! that a text with a layout that is not understood here is refused, and never damaged.

mod place;
mod value;

use std::ops::Range;

pub use value::Value;

use self::place::{Entry, Layout};
use super::finding::Findings;
use super::yaml::{self, Content, Node};

/// A text that could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is not YAML that can be read.
    #[error("this is not YAML")]
    NotYaml,
    /// What stands at a place is not what has to stand there.
    #[error("`{path}` is not {expected}")]
    Kind {
        /// Where.
        path: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// There is nothing at this place.
    #[error("there is no `{path}`")]
    Absent {
        /// Where.
        path: String,
    },
    /// The layout is one that cannot be changed without touching more.
    #[error("`{path}` is written in a way that cannot be changed in place")]
    Layout {
        /// Where.
        path: String,
    },
}

/// A manifest's text while it is changed.
#[derive(Clone, Debug)]
pub struct Text {
    now: String,
    bom: bool,
    newline: &'static str,
}

/// One replacement.
struct Patch {
    range: Range<usize>,
    with: String,
}

impl Text {
    /// A text to be changed.
    ///
    /// # Errors
    /// When it is not YAML.
    pub fn new(text: &str) -> Result<Self, EditError> {
        let (bom, text) = match text.strip_prefix('\u{feff}') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let crlf = text.find('\n').is_some_and(|at| text[..at].ends_with('\r'));
        let new = Self { now: text.into(), bom, newline: if crlf { "\r\n" } else { "\n" } };
        new.tree()?;
        Ok(new)
    }

    /// The text as it is now.
    pub fn text(&self) -> String {
        if self.bom { format!("\u{feff}{}", self.now) } else { self.now.clone() }
    }

    /// What stands at a place.
    pub fn get(&self, path: &[&str]) -> Option<Value> {
        let tree = self.tree().ok()?;
        find(&tree, path).map(Value::from)
    }

    /// The lines, from 1, on which the entry at `path` stands, or an item of the list there.
    pub fn lines(&self, path: &[&str], item: Option<usize>) -> Option<std::ops::RangeInclusive<u32>> {
        let tree = self.tree().ok()?;
        let entry = Entry::find(&tree, path, &self.now)?;
        let range = Layout::new(&self.now).extent(&entry, item)?;
        let line = |at: usize| u32::try_from(self.now[..at].matches('\n').count() + 1).ok();
        Some(line(range.start)?..=line(range.end)?)
    }

    /// Adds entries to the mapping at `path`, which is made where it is missing. No key may be there already.
    ///
    /// # Errors
    /// When that place is no mapping, or its layout is not understood.
    pub fn insert(&mut self, path: &[&str], entries: &[(String, Value)]) -> Result<(), EditError> {
        if entries.is_empty() {
            return Ok(());
        }
        let tree = self.tree()?;
        let mut wanted = Value::from(&tree);
        for (key, value) in entries {
            let full: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
            put(&mut wanted, &full, value.clone());
        }
        // Where the mapping is missing, it is an entry of the mapping above.
        let depth = (0..=path.len()).rev().find(|depth| find(&tree, &path[..*depth]).is_some()).unwrap_or(0);
        let mut all = entries.to_vec();
        for key in path[depth..].iter().rev() {
            all = vec![((*key).to_owned(), Value::Map(all))];
        }
        let path = &path[..depth];
        let node = find(&tree, path).ok_or_else(|| absent(path))?;
        let layout = Layout::new(&self.now);
        let patch = match &node.content {
            Content::Map(_) | Content::Null => layout.add_entries(&tree, path, node, &all),
            _ => return Err(EditError::Kind { path: path.join("."), expected: "a mapping" }),
        };
        self.replace(patch, path, &wanted)
    }

    /// Writes a value in the place of the one at `path`, or adds it.
    ///
    /// # Errors
    /// When the layout is not understood.
    pub fn set(&mut self, path: &[&str], value: &Value) -> Result<(), EditError> {
        let tree = self.tree()?;
        let Some((key, above)) = path.split_last() else { return Err(absent(path)) };
        let Some(entry) = Entry::find(&tree, path, &self.now) else {
            return self.insert(above, &[((*key).to_owned(), value.clone())]);
        };
        if Value::from(entry.value).means(value) {
            return Ok(());
        }
        let mut wanted = Value::from(&tree);
        put(&mut wanted, path, value.clone());
        let patch = Layout::new(&self.now).set(&entry, value);
        self.replace(patch, path, &wanted)
    }

    /// Takes the entry at `path` away; nothing happens where there is none.
    ///
    /// # Errors
    /// When the layout is not understood.
    pub fn remove(&mut self, path: &[&str]) -> Result<(), EditError> {
        let tree = self.tree()?;
        let Some(entry) = Entry::find(&tree, path, &self.now) else { return Ok(()) };
        let mut wanted = Value::from(&tree);
        if let Some((key, above)) = path.split_last()
            && let Some(Value::Map(entries)) = at(&mut wanted, above)
        {
            entries.retain(|(other, _)| other != key);
        }
        let patch = Layout::new(&self.now).remove(&entry);
        self.replace(patch, path, &wanted)
    }

    /// Adds items to the list at `path`, which is made where it is missing.
    ///
    /// # Errors
    /// When that place is no list, or its layout is not understood.
    pub fn push(&mut self, path: &[&str], items: &[Value]) -> Result<(), EditError> {
        let tree = self.tree()?;
        let Some((key, above)) = path.split_last() else { return Err(absent(path)) };
        let Some(entry) = Entry::find(&tree, path, &self.now) else {
            return self.insert(above, &[((*key).to_owned(), Value::List(items.to_vec()))]);
        };
        let mut wanted = Value::from(&tree);
        match at(&mut wanted, path) {
            Some(Value::List(list)) => list.extend(items.iter().cloned()),
            Some(other @ Value::Null) => *other = Value::List(items.to_vec()),
            _ => return Err(EditError::Kind { path: path.join("."), expected: "a list" }),
        }
        let patch = Layout::new(&self.now).push(&entry, items);
        self.replace(patch, path, &wanted)
    }

    /// Takes an item out of the list at `path`.
    ///
    /// # Errors
    /// When there is none, or its layout is not understood.
    pub fn take(&mut self, path: &[&str], index: usize) -> Result<(), EditError> {
        let tree = self.tree()?;
        let entry = Entry::find(&tree, path, &self.now).ok_or_else(|| absent(path))?;
        let mut wanted = Value::from(&tree);
        match at(&mut wanted, path) {
            Some(Value::List(list)) if index < list.len() => {
                list.remove(index);
            }
            _ => return Err(absent(path)),
        }
        let patch = Layout::new(&self.now).take(&entry, index);
        self.replace(patch, path, &wanted)
    }

    fn replace(&mut self, patch: Option<Patch>, path: &[&str], wanted: &Value) -> Result<(), EditError> {
        let refused = || EditError::Layout { path: path.join(".") };
        let Patch { range, mut with } = patch.ok_or_else(refused)?;
        if self.newline != "\n" {
            with = with.replace('\n', self.newline);
        }
        let mut new = self.clone();
        new.now.replace_range(range, &with);
        let got = new.tree().map_err(|_| refused())?;
        if !Value::from(&got).means(wanted) {
            return Err(refused());
        }
        *self = new;
        Ok(())
    }

    fn tree(&self) -> Result<Node, EditError> {
        let mut findings = Findings::default();
        let tree = yaml::parse(0, &self.now, yaml::Bounds::MANIFEST, &mut findings);
        tree.filter(|_| findings.errors() == 0).ok_or(EditError::NotYaml)
    }
}

fn absent(path: &[&str]) -> EditError {
    EditError::Absent { path: path.join(".") }
}

fn find<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    let Some((key, rest)) = path.split_first() else { return Some(node) };
    let Content::Map(entries) = &node.content else { return None };
    find(&entries.iter().find(|(other, _)| other.value == *key)?.1, rest)
}

fn at<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Value> {
    let Some((key, rest)) = path.split_first() else { return Some(value) };
    let Value::Map(entries) = value else { return None };
    at(&mut entries.iter_mut().find(|(other, _)| other == key)?.1, rest)
}

/// Puts a value at a place, making what is missing above it.
fn put(value: &mut Value, path: &[&str], new: Value) {
    let Some((key, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if matches!(value, Value::Null) {
        *value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = value else { return };
    match entries.iter_mut().find(|(other, _)| other == key) {
        Some((_, inner)) => put(inner, rest, new),
        None => {
            let mut inner = Value::Null;
            put(&mut inner, rest, new);
            entries.push(((*key).to_owned(), inner));
        }
    }
}

#[cfg(test)]
mod tests;
