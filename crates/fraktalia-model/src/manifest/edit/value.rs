//! Values as they go into a manifest, and how they are written.

use serde_json::Value as Json;

use crate::manifest::yaml::{Content, Node, Plain, plain};

/// Widest line that a value is written on.
const WIDTH: usize = 100;

/// A value of a manifest. Unlike JSON it keeps its keys in the order in which they are to be read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// A mapping; no key twice.
    Map(Vec<(String, Self)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&Json> for Value {
    fn from(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Self::Int(whole),
                None => Self::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Json::Object(members) => {
                Self::Map(members.iter().map(|(key, value)| (key.clone(), value.into())).collect())
            }
        }
    }
}

impl From<&Node> for Value {
    fn from(node: &Node) -> Self {
        match &node.content {
            Content::Null => Self::Null,
            Content::List(items) => Self::List(items.iter().map(Self::from).collect()),
            Content::Map(entries) => {
                Self::Map(entries.iter().map(|(key, value)| (key.value.clone(), value.into())).collect())
            }
            Content::Scalar { text, plain: false } => Self::Text(text.clone()),
            Content::Scalar { text, .. } => match plain(text) {
                Plain::Bool(value) => Self::Bool(value),
                Plain::Int(value) => Self::Int(value),
                Plain::Float(value) => Self::Float(value),
                Plain::Text => Self::Text(text.clone()),
            },
        }
    }
}

impl Value {
    /// As JSON, for programs.
    pub fn json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(Self::json).collect(),
            Self::Map(entries) => {
                Json::Object(entries.iter().map(|(key, value)| (key.clone(), value.json())).collect())
            }
        }
    }

    /// Whether both mean the same to a manifest: the order of keys means nothing, and an empty section is as good as
    /// none.
    pub fn means(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Map(one), Self::Map(two)) => {
                one.len() == two.len()
                    && one.iter().all(|(key, value)| {
                        two.iter().any(|(other, meant)| other == key && value.means(meant))
                    })
            }
            (Self::List(one), Self::List(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.means(two))
            }
            (one, two) if one.is_empty() && two.is_empty() => true,
            (one, two) => one == two,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
            _ => false,
        }
    }

    fn is_flat(&self) -> bool {
        match self {
            Self::Map(entries) => entries.iter().all(|(_, value)| !matches!(value, Self::Map(_))),
            Self::List(items) => items.iter().all(|item| !matches!(item, Self::Map(_) | Self::List(_))),
            _ => true,
        }
    }

    /// On one line, with brackets.
    pub fn flow(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => float(*value),
            Self::Text(text) => scalar(text),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::flow).collect::<Vec<_>>().join(", "))
            }
            Self::Map(entries) if entries.is_empty() => "{}".into(),
            Self::Map(entries) => {
                let each = entries.iter().map(|(key, value)| format!("{}: {}", scalar(key), value.flow()));
                format!("{{ {} }}", each.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// A number that is read back as the same, and not as a whole one.
fn float(value: f64) -> String {
    let text = format!("{value:?}");
    if text.parse::<i64>().is_ok() { format!("{text}.0") } else { text }
}

/// Lines of a mapping's entry, `indent` spaces in; deeper levels are `step` further.
pub(super) fn entry(key: &str, value: &Value, indent: usize, step: usize) -> String {
    let head = format!("{:indent$}{}:", "", scalar(key));
    below(&head, value, indent, step)
}

/// Lines of a list's item, its dash `indent` spaces in.
pub(super) fn item(value: &Value, indent: usize, step: usize) -> String {
    let flow = value.flow();
    let one_line = format!("{:indent$}- {flow}\n", "");
    match value {
        Value::Map(entries) if !entries.is_empty() && one_line.chars().count() > WIDTH => {
            let lines: String =
                entries.iter().map(|(key, value)| self::entry(key, value, indent + 2, step)).collect();
            format!("{:indent$}- {}", "", &lines[indent + 2..])
        }
        _ => one_line,
    }
}

fn below(head: &str, value: &Value, indent: usize, step: usize) -> String {
    let flow = format!("{head} {}\n", value.flow());
    let fits = flow.chars().count() <= WIDTH + 1 && value.is_flat();
    match value {
        Value::Map(entries) if !entries.is_empty() && !fits => {
            let lines = entries.iter().map(|(key, value)| entry(key, value, indent + step, step));
            format!("{head}\n{}", lines.collect::<String>())
        }
        Value::List(items) if !items.is_empty() && !fits => {
            let lines = items.iter().map(|value| item(value, indent + step, step));
            format!("{head}\n{}", lines.collect::<String>())
        }
        _ => flow,
    }
}

/// A text without quotes where nobody could read it as anything else, in any version of YAML.
fn scalar(text: &str) -> String {
    let safe =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '/' | '+' | '(' | ')' | '\'');
    let starts = text.starts_with(|c: char| c.is_alphanumeric() || c == '/' || c == '_');
    let odd_word = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_plain = starts
        && text.chars().all(safe)
        && !text.ends_with(' ')
        && plain(text) == Plain::Text
        // Dates, octal numbers and the like: some reader or other takes them for more than texts.
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && !odd_word.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.into() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            // Letters that turn the direction of writing hide what a line says.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
