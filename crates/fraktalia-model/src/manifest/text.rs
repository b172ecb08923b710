//! The small languages inside of texts: names, ids, ports, sizes, durations, addresses.

use std::net::{IpAddr, Ipv4Addr};

use sha2::{Digest, Sha256};

use super::{Opening, Owner, Protocol};
use crate::note::Span;

/// Longest name of a Linux network interface.
const INTERFACE: usize = 15;

/// Whether a text can be the id of an agent.
pub(crate) fn is_agent_id(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|c| c == b'_' || c == b'-' || c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// Whether a text can be a key of the manifest, and so a Docker name, a file name and part of a resource id.
pub(crate) fn is_key(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|c| matches!(c, b'_' | b'-' | b'.') || c.is_ascii_alphanumeric())
}

/// Whether a text can be the localpart of a new Matrix user.
pub(crate) fn is_localpart(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && text.bytes().all(|c| {
            matches!(c, b'.' | b'_' | b'=' | b'-' | b'/' | b'+')
                || c.is_ascii_lowercase()
                || c.is_ascii_digit()
        })
}

/// Whether a text can be the localpart of an alias.
pub(crate) fn is_alias(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && !text.contains(|c: char| matches!(c, ':' | '#') || c.is_whitespace() || c.is_control())
}

/// Whether a text is a full Matrix user id. Ids of other servers may have letters that ours would not give.
pub(crate) fn is_user_id(text: &str) -> bool {
    text.len() <= 255
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        && text
            .strip_prefix('@')
            .and_then(|rest| rest.split_once(':'))
            .is_some_and(|(localpart, server)| !localpart.is_empty() && is_server_name(server))
}

/// Whether a text is the id of a room. Since room version 12 it need not name a server.
pub(crate) fn is_room_id(text: &str) -> bool {
    text.len() <= 255
        && text.strip_prefix('!').is_some_and(|rest| !rest.is_empty())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Whether a text is the name of a Matrix server: a host name or address, perhaps with a port.
pub(crate) fn is_server_name(text: &str) -> bool {
    let host = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            if port.is_empty() || port.len() > 5 || !port.bytes().all(|c| c.is_ascii_digit()) {
                return false;
            }
            host
        }
        _ => text,
    };
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty() && host.bytes().all(|c| matches!(c, b'.' | b'-') || c.is_ascii_alphanumeric())
}

/// A text near `text` that is a good key: `garden-bot` for `Garden Bot!`.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().take(64) {
        if c.is_ascii_alphanumeric() || c == '_' {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "gardener".into() } else { slug.into() }
}

/// The bridge interface of a network: `fkt-` and its name, cut and told apart by a hash when that is too long or has
/// more than small letters, digits and `-` in it.
pub(crate) fn bridge(network: &str) -> String {
    let is_plain = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    let plain = format!("fkt-{network}");
    if plain.len() <= INTERFACE && network.chars().all(|c| is_plain(&c)) {
        return plain;
    }
    let digest = crate::files::hex(&Sha256::digest(network.as_bytes())[..2]);
    let start: String = network.to_ascii_lowercase().chars().filter(is_plain).take(6).collect();
    format!("fkt-{start}-{digest}")
}

/// A subnet for a network whose manifest names none: the same for the same name, so that it stays when others come
/// and go. 32 addresses of 10.208.0.0/12, a part of the private range that few homes use.
pub(crate) fn subnet_for(network: &str) -> String {
    let digest = Sha256::digest(network.as_bytes());
    let place = (u32::from(digest[0]) << 8 | u32::from(digest[1])) & 0x7fff;
    let first = u32::from(Ipv4Addr::new(10, 208, 0, 0)) + (place << 5);
    format!("{}/27", Ipv4Addr::from(first))
}

/// An IPv4 subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    /// First and last address as numbers.
    pub range: (u32, u32),
}

/// `172.30.77.0/24`; otherwise what to write instead.
pub(crate) fn subnet(text: &str) -> Result<Subnet, String> {
    let parts = text
        .split_once('/')
        .and_then(|(address, bits)| Some((address.parse::<Ipv4Addr>().ok()?, bits.parse::<u32>().ok()?)));
    let Some((address, bits)) = parts else {
        return Err("write an IPv4 network and its length: `172.30.77.0/24`".into());
    };
    if !(8..=29).contains(&bits) {
        return Err("choose a length from 8 to 29".into());
    }
    let mask = u32::MAX << (32 - bits);
    let first = u32::from(address) & mask;
    if first != u32::from(address) {
        return Err(format!("did you mean `{}/{bits}`?", Ipv4Addr::from(first)));
    }
    Ok(Subnet { range: (first, first | !mask) })
}

/// `192.168.1.40:22/tcp`, `[fd00::1]:53/udp`
pub(crate) fn opening(text: &str, at: Span) -> Option<Opening> {
    let (address, protocol) = text.rsplit_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let address: std::net::SocketAddr = address.parse().ok()?;
    (address.port() != 0).then_some(Opening { at, address: address.ip(), port: address.port(), protocol })
}

/// `996:1100`
pub(crate) fn owner(text: &str) -> Option<Owner> {
    let (uid, gid) = text.split_once(':')?;
    Some(Owner { uid: digits(uid)?, gid: digits(gid)? })
}

