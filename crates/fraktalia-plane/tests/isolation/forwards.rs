//! Ports of the host that the kernel leads into a sandbox.

use std::io::{Read as _, Write as _};

use super::echo::{assert_cut, assert_ended, dial, exchange, listen, serve, talk};
use super::ns;
use super::world::{World, forward, opening, rules};
use fraktalia_plane::config::Protocol;
use fraktalia_plane::isolation::{Nft, Rules};

fn with_forwards() -> Rules {
    let forwards = vec![forward("0.0.0.0:9000", 80), forward("192.168.50.1:9001", 81)];
    Rules { forwards, ..rules() }
}

fn world() -> World {
    let world = World::new();
    world.load(&with_forwards());
    serve(&world.alpha, "0.0.0.0:80");
    serve(&world.alpha, "0.0.0.0:81");
    world
}

#[test]
fn a_forward_in_the_kernel_is_reached_from_the_lan_and_the_host_but_from_no_sandbox() {
    if !ns::wanted() {
        return;
    }
    let world = world();
    let works = |ns, address| exchange(ns, address).unwrap_or_else(|error| panic!("{address}: {error}"));
    works(&world.outside, "192.168.50.1:9000");
    works(&world.outside, "203.0.113.1:9000");
    works(&world.outside, "192.168.50.1:9001");
    works(&world.host, "192.168.50.1:9000");
    works(&world.host, "192.168.50.1:9001");
    works(&world.host, "172.30.77.2:80");
    works(&world.other, "172.17.0.1:9000");
    let closed = |ns, address| assert!(exchange(ns, address).is_err(), "{address}");
    closed(&world.outside, "203.0.113.1:9001");
    closed(&world.outside, "172.30.77.2:80");
    closed(&world.other, "172.30.77.2:80");
    closed(&world.host, "127.0.0.1:9000");
    for sandbox in [&world.alpha, &world.beta] {
        closed(sandbox, "192.168.50.1:9000");
        closed(sandbox, "203.0.113.1:9000");
        closed(sandbox, "172.17.0.1:9000");
    }
}

#[test]
fn a_withdrawn_forward_ends_its_open_connections_and_no_others() {
    if !ns::wanted() {
        return;
    }
    let world = world();
    let from_lan = dial(&world.outside, "192.168.50.1:9000").expect("reached");
    let from_host = dial(&world.host, "192.168.50.1:9000").expect("reached");
    let stays = dial(&world.outside, "192.168.50.1:9001").expect("reached");
    let direct = dial(&world.host, "172.30.77.2:80").expect("reached");
    let all = [&from_lan, &from_host, &stays, &direct];
    assert!(all.iter().all(|stream| talk(stream).is_ok()));
    world.load(&with_forwards());
    assert!(all.iter().all(|stream| talk(stream).is_ok()), "the same rules again end nothing");

    world.load(&Rules { forwards: vec![forward("192.168.50.1:9001", 81)], ..rules() });
    assert_ended(&from_lan, "from the LAN");
    assert_ended(&from_host, "from the host");
    assert!(exchange(&world.outside, "192.168.50.1:9000").is_err());
    talk(&stays).expect("another forward goes on");
    talk(&direct).expect("the host goes on");

    world.load(&rules());
    assert_ended(&stays, "the last one");
}

#[test]
fn a_forward_that_leads_elsewhere_ends_the_connections_to_where_it_led() {
    if !ns::wanted() {
        return;
    }
    let world = world();
    let old = dial(&world.outside, "192.168.50.1:9000").expect("reached");
    talk(&old).expect("works");
    world.load(&Rules { forwards: vec![forward("0.0.0.0:9000", 81)], ..rules() });
    assert_ended(&old, "to the old port");
    exchange(&world.outside, "192.168.50.1:9000").expect("the new one");
}

#[test]
fn what_a_sandbox_still_wants_to_say_on_a_withdrawn_forward_is_not_heard() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    world.load(&with_forwards());
    let listener = listen(&world.alpha, "0.0.0.0:80");
    let mut client = dial(&world.outside, "192.168.50.1:9000").expect("reached");
    let (mut served, peer) = listener.accept().expect("a connection");
    assert_eq!(peer.ip().to_string(), "192.168.50.2", "the sandbox sees who it is");
    served.write_all(b"heard").expect("sends");
    client.read_exact(&mut [0; 5]).expect("heard");
    world.load(&rules());
    served.write_all(b"late").expect("taken by its own kernel");
    let ended = served.read(&mut [0; 4]).expect_err("reset");
    assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset);
    client.set_nonblocking(true).expect("sets");
    let unheard = client.read(&mut [0; 4]).expect_err("nothing");
    assert_eq!(unheard.kind(), std::io::ErrorKind::WouldBlock);
}

/// As `docker run -p 8081:80` does.
fn publish(world: &World, address: &str, to: &str) {
    for chain in ["PREROUTING", "OUTPUT"] {
        let rule = ["-t", "nat", "-A", chain, "-p", "tcp", "-d", address, "--dport", "8081"];
        world.host.command("iptables", &[&rule[..], &["-j", "DNAT", "--to-destination", to]].concat());
    }
}

