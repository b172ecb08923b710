//! The execution plane from a manifest alone: an agent's shell in a closed network, and its web server behind a
//! forwarded port. Everything real.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use fraktalia_testkit::real::docker::{BUSYBOX, docker};
use fraktalia_testkit::real::{Cache, Docker, Person};
use fraktalia_tests::{PASSWORD, Stage, With};

const LIMIT: Duration = Duration::from_mins(3);
/// The realm of this story: no other one has its helper and its table.
const REALM: &str = "plane-story";
/// The forwarded port; no other test uses it.
const PORT: u16 = 9017;

const WISHES: &str = r#"policy: { forward_ports: 9017-9017 }
users:
  ana: { display_name: Ana, password: { file: secrets/password } }
  ben: {}
networks:
  plane-story: { subnet: 10.239.17.0/27, each_fractal: false }
sandboxes:
  standard:
    image: { tag: "BUSYBOX" }
    network: plane-story
    user: "996:1100"
    workspace_access: rw
    read_only_root: true
    memory: 256m
fractals:
  gardener:
    purpose: Looks after the garden plan.
    members: [ana, ben]
    sandbox: standard
    workspace: { owner: "996:1100" }
    forwards: [{ host_port: 9017, port: 3000 }]
"#;

/// What the agent runs when it is asked to serve: a page that says who made it, and where.
const SERVE: &str = "echo made by $(id -u) > page.txt; httpd -p 3000 -h /workspace; cat page.txt";

struct Story {
    stage: Stage,
    docker: Docker,
    ana: Option<Person>,
}

impl Story {
    async fn set() -> Option<Self> {
        let stage = Stage::set(With::Gateway).await?;
        let cache = Cache::for_test()?;
        let docker = Docker::ensure(&cache).await.expect("an engine");
        docker.base_image(&cache, BUSYBOX).await.expect("an image");
        stage.manifest(&WISHES.replace("BUSYBOX", BUSYBOX));
        stage.set_realm(REALM);
        let model = stage.model.as_ref().expect("a model");
        model.run_command_on("serve", SERVE);
        Some(Self { stage, docker, ana: None })
    }

    async fn ask(&mut self, question: &str) -> String {
        if self.ana.is_none() {
            let ana = Person::log_in(&self.stage.synapse.base_url(), "ana", PASSWORD).await;
            self.ana = Some(ana.expect("Ana's account works"));
        }
        let room = self.stage.room("gardener").await.expect("the room exists");
        let ana = self.ana.as_ref().expect("logged in");
        let answer = ana.ask(&room, self.stage.bot.user_id(), question, LIMIT).await;
        answer.unwrap_or_else(|error| panic!("{error}")).body
    }

    /// The container that OpenClaw made for the agent.
    async fn container(&self) -> String {
        let session = "label=openclaw.sessionKey";
        let all = docker(&["ps", "--quiet", "--filter", session, "--filter", "network=plane-story"]).await;
        let all = all.expect("a list");
        let mut ids = all.split_whitespace();
        let first = ids.next().expect("the agent has a container");
        assert_eq!(ids.next(), None, "and one only");
        first.to_owned()
    }
}

/// What a browser would see at the forwarded port, with a question for every new connection until one is answered.
fn page() -> String {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match fetch() {
            Ok(page) if page.contains("made by") => return page,
            other if Instant::now() > until => panic!("never served: {other:?}"),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn fetch() -> std::io::Result<String> {
    use std::io::Write as _;
    let mut stream = TcpStream::connect(("127.0.0.1", PORT))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /page.txt HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

/// Whether a container on `network` reaches `address:port`.
async fn reaches(network: &str, address: &str, port: u16) -> bool {
    let run = ["run", "--rm", "--network", network, "--entrypoint", "/bin/busybox", BUSYBOX];
    let probe = ["timeout", "5", "busybox", "nc", "-w", "3", address, &port.to_string()];
    let answer = docker(&[&run[..], &probe[..]].concat()).await;
    answer.is_ok_and(|text| text.contains("secret"))
}

/// A service of this machine that greets whoever comes.
fn host_service() -> u16 {
    use std::io::Write as _;
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"secret of the host\n");
        }
    });
    port
}

