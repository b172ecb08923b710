//! A real Docker engine in a namespace of its own, with everything it does to the rules of its host.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fraktalia_plane::isolation::Rules;
use fraktalia_testkit::real::Cache;
use fraktalia_testkit::real::docker::{BUSYBOX, is_installed};

use super::echo::{dial, exchange, talk};
use super::ns::{Ns, run};
use super::policy;
use super::probe::{Probe, expect};
use super::world::{Place, World, forward, rules};
use super::{echo, ns};

/// How long an engine may take to begin, on a machine that does other things.
const PATIENCE: Duration = Duration::from_mins(2);

struct Engine {
    process: Child,
    socket: String,
}

impl Engine {
    /// Starts an engine in this namespace that keeps everything below `folder`.
    fn start(host: &Ns, folder: &Path) -> Self {
        let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log");
        std::fs::write(folder.join("config"), "{}").expect("a file");
        let socket = format!("unix://{}", at("socket"));
        let mut command = Command::new("dockerd");
        command.args(["--host", &socket]);
        command.args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")]);
        command.args(["--storage-driver", "vfs", "--config-file", &at("config")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Not by `ip netns exec`: that hides the control groups.
        let process = host.run(|| command.spawn().expect("dockerd starts"));
        let mut engine = Self { process, socket };
        let start = Instant::now();
        while !engine.try_docker(&["version"]) {
            let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            let gone = engine.process.try_wait().is_ok_and(|ended| ended.is_some());
            assert!(!gone && start.elapsed() < PATIENCE, "dockerd does not answer: {}", log());
            std::thread::yield_now();
        }
        engine
    }

    fn try_docker(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new("docker");
        command.args(["--host", &self.socket]).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn docker(&self, arguments: &[&str]) -> String {
        run("docker", &[&["--host", &self.socket][..], arguments].concat()).trim().to_owned()
    }

    fn create_network(&self) {
        let name = "com.docker.network.bridge.name=fkt-alpha";
        self.docker(&["network", "create", "--subnet", "172.30.77.0/24", "--opt", name, "alpha"]);
    }

    fn run_container(&self) {
        let options = ["run", "--detach", "--name", "box", "--network", "alpha", "--ip", "172.30.77.2"];
        let rest = ["--publish", "192.168.50.1:8081:80", "--restart", "always", BUSYBOX, "sleep", "3600"];
        self.docker(&[&options[..], &rest].concat());
    }

    /// The namespace of the container that runs now.
    fn container(&self) -> Ns {
        let start = Instant::now();
        loop {
            let state = self.docker(&["inspect", "--format", "{{.State.Running}} {{.State.Pid}}", "box"]);
            if let Some(pid) = state.strip_prefix("true ").filter(|pid| *pid != "0") {
                return Ns::of_process(pid, "box");
            }
            assert!(start.elapsed() < PATIENCE, "the container does not run: {state}");
            std::thread::yield_now();
        }
    }

    /// Ends it, as `systemctl stop docker` does, and waits for it.
    fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.try_docker(&["rm", "--force", "--volumes", "box"]);
            self.end();
        }
    }
}

/// What a container tries; by IPv6 it has no address here.
fn probes() -> Vec<Probe> {
    let mut probes = [policy::outward(), policy::to_host(), policy::forged(), policy::inward()].concat();
    probes.retain(|probe| {
        probe.from == Place::Alpha || (probe.at == Place::Alpha && probe.from != Place::Host)
    });
    // It has a loopback of its own, and this engine leaves it that.
    probes.retain(|probe| probe.to.to_string() != "127.0.0.1");
    probes
}

fn judge(world: &mut World, engine: &Engine, when: &str) {
    println!("{when}");
    world.alpha = engine.container();
    World::note_arrivals(&world.alpha);
    expect(world, &probes());
    echo::serve(&world.alpha, "0.0.0.0:80");
    echo::serve(&world.alpha, "0.0.0.0:81");
    exchange(&world.alpha, "203.0.113.5:443").expect("the internet");
    exchange(&world.alpha, "192.168.50.2:22").expect("an opening");
    exchange(&world.outside, "192.168.50.1:8081").expect("the published port");
    let forwarded = dial(&world.outside, "192.168.50.1:9000").expect("the forward, from the LAN");
    talk(&forwarded).expect("works");
    exchange(&world.host, "192.168.50.1:9000").expect("the forward, from the host");
    let wget = ["exec", "box", "wget", "-q", "-T", "2", "-O", "-", "http://169.254.169.254:80/"];
    assert!(!engine.try_docker(&wget), "the metadata service");
}

#[test]
fn a_network_of_a_real_engine_is_closed_also_after_it_was_made_anew_and_the_engine_restarted() {
    if !ns::wanted() {
        return;
    }
    assert!(is_installed(), "there is no dockerd or no docker; run `cargo xtask install` as root");
    let cache = Cache::for_test().expect("tests of real systems are wanted");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let image = runtime.block_on(export_busybox(&cache));
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::new();
    world.host.ip("link del v77");
    world.host.ip("link del fkt-alpha");
    echo::serve(&world.outside, "0.0.0.0:443");
    echo::serve(&world.outside, "0.0.0.0:22");
    echo::serve(&world.outside, "0.0.0.0:80");

    let engine = Engine::start(&world.host, folder.path());
    engine.docker(&["load", "--input", &image.path().join("busybox.tar").to_string_lossy()]);
    world.load(&Rules { forwards: vec![forward("192.168.50.1:9000", 81)], ..rules() });
    engine.create_network();
    engine.run_container();
    judge(&mut world, &engine, "made after its rules");

    engine.stop();
    let engine = Engine::start(&world.host, folder.path());
    judge(&mut world, &engine, "the engine restarted");

    engine.docker(&["rm", "--force", "box"]);
    engine.docker(&["network", "rm", "alpha"]);
    engine.create_network();
    engine.run_container();
    judge(&mut world, &engine, "made anew");
}

/// The image, out of the engine of the tests, which may have no tarball of it left.
async fn export_busybox(cache: &Cache) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let docker = fraktalia_testkit::real::Docker::ensure(cache).await.expect("an engine");
    docker.base_image(cache, BUSYBOX).await.expect("the image");
    run("docker", &["save", "--output", &folder.path().join("busybox.tar").to_string_lossy(), BUSYBOX]);
    docker.stop().await.expect("stops, if it was started here");
    folder
}
