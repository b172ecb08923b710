//! The helper as a service of this machine, as `examples/systemd/fraktalia-forward.service` starts it: under a user of its
//! own, with one capability.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command as Plain;
use std::time::{Duration, Instant};

use fraktalia_testkit::real::docker::{BUSYBOX, SOCKET, docker};
use fraktalia_testkit::real::process::Process;
use fraktalia_testkit::real::{Cache, Docker, fraktalia_bin};
use fraktalia_tests::{Stage, With};
use tokio::process::Command;

const UNIT: &str = include_str!("../../examples/systemd/fraktalia-forward.service");
/// The realm of this story: part of the name of its table and of its socket.
const REALM: &str = "service-story";
/// `nobody`, wherever that is.
const USER: u32 = 65534;
/// The forwarded port; no other test uses it.
const PORT: u16 = 9018;

/// The agent has a name that no other story uses: their helpers follow this same engine.
const WISHES: &str = r#"policy: { forward_ports: 9018-9018 }
hosts: { local: { docker: "unix:///var/run/docker.sock", helper: service } }
users: { ana: {}, ben: {} }
networks: { service-story: { subnet: 10.239.18.0/27 } }
sandboxes: { standard: { image: { tag: "BUSYBOX" }, network: service-story } }
fractals:
  porter:
    members: [ana, ben]
    sandbox: standard
    forwards: [{ host_port: 9018, port: 3000 }]
"#;

/// The value of a key of the unit.
fn of_unit(key: &str) -> &'static str {
    let value = UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("the unit has no {key}"))
}

/// What systemd would have made for the service.
struct Service {
    dir: tempfile::TempDir,
    link: PathBuf,
    ready: UnixDatagram,
}

impl Service {
    fn install() -> Self {
        // The folder of a test is closed to others.
        let dir = tempfile::tempdir_in("/run").expect("a folder");
        let open = |path: &Path| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("opened");
        };
        open(dir.path());
        let program = dir.path().join("fraktalia");
        std::fs::copy(fraktalia_bin().expect("the built program"), &program).expect("copied");
        open(&program);
        let own = |name: &str| {
            std::fs::create_dir(dir.path().join(name)).expect("made");
            std::os::unix::fs::chown(dir.path().join(name), Some(USER), Some(USER)).expect("given away");
        };
        own("state");
        own("runtime");
        let ready = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
        ready.set_read_timeout(Some(Duration::from_mins(1))).expect("sets");
        std::fs::set_permissions(dir.path().join("notify"), PermissionsExt::from_mode(0o666))
            .expect("opened");
        // Where `fraktalia apply` looks for it.
        std::fs::create_dir_all("/run/fraktalia").expect("made");
        let link = Path::new("/run/fraktalia").join(format!("{REALM}.sock"));
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(dir.path().join("runtime/control"), &link).expect("linked");
        Self { dir, link, ready }
    }

    /// Starts what the unit starts, as who it starts it, and waits until it says that it is ready.
    fn start(&self) -> Process {
        assert_eq!(of_unit("Type"), "notify");
        let capability = of_unit("AmbientCapabilities").strip_prefix("CAP_").expect("a capability");
        assert_eq!(of_unit("CapabilityBoundingSet"), of_unit("AmbientCapabilities"));
        let capability = format!("+{}", capability.to_lowercase());
        let group = std::fs::metadata(SOCKET).expect("the engine's socket").gid();
        let (user, group) = (USER.to_string(), group.to_string());
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--groups", &group, "--no-new-privs"]);
        command.args(["--inh-caps", &format!("-all,{capability}"), "--ambient-caps", &capability]);
        command.args(["--bounding-set", &format!("-all,{capability}")]);
        let line = of_unit("ExecStart").replace("/usr/local/bin", &self.dir.path().to_string_lossy());
        command.args(line.replace(" home", &format!(" {REALM}")).split(' '));
        command.arg("--dir").arg(self.dir.path().join("state"));
        command.arg("--control").arg(self.dir.path().join("runtime/control"));
        command.env("NOTIFY_SOCKET", self.dir.path().join("notify"));
        let log = self.dir.path().join("log");
        let service = Process::spawn("the service", command, &log).expect("starts");
        let mut said = [0; 256];
        let length = self.ready.recv(&mut said);
        let length =
            length.unwrap_or_else(|error| panic!("not ready: {error}: {:?}", std::fs::read_to_string(&log)));
        assert_eq!(String::from_utf8_lossy(&said[..length]).trim(), "READY=1");
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.link);
        // Where the story did not come to its end.
        for table in tables().lines().filter(|line| line.contains("fraktalia_service_story")) {
            let _ = Plain::new("nft").arg("delete").args(table.split(' ')).status();
        }
    }
}

