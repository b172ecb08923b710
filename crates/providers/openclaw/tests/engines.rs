//! Sandboxes on other hosts: what OpenClaw cannot be told by its file, people are told by the plan.

use fraktalia_engine::load;
use fraktalia_model::{Note, Severity};
use fraktalia_openclaw::OpenClaw;
use fraktalia_plan::System as _;

const COMMON: &str = r#"
version: 1
realm: home
matrix: { homeserver: "http://127.0.0.1:8008", server_name: chat.home, admin_token: { env: T }, bot: "@agent:chat.home", padding: ["@a:chat.home", "@b:chat.home"] }
openclaw: { config: openclaw.json }
hosts:
  mox: { docker: "tcp://10.0.0.5:2376", tls: { ca: tls/ca.pem, cert: tls/cert.pem, key: tls/key.pem } }
  box: { docker: "ssh://root@box", workspaces: { here: /mnt/box, there: /srv/agents } }
sandboxes:
  here: { image: { tag: "a:1" } }
  mox: { host: mox, image: { tag: "a:1" } }
  box: { host: box, image: { tag: "a:1" } }
  off: { host: box, image: { tag: "a:1" }, mode: off }
fractals:
"#;

/// The notes on these fractals.
fn notes(fractals: &str) -> Vec<Note> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("fraktalia.yaml");
    std::fs::write(&path, format!("{COMMON}{fractals}")).expect("written");
    let loaded = load::load(&path);
    let manifest = loaded.manifest.unwrap_or_else(|| panic!("{:?}", loaded.notes));
    let openclaw = OpenClaw::of(&manifest).expect("it has the section");
    openclaw.lint(&openclaw.lower(&manifest).expect("it can be asked for"))
}

fn codes(notes: &[Note]) -> Vec<&str> {
    notes.iter().map(|note| note.code.as_str()).collect()
}

#[test]
fn on_its_own_machine_there_is_nothing_to_say() {
    assert_eq!(codes(&notes("  fern: { sandbox: here }\n  moss: {}\n  reed: { sandbox: off }\n")), [""; 0]);
}

#[test]
fn another_engine_is_named_with_what_the_gateway_needs_in_its_environment() {
    let notes = notes("  fern: { sandbox: mox }\n  moss: { sandbox: mox }\n");
    assert_eq!(codes(&notes), ["openclaw.docker-host"], "once for an engine, not once for a fractal");
    assert_eq!(notes[0].severity, Severity::Warning);
    let hint = notes[0].hint.as_deref().expect("a cure");
    for part in ["DOCKER_HOST=tcp://10.0.0.5:2376", "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH=/", "/tls`"] {
        assert!(hint.contains(part), "{part} is not in {hint}");
    }
}

#[test]
fn two_engines_under_one_gateway_are_an_error() {
    for fractals in [
        "  fern: { sandbox: here }\n  moss: { sandbox: mox }\n",
        "  fern: { sandbox: box }\n  moss: { sandbox: mox }\n",
    ] {
        let notes = notes(fractals);
        let clash = notes.iter().find(|note| note.code == "openclaw.two-engines").expect("it is said");
        assert_eq!(clash.severity, Severity::Error);
        assert!(
            clash.text.contains("fern") && clash.text.contains("moss") && clash.other.is_some(),
            "{clash:?}"
        );
    }
    let off = "  fern: { sandbox: mox }\n  moss: { sandbox: off }\n";
    assert_eq!(codes(&notes(off)), ["openclaw.docker-host"], "a sandbox that is off is on no engine");
}

#[test]
fn a_workspace_with_two_paths_is_said_to_be_mounted_by_the_gateways() {
    let notes = notes("  fern: { sandbox: box }\n");
    assert_eq!(codes(&notes), ["openclaw.docker-host", "openclaw.two-paths"]);
    let text = &notes[1].text;
    assert!(text.contains("/mnt/box/fern") && text.contains("/srv/agents/fern"), "{text}");
    assert!(notes[1].hint.as_deref().is_some_and(|hint| hint.contains("mount --bind /srv/agents /mnt/box")));
}
