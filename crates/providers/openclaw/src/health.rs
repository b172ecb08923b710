//! How `openclaw.json` and the gateway are: whether they can be read and written, lead where they should, and let nobody
//! in who must not.

mod bindings;
mod channel;
mod file;
mod gateway;
mod secrets;

use std::path::Path;

use fraktalia_engine::Secrets;
use fraktalia_engine::health::{BoundRoom, Check, Checklist, Cure, Standing};
use fraktalia_model::UserId;
use serde_json::Value as Json;

use crate::dialect::{self, Config, Detected};
use crate::document::Document;
use crate::error::FileError;
use crate::system::OpenClaw;
use crate::write::{self, Original};

/// What the manifest says that the file has to agree with.
#[derive(Clone, Copy, Debug)]
pub struct Exam<'a> {
    /// Base URL of the homeserver.
    pub homeserver: &'a str,
    /// The gateway's user.
    pub bot: &'a UserId,
}

/// What stands in the file.
#[derive(Debug, Default)]
pub struct Looked {
    /// The file, where it could be read.
    config: Option<Json>,
    /// The rooms that its bindings lead from.
    pub bound: Vec<BoundRoom>,
}

impl OpenClaw {
    /// Notes down how the file is. Blocks as long as its file system does.
    pub fn examine_file(&self, list: &Checklist, exam: Option<&Exam<'_>>) -> Looked {
        let path = &self.config;
        let (original, config) = match read(path) {
            Ok(read) => read,
            Err(error) => {
                list.note(failed(list, "openclaw.file", "openclaw.json", &error));
                file::leftovers(list, path);
                return Looked::default();
            }
        };
        let found = Config::read(&config);
        let agents = found.agents.len();
        let bindings = dialect::bindings(&config).len();
        let text = format!("{}, {agents} agents, {bindings} bindings", path.display());
        list.ok("openclaw.file", "openclaw.json", text);
        file::examine(list, &original);
        secrets::examine(list, path, &config);
        shape(list, &config);
        bindings::examine(list, &found);
        if let Some(exam) = exam {
            channel::examine(list, &config, exam);
        }
        file::leftovers(list, path);
        let bound = bindings::rooms(&found);
        Looked { config: Some(config), bound }
    }

    /// Notes down how the gateway and the program are.
    pub async fn examine_gateway(&self, list: &Checklist, looked: &Looked, secrets: &Secrets) {
        gateway::examine(self, list, looked.config.as_ref(), secrets).await;
    }
}

fn read(path: &Path) -> Result<(Original, Json), FileError> {
    let original = write::read(path)?;
    let (document, config) = Document::parse_with_value(&original.text)?;
    dialect::check(&document)?;
    drop(document);
    Ok((original, config))
}

/// A check that ended in an error of the file.
fn failed(list: &Checklist, code: &str, title: &str, error: &FileError) -> Check {
    list.failure(code, title, fraktalia_engine::health::chain(error)).cure(Cure::edit(error.hint()))
}

/// Which of the shapes that the file has had over time it has.
fn shape(list: &Checklist, config: &Json) {
    let (code, title) = ("openclaw.shape", "shape");
    match dialect::detect(config) {
        Detected::Both => {
            let text = "it has both `agents.list` and `agents.entries`; OpenClaw goes by the entries";
            list.note(list.warning(code, title, text).cure(Cure::run("openclaw doctor --fix")));
        }
        Detected::Unknown => {
            let text = "it has no agents yet, and nothing says in which shape they are to be written";
            list.note(
                list.check(Standing::NotChecked, code, title, text)
                    .cure(Cure::edit(FileError::NoDialect.hint())),
            );
        }
        Detected::Is(dialect) | Detected::WrittenBy(dialect) => {
            let table = match dialect {
                fraktalia_model::manifest::Dialect::List => {
                    "`agents.list`, as releases before 2026.8 write it"
                }
                fraktalia_model::manifest::Dialect::Entries => "`agents.entries`",
            };
            list.ok(code, title, table);
        }
    }
}
