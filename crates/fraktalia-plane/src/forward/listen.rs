//! Listening sockets.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::error::{ForwardError, ListenFailure};
use crate::config::Listen;

/// Connections that may wait to be accepted. The kernel caps it at `net.core.somaxconn`, 4096 by default; the 128 of
/// the standard library turn a burst of a thousand connections into seconds of retransmissions.
const BACKLOG: i32 = 4096;
/// A client that left without a word (a closed laptop) is noticed after some fifteen minutes.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_mins(1);
const KEEPALIVE_PROBES: u32 = 5;

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Bound {
    pub socket: OwnedFd,
    /// The address that it has got.
    pub address: SocketAddr,
}

/// Listens on `listen`. `leaving` are sockets of ours that will be closed when all goes well, `staying` those that
/// will not.
pub(super) fn bind(
    listen: Listen,
    leaving: &[(Listen, &OwnedFd)],
    staying: &[Listen],
) -> Result<Bound, ForwardError> {
    let failed = |errno: Errno| {
        let overlap = staying.iter().find(|other| overlap(**other, listen));
        let cause = match (ListenFailure::from(errno), overlap) {
            (ListenFailure::InUse, Some(other)) => ListenFailure::Overlap(*other),
            (cause, _) => cause,
        };
        ForwardError { listen, cause }
    };
    match try_bind(listen, Sharing::No) {
        Err(Errno::ADDRINUSE) => {
            let covering = leaving.iter().find(|(other, _)| overlap(*other, listen));
            let (_, socket) = covering.ok_or_else(|| failed(Errno::ADDRINUSE))?;
            bind_beside(listen, socket).map_err(failed)
        }
        other => other.map_err(failed),
    }
}

/// Listens where a socket of ours, which covers the same port, still does. Both have to agree to that, and do for this
/// moment only. The kernel remembers it for as long as the port is in use: a program of this same user that asks for
/// sharing would be let in, too. That is the price for having no gap, and only after such a change.
fn bind_beside(listen: Listen, leaving: &OwnedFd) -> Result<Bound, Errno> {
    sockopt::set_socket_reuseport(leaving, true)?;
    let bound = try_bind(listen, Sharing::WithOurOwn);
    sockopt::set_socket_reuseport(leaving, false)?;
    let bound = bound?;
    sockopt::set_socket_reuseport(&bound.socket, false)?;
    Ok(bound)
}

/// Whether the one address covers the other, on the same port.
fn overlap(one: Listen, other: Listen) -> bool {
    one != other
        && one.port == other.port
        && one.address.is_ipv4() == other.address.is_ipv4()
        && (one.address.is_unspecified() || other.address.is_unspecified())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    No,
    WithOurOwn,
}

fn try_bind(listen: Listen, sharing: Sharing) -> Result<Bound, Errno> {
    let family = if listen.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if sharing == Sharing::WithOurOwn {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    if listen.address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two listeners.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Accepted sockets inherit all of these, which saves their calls for each connection.
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&socket, KEEPALIVE_PROBES)?;
    rustix::net::bind(&socket, &SocketAddr::new(listen.address, listen.port))?;
    rustix::net::listen(&socket, BACKLOG)?;
    let address = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok(Bound { socket, address })
}
