//! Names the directories beside the workspaces that the manifest knows of.

use std::path::Path;

use fraktalia_model::Note;
use fraktalia_model::living::{Living, Other};

/// More directories than this are not listed.
const MOST: usize = 1_000;

/// The directories in the folder of workspaces. Whose they are is not known here.
pub fn discover(folder: &Path) -> Living {
    let mut living = Living::default();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return living,
        Err(error) => {
            let text = format!("the workspaces in {} were not looked at: {error}", folder.display());
            living.notes.push(Note::info("workspace.not-looked-at", text));
            return living;
        }
    };
    let directories = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<String> = directories
        .take(MOST)
        .filter_map(|entry| folder.join(entry.file_name()).into_os_string().into_string().ok())
        .collect();
    names.retain(|name| !name.chars().any(char::is_control));
    names.sort();
    let why = "no agent of openclaw.json names it";
    living.others =
        names.into_iter().map(|name| Other { kind: "workspace", name, why: why.into() }).collect();
    living
}
