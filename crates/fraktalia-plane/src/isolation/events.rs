//! A bell that rings when somebody changes the kernel's rules.

use std::io;
use std::os::unix::net::UnixDatagram as Wrapped;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// The group of `nf_tables`: `NFNLGRP_NFTABLES` is 7, and groups are bits counted from 1.
const NF_TABLES: u32 = 1 << 6;
/// What is read at once before somebody looks. An engine that restarts makes some hundred messages.
const MOST_AT_ONCE: usize = 256;

/// Listens to the changes of `nf_tables` in the network namespace of the thread that opened it. What the messages say
/// is not read: that something happened is enough, and whoever hears it looks for himself.
#[derive(Debug)]
pub struct Events {
    /// A netlink socket. It wears the type of another datagram socket since that is the safe way to have the runtime
    /// wait for it; of that type nothing but the waiting is used.
    socket: UnixDatagram,
}

impl Events {
    /// Begins to listen: what happens from now on is heard.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::NETFILTER);
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, NF_TABLES))?;
        Ok(Self { socket: UnixDatagram::from_std(Wrapped::from(socket))? })
    }

    /// Waits for the next change, and takes those along that came with it. Safe to cancel.
    pub async fn next(&self) -> io::Result<()> {
        // A message is longer than this; the rest of it is thrown away, as is all of it.
        let mut buffer = [0; 64];
        self.socket.readable().await?;
        for _ in 0..MOST_AT_ONCE {
            let heard = self.socket.try_io(Interest::READABLE, || {
                Ok(rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty())?)
            });
            match heard {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // So many came that the kernel dropped some: also a reason to look.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
