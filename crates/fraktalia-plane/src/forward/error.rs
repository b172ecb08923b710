//! Why a listener could not be made.

use rustix::io::Errno;

use crate::config::Listen;

/// A set of forwards that cannot be held. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}: {cause}")]
pub struct ForwardError {
    /// Where.
    pub listen: Listen,
    /// Why not.
    #[source]
    pub cause: ListenFailure,
}

impl ForwardError {
    /// What to do next.
    pub fn hint(&self) -> String {
        let Listen { address, port } = self.listen;
        match self.cause {
            ListenFailure::InUse => {
                format!(
                    "choose another port, or end what listens there: `ss -ltnp 'sport = :{port}'` names it"
                )
            }
            ListenFailure::Overlap(other) => format!(
                "keep one of the two: who asks for {other} would find two forwards there, since one covers the other"
            ),
            ListenFailure::NoRight => {
                "choose a port of 1024 or above, or give the helper the capability NET_BIND_SERVICE".into()
            }
            ListenFailure::NoSuchAddress => {
                format!("`ip address` lists the addresses of this host; {address} is none of them now")
            }
            ListenFailure::NoDescriptors => {
                "raise the limit of open files (`ulimit -n`) of the helper".into()
            }
            ListenFailure::NoIpv6 => "IPv6 is switched off on this host: listen on an IPv4 address".into(),
            ListenFailure::Other(_) => "look at the address and port of this forward".into(),
        }
    }
}

/// Why an address cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenFailure {
    /// Somebody else listens there.
    #[error("in use by another program")]
    InUse,
    /// Another listener of the same set covers it.
    #[error("another forward listens on {0}")]
    Overlap(Listen),
    /// A port below 1024 without the capability for it.
    #[error("no right to a port below 1024")]
    NoRight,
    /// Not an address of this host.
    #[error("this host has no such address")]
    NoSuchAddress,
    /// Too many files are open.
    #[error("too many open files")]
    NoDescriptors,
    /// The kernel has no IPv6.
    #[error("no IPv6 on this host")]
    NoIpv6,
    /// Anything else.
    #[error("{0}")]
    Other(Errno),
}

impl From<Errno> for ListenFailure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ADDRINUSE => Self::InUse,
            Errno::ACCESS | Errno::PERM => Self::NoRight,
            Errno::ADDRNOTAVAIL => Self::NoSuchAddress,
            Errno::MFILE | Errno::NFILE => Self::NoDescriptors,
            Errno::AFNOSUPPORT => Self::NoIpv6,
            other => Self::Other(other),
        }
    }
}
