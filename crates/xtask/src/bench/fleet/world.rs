//! One installation: a folder with manifest, state, `openclaw.json` and workspaces, at a homeserver.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::inotify;
use serde_json::Value;

use super::manifest::{self, Addresses, Fleet};
use super::measure::{Job, Taken};
use super::server::{Asked, SERVER_NAME, Server};
use crate::error::{Context as _, TaskError};

/// An installation that the program works on.
pub struct World {
    folder: PathBuf,
    program: PathBuf,
    addresses: Addresses,
}

/// What an apply took, and what it did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Of the program.
    pub taken: Taken,
    /// Of the homeserver.
    pub asked: Asked,
    /// How often `openclaw.json` was replaced or written.
    pub config_writes: usize,
}

impl World {
    /// Makes the folder. `foreign` agents that somebody else made are in `openclaw.json` already.
    pub fn new(
        folder: PathBuf,
        program: &Path,
        server: &Server,
        realm: &str,
        foreign: usize,
    ) -> Result<Self, TaskError> {
        let addresses = Addresses {
            realm: realm.to_owned(),
            homeserver: server.base_url(),
            server_name: SERVER_NAME.to_owned(),
            bot: server.bot().user_id().to_owned(),
        };
        let world = Self { folder, program: program.to_owned(), addresses };
        world.write("secrets/admin", server.admin().token())?;
        world.write("gateway/openclaw.json", &gateway_file(foreign))?;
        Ok(world)
    }

    /// The same with the homeserver behind a door.
    pub fn behind(mut self, url: &str) -> Self {
        url.clone_into(&mut self.addresses.homeserver);
        self
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Scope of ownership.
    pub fn realm(&self) -> &str {
        &self.addresses.realm
    }

    /// Writes the manifest.
    pub fn want(&self, fleet: &Fleet) -> Result<(), TaskError> {
        self.write("fraktalia.yaml", &manifest::text(&self.addresses, fleet))
    }

    /// The program with these arguments.
    pub fn job(&self, arguments: &[&str]) -> Job {
        let state: [OsString; 2] = ["--state".into(), "state".into()];
        Job::new(&self.program, &self.folder).args(arguments.iter().map(OsString::from)).args(state)
    }

    /// A plan that must find nothing to do.
    pub fn no_op(&self, refresh: bool) -> Job {
        let plan = ["plan", "--exit-code", "--refresh"];
        self.job(&plan[..if refresh { 3 } else { 2 }])
    }

    /// Removes what earlier looks left.
    pub fn lose_cache(&self) -> Result<(), TaskError> {
        super::remove(&self.folder.join("state/cache"))
    }

    /// How many resources the manifest makes, as the program counts them where none is there yet.
    pub async fn resources(&self) -> Result<usize, TaskError> {
        let (_, text) = self.job(&["plan", "--format", "json"]).run_and_read().await?;
        let plan: Value = serde_json::from_str(&text)
            .map_err(|error| TaskError::Found(format!("the plan is no JSON: {error}")))?;
        let count = |verb: &str| plan["counts"][verb].as_u64().and_then(|count| usize::try_from(count).ok());
        match (count("create"), count("adopt")) {
            (Some(create), Some(adopt)) => Ok(create + adopt),
            _ => Err(TaskError::Found("the plan does not count what it creates".to_owned())),
        }
    }

    /// Applies the manifest.
    pub async fn apply(&self, server: &Server) -> Result<Applied, TaskError> {
        self.apply_by(server, self.job(&["apply", "--yes"])).await
    }

    /// Applies the manifest by a job that does so.
    pub async fn apply_by(&self, server: &Server, job: Job) -> Result<Applied, TaskError> {
        let watch = Watch::new(&self.folder.join("gateway"))?;
        let mark = server.mark().await?;
        let taken = job.run().await?;
        let asked = server.since(mark).await?;
        Ok(Applied { taken, asked, config_writes: watch.writes_of("openclaw.json")? })
    }

    fn write(&self, name: &str, text: &str) -> Result<(), TaskError> {
        let path = self.folder.join(name);
        let folder = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(folder).context(|| format!("create {}", folder.display()))?;
        std::fs::write(&path, text).context(|| format!("write {}", path.display()))
    }
}

/// A file in a person's style, with agents that are not ours.
fn gateway_file(foreign: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::from(
        "// Written by hand; comments have to survive.\n{\n  agents: {\n    ownership: 'explicit',\n    entries: {\n      \
         felix: { name: 'Felix' }, // everybody's favourite\n",
    );
    for number in 0..foreign {
        let _ = writeln!(
            text,
            "      other{number:05}: {{\n        name: 'Other {number}', // made by somebody else\n        \
             workspace: '/srv/others/{number:05}',\n        tools: {{ deny: ['browser'] }},\n      }},"
        );
    }
    text.push_str(
        "    },\n  },\n  bindings: [\n    { agentId: 'felix', match: { channel: 'matrix', accountId: '*' } }, // stays last\n  ],\n  \
         channels: {\n    matrix: {\n      enabled: true,\n      groupPolicy: 'open',\n    },\n  },\n}\n",
    );
    text
}

/// What the kernel tells of the files in a folder. It keeps count while we wait for something else.
struct Watch {
    events: rustix::fd::OwnedFd,
}

impl Watch {
    fn new(folder: &Path) -> Result<Self, TaskError> {
        let what = || format!("watch {}", folder.display());
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let events = inotify::init(flags).map_err(std::io::Error::from).context(what)?;
        // Not CLOSE_WRITE: a handle that a new file was written by has the file's new name when it is closed.
        let written = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::MODIFY;
        inotify::add_watch(&events, folder, written).map_err(std::io::Error::from).context(what)?;
        Ok(Self { events })
    }

    /// How often a file was put in place under this name, or written under it.
    fn writes_of(&self, name: &str) -> Result<usize, TaskError> {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        let mut count = 0;
        loop {
            match reader.next() {
                Ok(event) if event.file_name().is_some_and(|file| file.to_bytes() == name.as_bytes()) => {
                    count += 1;
                }
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(count),
                Err(error) => return Err(std::io::Error::from(error)).context(|| "read events".to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_replacement_of_a_file_counts_once_and_other_files_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let watch = Watch::new(folder.path()).expect("watches");
        for _ in 0..3 {
            let mut new = std::fs::File::create(path("new")).expect("created");
            std::io::Write::write_all(&mut new, b"x").expect("written");
            std::fs::rename(path("new"), path("openclaw.json")).expect("renamed");
        }
        let file = std::fs::File::options().append(true).open(path("openclaw.json"));
        std::io::Write::write_all(&mut file.expect("opened"), b"y").expect("written");
        assert_eq!(watch.writes_of("openclaw.json").expect("read"), 4);
    }
}
