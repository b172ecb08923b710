//! Which directories we made ourselves: `STATE/workspaces/<fractal>.json`.
//!
//! The ledger says what is ours, adopted directories included. A directory may only be deleted with all that is in
//! it if we also made it, and nothing inside of it can prove that: an agent could forge any mark.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use fraktalia_engine::StatePaths;
use serde::{Deserialize, Serialize};

/// A directory that we made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Where.
    pub path: PathBuf,
    /// Which: device and inode, so that another directory of the same name is not taken for it.
    pub inode: (u64, u64),
    /// In which run.
    pub run: String,
}

fn place(paths: &StatePaths, fractal: &str) -> PathBuf {
    // A key of the manifest has no slash in it; a name out of a forged plan would find nothing here.
    paths.root().join("workspaces").join(format!("{}.json", fractal.replace('/', "_")))
}

/// Notes that the directory `inode` (device and inode), which will stand at `path`, was made by us in `run`.
pub fn note(paths: &StatePaths, fractal: &str, path: &Path, inode: (u64, u64), run: &str) -> io::Result<()> {
    let made = Made { path: path.into(), inode, run: run.into() };
    let place = place(paths, fractal);
    let dir = place.parent().unwrap_or(paths.root());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&serde_json::to_vec(&made)?)?;
    file.as_file().sync_all()?;
    file.persist(place)?;
    Ok(())
}

/// Whether the directory that stands at `path` is the one that we made for `fractal`.
pub fn is_ours(paths: &StatePaths, fractal: &str, path: &Path) -> bool {
    let Ok(text) = fs::read(place(paths, fractal)) else {
        return false;
    };
    let Ok(made) = serde_json::from_slice::<Made>(&text) else {
        return false;
    };
    let same = |stat: fs::Metadata| stat.is_dir() && (stat.dev(), stat.ino()) == made.inode;
    made.path == path && fs::symlink_metadata(path).is_ok_and(same)
}

/// Forgets it: the directory is gone.
pub fn forget(paths: &StatePaths, fractal: &str) {
    // What is left behind names an inode at a path: harmless, and written over when the directory is made again.
    let _ = fs::remove_file(place(paths, fractal));
}
