//! `agents.list`: an array of objects with an `id` (releases up to 2026.7).

use serde_json::Value as Json;

use super::{AgentTable, Entry};
use crate::document::{Document, DocumentError, Step};

pub(super) struct List;

const PATH: [Step<'static>; 2] = [Step::Key("agents"), Step::Key("list")];

impl AgentTable for List {
    fn agents<'j>(&self, config: &'j Json) -> Vec<(&'j str, &'j Entry)> {
        let list = config["agents"]["list"].as_array().map(Vec::as_slice).unwrap_or_default();
        let with_id = |entry: &'j Json| Some((entry["id"].as_str()?, entry.as_object()?));
        list.iter().filter_map(with_id).collect()
    }

    fn locate<'p>(&self, document: &Document<'_>, id: &'p str) -> Option<Vec<Step<'p>>> {
        let index = document.find(&PATH, "id", id)?;
        Some(vec![PATH[0], PATH[1], Step::At(index)])
    }

    fn add(&self, document: &mut Document<'_>, id: &str, mut entry: Entry) -> Result<(), DocumentError> {
        entry.insert("id".into(), id.into());
        document.insert(&PATH, usize::MAX, &Json::Object(entry))
    }
}
