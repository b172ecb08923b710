//! What every command needs: the manifest, the state directory, a session, and how things are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fraktalia_engine::session::Options;
use fraktalia_engine::watch::files::Target;
use fraktalia_engine::{Planned, Session, SessionError, StatePaths};
use fraktalia_model::{Loaded, Manifest, Severity, Sources};

use crate::cli::{AsIf, Common, RunFormat, WithArgs};
use crate::error::Failure;
use crate::render::look::{Detail, Look, Stream};
use crate::render::note;
use crate::render::plan::About;
use crate::{out, registry};

/// The command line's common part, and the looks of both streams.
#[derive(Clone)]
pub struct App {
    common: Common,
    /// Files of the manifest that are to say something else than they do, or not to be there, by their absolute paths.
    as_if: BTreeMap<PathBuf, Option<String>>,
    /// How data is shown.
    pub out: Look,
    /// How talk is shown.
    pub err: Look,
}

/// A manifest without errors, and all that belongs to it.
pub struct Opened {
    /// The session.
    pub session: Session,
    /// The text of the files, to show notes in.
    pub sources: Sources,
    /// All that the manifest was read from.
    read: BTreeSet<Target>,
}

impl Opened {
    /// With a note for the journals of what it does.
    #[must_use]
    pub fn with_note(self, note: Option<&String>) -> Self {
        Self { session: self.session.with_note(note.cloned()), ..self }
    }

    /// Plans, and finds out meanwhile which commit the manifest is of.
    pub async fn plan(&self, options: &Options, refresh: bool) -> Result<Planned, SessionError> {
        let path = &self.session.manifest().path;
        let origin = fraktalia_engine::git::origin(path, &self.read);
        let (origin, planned) = tokio::join!(origin, self.session.plan(options, refresh));
        self.session.set_origin(origin);
        planned
    }
}

impl App {
    /// For one command line.
    pub fn new(common: Common, detail: Detail) -> Self {
        let as_if = BTreeMap::new();
        Self { common, as_if, out: Look::of(Stream::Out, detail), err: Look::of(Stream::Err, detail) }
    }

    /// The same, for a manifest as if these files stood in it, or did not.
    pub fn with(&self, args: &WithArgs) -> Result<Self, Failure> {
        let mut app = self.clone();
        let base = absolute(self.common.manifest.clone())?;
        let base = fraktalia_model::files::normal(base.parent().unwrap_or(Path::new("/")));
        for AsIf { path, file } in &args.with {
            app.as_if.insert(base.join(path), Some(read_text(file)?));
        }
        for path in &args.without {
            if app.as_if.insert(base.join(path), None).is_some() {
                return Err(Failure::usage(
                    format!("{} is named by --with and by --without", path.display()),
                    "leave one of the two away",
                ));
            }
        }
        app.is_included(args)?;
        Ok(app)
    }

    /// Reads the manifest, whatever is wrong with it, and all that it is read from.
    pub fn load(&self) -> Result<(Loaded, BTreeSet<Target>), Failure> {
        let (loaded, read) =
            fraktalia_engine::load::load_as_if_with_targets(&self.common.manifest, &self.as_if);
        let is_read = |path: &PathBuf| read.contains(&Target::Path(path.clone()));
        let mut there = self.as_if.iter().filter(|(_, text)| text.is_some()).map(|(path, _)| path);
        // Where the manifest itself is no YAML, nobody knows what it includes.
        if loaded.manifest.is_some()
            && let Some(path) = there.find(|path| !is_read(path))
        {
            return Err(Failure::usage(
                format!("--with {}: the manifest includes no such file", path.display()),
                "name a path that `include` covers, or add one to `include`",
            ));
        }
        Ok((loaded, read))
    }

    /// Whether what is to be left out would be read otherwise: what is misspelt must not look as if it made no difference.
    fn is_included(&self, args: &WithArgs) -> Result<(), Failure> {
        let gone = || self.as_if.iter().filter(|(_, text)| text.is_none()).map(|(path, _)| path);
        if args.without.is_empty() {
            return Ok(());
        }
        let (_, read) = fraktalia_engine::load::load_with_targets(&self.common.manifest);
        match gone().find(|path| !(path.is_file() && read.contains(&Target::Path((*path).clone())))) {
            Some(path) => Err(Failure::usage(
                format!("--without {}: the manifest includes no such file", path.display()),
                "name a file that it includes",
            )),
            None => Ok(()),
        }
    }

    /// How a plan is shown that is about to run: it is talk where the events are the data.
    pub fn look(&self, format: RunFormat) -> Look {
        match format {
            RunFormat::Text => self.out,
            RunFormat::Jsonl => self.err,
        }
    }

