//! What the journals say of a key: the only place that knows whether a run was begun, and how it ended.

use fraktalia_desk::Key;
use serde::Deserialize;

use crate::Hands;
use crate::child::args;

/// A run, as `history --format json` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Past {
    /// Its name.
    pub run: String,
    /// `applied`, `not_converged`, `rolled_back`, `incomplete`, `superseded`, `open`
    pub outcome: String,
    /// Why it failed, where it did.
    #[serde(default)]
    pub why: Option<String>,
    /// The key under which it was begun, where it was ours.
    #[serde(default)]
    pub note: Option<String>,
    /// The key under which it was taken back.
    #[serde(default)]
    pub taken_back_note: Option<String>,
    /// Whether it can be.
    #[serde(default)]
    pub can_be_taken_back: bool,
    /// When it began.
    pub began: String,
}

#[derive(Deserialize)]
struct Runs {
    runs: Vec<Past>,
}

impl Hands {
    /// The run that was begun, or taken back, under this key.
    pub(crate) async fn past(&self, key: &Key) -> Result<Option<Past>, String> {
        let mut asked = args(["history", "--format", "json", "--limit", "1"]);
        asked.push(format!("--note={key}").into());
        Ok(self.runs(&asked).await?.pop())
    }

    /// The latest runs, the last one at the end.
    pub(crate) async fn latest(&self, limit: u32) -> Result<Vec<Past>, String> {
        let limit = limit.to_string();
        self.runs(&args(["history", "--format", "json", "--limit", &limit])).await
    }

    async fn runs(&self, asked: &[std::ffi::OsString]) -> Result<Vec<Past>, String> {
        let said = self.ask(asked).await?;
        if said.code != Some(0) {
            return Err(said.reason());
        }
        let runs: Runs = serde_json::from_slice(&said.data)
            .map_err(|error| format!("the answer of `fraktalia history` is not understood: {error}"))?;
        Ok(runs.runs)
    }
}

/// The key that a note is, where it is one of ours.
pub fn key(note: &str) -> Option<Key> {
    let key: Key = serde_json::from_value(serde_json::Value::String(note.into())).ok()?;
    crate::file_name(&key).is_ok().then_some(key)
}
