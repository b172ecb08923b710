//! How plain values are read: texts, numbers, lists, mappings.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value as Json};

use super::{FromNode, Reader, Step};
use crate::manifest::finding::{Located, Mark};
use crate::manifest::yaml::{Content, Node, Plain, plain};

impl<T: FromNode> FromNode for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.content {
            // A key with nothing behind it is as good as none, unless an empty section means something.
            Content::Null if T::when_absent().is_none() && !T::EXPECTED.starts_with("a section") => {
                Some(None)
            }
            _ => T::from_node(node, reader).map(Some),
        }
    }

    fn when_absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: FromNode> FromNode for Located<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        T::from_node(node, reader).map(|value| Self { at: node.at, value })
    }

    fn when_absent() -> Option<Self> {
        T::when_absent().map(|value| Self { at: Mark::default(), value })
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let items = match &node.content {
            Content::Null => return Some(Self::new()),
            Content::List(items) => items,
            _ => {
                reader.mismatch::<Self>(node);
                return None;
            }
        };
        let mut read = Self::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            reader.trail.push(Step::Index(index));
            read.extend(T::from_node(item, reader));
            reader.trail.pop();
        }
        Some(read)
    }

    fn when_absent() -> Option<Self> {
        Some(Self::new())
    }
}

/// A mapping from names that the person chose. An entry that could not be read keeps its name, so that references
/// to it are not called unknown.
#[derive(Clone, Debug)]
pub(crate) struct Entries<T>(pub Vec<(Located<String>, Option<T>)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Entries<T> {
    /// The entries that could be read.
    pub fn iter(&self) -> impl Iterator<Item = (&Located<String>, &T)> {
        self.0.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)))
    }

    /// All names.
    pub fn keys(&self) -> impl Iterator<Item = &Located<String>> {
        self.0.iter().map(|(key, _)| key)
    }
}

impl<T: FromNode> FromNode for Entries<T> {
    const EXPECTED: &'static str = "a mapping from names";

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Null => Some(Self::default()),
            Content::Map(entries) => Some(Self(
                entries.iter().map(|(key, value)| (key.clone(), reader.under(&key.value, value))).collect(),
            )),
            _ => {
                reader.mismatch::<Self>(node);
                reader.findings.names_lost = true;
                None
            }
        }
    }

    fn when_absent() -> Option<Self> {
        Some(Self::default())
    }
}

/// Reads a scalar by what it is.
macro_rules! scalars {
    ($($type:ty, $expected:literal, $pattern:pat => $value:expr;)*) => {$(
        impl FromNode for $type {
            const EXPECTED: &'static str = $expected;

            fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
                if let Content::Scalar { text, plain: true } = &node.content
                    && let $pattern = plain(text)
                    && let Ok(value) = $value
                {
                    return Some(value);
                }
                reader.mismatch::<Self>(node);
                None
            }
        }
    )*};
}

scalars! {
    bool, "true or false", Plain::Bool(value) => Ok::<_, ()>(value);
    u16, "a whole number from 0 to 65535", Plain::Int(value) => Self::try_from(value);
    u32, "a whole number, 0 or more", Plain::Int(value) => Self::try_from(value);
    i64, "a whole number", Plain::Int(value) => Ok::<_, ()>(value);
}

impl FromNode for f64 {
    const EXPECTED: &'static str = "a number";

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Scalar { text, plain: true } = &node.content
            && matches!(plain(text), Plain::Int(_) | Plain::Float(_))
            && let Ok(value) = text.parse()
        {
            return Some(value);
        }
        reader.mismatch::<Self>(node);
        None
    }
}

impl FromNode for String {
    const EXPECTED: &'static str = "a text";

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Scalar { text, plain: quoteless } if !*quoteless || plain(text) == Plain::Text => {
                Some(text.clone())
            }
            _ => {
                reader.mismatch::<Self>(node);
                None
            }
        }
    }
}

/// A mapping that is passed on as it stands, with the places of its own keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed {
    /// The keys, without those further down.
    pub keys: Vec<Located<String>>,
    /// The values.
    pub map: Map<String, Json>,
}

impl FromNode for Passed {
    const EXPECTED: &'static str = "a mapping";

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Null => Some(Self::default()),
            Content::Map(entries) => Some(Self {
                keys: entries.iter().map(|(key, _)| key.clone()).collect(),
                map: entries.iter().map(|(key, value)| (key.value.clone(), json(value))).collect(),
            }),
            _ => {
                reader.mismatch::<Self>(node);
                None
            }
        }
    }

    fn when_absent() -> Option<Self> {
        Some(Self::default())
    }
}

impl JsonSchema for Passed {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Passed".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["object", "null"] })
    }
}

fn json(node: &Node) -> Json {
    match &node.content {
        Content::Null => Json::Null,
        Content::List(items) => Json::Array(items.iter().map(json).collect()),
        Content::Map(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (key.value.clone(), json(value))).collect())
        }
        Content::Scalar { text, plain: false } => Json::String(text.clone()),
        Content::Scalar { text, .. } => match plain(text) {
            Plain::Bool(value) => value.into(),
            Plain::Int(value) => value.into(),
            Plain::Float(value) => value.into(),
            Plain::Text => Json::String(text.clone()),
        },
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Map_of_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // An empty entry (`ana:`) means an entry with all defaults.
        let value = generator.subschema_for::<Option<T>>();
        json_schema!({ "type": ["object", "null"], "additionalProperties": value })
    }
}