    /// The manifest, as it was named.
    pub fn path(&self) -> &Path {
        &self.common.manifest
    }

    /// Reads the manifest. Warnings go to stderr.
    pub fn manifest(&self) -> Result<(Manifest, Sources), Failure> {
        self.manifest_with_targets().map(|(manifest, sources, _)| (manifest, sources))
    }

    fn manifest_with_targets(&self) -> Result<(Manifest, Sources, BTreeSet<Target>), Failure> {
        let (loaded, targets) = self.load()?;
        let Some(manifest) = loaded.manifest else {
            return Err(Failure::Manifest {
                path: self.common.manifest.clone(),
                notes: loaded.notes,
                sources: loaded.sources,
            });
        };
        let warnings: Vec<_> =
            loaded.notes.into_iter().filter(|note| note.severity >= Severity::Warning).collect();
        let mut page = String::new();
        note::write_all(&warnings, &loaded.sources, &self.err, &mut page);
        out::talk(&page);
        Ok((manifest, loaded.sources, targets))
    }

    /// A session for the manifest.
    pub fn open(&self) -> Result<Opened, Failure> {
        let (manifest, sources, read) = self.manifest_with_targets()?;
        let session = self.session(manifest)?.with_fault(registry::fault()?);
        Ok(Opened { session, sources, read })
    }

    /// A session for a manifest that may not be the one on disk.
    pub fn session(&self, manifest: Manifest) -> Result<Session, Failure> {
        let paths = self.place()?.of(&manifest.realm)?;
        let registry = registry::registry(&manifest);
        Ok(Session::new(manifest, registry, paths))
    }

    /// Where state directories are.
    pub fn place(&self) -> Result<Place, Failure> {
        Ok(match &self.common.state {
            Some(state) => Place::Here(state.clone()),
            None => Place::Below(state_home()?.join("fraktalia")),
        })
    }
}

/// Where state directories are.
#[derive(Clone, Debug)]
pub enum Place {
    /// The one that was named.
    Here(PathBuf),
    /// One for each realm.
    Below(PathBuf),
}

impl Place {
    /// The state directory of a realm.
    pub fn of(&self, realm: &str) -> Result<StatePaths, Failure> {
        let path = match self {
            Self::Here(path) => path.clone(),
            Self::Below(path) => path.join(realm),
        };
        absolute(path).map(StatePaths::new)
    }

    /// Where the commits of branches are, whose realm is not known before they are read.
    pub fn clones(&self) -> Result<PathBuf, Failure> {
        absolute(match self {
            Self::Here(path) => path.join("clones"),
            // No realm can be called so.
            Self::Below(path) => path.join(".clones"),
        })
    }
}

/// A file that stands for one of the manifest's; larger ones than those may be are none.
fn read_text(path: &Path) -> Result<String, Failure> {
    use fraktalia_model::Files;
    let failed = |what| Failure::usage(format!("--with: {} {what}", path.display()), "name a file of YAML");
    let bytes = fraktalia_engine::load::DiskFiles::new().read(path, 8 << 20);
    let bytes = bytes.map_err(|error| failed(error.text))?;
    String::from_utf8(bytes).map_err(|_| failed("is not UTF-8".to_owned()))
}

fn absolute(path: PathBuf) -> Result<PathBuf, Failure> {
    std::path::absolute(&path).map_err(|source| Failure::File { doing: "find", path, source })
}

fn state_home() -> Result<PathBuf, Failure> {
    fraktalia_engine::paths::state_home().ok_or_else(|| Failure::Environment {
        what: "there is no place for our own files: neither XDG_STATE_HOME nor HOME is set".into(),
        hint: "--state names a directory".into(),
    })
}

/// What the renderers know about a plan besides the plan.
pub fn about(session: &Session, planned: Option<&fraktalia_engine::Planned>) -> About {
    let manifest = session.manifest();
    let looks = planned.map(|planned| &planned.looks);
    About {
        manifest: manifest.path.display().to_string(),
        origin: session.origin(),
        fractals: manifest.fractals.keys().cloned().collect(),
        server: manifest.matrix.as_ref().map(|matrix| matrix.server_name.clone()),
        read: looks
            .into_iter()
            .flatten()
            // A host that nothing is asked of was not read.
            .filter(|(_, look)| look.how != "not asked")
            .map(|(system, look)| (system.to_string(), look.how.clone()))
            .collect(),
        // Systems are read at the same time, so the slowest says how long it took.
        took: looks.and_then(|looks| looks.values().map(|look| look.took).max()),
    }
}
