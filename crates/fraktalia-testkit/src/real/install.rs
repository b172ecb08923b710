//! Fills the cache: everything is pinned, installed once, and stamped when it is complete.
//!
//! Nothing outside of the cache changes, with one exception: what is missing of a Docker engine and of the programs that
//! tests of packets run is installed from Debian's own packages, as root.

mod image;
mod npm;
mod python;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::cache::{Cache, create_dir};
use super::error::{Context, RealError, Result, tail};
use super::openclaw::Version;

pub use image::{BUSYBOX, DEBIAN};

const LINES_OF_LOG_IN_ERRORS: usize = 20;

/// One thing to install. The order of the variants is the order in which they can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// Synapse and Node, in one Python environment.
    Runtime,
    /// An OpenClaw release; the entries-era one with its Matrix plugin.
    OpenClaw(Version),
    /// Docker Engine and its command line, if none answers.
    Engine,
    /// nft, ip and iptables, for tests in network namespaces.
    Packets,
    /// A tarball of the image [`BUSYBOX`]: 2 MB, a shell and its usual commands.
    Busybox,
    /// A tarball of the image [`DEBIAN`]: a small Debian with Python, as OpenClaw's sandbox tools need it.
    Debian,
    /// Schemathesis, which tries an HTTP API by its `OpenAPI` document, in a Python environment of its own.
    Schemathesis,
}

impl Component {
    /// What `cargo xtask install` puts there.
    pub const USUAL: [Self; 7] = [
        Self::Runtime,
        Self::OpenClaw(Version::Entries),
        Self::OpenClaw(Version::List),
        Self::Engine,
        Self::Packets,
        Self::Busybox,
        Self::Schemathesis,
    ];

    /// What it is, with its rough size, for a person who wonders what is being downloaded.
    pub fn title(self) -> String {
        match self {
            Self::Runtime => {
                format!("Synapse {} and Node {} (450 MB)", python::SYNAPSE, python::NODE)
            }
            Self::OpenClaw(Version::Entries) => {
                format!("OpenClaw {} and its Matrix plugin (670 MB)", Version::Entries.number())
            }
            Self::OpenClaw(Version::List) => format!("OpenClaw {} (360 MB)", Version::List.number()),
            Self::Engine => "Docker Engine (Debian's package, 300 MB)".to_owned(),
            Self::Packets => "nftables, iproute2 and iptables (Debian's packages, 5 MB)".to_owned(),
            Self::Busybox => "a base image for sandboxes (2 MB)".to_owned(),
            Self::Debian => "a small Debian image with Python (180 MB)".to_owned(),
            Self::Schemathesis => format!("Schemathesis {} (90 MB)", python::SCHEMATHESIS),
        }
    }
}

/// What the installing tells while it goes on.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Another process installs into the same cache; we wait for it.
    Waiting,
    /// This component is missing, and its installation begins.
    Started(Component),
    /// It is there now.
    Finished(Component, Duration),
}

/// Puts every missing one of `wanted` into the cache.
///
/// Safe to call again, and from two processes at once: one installs, the other waits and finds it done. What was
/// left half done by a kill has no stamp and is begun anew.
pub fn install(cache: &Cache, wanted: &[Component], tell: &mut dyn FnMut(Progress)) -> Result<()> {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let installer = Installer { cache };
    if wanted.iter().all(|component| installer.is_present(*component)) {
        return Ok(());
    }
    create_dir(&cache.logs())?;
    let _lock = lock(cache.root(), tell)?;
    for component in wanted {
        if installer.is_present(component) {
            continue;
        }
        tell(Progress::Started(component));
        let start = Instant::now();
        installer.install(component)?;
        tell(Progress::Finished(component, start.elapsed()));
    }
    Ok(())
}

fn lock(root: &Path, tell: &mut dyn FnMut(Progress)) -> Result<File> {
    let path = root.join("install.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.context(|| format!("open {}", path.display()))?;
    if file.try_lock().is_err() {
        tell(Progress::Waiting);
        file.lock().context(|| format!("lock {}", path.display()))?;
    }
    Ok(file)
}

/// The tarball of [`BUSYBOX`] or [`DEBIAN`].
pub(crate) fn image_tarball(cache: &Cache, image: &str) -> Result<PathBuf> {
    let stamp = if image == DEBIAN { image::DEBIAN_STAMP } else { image::BUSYBOX_STAMP };
    cache.require(stamp, image::RECIPE)?;
    Ok(image::tarball(cache.root(), stamp))
}

/// Fails with a hint unless Synapse and Node are there.
pub(crate) fn require_runtime(cache: &Cache) -> Result<()> {
    cache.require(python::STAMP, &python::recipe())
}

/// Fails with a hint unless this OpenClaw is there.
pub(crate) fn require_openclaw(cache: &Cache, version: Version) -> Result<()> {
    require_runtime(cache)?;
    cache.require(&npm::stamp(version), npm::recipe(version))
}

struct Installer<'a> {
    cache: &'a Cache,
}

