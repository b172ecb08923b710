//! Strict JSON5, read into a tree that keeps every byte.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use super::tree::{Container, Member, Node, Scalar, Slot, Text};
use super::trivia::{is_line_end, is_space};
use super::{DocumentError, Place};

/// Deeper than any real configuration, and far from the end of the stack.
const MAX_DEPTH: usize = 96;
/// Up to here a linear search for a duplicate key is cheaper than a table.
const FEW_KEYS: usize = 12;

pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

type Parsed<T> = Result<T, DocumentError>;

/// The trivia before the root value, the root, and the trivia after it.
pub(super) fn parse(text: &str) -> Parsed<(&str, Node<'_>, &str)> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let before = parser.trivia()?;
    let root = parser.value()?;
    let after = parser.trivia()?;
    match parser.peek() {
        None => Ok((before, root, after)),
        Some(c) => Err(parser.unexpected(c, "the end of the file")),
    }
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn syntax(&self, at: usize, what: impl Into<String>) -> DocumentError {
        DocumentError::Syntax { at: Place::of(self.text, at), what: what.into() }
    }

    fn unexpected(&self, c: char, wanted: &str) -> DocumentError {
        self.syntax(self.at, format!("`{}` where {wanted} was expected", c.escape_default()))
    }

    /// White space and comments.
    fn trivia(&mut self) -> Parsed<&'a str> {
        let start = self.at;
        loop {
            let rest = self.rest().trim_start_matches(is_space);
            self.at = self.text.len() - rest.len();
            if rest.starts_with("//") {
                self.at += rest.find(is_line_end).unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    return Err(self.syntax(self.at, "a comment that is never closed"));
                };
                self.at += end + 4;
            } else {
                return Ok(&self.text[start..self.at]);
            }
        }
    }

    fn value(&mut self) -> Parsed<Node<'a>> {
        match self.peek() {
            Some('{') => self.nested(|parser| {
                let object = parser.container('}', Self::member)?;
                parser.refuse_duplicates(&object)?;
                Ok(Node::Object(object))
            }),
            Some('[') => self.nested(|parser| Ok(Node::Array(parser.container(']', Self::value)?))),
            Some(_) => Ok(Node::Scalar(self.scalar()?)),
            None => Err(self.syntax(self.at, "the file ends where a value was expected")),
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Parsed<Node<'a>>) -> Parsed<Node<'a>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.syntax(self.at, format!("more than {MAX_DEPTH} levels of nesting")));
        }
        let node = read(self);
        self.depth -= 1;
        node
    }

    fn container<T>(
        &mut self,
        close: char,
        item: impl Fn(&mut Self) -> Parsed<T>,
    ) -> Parsed<Container<'a, T>> {
        let at = self.at;
        self.at += 1;
        let mut slots: Vec<Slot<'a, T>> = Vec::new();
        loop {
            let before = self.trivia()?;
            match self.peek() {
                Some(c) if c == close => {
                    self.at += 1;
                    return Ok(Container { at, slots, end: before.into() });
                }
                None => return Err(self.syntax(at, format!("a bracket that is never closed by `{close}`"))),
                Some(c) if slots.last().is_some_and(|slot| !slot.comma) => {
                    return Err(self.unexpected(c, "a comma"));
                }
                Some(_) => {}
            }
            let item = item(self)?;
            let mark = self.at;
            let after = self.trivia()?;
            let comma = self.peek() == Some(',');
            // Without a comma, what follows the element belongs to the end of the container.
            self.at = if comma { self.at + 1 } else { mark };
            slots.push(Slot {
                before: before.into(),
                item,
                after: if comma { after.into() } else { Cow::Borrowed("") },
                comma,
            });
        }
    }

    fn member(&mut self) -> Parsed<Member<'a>> {
        let at = self.at;
        let (raw, key) = self.key()?;
        let start = self.at;
        self.trivia()?;
        match self.peek() {
            Some(':') => self.at += 1,
            Some(c) => return Err(self.unexpected(c, "a colon")),
            None => return Err(self.syntax(self.at, "the file ends where a colon was expected")),
        }
        self.trivia()?;
        let colon = self.text[start..self.at].into();
        let value = self.value()?;
        Ok(Member { at, key, raw: raw.into(), colon, value })
    }

    fn key(&mut self) -> Parsed<(&'a str, Text<'a>)> {
        let start = self.at;
        if matches!(self.peek(), Some('"' | '\'')) {
            let raw = self.string_token()?;
            return Ok((raw, self.string_value(raw, start)?));
        }
        let raw = self.word();
        let plain = raw.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
            && raw.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
        if plain {
            return Ok((raw, raw.into()));
        }
        // Letters of other alphabets and escapes: the strict reader knows the rules.
        let probe = json5::from_str::<HashMap<String, u8>>(&format!("{{{raw}:0}}"));
        match probe.ok().and_then(|keys| keys.into_keys().next()) {
            Some(key) if !raw.is_empty() => Ok((raw, key.into())),
            _ => {
                let c = self.text[start..].chars().next().unwrap_or(' ');
                self.at = start;
                Err(self.unexpected(c, "a key"))
            }
        }
    }

    /// Everything up to the next punctuation, white space or comment.
    fn word(&mut self) -> &'a str {
        let start = self.at;
        let end = self
            .rest()
            .find(|c: char| is_space(c) || matches!(c, ',' | ':' | '{' | '}' | '[' | ']' | '/' | '"' | '\''))
            .unwrap_or(self.rest().len());
        self.at += end;
        &self.text[start..self.at]
    }

    fn string_token(&mut self) -> Parsed<&'a str> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let quote = bytes[start];
        let mut at = start + 1;
        loop {
            match bytes.get(at) {
                Some(b'\\') if bytes[at + 1..].starts_with(b"\r\n") => at += 3,
                Some(b'\\') => at += 2,
                Some(b) if *b == quote => break,
                Some(b'\n' | b'\r') => return Err(self.syntax(at, "a line end inside a string")),
                Some(_) => at += 1,
                None => return Err(self.syntax(start, "a string that is never closed")),
            }
        }
        self.at = at + 1;
        Ok(&self.text[start..self.at])
    }

    fn string_value(&self, raw: &'a str, at: usize) -> Parsed<Text<'a>> {
        if !raw.contains('\\') {
            return Ok(raw[1..raw.len() - 1].into());
        }
        json5::from_str::<String>(raw)
            .map(Cow::Owned)
            .map_err(|_| self.syntax(at, "a string with an escape that does not exist"))
    }

    fn scalar(&mut self) -> Parsed<Scalar<'a>> {
        let start = self.at;
        if matches!(self.peek(), Some('"' | '\'')) {
            let raw = self.string_token()?;
            let value = Json::String(self.string_value(raw, start)?.into_owned());
            return Ok(Scalar { raw: raw.into(), value });
        }
        let raw = self.word();
        let value = match raw {
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            "null" => Json::Null,
            "" => {
                let c = self.text[start..].chars().next().unwrap_or(' ');
                return Err(self.unexpected(c, "a value"));
            }
            other => json5::from_str(other)
                .map_err(|_| self.syntax(start, format!("`{}` is not a value", other.escape_debug())))?,
        };
        Ok(Scalar { raw: raw.into(), value })
    }

    /// Readers disagree on which of two equal keys counts, so neither may be edited.
    fn refuse_duplicates(&self, object: &Container<'a, Member<'a>>) -> Parsed<()> {
        let mut seen: HashSet<&str> = HashSet::new();
        for (index, slot) in object.slots.iter().enumerate() {
            let key = &*slot.item.key;
            let twice = if object.slots.len() <= FEW_KEYS {
                object.slots[..index].iter().any(|other| other.item.key == key)
            } else {
                !seen.insert(key)
            };
            if twice {
                let first = object.index_of(key).map_or(slot, |first| &object.slots[first]);
                return Err(DocumentError::DuplicateKey {
                    key: key.into(),
                    at: Place::of(self.text, slot.item.at),
                    first: Place::of(self.text, first.item.at),
                });
            }
        }
        Ok(())
    }
}
