//! A manifest and the files that it includes, as one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::finding::{Findings, Mark, secret_word};
use super::raw::{Root, Text};
use super::read::{Entries, FromNode, Placed, Reader};
use super::yaml::{Content, Node};
use super::{lower, yaml};
use crate::files::{FileError, Files, normal};
use crate::glob;
use crate::manifest::Manifest;
use crate::note::{Note, Notes, Span};

/// Largest file of a manifest, in bytes. One of 10,000 fractals has some 3 MiB.
pub const FILE_LIMIT: u64 = 16 << 20;
/// Most files that one manifest may include.
const FILES: usize = 10_000;

/// What came out of reading a manifest.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The manifest, when nothing is in the way.
    pub manifest: Option<Manifest>,
    /// All findings, in the order of the places that they are about.
    pub notes: Notes,
    /// The text of each file, to show findings in.
    pub sources: Sources,
}

/// The text of each file that was read, without any secret that stood in it.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<PathBuf, String>);

impl Sources {
    /// The text of a file, by the name that spans have for it.
    pub fn text(&self, file: &Path) -> Option<&str> {
        self.0.get(file).map(String::as_str)
    }

    /// The line that a span begins on, without its end.
    pub fn line(&self, span: &Span) -> Option<&str> {
        let index = usize::try_from(span.line).ok()?.checked_sub(1)?;
        self.text(&span.file)?.lines().nth(index)
    }
}

/// Reads, checks and completes the manifest at `path` with all that it includes.
///
/// All findings are made in one run, as far as they can be: a file that is not YAML is reported, and the others
/// are still checked.
pub fn load(path: &Path, files: &dyn Files) -> Loaded {
    let mut findings = Findings::default();
    let mut reading = Reading {
        files,
        dir: path.parent().unwrap_or(Path::new("")).into(),
        findings: &mut findings,
        texts: Vec::new(),
        seen: BTreeSet::new(),
        chain: Vec::new(),
        include: Vec::new(),
        empty: Vec::new(),
        root: None,
    };
    let base = reading.start(path);
    reading.report_empty(base.as_deref());
    let Reading { root, texts, include, .. } = reading;
    let manifest = match (root, base) {
        (Some(mut root), Some(base)) => {
            root.include = include;
            root.check_unique(&mut findings);
            let hashes = hashes(path, &findings.files, &texts);
            lower::lower(&root, path, base, hashes, files, &mut findings)
        }
        _ => None,
    };
    let sources = sources(texts, &findings);
    Loaded { manifest: manifest.filter(|_| findings.errors() == 0), notes: findings.into_notes(), sources }
}

/// A text without the comments at its head: they ask for nothing, and so do not make a plan stale. Who proposed and
/// approved a file is written there after it was planned.
fn asking(text: &str) -> &str {
    let mut rest = text;
    while let Some((line, after)) = rest.split_once('\n') {
        let line = line.trim_matches([' ', '\t', '\r']);
        if !line.is_empty() && !line.starts_with('#') {
            break;
        }
        rest = after;
    }
    rest
}

/// The hash of each file's text under the name that it has seen from the manifest.
fn hashes(path: &Path, names: &[PathBuf], texts: &[String]) -> BTreeMap<PathBuf, String> {
    let dir = path.parent().unwrap_or(Path::new(""));
    names
        .iter()
        .zip(texts)
        .map(|(name, text)| {
            let name = name.strip_prefix(dir).unwrap_or(name);
            (name.to_path_buf(), crate::files::sha256_hex(asking(text).as_bytes()))
        })
        .collect()
}

fn sources(mut texts: Vec<String>, findings: &Findings) -> Sources {
    let mut masked = findings.masked.clone();
    // From the end, so that the ranges before stay right.
    masked.sort_by_key(|(_, range)| std::cmp::Reverse(range.start));
    for (file, range) in masked {
        if let Some(text) = texts.get_mut(file as usize)
            && let Some(secret) = text.get(range.clone())
        {
            let mask = mask(secret);
            text.replace_range(range, &mask);
        }
    }
    for file in &findings.opaque {
        if let Some(text) = texts.get_mut(*file as usize) {
            *text = text.split_inclusive('\n').map(mask_by_name).collect();
        }
    }
    Sources(findings.files.iter().cloned().zip(texts).collect())
}

