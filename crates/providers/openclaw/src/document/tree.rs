//! The tree: every byte of the text is in exactly one place of it.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

/// A piece of the text that was read, or one of our own.
pub(super) type Text<'a> = Cow<'a, str>;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    Scalar(Scalar<'a>),
    Object(Container<'a, Member<'a>>),
    Array(Container<'a, Node<'a>>),
}

/// A string, number, boolean or null: as written, and what it means.
#[derive(Clone, Debug)]
pub(super) struct Scalar<'a> {
    pub raw: Text<'a>,
    pub value: Json,
}

/// `{...}` or `[...]`.
#[derive(Clone, Debug)]
pub(super) struct Container<'a, T> {
    /// Offset of the opening bracket in the text that was read; 0 for one of our own.
    pub at: usize,
    pub slots: Vec<Slot<'a, T>>,
    /// Between the last element (or its comma) and the closing bracket.
    pub end: Text<'a>,
}

/// An element with what stands around it.
#[derive(Clone, Debug)]
pub(super) struct Slot<'a, T> {
    /// Between the opening bracket or the comma before, and the element.
    pub before: Text<'a>,
    pub item: T,
    /// Between the element and its comma; empty where there is no comma.
    pub after: Text<'a>,
    pub comma: bool,
}

/// `key: value`
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    /// Offset of the key in the text that was read; 0 for one of our own.
    pub at: usize,
    /// What the key says.
    pub key: Text<'a>,
    /// How it is written.
    pub raw: Text<'a>,
    /// The colon, and what stands around it.
    pub colon: Text<'a>,
    pub value: Node<'a>,
}

/// An element of a container.
pub(super) trait Item<'a> {
    fn node(&self) -> &Node<'a>;
    fn print(&self, out: &mut String);
}

impl<'a> Item<'a> for Node<'a> {
    fn node(&self) -> &Node<'a> {
        self
    }
    fn print(&self, out: &mut String) {
        match self {
            Node::Scalar(scalar) => out.push_str(&scalar.raw),
            Node::Object(object) => object.print('{', '}', out),
            Node::Array(array) => array.print('[', ']', out),
        }
    }
}

impl<'a> Item<'a> for Member<'a> {
    fn node(&self) -> &Node<'a> {
        &self.value
    }
    fn print(&self, out: &mut String) {
        out.push_str(&self.raw);
        out.push_str(&self.colon);
        self.value.print(out);
    }
}

impl<'a, T: Item<'a>> Container<'a, T> {
    pub fn print(&self, open: char, close: char, out: &mut String) {
        out.push(open);
        for slot in &self.slots {
            out.push_str(&slot.before);
            slot.item.print(out);
            out.push_str(&slot.after);
            if slot.comma {
                out.push(',');
            }
        }
        out.push_str(&self.end);
        out.push(close);
    }
}

impl<'a> Container<'a, Member<'a>> {
    /// The place of the member `key`.
    pub fn index_of(&self, key: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot.item.key == key)
    }

    /// The value of the member `key`.
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.index_of(key).map(|index| &self.slots[index].item.value)
    }
}

impl Node<'_> {
    /// What it means.
    pub fn value(&self) -> Json {
        match self {
            Node::Scalar(scalar) => scalar.value.clone(),
            Node::Array(array) => array.slots.iter().map(|slot| slot.item.value()).collect(),
            Node::Object(object) => {
                let members =
                    object.slots.iter().map(|slot| (slot.item.key.to_string(), slot.item.value.value()));
                Json::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    /// Whether it means `value`.
    pub fn means(&self, value: &Json) -> bool {
        match (self, value) {
            (Node::Scalar(scalar), value) => scalar.value == *value,
            (Node::Array(array), Json::Array(values)) => {
                array.slots.len() == values.len()
                    && array.slots.iter().zip(values).all(|(slot, value)| slot.item.means(value))
            }
            (Node::Object(object), Json::Object(members)) => {
                object.slots.len() == members.len()
                    && object
                        .slots
                        .iter()
                        .all(|slot| members.get(&*slot.item.key).is_some_and(|v| slot.item.value.means(v)))
            }
            _ => false,
        }
    }

    /// Whether it takes up more than one line.
    pub fn spans_lines(&self) -> bool {
        match self {
            Node::Scalar(_) => false,
            Node::Object(object) => object.spans_lines(),
            Node::Array(array) => array.spans_lines(),
        }
    }
}

impl<'a, T: Item<'a>> Container<'a, T> {
    pub fn spans_lines(&self) -> bool {
        self.end.contains('\n')
            || self.slots.iter().any(|slot| slot.before.contains('\n') || slot.item.node().spans_lines())
    }
}
