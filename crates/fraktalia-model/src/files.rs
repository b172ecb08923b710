//! What reading a manifest needs of the world: a few files. Given by the caller, since this crate does no I/O.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

/// The files that a manifest names.
pub trait Files {
    /// The absolute form of a path, without asking the disk: `.` and `..` are taken out by their letters.
    ///
    /// # Errors
    /// When the working directory is not known.
    fn absolute(&self, path: &Path) -> Result<PathBuf, FileError>;

    /// The whole content of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// When there is none, when it may not be read, or when it is larger.
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, FileError>;

    /// The names in a directory, in any order. A directory that does not exist has none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list(&self, dir: &Path) -> Result<Vec<Listed>, FileError>;

    /// SHA-256 (hex) over the paths, modes and contents of an image's build context, symbolic links by what they
    /// say, without what its `.dockerignore` leaves out.
    ///
    /// # Errors
    /// When something in it cannot be read, or there is no `Dockerfile`.
    fn hash_context(&self, dir: &Path) -> Result<String, FileError>;

    /// The directory that `~` stands for.
    fn home(&self) -> Option<PathBuf>;
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The last component of its path.
    pub name: String,
    /// Whether it is a directory. A symbolic link to one is not: walks would not end.
    pub dir: bool,
}

/// A file that cannot be used: what is the case, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FileError {
    /// What is the case, without the path: "does not exist".
    pub text: String,
    /// What to do about it.
    pub hint: String,
}

impl FileError {
    /// An error from its two halves.
    pub fn new(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { text: text.into(), hint: hint.into() }
    }

    /// There is no such file.
    pub fn absent() -> Self {
        Self::new("does not exist", "create it, or correct the path")
    }

    /// There is one, and it is larger than it may be.
    pub fn too_large(limit: u64) -> Self {
        let text = format!("is larger than {} MiB", limit >> 20);
        Self::new(text, "check that this is the right file")
    }
}

/// Takes `.` and `..` out of an absolute path by their letters.
pub fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

/// Lower-case hexadecimal SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Files that exist only here, below the working directory `/manifest`; home is `/home/me`.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(BTreeMap<PathBuf, Vec<u8>>);

impl MemoryFiles {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a file more. A relative path is one below `/manifest`.
    #[must_use]
    pub fn with(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.0.insert(normal(&Path::new("/manifest").join(path)), content.into());
        self
    }
}

impl Files for MemoryFiles {
    fn absolute(&self, path: &Path) -> Result<PathBuf, FileError> {
        Ok(normal(&Path::new("/manifest").join(path)))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
        let content = self.0.get(&self.absolute(path)?).ok_or_else(FileError::absent)?;
        if content.len() as u64 > limit {
            return Err(FileError::too_large(limit));
        }
        Ok(content.clone())
    }

    fn list(&self, dir: &Path) -> Result<Vec<Listed>, FileError> {
        let dir = self.absolute(dir)?;
        let mut listed: Vec<Listed> = Vec::new();
        for path in self.0.keys() {
            let Ok(below) = path.strip_prefix(&dir) else {
                continue;
            };
            let mut parts = below.components();
            if let Some(first) = parts.next() {
                let entry = Listed {
                    name: first.as_os_str().to_string_lossy().into_owned(),
                    dir: parts.next().is_some(),
                };
                if !listed.contains(&entry) {
                    listed.push(entry);
                }
            }
        }
        Ok(listed)
    }

    fn hash_context(&self, dir: &Path) -> Result<String, FileError> {
        let dir = self.absolute(dir)?;
        self.read(&dir.join("Dockerfile"), u64::MAX)?;
        let mut hash = Sha256::new();
        for (path, content) in self.0.iter().filter(|(path, _)| path.starts_with(&dir)) {
            hash.update(path.to_string_lossy().as_bytes());
            hash.update(content);
        }
        Ok(hex(&hash.finalize()))
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/home/me".into())
    }
}
