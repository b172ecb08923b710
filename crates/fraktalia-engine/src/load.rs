//! Reading a manifest from disk.

pub mod context;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fraktalia_model::files::normal;
use fraktalia_model::{FileError, Files, Listed, Loaded, manifest};

use crate::watch::files::Target;

/// Reads, checks and completes the manifest at `path`, with all that it includes and refers to.
///
/// What is wrong stands in the notes, each with its place and a hint; `manifest` is there when no note is an error.
pub fn load(path: &Path) -> Loaded {
    manifest::load(path, &DiskFiles::new())
}

/// The same, and all on disk that it depends on, the files that are missing included.
pub fn load_with_targets(path: &Path) -> (Loaded, BTreeSet<Target>) {
    load_as_if_with_targets(path, &BTreeMap::new())
}

/// The same as if these files, by their absolute paths, said something else, or were there at all, or (`None`) were not
/// there. One that nothing includes is not among what was read.
pub fn load_as_if_with_targets(
    path: &Path,
    texts: &BTreeMap<PathBuf, Option<String>>,
) -> (Loaded, BTreeSet<Target>) {
    let files = AsIf { files: DiskFiles::new(), texts };
    let files = Noting { files, noted: Mutex::default() };
    let loaded = manifest::load(path, &files);
    (loaded, files.noted.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The same as if these files, by their absolute paths, said something else.
pub fn load_as_if(path: &Path, texts: &BTreeMap<PathBuf, String>) -> Loaded {
    let texts = texts.iter().map(|(path, text)| (path.clone(), Some(text.clone()))).collect();
    manifest::load(path, &AsIf { files: DiskFiles::new(), texts: &texts })
}

/// The files of this machine, some of them with another text, or not there.
struct AsIf<'t> {
    files: DiskFiles,
    texts: &'t BTreeMap<PathBuf, Option<String>>,
}

impl Files for AsIf<'_> {
    fn absolute(&self, path: &Path) -> Result<PathBuf, FileError> {
        self.files.absolute(path)
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
        match self.texts.get(path) {
            Some(Some(text)) if text.len() as u64 > limit => Err(FileError::too_large(limit)),
            Some(Some(text)) => Ok(text.clone().into_bytes()),
            Some(None) => Err(FileError::absent()),
            None => self.files.read(path, limit),
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<Listed>, FileError> {
        let mut listed = self.files.list(dir)?;
        listed.retain(|entry| self.texts.get(&dir.join(&entry.name)).is_none_or(Option::is_some));
        let there = self.texts.iter().filter(|(_, text)| text.is_some());
        for below in there.filter_map(|(path, _)| path.strip_prefix(dir).ok()) {
            let mut names = below.iter();
            let Some(name) = names.next() else { continue };
            let name = name.to_string_lossy().into_owned();
            if listed.iter().all(|known| known.name != name) {
                listed.push(Listed { name, dir: names.next().is_some() });
            }
        }
        Ok(listed)
    }

    fn hash_context(&self, dir: &Path) -> Result<String, FileError> {
        self.files.hash_context(dir)
    }

    fn home(&self) -> Option<PathBuf> {
        self.files.home()
    }
}

/// Writes down what is asked of it.
struct Noting<F> {
    files: F,
    noted: Mutex<BTreeSet<Target>>,
}

impl<F: Files> Noting<F> {
    fn note(&self, kind: impl Fn(PathBuf) -> Target, path: &Path) {
        if let Ok(path) = self.files.absolute(path) {
            self.noted.lock().unwrap_or_else(PoisonError::into_inner).insert(kind(path));
        }
    }
}

impl<F: Files> Files for Noting<F> {
    fn absolute(&self, path: &Path) -> Result<PathBuf, FileError> {
        self.files.absolute(path)
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
        self.note(Target::Path, path);
        self.files.read(path, limit)
    }

    fn list(&self, dir: &Path) -> Result<Vec<Listed>, FileError> {
        self.note(Target::Names, dir);
        self.files.list(dir)
    }

    fn hash_context(&self, dir: &Path) -> Result<String, FileError> {
        self.note(Target::Tree, dir);
        self.files.hash_context(dir)
    }

    fn home(&self) -> Option<PathBuf> {
        self.files.home()
    }
}

/// The files of this machine.
#[derive(Clone, Debug)]
pub struct DiskFiles {
    home: Option<PathBuf>,
}

impl DiskFiles {
    /// The files of this machine, with `~` as the environment has it.
    pub fn new() -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        Self {
            // A relative HOME would make `~` depend on where we stand.
            home: home.filter(|home| home.is_absolute()),
        }
    }
}

impl Default for DiskFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl Files for DiskFiles {
    fn absolute(&self, path: &Path) -> Result<PathBuf, FileError> {
        // The parent of a plain `fraktalia.yaml` is the empty path.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let absolute = std::path::absolute(path).map_err(|error| unreadable(&error))?;
        Ok(normal(&absolute))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
        // Opening a pipe or a device could wait for ever, so the kind of file is asked for first.
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
        if !metadata.is_file() {
            let kind = if metadata.is_dir() { "a directory" } else { "no ordinary file" };
            return Err(FileError::new(format!("is {kind}"), "name a file"));
        }
        let file = std::fs::File::open(path).map_err(|error| unreadable(&error))?;
        let mut bytes = Vec::new();
        // The size that was asked for may be outdated by now: what is read decides.
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > limit {
            return Err(FileError::too_large(limit));
        }
        Ok(bytes)
    }

    fn list(&self, dir: &Path) -> Result<Vec<Listed>, FileError> {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(unreadable(&error)),
        };
        entries
            .map(|entry| {
                let entry = entry?;
                Ok(Listed {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    dir: entry.file_type()?.is_dir(),
                })
            })
            .collect::<Result<_, std::io::Error>>()
            .map_err(|error| unreadable(&error))
    }

    fn hash_context(&self, dir: &Path) -> Result<String, FileError> {
        context::hash(dir)
    }

    fn home(&self) -> Option<PathBuf> {
        self.home.clone()
    }
}

