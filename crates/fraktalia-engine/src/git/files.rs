//! The files of a commit, for reading a manifest from them and from nowhere else.

use std::path::{Path, PathBuf};

use fraktalia_model::files::normal;
use fraktalia_model::{FileError, Files, Listed, Loaded, Manifest, Note, SecretSource, Span, manifest};

use super::clones::{Checkout, Clones};
use crate::load::DiskFiles;

/// Reads, checks and completes the manifest of a commit. To the manifest, its files lie in [`Clones::current`]: so its
/// paths stay the same from commit to commit.
pub fn load(clones: &Clones, checkout: &Checkout) -> Loaded {
    let files = GitFiles { seen: clones.current(), real: checkout.tree(), disk: DiskFiles::new() };
    let mut loaded = manifest::load(clones.remote().manifest(), &files);
    if let Some(manifest) = &loaded.manifest {
        let findings = lost_with_the_commit(manifest, &files.seen);
        if !findings.is_empty() {
            loaded.notes.extend(findings);
            loaded.manifest = None;
        }
    }
    loaded
}

struct GitFiles {
    /// Where the manifest sees them.
    seen: PathBuf,
    /// Where they are.
    real: PathBuf,
    disk: DiskFiles,
}

impl GitFiles {
    fn inside(&self, path: &Path) -> Result<PathBuf, FileError> {
        let outside = || {
            FileError::new(
                "lies outside of the repository",
                "put it into the repository, and name it from there",
            )
        };
        let real = self.real.join(path.strip_prefix(&self.seen).map_err(|_| outside())?);
        // No link of a commit leaves it, as was checked when it came; this is the second lock on the same door.
        match (std::fs::canonicalize(&real), std::fs::canonicalize(&self.real)) {
            (Ok(found), Ok(root)) if !found.starts_with(&root) => Err(outside()),
            _ => Ok(real),
        }
    }
}

impl Files for GitFiles {
    fn absolute(&self, path: &Path) -> Result<PathBuf, FileError> {
        Ok(normal(&self.seen.join(path)))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
        self.disk.read(&self.inside(path)?, limit)
    }

    fn list(&self, dir: &Path) -> Result<Vec<Listed>, FileError> {
        self.disk.list(&self.inside(dir)?)
    }

    fn hash_context(&self, dir: &Path) -> Result<String, FileError> {
        self.disk.hash_context(&self.inside(dir)?)
    }

    fn home(&self) -> Option<PathBuf> {
        self.disk.home()
    }
}

/// What a manifest must not keep beside itself when it comes from git: what lives would go with the next commit, and a
/// secret would have to be committed.
fn lost_with_the_commit(manifest: &Manifest, seen: &Path) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut check = |key: &str, at: Option<&Span>, path: &Path, hint: &str| {
        if path.starts_with(seen) {
            let name = path.strip_prefix(seen).unwrap_or(path).display();
            let note = Note::error(
                "git.relative-path",
                format!("`{key}` is `{name}`, inside of the repository that the manifest comes from"),
            );
            notes.push(note.at(at.unwrap_or(&Span::default())).hint(hint));
        }
    };
    let lives = "write an absolute path: what lives there must outlast the commit";
    let secret = "write an absolute path outside of the repository, or another source: { env: NAME }";
    let mut secrets: Vec<(String, Option<&Span>, &SecretSource)> = Vec::new();
    if let Some(matrix) = &manifest.matrix {
        secrets.push(("matrix.admin_token".into(), Some(&matrix.at), &matrix.admin_token));
    }
    if let Some(openclaw) = &manifest.openclaw {
        check("openclaw.config", Some(&openclaw.at), &openclaw.config, lives);
        check("openclaw.workspaces", Some(&openclaw.at), &openclaw.workspaces, lives);
        let token = openclaw.gateway.as_ref().and_then(|gateway| gateway.token.as_ref());
        secrets.extend(token.map(|token| ("openclaw.gateway.token".into(), Some(&openclaw.at), token)));
    }
    for (name, user) in &manifest.users {
        let password = user.password.as_ref();
        secrets.extend(password.map(|password| (format!("users.{name}.password"), Some(&user.at), password)));
    }
    for (key, at, source) in secrets {
        if let SecretSource::File(path) = source {
            check(&key, at, path, secret);
        }
    }
    for (name, host) in &manifest.hosts {
        if let Some(paths) = &host.workspaces {
            check(&format!("hosts.{name}.workspaces"), None, &paths.here, lives);
        }
        if let Some(tls) = &host.tls {
            check(&format!("hosts.{name}.tls.key"), None, &tls.key, secret);
        }
    }
    notes
}