fn tables() -> String {
    let output = Command::new("nft").args(["list", "tables"]).output().expect("nft is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn an_agents_shell_is_closed_in_and_its_web_server_is_reached() {
    let Some(mut story) = Story::set().await else { return };
    let mut before = story.stage.world().await;
    let plan = story.stage.run(&["plan", "--exit-code"]).await.expect(3);
    for row in ["+ helper", "+ isolation", "+ network", "+ forward", "127.0.0.1:9017 -> gardener:3000"] {
        assert!(plan.stdout.contains(row), "{row} in\n{}", plan.stdout);
    }
    assert!(!tables().contains("fraktalia_plane_story"), "a plan changes nothing");

    let _ = story.stage.run(&["apply", "--yes"]).await.expect(0);
    assert!(tables().contains("fraktalia_plane_story"));
    // Nobody serves yet: the port is there, and refuses.
    assert!(fetch().map_or(true, |page| page.is_empty()));

    let answer = story.ask("Please serve your page.").await;
    assert!(answer.contains("made by 996"), "the shell runs as its user: {answer}");
    assert!(page().contains("made by 996"));

    // A container that is made anew has another address perhaps, and the listener stays.
    let first = story.container().await;
    docker(&["rm", "--force", &first]).await.expect("removed");
    let gone = Instant::now();
    assert!(fetch().map_or(true, |page| page.is_empty()), "nobody is there");
    assert!(gone.elapsed() < Duration::from_secs(2), "which is said at once and not after a time-out");
    let mut second = String::new();
    // OpenClaw may still be at an errand in the container that is gone; then it is asked once more.
    for _ in 0..3 {
        let _ = story.ask("Please serve it again.").await;
        if let Ok(page) = tokio::task::spawn_blocking(page).await {
            second = page;
            break;
        }
    }
    assert!(second.contains("made by 996"), "{second}");
    assert_ne!(story.container().await, first);

    let port = host_service();
    docker(&["network", "create", "plane-story-open"]).await.expect("made");
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let open =
        docker(&["network", "inspect", "--format", format, "plane-story-open"]).await.expect("its gateway");
    let closed =
        docker(&["network", "inspect", "--format", format, "plane-story"]).await.expect("its gateway");
    let seen = (
        reaches("plane-story-open", &open, port).await,
        reaches("plane-story", &closed, port).await,
        reaches("plane-story", &open, port).await,
    );
    docker(&["network", "rm", "plane-story-open"]).await.expect("removed");
    assert_eq!(seen, (true, false, false), "a network of Docker's own reaches the host, and ours does not");

    let status = story.stage.run(&["plan", "--exit-code"]).await.expect(0);
    assert!(status.stdout.contains("Nothing to do") || status.stdout.is_empty(), "{}", status.stdout);

    let _ = story.stage.run(&["rollback", "--yes"]).await.expect(0);
    assert!(!tables().contains("fraktalia_plane_story"));
    let left =
        docker(&["ps", "--all", "--quiet", "--filter", &format!("name=fraktalia-helper-{REALM}")]).await;
    assert_eq!(left.expect("a list"), "");
    assert_eq!(
        docker(&["network", "ls", "--quiet", "--filter", "name=plane-story"]).await.expect("a list"),
        ""
    );
    let mut after = story.stage.world().await;
    let kept = after["files"].take();
    assert_eq!(kept["gardener/page.txt"], "made by 996\n", "what the agent wrote is the agent's");
    assert_eq!(kept.get("gardener/SOUL.md"), None, "what we wrote is not there any more");
    before["files"].take();
    assert_eq!(after, before);
    assert!(TcpStream::connect(("127.0.0.1", PORT)).is_err(), "the port is free again");
    drop(story.stage);
    story.docker.stop().await.expect("ends");
}
