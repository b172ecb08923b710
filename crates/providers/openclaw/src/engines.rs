//! Whether OpenClaw can run its sandboxes on the engines that the manifest names.
//!
//! It runs the `docker` program with its gateway's environment, so all agents share one engine, and it mounts a workspace
//! by the gateway's own path. Neither can be written into `openclaw.json`, so both are told.

use std::collections::BTreeMap;

use fraktalia_model::manifest::{Fractal, Host, HostTls, Manifest, Sandbox, SandboxMode};
use fraktalia_model::{Note, Notes, id};

/// What OpenClaw uses when nobody says otherwise.
const DEFAULT: &str = "unix:///var/run/docker.sock";

/// What there is to say about the engines of a manifest.
pub(crate) fn notes(manifest: &Manifest) -> Notes {
    let mut engines: BTreeMap<&str, Vec<Used<'_>>> = BTreeMap::new();
    for used in manifest.fractals.values().filter_map(|fractal| used(manifest, fractal)) {
        engines.entry(&used.host.docker).or_default().push(used);
    }
    let mut notes = Notes::new();
    if let Some(clash) = two_engines(&engines) {
        notes.push(clash);
    }
    for (engine, all) in &engines {
        if let Some(first) = all.first().filter(|_| *engine != DEFAULT) {
            notes.push(elsewhere(first));
        }
        notes.extend(all.iter().filter_map(two_paths));
    }
    notes
}

/// A fractal whose shell runs in a container that OpenClaw makes by `docker`.
struct Used<'a> {
    fractal: &'a Fractal,
    sandbox: &'a Sandbox,
    host: &'a Host,
}

fn used<'a>(manifest: &'a Manifest, fractal: &'a Fractal) -> Option<Used<'a>> {
    let sandbox = manifest.sandboxes.get(fractal.sandbox.as_ref()?)?;
    if sandbox.mode == Some(SandboxMode::Off) {
        return None;
    }
    Some(Used { fractal, sandbox, host: manifest.hosts.get(&sandbox.host)? })
}

fn two_engines(engines: &BTreeMap<&str, Vec<Used<'_>>>) -> Option<Note> {
    let mut each = engines.values().filter_map(|all| all.first());
    let (one, other) = (each.next()?, each.next()?);
    let text = format!(
        "the sandboxes of {} are on `{}`, and those of {} on `{}`, but a gateway of OpenClaw has one Docker engine for all \
         its agents",
        one.fractal.key, one.sandbox.host, other.fractal.key, other.sandbox.host
    );
    let hint = "give both the same `host`, or run a second gateway with a manifest of its own; an agent that OpenClaw itself \
                runs over SSH (`sandbox.backend: ssh` in its entry of openclaw.json) needs no `sandbox` here";
    let note = Note::error("openclaw.two-engines", text).about(&id::agent(&other.fractal.key));
    Some(note.at(&other.sandbox.at).and_at(&one.sandbox.at).hint(hint))
}

fn elsewhere(used: &Used<'_>) -> Note {
    let host = &used.sandbox.host;
    let text = format!(
        "the sandboxes on `{host}` are made by OpenClaw's gateway, which finds the engine by its own environment and not by \
         `openclaw.json`"
    );
    Note::warning("openclaw.docker-host", text)
        .about(&id::agent(&used.fractal.key))
        .at(&used.sandbox.at)
        .hint(format!("let the gateway's service have {} and start it anew", environment(used.host)))
}

/// What the gateway's service has to have in its environment.
fn environment(host: &Host) -> String {
    let engine = format!("DOCKER_HOST={}", host.docker);
    let Some(HostTls { ca, cert, key }) = &host.tls else { return format!("`{engine}`") };
    let dir = ca.parent().filter(|dir| {
        let all = [(ca, "ca.pem"), (cert, "cert.pem"), (key, "key.pem")];
        all.into_iter().all(|(path, name)| path == &dir.join(name))
    });
    match dir {
        Some(dir) => format!("`{engine} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={}`", dir.display()),
        None => format!(
            "`{engine} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=DIR`, with `ca.pem`, `cert.pem` and `key.pem` in DIR,"
        ),
    }
}

fn two_paths(used: &Used<'_>) -> Option<Note> {
    let paths = used.host.workspaces.as_ref().filter(|paths| paths.here != paths.there)?;
    let inside = used.fractal.workspace.path.strip_prefix(&paths.here).ok()?;
    let text = format!(
        "OpenClaw mounts the workspace of {} by the path that its gateway knows, {}, but on `{}` it is {}: the engine would \
         make an empty directory",
        used.fractal.key,
        used.fractal.workspace.path.display(),
        used.sandbox.host,
        paths.there.join(inside).display()
    );
    let hint = format!(
        "mount the directory under the same path there (`mount --bind {} {}`), and write that path for `here` and `there`",
        paths.there.display(),
        paths.here.display()
    );
    let note = Note::warning("openclaw.two-paths", text).about(&id::agent(&used.fractal.key));
    Some(note.at(&used.sandbox.at).hint(hint))
}