/// What an error of the file system means, and what to do about it.
fn unreadable(error: &std::io::Error) -> FileError {
    match error.kind() {
        ErrorKind::NotFound => FileError::absent(),
        ErrorKind::PermissionDenied => {
            FileError::new("may not be read by this user", "give this user the right to read it")
        }
        ErrorKind::NotADirectory => {
            FileError::new("lies below something that is no directory", "correct the path")
        }
        _ => {
            FileError::new(format!("cannot be read: {error}"), "check the disk and the path, then try again")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "version: 1\nrealm: home\n";

    #[test]
    fn a_manifest_on_disk_is_read_with_its_includes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fraktalia.yaml");
        std::fs::write(&path, format!("{SMALL}include: ['more/*.yaml']\n")).unwrap();
        std::fs::create_dir(dir.path().join("more")).unwrap();
        std::fs::write(dir.path().join("more/b.yaml"), "networks: { b: }\n").unwrap();
        std::fs::write(dir.path().join("more/a.yaml"), "networks: { a: { internet: maybe } }\n").unwrap();
        let loaded = load(&path);
        assert!(loaded.manifest.is_none());
        assert_eq!(loaded.notes.len(), 1, "{:?}", loaded.notes);
        let at = loaded.notes[0].at.as_ref().unwrap();
        assert_eq!(at.file, dir.path().join("more/a.yaml"));
        assert_eq!(loaded.sources.line(at), Some("networks: { a: { internet: maybe } }"));
        std::fs::write(dir.path().join("more/a.yaml"), "networks: { a: }\n").unwrap();
        let manifest = load(&path).manifest.unwrap();
        assert_eq!(manifest.networks.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(manifest.base, normal(dir.path()));
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_read_as_if_it_were_and_only_where_it_is_included() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fraktalia.yaml");
        std::fs::write(&path, format!("{SMALL}include: ['more/**/*.yaml']\n")).unwrap();
        let load = |name: &str| {
            let file = dir.path().join(name);
            let texts = BTreeMap::from([(file.clone(), Some("networks: { a: }\n".to_owned()))]);
            let (loaded, read) = load_as_if_with_targets(&path, &texts);
            (loaded.manifest.unwrap().networks.len(), read.contains(&Target::Path(file)))
        };
        assert_eq!(load("more/deep/a.yaml"), (1, true));
        assert_eq!(load("other/a.yaml"), (0, false));
        assert!(!dir.path().join("more").exists(), "nothing is written");
    }

    #[test]
    fn a_file_that_is_there_is_read_as_if_it_were_gone_and_the_fingerprint_is_that_of_a_manifest_without_it()
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fraktalia.yaml");
        std::fs::write(&path, format!("{SMALL}include: ['more/*.yaml']\n")).unwrap();
        std::fs::create_dir(dir.path().join("more")).unwrap();
        let (a, b) = (dir.path().join("more/a.yaml"), dir.path().join("more/b.yaml"));
        std::fs::write(&a, "networks: { a: }\n").unwrap();
        std::fs::write(&b, "networks: { b: }\n").unwrap();
        let (loaded, _) = load_as_if_with_targets(&path, &BTreeMap::from([(a.clone(), None)]));
        let manifest = loaded.manifest.unwrap();
        assert_eq!(manifest.networks.keys().collect::<Vec<_>>(), ["b"]);
        std::fs::remove_file(&a).unwrap();
        assert_eq!(load(&path).manifest.unwrap().fingerprint, manifest.fingerprint);
        // One that is named, and not by a pattern, is missed.
        std::fs::write(&path, format!("{SMALL}include: [more/b.yaml]\n")).unwrap();
        let (loaded, _) = load_as_if_with_targets(&path, &BTreeMap::from([(b, None)]));
        assert!(loaded.notes[0].text.contains("does not exist"), "{:?}", loaded.notes);
    }

    #[test]
    fn comments_at_the_head_of_a_file_ask_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fraktalia.yaml");
        let print = |text: &str| {
            std::fs::write(&path, text).unwrap();
            load(&path).manifest.unwrap().fingerprint
        };
        let plain = print(SMALL);
        assert_eq!(print(&format!("# Approved by @ana:chat.home\n\n  # and read\n{SMALL}")), plain);
        assert_ne!(print(&format!("{SMALL}# at the end\n")), plain);
        assert_ne!(print(&SMALL.replace("home", "shed")), plain);
    }

    #[test]
    fn the_folder_of_a_manifest_that_is_named_without_one_is_the_working_directory() {
        let here = DiskFiles::new().absolute(Path::new("fraktalia.yaml").parent().unwrap()).unwrap();
        assert_eq!(here, normal(&std::env::current_dir().unwrap()));
    }

    #[test]
    fn the_examples_pass_with_the_files_that_lie_beside_them() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = root.join("examples/single-host/fraktalia.yaml");
        let loaded = manifest::load(&path, &DiskFiles { home: Some("/home/me".into()) });
        assert_eq!(loaded.notes, []);
        assert!(loaded.manifest.unwrap().fractals["gardener"].workspace.files.contains_key("AGENTS.md"));
    }

    #[test]
    fn what_cannot_be_read_is_said_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let absent = load(&dir.path().join("fraktalia.yaml"));
        assert_eq!(absent.notes[0].code, "manifest.file");
        assert!(absent.notes[0].text.contains("does not exist"), "{:?}", absent.notes);
        let directory = load(dir.path());
        assert!(directory.notes[0].text.contains("is a directory"), "{:?}", directory.notes);
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        std::fs::write(&path, [b'#'; 11]).unwrap();
        assert!(DiskFiles::new().read(&path, 10).is_err());
        assert_eq!(DiskFiles::new().read(&path, 11).unwrap().len(), 11);
    }
}