#[test]
fn a_published_port_of_a_sandbox_is_open_to_others_and_closed_to_sandboxes() {
    if !ns::wanted() {
        return;
    }
    let world = world();
    publish(&world, "192.168.50.1", "172.30.77.2:80");
    let open = dial(&world.outside, "192.168.50.1:8081").expect("from the LAN");
    exchange(&world.other, "192.168.50.1:8081").expect("from a container");
    exchange(&world.host, "192.168.50.1:8081").expect("from the host");
    assert!(exchange(&world.beta, "192.168.50.1:8081").is_err());
    world.load(&rules());
    talk(&open).expect("it is no forward of ours, and goes on");
}

#[test]
fn an_opening_to_a_port_of_the_host_holds_when_the_engine_leads_it_into_a_container() {
    if !ns::wanted() {
        return;
    }
    let world = world();
    serve(&world.other, "0.0.0.0:80");
    publish(&world, "192.168.50.1", "172.17.0.2:80");
    assert!(exchange(&world.alpha, "192.168.50.1:8081").is_err(), "no opening, no way in");
    let mut opened = rules();
    let alpha = opened.networks.get_mut("alpha").expect("there");
    alpha.openings.push(opening("192.168.50.1", 8081, Protocol::Tcp));
    world.load(&opened);
    let open = dial(&world.alpha, "192.168.50.1:8081").expect("opened");
    talk(&open).expect("works");
    assert!(exchange(&world.alpha, "172.17.0.2:80").is_err(), "only as it was opened");
    world.load(&rules());
    assert_cut(&open, "the opening is withdrawn");
}

#[test]
fn no_opening_leads_from_one_sandbox_into_another() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    serve(&world.beta, "0.0.0.0:80");
    serve(&world.host, "0.0.0.0:9000");
    publish(&world, "192.168.50.1", "172.30.78.2:80");
    let mut opened = with_forwards();
    let alpha = opened.networks.get_mut("alpha").expect("there");
    alpha.openings.push(opening("172.30.78.2", 80, Protocol::Tcp));
    alpha.openings.push(opening("192.168.50.1", 8081, Protocol::Tcp));
    alpha.openings.push(opening("192.168.50.1", 9000, Protocol::Tcp));
    world.load(&opened);
    exchange(&world.outside, "192.168.50.1:8081").expect("it is published");
    assert!(exchange(&world.alpha, "172.30.78.2:80").is_err(), "not by its address");
    assert!(exchange(&world.alpha, "192.168.50.1:8081").is_err(), "not by its published port");
    exchange(&world.alpha, "192.168.50.1:9000").expect("the host itself, not what it forwards");
}

/// What others may have told iptables, after what stands before it, and whether a forward gets through.
const OTHERS: [(&str, &[&str], bool); 9] = [
    ("an engine has made its chains", &["-N", "DOCKER-USER"], true),
    ("and asks the one of the administrator first", &["-A", "FORWARD", "-j", "DOCKER-USER"], true),
    (
        "and accepts what a container sends",
        &["-A", "FORWARD", "-i", "fkt-alpha", "!", "-o", "fkt-alpha", "-j", "ACCEPT"],
        true,
    ),
    ("another bridge is none of ours", &["-A", "FORWARD", "!", "-i", "br0", "-o", "br0", "-j", "DROP"], true),
    ("it switched forwarding on", &["-P", "FORWARD", "DROP"], false),
    ("the administrator lets it through", &["-I", "DOCKER-USER", "-o", "fkt-+", "-j", "ACCEPT"], true),
    (
        "a newer engine drops by a rule, behind that",
        &["-A", "FORWARD", "!", "-i", "fkt-alpha", "-o", "fkt-alpha", "-j", "DROP"],
        true,
    ),
    ("without the administrator's word", &["-F", "DOCKER-USER"], false),
    ("and with another one", &["-I", "DOCKER-USER", "-o", "fkt-beta", "-j", "ACCEPT"], false),
];

#[test]
fn it_is_known_beforehand_whether_the_rules_of_others_let_a_forward_through() {
    if !ns::wanted() {
        return;
    }
    let world = world();
    let judge = |what: &str, open: bool| {
        let passage = world.host.block_on(async || Nft::find().expect("nft").passage().await.expect("read"));
        let arrives = exchange(&world.outside, "192.168.50.1:9000").is_ok();
        assert_eq!((passage.is_open("fkt-alpha"), arrives), (open, open), "{what}: {passage:?}");
    };
    judge("nobody else", true);
    for (what, arguments, open) in OTHERS {
        world.host.command("iptables", arguments);
        judge(what, open);
    }
    world.host.command("iptables", &["-F"]);
    judge("the policy alone", false);
    world.host.command("iptables", &["-P", "FORWARD", "ACCEPT"]);
    judge("nobody any more", true);
    world.host.nft("table inet firewall { chain c { type filter hook forward priority 5; policy drop; }; }");
    judge("a firewall of somebody else", false);
    world.host.command("iptables", &["-I", "DOCKER-USER", "-o", "fkt-+", "-j", "ACCEPT"]);
    judge("which does not ask Docker's chains", false);
}
