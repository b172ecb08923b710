//! From what a person wrote to what the systems work with: names become full ids, defaults are filled in, files
//! that are referred to are read. What only this manifest can tell to be wrong is told here or in `check`.

mod api;
mod docker;
mod fractals;
mod matrix;
mod openclaw;
mod policy;

pub use docker::content_hash;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

pub(super) use self::policy::FORWARD_PORTS;
use super::finding::{Findings, Mark};
use super::raw::{Root, Secret, Text};
use super::read::Entries;
use super::{Manifest, check, suggest};
use crate::files::{Files, normal, sha256_hex};
use crate::note::Span;
use crate::output::UserId;
use crate::secret::SecretSource;

/// Largest file that a manifest may refer to, in bytes.
const REFERENCED_LIMIT: u64 = 16 << 20;

/// Lowers a whole manifest. `None` when a section is missing without which nothing can be said.
pub(crate) fn lower(
    root: &Root,
    path: &Path,
    base: PathBuf,
    hashes: BTreeMap<PathBuf, String>,
    files: &dyn Files,
    findings: &mut Findings,
) -> Option<Manifest> {
    check::names(root, findings);
    check::ports(root, findings);
    check::limits(root, findings);
    let mut lowering = Lowering {
        root,
        base,
        files,
        findings,
        hashes,
        server: None,
        localparts: HashSet::new(),
        names: Names::new(root),
    };
    let manifest = lowering.manifest(path);
    if let Some(manifest) = &manifest {
        check::whole(manifest, root, findings);
    }
    manifest
}

/// What all parts of the lowering need.
struct Lowering<'a> {
    root: &'a Root,
    base: PathBuf,
    files: &'a dyn Files,
    findings: &'a mut Findings,
    /// Hashes of all files that were read, for the fingerprint.
    hashes: BTreeMap<PathBuf, String>,
    /// The name of our homeserver.
    server: Option<String>,
    /// Localparts of the users that the manifest knows.
    localparts: HashSet<String>,
    names: Names<'a>,
}

/// What a manifest declares under names.
#[derive(Clone, Copy)]
enum Declared {
    Host,
    Room,
    Network,
    Sandbox,
    Fractal,
}

impl Declared {
    /// How it is called in messages, and where it is declared.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Host => ("host", "hosts"),
            Self::Room => ("room", "rooms"),
            Self::Network => ("network", "networks"),
            Self::Sandbox => ("sandbox", "sandboxes"),
            Self::Fractal => ("fractal", "fractals"),
        }
    }
}

/// The declared names. A fractal's key names its room as well.
struct Names<'a>([HashSet<&'a str>; 5]);

impl<'a> Names<'a> {
    fn new(root: &'a Root) -> Self {
        let fractals = keys(&root.fractals);
        let mut rooms = keys(&root.rooms);
        rooms.extend(&fractals);
        let mut hosts = keys(&root.hosts);
        hosts.insert("local");
        Self([hosts, rooms, keys(&root.networks), keys(&root.sandboxes), fractals])
    }

    fn of(&self, what: Declared) -> &HashSet<&'a str> {
        &self.0[what as usize]
    }
}

fn keys<T>(entries: &Entries<T>) -> HashSet<&str> {
    entries.keys().map(|key| key.value.as_str()).collect()
}

