//! Frames made by hand: other hardware addresses, other types, tags of virtual LANs.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::ns;
use super::packet::{Load, v4};
use super::probe::{arrivals, next_tag, wait_for};
use super::world::{Place, World, rules};

/// The bridge, which is the router of its containers.
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
const EVERYBODY: [u8; 6] = [0xff; 6];
const SOMEBODY: [u8; 6] = [2, 0x66, 0x66, 0x66, 0x66, 0x66];

const SEND: &str = "import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
for frame in sys.argv[1:]:
    s.send(bytes.fromhex(frame))";

/// A frame with a datagram in it; gives its tag as well.
fn frame(to_hardware: [u8; 6], kind: &[u8], source: [u8; 4], to: [u8; 4]) -> (u16, String) {
    let tag = next_tag();
    let packet = v4(Ipv4Addr::from(source), Ipv4Addr::from(to), Load::Udp(123), tag);
    let bytes = [&to_hardware[..], &SOMEBODY, kind, &packet].concat();
    (tag, bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat())
}

#[test]
fn frames_made_by_hand_get_no_further_than_others() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    let (own, neighbour) = ([172, 30, 77, 2], [172, 30, 78, 2]);
    let (lan, internet, host) = ([192, 168, 50, 2], [203, 0, 113, 5], [192, 168, 50, 1]);
    let plain: &[u8] = &[0x08, 0x00];
    let vlan: &[u8] = &[0x81, 0x00, 0x00, 0x05, 0x08, 0x00];
    let priority: &[u8] = &[0x81, 0x00, 0x00, 0x00, 0x08, 0x00];
    let service: &[u8] = &[0x88, 0xa8, 0x00, 0x05, 0x81, 0x00, 0x00, 0x05, 0x08, 0x00];
    let local: &[u8] = &[0x88, 0xb5];
    let mut closed = Vec::new();
    let send = |frames: &[(u16, String)]| {
        let texts = frames.iter().map(|(_, text)| text.as_str());
        world.alpha.command("python3", &["-c", SEND].into_iter().chain(texts).collect::<Vec<_>>());
    };
    let everywhere = [Place::Outside, Place::Host, Place::Beta, Place::Other];
    let seen = || -> BTreeSet<u16> {
        everywhere.into_iter().flat_map(|place| arrivals(world.at(place)).0).collect()
    };
    // Without rules a frame of this kind goes where it wants: it is made as it should be.
    let free = frame(ROUTER, plain, own, lan);
    send(std::slice::from_ref(&free));
    assert!(wait_for(|| seen().contains(&free.0)));
    world.load(&rules());
    for kind in [plain, priority, vlan, service, local] {
        for to_hardware in [ROUTER, EVERYBODY, SOMEBODY] {
            for to in [lan, host, [169, 254, 169, 254], [172, 17, 0, 2], [255; 4]] {
                closed.push(frame(to_hardware, kind, own, to));
            }
            closed.push(frame(to_hardware, kind, neighbour, internet));
        }
    }
    let fence = frame(ROUTER, plain, own, internet);
    send(&[&closed[..], std::slice::from_ref(&fence)].concat());
    assert!(wait_for(|| seen().contains(&fence.0)), "another hardware address is no reason to refuse");
    let seen = seen();
    let leaked: Vec<_> = closed.iter().filter(|(tag, _)| seen.contains(tag)).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}
