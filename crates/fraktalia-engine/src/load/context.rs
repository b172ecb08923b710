//! An image's build context: which files belong to it, and their hash.
//!
//! `.dockerignore` is honoured as Docker documents it: one pattern a line, `#` for comments, `!` takes files back,
//! the last match decides; `*` and `?` stay within a name, `**` crosses directories. Character classes are not
//! understood, and such a pattern is refused rather than read wrongly.

use std::fs::{self, Metadata};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fraktalia_model::FileError;
use fraktalia_model::files::hex;
use fraktalia_model::glob;
use sha2::{Digest, Sha256};

use super::unreadable;

/// Deepest directory that is looked into: deeper ones are a mistake, such as a mounted disk.
const DEPTH: usize = 64;
/// Most files in a context.
const FILES: usize = 100_000;

/// Something in a build context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Path inside the context, with `/`.
    pub path: String,
    /// What it is.
    pub kind: ItemKind,
    /// Permission bits.
    pub mode: u32,
}

/// What something in a build context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// A directory. Directories count only by what they hold and by their modes.
    Dir,
    /// A file.
    File,
    /// A symbolic link and what it says.
    Link(PathBuf),
}

/// All that belongs to the context at `dir`, sorted by path.
///
/// # Errors
/// When there is no `Dockerfile`, when something cannot be read, or when there is too much of it.
pub fn items(dir: &Path) -> Result<Vec<Item>, FileError> {
    let dockerfile = dir.join("Dockerfile");
    if !dir.is_dir() {
        return Err(FileError::new("is not a directory", "create it, or correct the path"));
    }
    if !dockerfile.is_file() {
        return Err(FileError::new("has no `Dockerfile`", "add one, or correct the path"));
    }
    let ignore = Ignore::read(dir)?;
    let mut items = Vec::new();
    walk(dir, "", &ignore, 0, &mut items)?;
    items.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(items)
}

/// SHA-256 (hex) over paths, kinds, modes and contents of the context at `dir`.
///
/// # Errors
/// As [`items`].
pub fn hash(dir: &Path) -> Result<String, FileError> {
    let mut hash = Sha256::new();
    for item in items(dir)? {
        // Lengths stand before what they measure, so that no two contexts give the same stream.
        feed(&mut hash, item.path.as_bytes());
        hash.update(item.mode.to_le_bytes());
        match &item.kind {
            ItemKind::Dir => hash.update([0]),
            ItemKind::File => {
                hash.update([1]);
                hash_file(&mut hash, &dir.join(&item.path)).map_err(|error| named(&item.path, &error))?;
            }
            ItemKind::Link(target) => {
                hash.update([2]);
                feed(&mut hash, target.as_os_str().as_encoded_bytes());
            }
        }
    }
    Ok(hex(&hash.finalize()))
}

fn feed(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn hash_file(hash: &mut Sha256, path: &Path) -> std::io::Result<()> {
    let mut file = fs::File::open(path)?;
    let mut inner = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => inner.update(&buffer[..read]),
        }
    }
    hash.update(inner.finalize());
    Ok(())
}

fn walk(
    dir: &Path,
    below: &str,
    ignore: &Ignore,
    depth: usize,
    items: &mut Vec<Item>,
) -> Result<(), FileError> {
    if depth > DEPTH || items.len() > FILES {
        let text = format!("holds more than {FILES} files or {DEPTH} levels");
        return Err(FileError::new(text, "name what does not belong in its `.dockerignore`"));
    }
    let entries = fs::read_dir(dir.join(below)).map_err(|error| named(below, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| named(below, &error))?;
        let Ok(name) = entry.file_name().into_string() else {
            let text = format!("holds `{}`, whose name is not UTF-8", entry.path().display());
            return Err(FileError::new(text, "rename it"));
        };
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let metadata = entry.metadata().map_err(|error| named(&path, &error))?;
        let ignored = ignore.covers(&path);
        if metadata.is_dir() && (!ignored || ignore.has_exceptions) {
            walk(dir, &path, ignore, depth + 1, items)?;
        }
        if !ignored
            && let Some(kind) = kind(&metadata, &entry.path()).map_err(|error| named(&path, &error))?
        {
            let mode = metadata.permissions().mode() & 0o7777;
            items.push(Item { path, kind, mode });
        }
    }
    Ok(())
}

/// Sockets, pipes and devices are not part of a context: Docker does not send them either.
fn kind(metadata: &Metadata, path: &Path) -> std::io::Result<Option<ItemKind>> {
    Ok(if metadata.is_symlink() {
        Some(ItemKind::Link(fs::read_link(path)?))
    } else if metadata.is_dir() {
        Some(ItemKind::Dir)
    } else if metadata.is_file() {
        Some(ItemKind::File)
    } else {
        None
    })
}

