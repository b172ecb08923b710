//! The host, its LAN with everything behind it, two sandboxes, and the container of another network.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use fraktalia_plane::config::{NetworkRules, Opening, Protocol};
use fraktalia_plane::isolation::{Dnat, Nft, Rules, Table, ruleset};

use super::ns::Ns;

/// Marks and remembers by its tag what arrived, behind all other filters.
const NOTE_ARRIVALS: &str = "table inet arrivals {
    set seen4 { typeof ip id; flags dynamic; size 65535; }
    set seen6 { typeof ip6 flowlabel; flags dynamic; size 65535; }
    chain input {
        type filter hook input priority 300; policy accept;
        ip dscp 42 add @seen4 { ip id }
        ip6 dscp 42 add @seen6 { ip6 flowlabel }
    }
}";

/// Where the first sandbox may go without an opening, and where nobody may: all of it is on the machine `outside`.
pub const OUTSIDE: [&str; 12] = [
    "192.168.50.2",
    "192.168.99.9",
    "10.1.2.3",
    "172.16.5.5",
    "100.64.0.9",
    "169.254.169.254",
    "198.18.0.9",
    "168.63.129.16",
    "192.0.0.192",
    "240.0.0.9",
    "203.0.113.5",
    "8.8.8.8",
];

/// One of the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The host: a router for all others.
    Host,
    /// The LAN, the tailnet, the metadata service and the internet in one.
    Outside,
    /// The sandbox on `fkt-alpha`, which may use the internet and has openings.
    Alpha,
    /// The sandbox on `fkt-beta`, which may do nothing.
    Beta,
    /// A container on `docker0`.
    Other,
}

/// All machines.
pub struct World {
    /// See [`Place`].
    pub host: Ns,
    /// See [`Place`].
    pub outside: Ns,
    /// See [`Place`].
    pub alpha: Ns,
    /// See [`Place`].
    pub beta: Ns,
    /// See [`Place`].
    pub other: Ns,
    /// The host listens to mDNS, as many do; kept since a group is left with its socket.
    mdns: Vec<UdpSocket>,
}

impl World {
    /// Makes all of it. The host forwards everything, and is as careless as a kernel can be told to be: what does not
    /// arrive does not because of our rules.
    pub fn new() -> Self {
        let mut world = Self {
            host: Ns::new("host"),
            outside: Ns::new("outside"),
            alpha: Ns::new("alpha"),
            beta: Ns::new("beta"),
            other: Ns::new("other"),
            mdns: Vec::new(),
        };
        world.make_host();
        world.make_outside();
        world.add_bridge("fkt-alpha", "172.30.77.1/24", 77);
        world.add_bridge("fkt-beta", "172.30.78.1/24", 78);
        world.add_bridge("docker0", "172.17.0.1/16", 17);
        world.mdns.push(world.host.run(join_mdns));
        world.attach(Place::Alpha, "fkt-alpha", "172.30.77", 77);
        world.attach(Place::Beta, "fkt-beta", "172.30.78", 78);
        world.attach(Place::Other, "docker0", "172.17.0", 17);
        for ns in [&world.host, &world.outside, &world.alpha, &world.beta, &world.other] {
            Self::note_arrivals(ns);
        }
        world
    }

    /// Begins to note what arrives at this machine; to be done again after its rules were flushed.
    pub fn note_arrivals(ns: &Ns) {
        ns.nft(NOTE_ARRIVALS);
    }

    /// The machine at a place.
    pub fn at(&self, place: Place) -> &Ns {
        match place {
            Place::Host => &self.host,
            Place::Outside => &self.outside,
            Place::Alpha => &self.alpha,
            Place::Beta => &self.beta,
            Place::Other => &self.other,
        }
    }

    fn make_host(&self) {
        careless(&self.host);
        self.host.sysctl("ipv4/ip_forward", "1");
        self.host.sysctl("ipv6/conf/all/forwarding", "1");
        let peer = self.outside.name();
        self.host.ip(&format!("link add lan type veth peer name eth0 netns {peer}"));
        self.host.ip("addr add 192.168.50.1/24 dev lan");
        self.host.ip("addr add fd00:50::1/64 dev lan nodad");
        self.host.ip("link set lan up");
        // Own addresses as hosts have them: one in the internet, one in a tailnet.
        self.host.ip("addr add 203.0.113.1/32 dev lo");
        self.host.ip("addr add 100.64.0.1/32 dev lo");
    }

    fn make_outside(&self) {
        let outside = &self.outside;
        careless(outside);
        outside.ip("addr add 192.168.50.2/24 dev eth0");
        outside.ip("addr add fd00:50::2/64 dev eth0 nodad");
        outside.ip("addr add 2001:db8::5/128 dev lo nodad");
        for address in OUTSIDE.iter().skip(1) {
            outside.ip(&format!("addr add {address}/32 dev lo"));
        }
        outside.ip("link set eth0 up");
        outside.ip("route add default via 192.168.50.1");
        outside.ip("-6 route add default via fd00:50::1");
        self.host.ip("route add default via 192.168.50.2");
        self.host.ip("-6 route add default via fd00:50::2");
    }

