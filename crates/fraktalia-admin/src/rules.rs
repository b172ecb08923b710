//! The rules in force: the manifest's, read anew for each decision.

use std::path::{Path, PathBuf};

use fraktalia_desk::Policy;
use fraktalia_model::{Manifest, Note, Severity};

/// Why there are no rules to begin with.
#[derive(Debug, thiserror::Error)]
pub enum NoRules {
    /// The manifest has errors.
    #[error("the manifest {} is not valid:\n{}", path.display(), list(notes))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        notes: Vec<Note>,
    },
    /// There is nothing to do.
    #[error("the manifest {} has no `admin_room`, or no `matrix`; the first says who proposes, who approves, and where", path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
    },
}

fn list(notes: &[Note]) -> String {
    let line = |note: &Note| {
        let at = note
            .at
            .as_ref()
            .map_or_else(String::new, |at| format!("{}:{}:{}: ", at.file.display(), at.line, at.column));
        let hint = note.hint.as_ref().map_or_else(String::new, |hint| format!("\n    hint: {hint}"));
        format!("  {at}{}{hint}", note.text)
    };
    let errors = notes.iter().filter(|note| note.severity == Severity::Error);
    errors.map(line).collect::<Vec<_>>().join("\n")
}

/// The manifest's rules for the desk.
#[derive(Debug)]
pub struct Rules {
    path: PathBuf,
    manifest: Manifest,
    policy: Policy,
    /// Whether the file on disk is another, and cannot be used.
    stale: bool,
}

impl Rules {
    /// Reads the manifest.
    ///
    /// # Errors
    /// When it is not valid, or has no admin room.
    pub fn read(path: &Path) -> Result<Self, NoRules> {
        let loaded = fraktalia_engine::load(path);
        let Some(manifest) = loaded.manifest else {
            return Err(NoRules::Invalid { path: path.into(), notes: loaded.notes });
        };
        let policy = policy(&manifest).ok_or_else(|| NoRules::NoRoom { path: path.into() })?;
        Ok(Self { path: path.into(), manifest, policy, stale: false })
    }

    /// The manifest that the rules are from.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether they are those of the file on disk, since they were last asked for.
    pub fn is_current(&self) -> bool {
        !self.stale
    }

    /// The rules as they are now. While the manifest is not valid, those from before hold: nothing can be planned or
    /// applied then.
    pub fn now(&mut self) -> &Policy {
        match Self::read(&self.path) {
            // Who we are in the room, and which room it is, cannot change while we are in it.
            Ok(new) if new.policy.ours == self.policy.ours => *self = new,
            Ok(_) if !self.stale => {
                self.stale = true;
                tracing::warn!("`admin_room.user` is another now; it is used after a restart");
            }
            Err(error) if !self.stale => {
                self.stale = true;
                tracing::warn!("the rules from before hold: {error}");
            }
            Ok(_) | Err(_) => {}
        }
        &self.policy
    }
}

fn policy(manifest: &Manifest) -> Option<Policy> {
    let ours = manifest.admin_room.as_ref()?.user.clone();
    Policy::of(manifest, ours)
}