/// `9000-9099`
pub(crate) fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let range: (u16, u16) = (digits(first.trim())?, digits(last.trim())?);
    (range.0 >= 1 && range.0 <= range.1).then_some(range)
}

/// `24h`, `1h30m`, in seconds.
pub(crate) fn duration(text: &str) -> Option<u64> {
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..end].parse().ok()?;
        let unit = rest[end..].chars().next()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(seconds)?)?;
        rest = &rest[end + 1..];
    }
    (total > 0).then_some(total)
}

/// `2027-01-31`, the end of that day in UTC, or a time as RFC 3339 writes it; in milliseconds since 1970.
pub(crate) fn end(text: &str) -> Option<u64> {
    let day = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == 10);
    let time = match day {
        Some(day) => day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
        None => text.parse::<jiff::Timestamp>().ok()?,
    };
    u64::try_from(time.as_millisecond()).ok()
}

/// `8g`, `512m`: what Docker takes as a size.
pub(crate) fn is_memory(text: &str) -> bool {
    let number = text.strip_suffix(['b', 'k', 'm', 'g', 't', 'B', 'K', 'M', 'G', 'T']);
    digits::<u64>(number.unwrap_or(text)).is_some_and(|number| number > 0)
}

/// `0664`, `0o664`, `664`
pub(crate) fn mode(text: &str) -> Option<u32> {
    let octal = text.strip_prefix("0o").unwrap_or(text);
    if !(3..=4).contains(&octal.len()) || !octal.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    u32::from_str_radix(octal, 8).ok().filter(|mode| *mode <= 0o777)
}

/// An address without anything around it.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// A number without sign, as `from_str` alone would not insist on.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    let only = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    only.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_ids_are_what_openclaw_takes() {
        for good in ["gardener", "_x", "9-lives", &"a".repeat(64)] {
            assert!(is_agent_id(good), "{good}");
        }
        for bad in ["", "-x", "Gardener", "a b", "gärtner", &"a".repeat(65)] {
            assert!(!is_agent_id(bad), "{bad}");
        }
    }

    #[test]
    fn a_long_network_name_still_gives_a_bridge_of_its_own() {
        assert_eq!(bridge("garden-net"), "fkt-garden-net");
        let (one, two) = (bridge("garden-network-of-ana"), bridge("garden-network-of-ben"));
        assert!(one.len() <= INTERFACE && two.len() <= INTERFACE, "{one} {two}");
        assert_ne!(one, two);
        assert!(bridge("日本語日本語日本語").len() <= INTERFACE);
        let odd = bridge("Garden_net.2");
        assert!(odd.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'), "{odd}");
    }

    #[test]
    fn a_subnet_with_host_bits_names_the_one_that_was_meant() {
        assert_eq!(subnet("10.1.2.0/24").unwrap().range.1, 0x0a01_02ff);
        assert_eq!(subnet("10.1.2.3/24").unwrap_err(), "did you mean `10.1.2.0/24`?");
        for bad in ["10.1.2.0", "10.1.2.0/33", "10.1.2/24", "fd00::/64", "10.0.0.0/0"] {
            assert!(subnet(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_opening_names_address_port_and_protocol() {
        let found = opening("192.168.1.1:53/udp", Span::default()).unwrap();
        assert_eq!((found.port, found.protocol), (53, Protocol::Udp));
        assert!(opening("[fd00::1]:22/tcp", Span::default()).is_some());
        for bad in ["192.168.1.1:53", "192.168.1.1/tcp", "nas:22/tcp", "1.2.3.4:0/tcp", "1.2.3.4:5/sctp"] {
            assert!(opening(bad, Span::default()).is_none(), "{bad}");
        }
    }

    #[test]
    fn durations_add_up() {
        assert_eq!(duration("24h"), Some(86_400));
        assert_eq!(duration("1h30m"), Some(5400));
        for bad in ["", "24", "h", "0s", "1w", "99999999999999999999d", "9999999999999999999d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_date_is_the_end_of_its_day() {
        assert_eq!(end("1970-01-01"), Some(86_400_000));
        assert_eq!(end("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(end("1970-01-01T01:00:01+01:00"), Some(1000));
        for bad in
            ["", "tomorrow", "2027-02-30", "2027-01", "31.01.2027", "2027-01-31T00:00:00", "1969-01-01"]
        {
            assert_eq!(end(bad), None, "{bad}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("0664"), Some(0o664));
        assert_eq!(mode("0o600"), Some(0o600));
        assert_eq!(mode("755"), Some(0o755));
        for bad in ["", "8", "0999", "4755", "rw-r--r--"] {
            assert_eq!(mode(bad), None, "{bad}");
        }
    }

    #[test]
    fn server_names_may_have_a_port() {
        for good in ["chat.home", "localhost:8448", "10.0.0.1", "[::1]:8448"] {
            assert!(is_server_name(good), "{good}");
        }
        for bad in ["", "chat home", "http://chat.home", "chat.home:", "a/b"] {
            assert!(!is_server_name(bad), "{bad}");
        }
    }

    #[test]
    fn sizes_are_dockers() {
        for good in ["8g", "512m", "1048576"] {
            assert!(is_memory(good), "{good}");
        }
        for bad in ["", "g", "8 GB", "8gb", "-1g", "0"] {
            assert!(!is_memory(bad), "{bad}");
        }
    }
}