    /// Makes a bridge on the host, as an engine does.
    pub fn add_bridge(&self, name: &str, address: &str, number: u8) {
        self.host.ip(&format!("link add {name} type bridge"));
        self.host.ip(&format!("addr add {address} dev {name}"));
        self.host.ip(&format!("addr add fd00:{number}::1/64 dev {name} nodad"));
        self.host.ip(&format!("addr add fe80::{number}:1/64 dev {name} nodad"));
        self.host.ip(&format!("link set {name} up"));
        // One fixed address: the neighbours need not find out that the bridge was made anew.
        self.host.ip(&format!("link set {name} address 02:00:00:00:00:{number}"));
    }

    /// Connects a container to a bridge; it gets the address `.2`.
    pub fn attach(&self, place: Place, bridge: &str, network: &str, number: u8) {
        let container = self.at(place);
        careless(container);
        let peer = container.name();
        self.host.ip(&format!("link add v{number} type veth peer name eth0 netns {peer}"));
        self.host.ip(&format!("link set v{number} master {bridge} up"));
        container.ip(&format!("addr add {network}.2/24 broadcast {network}.255 dev eth0"));
        container.ip(&format!("addr add fd00:{number}::2/64 dev eth0 nodad"));
        container.ip(&format!("addr add fe80::{number}:2/64 dev eth0 nodad"));
        container.ip("link set eth0 up");
        container.ip(&format!("route add default via {network}.1"));
        container.ip(&format!("-6 route add default via fd00:{number}::1"));
        // The host's loopback, as a container that has rights in its own namespace would ask for it.
        container.try_ip("route del local 127.0.0.1 dev lo table local");
        container.try_ip("route del local 127.0.0.0/8 dev lo table local");
        container.ip(&format!("route add 127.0.0.1/32 via {network}.1"));
    }

    /// Takes away the first sandbox's bridge and makes it again, as an engine does with its network.
    pub fn remake_alpha(&self) {
        self.host.ip("link del v77");
        self.host.ip("link del fkt-alpha");
        self.add_bridge("fkt-alpha", "172.30.77.1/24", 77);
        self.attach(Place::Alpha, "fkt-alpha", "172.30.77", 77);
    }

    /// Puts rules in force on the host, once.
    pub fn load(&self, rules: &Rules) {
        let text = ruleset(&Table::of(None), rules).expect("good rules");
        self.host.block_on(async || Nft::find().expect("nft").load(&text).await.expect("loads"));
    }
}

fn join_mdns() -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:5353").expect("a socket");
    let group = Ipv4Addr::new(224, 0, 0, 251);
    socket.join_multicast_v4(&group, &Ipv4Addr::new(172, 30, 77, 1)).expect("joins");
    socket
}

/// Whatever a kernel would refuse by itself, it does not.
fn careless(ns: &Ns) {
    for device in ["all", "default", "lo"] {
        ns.sysctl(&format!("ipv4/conf/{device}/rp_filter"), "0");
        ns.sysctl(&format!("ipv4/conf/{device}/route_localnet"), "1");
        ns.sysctl(&format!("ipv4/conf/{device}/accept_local"), "1");
    }
    ns.sysctl("ipv4/conf/all/send_redirects", "0");
    ns.sysctl("ipv4/icmp_echo_ignore_broadcasts", "0");
    ns.sysctl("ipv4/icmp_ratelimit", "0");
}

/// The rules that most tests start from.
pub fn rules() -> Rules {
    let network = |bridge: &str, subnet: &str, internet, openings| NetworkRules {
        bridge: bridge.into(),
        subnet: subnet.parse().expect("a subnet"),
        internet,
        openings,
    };
    let openings = vec![
        opening("192.168.50.2", 22, Protocol::Tcp),
        opening("192.168.50.2", 53, Protocol::Udp),
        opening("192.168.50.1", 8008, Protocol::Tcp),
    ];
    let alpha = network("fkt-alpha", "172.30.77.0/24", true, openings);
    let beta = network("fkt-beta", "172.30.78.0/24", false, Vec::new());
    Rules { networks: [("alpha".into(), alpha), ("beta".into(), beta)].into(), ..Rules::default() }
}

/// One opening.
pub fn opening(address: &str, port: u16, protocol: Protocol) -> Opening {
    Opening { address: address.parse().expect("an address"), port, protocol }
}

/// A forward into the first sandbox.
pub fn forward(listen: &str, port: u16) -> Dnat {
    let to = std::net::SocketAddrV4::new(Ipv4Addr::new(172, 30, 77, 2), port);
    Dnat { listen: listen.parse().expect("an address"), to, bridge: "fkt-alpha".into() }
}

/// An address from its text.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
