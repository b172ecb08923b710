//! Starting: the shortest things that the program does, and how large it is.

use std::path::Path;

use fraktalia_testkit::real::cache::workspace_root;

use super::measure::{Job, Taken};
use crate::error::{Context as _, TaskError};
use crate::say;

const RUNS: usize = 50;

/// What starting takes.
#[derive(Clone, Debug)]
pub struct Startup {
    /// `--version`
    pub version: Vec<Taken>,
    /// `check` of the manifest with the whole vocabulary.
    pub check: Vec<Taken>,
    /// Size of the stripped program, in megabytes.
    pub megabytes: f64,
}

/// Measures it.
pub async fn run(program: &Path, folder: &Path) -> Result<Startup, TaskError> {
    say::begun(&format!("starting {RUNS} times"));
    let folder = folder.join("example");
    write_example(&folder)?;
    let version = Job::new(program, &folder).args(["--version"]);
    let check = Job::new(program, &folder).args(["check"]);
    let mut startup = Startup { version: Vec::new(), check: Vec::new(), megabytes: 0.0 };
    for _ in 0..RUNS {
        startup.version.push(version.run().await?);
        startup.check.push(check.run().await?);
    }
    let bytes = std::fs::metadata(program).context(|| format!("look at {}", program.display()))?.len();
    startup.megabytes = super::measure::megabytes(bytes);
    Ok(startup)
}

/// The manifest with the whole vocabulary, and the files that it names.
fn write_example(folder: &Path) -> Result<(), TaskError> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).context(|| format!("create {}", parent.display()))?;
        std::fs::write(&path, bytes).context(|| format!("write {}", path.display()))
    };
    let persona = "examples/personas/gardener.md";
    for (from, to) in [("fraktalia.yaml.example", "fraktalia.yaml"), (persona, persona)] {
        let path = workspace_root().join(from);
        put(to, &std::fs::read(&path).context(|| format!("read {}", path.display()))?)?;
    }
    put("fractals/cook.yaml", b"fractals:\n  cook: { members: [ana, ben] }\n")?;
    put("docker/sandbox/Dockerfile", b"FROM debian:12\n")?;
    put("pictures/lounge.png", b"\x89PNG")
}
