//! Which systems a manifest is about. The one place that knows all providers.

use fraktalia_docker::helper::NoHelper;
use fraktalia_docker::{DockerHost, HelperBuild};
use fraktalia_engine::journal::{Fault, FaultAt};
use fraktalia_engine::{Executor, Registry};
use fraktalia_matrix::Matrix;
use fraktalia_model::{Manifest, Notes};
use fraktalia_openclaw::OpenClaw;
use fraktalia_plane_provider::Plane;
use fraktalia_workspace::Workspaces;

use crate::error::Failure;
use crate::link;

/// One provider for each system of the manifest.
pub fn registry(manifest: &Manifest) -> Registry {
    with_helper(manifest, HelperBuild::of_this_program)
}

/// What the systems have to say of a manifest, without asking any of them.
pub fn findings(manifest: &Manifest) -> Notes {
    let registry = with_helper(manifest, HelperBuild::unread);
    let of = |system: &dyn Executor| match system.lower(manifest) {
        Ok(desired) => system.lint(&desired),
        Err(notes) => notes,
    };
    registry.iter().flat_map(|system| of(&**system)).collect()
}

fn with_helper(manifest: &Manifest, helper: impl Fn() -> Result<HelperBuild, NoHelper>) -> Registry {
    let systems = Systems::with_helper(manifest, helper);
    Registry::new()
        .with_each(systems.matrix)
        .with_each(systems.openclaw)
        .with_each(systems.engines)
        .with_each(systems.planes)
        .with(Workspaces)
}

/// The same providers, each as what it is.
pub struct Systems {
    /// The homeserver.
    pub matrix: Option<Matrix>,
    /// The gateway and its file.
    pub openclaw: Option<OpenClaw>,
    /// A Docker engine for each host.
    pub engines: Vec<DockerHost>,
    /// What runs beside each of them.
    pub planes: Vec<Plane>,
}

impl Systems {
    /// Those of a manifest.
    pub fn of(manifest: &Manifest) -> Self {
        Self::with_helper(manifest, HelperBuild::of_this_program)
    }

    fn with_helper(manifest: &Manifest, helper: impl Fn() -> Result<HelperBuild, NoHelper>) -> Self {
        let engines = DockerHost::all(manifest, helper);
        let plane = |docker: &DockerHost| Plane::new(docker.host(), link::to_helper(manifest, docker));
        Self {
            matrix: manifest.matrix.as_ref().map(Matrix::new),
            openclaw: OpenClaw::of(manifest),
            planes: engines.iter().map(plane).collect(),
            engines,
        }
    }
}

/// Where a test lets this process die: `FRAKTALIA_TEST_DIE=before:3` or `after:3`, counted in journal entries.
///
/// It kills nothing but this process, and what it leaves behind is what any crash leaves behind.
pub fn fault() -> Result<Option<Fault>, Failure> {
    const NAME: &str = "FRAKTALIA_TEST_DIE";
    let Ok(text) = std::env::var(NAME) else { return Ok(None) };
    let at = match text.split_once(':').map(|(side, entry)| (side, entry.parse::<u64>())) {
        Some(("before", Ok(entry))) => FaultAt::Before(entry),
        Some(("after", Ok(entry))) => FaultAt::After(entry),
        _ => {
            return Err(Failure::usage(format!("{NAME}={text} makes no sense"), "write before:3 or after:3"));
        }
    };
    Ok(Some(Fault { at, kill: true }))
}
