//! The clients: what they measure at one address, printed as JSON.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::net::sockopt::set_socket_linger;
use serde::{Deserialize, Serialize};

use super::server::{ECHO, HOW, LATE, LATE_ANSWER, LEFT_BY_RESET, ONCE, RESET, SINK, SOURCE, WATCH};
use crate::bench::process;
use crate::error::{Context as _, TaskError};
use crate::say;

/// Connections one after the other.
const SEQUENTIAL: usize = 3000;
/// Clients that connect side by side, and for how long.
const CLIENTS: usize = 8;
const STORM: Duration = Duration::from_millis(1500);
/// Bytes of a transfer.
const BULK: u64 = 2 << 30;
/// A refusal that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked of the clients.
#[derive(Debug, Args)]
pub struct Ask {
    /// Where they connect to
    at: SocketAddr,
    /// The process in between, whose memory and time are looked at
    #[arg(long)]
    pid: Option<u32>,
    /// How many connections are held open
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// What is measured
    #[arg(long, value_enum)]
    part: Part,
}

/// What is measured at once. The ways take turns after each part, so that they have the same weather.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Connections one after the other
    Sequential,
    /// Connections side by side
    Storm,
    /// Bytes to the server
    Up,
    /// Bytes from the server
    Down,
    /// Memory, ends and resets
    Rest,
    /// How long it takes to be refused
    Refusal,
}

impl Sample {
    /// Takes over what `part` has measured.
    pub fn take(&mut self, part: Part, from: &Self) {
        match part {
            Part::Sequential => self.connection_us = from.connection_us,
            Part::Storm => self.connections_per_second = from.connections_per_second,
            Part::Up => (self.up, self.cpu_up) = (from.up, from.cpu_up),
            Part::Down => (self.down, self.cpu_down) = (from.down, from.cpu_down),
            Part::Rest => {
                self.idle_kb = from.idle_kb;
                self.half_close = from.half_close;
                (self.reset_down, self.reset_up) = (from.reset_down, from.reset_up);
            }
            Part::Refusal => self.refusal_ms = from.refusal_ms,
        }
    }
}

impl Part {
    /// All that a round has.
    pub const ROUND: [Self; 5] = [Self::Sequential, Self::Storm, Self::Up, Self::Down, Self::Rest];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Storm => "storm",
            Self::Up => "up",
            Self::Down => "down",
            Self::Rest => "rest",
            Self::Refusal => "refusal",
        }
    }
}

/// What was measured; what is not of the asked part is left as it was.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Half of the connections, from `connect` to their answer, took less: microseconds.
    pub connection_us: f64,
    /// Connections in a second, several clients side by side.
    pub connections_per_second: f64,
    /// To the server and from it, in megabytes (10^6) in a second.
    pub up: f64,
    /// As above.
    pub down: f64,
    /// Seconds of processor time for 10^9 bytes.
    pub cpu_up: f64,
    /// As above.
    pub cpu_down: f64,
    /// kB of memory for each idle connection.
    pub idle_kb: f64,
    /// Whether an answer comes after the client has ended its side.
    pub half_close: bool,
    /// Whether a reset of the server arrives as one, and one of the client.
    pub reset_down: bool,
    /// As above.
    pub reset_up: bool,
    /// Milliseconds until a connection is refused; only where that was asked for. `None`: it was not refused.
    pub refusal_ms: Option<f64>,
}

/// Measures, and prints it.
pub fn run(ask: &Ask) -> Result<(), TaskError> {
    process::raise_file_limit();
    let mut sample = Sample::default();
    measure(ask, &mut sample).context(|| format!("measure at {}", ask.at))?;
    say::plain(&serde_json::to_string(&sample).unwrap_or_default());
    Ok(())
}

fn measure(ask: &Ask, sample: &mut Sample) -> std::io::Result<()> {
    let at = ask.at;
    match ask.part {
        Part::Sequential => sample.connection_us = sequential(at)?,
        Part::Storm => sample.connections_per_second = storm(at)?,
        Part::Up => (sample.up, sample.cpu_up) = transfer(ask, SINK)?,
        Part::Down => (sample.down, sample.cpu_down) = transfer(ask, SOURCE)?,
        Part::Rest => {
            sample.idle_kb = idle(ask)?;
            sample.half_close = half_close(at).unwrap_or(false);
            sample.reset_down = reset_down(at);
            sample.reset_up = reset_up(at).unwrap_or(false);
        }
        Part::Refusal => sample.refusal_ms = refusal(at),
    }
    Ok(())
}

