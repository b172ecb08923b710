//! A set of resource ids that takes no more memory than its elements.

use fraktalia_model::ResourceId;
use serde::{Deserialize, Serialize};

/// Resource ids in order, each once. Nearly all of these sets hold one or two, and there is one for each resource: a
/// `BTreeSet` would make room for eleven in each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ResourceIds(Vec<ResourceId>);

impl ResourceIds {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one, if it is not there.
    pub fn insert(&mut self, id: ResourceId) {
        if let Err(at) = self.0.binary_search(&id) {
            self.0.insert(at, id);
        }
    }

    /// Each of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, ResourceId> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Extend<ResourceId> for ResourceIds {
    fn extend<I: IntoIterator<Item = ResourceId>>(&mut self, ids: I) {
        self.0.extend(ids);
        self.0.sort_unstable();
        self.0.dedup();
        self.0.shrink_to_fit();
    }
}

impl FromIterator<ResourceId> for ResourceIds {
    fn from_iter<I: IntoIterator<Item = ResourceId>>(ids: I) -> Self {
        let mut all = Self::new();
        all.extend(ids);
        all
    }
}

impl<const N: usize> From<[ResourceId; N]> for ResourceIds {
    fn from(ids: [ResourceId; N]) -> Self {
        ids.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a ResourceIds {
    type Item = &'a ResourceId;
    type IntoIter = std::slice::Iter<'a, ResourceId>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

// What is read may have been written by hand: the order is made anew.
impl<'de> Deserialize<'de> for ResourceIds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<ResourceId>::deserialize(deserializer).map(Self::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_in_order_and_once_however_they_came() {
        let id = |name: &str| format!("toy/box/{name}").parse::<ResourceId>().unwrap();
        let mut ids: ResourceIds = [id("c"), id("a"), id("c")].into();
        ids.insert(id("b"));
        ids.insert(id("a"));
        assert_eq!(ids, [id("a"), id("b"), id("c")].into());
        let text = serde_json::to_string(&ids).unwrap();
        assert_eq!(text, r#"["toy/box/a","toy/box/b","toy/box/c"]"#);
        let read: ResourceIds = serde_json::from_str(r#"["toy/box/b","toy/box/a"]"#).unwrap();
        assert_eq!(read, [id("a"), id("b")].into());
    }
}
