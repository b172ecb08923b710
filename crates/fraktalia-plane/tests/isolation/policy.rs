//! What arrives and what does not, over all sorts of packets and destinations.

use super::ns;
use super::packet::Load::{Ping, Syn, Udp};
use super::probe::{Probe, expect, judge};
use super::world::{OUTSIDE, Place, World, rules};

const INTERNET: [&str; 2] = ["203.0.113.5", "8.8.8.8"];

/// From each sandbox to everything that is not in the internet.
pub fn outward() -> Vec<Probe> {
    let mut probes = Vec::new();
    for from in [Place::Alpha, Place::Beta] {
        for to in OUTSIDE {
            let may = from == Place::Alpha && INTERNET.contains(&to);
            for load in [Syn(443), Udp(123), Ping] {
                probes.push(Probe::new("outside", from, Place::Outside, to, load, may));
            }
        }
        let dns = from == Place::Alpha;
        probes.push(Probe::new("a public resolver", from, Place::Outside, "8.8.8.8", Udp(53), dns));
        probes.push(Probe::new("a resolver of the LAN", from, Place::Outside, "192.168.50.2", Udp(53), dns));
        probes.push(Probe::new("an opening", from, Place::Outside, "192.168.50.2", Syn(22), dns));
        probes.push(Probe::new("its port by UDP", from, Place::Outside, "192.168.50.2", Udp(22), false));
        probes.push(Probe::new("its port elsewhere", from, Place::Outside, "10.1.2.3", Syn(22), false));
        probes.push(Probe::new("its port at the host", from, Place::Host, "192.168.50.1", Syn(22), false));
        for load in [Syn(80), Udp(80), Ping] {
            probes.push(Probe::new("another network", from, Place::Other, "172.17.0.2", load, false));
        }
    }
    for load in [Syn(80), Udp(80), Ping] {
        probes.push(Probe::new("the other sandbox", Place::Alpha, Place::Beta, "172.30.78.2", load, false));
        probes.push(Probe::new("the other sandbox", Place::Beta, Place::Alpha, "172.30.77.2", load, false));
    }
    probes
}

/// From each sandbox to the host, at whichever of its addresses.
pub fn to_host() -> Vec<Probe> {
    let mut probes = Vec::new();
    let addresses = [
        "172.30.77.1",
        "172.30.78.1",
        "172.17.0.1",
        "192.168.50.1",
        "203.0.113.1",
        "100.64.0.1",
        "127.0.0.1",
    ];
    for from in [Place::Alpha, Place::Beta] {
        for to in addresses {
            for load in [Syn(2375), Udp(53), Ping] {
                probes.push(Probe::new("the host", from, Place::Host, to, load, false));
            }
        }
        let may = from == Place::Alpha;
        probes.push(Probe::new("an opening at the host", from, Place::Host, "192.168.50.1", Syn(8008), may));
        probes.push(Probe::new(
            "not by its other address",
            from,
            Place::Host,
            "203.0.113.1",
            Syn(8008),
            false,
        ));
    }
    for to in ["255.255.255.255", "172.30.77.255", "224.0.0.251", "224.0.0.1"] {
        for load in [Udp(5353), Ping] {
            probes.push(Probe::new("everybody", Place::Alpha, Place::Host, to, load, false));
        }
    }
    probes
}

/// From others to the sandboxes.
pub fn inward() -> Vec<Probe> {
    let mut probes = Vec::new();
    for (at, to) in [(Place::Alpha, "172.30.77.2"), (Place::Beta, "172.30.78.2")] {
        for load in [Syn(80), Udp(80), Ping] {
            probes.push(Probe::new("from the LAN", Place::Outside, at, to, load, false));
            probes.push(Probe::new("from a container", Place::Other, at, to, load, false));
            let forged = Probe::new("from the LAN", Place::Outside, at, to, load, false);
            probes.push(forged.clone().forged("8.8.8.8"));
            probes.push(forged.forged("172.30.77.1"));
            probes.push(Probe::new("from the host", Place::Host, at, to, load, true));
        }
    }
    probes
}

