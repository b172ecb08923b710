//! Who is asked what: all systems at once, each with a bounded time.

use std::path::PathBuf;
use std::time::Duration;

use fraktalia_engine::health::secrets::Named;
use fraktalia_engine::health::{self, BoundRoom, Check, Checklist, Fix, PATIENCE, Standing, within};
use fraktalia_engine::ledger::Ledger;
use fraktalia_engine::{Registry, Secrets, StatePaths};
use fraktalia_model::{Manifest, Notes, SecretSource, Severity};
use fraktalia_openclaw::health::Looked;
use fraktalia_plan::System as _;

use crate::app::App;
use crate::cli::DoctorArgs;
use crate::error::Failure;
use crate::registry::{self, Systems};
use crate::render::plan::number;

/// How long one call to an engine may take, so that several fit into our patience.
const ENGINE: Duration = Duration::from_secs(12);
/// The group of what is about our own files.
const OURS: &str = "fraktalia";

/// All that is examined.
pub struct Patient {
    /// What is wanted.
    pub manifest: Manifest,
    /// Our own files.
    pub paths: StatePaths,
    notes: Notes,
    secrets: Secrets,
    registry: Registry,
    systems: Systems,
    settings: Vec<PathBuf>,
}

impl Patient {
    /// By the manifest. One with errors names nothing that could be examined.
    pub fn new(app: &App, args: &DoctorArgs) -> Result<Self, Failure> {
        let loaded = fraktalia_engine::load::load(app.path());
        let Some(manifest) = loaded.manifest else {
            let path = app.path().to_owned();
            return Err(Failure::Manifest { path, notes: loaded.notes, sources: loaded.sources });
        };
        let mut notes = loaded.notes;
        notes.extend(registry::findings(&manifest));
        let mut systems = Systems::of(&manifest);
        systems.engines = systems.engines.into_iter().map(|engine| engine.within(ENGINE)).collect();
        let settings = match &args.homeserver_yaml {
            Some(path) => vec![path.clone()],
            None => fraktalia_matrix::health::settings::usual().filter(|path| path.exists()).collect(),
        };
        Ok(Self {
            paths: app.place()?.of(&manifest.realm)?,
            secrets: Secrets::new(&manifest.base),
            registry: registry::registry(&manifest),
            notes,
            systems,
            settings,
            manifest,
        })
    }

    /// Asks everybody. What `openclaw.json` says comes first, from the disk: the homeserver is asked about its rooms.
    pub async fn examine(&self) -> Vec<Check> {
        let (mut file, looked) = self.file().await;
        let looked = looked.unwrap_or_default();
        let (ours, matrix, gateway, engines, planes, workspaces) = tokio::join!(
            self.ours(),
            self.matrix(&looked.bound),
            self.gateway(&looked),
            self.engines(),
            self.planes(),
            self.workspaces(),
        );
        let mut all = ours;
        all.extend(matrix);
        all.append(&mut file);
        all.extend([gateway, engines, planes, workspaces].into_iter().flatten());
        all
    }

    /// Mends what is no matter of this machine's disk; says why not.
    pub async fn mend(&self, fix: &Fix) -> Result<(), String> {
        match (fix, &self.systems.matrix) {
            (Fix::LiftRateLimit { user }, Some(matrix)) => {
                matrix.lift_rate_limit(user, &self.secrets).await.map_err(|error| health::chain(&error))
            }
            _ => Err("nobody knows how".into()),
        }
    }

    async fn file(&self) -> (Vec<Check>, Option<Looked>) {
        let Some(openclaw) = self.systems.openclaw.clone() else { return (Vec::new(), None) };
        let matrix = self.manifest.matrix.clone();
        let work = |list: Checklist| {
            health::apart(move || {
                let exam = matrix.as_ref().map(|matrix| fraktalia_openclaw::health::Exam {
                    homeserver: &matrix.homeserver,
                    bot: &matrix.bot,
                });
                openclaw.examine_file(&list, exam.as_ref())
            })
        };
        within("openclaw", PATIENCE, work).await
    }

    async fn gateway(&self, looked: &Looked) -> Vec<Check> {
        let Some(openclaw) = &self.systems.openclaw else { return Vec::new() };
        let work = async |list: Checklist| openclaw.examine_gateway(&list, looked, &self.secrets).await;
        within("openclaw", PATIENCE, work).await.0
    }

