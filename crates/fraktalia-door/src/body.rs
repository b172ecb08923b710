//! What a POST may hold: a fractal in JSON, or a fragment of a manifest in YAML.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{Finding, Problem};
use crate::yaml;

/// A fractal to be made: the keys of `fractals.NAME` in a manifest, as far as a proposal may have them. Which models,
/// sandboxes, members and ports are allowed is for the manifest to say (`admin_room.allow`).
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewFractal {
    /// Its key: the id of its agent, the alias of its room.
    #[schema(pattern = "^[a-z0-9_][a-z0-9_-]{0,63}$", example = "cook")]
    name: String,
    /// What people call it. Default: the key with a capital.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, example = "Cook")]
    display_name: Option<String>,
    /// What it is for, one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 300, example = "Knows what is in the larder.")]
    purpose: Option<String>,
    /// How it behaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4000)]
    persona: Option<String>,
    /// Its model; without it the gateway's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<Model>,
    /// Who is in its room besides: users of the manifest, or full ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["ana", "ben"]))]
    members: Option<Vec<String>>,
    /// A sandbox of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sandbox: Option<String>,
    /// Ports of the host that lead into its sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forwards: Option<Vec<Forward>>,
    /// Whether it answers without being mentioned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auto_reply: Option<bool>,
    /// Its room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    room: Option<NewRoom>,
    /// The files that it begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workspace: Option<Workspace>,
}

/// A model, or one with those that stand in for it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(untagged)]
enum Model {
    /// Its name.
    #[schema(title = "ModelName")]
    One(String),
    /// With fallbacks.
    #[schema(title = "ModelWithFallbacks")]
    Several(Models),
}

/// A model and those that stand in for it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Models {
    /// The model.
    primary: String,
    /// Tried in this order when it fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    fallbacks: Vec<String>,
}

/// A TCP port.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(try_from = "Number", into = "u16")]
struct Port(NonZeroU16);

impl TryFrom<Number> for Port {
    type Error = &'static str;

    /// In JSON Schema 9000.0 is an integer as well.
    fn try_from(number: Number) -> Result<Self, &'static str> {
        let whole = number.as_u64().or_else(|| {
            let float =
                number.as_f64().filter(|float| float.fract() == 0.0 && (1.0..=65535.0).contains(float));
            float.and_then(|float| format!("{float:.0}").parse().ok())
        });
        let port = whole.and_then(|whole| u16::try_from(whole).ok()).and_then(NonZeroU16::new);
        port.map(Self).ok_or("a port is a whole number from 1 to 65535")
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.0.get()
    }
}

impl PartialSchema for Port {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer).description(Some("A TCP port."));
        number.minimum(Some(1)).maximum(Some(u16::MAX)).into()
    }
}

impl ToSchema for Port {}

/// A forwarded port.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(untagged)]
enum Forward {
    /// The same port on both sides.
    #[schema(title = "ForwardedPort")]
    Port(Port),
    /// With all that can be said.
    #[schema(title = "ForwardedPorts")]
    Ports(LongForward),
}

/// A port of the host that leads to one of the container.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LongForward {
    /// The port on the host.
    host_port: Port,
    /// The port in the container. Default: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<Port>,
}

/// What can be said of a fractal's room.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRoom {
    /// Its name. Default: that of the fractal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    name: Option<String>,
    /// Its topic. Default: the purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 300)]
    topic: Option<String>,
}

/// The workspace of a fractal.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Workspace {
    /// Files by their path in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    files: BTreeMap<String, File>,
}

/// A file of a workspace.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// Its text.
    #[schema(max_length = 8000)]
    content: String,
}

/// What is asked for, and how to tell findings in its terms.
pub(crate) struct Asked {
    /// The fragment that is filed.
    pub fragment: String,
    /// The JSON Pointer of each line, where the body was JSON.
    pointers: Option<Vec<String>>,
}

impl Asked {
    /// Reads a JSON body.
    pub(crate) fn json(bytes: &[u8]) -> Result<Self, Problem> {
        let new: NewFractal = serde_json::from_slice(bytes)
            .map_err(|error| Problem::bad_request(format!("the body is not a fractal: {error}")))?;
        let value = serde_json::to_value(&new).map_err(|error| Problem::bad_request(error.to_string()))?;
        let mut keys = match value {
            Value::Object(keys) => keys,
            _ => Map::new(),
        };
        keys.remove("name");
        // In a manifest it is the key that names a fractal.
        if let Some(name) = keys.remove("display_name") {
            keys.insert("name".into(), name);
        }
        let yaml::Fragment { text, pointers } = yaml::fragment(&new.name, &keys);
        Ok(Self { fragment: text, pointers: Some(pointers) })
    }

    /// Takes a YAML body as it is.
    pub(crate) fn yaml(bytes: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(bytes).map_err(|_| Problem::bad_request("the body is not UTF-8"))?;
        Ok(Self { fragment: text.into(), pointers: None })
    }

    /// A finding in the terms of the body.
    pub(crate) fn finding(&self, note: &fraktalia_model::Note) -> Finding {
        let mut finding = Finding::of(note);
        if let Some(at) = &note.at {
            match &self.pointers {
                Some(pointers) => {
                    let line = usize::try_from(at.line.saturating_sub(1)).unwrap_or(usize::MAX);
                    finding.pointer = pointers.get(line).cloned();
                }
                None => (finding.line, finding.column) = (Some(at.line), Some(at.column)),
            }
        }
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(body: &str) -> Result<String, Problem> {
        Asked::json(body.as_bytes()).map(|asked| asked.fragment)
    }

    #[test]
    fn a_body_is_written_as_a_fragment() {
        let body = r#"{"name":"cook","display_name":"The Cook","model":{"primary":"a/b","fallbacks":["c/d"]},
            "forwards":[9001.0,{"host_port":9002}],"workspace":{"files":{"AGENTS.md":{"content":"Cook.\n"}}},"sandbox":null}"#;
        let text = fragment(body).expect("a fractal");
        for part in [
            "  cook:\n",
            "    name: \"The Cook\"\n",
            "primary: a/b",
            "- 9001",
            "content: |\n            Cook.\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("sandbox") && !text.contains("display_name"), "{text}");
    }

    #[test]
    fn what_is_no_fractal_is_refused() {
        let deep = format!("{{\"name\":\"a\",\"model\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        for bad in [
            "",
            "[]",
            "{}",
            "{\"name\":1}",
            "{\"name\":\"a\",\"openclaw\":{}}",
            "{\"name\":\"a\",\"name\":\"b\"}",
            "{\"name\":\"a\",\"forwards\":[65536]}",
            "{\"name\":\"a\",\"forwards\":[0]}",
            "{\"name\":\"a\",\"forwards\":[9000.5]}",
            "{\"name\":\"a\"} x",
            &deep,
        ] {
            assert!(fragment(bad).is_err(), "{bad:.40}");
        }
    }
}
