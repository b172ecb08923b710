//! The helper as a process of its own, in a network namespace of its own: told, killed, started again, disturbed.

use std::path::{Path, PathBuf};
use std::process::Command as Plain;
use std::time::Duration;

use fraktalia_plane::config::Config;
use fraktalia_plane::protocol::{Answer, Link, Request, Socket, View, fingerprint};
use fraktalia_testkit::real::process::Process;
use fraktalia_testkit::real::{Cache, fraktalia_bin};
use serde_json::json;
use tokio::process::Command;

/// A network namespace, so that nothing happens to this machine's own rules and ports.
struct Host {
    name: String,
    dir: tempfile::TempDir,
    helper: Option<Process>,
}

impl Host {
    /// A host whose helper runs. `None` when tests of real systems are not wanted here.
    async fn set(label: &str) -> Option<Self> {
        Cache::for_test()?;
        let name = format!("fkt-helper-{}-{label}", std::process::id());
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut host = Self { name, dir, helper: None };
        host.start().await;
        Some(host)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(fraktalia_bin().expect("the built program"));
        command.args(["forward", "--realm", "stage", "--dir"]).arg(self.path("state"));
        command.arg("--control").arg(self.path("control")).arg("--docker").arg(self.path("no-engine"));
        command.args(["--metrics", "127.0.0.1:9464"]);
        command
    }

    async fn start(&mut self) {
        let mut helper = Process::spawn("helper", self.command(), &self.path("log")).expect("it starts");
        let socket = Socket(self.path("control"));
        let answers = || async { socket.ask(&Request::Look).await.is_ok() };
        helper.wait_until("an answer", Duration::from_mins(1), answers).await.expect("it answers");
        self.helper = Some(helper);
    }

    async fn ask(&self, request: &Request) -> Answer {
        Socket(self.path("control")).ask(request).await.expect("an answer")
    }

    async fn look(&self) -> View {
        match self.ask(&Request::Look).await {
            Answer::Holding(view) => view,
            refused @ Answer::Refused { .. } => panic!("{refused:?}"),
        }
    }

    async fn set_to(&self, config: &Config) -> Answer {
        let was = fingerprint(&self.look().await.config);
        self.ask(&Request::Set { was, config: config.clone() }).await
    }

    /// What nft says in here.
    fn rules(&self) -> String {
        inside(&self.name, &["nft", "list", "ruleset"])
    }

