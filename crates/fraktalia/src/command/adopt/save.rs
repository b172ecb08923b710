//! Writes a manifest: whole or not at all, with what it was before kept.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::proof::Texts;
use crate::app::App;
use crate::error::Failure;

/// Writes every file that changed. Returns the directory in which they are as they were.
pub fn save(app: &App, texts: &Texts) -> Result<PathBuf, Failure> {
    let (manifest, _) = app.manifest()?;
    let paths = app.place()?.of(&manifest.realm)?;
    let name = format!("adopt-{}", fraktalia_engine::clock::run_name());
    let kept = paths.root().join("manifests").join(name);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&kept);
    made.map_err(|source| Failure::File { doing: "make", path: kept.clone(), source })?;
    let changed = texts.changed();
    for (path, (before, _)) in &changed {
        still(path, before)?;
        keep(&kept, path, before)?;
    }
    for (path, (_, now)) in &changed {
        replace(path, now).map_err(|source| Failure::File {
            doing: "write",
            path: path.to_path_buf(),
            source,
        })?;
    }
    Ok(kept)
}

/// What somebody wrote while we looked is not lost.
fn still(path: &Path, before: &str) -> Result<(), Failure> {
    let now = std::fs::read_to_string(path);
    let now = now.map_err(|source| Failure::File { doing: "read", path: path.into(), source })?;
    if now == before {
        return Ok(());
    }
    Err(Failure::Forbidden {
        what: format!("{} was changed meanwhile, and was not written", path.display()),
        hint: "run it again".into(),
    })
}

fn keep(dir: &Path, path: &Path, before: &str) -> Result<(), Failure> {
    let name = path.file_name().unwrap_or(path.as_os_str());
    // Files of one name from several folders.
    let places = (0..).map(|number| match number {
        0 => dir.join(name),
        number => dir.join(format!("{number}-{}", name.to_string_lossy())),
    });
    for place in places {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&place);
        let written = match file {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            file => {
                file.and_then(|mut file| file.write_all(before.as_bytes()).and_then(|()| file.sync_all()))
            }
        };
        return written.map_err(|source| Failure::File { doing: "write", path: place, source });
    }
    Ok(())
}

/// A link stays a link: what it leads to is written. Mode and owner stay as they are.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = std::fs::canonicalize(path)?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    let before = std::fs::metadata(&path)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(before.mode() & 0o7777))?;
    let new = file.as_file().metadata()?;
    if (new.uid(), new.gid()) != (before.uid(), before.gid()) {
        std::os::unix::fs::fchown(file.as_file(), Some(before.uid()), Some(before.gid()))?;
    }
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    std::fs::File::open(dir)?.sync_all()
}