impl Installer<'_> {
    fn is_present(&self, component: Component) -> bool {
        match component {
            Component::Runtime => self.cache.is_stamped(python::STAMP, &python::recipe()),
            Component::OpenClaw(version) => self.cache.is_stamped(&npm::stamp(version), npm::recipe(version)),
            Component::Engine => super::docker::is_answering() || super::docker::is_installed(),
            Component::Packets => super::docker::are_on_path(&["nft", "ip", "iptables"]),
            Component::Busybox => self.cache.is_stamped(image::BUSYBOX_STAMP, image::RECIPE),
            Component::Debian => self.cache.is_stamped(image::DEBIAN_STAMP, image::RECIPE),
            Component::Schemathesis => {
                self.cache.is_stamped(python::SCHEMATHESIS_STAMP, &python::schemathesis_recipe())
            }
        }
    }

    fn install(&self, component: Component) -> Result<()> {
        match component {
            Component::Runtime => self.runtime(),
            Component::OpenClaw(version) => self.openclaw(version),
            Component::Engine => self.engine(),
            Component::Packets => self.packets(),
            Component::Busybox => self.busybox(),
            Component::Debian => self.debian(),
            Component::Schemathesis => self.schemathesis(),
        }
    }

    /// Debian's Docker packages. `docker-cli` is a package of its own from Debian 13 on.
    fn engine(&self) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(RealError::Missing {
                what: "a Docker engine on /var/run/docker.sock".to_owned(),
                hint: "install and start Docker (Debian, Ubuntu: `sudo apt-get install docker.io`), or run this \
                       as root"
                    .to_owned(),
            });
        }
        self.apt(&["docker.io"])?;
        if !super::docker::is_installed() {
            self.apt(&["docker-cli"])?;
        }
        Ok(())
    }

    /// Debian's packages of the programs that tests of packets run.
    fn packets(&self) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(RealError::Missing {
                what: "nft, ip or iptables".to_owned(),
                hint: "install them (Debian, Ubuntu: `sudo apt-get install nftables iproute2 iptables`), or run this as \
                       root"
                    .to_owned(),
            });
        }
        self.apt(&["nftables", "iproute2", "iptables"])
    }

    fn apt(&self, packages: &[&str]) -> Result<()> {
        let mut update = Command::new("apt-get");
        update.args(["update", "-qq"]).env("DEBIAN_FRONTEND", "noninteractive");
        self.run("apt-get update", update)?;
        let mut install = Command::new("apt-get");
        install.args(["install", "-y", "-qq"]).args(packages).env("DEBIAN_FRONTEND", "noninteractive");
        self.run(&format!("apt-get install {}", packages.join(" ")), install)
    }

    /// Runs a command to its end; its output goes to the log, and the end of it into an error.
    fn run(&self, what: &str, mut command: Command) -> Result<()> {
        let path = self.cache.logs().join("install.log");
        let log = File::options().create(true).append(true).open(&path);
        let log = log.context(|| format!("open {}", path.display()))?;
        let errors = log.try_clone().context(|| format!("open {}", path.display()))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let status = command.status().context(|| format!("start {what}"))?;
        if status.success() {
            return Ok(());
        }
        let tail = tail(&path, LINES_OF_LOG_IN_ERRORS);
        Err(RealError::Command { what: what.to_owned(), status: status.to_string(), tail, log: path })
    }
}

/// `rm -rf`, of what an interrupted installation left.
fn remove_dir(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// What a command prints, if it succeeds.
fn output_of(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stamped_is_not_installed_again_and_another_recipe_counts_as_missing() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(dir.path());
        let installer = Installer { cache: &cache };
        assert!(!installer.is_present(Component::Runtime));
        cache.set_stamp(python::STAMP, &python::recipe()).expect("writes");
        assert!(installer.is_present(Component::Runtime));
        install(&cache, &[Component::Runtime], &mut |told| panic!("{told:?}")).expect("nothing to do");
        cache.set_stamp(python::STAMP, "an older recipe").expect("writes");
        assert!(!installer.is_present(Component::Runtime));
    }

    #[test]
    fn a_second_process_waits_until_the_first_has_installed() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(dir.path());
        let held = lock(cache.root(), &mut |told| panic!("{told:?}")).expect("free");
        let (waiting, waits) = std::sync::mpsc::channel();
        let second = std::thread::spawn({
            let cache = cache.clone();
            move || install(&cache, &[Component::Runtime], &mut |told| waiting.send(told).expect("heard"))
        });
        assert!(matches!(waits.recv().expect("says something"), Progress::Waiting));
        cache.set_stamp(python::STAMP, &python::recipe()).expect("writes");
        drop(held);
        second.join().expect("ends").expect("has nothing left to do");
        assert!(waits.try_recv().is_err(), "it must not have begun an installation");
    }

    #[test]
    fn a_failing_command_is_reported_with_the_end_of_its_output() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(dir.path());
        create_dir(&cache.logs()).expect("creates");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo no such package >&2; exit 3"]);
        let error = Installer { cache: &cache }.run("the installation", command).expect_err("fails");
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.contains("no such package"), "{text}");
    }
}