/// As many characters as there were, so that columns stay right.
fn mask(secret: &str) -> String {
    secret.chars().map(|c| if c.is_whitespace() { c } else { '*' }).collect()
}

/// A line of a file that is not YAML: what follows a key that sounds like a secret is not shown.
fn mask_by_name(line: &str) -> String {
    let colon = secret_word(line).and_then(|at| line[at..].find(':').map(|colon| at + colon + 1));
    match colon {
        // A source in brackets is no secret.
        Some(at) if !line[at..].trim_start().starts_with('{') => line[..at].to_owned() + &mask(&line[at..]),
        _ => line.to_owned(),
    }
}

struct Reading<'a> {
    files: &'a dyn Files,
    /// The directory of the manifest, as it was named.
    dir: PathBuf,
    findings: &'a mut Findings,
    texts: Vec<String>,
    seen: BTreeSet<PathBuf>,
    /// Absolute paths of the files that include the one at hand.
    chain: Vec<PathBuf>,
    /// All that any of the files includes.
    include: Vec<Text>,
    /// Patterns of it that match nothing.
    empty: Vec<Text>,
    root: Option<Root>,
}

impl Reading<'_> {
    /// Reads the manifest itself; returns its absolute directory.
    fn start(&mut self, path: &Path) -> Option<PathBuf> {
        let read = self.files.absolute(path).and_then(|absolute| {
            let bytes = self.files.read(&absolute, FILE_LIMIT)?;
            Ok((absolute, bytes))
        });
        match read {
            Ok((absolute, bytes)) => {
                self.file(path.into(), &absolute, bytes);
                absolute.parent().map(Path::to_path_buf)
            }
            Err(FileError { text, hint }) => {
                let hint = format!("{hint}; `fraktalia init` writes a new manifest");
                let text = format!("the manifest `{}` {text}", path.display());
                self.findings.push(None, Note::error("manifest.file", text).hint(hint));
                None
            }
        }
    }

    fn file(&mut self, shown: PathBuf, absolute: &Path, bytes: Vec<u8>) {
        self.seen.insert(absolute.into());
        let file = u32::try_from(self.findings.files.len()).unwrap_or(u32::MAX);
        self.findings.files.push(shown);
        let root = match self.decode(file, bytes) {
            Ok(text) => {
                let root = self.root_of(file, &text);
                self.texts.push(text);
                root
            }
            Err(readable) => {
                self.texts.push(readable);
                None
            }
        };
        let Some(mut root) = root else {
            self.findings.opaque.insert(file);
            self.findings.damaged = true;
            self.findings.names_lost = true;
            return;
        };
        self.check_version(&root);
        let include = std::mem::take(&mut root.include);
        match &mut self.root {
            Some(all) => all.absorb(root, self.findings),
            None => self.root = Some(root),
        }
        self.chain.push(absolute.into());
        for pattern in &include {
            self.include(pattern);
        }
        self.include.extend(include);
        self.chain.pop();
    }

    fn root_of(&mut self, file: u32, text: &str) -> Option<Root> {
        let tree = yaml::parse(file, text, yaml::Bounds::MANIFEST, self.findings)?;
        if let Content::Map(entries) = &tree.content {
            // An empty section lacks its own keys; an empty text is as good as none.
            let empty = |key: &str, value: &Node| {
                matches!(value.content, Content::Null) && matches!(key, "version" | "realm")
            };
            let given = entries.iter().filter(|(key, value)| !empty(&key.value, value));
            let given = given.map(|(key, _)| key.value.clone());
            self.findings.sections.extend(given);
        }
        Root::from_node(&tree, &mut Reader::new(self.findings))
    }

    fn check_version(&mut self, root: &Root) {
        if let Some(version) = root.version.as_ref().filter(|version| version.value != 1) {
            let text = format!("version {} of the vocabulary is not known", version.value);
            let hint = "write `version: 1`; a newer fraktalia may know more";
            self.findings.error("manifest.version", version.at, text, hint);
        }
    }

    /// The text of a file, without the mark that some editors put at its start.
    /// Otherwise what of it can be shown.
    fn decode(&mut self, file: u32, bytes: Vec<u8>) -> Result<String, String> {
        let start = Mark { file, line: 1, column: 1, length: 0 };
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            let hint = "save it as UTF-8";
            self.findings.error("manifest.encoding", start, "this file is in UTF-16", hint);
            return Err(String::new());
        }
        match String::from_utf8(bytes) {
            Ok(mut text) => {
                if text.starts_with('\u{feff}') {
                    text.drain(..3);
                }
                Ok(text)
            }
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
                let line = before.rsplit('\n').next().unwrap_or_default();
                let at = Mark {
                    line: u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX),
                    column: u32::try_from(line.chars().count() + 1).unwrap_or(u32::MAX),
                    ..start
                };
                let text = "this byte is not UTF-8";
                self.findings.error("manifest.encoding", at, text, "save the file as UTF-8");
                Err(String::from_utf8_lossy(error.as_bytes()).into_owned())
            }
        }
    }

    fn include(&mut self, pattern: &Text) {
        let text = pattern.value.trim_start_matches("./");
        if Path::new(text).is_absolute() || text.starts_with('~') || text.split('/').any(|part| part == "..")
        {
            let hint = "name files below the directory of the manifest";
            let text = format!("`{}` leads out of the manifest's directory", pattern.value);
            self.findings.error("manifest.include", pattern.at, text, hint);
            return;
        }
        let found =
            if glob::is_pattern(text) { self.expand(pattern, text) } else { vec![PathBuf::from(text)] };
        for path in found {
            self.included(pattern, &path);
        }
    }

    /// The files that a pattern stands for, sorted.
    fn expand(&mut self, pattern: &Text, text: &str) -> Vec<PathBuf> {
        let parts = glob::parts(text);
        let mut found = BTreeSet::new();
        if let Err((dir, error)) = self.walk(Path::new(""), &parts, &mut found) {
            let text = format!("the directory `{}` {}", dir.display(), error.text);
            self.findings.error("manifest.include", pattern.at, text, error.hint);
            return Vec::new();
        }
        if found.is_empty() {
            self.empty.push(pattern.clone());
        }
        found.into_iter().collect()
    }

    /// A pattern is for something. One for what will be approved has nothing to match before that.
    fn report_empty(&mut self, base: Option<&Path>) {
        let admin_room = self.root.as_ref().and_then(|root| root.admin_room.as_ref());
        let write_to = admin_room.and_then(|room| room.write_to.as_ref());
        let below = base.zip(write_to).and_then(|(base, dir)| {
            normal(&base.join(&dir.value)).strip_prefix(base).map(Path::to_path_buf).ok()
        });
        for pattern in std::mem::take(&mut self.empty) {
            if below.as_ref().is_some_and(|dir| glob::covers(&pattern.value, dir)) {
                continue;
            }
            let text = format!("`{}` matches no file", pattern.value);
            let hint = "check the path: it starts at the directory of the manifest";
            self.findings.warning("manifest.include-empty", pattern.at, text, hint);
        }
    }

    /// Goes down only where the pattern can still match.
    fn walk(
        &self,
        dir: &Path,
        parts: &[&str],
        found: &mut BTreeSet<PathBuf>,
    ) -> Result<(), (PathBuf, FileError)> {
        let Some((part, rest)) = parts.split_first() else {
            return Ok(());
        };
        if *part == "**" && !rest.is_empty() {
            self.walk(dir, rest, found)?;
        }
        let listed = self
            .files
            .absolute(&self.dir.join(dir))
            .and_then(|absolute| self.files.list(&absolute))
            .map_err(|error| (dir.to_path_buf(), error))?;
        for entry in listed {
            let path = dir.join(&entry.name);
            if found.len() > FILES || entry.name.starts_with('.') {
                continue;
            }
            match (entry.dir, *part) {
                (true, "**") => self.walk(&path, parts, found)?,
                (false, "**") if rest.is_empty() => {
                    found.insert(path);
                }
                (_, "**") => {}
                (true, name) if !rest.is_empty() && glob::matches_name(name, &entry.name) => {
                    self.walk(&path, rest, found)?;
                }
                (false, name) if rest.is_empty() && glob::matches_name(name, &entry.name) => {
                    found.insert(path);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn included(&mut self, pattern: &Text, path: &Path) {
        let shown = self.dir.join(path);
        let named = !glob::is_pattern(&pattern.value);
        let read = self.files.absolute(&shown).and_then(|absolute| {
            if self.seen.contains(&absolute) {
                return Ok((absolute, None));
            }
            let bytes = self.files.read(&absolute, FILE_LIMIT)?;
            Ok((absolute, Some(bytes)))
        });
        match read {
            Ok((absolute, Some(bytes))) if self.findings.files.len() < FILES => {
                self.file(shown, &absolute, bytes);
            }
            Ok((_, Some(_))) => {
                let text = format!("more than {FILES} files are included");
                let hint = "narrow the pattern";
                self.findings.error("manifest.include", pattern.at, text, hint);
            }
            // A pattern may well match the very file it stands in.
            Ok((absolute, None)) if named => self.again(pattern, &absolute),
            Ok((_, None)) => {}
            Err(error) => {
                self.findings.damaged = true;
                self.findings.names_lost = true;
                let text = format!("`{}` {}", shown.display(), error.text);
                self.findings.error("manifest.include", pattern.at, text, error.hint);
            }
        }
    }

    fn again(&mut self, pattern: &Text, absolute: &Path) {
        if self.chain.iter().any(|path| path == absolute) {
            let text = format!("`{}` includes itself, directly or through others", pattern.value);
            let hint = "leave this entry away";
            self.findings.error("manifest.include-cycle", pattern.at, text, hint);
        } else {
            let text = format!("`{}` is included a second time", pattern.value);
            let hint = "leave one of the two away; it was read once";
            self.findings.warning("manifest.include-again", pattern.at, text, hint);
        }
    }
}

impl Root {
    /// Adds what another file says.
    fn absorb(&mut self, other: Self, findings: &mut Findings) {
        if self.version.is_none() {
            self.version = other.version;
        }
        once(&mut self.realm, other.realm, "realm", findings);
        once(&mut self.matrix, other.matrix, "matrix", findings);
        once(&mut self.openclaw, other.openclaw, "openclaw", findings);
        once(&mut self.admin_room, other.admin_room, "admin_room", findings);
        once(&mut self.api, other.api, "api", findings);
        once(&mut self.policy, other.policy, "policy", findings);
        self.hosts.0.extend(other.hosts.0);
        self.users.0.extend(other.users.0);
        self.rooms.0.extend(other.rooms.0);
        self.networks.0.extend(other.networks.0);
        self.sandboxes.0.extend(other.sandboxes.0);
        self.fractals.0.extend(other.fractals.0);
        self.bindings.extend(other.bindings);
        self.forwards.extend(other.forwards);
    }

    /// No name twice, whichever files they come from. The first of two is kept.
    fn check_unique(&mut self, findings: &mut Findings) {
        unique(&mut self.hosts, "host", findings);
        unique(&mut self.users, "user", findings);
        unique(&mut self.rooms, "room", findings);
        unique(&mut self.networks, "network", findings);
        unique(&mut self.sandboxes, "sandbox", findings);
        unique(&mut self.fractals, "fractal", findings);
    }
}

fn once<T: Placed>(mine: &mut Option<T>, other: Option<T>, key: &str, findings: &mut Findings) {
    match (&*mine, other) {
        (Some(first), Some(second)) => findings.clash(
            "manifest.duplicate-key",
            second.at(),
            first.at(),
            format!("`{key}` is given in two files"),
            "keep one of them",
        ),
        (None, Some(second)) => *mine = Some(second),
        (_, None) => {}
    }
}

fn unique<T>(entries: &mut Entries<T>, what: &str, findings: &mut Findings) {
    let mut places: HashMap<String, Mark> = HashMap::with_capacity(entries.0.len());
    entries.0.retain(|(key, _)| match places.get(&key.value) {
        None => {
            places.insert(key.value.clone(), key.at);
            true
        }
        Some(first) => {
            findings.clash(
                "manifest.duplicate-key",
                key.at,
                *first,
                format!("the {what} `{}` is given in two files", key.value),
                "keep one of them, or give one another name",
            );
            false
        }
    });
}
