//! The helper of a host: a container of ours beside its engine, which keeps networks closed and carries forwarded ports.
//!
//! It is this very program, brought there with `nft` and the few libraries that both need, so nothing but Docker has to
//! be installed on the host. It knows no manifest and no secrets.

pub mod image;
pub mod run;
pub mod settings;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

use fraktalia_model::manifest::{HelperKind, OnRemove};
use fraktalia_model::{Manifest, Note, Notes, id};
use fraktalia_plan::{Delta, FieldChange, Resource, ResourceIds, diff};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::client::{Address, Endpoint};
use crate::diff::short;
use crate::spec::Spec;

/// Changes when the image or its Dockerfile is put together in another way.
const RECIPE: &[u8] = b"1";
/// Where an engine listens by default, seen from its own host.
const SOCKET: &str = "/var/run/docker.sock";
/// Where `nft` is installed.
const NFT: [&str; 3] = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"];

/// What is wanted of a host's helper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelperSpec {
    /// The scope of ownership: part of its name, so that two may live side by side.
    pub realm: String,
    /// SHA-256 (hex) over the programs in its image.
    pub version: String,
    /// The engine's socket as its own host sees it.
    pub socket: PathBuf,
}

impl HelperSpec {
    /// The name of its container, and of the volume that it keeps its state in.
    pub fn name(&self) -> String {
        name(&self.realm)
    }

    /// The tag of its image.
    pub fn tag(&self) -> String {
        tag(&self.realm, &self.version)
    }
}

/// The name of a realm's helper.
pub fn name(realm: &str) -> String {
    format!("fraktalia-helper-{realm}")
}

/// The tag of a realm's image of a version. Two realms on one engine do not share it: each takes its own away.
pub fn tag(realm: &str, version: &str) -> String {
    format!("{IMAGE}:{realm}-{}", short(version))
}

/// What all tags of helpers begin with.
pub const IMAGE: &str = "fraktalia-helper";

/// A helper that is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HelperState {
    /// Its container's name.
    pub name: String,
    /// Its container's id.
    pub id: String,
    /// The version that it was made from, if it was made by us.
    pub version: Option<String>,
    /// Whether it runs, and does not start again and again.
    pub running: bool,
    /// How it is confined, setting by setting.
    pub settings: BTreeMap<String, String>,
    /// The engine's socket that it was given.
    pub socket: PathBuf,
}

/// The programs that a helper is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelperBuild {
    program: PathBuf,
    nft: PathBuf,
    version: String,
}

/// Why there is none.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct NoHelper {
    what: String,
    hint: String,
}

impl HelperBuild {
    /// Of the program that runs now.
    ///
    /// # Errors
    /// As [`HelperBuild::of`].
    pub fn of_this_program() -> Result<Self, NoHelper> {
        let program = std::env::current_exe().map_err(|error| NoHelper {
            what: format!("the running program cannot be found, and a helper is made of it: {error}"),
            hint: "run fraktalia from a file that stays where it is".into(),
        })?;
        Self::of(program)
    }

    /// Whether there could be one, without reading what it would be made of: enough to say what is wrong with a wish, and
    /// for nothing else.
    ///
    /// # Errors
    /// When `nft` is not there.
    pub fn unread() -> Result<Self, NoHelper> {
        Ok(Self { program: PathBuf::new(), nft: find_nft()?.into(), version: String::new() })
    }

    /// Of `program`. Reads it and `nft` once in a process, as long as they stay what they are.
    ///
    /// # Errors
    /// When one of them is not there or cannot be read.
    pub fn of(program: impl Into<PathBuf>) -> Result<Self, NoHelper> {
        let program = program.into();
        let nft = find_nft()?;
        let mut hash = Sha256::new();
        hash.update(RECIPE);
        for path in [&*program, nft] {
            hash.update(hash_of(path).map_err(|error| NoHelper {
                what: format!("{} cannot be read, and a helper is made of it: {error}", path.display()),
                hint: "see that this user may read it".into(),
            })?);
        }
        Ok(Self { version: hex(&hash.finalize()), nft: nft.into(), program })
    }

    /// What tells it from others.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// `nft`
    pub fn nft(&self) -> &Path {
        &self.nft
    }
}

fn find_nft() -> Result<&'static Path, NoHelper> {
    NFT.iter().map(Path::new).find(|path| path.is_file()).ok_or_else(|| NoHelper {
        what: "the program `nft` is not installed here, and a helper is made with it".into(),
        hint: "install it (Debian: `apt install nftables`), or set the host's `helper: service`".into(),
    })
}