    async fn matrix(&self, bound: &[BoundRoom]) -> Vec<Check> {
        let (Some(matrix), Some(section)) = (&self.systems.matrix, &self.manifest.matrix) else {
            return Vec::new();
        };
        let exam = fraktalia_matrix::health::Exam {
            bot: &section.bot,
            bound,
            settings: &self.settings,
            secrets: &self.secrets,
        };
        let work = async |list: Checklist| matrix.examine(&list, &exam).await;
        within("matrix", PATIENCE, work).await.0
    }

    async fn engines(&self) -> Vec<Check> {
        let looks = self.systems.engines.iter().map(|engine| async {
            let work = async |list: Checklist| engine.examine(&list, &self.manifest).await;
            within(&engine.id().to_string(), PATIENCE, work).await.0
        });
        all(looks.collect()).await
    }

    async fn planes(&self) -> Vec<Check> {
        let ledger = Ledger::load(&self.paths, &self.manifest.realm, &self.registry).unwrap_or_default();
        let looks = self.systems.planes.iter().map(|plane| {
            let id = plane.id();
            let held = ledger.records.keys().any(|record| record.system == id);
            async move {
                let work = async |list: Checklist| plane.examine(&list, &self.manifest, held).await;
                within(&id.to_string(), PATIENCE, work).await.0
            }
        });
        all(looks.collect()).await
    }

    async fn workspaces(&self) -> Vec<Check> {
        let manifest = self.manifest.clone();
        let work =
            |list: Checklist| health::apart(move || fraktalia_workspace::health::examine(&list, &manifest));
        within("workspace", PATIENCE, work).await.0
    }

    async fn ours(&self) -> Vec<Check> {
        let (paths, realm, registry) =
            (self.paths.clone(), self.manifest.realm.clone(), self.registry.clone());
        let work = async |list: Checklist| {
            self.of_the_manifest(&list);
            let named = secrets(&self.manifest);
            health::secrets::examine(&list, &self.manifest.base, &self.secrets, &named).await;
            health::apart(move || health::state::examine(&list, &paths, &realm, &registry)).await;
        };
        within(OURS, PATIENCE, work).await.0
    }

    /// What `check` says as well.
    fn of_the_manifest(&self, list: &Checklist) {
        let (code, title) = ("manifest", "manifest");
        let manifest = &self.manifest;
        let found: Vec<_> = self.notes.iter().filter(|note| note.severity > Severity::Info).collect();
        if found.is_empty() {
            let text = format!(
                "{}, {}, {}",
                number(manifest.fractals.len(), "fractal"),
                number(manifest.rooms.len(), "room"),
                number(manifest.users.len(), "user")
            );
            return list.ok(code, title, text);
        }
        for note in found {
            let standing = match note.severity {
                Severity::Error => Standing::Failure,
                Severity::Warning | Severity::Info => Standing::Warning,
            };
            let at = note.at.as_ref().filter(|span| span.line > 0).map(|span| format!("{span}: "));
            let text = format!("{}{}", at.unwrap_or_default(), note.text);
            list.note(list.check(standing, &note.code, title, text).hint(note.hint.clone()));
        }
    }
}

async fn all(looks: Vec<impl Future<Output = Vec<Check>>>) -> Vec<Check> {
    futures_util::future::join_all(looks).await.into_iter().flatten().collect()
}

/// The secrets that the manifest names, with what they are for.
fn secrets(manifest: &Manifest) -> Vec<Named> {
    let mut all = Vec::new();
    let mut add = |what: String, source: &SecretSource| all.push(Named { what, source: source.clone() });
    if let Some(matrix) = &manifest.matrix {
        add("matrix.admin_token".into(), &matrix.admin_token);
    }
    let gateway = manifest.openclaw.as_ref().and_then(|openclaw| openclaw.gateway.as_ref());
    if let Some(token) = gateway.and_then(|gateway| gateway.token.as_ref()) {
        add("openclaw.gateway.token".into(), token);
    }
    for (name, user) in &manifest.users {
        if let Some(password) = &user.password {
            add(format!("users.{name}.password"), password);
        }
    }
    for (name, host) in &manifest.hosts {
        if let Some(tls) = &host.tls {
            add(format!("hosts.{name}.tls.key"), &SecretSource::File(tls.key.clone()));
        }
    }
    all
}
