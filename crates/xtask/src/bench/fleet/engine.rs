//! The Docker part of an installation: one image, one closed network. Whatever happens, nothing of it stays.

use std::process::Stdio;

use fraktalia_testkit::real::docker::{self, BUSYBOX, docker};
use fraktalia_testkit::real::{Cache, Docker};
use tokio::process::Command;

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

/// Applies the same fleet without its sandboxes, which takes network, rules and helper away. Where that fails, as after an
/// apply that was interrupted, they go by their labels: to take a thousand rooms back would take many minutes.
pub async fn take_back(world: &World, fleet: &Fleet) {
    let without = Fleet { image: None, ..fleet.clone() };
    let gone = match world.want(&without) {
        Ok(()) => world.job(&["apply", "--yes", "--allow-removals"]).run().await,
        Err(error) => Err(error),
    };
    if let Err(error) = gone {
        say::faint(&format!("The sandboxes go by their labels: {error}"));
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
    remove_tables(world.realm()).await;
}

/// The rules of a realm whose helper is gone and cannot put them back. The realm has our process id in it.
async fn remove_tables(realm: &str) {
    let nft = |arguments: &[&str]| Command::new("nft").args(arguments).stdin(Stdio::null()).output();
    let Ok(output) = nft(&["list", "tables"]).await else { return };
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = format!("fraktalia_{}_", realm.replace('-', "_"));
    for table in listed.lines().filter_map(|line| line.strip_prefix("table inet ")) {
        if table.starts_with(&begin) {
            let _ = nft(&["delete", "table", "inet", table]).await;
        }
    }
}