impl Lowering<'_> {
    fn manifest(&mut self, path: &Path) -> Option<Manifest> {
        self.required();
        let root = self.root;
        let matrix = root.matrix.as_ref().and_then(|raw| self.matrix(raw));
        self.know_users(matrix.as_ref());
        let openclaw = root.openclaw.as_ref().and_then(|raw| self.openclaw(raw));
        let hosts = self.hosts();
        let networks = self.networks();
        let sandboxes = self.sandboxes();
        let users = self.users();
        let fractals = self.fractals(openclaw.as_ref(), &sandboxes, &hosts);
        let bindings = self.bindings();
        let rooms = match &matrix {
            Some(matrix) => self.rooms(matrix, &fractals, &bindings),
            None => BTreeMap::new(),
        };
        let forwards = self.forwards();
        let admin_room = root.admin_room.as_ref().map(|raw| self.admin_room(raw, matrix.as_ref()));
        let api = root.api.as_ref().map(|raw| self.api(raw));
        let policy = self.policy();
        Some(Manifest {
            path: path.into(),
            base: self.base.clone(),
            fingerprint: self.fingerprint(),
            realm: root.realm.as_ref()?.value.clone(),
            matrix,
            openclaw,
            hosts,
            users,
            rooms,
            networks,
            sandboxes,
            fractals,
            bindings,
            forwards,
            admin_room,
            api,
            policy,
        })
    }

    /// The keys that every manifest has, and the sections that others need.
    fn required(&mut self) {
        // A file that could not be read may have had them.
        if !self.findings.opaque.is_empty() {
            return;
        }
        let root = self.root;
        let top = Mark { line: 1, column: 1, ..Mark::default() };
        let agents = first(&root.fractals).or(root.bindings.first().map(|binding| binding.agent.at));
        let chat = agents.or(first(&root.rooms)).or(first(&root.users));
        let needed = [
            ("version", Some(top), "begin with `version: 1`"),
            ("realm", Some(top), "add a name for what it manages: `realm: home`"),
            ("matrix", chat, "add `matrix:`; fraktalia.yaml.example shows its keys"),
            (
                "admin_room",
                root.api.as_ref().map(|api| api.at),
                "add `admin_room:`; its operators answer what is proposed",
            ),
            ("openclaw", agents, "add `openclaw:`; fraktalia.yaml.example shows its keys"),
        ];
        for (key, needed_by, hint) in needed {
            let Some(at) = needed_by.filter(|_| !self.findings.sections.contains(key)) else { continue };
            let text = if at == top {
                format!("the manifest lacks `{key}`")
            } else {
                format!("this needs the section `{key}`, which the manifest lacks")
            };
            self.findings.error("manifest.missing-key", at, text, hint);
        }
    }

    /// Collects the localparts that may be named as members.
    fn know_users(&mut self, matrix: Option<&super::Matrix>) {
        let root = self.root;
        let own = root
            .fractals
            .iter()
            .filter(|(_, fractal)| matrix::is_own(fractal))
            .map(|(key, _)| key.value.clone());
        if root.admin_room.as_ref().is_some_and(policy::makes_user) {
            self.localparts.insert(policy::DESK_USER.into());
        }
        self.localparts.extend(root.users.keys().map(|key| key.value.clone()).chain(own));
        if let Some(matrix) = matrix {
            self.server = Some(matrix.server_name.clone());
            let known = matrix.padding.iter().chain([&matrix.bot]);
            self.localparts.extend(known.filter_map(|user| matrix.localpart(user).map(String::from)));
        }
    }

    /// The full id of a user whom the manifest names by localpart or full id.
    fn user(&mut self, named: &Text) -> Option<UserId> {
        let name = named.value.as_str();
        if name.starts_with('@') {
            if super::text::is_user_id(name) {
                return Some(UserId(name.into()));
            }
            let text = format!("`{name}` is not a Matrix user id");
            self.findings.error("manifest.bad-user-id", named.at, text, "write `@name:server`");
            return None;
        }
        let server = self.server.as_deref()?;
        if self.localparts.contains(name) {
            return Some(UserId(format!("@{name}:{server}")));
        }
        if !self.findings.names_lost && !self.findings.crowded() {
            let hint = suggest::hint(name, self.localparts.iter().map(String::as_str), || {
                format!("add `{name}:` under `users`, or write the full id `@{name}:{server}`")
            });
            let text = format!("`{name}` is not a user that this manifest knows");
            self.findings.error("manifest.unknown-user", named.at, text, hint);
        }
        None
    }

    /// Users by name; one who is named twice counts once.
    fn users_named(&mut self, named: &[Text]) -> Vec<UserId> {
        let mut seen = HashSet::new();
        let mut users = Vec::with_capacity(named.len());
        for text in named {
            let Some(user) = self.user(text) else { continue };
            if seen.insert(user.clone()) {
                users.push(user);
            } else {
                let message = format!("`{}` is named a second time", text.value);
                self.findings.warning("manifest.named-twice", text.at, message, "leave one of the two away");
            }
        }
        users
    }

    /// The name itself, if the manifest declares it; otherwise a finding.
    fn declared(&mut self, named: &Text, what: Declared) -> Option<String> {
        let name = named.value.as_str();
        if self.names.of(what).contains(name) {
            return Some(name.into());
        }
        if !self.findings.names_lost && !self.findings.crowded() {
            let (word, section) = what.words();
            let known = self.names.of(what).iter().copied();
            let hint = suggest::hint(name, known, || format!("add `{name}:` under `{section}`"));
            let text = format!("there is no {word} `{name}`");
            let code = format!("manifest.unknown-{word}");
            self.findings.error(&code, named.at, text, hint);
        }
        None
    }

    /// The absolute form of a path: relative ones start at the manifest, `~` is the home directory.
    fn path(&mut self, text: &Text) -> PathBuf {
        let value = text.value.as_str();
        let home = match value.strip_prefix('~') {
            Some("") => Some(""),
            Some(rest) => rest.strip_prefix('/'),
            None => None,
        };
        if value.is_empty() || (value.starts_with('~') && home.is_none()) {
            let message = format!("`{value}` is not a path that can be followed");
            let hint = "write a path; `~/` stands for your own home directory only";
            self.findings.error("manifest.bad-path", text.at, message, hint);
        }
        match (home, self.files.home()) {
            (Some(rest), Some(home)) => normal(&home.join(rest)),
            (Some(_), None) => {
                let message = "`~` is used, and there is no home directory";
                let hint = "set HOME, or write the path out";
                self.findings.error("manifest.bad-path", text.at, message, hint);
                PathBuf::from(value)
            }
            (None, _) => normal(&self.base.join(value)),
        }
    }

    fn secret(&mut self, secret: &Secret) -> SecretSource {
        match &secret.0.value {
            SecretSource::File(path) => {
                let text = Text { at: secret.0.at, value: path.to_string_lossy().into_owned() };
                SecretSource::File(self.path(&text))
            }
            other => other.clone(),
        }
    }

    /// The content of a file that is referred to.
    fn referenced(&mut self, text: &Text) -> Option<(PathBuf, Vec<u8>)> {
        let errors = self.findings.errors();
        let path = self.path(text);
        if self.findings.errors() > errors {
            return None;
        }
        match self.files.read(&path, REFERENCED_LIMIT) {
            Ok(bytes) => {
                self.hashes.insert(self.seen_from_base(&path), sha256_hex(&bytes));
                Some((path, bytes))
            }
            Err(error) => {
                let message = format!("the file `{}` {}", path.display(), error.text);
                self.findings.error("manifest.file", text.at, message, error.hint);
                None
            }
        }
    }

    fn seen_from_base(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.base).unwrap_or(path).to_path_buf()
    }

    fn span(&self, at: Mark) -> Span {
        self.findings.span(at)
    }

    fn fingerprint(&self) -> String {
        use std::fmt::Write as _;
        let mut all = String::new();
        for (path, hash) in &self.hashes {
            let _ = writeln!(all, "{}\0{hash}", path.display());
        }
        sha256_hex(all.as_bytes())
    }
}

fn first<T>(entries: &Entries<T>) -> Option<Mark> {
    entries.keys().next().map(|key| key.at)
}
