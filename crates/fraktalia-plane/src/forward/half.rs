//! One direction of a connection.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::{SpliceFlags, splice};

use super::pool::{CHUNK, PIPE, Pipe, Pool, Rest};
use super::socket::Socket;

/// Who moves this much in full chunks moves more: splicing pays off from here.
const TALK: u32 = 64 << 10;
/// A splice that yields less is a talk again.
const TRICKLE: usize = 4 << 10;
/// So often a direction is served before others get their turn.
const ROUNDS: u32 = 16;

/// Bytes on their way from one socket to the other.
#[derive(Debug, Default)]
pub(super) struct Half {
    pending: Pending,
    stage: Stage,
    /// Bytes that were copied in a row of full chunks.
    copied: u32,
}

#[derive(Debug, Default)]
enum Pending {
    #[default]
    Nothing,
    Copied(Rest),
    Piped(Pipe, usize),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The end of the stream was read; what is pending goes out before it.
    Ended,
    Closed,
}

/// Where a direction stands after it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing can be done until the kernel says something.
    Waits,
    /// There is more to do at once, but others wait too.
    Again,
    /// All bytes are through, and the end of the stream has been reached just now.
    Ends,
    /// It ended earlier.
    Over,
}

impl Half {
    /// Whether the end of the stream went through.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// Whether bytes wait for the receiver.
    pub fn is_pending(&self) -> bool {
        !matches!(self.pending, Pending::Nothing)
    }

    /// Moves what can be moved, and adds it to `moved`. Never more is in flight than one chunk or one pipe.
    ///
    /// # Errors
    /// When one of the two sockets is broken.
    pub fn pump(
        &mut self,
        from: &mut Socket,
        to: &mut Socket,
        pool: &mut Pool,
        moved: &mut u64,
    ) -> Result<Progress, Errno> {
        for _ in 0..ROUNDS {
            if !self.flush(to, pool)? {
                return Ok(Progress::Waits);
            }
            match self.stage {
                Stage::Closed => return Ok(Progress::Over),
                Stage::Ended => {
                    self.stage = Stage::Closed;
                    return Ok(Progress::Ends);
                }
                Stage::Open if !from.readable => return Ok(Progress::Waits),
                Stage::Open if self.copied >= TALK => self.fill_pipe(from, pool, moved)?,
                Stage::Open => self.copy(from, to, pool, moved)?,
            }
        }
        Ok(Progress::Again)
    }

    /// Sends what is pending. Whether all of it is gone.
    fn flush(&mut self, to: &mut Socket, pool: &mut Pool) -> Result<bool, Errno> {
        while to.writable {
            match std::mem::take(&mut self.pending) {
                Pending::Nothing => return Ok(true),
                Pending::Copied(mut rest) => {
                    if rest.sent(write(to, rest.bytes())?) {
                        pool.take_back(rest);
                    } else {
                        self.pending = Pending::Copied(rest);
                    }
                }
                Pending::Piped(pipe, length) => {
                    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                    let sent =
                        would_block(splice(&pipe.reader, None, &*to, None, length, flags), &mut to.writable)?;
                    // A pipe that is lost in an error takes its bytes along, as it should.
                    if sent == length {
                        pool.take_back_pipe(pipe);
                    } else {
                        self.pending = Pending::Piped(pipe, length - sent);
                    }
                }
            }
        }
        Ok(!self.is_pending())
    }

    fn copy(
        &mut self,
        from: &mut Socket,
        to: &mut Socket,
        pool: &mut Pool,
        moved: &mut u64,
    ) -> Result<(), Errno> {
        let read = match recv(&*from, &mut pool.scratch[..], RecvFlags::empty()) {
            Ok((_, 0)) => {
                self.end(from);
                return Ok(());
            }
            Ok((_, read)) => read,
            Err(Errno::AGAIN) => {
                from.readable = false;
                return Ok(());
            }
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        *moved += read as u64;
        if read == CHUNK {
            self.copied = self.copied.saturating_add(u32::try_from(read).unwrap_or(u32::MAX));
        } else {
            self.copied = 0;
            // Less than was asked for: all is read, and more would be a new edge.
            from.readable = from.has_ended();
        }
        let sent = if to.writable { write(to, &pool.scratch[..read])? } else { 0 };
        if sent < read {
            self.pending = Pending::Copied(pool.keep(sent..read));
        }
        Ok(())
    }

    fn fill_pipe(&mut self, from: &mut Socket, pool: &mut Pool, moved: &mut u64) -> Result<(), Errno> {
        let Ok(pipe) = pool.pipe() else {
            // No descriptors left: copying goes on without.
            self.copied = 0;
            return Ok(());
        };
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        // The pipe is empty, so it is the socket that has nothing when this would block.
        match splice(&*from, None, &pipe.writer, None, PIPE, flags) {
            Ok(0) => {
                pool.take_back_pipe(pipe);
                self.end(from);
                Ok(())
            }
            Ok(read) => {
                *moved += read as u64;
                if read < TRICKLE {
                    self.copied = 0;
                }
                self.pending = Pending::Piped(pipe, read);
                Ok(())
            }
            Err(errno) => {
                pool.take_back_pipe(pipe);
                would_block(Err(errno), &mut from.readable).map(|_| ())
            }
        }
    }

    fn end(&mut self, from: &mut Socket) {
        self.stage = Stage::Ended;
        from.readable = false;
    }
}

fn write(to: &mut Socket, bytes: &[u8]) -> Result<usize, Errno> {
    would_block(send(&*to, bytes, SendFlags::NOSIGNAL), &mut to.writable)
}

/// Zero, and no longer ready, where a call would have had to wait.
fn would_block(result: Result<usize, Errno>, ready: &mut bool) -> Result<usize, Errno> {
    match result {
        Err(Errno::AGAIN) => {
            *ready = false;
            Ok(0)
        }
        Err(Errno::INTR) => Ok(0),
        other => other,
    }
}
