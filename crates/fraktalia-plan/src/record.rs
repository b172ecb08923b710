//! What is ours, and what we last asked for: the middle leg of the three-way comparison.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_model::ResourceId;
use fraktalia_model::manifest::OnRemove;
use serde::{Deserialize, Serialize};

/// What we asked of one resource when we last applied it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The spec, as the system itself wrote it.
    pub spec: serde_json::Value,
    /// What it needed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: BTreeSet<ResourceId>,
    /// What is to happen when it leaves the manifest.
    pub on_remove: OnRemove,
    /// The heading it stands under.
    pub subject: String,
}

/// All that is ours, by id.
pub type Records = BTreeMap<ResourceId, Record>;
