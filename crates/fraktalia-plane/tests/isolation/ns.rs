//! A network namespace, and threads and programs inside of it.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What a test of packets needs; without it the test fails and says what to do.
const PROGRAMS: [&str; 4] = ["ip", "nft", "iptables", "python3"];

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace that goes away with this value.
#[derive(Debug)]
pub struct Ns {
    name: String,
    file: File,
}

impl Ns {
    /// Makes one; its loopback is up.
    pub fn new(label: &str) -> Self {
        let name = format!("fkt{}-{}-{label}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name]);
        let file = File::open(format!("/run/netns/{name}")).expect("the namespace that ip made");
        let ns = Self { name, file };
        ns.ip("link set lo up");
        ns
    }

    /// The one that this process is in; it goes on without us.
    pub fn of_process(pid: &str, label: &str) -> Self {
        let name = format!("fkt{}-{}-{label}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "attach", &name, pid]);
        let file = File::open(format!("/run/netns/{name}")).expect("the namespace that ip named");
        Self { name, file }
    }

    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread in here. Sockets that it makes stay in here wherever they are used.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(self.file.as_fd(), network).expect("root may enter a namespace");
            work()
        };
        let joined = std::thread::scope(|scope| scope.spawn(inside).join());
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs something asynchronous in here; its other threads, and the programs that it starts, are in here as well.
    pub fn block_on<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        self.run(|| {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(2).enable_all().build().expect("a runtime").block_on(work())
        })
    }

    /// Runs a program in here and gives what it printed.
    pub fn command(&self, program: &str, arguments: &[&str]) -> String {
        run("ip", &[&["netns", "exec", &self.name, program][..], arguments].concat())
    }

    /// Runs `ip` in here: words separated by spaces.
    pub fn ip(&self, words: &str) {
        let words: Vec<&str> = words.split_whitespace().collect();
        run("ip", &[&["-n", &self.name][..], &words].concat());
    }

    /// The same; it may be done already.
    pub fn try_ip(&self, words: &str) {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name]).args(words.split_whitespace()).stderr(Stdio::null());
        command.status().expect("ip runs");
    }

    /// Gives `nft` a text in here.
    pub fn nft(&self, text: &str) {
        self.command("nft", &[text]);
    }

    /// Sets a value below `/proc/sys/net`, if this kernel has it.
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/net/{key}");
        self.run(|| match std::fs::write(&path, value) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{path}: {error}"),
            _ => {}
        });
    }
}

impl Drop for Ns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// Runs a program to its end; it has to succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask install` installs it"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// Whether tests of packets are wanted. If so, everything that they need has to be there.
pub fn wanted() -> bool {
    if fraktalia_testkit::real::Cache::for_test().is_none() {
        return false;
    }
    assert!(rustix::process::geteuid().is_root(), "these tests make network namespaces: run them as root");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "not installed: {missing:?}; run `cargo xtask install` as root");
    true
}
