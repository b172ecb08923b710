//! What is there already: a homeserver, an `openclaw.json`, a Docker engine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fraktalia_docker::client::Client;
use fraktalia_matrix::health::settings;
use fraktalia_matrix::probe::{Probed, probe};
use fraktalia_openclaw::glance::{Glance, glance, usual};

use crate::cli::InitArgs;

/// Where Synapse listens by default.
const HOMESERVER: &str = "http://127.0.0.1:8008";
const DOCKER: &str = "unix:///var/run/docker.sock";
const ENGINE: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// A homeserver that answers.
    pub homeserver: Option<Probed>,
    /// What the part of ids after the colon is, and who says so.
    pub server_name: Option<String>,
    /// The gateway's file, or why it cannot be used.
    pub openclaw: Option<Result<Glance, String>>,
    /// Whether the gateway answers.
    pub gateway: bool,
    /// Whether its program is on `PATH`.
    pub cli: bool,
    /// The engine, or why it cannot be used.
    pub docker: Result<String, String>,
}

/// Looks where things usually are, and where `args` says.
pub async fn detect(args: &InitArgs) -> Found {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let openclaw = file(args, home.as_deref());
    let described = settings::usual().find_map(|path| settings::describe(&path));
    let seen = openclaw.as_ref().and_then(|glance| glance.as_ref().ok());
    let places = places(args, seen, described.as_ref());
    let (homeserver, gateway, docker) = tokio::join!(first(&places), answers(seen), engine());
    let by_bot = || seen?.bot.as_ref()?.split_once(':').map(|(_, server)| server.to_owned());
    let by_settings = || {
        let described = described.as_ref()?;
        let same = homeserver.as_ref().is_none_or(|found| described.local_url.as_ref() == Some(&found.url));
        same.then(|| described.server_name.clone())
    };
    let by_itself = homeserver.as_ref().and_then(|found| found.server_name.clone());
    Found {
        server_name: by_itself.or_else(by_settings).or_else(by_bot),
        homeserver,
        gateway,
        cli: on_path("openclaw"),
        openclaw,
        docker,
    }
}

/// The gateway's file: the one that was named, or the first that is there.
fn file(args: &InitArgs, home: Option<&Path>) -> Option<Result<Glance, String>> {
    let paths = match &args.openclaw_config {
        Some(path) => vec![std::path::absolute(path).unwrap_or_else(|_| path.clone())],
        None => usual(home).into_iter().filter(|path| path.exists()).collect(),
    };
    let path = paths.first()?;
    Some(glance(path).map_err(|error| fraktalia_engine::health::chain(&error)))
}

/// Where a homeserver may be, the likeliest first.
fn places(args: &InitArgs, seen: Option<&Glance>, described: Option<&settings::Described>) -> Vec<String> {
    if let Some(url) = &args.homeserver {
        return vec![url.trim_end_matches('/').to_owned()];
    }
    let of_file = seen.and_then(|seen| seen.homeserver.clone());
    let of_settings = described.and_then(|described| described.local_url.clone());
    let mut places: Vec<String> =
        [of_file, of_settings, Some(HOMESERVER.into())].into_iter().flatten().collect();
    places.dedup();
    places
}

async fn first(places: &[String]) -> Option<Probed> {
    for place in places {
        if let Some(found) = probe(place).await {
            return Some(found);
        }
    }
    None
}

/// Whether somebody listens where the gateway is to be.
async fn answers(seen: Option<&Glance>) -> bool {
    let Some(address) = seen.and_then(|seen| seen.gateway.strip_prefix("ws://")) else { return false };
    let connect = tokio::net::TcpStream::connect(address);
    tokio::time::timeout(Duration::from_secs(2), connect).await.is_ok_and(|answer| answer.is_ok())
}

async fn engine() -> Result<String, String> {
    match Client::connect_within(DOCKER, ENGINE).await {
        Ok(client) => Ok(client.endpoint().url().to_owned()),
        Err(error) => Err(fraktalia_engine::health::chain(&error)),
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
