//! The page of the manifest, made from its JSON Schema.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;

use serde_json::{Map, Value as Json};

use super::head;

/// All sections of the manifest, each key with its type, default and meaning.
pub fn page(schema: &Json) -> String {
    let mut page = head("The manifest");
    if let Some(text) = schema["description"].as_str() {
        let _ = writeln!(page, "{text}\n");
    }
    page.push_str(
        "A complete example with comments is `fraktalia.yaml.example`. `fraktalia schema` prints the JSON Schema from \
         which this page is made.\n\n",
    );
    let pages = Pages { definitions: schema["definitions"].as_object() };
    let mut open = VecDeque::from([("Top level".to_owned(), schema)]);
    let mut seen = BTreeSet::new();
    while let Some((title, section)) = open.pop_front() {
        pages.section(&title, section, &mut page, &mut |name| {
            if seen.insert(name.to_owned())
                && let Some(definition) = pages.definition(name)
            {
                open.push_back((name.to_owned(), definition));
            }
        });
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

struct Pages<'a> {
    definitions: Option<&'a Map<String, Json>>,
}

impl<'a> Pages<'a> {
    fn definition(&self, name: &str) -> Option<&'a Json> {
        self.definitions?.get(name)
    }

    /// One object. `visit` is told which other definitions it names.
    fn section(&self, title: &str, section: &Json, page: &mut String, visit: &mut dyn FnMut(&str)) {
        let _ = writeln!(page, "## {title}\n");
        if title != "Top level"
            && let Some(text) = section["description"].as_str()
        {
            let _ = writeln!(page, "{text}\n");
        }
        let Some(properties) = section["properties"].as_object() else {
            let _ = writeln!(page, "{}\n", self.kind(section, visit));
            self.alternatives(section, page);
            return;
        };
        let required: BTreeSet<&str> =
            section["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        page.push_str("| key | | meaning |\n|---|---|---|\n");
        for (key, value) in properties {
            let mut meaning = self.text(value);
            if required.contains(key.as_str()) {
                meaning = format!("**Required.** {meaning}");
            }
            match &value["default"] {
                Json::Null => {}
                Json::Object(empty) if empty.is_empty() => {}
                Json::Array(empty) if empty.is_empty() => {}
                default => {
                    let _ = write!(meaning, " Default: `{default}`.");
                }
            }
            let kind = self.kind(value, visit);
            let _ = writeln!(page, "| `{key}` | {} | {} |", cell(&kind), cell(meaning.trim()));
        }
        page.push('\n');
    }

    /// The choices of something that is no object, each with its meaning.
    fn alternatives(&self, section: &Json, page: &mut String) {
        let choices = section["oneOf"].as_array().or(section["anyOf"].as_array());
        for choice in choices.into_iter().flatten() {
            let text = self.text(choice);
            let names: Vec<String> = names(choice);
            if !names.is_empty() {
                let _ = writeln!(page, "- {}: {text}", names.join(", "));
            }
        }
        if choices.is_some() {
            page.push('\n');
        }
    }

    fn text(&self, value: &Json) -> String {
        let own = value["description"].as_str();
        let text =
            own.or_else(|| self.definition(reference(value)?)?["description"].as_str()).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A type in the words of a page: `text`, `list of text`, a link to another section.
    fn kind(&self, value: &Json, visit: &mut dyn FnMut(&str)) -> String {
        if let Some(name) = reference(value) {
            return self.named(name, visit);
        }
        let choices = value["anyOf"].as_array().or(value["oneOf"].as_array());
        if let Some(choices) = choices {
            let kinds: Vec<String> = choices
                .iter()
                .filter(|choice| choice["type"] != "null")
                .map(|choice| self.kind(choice, visit))
                .filter(|kind| !kind.is_empty())
                .collect();
            return kinds.join(" or ");
        }
        let listed = names(value);
        if !listed.is_empty() {
            return listed.join(", ");
        }
        match simple(&value["type"]) {
            "array" => {
                let items = if value["items"].is_object() {
                    self.kind(&value["items"], visit)
                } else {
                    String::new()
                };
                format!("list of {}", if items.is_empty() { "anything" } else { &items })
            }
            "object" if value["additionalProperties"].is_object() => {
                format!("map to {}", self.kind(&value["additionalProperties"], visit))
            }
            "object" => "map".into(),
            "string" => "text".into(),
            "integer" => "whole number".into(),
            "number" => "number".into(),
            "boolean" => "`true` or `false`".into(),
            _ => "any value".into(),
        }
    }

    fn named(&self, name: &str, visit: &mut dyn FnMut(&str)) -> String {
        let Some(definition) = self.definition(name) else { return name.into() };
        if definition["properties"].is_object()
            || definition["oneOf"].is_array()
            || definition["anyOf"].is_array()
        {
            visit(name);
            return format!("[{name}](#{})", name.to_lowercase());
        }
        self.kind(definition, visit)
    }
}

/// The values that an `enum` or `const` allows.
fn names(value: &Json) -> Vec<String> {
    let listed = value["enum"].as_array().cloned().unwrap_or_default();
    let single = value.get("const").cloned();
    listed
        .into_iter()
        .chain(single)
        .filter(|name| !name.is_null())
        .map(|name| format!("`{}`", plain(&name)))
        .collect()
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// `Room` of `{"$ref": "#/definitions/Room"}`, also where it is wrapped to carry a description.
fn reference(value: &Json) -> Option<&str> {
    let direct = value["$ref"].as_str();
    let wrapped = || match value["allOf"].as_array()?.as_slice() {
        [one] => one["$ref"].as_str(),
        _ => None,
    };
    direct.or_else(wrapped)?.rsplit('/').next()
}

/// The type beside `null`, where there are two.
fn simple(kind: &Json) -> &str {
    match kind {
        Json::String(kind) => kind,
        Json::Array(kinds) => {
            kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null").unwrap_or_default()
        }
        _ => "",
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
