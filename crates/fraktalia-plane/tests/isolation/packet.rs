//! Packets made by hand: any source, any destination, and a tag by which they are known where they arrive.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket, sockopt};

/// The class by which a packet of ours is told from all others.
pub const DSCP: u8 = 42;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// The first packet of a TCP connection.
    Syn(u16),
    /// A datagram.
    Udp(u16),
    /// An echo request.
    Ping,
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syn(port) => f.pad(&format!("tcp/{port}")),
            Self::Udp(port) => f.pad(&format!("udp/{port}")),
            Self::Ping => f.pad("icmp"),
        }
    }
}

/// Sends one packet from the namespace of this thread. The source is what it says, true or not.
pub fn send(source: IpAddr, to: IpAddr, scope: u32, load: Load, tag: u16) -> io::Result<()> {
    match (source, to) {
        (IpAddr::V4(source), IpAddr::V4(to)) => {
            let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))?;
            sockopt::set_socket_broadcast(&raw, true)?;
            let packet = v4(source, to, load, tag);
            sendto(&raw, &packet, SendFlags::empty(), &SocketAddrV4::new(to, 0))?;
        }
        (IpAddr::V6(source), IpAddr::V6(to)) => {
            let raw = socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::RAW))?;
            let packet = v6(source, to, load, tag);
            sendto(&raw, &packet, SendFlags::empty(), &SocketAddrV6::new(to, 0, 0, scope))?;
        }
        mixed => panic!("no packet has addresses of two families: {mixed:?}"),
    }
    Ok(())
}

/// An IPv4 packet whose identification is the tag.
pub fn v4(source: Ipv4Addr, to: Ipv4Addr, load: Load, tag: u16) -> Vec<u8> {
    let pseudo = [source.octets(), to.octets()].concat();
    let (protocol, body) = body(load, tag, &pseudo, 1);
    let length = u16::try_from(20 + body.len()).expect("short");
    let mut packet = vec![0x45, DSCP << 2];
    packet.extend(length.to_be_bytes());
    packet.extend(tag.to_be_bytes());
    packet.extend([0, 0, 64, protocol, 0, 0]);
    packet.extend(&pseudo);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    packet.extend(body);
    packet
}

/// An IPv6 packet whose flow label is the tag.
fn v6(source: Ipv6Addr, to: Ipv6Addr, load: Load, tag: u16) -> Vec<u8> {
    let addresses = [source.octets(), to.octets()].concat();
    let (protocol, body) = body(load, tag, &addresses, 58);
    let class = u32::from(DSCP) << 2;
    let mut packet = ((6 << 28) | (class << 20) | u32::from(tag)).to_be_bytes().to_vec();
    packet.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
    packet.extend([protocol, 64]);
    packet.extend(addresses);
    packet.extend(body);
    packet
}

fn body(load: Load, tag: u16, addresses: &[u8], icmp: u8) -> (u8, Vec<u8>) {
    let from = 20_000 + tag;
    let (protocol, mut body, sum_at) = match load {
        Load::Syn(port) => {
            let mut body = [from.to_be_bytes(), port.to_be_bytes()].concat();
            body.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x10, 0, 0, 0, 0, 0]);
            (TCP, body, 16)
        }
        Load::Udp(port) => {
            let mut body = [from.to_be_bytes(), port.to_be_bytes(), 12_u16.to_be_bytes()].concat();
            body.extend([0, 0, b'l', b'e', b'a', b'k']);
            (UDP, body, 6)
        }
        Load::Ping => {
            let mut body = vec![if icmp == 1 { 8 } else { 128 }, 0, 0, 0];
            body.extend(tag.to_be_bytes());
            body.extend([0, 1]);
            (icmp, body, 2)
        }
    };
    // A router takes no packet into account whose checksum is wrong: with one, a leak could stay unseen.
    let mut summed = Vec::new();
    if protocol != 1 {
        summed.extend(addresses);
        summed.extend([0, protocol]);
        summed.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
    }
    summed.extend(&body);
    let sum = checksum(&summed);
    body[sum_at..sum_at + 2].copy_from_slice(&sum);
    (protocol, body)
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).expect("folded")).to_be_bytes()
}