/// With the address of somebody else.
pub fn forged() -> Vec<Probe> {
    let mut probes = Vec::new();
    for source in ["172.30.78.2", "192.168.50.2", "172.17.0.2", "8.8.4.4", "172.30.76.255"] {
        for (at, to, port) in [
            (Place::Outside, "203.0.113.5", 443),
            (Place::Outside, "192.168.50.2", 22),
            (Place::Host, "192.168.50.1", 8008),
            (Place::Host, "172.30.77.1", 80),
        ] {
            for load in [Syn(port), Udp(port), Ping] {
                probes.push(Probe::new("forged", Place::Alpha, at, to, load, false).forged(source));
            }
        }
    }
    // Its own network's range is checked, not the one address: containers of one network are one sandbox.
    let neighbour = Probe::new("a neighbour", Place::Alpha, Place::Outside, "203.0.113.5", Udp(443), true);
    probes.push(neighbour.forged("172.30.77.9"));
    probes
}

/// By IPv6 nothing.
pub fn v6() -> Vec<Probe> {
    let mut probes = Vec::new();
    for load in [Syn(80), Udp(53), Ping] {
        for (at, to) in [
            (Place::Host, "fd00:77::1"),
            (Place::Host, "fe80::77:1"),
            (Place::Host, "fd00:50::1"),
            (Place::Host, "ff02::1"),
            (Place::Outside, "fd00:50::2"),
            (Place::Outside, "2001:db8::5"),
            (Place::Beta, "fd00:78::2"),
            (Place::Other, "fd00:17::2"),
        ] {
            probes.push(Probe::new("IPv6", Place::Alpha, at, to, load, false));
        }
        probes.push(Probe::new("IPv6", Place::Outside, Place::Alpha, "fd00:77::2", load, false));
        probes.push(Probe::new("IPv6", Place::Other, Place::Alpha, "fd00:77::2", load, false));
        probes.push(Probe::new("IPv6", Place::Host, Place::Alpha, "fd00:77::2", load, false));
    }
    probes
}

/// What has nothing to do with sandboxes stays as it was.
fn bystanders() -> Vec<Probe> {
    let mut probes = Vec::new();
    for load in [Syn(80), Udp(80), Ping] {
        for (from, at, to) in [
            (Place::Outside, Place::Host, "192.168.50.1"),
            (Place::Host, Place::Outside, "192.168.50.2"),
            (Place::Other, Place::Outside, "203.0.113.5"),
            (Place::Other, Place::Outside, "192.168.50.2"),
            (Place::Other, Place::Host, "172.17.0.1"),
            (Place::Outside, Place::Other, "172.17.0.2"),
            (Place::Other, Place::Outside, "fd00:50::2"),
            (Place::Outside, Place::Host, "fd00:50::1"),
        ] {
            probes.push(Probe::new("bystander", from, at, to, load, true));
        }
    }
    probes
}

#[test]
fn what_is_allowed_arrives_and_everything_else_is_closed() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    let probes = [outward(), to_host(), inward(), forged(), v6(), bystanders()].concat();
    judge(&world, &probes, || world.load(&rules()));
}

#[test]
fn a_bridge_that_no_rule_knows_is_closed_altogether() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    let mut rules = rules();
    rules.networks.remove("alpha");
    let mut probes: Vec<Probe> =
        [outward(), to_host(), inward(), forged(), v6()].concat().into_iter().collect();
    probes.retain(|probe| probe.from == Place::Alpha || probe.at == Place::Alpha);
    for probe in &mut probes {
        probe.may &= probe.from == Place::Host;
    }
    judge(&world, &probes, || world.load(&rules));
}

#[test]
fn rules_are_there_before_their_bridge_and_hold_from_its_first_packet_on() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    let probes = [outward(), to_host(), inward(), forged(), v6()].concat();
    world.load(&rules());
    for _ in 0..2 {
        world.remake_alpha();
        expect(&world, &probes);
    }
}

#[test]
fn what_others_do_to_their_own_rules_opens_nothing() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    world.load(&rules());
    let probes = [outward(), to_host(), inward(), forged()].concat();
    let flush: [&[&str]; 4] =
        [&["-F"], &["-F", "FORWARD"], &["-t", "nat", "-F"], &["-P", "FORWARD", "ACCEPT"]];
    for arguments in flush {
        world.host.command("iptables", arguments);
    }
    world.host.command("iptables", &["-I", "FORWARD", "-j", "ACCEPT"]);
    world.host.command("iptables", &["-I", "INPUT", "-j", "ACCEPT"]);
    world.host.command("iptables", &["-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE", "-o", "lan"]);
    expect(&world, &probes);
}
