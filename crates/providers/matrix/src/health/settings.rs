//! Settings of Synapse that its API does not tell: read from `homeserver.yaml`, where that can be done from here.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fraktalia_engine::health::private::Eyes;
use fraktalia_engine::health::{Checklist, Cure, path_word};
use serde::Deserialize;
use serde_json::Value as Json;

/// Where packages and images put it.
const USUAL: [&str; 4] = [
    "/etc/matrix-synapse/homeserver.yaml",
    "/etc/synapse/homeserver.yaml",
    "/data/homeserver.yaml",
    "/opt/synapse/homeserver.yaml",
];
/// Larger than any.
const LIMIT: u64 = 4 << 20;
/// What Synapse keeps unless it is told otherwise.
const USUAL_CACHE: u64 = 10 * 1024;
/// Events of one room's state: that of a fractal has 13 to 15.
const OF_A_ROOM: u64 = 15;

/// What we look at; all else in the file is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    server_name: Option<String>,
    event_cache_size: Option<Json>,
    enable_registration: bool,
    enable_registration_without_verification: bool,
    registration_requires_token: bool,
    listeners: Vec<Listener>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listener {
    port: Option<u16>,
    tls: bool,
    resources: Vec<Resources>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    names: Vec<String>,
}

/// A homeserver as its own settings describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The file.
    pub path: PathBuf,
    /// The part of ids after the colon.
    pub server_name: String,
    /// Where its client API is on this machine, if it listens without TLS.
    pub local_url: Option<String>,
}

/// The places where `homeserver.yaml` usually is.
pub fn usual() -> impl Iterator<Item = PathBuf> {
    USUAL.iter().map(PathBuf::from)
}

/// The homeserver that the settings at `path` are of; `None` when there are none, or they cannot be read.
pub fn describe(path: &Path) -> Option<Described> {
    let settings = read(path).ok()?;
    let client = |listener: &&Listener| {
        !listener.tls && listener.resources.iter().any(|one| one.names.iter().any(|name| name == "client"))
    };
    let port = settings.listeners.iter().find(client).and_then(|listener| listener.port);
    let local_url = port.map(|port| format!("http://127.0.0.1:{port}"));
    Some(Described { path: path.into(), server_name: settings.server_name?, local_url })
}

fn read(path: &Path) -> Result<Settings, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(LIMIT + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > LIMIT {
        return Err("larger than any such file".into());
    }
    let mut settings = parse(&text)?;
    for extra in beside(path) {
        // Debian's package keeps what it was told at installation in files of their own.
        if let Ok(text) = fs::read_to_string(&extra)
            && let Ok(more) = parse(&text)
        {
            settings.server_name = more.server_name.or(settings.server_name);
            settings.event_cache_size = more.event_cache_size.or(settings.event_cache_size);
        }
    }
    Ok(settings)
}

fn parse(text: &str) -> Result<Settings, String> {
    // The message may repeat a line of the file, which is full of secrets.
    serde_saphyr::from_str(text).map_err(|_| "it is not the YAML that Synapse reads".to_owned())
}

