//! `agents.entries`: a map from the id to the entry, which has no `id` in it (releases from 2026.8).

use serde_json::Value as Json;

use super::{AgentTable, Entry};
use crate::document::{Document, DocumentError, Step};

pub(super) struct Entries;

impl AgentTable for Entries {
    fn agents<'j>(&self, config: &'j Json) -> Vec<(&'j str, &'j Entry)> {
        let entries = config["agents"]["entries"].as_object();
        let entries = entries.into_iter().flatten();
        entries.filter_map(|(id, entry)| Some((id.as_str(), entry.as_object()?))).collect()
    }

    fn locate<'p>(&self, document: &Document<'_>, id: &'p str) -> Option<Vec<Step<'p>>> {
        let path = vec![Step::Key("agents"), Step::Key("entries"), Step::Key(id)];
        document.has(&path).then_some(path)
    }

    fn add(&self, document: &mut Document<'_>, id: &str, mut entry: Entry) -> Result<(), DocumentError> {
        entry.remove("id");
        let path = [Step::Key("agents"), Step::Key("entries"), Step::Key(id)];
        document.set(&path, &Json::Object(entry))
    }
}
