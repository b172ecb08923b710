//! From a tree to types, all findings at once.
//!
//! [`section!`] declares a section of the manifest a single time; from that come the Rust type, its reader and its
//! JSON Schema, so that the three cannot disagree. Reading goes on after a finding: `None` means that this value
//! could not be read and that `findings` says why.

mod values;

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value as Json;

use super::finding::{Findings, Located, Mark};
use super::suggest;
use super::yaml::{Content, Node, Plain, plain};

pub(crate) use self::values::{Entries, Passed};

/// Reads trees, remembering where in the manifest it is.
pub(crate) struct Reader<'a> {
    /// What was found out so far.
    pub findings: &'a mut Findings,
    trail: Vec<Step>,
}

enum Step {
    Key(String),
    Index(usize),
}

/// A type that a value of the manifest can be read as.
pub(crate) trait FromNode: Sized {
    /// What has to stand there, for messages: "a text".
    const EXPECTED: &'static str;

    /// Reads a value; `None` after saying what is wrong with it.
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// What holds when the key is left out; `None` when it may not be.
    fn when_absent() -> Option<Self> {
        None
    }
}

/// What has a place.
pub(crate) trait Placed {
    /// Where it begins.
    fn at(&self) -> Mark;
}

impl<T> Placed for Located<T> {
    fn at(&self) -> Mark {
        self.at
    }
}

impl<'a> Reader<'a> {
    /// A reader at the top of a file.
    pub fn new(findings: &'a mut Findings) -> Self {
        Self { findings, trail: Vec::new() }
    }

    /// Reads what stands under a key.
    pub fn under<T: FromNode>(&mut self, key: &str, node: &Node) -> Option<T> {
        self.trail.push(Step::Key(key.into()));
        let value = T::from_node(node, self);
        self.trail.pop();
        value
    }

    /// Says that something is wrong with the value at hand.
    pub fn wrong(&mut self, code: &str, at: Mark, text: &str, hint: impl Into<String>) {
        let text = match self.place() {
            place if place.is_empty() => format!("the manifest {text}"),
            place => format!("`{place}` {text}"),
        };
        self.findings.damaged = true;
        self.findings.error(code, at, text, hint);
    }

    /// Says that a value is of the wrong type.
    pub fn mismatch<T: FromNode>(&mut self, node: &Node) {
        let (found, hint) = describe(&node.content, T::EXPECTED);
        let text = format!("has to be {}, not {found}", T::EXPECTED);
        self.wrong("manifest.wrong-type", node.at, &text, hint);
    }

    /// Says that a key is not known here.
    pub fn unknown(&mut self, key: &Located<String>, value: &Node, known: &[&str]) {
        self.findings.mask_if_secret(&key.value, value.at.file, value.bytes.clone());
        let place = self.place();
        let text = if place.is_empty() {
            format!("`{}` is not a key of the manifest", key.value)
        } else {
            format!("`{}` is not a key of `{place}`", key.value)
        };
        let meant = suggest::nearest(&key.value, known.iter().copied());
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the keys here are {}", list(known, "and")),
        };
        self.findings.damaged = true;
        // What was declared under a misspelt section is not unknown.
        self.findings.names_lost |= place.is_empty() && meant.is_some_and(|meant| DECLARING.contains(&meant));
        self.findings.error("manifest.unknown-key", key.at, text, hint);
    }

    /// Says that a required key is absent.
    pub fn missing(&mut self, key: &str, expected: &str, at: Mark) {
        let text = format!("lacks `{key}`");
        self.wrong("manifest.missing-key", at, &text, format!("add `{key}:` with {expected}"));
    }

    /// `fractals.gardener.members[0]`
    fn place(&self) -> String {
        use std::fmt::Write as _;
        let mut place = String::new();
        for step in &self.trail {
            match step {
                Step::Key(key) if place.is_empty() => place.push_str(key),
                Step::Key(key) => {
                    place.push('.');
                    place.push_str(key);
                }
                Step::Index(index) => {
                    let _ = write!(place, "[{index}]");
                }
            }
        }
        place
    }
}