fn tables() -> String {
    let output = Plain::new("nft").args(["list", "tables"]).output().expect("nft is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn is_closed() -> bool {
    tables().contains("inet fraktalia_service_story")
}

/// What the forwarded port shows, asked until there is something.
fn page() -> String {
    use std::io::{Read as _, Write as _};
    let fetch = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", PORT))?;
        stream.write_all(b"GET /os-name HTTP/1.0\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    };
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match fetch() {
            Ok(page) if page.starts_with("HTTP/1") => return page,
            other if Instant::now() > until => panic!("never served: {other:?}"),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A network as Docker makes it.
const PLAIN: &str = "service-story-plain";

/// Whether a container on `network` can connect to this machine, at its address on [`PLAIN`].
async fn reaches_host(network: &str, port: u16) -> bool {
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let address = docker(&["network", "inspect", "--format", format, PLAIN]).await.expect("an address");
    let run = ["run", "--rm", "--network", network, "--entrypoint", "/bin/busybox", BUSYBOX];
    docker(&[&run[..], &["nc", "-w", "3", &address, &port.to_string()]].concat()).await.is_ok()
}

#[tokio::test]
async fn a_service_with_one_capability_holds_what_it_is_told() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    let cache = Cache::for_test().expect("wanted");
    let engine = Docker::ensure(&cache).await.expect("an engine");
    engine.base_image(&cache, BUSYBOX).await.expect("an image");
    stage.manifest(&WISHES.replace("BUSYBOX", BUSYBOX));
    let manifest = stage.read("fraktalia.yaml").replace("realm: stage", &format!("realm: {REALM}"));
    stage.write("fraktalia.yaml", &manifest);
    let service = Service::install();

    let before = stage.world().await;
    let absent = stage.run(&["apply", "--yes"]).await;
    assert_ne!(absent.code, Some(0), "nobody is there to close the network");
    assert!(absent.stderr.contains("service-story.sock"), "{}\n{}", absent.stdout, absent.stderr);
    let networks = docker(&["network", "ls", "--quiet", "--filter", "name=service-story"]).await;
    assert_eq!(networks.expect("a list"), "", "so there is none");

    let running = service.start();
    let plan = stage.run(&["plan", "--exit-code"]).await.expect(3);
    assert!(plan.stdout.contains("+ isolation") && !plan.stdout.contains("helper"), "{}", plan.stdout);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert!(is_closed());
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    docker(&["network", "create", PLAIN]).await.expect("made");
    let seen = (reaches_host(PLAIN, port).await, reaches_host("service-story", port).await);
    docker(&["network", "rm", PLAIN]).await.expect("removed");
    assert_eq!(seen, (true, false), "from a network of Docker's own, and from ours");

    // What OpenClaw would make.
    let labels = ["--label", "openclaw.sandbox=1", "--label", "openclaw.sessionKey=agent:porter:main"];
    let run = ["run", "--detach", "--network", "service-story", "--entrypoint", "/bin/busybox"];
    let serve = [BUSYBOX, "httpd", "-f", "-p", "3000", "-h", "/etc"];
    let container = docker(&[&run[..], &labels, &serve].concat()).await.expect("it runs");
    assert!(page().starts_with("HTTP/1"));

    running.kill().await.expect("killed");
    assert!(is_closed(), "the rules stay when nobody holds them");
    let running = service.start();
    assert!(page().starts_with("HTTP/1"), "it goes on where it was");
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);

    docker(&["rm", "--force", "--volumes", &container]).await.expect("removed");
    let _ = stage.run(&["rollback", "--yes"]).await.expect(0);
    assert!(!is_closed());
    assert!(TcpStream::connect(("127.0.0.1", PORT)).is_err(), "the port is free again");
    assert_eq!(stage.world().await, before);
    running.stop().await.expect("ends in order");
    drop(stage);
    engine.stop().await.expect("ends");
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn systemd_understands_every_word_of_the_units() {
    let verify = |path: &Path| Plain::new("systemd-analyze").arg("verify").arg(path).output();
    if Plain::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: there is no systemd-analyze here");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let openclaw = dir.path().join("openclaw.service.d");
    std::fs::create_dir(&openclaw).expect("made");
    let drop_in = include_str!("../../examples/two-host/systemd/docker-on-mox.conf");
    std::fs::write(openclaw.join("docker-on-mox.conf"), drop_in).expect("written");
    let any = "/bin/true";
    let units = [
        ("fraktalia-forward.service", UNIT.replace("/usr/local/bin/fraktalia", any)),
        ("openclaw.service", format!("[Service]\nExecStart={any}\n")),
    ];
    for (name, text) in units {
        let path = dir.path().join(name);
        std::fs::write(&path, &text).expect("written");
        let output = verify(&path).expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains(&*dir.path().to_string_lossy()), "{name}: {said}");
    }
    let broken = dir.path().join("broken.service");
    std::fs::write(
        &broken,
        UNIT.replace("/usr/local/bin/fraktalia", any).replace("ProtectClock", "ProtectClocks"),
    )
    .expect("written");
    let output = verify(&broken).expect("runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("ProtectClocks"), "it would say so");
}
