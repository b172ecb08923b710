//! How much gets through while rules are replaced, under load. The figure of the benchmark is made here as well.

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fraktalia_plane::isolation::{Nft, Table, ruleset};

use super::ns::{self, Ns};
use super::world::{World, rules};

/// How often the sender pauses, so that it sends some thousand packets each second and not all that a CPU can.
const TICK: Duration = Duration::from_millis(2);
const AT_EACH_TICK: usize = 4;

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leaks {
    /// Packets to closed destinations.
    pub sent: u64,
    /// How many of them arrived.
    pub leaked: u64,
    /// Packets to an open destination.
    pub allowed: u64,
    /// How many of those arrived.
    pub arrived: u64,
    /// How often the rules were replaced meanwhile.
    pub replaced: u64,
}

/// Sends to closed destinations and to an open one, for at most `time`, while the rules are replaced `times` times, or as often as there is time
/// for.
pub fn while_replaced(time: Duration, times: u32) -> Leaks {
    let world = World::new();
    world.load(&rules());
    let stop = AtomicBool::new(false);
    let load = Load::open(&world);
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| load.send_until(&stop));
        let receiver = scope.spawn(|| load.count_until(&stop));
        let replaced = replace(&world, times, end);
        stop.store(true, Ordering::Relaxed);
        let (sent, allowed) = sender.join().expect("the sender ends");
        let (leaked, arrived) = receiver.join().expect("the receiver ends");
        let (last_leaked, last_arrived) = load.count();
        Leaks { sent, leaked: leaked + last_leaked, allowed, arrived: arrived + last_arrived, replaced }
    })
}

/// Every second time other rules, so that there is something to replace.
fn replace(world: &World, times: u32, end: Instant) -> u64 {
    let table = Table::of(None);
    let mut other = rules();
    other.networks.remove("beta");
    let texts = [rules(), other].map(|rules| ruleset(&table, &rules).expect("good rules"));
    world.host.block_on(async || {
        let nft = Nft::find().expect("nft");
        let mut replaced = 0;
        while replaced < u64::from(times) && Instant::now() < end {
            nft.load(&texts[usize::from(replaced % 2 == 0)]).await.expect("loads");
            replaced += 1;
        }
        replaced
    })
}

/// A sender in the first sandbox, and those who would receive.
pub struct Load {
    closed: Vec<(UdpSocket, UdpSocket)>,
    open: (UdpSocket, UdpSocket),
}

impl Load {
    /// Opens the sockets.
    pub fn open(world: &World) -> Self {
        let pair = |ns: &Ns, address: &str| {
            let receiver = ns.run(|| UdpSocket::bind(address).expect("free"));
            receiver.set_nonblocking(true).expect("sets");
            let sender = world.alpha.run(|| UdpSocket::bind("172.30.77.2:0").expect("free"));
            sender.connect(address).expect("a route");
            (sender, receiver)
        };
        let closed = vec![
            pair(&world.outside, "192.168.50.2:7000"),
            pair(&world.outside, "169.254.169.254:7000"),
            pair(&world.other, "172.17.0.2:7000"),
            pair(&world.host, "192.168.50.1:7000"),
        ];
        Self { closed, open: pair(&world.outside, "203.0.113.5:7000") }
    }

    /// Sends until it is told to stop; gives how many went to closed destinations and to the open one.
    pub fn send_until(&self, stop: &AtomicBool) -> (u64, u64) {
        let (mut closed, mut open) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..AT_EACH_TICK {
                closed += self.closed.iter().map(|(sender, _)| send(sender)).sum::<u64>();
            }
            open += send(&self.open.0);
            std::thread::sleep(TICK);
        }
        (closed, open)
    }

    /// Counts until it is told to stop: what is not read in time, the kernel throws away.
    fn count_until(&self, stop: &AtomicBool) -> (u64, u64) {
        let (mut leaked, mut arrived) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            let (closed, open) = self.count();
            leaked += closed;
            arrived += open;
            std::thread::sleep(TICK);
        }
        (leaked, arrived)
    }

    /// How many have arrived since the last time, at closed destinations and at the open one.
    pub fn count(&self) -> (u64, u64) {
        (self.closed.iter().map(|(_, receiver)| drain(receiver)).sum(), drain(&self.open.1))
    }
}

/// A refusal is told at the next call, which then sends nothing: the call after it does.
fn send(socket: &UdpSocket) -> u64 {
    (0..3).find(|_| socket.send(b"leak").is_ok()).map_or(0, |_| 1)
}

fn drain(socket: &UdpSocket) -> u64 {
    let mut count = 0;
    loop {
        match socket.recv(&mut [0; 16]) {
            Ok(_) => count += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return count,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn nothing_gets_through_while_rules_are_replaced_under_load() {
    if !ns::wanted() {
        return;
    }
    let leaks = while_replaced(Duration::from_secs(8), 200);
    // One line that a benchmark can read.
    println!(
        r#"{{"bench":"isolation","sent":{},"leaked":{},"allowed":{},"arrived":{},"replaced":{}}}"#,
        leaks.sent, leaks.leaked, leaks.allowed, leaks.arrived, leaks.replaced
    );
    assert!(leaks.replaced > 10 && leaks.sent > 1000, "too little to judge by: {leaks:?}");
    assert!(leaks.arrived > 0, "nothing arrives at all: {leaks:?}");
    assert_eq!(leaks.leaked, 0, "{leaks:?}");
}

#[test]
fn a_table_that_is_as_we_left_it_keeps_its_hooks_when_it_gets_other_rules() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    let handles = || {
        let text = world.host.command("nft", &["-a", "list", "table", "inet", "fraktalia"]);
        let chains = text.lines().filter(|line| line.starts_with("\tchain ") && !line.contains("openings_"));
        chains.map(str::to_owned).collect::<Vec<_>>()
    };
    world.load(&rules());
    let before = handles();
    let mut other = rules();
    other.networks.remove("alpha");
    world.load(&other);
    assert_eq!(handles(), before);
    world.host.nft("add rule inet fraktalia refused accept");
    world.load(&other);
    assert_ne!(handles(), before, "one that was changed is made anew");
}