    /// Until the helper is content with its rules again.
    async fn until_closed(&self) -> View {
        for _ in 0..600 {
            let view = self.look().await;
            if view.closed && view.healed > 0 {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never healed: {:?}\n{}", self.look().await, self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.helper = None;
        let _ = Plain::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(args: &[&str]) {
    let status = Plain::new("ip").args(args).status().expect("iproute2 is installed: `cargo xtask install`");
    assert!(status.success(), "ip {args:?}");
}

fn inside(netns: &str, args: &[&str]) -> String {
    let output = Plain::new("ip").args(["netns", "exec", netns]).args(args).output().expect("ip runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn config(value: serde_json::Value) -> Config {
    serde_json::from_value(value).expect("a config")
}

fn garden() -> Config {
    config(json!({
        "networks": { "garden": {
            "bridge": "fkt-garden", "subnet": "172.30.77.0/24", "internet": true,
            "openings": [{ "address": "192.168.1.40", "port": 22, "protocol": "tcp" }],
        }},
        "forwards": { "127.0.0.1:9000": { "agent": "gardener", "port": 3000 } },
    }))
}

#[tokio::test]
async fn what_a_helper_was_told_outlives_it() {
    let Some(mut host) = Host::set("told").await else { return };
    assert!(matches!(host.set_to(&garden()).await, Answer::Holding(_)));
    assert!(host.rules().contains("fkt-garden"));
    // Killed in the middle of everything.
    host.helper = None;
    assert!(host.rules().contains("fkt-garden"), "the rules stay when nobody holds them");
    host.start().await;
    let view = host.look().await;
    assert_eq!(view.config, garden());
    assert!(view.closed && view.forwards["127.0.0.1:9000"].listening, "{view:?}");
    assert!(view.problems[0].contains("no-engine"), "it says that no engine answers: {:?}", view.problems);
    // Nothing to hold: no table, no listener.
    assert!(matches!(host.set_to(&Config::default()).await, Answer::Holding(_)));
    assert_eq!(host.rules().trim(), "");
    assert!(host.look().await.forwards.is_empty());
}

#[tokio::test]
async fn what_cannot_be_held_changes_nothing_and_says_why() {
    let Some(host) = Host::set("refused").await else { return };
    assert!(matches!(host.set_to(&garden()).await, Answer::Holding(_)));
    let rules = host.rules();
    let mut taken = garden();
    // The helper's own metrics are read there.
    let port = config(json!({ "forwards": { "127.0.0.1:9464": { "agent": "gardener", "port": 1 } } }));
    taken.forwards.extend(port.forwards);
    taken.networks.get_mut("garden").expect("there").openings.clear();
    let mut bridge = garden();
    bridge.networks.get_mut("garden").expect("there").bridge = "eth0; flush ruleset".into();
    let mut overlap = garden();
    let mut other = overlap.networks["garden"].clone();
    other.bridge = "fkt-other".into();
    overlap.networks.insert("other".into(), other);
    for (bad, why) in [(taken, "127.0.0.1:9464"), (bridge, "bridge"), (overlap, "overlap")] {
        let Answer::Refused { what, .. } = host.set_to(&bad).await else { panic!("it holds {bad:?}") };
        assert!(what.contains(why), "{what}");
        assert_eq!(host.look().await.config, garden());
        assert!(host.look().await.closed);
    }
    let late = Request::Set { was: fingerprint(&Config::default()), config: Config::default() };
    let Answer::Refused { what, .. } = host.ask(&late).await else { panic!("a plan of yesterday") };
    assert!(what.contains("changed meanwhile"), "{what}");
    let counterless = |rules: &str| {
        rules.lines().filter(|line| !line.contains("comment")).map(without_counters).collect::<String>()
    };
    assert_eq!(counterless(&host.rules()), counterless(&rules));
}

/// Counters count what the test itself sends.
fn without_counters(line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut kept = String::new();
    while let Some(word) = words.next() {
        if word == "packets" || word == "bytes" {
            words.next();
        } else {
            kept.push_str(word);
            kept.push(' ');
        }
    }
    kept
}

#[tokio::test]
async fn rules_that_somebody_flushes_are_put_back() {
    let Some(host) = Host::set("flushed").await else { return };
    assert!(matches!(host.set_to(&garden()).await, Answer::Holding(_)));
    inside(&host.name, &["nft", "flush", "ruleset"]);
    host.until_closed().await;
    assert!(host.rules().contains("fkt-garden"));
}

#[tokio::test]
async fn a_damaged_file_is_said_and_opens_nothing() {
    let Some(mut host) = Host::set("damaged").await else { return };
    assert!(matches!(host.set_to(&garden()).await, Answer::Holding(_)));
    host.helper = None;
    let file = host.path("state/plane.json");
    std::fs::write(&file, "{").expect("written");
    let output = host.command().output().await.expect("it starts and ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("plane.json") && said.contains("cannot be read") && said.contains("hint"),
        "{said}"
    );
    assert!(host.rules().contains("fkt-garden"));
    assert!(Path::new(&file).exists(), "it is for a person to look at");
}

#[tokio::test]
async fn two_helpers_do_not_share_a_socket() {
    let Some(host) = Host::set("twice").await else { return };
    let output = host.command().output().await.expect("it starts and ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0));
    assert!(said.contains("control") || said.contains("9464"), "{said}");
    host.look().await;
}
