//! A tree as YAML: blocks where people would write blocks, and JSON, which is YAML as well, below.

use serde_json::Value as Json;

/// How deep blocks go.
const BLOCKS: usize = 3;

/// The tree as a document.
pub fn yaml(tree: &Json) -> String {
    let mut text = String::new();
    block(tree, 0, &mut text);
    text
}

fn block(tree: &Json, depth: usize, text: &mut String) {
    let Some(members) = tree.as_object() else { return };
    for (key, value) in members {
        text.push_str(&"  ".repeat(depth));
        // Keys are quoted, since one may be `on` or a user's id.
        text.push_str(&Json::from(key.as_str()).to_string());
        text.push(':');
        match value {
            Json::Object(inner) if !inner.is_empty() && depth + 1 < BLOCKS => {
                text.push('\n');
                block(value, depth + 1, text);
            }
            _ => text.extend([" ", &value.to_string(), "\n"]),
        }
    }
}
