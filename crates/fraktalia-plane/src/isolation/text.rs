//! The rules as nft reads them. All that is written here was checked before: names of bridges consist of `a-z0-9-`,
//! names of tables of letters, digits and `_`, and everything else is a number or an address.

use std::fmt::{Display, Write as _};
use std::net::IpAddr;

use super::rules::{Dnat, Rules, Table, hex};
use crate::config::{NetworkRules, Protocol};

/// The name of the table, and the beginning of its name in a realm.
pub const TABLE: &str = "fraktalia";
/// The map that tells which text the table was made from: a hash, in four words.
pub const MADE_FROM: &str = "made_from";
/// The map that tells what the kernel listed when the table was made: a digest, in four words. It is filled last.
pub const SEAL: &str = "seal";
/// The set that tells other realms which bridges are taken care of here.
pub const BRIDGES: &str = "bridges";

/// Never reached from a sandbox without an opening: the special-purpose registry of IPv4 (RFC 6890) with RFC 1918,
/// the range of carriers that tailnets use, link-local with the metadata services, benchmarking, multicast and what is
/// reserved; and the address in the public range at which Azure tells machines their secrets. The three ranges for
/// documentation are routed nowhere and serve as the internet in tests.
const CLOSED: [&str; 13] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// A connection that our own DNAT made carries a mark with these upper bits, and a hash of where it was addressed to
/// below. It tells such connections from those to a published port, also when their forward is gone.
const MARK: u32 = 0x6600_0000;
const MARK_BITS: u32 = 0xff00_0000;

/// The chains that are the same for all networks.
///
/// A packet that begins or continues a connection in its original direction is judged anew each time, and so is each
/// answer, by the same permission: what is withdrawn ends at its next packet, in both directions.
///
/// Each packet is judged twice, for the case that the table is replaced together with its hooks (see [`replace`]). The
/// kernel goes through the new hooks of a priority before the old ones: a packet on its way between the two when the
/// tables change would find the first not yet and the second no longer in force. With a second pair behind the first
/// it meets one of the four that is.
const POLICY: &str = r#"
	# what a sandbox sends to others
	chain forward {
		type filter hook forward priority filter - 10; policy accept;
		iifname @bridges goto from_sandbox
		iifname "fkt-*" iifname != @elsewhere goto from_sandbox
		oifname @bridges goto to_sandbox
		oifname "fkt-*" oifname != @elsewhere goto to_sandbox
	}
	chain forward_again {
		type filter hook forward priority filter - 9; policy accept;
		iifname @bridges goto from_sandbox
		iifname "fkt-*" iifname != @elsewhere goto from_sandbox
		oifname @bridges goto to_sandbox
		oifname "fkt-*" oifname != @elsewhere goto to_sandbox
	}
	# what a sandbox sends to the host itself, at whichever of its addresses
	chain input {
		type filter hook input priority filter - 10; policy accept;
		iifname @bridges goto from_sandbox_to_host
		iifname "fkt-*" iifname != @elsewhere goto from_sandbox_to_host
	}
	chain input_again {
		type filter hook input priority filter - 9; policy accept;
		iifname @bridges goto from_sandbox_to_host
		iifname "fkt-*" iifname != @elsewhere goto from_sandbox_to_host
	}
	# what the host itself sends to a sandbox. A packet that was given a new destination on its way out is still
	# shown with the old interface here, so these are known by their destination.
	chain output {
		type filter hook output priority filter - 10; policy accept;
		ip daddr @subnets ct direction original ct status dnat ct mark & 0xff000000 == 0x66000000 goto forward_in_force
		oifname @bridges goto from_host_to_sandbox
		oifname "fkt-*" oifname != @elsewhere goto from_host_to_sandbox
	}

	chain from_sandbox {
		meta nfproto ipv6 counter drop
		iifname . ip saddr != @sources counter drop
		oifname "fkt-*" counter drop
		ct direction reply goto answer_of_sandbox
		ct state invalid counter drop
		iifname vmap @openings
		ip daddr @closed goto refused
		fib daddr type != unicast counter drop
		iifname @internet accept
		goto refused
	}
	chain to_sandbox {
		meta nfproto ipv6 counter drop
		ct direction reply goto answer_to_sandbox
		ct state invalid counter drop
		ct status dnat ct mark & 0xff000000 == 0x66000000 goto forward_in_force
		ct status dnat accept
		counter drop
	}
	chain from_sandbox_to_host {
		meta nfproto ipv6 counter drop
		iifname . ip saddr != @sources counter drop
		ct direction reply goto answer_to_host
		ct state invalid counter drop
		iifname vmap @openings
		fib daddr type { broadcast, multicast, anycast } counter drop
		goto refused
	}
	chain from_host_to_sandbox {
		meta nfproto ipv6 counter drop
		fib daddr type { broadcast, multicast } counter drop
		meta l4proto icmp accept
		tcp flags & rst == rst accept
		ct direction original accept
		oifname vmap @openings
		goto ended
	}

	chain answer_of_sandbox {
		ct state related meta l4proto icmp accept
		ct state != established counter drop
		ct status & dnat != dnat counter drop
		ct mark & 0xff000000 == 0x66000000 goto answer_in_force
		accept
	}
	chain answer_to_sandbox {
		ct state related meta l4proto icmp accept
		ct state != established counter drop
		oifname vmap @openings
		ip saddr @closed goto ended
		oifname @internet accept
		goto ended
	}
	chain answer_to_host {
		ct state related meta l4proto icmp accept
		ct state != established counter drop
		ct status dnat ct mark & 0xff000000 == 0x66000000 goto answer_in_force
		accept
	}

	chain forward_in_force {
		ct mark . ip daddr . tcp dport @forwards accept
		goto ended
	}
	chain answer_in_force {
		ct mark . ip saddr . tcp sport @forwards accept
		goto ended
	}
	chain refused {
		meta l4proto tcp ct state established counter reject with tcp reset
		counter reject with icmp type admin-prohibited
	}
	chain ended {
		meta l4proto tcp ct state established counter reject with tcp reset
		counter drop
	}
