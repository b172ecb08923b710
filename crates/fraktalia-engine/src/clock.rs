//! The only source of time and of names for runs.

use jiff::Timestamp;

/// Now, RFC 3339 in UTC, to the second.
pub fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Now, in seconds since 1970.
pub fn unix() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}

/// A name for a run that begins now: sorts by time, and is not drawn twice.
pub fn run_name() -> String {
    let mut salt = [0_u8; 3];
    // Without randomness two runs in one millisecond could clash; the journal is then refused, not shared.
    let _ = getrandom::fill(&mut salt);
    let [a, b, c] = salt;
    format!("{}-{a:02x}{b:02x}{c:02x}", Timestamp::now().strftime("%Y%m%d-%H%M%S%3f"))
}