fn once(at: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(at)?;
    stream.write_all(&[ONCE, 1])?;
    stream.read_exact(&mut [0; 1])?;
    // The server ends first: ports of clients do not run out then.
    match stream.read(&mut [0; 1])? {
        0 => Ok(()),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

fn sequential(at: SocketAddr) -> std::io::Result<f64> {
    let mut took = Vec::with_capacity(SEQUENTIAL);
    for _ in 0..SEQUENTIAL {
        let start = Instant::now();
        let mut stream = TcpStream::connect(at)?;
        stream.write_all(&[ONCE, 1])?;
        stream.read_exact(&mut [0; 1])?;
        took.push(start.elapsed());
        let _ = stream.read(&mut [0; 1]);
    }
    took.sort_unstable();
    Ok(took[SEQUENTIAL / 2].as_secs_f64() * 1e6)
}

fn storm(at: SocketAddr) -> std::io::Result<f64> {
    let over = AtomicBool::new(false);
    let start = Instant::now();
    let counts = std::thread::scope(|scope| {
        let client = || {
            let mut count = 0_u32;
            while !over.load(Relaxed) {
                once(at)?;
                count += 1;
            }
            Ok::<u32, std::io::Error>(count)
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        std::thread::sleep(STORM);
        over.store(true, Relaxed);
        let counts =
            clients.into_iter().map(|client| client.join().unwrap_or_else(|_| Err(ErrorKind::Other.into())));
        counts.collect::<Result<Vec<u32>, _>>()
    })?;
    Ok(f64::from(counts.into_iter().sum::<u32>()) / start.elapsed().as_secs_f64())
}

/// Megabytes in a second, and seconds of processor time for a gigabyte.
fn transfer(ask: &Ask, what: u8) -> std::io::Result<(f64, f64)> {
    let mut stream = TcpStream::connect(ask.at)?;
    stream.write_all(&[what])?;
    let before = ask.pid.map_or(0.0, process::seconds);
    let start = Instant::now();
    stream.write_all(&BULK.to_be_bytes())?;
    let mut bytes = vec![7; 256 << 10];
    let mut left = BULK;
    while left > 0 {
        let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let moved =
            if what == SINK { stream.write(&bytes[..chunk])? } else { stream.read(&mut bytes[..chunk])? };
        if moved == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        left -= moved as u64;
    }
    if what == SINK {
        stream.read_exact(&mut bytes[..1])?;
    }
    let took = start.elapsed().as_secs_f64();
    // The connection is still open, and with it whatever process was made for it.
    let cpu = ask.pid.map_or(0.0, process::seconds) - before;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let bytes = BULK as f64;
    Ok((bytes / 1e6 / took, cpu / (bytes / 1e9)))
}

fn idle(ask: &Ask) -> std::io::Result<f64> {
    let Some(pid) = ask.pid.filter(|_| ask.idle > 0) else { return Ok(0.0) };
    let open = |_| {
        let mut stream = TcpStream::connect(ask.at)?;
        stream.write_all(&[ECHO, 1])?;
        stream.read_exact(&mut [0; 1])?;
        Ok::<TcpStream, std::io::Error>(stream)
    };
    let warm = open(0)?;
    let before = process::kilobytes(pid);
    let held = (0..ask.idle).map(open).collect::<Result<Vec<_>, _>>()?;
    let after = process::kilobytes(pid);
    drop(warm);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok((after - before) / held.len() as f64)
}

fn half_close(at: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(at)?;
    stream.write_all(&[LATE; 1000])?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.len() == LATE_ANSWER)
}

fn reset_down(at: SocketAddr) -> bool {
    let left = TcpStream::connect(at).and_then(|mut stream| {
        stream.write_all(&[RESET])?;
        stream.read(&mut [0; 1])
    });
    left.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

fn reset_up(at: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(at)?;
    stream.write_all(&[WATCH])?;
    stream.read_exact(&mut [0; 1])?;
    set_socket_linger(&stream, Some(Duration::ZERO))?;
    drop(stream);
    let mut stream = TcpStream::connect(at)?;
    stream.write_all(&[HOW])?;
    let mut how = [0; 1];
    stream.read_exact(&mut how)?;
    Ok(how[0] == LEFT_BY_RESET)
}

/// Milliseconds from the call to an error or an end.
fn refusal(at: SocketAddr) -> Option<f64> {
    let start = Instant::now();
    if let Ok(mut stream) = TcpStream::connect_timeout(&at, PATIENCE) {
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let answer = stream.read(&mut [0; 1]);
        if answer.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)) {
            return None;
        }
    }
    Some(start.elapsed().as_secs_f64() * 1e3)
}
