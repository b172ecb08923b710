//! From a JSON body to the fragment that is filed: block YAML as a person would write it, with the JSON Pointer of each
//! line, so that findings can be told in the terms of the body.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A fragment, and what each of its lines is in the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub text: String,
    /// A JSON Pointer for each line.
    pub pointers: Vec<String>,
}

/// Words that YAML reads as something else than a text, in some version of it.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// Writes one fractal.
pub(crate) fn fragment(name: &str, keys: &Map<String, Value>) -> Fragment {
    let mut writer = Fragment::default();
    writer.line("fractals:", "");
    if keys.is_empty() {
        writer.line(&format!("  {}: {{}}", plain_or_quoted(name)), "/name");
    } else {
        writer.line(&format!("  {}:", plain_or_quoted(name)), "/name");
        writer.mapping(keys, 4, "");
    }
    writer
}

impl Fragment {
    fn line(&mut self, text: &str, pointer: &str) {
        self.text.push_str(text);
        self.text.push('\n');
        self.pointers.push(pointer.into());
    }

    fn mapping(&mut self, map: &Map<String, Value>, indent: usize, pointer: &str) {
        for (key, value) in map {
            let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            self.value(&format!("{}{}:", " ".repeat(indent), plain_or_quoted(key)), value, indent, &pointer);
        }
    }

    /// A value behind its key or dash, on the same line if it fits there.
    fn value(&mut self, before: &str, value: &Value, indent: usize, pointer: &str) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                self.line(before, pointer);
                self.mapping(map, indent + 2, pointer);
            }
            Value::Array(items) if !items.is_empty() => {
                self.line(before, pointer);
                for (index, item) in items.iter().enumerate() {
                    let dash = format!("{}-", " ".repeat(indent + 2));
                    self.value(&dash, item, indent + 2, &format!("{pointer}/{index}"));
                }
            }
            Value::String(text) => self.text(before, text, indent, pointer),
            other => self.line(&format!("{before} {other}"), pointer),
        }
    }

    fn text(&mut self, before: &str, text: &str, indent: usize, pointer: &str) {
        let Some(chomping) = block(text) else {
            return self.line(&format!("{before} {}", plain_or_quoted(text)), pointer);
        };
        self.line(&format!("{before} {chomping}"), pointer);
        for line in text.lines() {
            let indent = if line.is_empty() { 0 } else { indent + 2 };
            self.line(&format!("{}{line}", " ".repeat(indent)), pointer);
        }
    }
}

/// How a text of several lines is written as a block; `None` where a block would not say the same.
fn block(text: &str) -> Option<&'static str> {
    let starts_well = text.starts_with(|c: char| !c.is_whitespace());
    let lines_well = text.split('\n').all(|line| line.is_empty() || !line.trim().is_empty());
    let shows = text.chars().all(|c| c == '\n' || is_printable(c));
    if !text.contains('\n') || !starts_well || !lines_well || !shows {
        return None;
    }
    match text.len() - text.trim_end_matches('\n').len() {
        0 => Some("|-"),
        1 => Some("|"),
        _ => None,
    }
}

/// A text as it is, where it can be nothing else; else in quotes.
fn plain_or_quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|c| matches!(c, b'_' | b'-' | b'.' | b'/') || c.is_ascii_alphanumeric())
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.into() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_printable(c) => quoted.push(c),
            c => {
                // Writing into a text cannot fail.
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Whether a character may stand in YAML as it is, and is seen there.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        && (u32::from(c) & 0xfffe) != 0xfffe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn written(body: &Value) -> Fragment {
        fragment("cook", body.as_object().expect("an object"))
    }

    #[test]
    fn it_reads_like_what_a_person_writes() {
        let body = json!({
            "purpose": "Keeps the larder: eggs.", "members": ["ana", "@ben:chat.home"], "auto_reply": true,
            "persona": "You cook.\n\n  Gladly.\n", "forwards": [9001, { "host_port": 9002, "port": 80 }],
        });
        let fragment = written(&body);
        assert_eq!(
            fragment.text,
            "fractals:\n  cook:\n    auto_reply: true\n    forwards:\n      - 9001\n      -\n        host_port: 9002\n        \
             port: 80\n    members:\n      - ana\n      - \"@ben:chat.home\"\n    persona: |\n      You cook.\n\n        \
             Gladly.\n    purpose: \"Keeps the larder: eggs.\"\n"
        );
        assert_eq!(fragment.pointers.len(), fragment.text.lines().count());
        assert_eq!(fragment.pointers[6], "/forwards/1/host_port");
        assert_eq!(written(&json!({})).text, "fractals:\n  cook: {}\n");
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![any::<String>(), "[a-z \\n:#-]{0,20}", Just("yes".into()), Just("1e3".into())];
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<u16>().prop_map(Value::from),
            text.prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-zA-Z./ ~\"]{1,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Read by another library than ours, it says what the body said.
        #[test]
        fn whatever_is_written_reads_back_the_same(value in value()) {
            let body = json!({ "key": value });
            let fragment = written(&body);
            let read: Value = serde_saphyr::from_str(&fragment.text)
                .unwrap_or_else(|error| panic!("{error}\n{}", fragment.text));
            prop_assert_eq!(&read["fractals"]["cook"], &body, "{}", fragment.text);
            prop_assert_eq!(fragment.pointers.len(), fragment.text.matches('\n').count());
        }
    }
}
