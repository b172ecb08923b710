//! Simulated systems for many fractals, and a command that is run in the folder of their manifest: for profiles of the
//! real program without the time of real systems.
//!
//! ```text
//! cargo run --release -p fraktalia-tests --example simulated -- 1000 'fraktalia apply --yes && perf record fraktalia plan'
//! ```

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use fraktalia_testkit::sim::docker::SimDocker;
use fraktalia_testkit::sim::synapse::{Setup, SimSynapse};

const SERVER: &str = "chat.test";

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(many), Some(command)) = (args.next().and_then(|text| text.parse().ok()), args.next()) else {
        return ExitCode::from(2);
    };
    let dir = tempfile::tempdir().expect("a folder");
    let synapse = SimSynapse::start(Setup { server_name: SERVER.into(), ..Setup::default() }).await;
    let docker = SimDocker::start();
    for name in ["agent", "warden"] {
        synapse.register(name);
    }
    docker.world().add_image("sandbox:latest", b"sandbox", [].into());
    set(dir.path(), synapse.admin().token(), &synapse.base_url(), &docker.endpoint(), many);
    let mut shell = tokio::process::Command::new("sh");
    shell.arg("-c").arg(&command).current_dir(dir.path()).env("XDG_STATE_HOME", dir.path().join("state"));
    let ended = shell.status().await.expect("a shell");
    ended.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The files: a secret, an `openclaw.json` by hand, and the manifest.
fn set(dir: &Path, token: &str, homeserver: &str, docker: &str, many: usize) {
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("a file");
    write("admin", token);
    write(
        "openclaw.json",
        "// By hand\n{\n  agents: {\n    entries: {\n      felix: { name: 'Felix' }, // stays\n    },\n  },\n  bindings: [\n    \
         { agentId: 'felix', match: { channel: 'matrix' } }, // last\n  ],\n  channels: { matrix: { enabled: true } },\n}\n",
    );
    let mut text = format!(
        "version: 1\nrealm: home\nmatrix:\n  homeserver: {homeserver}\n  server_name: {SERVER}\n  admin_token: {{ file: admin }}\n  \
         bot: \"@agent:{SERVER}\"\nopenclaw:\n  config: openclaw.json\n  catch_all: felix\n  workspaces: workspaces\n\
         hosts:\n  local: {{ docker: \"{docker}\", helper: service }}\n\
         sandboxes:\n  standard: {{ image: {{ tag: \"sandbox:latest\" }} }}\n\
         users: {{ ana: {{}}, ben: {{}} }}\nfractals:\n"
    );
    for number in 0..many {
        let _ = writeln!(
            text,
            "  f{number:05}:\n    purpose: Number {number}.\n    members: [ana, ben]\n    sandbox: standard"
        );
    }
    write("fraktalia.yaml", &text);
}
