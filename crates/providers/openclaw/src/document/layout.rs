//! How new text is written: like the text around it.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::tree::{Container, Member, Node, Scalar, Slot, Text};
use super::trivia::indent_after;

/// Arrays of scalars up to this many characters stay on one line.
const SHORT_ARRAY: usize = 72;

/// The order in which people write the members that we write; others follow by name.
const ORDER: [&str; 28] = [
    "kind",
    "source",
    "provider",
    "id",
    "agentId",
    "match",
    "channel",
    "accountId",
    "peer",
    "comment",
    "name",
    "identity",
    "workspace",
    "model",
    "primary",
    "fallbacks",
    "sandbox",
    "path",
    "mode",
    "workspaceAccess",
    "docker",
    "image",
    "network",
    "enabled",
    "allow",
    "userId",
    "homeserver",
    "accessToken",
];

/// The habits of the file, found once when it is read.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// One level of indentation.
    pub unit: String,
    /// `\n` or `\r\n`.
    pub eol: &'static str,
    /// Whether keys that may stand without quotes do.
    pub bare_keys: bool,
    /// `"` or `'`.
    pub quote: char,
}

/// Where a new value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// On one line.
    Line,
    /// An element on each line.
    Block,
}

impl Style {
    pub fn of(text: &str, root: &Node<'_>) -> Self {
        let first = match root {
            Node::Object(object) => object.slots.first(),
            _ => None,
        };
        let unit = first
            .and_then(|slot| indent_after(&slot.before))
            .filter(|indent| !indent.is_empty())
            .unwrap_or("  ");
        let crlf = text.find('\n').is_some_and(|at| text[..at].ends_with('\r'));
        let key = first.map_or("\"", |slot| &*slot.item.raw);
        let single = text.matches('\'').count() > text.matches('"').count();
        Self {
            unit: unit.into(),
            eol: if crlf { "\r\n" } else { "\n" },
            bare_keys: !key.starts_with(['"', '\'']),
            quote: if single { '\'' } else { '"' },
        }
    }

    /// A new value, its elements indented by `indent` and one level more.
    pub fn node<'a>(&self, value: &Json, layout: Layout, indent: &str) -> Node<'a> {
        match value {
            Json::Array(items) => {
                let layout = array_layout(items, layout);
                let nodes = items.iter().map(|item| self.node(item, layout, &self.deeper(indent))).collect();
                Node::Array(self.container(nodes, layout, indent, ""))
            }
            Json::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(key, _)| ORDER.iter().position(|k| k == key).unwrap_or(ORDER.len()));
                let members = members
                    .into_iter()
                    .map(|(key, value)| self.member(key, self.node(value, layout, &self.deeper(indent))))
                    .collect();
                Node::Object(self.container(members, layout, indent, " "))
            }
            scalar => Node::Scalar(self.scalar(scalar)),
        }
    }

    /// `key: value`
    pub fn member<'a>(&self, key: &str, value: Node<'a>) -> Member<'a> {
        Member {
            at: 0,
            key: Cow::Owned(key.into()),
            raw: Cow::Owned(self.key(key)),
            colon: ": ".into(),
            value,
        }
    }

    pub fn scalar<'a>(&self, value: &Json) -> Scalar<'a> {
        let raw = match value {
            Json::String(text) => self.quoted(text),
            other => other.to_string(),
        };
        Scalar { raw: raw.into(), value: value.clone() }
    }

    pub fn deeper(&self, indent: &str) -> String {
        format!("{indent}{}", self.unit)
    }

    pub fn line<'a>(&self, indent: &str) -> Text<'a> {
        format!("{}{indent}", self.eol).into()
    }

    fn container<'a, T>(
        &self,
        items: Vec<T>,
        layout: Layout,
        indent: &str,
        pad: &'static str,
    ) -> Container<'a, T> {
        let count = items.len();
        let block = layout == Layout::Block && count > 0;
        let inner = self.deeper(indent);
        let slots = items.into_iter().enumerate().map(|(index, item)| Slot {
            before: match (block, index) {
                (true, _) => self.line(&inner),
                (false, 0) => pad.into(),
                (false, _) => " ".into(),
            },
            item,
            after: "".into(),
            comma: index + 1 < count,
        });
        Container {
            at: 0,
            slots: slots.collect(),
            end: match (block, count) {
                (_, 0) => "".into(),
                (true, _) => self.line(indent),
                (false, _) => pad.into(),
            },
        }
    }

    fn key(&self, key: &str) -> String {
        let plain = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
        if self.bare_keys && plain { key.into() } else { self.quoted(key) }
    }

    /// A string in the file's quotes. Escapes are those of JSON, which JSON5 shares.
    fn quoted(&self, text: &str) -> String {
        let json = Json::String(text.into()).to_string();
        if self.quote == '"' || text.contains(['\'', '"']) {
            return json;
        }
        format!("'{}'", &json[1..json.len() - 1])
    }
}

/// Short arrays of scalars stay on one line wherever they are.
fn array_layout(items: &[Json], layout: Layout) -> Layout {
    let width: usize = items.iter().map(|item| item.to_string().len() + 2).sum();
    let flat = items.iter().all(|item| !item.is_object() && !item.is_array());
    if flat && width <= SHORT_ARRAY { Layout::Line } else { layout }
}
