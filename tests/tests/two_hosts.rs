//! Two machines and the manifest of `examples/two-host`: agents talk here, their shells run there, in closed networks, and
//! one's web server is reached through a forwarded port. Everything real; the other machine is namespaces of this one.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fraktalia_plane::protocol::{Answer, Carried};
use fraktalia_testkit::real::docker::BUSYBOX;
use fraktalia_testkit::real::process::Process;
use fraktalia_testkit::real::{Cache, Execution, Person};
use fraktalia_tests::{PASSWORD, SERVER, Stage, With};
use tokio::io::AsyncWriteExt as _;

const LIMIT: Duration = Duration::from_mins(3);
/// The manifest that this is about, as an operator finds it.
const EXAMPLE: &str = include_str!("../../examples/two-host/fraktalia.yaml");
/// The address in it that the gardener's web server is reached at.
const MOX: &str = "10.0.0.5";
/// The port of it, and of each web server in its container.
const PORT: u16 = 9000;
/// A service of the other machine itself, on all its addresses.
const OWN_SERVICE: u16 = 8099;
/// What an agent runs when it is asked to serve.
const SERVE: &str =
    "mkdir -p public; echo made by $(id -u) > public/page.txt; httpd -p 9000 -h public; cat public/page.txt";

struct Story {
    stage: Stage,
    host: Execution,
    own_service: Process,
    opening: u16,
    secret: u16,
}