fn named(path: &str, error: &std::io::Error) -> FileError {
    let FileError { text, hint } = unreadable(error);
    FileError::new(format!("holds `{path}`, which {text}"), hint)
}

/// The patterns of a `.dockerignore`.
#[derive(Debug, Default)]
struct Ignore {
    rules: Vec<Rule>,
    has_exceptions: bool,
}

#[derive(Debug)]
struct Rule {
    parts: Vec<String>,
    exception: bool,
}

impl Ignore {
    fn read(dir: &Path) -> Result<Self, FileError> {
        let text = match fs::read_to_string(dir.join(".dockerignore")) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(named(".dockerignore", &error)),
        };
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, FileError> {
        let mut ignore = Self::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.contains(['[', '\\']) {
                let text = format!("has a `.dockerignore` with `{line}`, which is not understood");
                return Err(FileError::new(text, "use `*`, `?` and `**` only"));
            }
            let (exception, pattern) =
                line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            let parts: Vec<String> = glob::parts(pattern).into_iter().map(String::from).collect();
            if !parts.is_empty() {
                ignore.has_exceptions |= exception;
                ignore.rules.push(Rule { parts, exception });
            }
        }
        Ok(ignore)
    }

    /// Whether a path is left out. The file that says so and the Dockerfile belong to every build.
    fn covers(&self, path: &str) -> bool {
        if path == "Dockerfile" || path == ".dockerignore" {
            return false;
        }
        let parts: Vec<&str> = path.split('/').collect();
        let mut covered = false;
        for rule in &self.rules {
            let pattern: Vec<&str> = rule.parts.iter().map(String::as_str).collect();
            // A pattern that matches a directory matches what is in it.
            let matched = (1..=parts.len()).any(|length| glob::matches_path(&pattern, &parts[..length]));
            if matched {
                covered = !rule.exception;
            }
        }
        covered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Dockerfile"), "FROM debian\n").unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        fs::write(dir.path().join("bin/run"), "#!/bin/sh\n").unwrap();
        dir
    }

    fn hashed(dir: &tempfile::TempDir) -> String {
        hash(dir.path()).unwrap()
    }

    #[test]
    fn content_mode_name_and_link_target_each_change_the_hash() {
        let dir = context();
        let mut seen = vec![hashed(&dir)];
        assert_eq!(hashed(&dir), seen[0], "the same twice");
        let run = dir.path().join("bin/run");
        fs::write(&run, "#!/bin/bash\n").unwrap();
        seen.push(hashed(&dir));
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
        seen.push(hashed(&dir));
        fs::rename(&run, dir.path().join("bin/go")).unwrap();
        seen.push(hashed(&dir));
        std::os::unix::fs::symlink("go", dir.path().join("bin/link")).unwrap();
        seen.push(hashed(&dir));
        fs::remove_file(dir.path().join("bin/link")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("bin/link")).unwrap();
        seen.push(hashed(&dir));
        let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "{seen:?}");
    }

    #[test]
    fn what_dockerignore_names_does_not_count() {
        let dir = context();
        fs::write(dir.path().join(".dockerignore"), "# notes\n**/*.log\ntmp/\n!tmp/keep\n").unwrap();
        let before = hashed(&dir);
        fs::write(dir.path().join("bin/x.log"), "1").unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        fs::write(dir.path().join("tmp/y"), "1").unwrap();
        assert_eq!(hashed(&dir), before);
        fs::write(dir.path().join("tmp/keep"), "1").unwrap();
        assert_ne!(hashed(&dir), before);
        let paths: Vec<_> = items(dir.path()).unwrap().into_iter().map(|item| item.path).collect();
        assert_eq!(paths, [".dockerignore", "Dockerfile", "bin", "bin/run", "tmp/keep"]);
    }

    #[test]
    fn a_link_out_of_the_context_is_not_followed() {
        let dir = context();
        std::os::unix::fs::symlink("/", dir.path().join("root")).unwrap();
        assert!(items(dir.path()).unwrap().iter().all(|item| !item.path.starts_with("root/")));
    }

    #[test]
    fn a_context_without_a_dockerfile_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(hash(dir.path()).unwrap_err().text.contains("Dockerfile"));
        assert!(hash(&dir.path().join("absent")).is_err());
    }

    #[test]
    fn a_pattern_that_is_not_understood_is_refused() {
        assert!(Ignore::parse("[ab]*").is_err());
    }
}
