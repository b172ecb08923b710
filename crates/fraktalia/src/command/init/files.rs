//! What is written: the manifest, its schema, an empty file for the secret. Nothing is overwritten.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fraktalia_model::SecretSource;

use super::draft::Draft;
use crate::error::Failure;

/// The schema, beside the manifest: its first line names it.
const SCHEMA: &str = "manifest.schema.json";

/// A file that was made or added to.
#[derive(Debug)]
pub struct Written {
    /// Which.
    pub path: PathBuf,
    /// What it is.
    pub what: &'static str,
    /// Whether a secret is to be put into it.
    pub is_secret: bool,
}

/// Writes all of it.
pub fn write(path: &Path, draft: &Draft) -> Result<Vec<Written>, Failure> {
    let dir = path.parent().unwrap_or(Path::new(""));
    let mut written = Vec::new();
    // First, so that the name is taken: what comes after it stands beside it.
    if !dir.as_os_str().is_empty() {
        DirBuilder::new().recursive(true).create(dir).map_err(|source| failed(dir, source))?;
    }
    if !fresh(path, 0o644, &draft.text())? {
        return Err(failed(path, io::ErrorKind::AlreadyExists.into()));
    }
    written.push(Written { path: path.into(), what: "the manifest", is_secret: false });
    let schema = dir.join(SCHEMA);
    if fresh(&schema, 0o644, &crate::docs::schema())? {
        written.push(Written { path: schema, what: "its JSON Schema, for editors", is_secret: false });
    }
    if let SecretSource::File(file) = &draft.admin_token {
        secret(dir, file, &mut written)?;
    }
    Ok(written)
}

/// An empty file for the token that nobody else can read, and that git does not take.
fn secret(dir: &Path, file: &Path, written: &mut Vec<Written>) -> Result<(), Failure> {
    let path = dir.join(file);
    // One elsewhere has its own order.
    if !file.is_relative() || path.symlink_metadata().is_ok() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|source| failed(parent, source))?;
    }
    if fresh(&path, 0o600, "")? {
        written.push(Written { path, what: "empty, for the admin token; for you alone", is_secret: true });
    }
    ignore(dir, file, written)
}

fn ignore(dir: &Path, file: &Path, written: &mut Vec<Written>) -> Result<(), Failure> {
    let path = dir.join(".gitignore");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(&path, error)),
    };
    let top = file.components().next().map(|first| PathBuf::from(first.as_os_str())).unwrap_or_default();
    let line = if top == file { format!("/{}", file.display()) } else { format!("/{}/", top.display()) };
    let bare = line.trim_matches('/');
    if text.lines().any(|found| found.trim().trim_matches('/') == bare) {
        return Ok(());
    }
    let between = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut to =
        OpenOptions::new().append(true).create(true).open(&path).map_err(|error| failed(&path, error))?;
    to.write_all(format!("{between}{line}\n").as_bytes()).map_err(|error| failed(&path, error))?;
    written.push(Written { path, what: "keeps it out of git", is_secret: false });
    Ok(())
}

/// Makes a file with `text` in it; says whether there was none. No link is followed.
fn fresh(path: &Path, mode: u32, text: &str) -> Result<bool, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match file {
        Ok(mut file) => {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|error| failed(path, error))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(path, error)),
    }
}

fn failed(path: &Path, source: io::Error) -> Failure {
    Failure::File { doing: "write", path: path.into(), source }
}