fn beside(path: &Path) -> Vec<PathBuf> {
    let Some(dir) = path.parent().map(|dir| dir.join("conf.d")) else { return Vec::new() };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

/// Notes down what the settings say; `rooms` is how many rooms the homeserver has, where that is known.
pub(super) fn examine(list: &Checklist, paths: &[PathBuf], server: &str, rooms: Option<usize>) {
    let mut unread = None;
    for path in paths {
        match read(path) {
            Ok(settings) if settings.server_name.as_deref() == Some(server) => {
                return judge(list, path, &settings, rooms);
            }
            Ok(settings) => {
                let of = settings.server_name.map_or("no server".into(), |of| format!("`{of}`"));
                unread = unread.or(Some(format!("{} is that of {of}", path.display())));
            }
            Err(why) => unread = unread.or(Some(format!("{} cannot be read: {why}", path.display()))),
        }
    }
    let why = unread.map(|why| format!("; {why}")).unwrap_or_default();
    let text =
        format!("`event_cache_size` and the rules of registration stand in homeserver.yaml alone{why}");
    let cure = Cure::run("fraktalia doctor --homeserver-yaml FILE    # on the machine that has it");
    list.note(list.unknown("matrix.settings", "settings", text).cure(cure));
}

fn judge(list: &Checklist, path: &Path, settings: &Settings, rooms: Option<usize>) {
    cache(list, path, settings, rooms);
    let open = settings.enable_registration
        && settings.enable_registration_without_verification
        && !settings.registration_requires_token;
    if open {
        let text = format!("{}: everybody who reaches the homeserver can make an account", path.display());
        let cure = Cure::edit("set `registration_requires_token: true`, and invite people with tokens");
        list.note(list.warning("matrix.registration", "registration", text).cure(cure));
    }
    readers(list, path);
}

fn cache(list: &Checklist, path: &Path, settings: &Settings, rooms: Option<usize>) {
    let (code, title) = ("matrix.event-cache", "event cache");
    let size = settings.event_cache_size.as_ref().map_or(Some(USUAL_CACHE), amount);
    let Some(size) = size else {
        return list.note(list.unknown(code, title, "`event_cache_size` is no size that we can read"));
    };
    let Some(rooms) = rooms else {
        return list.note(list.unknown(
            code,
            title,
            format!("{size} events; how many rooms there are is not known"),
        ));
    };
    let need = OF_A_ROOM * rooms as u64;
    let s = if rooms == 1 { "" } else { "s" };
    if need <= size {
        return list.ok(code, title, format!("{size} events, enough for {rooms} room{s}"));
    }
    let text =
        format!("{size} events are less than the state of {rooms} room{s}: reading them all takes long");
    let size = need.next_multiple_of(10 * 1024) / 1024;
    let cure =
        Cure::edit(format!("set `event_cache_size: {size}K` in {}, and restart Synapse", path.display()));
    list.note(list.warning(code, title, text).cure(cure));
}

/// `10K`, `1M`, `20000`: K and M are powers of two here.
fn amount(value: &Json) -> Option<u64> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (&*text, ""),
    };
    let factor = match unit {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// The file has the secrets with which anybody becomes an administrator.
fn readers(list: &Checklist, path: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(meta) = fs::metadata(path) else { return };
    if Eyes::of(meta.mode()) == Eyes::All {
        let text = format!("{} has secrets in it, and everybody on this machine can read it", path.display());
        let cure = Cure::run(format!("chmod o= {}", path_word(path)));
        list.note(list.warning("matrix.settings", "settings", text).cure(cure));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_read_as_synapse_reads_them() {
        for (value, size) in [
            (json!("10K"), Some(10_240)),
            (json!(50_000), Some(50_000)),
            (json!("2M"), Some(2 << 20)),
            (json!("ten"), None),
            (json!("99999999999999999999K"), None),
        ] {
            assert_eq!(amount(&value), size, "{value}");
        }
    }

    #[test]
    fn a_homeserver_is_known_by_its_own_settings() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("homeserver.yaml");
        let text = "server_name: chat.home\nlisteners:\n  - port: 8448\n    tls: true\n    resources: [{names: [client]}]\n  \
                    - port: 8008\n    resources: [{names: [client, federation], compress: false}]\ndatabase: {name: sqlite3}\n";
        fs::write(&path, text).unwrap();
        let found = describe(&path).expect("it can be read");
        assert_eq!(
            (&*found.server_name, found.local_url.as_deref()),
            ("chat.home", Some("http://127.0.0.1:8008"))
        );
        fs::create_dir(dir.path().join("conf.d")).unwrap();
        fs::write(dir.path().join("conf.d/server_name.yaml"), "server_name: other.home\n").unwrap();
        assert_eq!(describe(&path).expect("it can be read").server_name, "other.home");
        fs::write(&path, "secret: [").unwrap();
        assert_eq!(describe(&path), None);
    }
}