"#;

/// How a forwarded port is led into its container.
const FORWARDING: &str = r#"
	chain prerouting {
		type nat hook prerouting priority -110; policy accept;
		iifname "fkt-*" return
		fib daddr type local ip daddr != 127.0.0.0/8 jump lead
	}
	chain output_nat {
		type nat hook output priority -110; policy accept;
		fib daddr type local ip daddr != 127.0.0.0/8 jump lead
	}
	chain lead {
		ct mark set ip daddr . tcp dport map @mark_at dnat ip to ip daddr . tcp dport map @lead_at
		ct mark set tcp dport map @mark_any dnat ip to tcp dport map @lead_any
	}
"#;

/// What is emptied before it is filled anew. The ranges in `closed` are the same in every table.
const VARIABLE: [&str; 13] = [
    "set bridges",
    "set elsewhere",
    "set internet",
    "set sources",
    "set subnets",
    "set forwards",
    "map lead_at",
    "map mark_at",
    "map lead_any",
    "map mark_any",
    "map openings",
    "map made_from",
    "map seal",
];

/// Takes away a table if there is one, and makes it: right whatever was there before. Its hooks are new, and a packet
/// in flight that has passed the place of the new ones when they come and that of the old ones after they went is
/// judged by none: one in some hundred thousand, under load. So this is for a table that is missing or was changed.
pub fn replace(table: &Table, hash: &str, body: &str) -> String {
    let name = table.name();
    format!(
        "table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n{body}{}}}\n",
        made_from(hash)
    )
}

/// Gives a table that is as we left it other rules and elements. Its hooks stay; for each packet the kernel chooses
/// once which generation of rules judges it, and elements that are missed in between close rather than open.
pub fn renew(table: &Table, hash: &str, body: &str) -> String {
    let name = table.name();
    let mut text = format!("flush table inet {name}\n");
    for variable in VARIABLE {
        let (word, of) = variable.split_once(' ').unwrap_or_default();
        let _ = writeln!(text, "flush {word} inet {name} {of}");
    }
    let _ = write!(text, "table inet {name} {{\n{body}{}}}\n", made_from(hash));
    text
}

/// Tells what the kernel listed.
pub fn seal(table: &Table, digest: &str) -> String {
    format!("add element inet {} {SEAL} {{ {} }}\n", table.name(), words(digest).join(", "))
}

fn made_from(hash: &str) -> String {
    let mut text = String::new();
    map(&mut text, MADE_FROM, WORDS, words(hash));
    map(&mut text, SEAL, WORDS, [""; 0]);
    text
}

const WORDS: &str = "type mark : mark;";

/// 32 hexadecimal digits as elements of a map.
fn words(hash: &str) -> Vec<String> {
    (0_u32..)
        .zip(hash.as_bytes().chunks(8))
        .map(|(n, word)| format!("{n} : 0x{}", String::from_utf8_lossy(word)))
        .collect()
}

/// What stands between the braces, without the mark that tells its hash.
pub fn body(table: &Table, rules: &Rules) -> String {
    let mut text = String::new();
    sets(&mut text, rules);
    forwards(&mut text, table, &rules.forwards);
    openings(&mut text, rules);
    text.push_str(POLICY);
    text.push_str(FORWARDING);
    text
}

