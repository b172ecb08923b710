//! A table of packets: who sends what to whom, and whether it may arrive.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::ns::Ns;
use super::packet::{self, Load};
use super::world::{Place, World, ip};

/// How long a packet that has to arrive is waited for. It takes microseconds; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

static NEXT_TAG: AtomicU16 = AtomicU16::new(1);

/// One packet and what is expected of it.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What it tries, for a person.
    pub what: String,
    /// Who sends it.
    pub from: Place,
    /// What it says who sent it.
    pub source: IpAddr,
    /// To which address.
    pub to: IpAddr,
    /// At which machine it arrives if nobody minds.
    pub at: Place,
    /// What it is.
    pub load: Load,
    /// Whether it may.
    pub may: bool,
}

impl Probe {
    /// A packet with its sender's own address.
    pub fn new(what: &str, from: Place, at: Place, to: &str, load: Load, may: bool) -> Self {
        let v6 = to.contains(':');
        let link_local = to.starts_with("fe80") || to.starts_with("ff02");
        let source = match (from, v6, link_local) {
            (Place::Alpha, false, _) => "172.30.77.2",
            (Place::Beta, false, _) => "172.30.78.2",
            (Place::Other, false, _) => "172.17.0.2",
            (Place::Outside, false, _) => "192.168.50.2",
            (Place::Host, false, _) => "192.168.50.1",
            (Place::Alpha, true, false) => "fd00:77::2",
            (Place::Alpha, true, true) => "fe80::77:2",
            (Place::Beta, true, _) => "fd00:78::2",
            (Place::Other, true, _) => "fd00:17::2",
            (Place::Outside, true, _) => "fd00:50::2",
            (Place::Host, true, _) => "fd00:50::1",
        };
        Self { what: what.into(), from, source: ip(source), to: ip(to), at, load, may }
    }

    /// The same packet with a forged source.
    pub fn forged(self, source: &str) -> Self {
        Self { source: ip(source), what: format!("{}, as {source}", self.what), ..self }
    }
}

/// Sends all of them and tells which arrived. A last packet, which nothing stops, is the fence: when it is through, all
/// that were sent before it are through or gone.
pub fn run(world: &World, probes: &[Probe], must: impl Fn(&Probe) -> bool) -> Vec<bool> {
    let tags: Vec<u16> = probes.iter().map(|probe| fire(world.at(probe.from), probe)).collect();
    let fence = Probe::new("fence", Place::Outside, Place::Host, "192.168.50.1", Load::Udp(9), true);
    let fence_tag = fire(world.at(fence.from), &fence);
    wait_for(|| arrivals(&world.host).0.contains(&fence_tag));
    let looked: Vec<(Place, Arrivals)> =
        [Place::Host, Place::Outside, Place::Alpha, Place::Beta, Place::Other]
            .map(|place| (place, arrivals(world.at(place))))
            .into();
    let has = |(probe, tag): (&Probe, &u16)| {
        let is_in =
            |(v4, v6): &Arrivals| if probe.to.is_ipv4() { v4.contains(tag) } else { v6.contains(tag) };
        let at_once = looked.iter().any(|(place, seen)| *place == probe.at && is_in(seen));
        at_once || (must(probe) && wait_for(|| is_in(&arrivals(world.at(probe.at)))))
    };
    probes.iter().zip(&tags).map(has).collect()
}

/// Runs them without any rules of ours and with `rules` in force. Each has to arrive without: a packet that nothing
/// stops proves nothing when it is stopped.
pub fn judge(world: &World, probes: &[Probe], put_in_force: impl FnOnce()) {
    let free = run(world, probes, |_| true);
    let lame: Vec<&Probe> =
        probes.iter().zip(&free).filter(|(_, arrived)| !**arrived).map(|(probe, _)| probe).collect();
    assert!(lame.is_empty(), "these never arrive, with or without rules: {lame:#?}");
    put_in_force();
    expect(world, probes);
}

/// Fails, with all of them as a table, unless exactly those arrive that may.
pub fn expect(world: &World, probes: &[Probe]) {
    let seen = run(world, probes, |probe| probe.may);
    let wrong = probes.iter().zip(&seen).filter(|(probe, seen)| probe.may != **seen).count();
    println!("{} packets, {wrong} not as expected", probes.len());
    assert_eq!(wrong, 0, "\n{}", matrix(probes, &seen));
}

/// A tag that no packet has had yet.
pub fn next_tag() -> u16 {
    NEXT_TAG.fetch_add(1, Ordering::Relaxed)
}

fn fire(from: &Ns, probe: &Probe) -> u16 {
    let tag = next_tag();
    from.run(|| {
        stay_on_one_cpu();
        let scope = if probe.to.is_ipv6() { eth0() } else { 0 };
        let sent = packet::send(probe.source, probe.to, scope, probe.load, tag);
        // The rules for what the host sends answer at once.
        let refused = sent.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        assert!(sent.is_ok() || (refused && !probe.may), "{probe:?}: {sent:?}");
    });
    tag
}

/// Each CPU has its own queue of packets between namespaces: on one of them, none overtakes another.
fn stay_on_one_cpu() {
    let may = sched_getaffinity(None).expect("the CPUs");
    let first = (0..CpuSet::MAX_CPU).find(|cpu| may.is_set(*cpu)).expect("a CPU");
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("sets");
}

/// The number of the interface of a container.
fn eth0() -> u32 {
    let text = std::fs::read_to_string("/proc/thread-self/net/if_inet6").expect("the addresses");
    let line = text.lines().find(|line| line.ends_with("eth0") || line.ends_with("lan"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)).expect("an interface with IPv6");
    u32::from_str_radix(number, 16).expect("a number")
}

/// Waits for what has to happen; whether it did.
pub fn wait_for(seen: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if seen() {
            return true;
        }
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::yield_now();
    }
}

/// The tags of the IPv4 and IPv6 packets that have arrived at a machine.
pub type Arrivals = (BTreeSet<u16>, BTreeSet<u16>);

/// What has arrived at this machine.
pub fn arrivals(ns: &Ns) -> Arrivals {
    let read = |set: &str| {
        let text = ns.command("nft", &["-j", "list", "set", "inet", "arrivals", set]);
        let listing: serde_json::Value = serde_json::from_str(&text).expect("a listing");
        let items = listing["nftables"].as_array().expect("items").iter();
        let elements = items.filter_map(|item| item["set"]["elem"].as_array()).flatten();
        elements.filter_map(|element| u16::try_from(element.as_u64()?).ok()).collect()
    };
    (read("seen4"), read("seen6"))
}

fn matrix(probes: &[Probe], seen: &[bool]) -> String {
    let word = |yes: bool| if yes { "arrives" } else { "-" };
    let mut text =
        format!("{:2}{:8} {:44} {:18} {:9} {:8} seen\n", "", "from", "what", "to", "load", "expected");
    for (probe, seen) in probes.iter().zip(seen) {
        let flag = if probe.may == *seen { "" } else { "!" };
        let _ = writeln!(
            text,
            "{flag:2}{:8} {:44} {:18} {:9} {:8} {}",
            format!("{:?}", probe.from),
            probe.what,
            probe.to,
            probe.load,
            word(probe.may),
            word(*seen)
        );
    }
    text
}
