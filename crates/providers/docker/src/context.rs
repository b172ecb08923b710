//! The context of a build, as a tar that is exactly what was planned.

use std::fs::File;
use std::io::{self, Seek as _, Write};
use std::path::Path;

use fraktalia_engine::StepError;
use fraktalia_engine::load::context::{self, Item, ItemKind};
use fraktalia_model::FileError;
use fraktalia_model::manifest::content_hash;

use crate::spec::BuildSpec;

/// Packs the context of `build`. The file has no name: it is gone when it is closed.
///
/// # Errors
/// When something cannot be read, or the context is not what it was when the plan was made.
pub fn pack(build: &BuildSpec) -> Result<File, StepError> {
    let dir = &build.context;
    let unreadable = |error: FileError| {
        StepError::refused(format!("the build context {} {}", dir.display(), error.text))
            .with_hint(error.hint)
    };
    let mut file = tempfile::tempfile().map_err(|error| failed(dir, &error))?;
    let items = context::items(dir).map_err(unreadable)?;
    write(&items, dir, &mut file).map_err(|error| failed(dir, &error))?;
    file.rewind().map_err(|error| failed(dir, &error))?;
    // Hashed after it was packed: what changed before or during the packing shows as well.
    let hash = context::hash(dir).map_err(unreadable)?;
    if content_hash(&hash, &build.args) != build.content_hash {
        let text = format!("the build context {} changed since the plan was made", dir.display());
        return Err(StepError::refused(text).with_hint("plan again"));
    }
    Ok(file)
}

fn failed(dir: &Path, error: &io::Error) -> StepError {
    StepError::refused(format!("cannot pack the build context {}: {error}", dir.display()))
}

/// Owners and times do not count: with them in it, the same context would not hit the engine's cache.
fn write(items: &[Item], dir: &Path, into: impl Write) -> io::Result<()> {
    let mut tar = tar::Builder::new(into);
    for item in items {
        let mut header = tar::Header::new_gnu();
        header.set_mode(item.mode);
        match &item.kind {
            ItemKind::Dir => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                tar.append_data(&mut header, &item.path, io::empty())?;
            }
            ItemKind::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, &item.path, target)?;
            }
            ItemKind::File => {
                let file = File::open(dir.join(&item.path))?;
                let size = file.metadata()?.len();
                header.set_size(size);
                // A file that grows meanwhile must not spill into the next entry; the hash tells afterwards.
                tar.append_data(&mut header, &item.path, io::Read::take(file, size))?;
            }
        }
    }
    tar.into_inner()?.flush()
}
