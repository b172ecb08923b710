//! What a thread lends to connections while bytes are on their way.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// Bytes that are read at once while a connection is still taken for a talk rather than a transfer.
pub(super) const CHUNK: usize = 16 << 10;
/// What one splice moves at the most, and so what a direction of a connection can have in flight.
pub(super) const PIPE: usize = 256 << 10;
/// What is kept for the next one; more is given back to the system.
const KEPT: usize = 64;

/// Buffers and pipes of one thread.
#[derive(Debug)]
pub(super) struct Pool {
    /// Everything is read into this first; only what cannot be sent on at once needs a buffer of its own.
    pub scratch: Box<[u8]>,
    buffers: Vec<Box<[u8]>>,
    pipes: Vec<Pipe>,
}

/// An empty pipe.
#[derive(Debug)]
pub(super) struct Pipe {
    pub reader: OwnedFd,
    pub writer: OwnedFd,
}

/// Bytes that were read and could not be sent yet.
#[derive(Debug)]
pub(super) struct Rest {
    buffer: Box<[u8]>,
    start: u16,
    end: u16,
}

impl Rest {
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[usize::from(self.start)..usize::from(self.end)]
    }

    /// `count` of its bytes are sent. Whether none are left.
    pub fn sent(&mut self, count: usize) -> bool {
        self.start = self.start.saturating_add(u16::try_from(count).unwrap_or(u16::MAX)).min(self.end);
        self.start == self.end
    }
}

impl Pool {
    pub fn new() -> Self {
        Self { scratch: vec![0; CHUNK].into(), buffers: Vec::new(), pipes: Vec::new() }
    }

    /// A copy of that part of the scratch buffer which was not sent.
    pub fn keep(&mut self, unsent: std::ops::Range<usize>) -> Rest {
        let mut buffer = self.buffers.pop().unwrap_or_else(|| vec![0; CHUNK].into());
        let length = unsent.len();
        buffer[..length].copy_from_slice(&self.scratch[unsent]);
        Rest { buffer, start: 0, end: u16::try_from(length).unwrap_or(u16::MAX) }
    }

    pub fn take_back(&mut self, rest: Rest) {
        if self.buffers.len() < KEPT {
            self.buffers.push(rest.buffer);
        }
    }

    /// # Errors
    /// When there are no descriptors left: bytes can still be copied then.
    pub fn pipe(&mut self) -> Result<Pipe, Errno> {
        if let Some(pipe) = self.pipes.pop() {
            return Ok(pipe);
        }
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Users without privileges have a quota for this; a smaller pipe only needs more calls.
        let _ = fcntl_setpipe_size(&writer, PIPE);
        Ok(Pipe { reader, writer })
    }

    /// Only ever an empty one: the next connection would get what is left in it.
    pub fn take_back_pipe(&mut self, pipe: Pipe) {
        if self.pipes.len() < KEPT {
            self.pipes.push(pipe);
        }
    }
}
