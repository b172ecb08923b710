//! As a service: what systemd is told, the unit, and the pages for those who look after it.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use fraktalia_testkit::real::{Cache, fraktalia_bin};
use fraktalia_tests::{Stage, With};

use super::running::Watch;

const LOUNGE: &str = "\
users: { ana: {} }
rooms:
  lounge: { name: The lounge, members: [ana] }
";

/// What systemd would hear.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &std::path::Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_mins(1))).expect("sets");
        Self(socket)
    }

    /// The next message that begins so.
    fn hears(&self, start: &str) -> String {
        let mut buffer = [0; 1024];
        loop {
            let length = self.0.recv(&mut buffer).unwrap_or_else(|error| panic!("no `{start}`: {error}"));
            let text = String::from_utf8_lossy(&buffer[..length]).trim().to_owned();
            if text.starts_with(start) {
                return text;
            }
        }
    }
}

#[tokio::test]
async fn systemd_hears_that_it_is_ready_that_it_lives_how_it_is_and_that_it_ends() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(LOUNGE);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let path = stage.path("notify");
    let manager = Manager::at(&path);
    let path = path.to_string_lossy();
    let environment = [("NOTIFY_SOCKET", &*path), ("WATCHDOG_USEC", "200000")];
    let watch = Watch::start_with(&stage, &[], &environment);
    let (watch, manager) = tokio::task::spawn_blocking(move || {
        manager.hears("READY=1");
        manager.hears("STATUS=in sync");
        for _ in 0..3 {
            manager.hears("WATCHDOG=1");
        }
        (watch, manager)
    })
    .await
    .expect("it is heard");
    assert_eq!(watch.end().await.0, Some(0));
    manager.hears("STOPPING=1");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if Cache::for_test().is_none() {
        return;
    }
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: there is no systemd-analyze here");
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let program = fraktalia_bin().expect("the built program");
    for name in ["fraktalia-watch", "fraktalia-forward", "fraktalia-modes", "fraktalia-admin"] {
        let unit = format!("{}/../examples/systemd/{name}.service", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(unit).expect("the unit is there");
        // The program has to be there for the check, and the users need not be.
        let text = text.replace("/usr/local/bin/fraktalia", &program.to_string_lossy());
        // With it systemd takes openat2 away, without which no workspace is opened.
        assert!(!text.lines().any(|line| line.starts_with("RestrictSUIDSGID")), "{name}");
        let path = dir.path().join(format!("{name}.service"));
        std::fs::write(&path, text).expect("written");
        let found = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
        let found = found.expect("it runs");
        let said = String::from_utf8_lossy(&found.stderr);
        let about: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert_eq!(about, Vec::<&str>::new(), "{said}");
    }
}

/// Let go of at once: nobody else on this machine asks for a port in that moment.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

pub async fn get(port: u16, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

#[tokio::test]
async fn its_pages_tell_that_it_lives_what_it_sees_and_what_it_counts() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(LOUNGE);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let port = free_port();
    let mut watch = Watch::start(&stage, &["--listen", &port.to_string()]);
    watch.in_sync().await;
    assert_eq!(get(port, "/healthz").await, (200, "ok\n".into()));
    assert_eq!(get(port, "/readyz").await, (200, "ok\n".into()));
    stage.manifest(&LOUNGE.replace("The lounge", "The den"));
    watch.until(|line| line["happening"] == "looked" && line["in_sync"] == false).await;
    let (_, status) = get(port, "/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).expect("a document");
    assert_eq!(
        (&status["in_sync"], &status["changes"]["matrix/room/lounge"]),
        (&false.into(), &"pending".into())
    );

    let (code, text) = get(port, "/metrics").await;
    assert_eq!(code, 200);
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    let scrape = prometheus_parse::Scrape::parse(lines).expect("Prometheus can read it");
    let value = |name: &str, system: Option<&str>| {
        let sample = scrape.samples.iter().find(|sample| {
            sample.metric == name && system.is_none_or(|system| sample.labels.get("system") == Some(system))
        });
        match &sample.unwrap_or_else(|| panic!("no {name} in\n{text}")).value {
            prometheus_parse::Value::Gauge(value) | prometheus_parse::Value::Counter(value) => *value,
            other => panic!("{name}: {other:?}"),
        }
    };
    assert_eq!(value("fraktalia_watch_in_sync", None).to_string(), "0");
    assert_eq!(value("fraktalia_watch_system_in_sync", Some("matrix")).to_string(), "0");
    assert_eq!(value("fraktalia_watch_system_in_sync", Some("workspace")).to_string(), "1");
    assert_eq!(value("fraktalia_watch_system_pending_resources", Some("matrix")).to_string(), "1");
    assert!(value("fraktalia_watch_looks_total", None) >= 1.0);
    assert_eq!(watch.end().await.0, Some(0));
}
