//! An engine of this machine that listens on a port without asking who comes: root for whoever reaches it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fraktalia_engine::health::{Checklist, Cure};

/// Where engines listen without TLS, by custom.
const PLAIN: u16 = 2375;
/// What the kernel calls a socket that waits for connections.
const LISTENING: &str = "0A";

pub(super) fn examine(list: &Checklist) {
    let (code, title) = ("docker.plain-port", "open port");
    let mut tables = Vec::new();
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        tables.extend(std::fs::read_to_string(path).ok());
    }
    if tables.is_empty() {
        return list.note(list.unknown(code, title, "the kernel does not say who listens on this machine"));
    }
    let open: Vec<IpAddr> = tables.iter().flat_map(|table| listeners(table, PLAIN)).collect();
    let Some(address) = open.iter().find(|address| !address.is_loopback()) else {
        return list.ok(code, title, format!("nobody listens on port {PLAIN} for others"));
    };
    let text = format!(
        "something listens on {address} port {PLAIN}, where Docker asks nobody who they are: is it the engine, whoever \
         reaches it is root here"
    );
    let cure = Cure::edit(
        "take `-H tcp://...` (or `hosts` in /etc/docker/daemon.json) out, or ask for certificates (`--tlsverify`)",
    );
    list.note(
        list.failure(code, title, text).cure(Cure::run(format!("ss -ltnp 'sport = {PLAIN}'"))).cure(cure),
    );
}

/// The addresses on which somebody listens on `port`, by a table of the kernel.
fn listeners(table: &str, port: u16) -> Vec<IpAddr> {
    let listener = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _remote, state) = (words.next()?, words.next()?, words.next()?);
        let (address, local_port) = local.split_once(':')?;
        let here = state == LISTENING && u16::from_str_radix(local_port, 16) == Ok(port);
        here.then(|| address_of(address)).flatten()
    };
    table.lines().skip(1).filter_map(listener).collect()
}

/// The kernel writes words of 32 bits in the order of the machine.
fn address_of(text: &str) -> Option<IpAddr> {
    let mut octets = Vec::new();
    for at in (0..text.len()).step_by(8) {
        octets.extend(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(|octets| Ipv4Addr::from(octets).into()),
        // A listener for both families has an address of the older one in the clothes of the newer.
        16 => <[u8; 16]>::try_from(octets)
            .ok()
            .map(|octets| IpAddr::from(Ipv6Addr::from(octets)).to_canonical()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_is_read_as_the_kernel_writes_it() {
        for address in ["127.0.0.1", "0.0.0.0", "::1"] {
            let Ok(listener) = TcpListener::bind((address, 0)) else { continue };
            let bound = listener.local_addr().unwrap();
            let path = if bound.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
            let table = std::fs::read_to_string(path).unwrap();
            assert_eq!(listeners(&table, bound.port()), [bound.ip()]);
        }
    }
}
