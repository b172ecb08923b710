//! What every command needs: the manifest, the state directory, a session, and how things are shown.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fraktalia_engine::session::Options;
use fraktalia_engine::watch::files::Target;
use fraktalia_engine::{Planned, Session, SessionError, StatePaths};
use fraktalia_model::{Manifest, Severity, Sources};

use crate::cli::{Common, RunFormat};
use crate::error::Failure;
use crate::render::look::{Detail, Look, Stream};
use crate::render::note;
use crate::render::plan::About;
use crate::{out, registry};

/// The command line's common part, and the looks of both streams.
pub struct App {
    common: Common,
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
        Self { common, out: Look::of(Stream::Out, detail), err: Look::of(Stream::Err, detail) }
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
        let (loaded, targets) = fraktalia_engine::load::load_with_targets(&self.common.manifest);
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