impl Story {
    async fn set() -> Option<Self> {
        let cache = Cache::for_test()?;
        let host = Execution::start().await.expect("a second host");
        host.base_image(&cache, BUSYBOX).await.expect("an image");
        let environment = [
            ("DOCKER_HOST", host.endpoint()),
            ("DOCKER_TLS_VERIFY", "1".to_owned()),
            ("DOCKER_CERT_PATH", host.certificates().display().to_string()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        let stage = Stage::set_in(With::Gateway, &environment).await?;
        let mut python = host.inside("python3");
        python.args(["-m", "http.server", &OWN_SERVICE.to_string()]);
        let own_service = Process::spawn("a service", python, &stage.path("service.log")).expect("starts");
        let here = IpAddr::from(host.here());
        let (opening, secret) = (greeter(here), greeter(here));
        let story = Self { stage, host, own_service, opening, secret };
        story.write_example();
        let model = story.stage.model.as_ref().expect("a model");
        model.run_command_on("serve", SERVE);
        Some(story)
    }

    /// The example, with the addresses and paths of this stage in place of those of a home.
    fn write_example(&self) {
        let path = |name: &str| self.stage.path(name).display().to_string();
        let gateway = self.stage.gateway.as_ref().expect("a gateway");
        let replaced = [
            ("http://127.0.0.1:8008", self.stage.proxy.url().to_owned()),
            ("chat.home", SERVER.to_owned()),
            ("/var/lib/openclaw/openclaw.json", path("gateway/openclaw.json")),
            ("cli: openclaw", "cli: gateway/openclaw".to_owned()),
            ("ws://127.0.0.1:18789", gateway.url()),
            ("tcp://10.0.0.5:2376", self.host.endpoint()),
            ("/etc/fraktalia/mox", self.host.certificates().display().to_string()),
            ("/srv/agents", path("workspaces")),
            ("10.0.0.9:3142", format!("{}:{}", self.host.here(), self.opening)),
            ("debian:12-slim", BUSYBOX.to_owned()),
            (MOX, self.host.there().to_string()),
        ];
        let mut text = EXAMPLE.to_owned();
        for (old, new) in replaced {
            assert!(text.contains(old), "the example has no {old} any more");
            text = text.replace(old, &new);
        }
        self.stage.write("fraktalia.yaml", &text);
        self.stage.write("secrets/matrix-admin-token", self.stage.synapse.admin_token());
        self.stage.write("secrets/gateway-token", gateway.token());
        self.stage.write("secrets/ana", PASSWORD);
        self.stage.write("secrets/ben", PASSWORD);
        let personas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/two-host/personas");
        for name in ["gardener.md", "librarian.md"] {
            let text = std::fs::read_to_string(personas.join(name)).expect("a persona of the example");
            self.stage.write(&format!("personas/{name}"), &text);
        }
    }

    async fn ask(&self, ana: &Person, agent: &str) -> String {
        let room = self.stage.room(agent).await.expect("the room exists");
        let answer = ana.ask(&room, self.stage.bot.user_id(), "Please serve your page.", LIMIT).await;
        answer.unwrap_or_else(|error| panic!("{error}")).body
    }

    async fn docker(&self, args: &[&str]) -> String {
        self.host.docker(args).await.unwrap_or_else(|error| panic!("{args:?}: {error}"))
    }

    /// The container that OpenClaw made for an agent, and its address.
    async fn container(&self, agent: &str) -> (String, String) {
        let (network, label) = (format!("network=shed-{agent}"), "label=openclaw.sandbox=1");
        let id = self.docker(&["ps", "--quiet", "--filter", &network, "--filter", label]).await;
        assert_eq!(id.split_whitespace().count(), 1, "{agent} has one container: {id:?}");
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = self.docker(&["inspect", "--format", format, &id]).await;
        (id, address)
    }

    /// Whether a TCP connection from inside of a container comes about.
    async fn reaches(&self, container: &str, address: &str, port: u16) -> bool {
        let nc = ["busybox", "nc", "-w", "3", address, &port.to_string()];
        self.host.docker(&[&["exec", container][..], &nc].concat()).await.is_ok()
    }

    async fn iptables(&self, args: &[&str]) -> String {
        let output = self.host.inside("iptables").args(args).output().await.expect("iptables runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the helper says of the forward.
    async fn carried(&self) -> Carried {
        let mut ask = self.host.inside("docker");
        ask.args(["exec", "--interactive", "fraktalia-helper-home", "/fraktalia", "forward", "--ask"]);
        ask.args(["--control", "/run/fraktalia.sock"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ask = ask.spawn().expect("docker starts");
        ask.stdin.take().expect("a pipe").write_all(b"\"look\"").await.expect("asked");
        let answer = ask.wait_with_output().await.expect("ends").stdout;
        match serde_json::from_slice(&answer).expect("an answer") {
            Answer::Holding(view) => {
                assert!(view.closed && view.problems.is_empty(), "{view:?}");
                view.forwards[&format!("{}:{PORT}", self.host.there())].clone()
            }
            refused @ Answer::Refused { .. } => panic!("{refused:?}"),
        }
    }

    /// What the forward shows to a browser on this machine.
    fn page(&self) -> std::io::Result<String> {
        let to = (IpAddr::from(self.host.there()), PORT).into();
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /page.txt HTTP/1.0\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    }

    /// What of us could be left on the other machine.
    async fn other_machine(&self) -> BTreeMap<&'static str, String> {
        let nft = self.host.inside("nft").args(["list", "tables"]).output().await.expect("nft runs");
        BTreeMap::from([
            ("containers", self.docker(&["ps", "--all", "--format", "{{.Names}} {{.Image}}"]).await),
            ("images", self.docker(&["images", "--all", "--format", "{{.Repository}}:{{.Tag}}"]).await),
            ("networks", self.docker(&["network", "ls", "--format", "{{.Name}}"]).await),
            ("volumes", self.docker(&["volume", "ls", "--format", "{{.Name}}"]).await),
            ("tables", String::from_utf8_lossy(&nft.stdout).into_owned()),
            ("filter", self.iptables(&["-S"]).await),
            ("nat", self.iptables(&["-t", "nat", "-S"]).await),
        ])
    }

    /// Who is reached from the gardener's shell, and from a container on a network of Docker's own, which shows that there
    /// is somebody to be reached.
    async fn reachable(&self) -> Vec<(&'static str, bool, bool)> {
        let (gardener, _) = self.container("gardener").await;
        let (librarian, beside) = self.container("librarian").await;
        self.docker(&["network", "create", "plain"]).await;
        let run = ["run", "--detach", "--network", "plain", "--entrypoint", "/bin/busybox", BUSYBOX];
        let plain = self.docker(&[&run[..], &["httpd", "-f", "-p", "80", "-h", "/"]].concat()).await;
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}";
        let text = self.docker(&["inspect", "--format", format, &plain]).await;
        let (address, gateway) = text.split_once(' ').expect("two addresses");
        let (here, there) = (self.host.here().to_string(), self.host.there().to_string());
        let mut seen = Vec::new();
        for (what, to, port) in [
            ("the admin plane", &*here, self.secret),
            ("the opening", &*here, self.opening),
            ("the host by its own address", &*there, OWN_SERVICE),
            ("the host by a bridge's address", gateway, OWN_SERVICE),
            ("the engine", &*there, fraktalia_testkit::real::execution::TLS_PORT),
            ("another container", address, 80),
        ] {
            seen.push((what, self.reaches(&gardener, to, port).await, self.reaches(&plain, to, port).await));
        }
        // Engines part their own networks as well, so who reaches that is the agent itself.
        let own = self.reaches(&librarian, &beside, PORT).await;
        seen.push(("the other agent", self.reaches(&gardener, &beside, PORT).await, own));
        self.docker(&["rm", "--force", "--volumes", &plain]).await;
        self.docker(&["network", "rm", "plain"]).await;
        seen
    }
}

/// A service of this machine, at one address.
fn greeter(address: IpAddr) -> u16 {
    let listener = TcpListener::bind((address, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"secret\n");
        }
    });
    port
}

#[tokio::test]
async fn agents_talk_here_and_work_there_and_nothing_there_reaches_what_is_here() {
    let Some(story) = Story::set().await else { return };
    let (mut here, there) = (story.stage.world().await, story.other_machine().await);
    let plan = story.stage.run(&["plan", "--exit-code"]).await.expect(3);
    let forward = format!("{}:{PORT} -> gardener:{PORT}", story.host.there());
    for row in ["+ helper", "shed-gardener", "shed-librarian", "+ isolation", &forward, "DOCKER_TLS_VERIFY=1"]
    {
        assert!(plan.stdout.contains(row), "{row} in\n{}", plan.stdout);
    }
    assert_eq!(story.other_machine().await, there, "a plan changes nothing");
    let _ = story.stage.run(&["apply", "--yes"]).await.expect(0);
    let status = story.stage.run(&["plan", "--exit-code"]).await.expect(0);
    assert!(!status.stdout.contains("drift"), "{}", status.stdout);

    let ana = Person::log_in(&story.stage.synapse.base_url(), "ana", PASSWORD).await.expect("Ana's account");
    for agent in ["gardener", "librarian"] {
        let answer = story.ask(&ana, agent).await;
        assert!(answer.contains("made by 996"), "{agent}'s shell runs as its user: {answer}");
    }
    assert_eq!(story.stage.read("workspaces/gardener/public/page.txt"), "made by 996\n");

    let seen = story.reachable().await;
    let wanted = seen.iter().map(|(what, ..)| (*what, *what == "the opening", true));
    assert_eq!(seen, wanted.collect::<Vec<_>>(), "what, from the sandbox, from elsewhere");
    a_forward_is_carried_one_way_or_the_other(&story).await;

    story.host.cut().expect("cut");
    let lost = story.stage.run(&["plan", "--exit-code"]).await.expect(11);
    assert!(lost.stderr.contains("mox"), "{}", lost.stderr);
    story.host.mend().expect("mended");
    let _ = story.stage.run(&["plan", "--exit-code"]).await.expect(0);
    assert!(story.page().expect("served").contains("made by 996"));

    let _ = story.stage.run(&["rollback", "--yes"]).await.expect(0);
    assert_eq!(story.other_machine().await, there);
    assert!(story.page().is_err(), "nobody listens any more");
    let mut after = story.stage.world().await;
    let kept = after["files"].take();
    assert_eq!(kept["gardener/public/page.txt"], "made by 996\n", "what an agent wrote is the agent's");
    assert_eq!(kept.get("gardener/SOUL.md"), None, "what we wrote is not there any more");
    here["files"].take();
    assert_eq!(after, here);
    drop(story.stage);
    story.own_service.kill().await.expect("ends");
}

/// An engine on a fresh machine lets its filter drop what is forwarded: then user space carries. Where its administrator
/// lets it through, the kernel does.
async fn a_forward_is_carried_one_way_or_the_other(story: &Story) {
    assert!(story.iptables(&["-S", "FORWARD"]).await.starts_with("-P FORWARD DROP"), "as on a fresh machine");
    let page = story.page().expect("served");
    assert!(page.contains("made by 996"), "{page}");
    let before = story.carried().await;
    assert!(!before.by_kernel && before.connections == 1, "{before:?}");

    let accept = ["DOCKER-USER", "-o", "fkt-+", "-j", "ACCEPT"];
    story.iptables(&[&["-I"][..], &accept].concat()).await;
    until_by_kernel(story, true).await;
    assert!(story.page().expect("served").contains("made by 996"));
    assert_eq!(story.carried().await.connections, before.connections, "it never came to user space");

    story.iptables(&[&["-D"][..], &accept].concat()).await;
    until_by_kernel(story, false).await;
    assert!(story.page().expect("served").contains("made by 996"));
    assert_eq!(story.carried().await.connections, before.connections + 1);
}

async fn until_by_kernel(story: &Story, wanted: bool) {
    for _ in 0..600 {
        if story.carried().await.by_kernel == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("by the kernel: never {wanted}: {:?}", story.carried().await);
}
