//! Connections that sandboxes open, and what becomes of them when their permission goes.

use std::net::UdpSocket;
use std::time::Duration;

use super::echo::{ask, assert_ended, dial, exchange, serve, serve_udp, talk};
use super::ns::{self, Ns};
use super::world::{World, rules};

fn world() -> World {
    let world = World::new();
    world.load(&rules());
    serve(&world.outside, "0.0.0.0:22");
    serve(&world.outside, "0.0.0.0:443");
    serve(&world.host, "0.0.0.0:8008");
    serve_udp(&world.outside, "192.168.50.2:53");
    serve_udp(&world.outside, "8.8.8.8:53");
    world
}

#[test]
fn what_is_allowed_is_answered() {
    if !ns::wanted() {
        return;
    }
    let world = world();
    for address in ["203.0.113.5:443", "8.8.8.8:443", "192.168.50.2:22", "192.168.50.1:8008"] {
        exchange(&world.alpha, address).unwrap_or_else(|error| panic!("{address}: {error}"));
        assert!(exchange(&world.beta, address).is_err(), "{address}");
    }
    for address in ["8.8.8.8:53", "192.168.50.2:53"] {
        ask(&world.alpha, address).unwrap_or_else(|error| panic!("{address}: {error}"));
        assert!(ask(&world.beta, address).is_err(), "{address}");
    }
}

#[test]
fn what_is_refused_is_refused_at_once() {
    if !ns::wanted() {
        return;
    }
    let world = world();
    for address in ["192.168.50.2:443", "172.30.77.1:8008", "10.1.2.3:22"] {
        let error = exchange(&world.alpha, address).expect_err("closed");
        assert_eq!(error.kind(), std::io::ErrorKind::HostUnreachable, "{address}: {error}");
    }
}

#[test]
fn a_withdrawn_opening_ends_its_open_connections_and_no_others() {
    if !ns::wanted() {
        return;
    }
    let world = world();
    let open = |address| dial(&world.alpha, address).unwrap_or_else(|error| panic!("{address}: {error}"));
    let (lan, host, internet) = (open("192.168.50.2:22"), open("192.168.50.1:8008"), open("203.0.113.5:443"));
    let all = [&lan, &host, &internet];
    assert!(all.iter().all(|stream| talk(stream).is_ok()));
    world.load(&rules());
    assert!(all.iter().all(|stream| talk(stream).is_ok()), "the same rules again end nothing");

    let mut closed = rules();
    closed.networks.get_mut("alpha").expect("there").openings.clear();
    world.load(&closed);
    assert_ended(&lan, "to the LAN");
    assert_ended(&host, "to the host");
    talk(&internet).expect("the internet goes on");

    closed.networks.get_mut("alpha").expect("there").internet = false;
    world.load(&closed);
    assert_ended(&internet, "to the internet");
}

#[test]
fn what_others_still_send_on_a_withdrawn_opening_does_not_arrive() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    world.load(&rules());
    let bind = |ns: &Ns, address: &str| {
        let socket = ns.run(|| UdpSocket::bind(address).expect("free"));
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("sets");
        socket
    };
    let sandbox = bind(&world.alpha, "172.30.77.2:5000");
    let (lan, internet) = (bind(&world.outside, "192.168.50.2:53"), bind(&world.outside, "8.8.8.8:53"));
    let mut buffer = [0; 8];
    for server in [&lan, &internet] {
        sandbox.send_to(b"ping", server.local_addr().expect("bound")).expect("sends");
        let (_, from) = server.recv_from(&mut buffer).expect("arrives");
        server.send_to(b"pong", from).expect("sends");
        sandbox.recv(&mut buffer).expect("answered");
    }
    let mut closed = rules();
    closed.networks.get_mut("alpha").expect("there").openings.clear();
    world.load(&closed);
    lan.send_to(b"late", "172.30.77.2:5000").expect("sends");
    internet.send_to(b"fence", "172.30.77.2:5000").expect("sends");
    let length = sandbox.recv(&mut buffer).expect("the fence");
    assert_eq!(&buffer[..length], b"fence");
}
