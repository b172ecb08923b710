//! The Docker part of an installation: one image, one closed network. Whatever happens, nothing of it stays.

use fraktalia_testkit::real::docker::{self, BUSYBOX, docker};
use fraktalia_testkit::real::{Cache, Docker};

use super::manifest::Fleet;
use super::world::World;
use crate::error::TaskError;
use crate::say;

/// An engine with the image of the sandboxes, where one runs or can be started; `None` where not.
pub async fn find(cache: &Cache) -> Option<Docker> {
    if !docker::is_answering() && !docker::is_installed() {
        return None;
    }
    let start = async {
        let docker = Docker::ensure(cache).await?;
        docker.base_image(cache, BUSYBOX).await?;
        Ok::<_, TaskError>(docker)
    };
    match start.await {
        Ok(docker) => Some(docker),
        Err(error) => {
            say::faint(&format!("without Docker: {error}"));
            None
        }
    }
}

/// What it is, and which one.
pub async fn version() -> Option<String> {
    let text = docker(&["version", "--format", "Docker Engine {{.Server.Version}}"]).await.ok()?;
    Some(text.trim().to_owned())
}

/// Applies the same fleet without its sandboxes, which takes network, rules and helper away; then looks for what a
/// failed apply may have left.
pub async fn take_back(world: &World, fleet: &Fleet) {
    let without = Fleet { image: None, ..fleet.clone() };
    let gone = match world.want(&without) {
        Ok(()) => world.job(&["apply", "--yes", "--allow-removals"]).run().await,
        Err(error) => Err(error),
    };
    if let Err(error) = gone {
        say::faint(&format!("taking the sandboxes back: {error}"));
        // An interrupted run stands in the way of another one; taken back, it is gone itself.
        let _ = world.job(&["rollback", "--yes"]).run().await;
    }
    let realm = format!("label=io.fraktalia.realm={}", world.realm());
    for (list, remove) in [
        (&["ps", "--all", "--quiet", "--filter", &realm][..], &["rm", "--force", "--volumes"][..]),
        (&["network", "ls", "--quiet", "--filter", &realm], &["network", "rm"]),
        (&["volume", "ls", "--quiet", "--filter", &realm], &["volume", "rm"]),
        (&["image", "ls", "--quiet", "--filter", &realm], &["image", "rm"]),
    ] {
        let found = docker(list).await.unwrap_or_default();
        for id in found.split_whitespace() {
            let _ = docker(&[remove, &[id]].concat()).await;
        }
    }
}