/// A file at a moment: while these stay, its content is taken to stay.
type Moment = (PathBuf, u64, Option<SystemTime>);

static HASHES: LazyLock<Mutex<HashMap<Moment, [u8; 32]>>> = LazyLock::new(Mutex::default);

fn hash_of(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let moment = (path.to_owned(), about.len(), about.modified().ok());
    let known = || HASHES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(hash) = known().get(&moment) {
        return Ok(*hash);
    }
    let mut hash = Sha256::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    let hash: [u8; 32] = hash.finalize().into();
    known().insert(moment, hash);
    Ok(hash)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Why a helper of this machine's program cannot run on an engine of the architecture `arch` (in Docker's words), and what
/// to do about it.
pub fn foreign(arch: &str) -> Option<(String, &'static str)> {
    let ours = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let hint = "run fraktalia on a machine like it, or install its own build there and set the host's `helper: service`";
    (arch != ours)
        .then(|| (format!("is a machine of another kind ({arch}), and this program is for {ours}"), hint))
}

/// Whether the manifest has anything for the helper of `host` to hold, and wants us to bring it.
pub fn is_wanted(manifest: &Manifest, host: &str) -> bool {
    let ours = manifest.hosts.get(host).is_some_and(|host| host.helper == HelperKind::Container);
    let sandbox_on = |fractal: &str| {
        let key = manifest.fractals.get(fractal)?.sandbox.as_ref()?;
        manifest.sandboxes.get(key).map(|sandbox| sandbox.host == host)
    };
    ours && (manifest.networks.values().any(|network| network.host == host)
        || manifest.forwards.iter().any(|forward| sandbox_on(&forward.fractal) == Some(true)))
}

/// The helper that the manifest asks for on `host`.
///
/// # Errors
/// When it cannot be made of anything.
pub fn lower(
    manifest: &Manifest,
    host: &str,
    endpoint: &Endpoint,
    build: Option<&Result<HelperBuild, NoHelper>>,
) -> Result<Option<Resource<Spec>>, Notes> {
    let Some(build) = build.filter(|_| is_wanted(manifest, host)) else { return Ok(None) };
    let at = manifest.hosts.get(host).map(|host| host.at.clone()).unwrap_or_default();
    let id = id::helper(host);
    let build = build.as_ref().map_err(|error| {
        vec![Note::error("docker.no-helper", error.to_string()).about(&id).at(&at).hint(error.hint.clone())]
    })?;
    let socket = match endpoint.address() {
        Ok(Address::Unix(path)) => path,
        _ => SOCKET.into(),
    };
    let spec = HelperSpec { realm: manifest.realm.clone(), version: build.version.clone(), socket };
    Ok(Some(Resource {
        id,
        spec: Spec::Helper(spec),
        subject: "shared".into(),
        requires: ResourceIds::new(),
        on_remove: OnRemove::Delete,
        at,
    }))
}

/// What differs. All of it means a new container: there is nothing in it that a new one would not have.
pub fn diff(want: &HelperSpec, have: &HelperState, last: Option<&HelperSpec>) -> Delta {
    let shown = |version: &Option<String>| version.as_deref().map(short);
    let last_version = last.map(|last| Some(last.version.clone()));
    let wanted = Some(want.version.clone());
    let version = diff::compare("version", &wanted, &have.version, last_version.as_ref(), shown);
    let running = diff::compare("running", &true, &have.running, Some(&true), |on| Some(on.to_string()));
    let settings = settings_field(&settings::wanted(want), &have.settings);
    let fields: Vec<FieldChange> = [version, running, settings].into_iter().flatten().collect();
    if fields.is_empty() {
        return Delta::default();
    }
    let replace = Some("a helper is never changed in place".to_owned());
    Delta { fields, replace, ..Delta::default() }
}

/// Only the settings that differ, since nobody reads twenty.
fn settings_field(want: &BTreeMap<String, String>, have: &BTreeMap<String, String>) -> Option<FieldChange> {
    let names: BTreeSet<&String> = want.keys().chain(have.keys()).collect();
    let altered: Vec<&String> = names.into_iter().filter(|name| want.get(*name) != have.get(*name)).collect();
    let said = |of: &BTreeMap<String, String>| {
        let one = |name: &&String| format!("{name} {}", of.get(*name).map_or("none", String::as_str));
        Some(altered.iter().map(one).collect::<Vec<_>>().join("; "))
    };
    (!altered.is_empty()).then(|| FieldChange {
        field: "settings".into(),
        from: said(have),
        to: said(want),
        cause: fraktalia_plan::Cause::Drift,
    })
}
