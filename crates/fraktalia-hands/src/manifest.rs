//! What the manifest says about writing, read anew each time.

use std::path::{Path, PathBuf};

use fraktalia_model::{Manifest, Severity};

use crate::Hands;

/// Where an approved fragment goes, and what becomes of it there.
pub struct Writing {
    /// The directory.
    pub dir: PathBuf,
    /// The same, relative to the manifest's.
    pub below: PathBuf,
    /// Whether it is committed.
    pub commit: bool,
    /// Whether that is pushed.
    pub push: bool,
    /// The name of the homeserver.
    pub server: String,
}

/// A name that can be a file's, and is a fractal's: checked by the desk, and again here, where it becomes a path.
pub fn checked(name: &str) -> Result<&str, String> {
    let fits = (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if fits { Ok(name) } else { Err("its name cannot be the name of a file".into()) }
}

impl Hands {
    /// The manifest, if nothing is wrong with it.
    pub(crate) fn manifest(&self) -> Result<Manifest, String> {
        let loaded = fraktalia_engine::load::load(&self.manifest);
        loaded.manifest.ok_or_else(|| {
            let first = loaded.notes.iter().find(|note| note.severity == Severity::Error);
            let text = first.map_or("it is not in order", |note| note.text.as_str());
            format!("the manifest is invalid: {text}; `fraktalia check` says where")
        })
    }

    /// The folder that it lies in.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new("/"))
    }

    /// What people call a file of it: where this machine keeps it is nothing to the room.
    pub(crate) fn place(&self, path: &Path) -> String {
        path.strip_prefix(self.folder()).unwrap_or(path).display().to_string()
    }

    /// A text in which files of it are called so.
    pub(crate) fn without_places(&self, text: &str) -> String {
        let folder = self.folder().display().to_string();
        let folder = folder.trim_end_matches('/');
        if folder.is_empty() { text.to_owned() } else { text.replace(&format!("{folder}/"), "") }
    }

    /// What it says about writing.
    pub(crate) fn writing(&self) -> Result<Writing, String> {
        let manifest = self.manifest()?;
        let room = manifest.admin_room.ok_or("the manifest has no `admin_room` any more")?;
        let dir = room.write_to.unwrap_or_else(|| manifest.base.clone());
        let below = dir.strip_prefix(&manifest.base).map_err(|_| {
            format!(
                "`admin_room.write_to` ({}) is not below the folder of the manifest, so nothing there is included",
                dir.display()
            )
        })?;
        let below = below.to_path_buf();
        let server = manifest.matrix.map_or_else(|| "localhost".into(), |matrix| matrix.server_name);
        Ok(Writing { dir, below, commit: room.commit, push: room.push, server })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_none() {
        assert_eq!(checked("cook-2_b"), Ok("cook-2_b"));
        let long = "a".repeat(65);
        for bad in ["", ".", "..", "../x", "a/b", "-rf", ".git", "a.yaml", "a b", "ä", "a\0", "a\n", &long] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
    }
}
