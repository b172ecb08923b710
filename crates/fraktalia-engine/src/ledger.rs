//! What is ours, and what we last asked for: a fold over the journals of the runs that ended.
//!
//! `STATE/ledger.json` is that fold, kept. When the file is lost or damaged, it is folded anew; it is never taken
//! for empty.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fraktalia_model::{Outputs, ResourceId};
use fraktalia_plan::{Record, Records, Verb};
use serde::{Deserialize, Serialize};

use crate::erase::Registry;
use crate::journal::{self, JournalError, Outcome, Run, Status};
use crate::paths::StatePaths;

const FORMAT: u16 = 1;

#[derive(Serialize, Deserialize)]
struct Stored<Run, Records> {
    format: u16,
    realm: String,
    /// The last run that is folded in.
    run: Run,
    records: Records,
}

/// What a ledger of any format has.
#[derive(Deserialize)]
struct Format {
    #[serde(default)]
    format: u64,
}

/// A ledger that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file system said no.
    #[error("cannot {doing} {path}")]
    Io {
        /// `read`, `write`.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be understood, and there is no journal to fold it anew from.
    #[error("{path} is damaged, and there is no journal to restore it from")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// It was written by a newer fraktalia.
    #[error("{path} has format {format}; this fraktalia reads {FORMAT}")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        format: u16,
    },
    /// It belongs to another realm.
    #[error("{path} belongs to the realm `{found}`, not to `{expected}`")]
    OtherRealm {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// A journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The record of a realm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// What is ours.
    pub records: Records,
    /// The last run that is folded in.
    pub run: Option<String>,
}

impl Ledger {
    /// Reads the ledger, or folds it anew when it is lost or damaged.
    ///
    /// # Errors
    /// When it is damaged and cannot be restored, or belongs to something else.
    pub fn load(paths: &StatePaths, realm: &str, registry: &Registry) -> Result<Self, LedgerError> {
        let path = paths.ledger();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::fold_all(paths, registry),
            Err(source) => {
                return Err(LedgerError::Io { doing: "read", path, source });
            }
        };
        let stored = match serde_json::from_slice::<Stored<Option<String>, Records>>(&text) {
            Ok(stored) if stored.format <= FORMAT => stored,
            // A newer one may look like anything, but says so.
            _ => match serde_json::from_slice::<Format>(&text) {
                Ok(Format { format }) if format > u64::from(FORMAT) => {
                    let format = u16::try_from(format).unwrap_or(u16::MAX);
                    return Err(LedgerError::Newer { path, format });
                }
                _ => return Self::restored(paths, registry, path),
            },
        };
        if stored.realm != realm {
            return Err(LedgerError::OtherRealm { path, found: stored.realm, expected: realm.into() });
        }
        Ok(Self { records: stored.records, run: stored.run })
    }

    fn restored(paths: &StatePaths, registry: &Registry, path: PathBuf) -> Result<Self, LedgerError> {
        if journal::list(paths)?.is_empty() {
            return Err(LedgerError::Damaged { path });
        }
        tracing::warn!(path = %path.display(), "the ledger is damaged; it is restored from the journals");
        Self::fold_all(paths, registry)
    }

    /// The fold over all journals of runs that ended.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn fold_all(paths: &StatePaths, registry: &Registry) -> Result<Self, LedgerError> {
        let mut ledger = Self::default();
        for path in journal::list(paths)? {
            if let Some(run) = journal::read(&path)?
                && let Some((_, outcome)) = &run.closed
            {
                ledger.fold(&run, outcome, registry);
            }
        }
        Ok(ledger)
    }

    /// Takes the end of a run into account. Folding the same end twice changes nothing.
    pub fn fold(&mut self, run: &Run, outcome: &Outcome, registry: &Registry) {
        self.run = Some(run.header.run.clone());
        let before = &run.header.before;
        let plan = &run.header.plan;
        if let Outcome::RolledBack { .. } = outcome {
            for id in touched(run) {
                self.put_back(id, before.get(id));
            }
            return;
        }
        let known = outputs(run);
        let standings = standings(run);
        let standing = |id| standings.get(id).copied().unwrap_or(Standing::Done);
        for (id, record) in &plan.records {
            match standing(id) {
                Standing::Done => self.insert(id, record, &known, registry),
                // What we may have made and could not take back stays ours, so that it can still be removed.
                Standing::InDoubt if !before.contains_key(id) => self.insert(id, record, &known, registry),
                Standing::InDoubt => {}
                Standing::Not => self.put_back(id, before.get(id)),
            }
        }
        for change in &plan.changes {
            if matches!(change.verb, Verb::Delete | Verb::Forget) && standing(&change.id) == Standing::Done {
                self.records.remove(&change.id);
            }
        }
        for id in &plan.forgotten {
            self.records.remove(id);
        }
    }

    fn insert(&mut self, id: &ResourceId, record: &Record, known: &Outputs, registry: &Registry) {
        let mut record = record.clone();
        if let Some(system) = registry.get(&id.system) {
            record.spec = system.settle_record(&record.spec, known);
        }
        self.records.insert(id.clone(), record);
    }

    fn put_back(&mut self, id: &ResourceId, before: Option<&Record>) {
        match before {
            Some(record) => self.records.insert(id.clone(), record.clone()),
            None => self.records.remove(id),
        };
    }

    /// Writes the ledger, all or nothing.
    ///
    /// # Errors
    /// When it cannot be written; the old one then stands.
    pub fn save(&self, paths: &StatePaths, realm: &str) -> Result<(), LedgerError> {
        let path = paths.ledger();
        let stored =
            Stored { format: FORMAT, realm: realm.into(), run: self.run.as_deref(), records: &self.records };
        write_atomically(&path, &stored).map_err(|source| LedgerError::Io { doing: "write", path, source })
    }
}

fn write_atomically(path: &Path, stored: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
    let mut buffer = io::BufWriter::new(file.as_file_mut());
    serde_json::to_writer(&mut buffer, stored)?;
    buffer.flush()?;
    drop(buffer);
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(folder)?.sync_all()
}

/// The ids that a run is about.
fn touched(run: &Run) -> impl Iterator<Item = &ResourceId> {
    let plan = &run.header.plan;
    plan.changes.iter().map(|change| &change.id).chain(plan.records.keys()).chain(&plan.forgotten)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Done,
    InDoubt,
    Not,
}

/// How far the steps of each resource came; one without steps is done when the run is.
fn standings(run: &Run) -> BTreeMap<&ResourceId, Standing> {
    let mut standings = BTreeMap::new();
    for step in &run.header.plan.steps {
        let status = run.status(step.id);
        let here = match status {
            Status::Done { .. } => Standing::Done,
            status if status.undo().is_some() => Standing::InDoubt,
            _ => Standing::Not,
        };
        for id in &step.realises {
            let all = standings.entry(id).or_insert(here);
            if *all != here {
                // Some steps of it were done and others not.
                *all = Standing::InDoubt;
            }
        }
    }
    standings
}

fn outputs(run: &Run) -> Outputs {
    let mut all = Outputs::new();
    for status in &run.statuses {
        if let Status::Done { outputs, .. } = status {
            all.extend(outputs.clone());
        }
    }
    all
}