fn sets(text: &mut String, rules: &Rules) {
    let networks: Vec<&NetworkRules> = rules.networks.values().collect();
    let bridge = |network: &&NetworkRules| quoted(&network.bridge);
    set(text, BRIDGES, "type ifname;", networks.iter().map(bridge));
    set(text, "elsewhere", "type ifname;", rules.elsewhere.iter().map(|bridge| quoted(bridge)));
    let open = networks.iter().filter(|network| network.internet);
    set(text, "internet", "type ifname;", open.map(bridge));
    let source = |network: &&NetworkRules| format!("{} . {}", quoted(&network.bridge), network.subnet);
    set(text, "sources", "type ifname . ipv4_addr; flags interval;", networks.iter().map(source));
    let subnets = networks.iter().map(|network| network.subnet);
    set(text, "subnets", "type ipv4_addr; flags interval;", subnets);
    set(text, "closed", "type ipv4_addr; flags interval;", CLOSED);
}

fn forwards(text: &mut String, table: &Table, forwards: &[Dnat]) {
    let mut forwards: Vec<(u32, &Dnat)> =
        forwards.iter().map(|forward| (mark(table, forward), forward)).collect();
    forwards.sort_unstable();
    let goal =
        |(mark, forward): &(u32, &Dnat)| format!("{mark:#x} . {} . {}", forward.to.ip(), forward.to.port());
    set(text, "forwards", "type mark . ipv4_addr . inet_service;", forwards.iter().map(goal));
    let any = |forward: &Dnat| forward.listen.address.is_unspecified();
    let (any, at): (Vec<_>, Vec<_>) = forwards.into_iter().partition(|(_, forward)| any(forward));
    let to = |forward: &Dnat| format!("{} . {}", forward.to.ip(), forward.to.port());
    let key = |forward: &Dnat| format!("{} . {}", forward.listen.address, forward.listen.port);
    let lead = |(_, forward): &(u32, &Dnat)| format!("{} : {}", key(forward), to(forward));
    map(text, "lead_at", "type ipv4_addr . inet_service : ipv4_addr . inet_service;", at.iter().map(lead));
    let marks = |(mark, forward): &(u32, &Dnat)| format!("{} : {mark:#x}", key(forward));
    map(text, "mark_at", "type ipv4_addr . inet_service : mark;", at.iter().map(marks));
    let lead = |(_, forward): &(u32, &Dnat)| format!("{} : {}", forward.listen.port, to(forward));
    map(text, "lead_any", "type inet_service : ipv4_addr . inet_service;", any.iter().map(lead));
    let marks = |(mark, forward): &(u32, &Dnat)| format!("{} : {mark:#x}", forward.listen.port);
    map(text, "mark_any", "type inet_service : mark;", any.iter().map(marks));
}

/// It depends on where the forward is reached, and on nothing that changes while it stands: open connections keep
/// their mark when the table is loaded again.
fn mark(table: &Table, forward: &Dnat) -> u32 {
    let address = match forward.listen.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.to_string(),
    };
    let hash = hex(format!("{} {address} {}", table.name(), forward.listen.port).as_bytes());
    let low = u32::from_str_radix(&hash[..6], 16).unwrap_or_default();
    MARK | (low & !MARK_BITS)
}

/// One chain for each bridge with openings. They are compared with where the sandbox addressed its packet to: an
/// opening to a port of the host stays one when the engine leads it into a container, and the same comparison
/// recognises the answers.
fn openings(text: &mut String, rules: &Rules) {
    let mut chains = Vec::new();
    for (index, network) in
        rules.networks.values().enumerate().filter(|(_, network)| !network.openings.is_empty())
    {
        let _ = writeln!(text, "\tchain openings_{index} {{");
        let mut openings = network.openings.clone();
        openings.sort_unstable();
        openings.dedup();
        for opening in openings {
            let protocol = match opening.protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            };
            let _ = writeln!(
                text,
                "\t\tmeta l4proto {protocol} ct original ip daddr {} ct original proto-dst {} accept",
                opening.address, opening.port
            );
        }
        text.push_str("\t}\n");
        chains.push(format!("{} : jump openings_{index}", quoted(&network.bridge)));
    }
    map(text, "openings", "type ifname : verdict;", chains);
}

fn set<T: Display>(text: &mut String, name: &str, kind: &str, elements: impl IntoIterator<Item = T>) {
    block(text, "set", name, kind, elements);
}

fn map<T: Display>(text: &mut String, name: &str, kind: &str, elements: impl IntoIterator<Item = T>) {
    block(text, "map", name, kind, elements);
}

/// nft refuses an empty list of elements.
fn block<T: Display>(
    text: &mut String,
    word: &str,
    name: &str,
    kind: &str,
    elements: impl IntoIterator<Item = T>,
) {
    let elements: Vec<String> = elements.into_iter().map(|element| element.to_string()).collect();
    let list = if elements.is_empty() {
        String::new()
    } else {
        format!(" elements = {{ {} }};", elements.join(", "))
    };
    let _ = writeln!(text, "\t{word} {name} {{ {kind}{list} }}");
}

fn quoted(bridge: &str) -> String {
    format!("\"{bridge}\"")
}