/// Sections that declare names which others refer to.
const DECLARING: [&str; 6] = ["hosts", "users", "rooms", "networks", "sandboxes", "fractals"];

/// "`a`, `b` and `c`", with any word for "and".
fn list(words: &[&str], and: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {and} {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// What stands there, never its value: it may be a secret in the wrong place.
fn describe(content: &Content, expected: &str) -> (&'static str, String) {
    match content {
        Content::Null => ("nothing", format!("write {expected}, or leave the key away")),
        Content::List(_) => ("a list", format!("write {expected}")),
        Content::Map(_) => ("a mapping", format!("write {expected}")),
        Content::Scalar { text, plain: true } => match plain(text) {
            Plain::Bool(_) => ("a truth value", quotes(expected)),
            Plain::Int(_) | Plain::Float(_) if expected.contains("number") => {
                ("this number", singular(expected))
            }
            Plain::Int(_) | Plain::Float(_) => ("a number", quotes(expected)),
            Plain::Text if expected.contains("true or false") => {
                ("a text", "write `true` or `false`; `yes`, `no`, `on` and `off` are texts".into())
            }
            Plain::Text => ("a text", singular(expected)),
        },
        Content::Scalar { .. } if expected.contains("number") || expected.contains("true") => {
            ("a text", "leave the quotes away".into())
        }
        Content::Scalar { .. } => ("a text", singular(expected)),
    }
}

fn quotes(expected: &str) -> String {
    if expected.starts_with("a text") { "put it in quotes".into() } else { singular(expected) }
}

fn singular(expected: &str) -> String {
    if expected.starts_with("a list") {
        "put it in brackets: `[one, two]`".into()
    } else {
        format!("write {expected}")
    }
}

/// The schema of one key: that of its type, with the description that stands above the field.
pub(crate) fn property<T: JsonSchema>(generator: &mut SchemaGenerator, docs: &[&str]) -> Json {
    let mut schema = generator.subschema_for::<T>();
    let text: Vec<&str> = docs.iter().map(|line| line.trim()).collect();
    schema.insert("description".into(), text.join(" ").into());
    schema.to_value()
}

/// Declares a section of the manifest: the type, how it is read, and its JSON Schema.
///
/// A key is optional when its type says what holds without it (`Option`, lists, mappings).
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        $name:ident {
            $( $(#[doc = $field_doc:literal])* $field:ident: $type:ty, )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            /// Place of the section.
            pub at: $crate::manifest::finding::Mark,
            $( $(#[doc = $field_doc])* pub $field: $type, )*
        }

        impl $name {
            /// The keys of this section, in the order in which they are explained.
            pub const KEYS: &'static [&'static str] = &[
                $( $crate::manifest::read::key(stringify!($field)), )*
            ];
        }

        impl $crate::manifest::read::Placed for $name {
            fn at(&self) -> $crate::manifest::finding::Mark {
                self.at
            }
        }

        impl $crate::manifest::read::FromNode for $name {
            const EXPECTED: &'static str = "a section with keys";

            fn from_node(
                node: &$crate::manifest::yaml::Node,
                reader: &mut $crate::manifest::read::Reader<'_>,
            ) -> Option<Self> {
                let entries = $crate::manifest::read::section_entries::<Self>(node, reader)?;
                // Every key is read before any is missed, so that all findings are made.
                $( let mut $field: Option<Option<$type>> = None; )*
                for (key, value) in entries {
                    match key.value.as_str() {
                        $( word if word == $crate::manifest::read::key(stringify!($field)) => {
                            $field = Some(reader.under(word, value));
                        } )*
                        _ => reader.unknown(key, value, Self::KEYS),
                    }
                }
                $( let $field: Option<$type> = match $field {
                    Some(read) => read,
                    None => $crate::manifest::read::absent(
                        $crate::manifest::read::key(stringify!($field)), node.at, reader,
                    ),
                }; )*
                Some(Self { at: node.at, $( $field: $crate::manifest::read::or_absent($field)?, )* })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut properties = serde_json::Map::new();
                let mut required: Vec<&str> = Vec::new();
                $(
                    let key = $crate::manifest::read::key(stringify!($field));
                    properties.insert(
                        key.into(),
                        $crate::manifest::read::property::<$type>(generator, &[$($field_doc),*]),
                    );
                    if <$type as $crate::manifest::read::FromNode>::when_absent().is_none() {
                        required.push(key);
                    }
                )*
                let docs: &[&str] = &[$($doc),*];
                let description: Vec<&str> = docs.iter().map(|line| line.trim()).collect();
                let mut schema = schemars::json_schema!({
                    "type": "object",
                    "description": description.join(" "),
                    "properties": properties,
                    "additionalProperties": false,
                });
                if !required.is_empty() {
                    schema.insert("required".into(), required.into());
                }
                schema
            }
        }
    };
}
pub(crate) use section;

/// The key of a field: `in` for `r#in`.
pub(crate) const fn key(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// The entries of a section; an empty one has none.
pub(crate) fn section_entries<'n, T: FromNode>(
    node: &'n Node,
    reader: &mut Reader<'_>,
) -> Option<&'n [(Located<String>, Node)]> {
    match &node.content {
        Content::Null => Some(&[]),
        Content::Map(entries) => Some(entries),
        _ => {
            reader.mismatch::<T>(node);
            None
        }
    }
}

/// What holds for a key that is left out, said aloud when nothing does.
pub(crate) fn absent<T: FromNode>(key: &str, at: Mark, reader: &mut Reader<'_>) -> Option<T> {
    let value = T::when_absent();
    if value.is_none() {
        reader.missing(key, T::EXPECTED, at);
    }
    value
}

/// Goes on without a value that could not be read, where the manifest may do without it.
pub(crate) fn or_absent<T: FromNode>(value: Option<T>) -> Option<T> {
    value.or_else(T::when_absent)
}

/// Declares how the words of a closed list are read, and what they mean.
macro_rules! choices {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident -> $target:ty { $($word:literal => $value:expr, $why:literal;)* }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) struct $name(pub $target);

        impl $crate::manifest::read::FromNode for $name {
            const EXPECTED: &'static str = concat!("one of" $(, " `", $word, "`")*);

            fn from_node(
                node: &$crate::manifest::yaml::Node,
                reader: &mut $crate::manifest::read::Reader<'_>,
            ) -> Option<Self> {
                let word = $crate::manifest::read::word::<Self>(node, reader)?;
                match word {
                    $($word => Some(Self($value)),)*
                    _ => {
                        $crate::manifest::read::no_such_word::<Self>(node, word, &[$($word),*], reader);
                        None
                    }
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "oneOf": [$({ "const": $word, "description": $why }),*]
                })
            }
        }
    )*};
}
pub(crate) use choices;

/// The word that stands at a node. `off` is one: it is not a truth value in YAML 1.2.
pub(crate) fn word<'n, T: FromNode>(node: &'n Node, reader: &mut Reader<'_>) -> Option<&'n str> {
    if let Content::Scalar { text, .. } = &node.content {
        return Some(text);
    }
    reader.mismatch::<T>(node);
    None
}

/// Says that a word is not on the list.
pub(crate) fn no_such_word<T: FromNode>(node: &Node, word: &str, words: &[&str], reader: &mut Reader<'_>) {
    let hint = suggest::hint(word, words.iter().copied(), || format!("it can be {}", list(words, "or")));
    reader.wrong("manifest.unknown-word", node.at, &format!("cannot be `{word}`"), hint);
}
