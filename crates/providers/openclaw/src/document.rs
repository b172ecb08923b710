//! A JSON5 file as a tree that loses nothing: comments, order, quotes, line ends and white space stay where they
//! are, and an edit touches only the text it is about.
//!
//! Every byte of the file is in one place of the tree, so printing an untouched tree gives the file back. The
//! strict `json5` reader is asked for a second opinion on every text that is read and on every text that is about
//! to be written; where the two differ, nothing is read or written.

mod edit;
mod error;
mod layout;
mod parse;
mod tree;
mod trivia;

use std::fmt;

use serde_json::Value as Json;

pub use self::error::{DocumentError, Place};

use self::edit::Site;
use self::layout::{Layout, Style};
use self::tree::{Container, Member, Node};

const BOM: char = '\u{feff}';

/// A part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'p> {
    /// A member of an object.
    Key(&'p str),
    /// An element of an array.
    At(usize),
}

impl<'p> From<&'p str> for Step<'p> {
    fn from(key: &'p str) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step<'_> {
    fn from(index: usize) -> Self {
        Self::At(index)
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::At(index) => write!(f, "{index}"),
        }
    }
}

/// `agents.entries.lab`
pub(crate) fn dotted(path: &[Step<'_>]) -> String {
    path.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

/// A JSON5 text, open for edits. The root is always an object.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    source: &'a str,
    bom: bool,
    before: &'a str,
    root: Container<'a, Member<'a>>,
    after: &'a str,
    style: Style,
}

impl<'a> Document<'a> {
    /// Reads a text.
    ///
    /// # Errors
    /// When it is not strict JSON5, when an object has a key twice, when the root is not an object, or when the
    /// two readers differ.
    pub fn parse(text: &'a str) -> Result<Self, DocumentError> {
        let (document, value) = Self::parse_with_value(text)?;
        drop(value);
        Ok(document)
    }

    /// Reads a text, and what it means.
    pub(crate) fn parse_with_value(text: &'a str) -> Result<(Self, Json), DocumentError> {
        let source = text.strip_prefix(BOM).unwrap_or(text);
        let (before, root, after) = parse::parse(source)?;
        let style = Style::of(source, &root);
        let value = agree(source, &root)?;
        let Node::Object(root) = root else {
            return Err(DocumentError::WrongType {
                at: Place::of(source, before.len()),
                path: "(root)".into(),
                found: kind_of(&root),
                wanted: "an object",
            });
        };
        let document = Self { source, bom: source.len() < text.len(), before, root, after, style };
        Ok((document, value))
    }

    /// The text as it stands now, checked by the strict reader.
    ///
    /// # Errors
    /// When that reader understands it differently: a bug of ours, and nothing may be written.
    pub fn render(&self) -> Result<String, DocumentError> {
        let text = self.print();
        let body = text.strip_prefix(BOM).unwrap_or(&text);
        let read = strict(body)?;
        if read != self.value() {
            return Err(DocumentError::Ambiguous { detail: String::new() });
        }
        Ok(text)
    }

    fn print(&self) -> String {
        let mut out = String::with_capacity(self.source.len() + 4096);
        if self.bom {
            out.push(BOM);
        }
        out.push_str(self.before);
        self.root.print('{', '}', &mut out);
        out.push_str(self.after);
        out
    }

    /// What the text means.
    pub fn value(&self) -> Json {
        let members = self.root.slots.iter();
        Json::Object(members.map(|slot| (slot.item.key.to_string(), slot.item.value.value())).collect())
    }

    /// What stands at `path`.
    pub fn get(&self, path: &[Step<'_>]) -> Option<Json> {
        match path {
            [] => Some(self.value()),
            path => self.node(path).map(Node::value),
        }
    }

    /// The string at `path`.
    pub fn text(&self, path: &[Step<'_>]) -> Option<&str> {
        match self.node(path)? {
            Node::Scalar(scalar) => scalar.value.as_str(),
            _ => None,
        }
    }

    /// Whether there is anything at `path`.
    pub fn has(&self, path: &[Step<'_>]) -> bool {
        path.is_empty() || self.node(path).is_some()
    }

    /// The keys of the object at `path`, in their order; nothing where there is no object.
    pub fn keys(&self, path: &[Step<'_>]) -> Vec<&str> {
        let object = match path {
            [] => &self.root,
            path => match self.node(path) {
                Some(Node::Object(object)) => object,
                _ => return Vec::new(),
            },
        };
        object.slots.iter().map(|slot| &*slot.item.key).collect()
    }

    /// The length of the array at `path`; 0 where there is none.
    pub fn len_of(&self, path: &[Step<'_>]) -> usize {
        match self.node(path) {
            Some(Node::Array(array)) => array.slots.len(),
            _ => 0,
        }
    }

    /// The first element of the array at `path` whose member `key` is the string `value`, upper and lower case
    /// taken as equal.
    pub fn find(&self, path: &[Step<'_>], key: &str, value: &str) -> Option<usize> {
        let Some(Node::Array(array)) = self.node(path) else { return None };
        array.slots.iter().position(|slot| match &slot.item {
            Node::Object(object) => {
                matches!(object.get(key), Some(Node::Scalar(scalar))
                    if scalar.value.as_str().is_some_and(|found| found.eq_ignore_ascii_case(value)))
            }
            _ => false,
        })
    }

    /// The finding that the object or array at `path` has an element that is not an object.
    pub(crate) fn odd_element(&self, path: &[Step<'_>]) -> Option<DocumentError> {
        let (step, found) = match self.node(path)? {
            Node::Object(object) => object.slots.iter().find_map(|slot| {
                let odd = !matches!(slot.item.value, Node::Object(_));
                odd.then(|| (slot.item.key.to_string(), kind_of(&slot.item.value)))
            }),
            Node::Array(array) => array.slots.iter().enumerate().find_map(|(index, slot)| {
                let odd = !matches!(slot.item, Node::Object(_));
                odd.then(|| (index.to_string(), kind_of(&slot.item)))
            }),
            Node::Scalar(_) => None,
        }?;
        let at = self.place(path);
        let path = format!("{}.{step}", dotted(path));
        Some(DocumentError::WrongType { at, path, found, wanted: "an object" })
    }

    /// What kind of value stands at `path`: `an object`, `an array`, `a string` ...
    pub fn kind(&self, path: &[Step<'_>]) -> Option<&'static str> {
        match path {
            [] => Some("an object"),
            path => self.node(path).map(kind_of),
        }
    }

    /// The place of what stands at `path`, or of the nearest thing around it. Exact for what was read and is not
    /// edited yet.
    pub fn place(&self, path: &[Step<'_>]) -> Place {
        let mut offset = self.root.at;
        for end in 1..=path.len() {
            let (parent, last) = (&path[..end - 1], path[end - 1]);
            let found = match (parent, last) {
                ([], Step::Key(key)) => self.root.index_of(key).map(|index| self.root.slots[index].item.at),
                (parent, last) => match (self.node(parent), last) {
                    (Some(Node::Object(object)), Step::Key(key)) => {
                        object.index_of(key).map(|index| object.slots[index].item.at)
                    }
                    (Some(Node::Array(array)), Step::At(index)) => {
                        match array.slots.get(index).map(|s| &s.item) {
                            Some(Node::Object(object)) => Some(object.at),
                            Some(Node::Array(inner)) => Some(inner.at),
                            _ => Some(array.at),
                        }
                    }
                    _ => None,
                },
            };
            match found {
                Some(found) => offset = found,
                None => break,
            }
        }
        Place::of(self.source, offset)
    }

    fn node(&self, path: &[Step<'_>]) -> Option<&Node<'a>> {
        let (first, rest) = path.split_first()?;
        let Step::Key(key) = first else { return None };
        rest.iter().try_fold(self.root.get(key)?, |node, step| match (node, step) {
            (Node::Object(object), Step::Key(key)) => object.get(key),
            (Node::Array(array), Step::At(index)) => array.slots.get(*index).map(|slot| &slot.item),
            _ => None,
        })
    }

    /// Makes `path` mean `value`. Objects on the way that are missing are made; what is already equal, or equal
    /// in part, keeps its text.
    ///
    /// # Errors
    /// When something on the way is neither missing nor an object (or the array that `path` says).
    pub fn set(&mut self, path: &[Step<'_>], value: &Json) -> Result<(), DocumentError> {
        self.passable(path)?;
        self.edit(path, Edit::Set(value));
        Ok(())
    }

    /// Puts `value` into the array at `path`, before the element at `index` or at its end. A missing array is
    /// made.
    ///
    /// # Errors
    /// When there is something else than an array.
    pub fn insert(&mut self, path: &[Step<'_>], index: usize, value: &Json) -> Result<(), DocumentError> {
        match self.kind(path) {
            None => self.set(path, &Json::Array(vec![value.clone()])),
            Some("an array") => {
                self.edit(path, Edit::Insert(index, value));
                Ok(())
            }
            Some(found) => Err(self.wrong_type(path, found, "an array")),
        }
    }

    /// Takes out what stands at `path`. Says whether there was anything.
    pub fn remove(&mut self, path: &[Step<'_>]) -> bool {
        if !self.has(path) || path.is_empty() {
            return false;
        }
        self.edit(path, Edit::Remove);
        true
    }

    fn edit(&mut self, path: &[Step<'_>], edit: Edit<'_>) {
        let style = self.style.clone();
        let indent = trivia::indent_after(self.before).unwrap_or_default();
        let site = Site { style: &style, indent, layout: Layout::Block };
        edit_object(&mut self.root, path, edit, site);
    }

    /// That nothing stands in the way of a value at `path`.
    fn passable(&self, path: &[Step<'_>]) -> Result<(), DocumentError> {
        for end in 1..path.len() {
            let (parent, next) = (&path[..end], path[end]);
            match (self.node(parent), next) {
                (None, Step::Key(_)) => return Ok(()),
                (Some(Node::Object(_)), Step::Key(_)) => {}
                (Some(Node::Array(array)), Step::At(index)) if index < array.slots.len() => {}
                (Some(node), Step::Key(_)) => {
                    return Err(self.wrong_type(parent, kind_of(node), "an object"));
                }
                (Some(node), Step::At(_)) => {
                    return Err(self.wrong_type(parent, kind_of(node), "a longer array"));
                }
                (None, Step::At(_)) => return Err(self.wrong_type(parent, "missing", "an array")),
            }
        }
        Ok(())
    }

    /// The finding that `path` is not what it has to be.
    pub fn wrong_type(&self, path: &[Step<'_>], found: &'static str, wanted: &'static str) -> DocumentError {
        DocumentError::WrongType { at: self.place(path), path: dotted(path), found, wanted }
    }
}

#[derive(Clone, Copy)]
enum Edit<'e> {
    Set(&'e Json),
    Insert(usize, &'e Json),
    Remove,
}

/// Callers have made sure that the path can be walked; a path that cannot is left alone.
fn edit_object<'a>(
    object: &mut Container<'a, Member<'a>>,
    path: &[Step<'_>],
    edit: Edit<'_>,
    site: Site<'_>,
) {
    let Some((Step::Key(key), rest)) = path.split_first() else { return };
    match (object.index_of(key), rest, edit) {
        (Some(index), [], Edit::Remove) => object.remove(index),
        (_, [], Edit::Set(value)) => object.set(key, value, site),
        (Some(index), rest, edit) => {
            let site = object.site_within(index, site);
            edit_node(&mut object.slots[index].item.value, rest, edit, site.as_site());
        }
        (None, rest, Edit::Set(value)) => object.set(key, &nested(rest, value), site),
        (None, ..) => {}
    }
}

fn edit_node(node: &mut Node<'_>, path: &[Step<'_>], edit: Edit<'_>, site: Site<'_>) {
    match (node, path.split_first(), edit) {
        (Node::Object(object), Some(_), edit) => edit_object(object, path, edit, site),
        (Node::Array(array), None, Edit::Insert(index, value)) => array.insert_value(index, value, site),
        (Node::Array(array), Some((Step::At(index), rest)), edit) if *index < array.slots.len() => {
            match (rest, edit) {
                ([], Edit::Remove) => array.remove(*index),
                (rest, edit) => {
                    let site = array.site_within(*index, site);
                    edit_node(&mut array.slots[*index].item, rest, edit, site.as_site());
                }
            }
        }
        (node, None, Edit::Set(value)) => node.merge(value, site),
        _ => {}
    }
}

/// `{a: {b: value}}` for the path `a.b`.
fn nested(path: &[Step<'_>], value: &Json) -> Json {
    path.iter().rev().fold(value.clone(), |inner, step| match step {
        Step::Key(key) => Json::Object([((*key).to_owned(), inner)].into_iter().collect()),
        Step::At(_) => Json::Array(vec![inner]),
    })
}

fn kind_of(node: &Node<'_>) -> &'static str {
    match node {
        Node::Object(_) => "an object",
        Node::Array(_) => "an array",
        Node::Scalar(scalar) => match scalar.value {
            Json::String(_) => "a string",
            Json::Number(_) => "a number",
            Json::Bool(_) => "a boolean",
            _ => "null",
        },
    }
}

fn strict(text: &str) -> Result<Json, DocumentError> {
    json5::from_str(text).map_err(|error| DocumentError::Ambiguous { detail: format!(": {error}") })
}

fn agree(text: &str, root: &Node<'_>) -> Result<Json, DocumentError> {
    let value = strict(text)?;
    if root.means(&value) { Ok(value) } else { Err(DocumentError::Ambiguous { detail: String::new() }) }
}

#[cfg(test)]
mod tests;
