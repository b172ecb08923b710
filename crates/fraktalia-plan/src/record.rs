//! What is ours, and what we last asked for: the middle leg of the three-way comparison.

use std::collections::BTreeMap;

use fraktalia_model::ResourceId;
use fraktalia_model::manifest::OnRemove;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::ids::ResourceIds;

/// What we asked of one resource when we last applied it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The spec, as the system itself wrote it.
    pub spec: SpecText,
    /// What it needed.
    #[serde(default, skip_serializing_if = "ResourceIds::is_empty")]
    pub requires: ResourceIds,
    /// What is to happen when it leaves the manifest.
    pub on_remove: OnRemove,
    /// The heading it stands under.
    pub subject: String,
}

/// All that is ours, by id.
pub type Records = BTreeMap<ResourceId, Record>;

/// A spec as JSON, in its shortest form and with its keys in order. In a file it stands as itself; in memory it is a text,
/// which takes a tenth of what the tree would take, and there is one for each resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecText(Box<str>);

impl SpecText {
    /// The text of a spec.
    ///
    /// # Panics
    /// When it does not become JSON, which specs do: their keys are strings.
    pub fn of<T: Serialize>(spec: &T) -> Self {
        let tree = serde_json::to_value(spec).expect("a spec becomes JSON");
        Self::from(&tree)
    }

    /// The spec, if it is one of this type.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.0).ok()
    }
}

impl From<&Json> for SpecText {
    fn from(tree: &Json) -> Self {
        Self(tree.to_string().into())
    }
}

impl Serialize for SpecText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SpecText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Json::deserialize(deserializer).map(|tree| Self::from(&tree))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_spec_stands_in_a_file_as_itself_and_is_the_same_in_any_order() {
        let spec = SpecText::from(&json!({"b": 1, "a": {"c": null}}));
        let text = serde_json::to_string(&json!({"spec": spec})).unwrap();
        assert_eq!(text, r#"{"spec":{"a":{"c":null},"b":1}}"#);
        assert_eq!(serde_json::to_string(&spec).unwrap(), r#"{"a":{"c":null},"b":1}"#);
        let read: SpecText = serde_json::from_str(r#"{ "b": 1, "a": {"c": null } }"#).unwrap();
        assert_eq!(read, spec);
        assert_eq!(read.read::<Json>(), Some(json!({"a": {"c": null}, "b": 1})));
        assert_eq!(read.read::<u32>(), None);
    }
}
