//! Sizes and times as people say them.

use jiff::Timestamp;

/// `812 B`, `3.2 MB`
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if whole < 10 { format!("{whole}.{tenth} {}", UNITS[unit]) } else { format!("{whole} {}", UNITS[unit]) }
}

/// `40 min`, `7 h`, `3 days`
pub fn age(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        ..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h", seconds / HOUR),
        DAY.. => super::plan::number(usize::try_from(seconds / DAY).unwrap_or(usize::MAX), "day"),
    }
}

/// `2026-03-21 15:02 UTC`, of milliseconds since 1970.
pub fn moment(milliseconds: u64) -> String {
    let at = i64::try_from(milliseconds).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| "never".into(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// RFC 3339, of milliseconds since 1970. For programs.
pub fn instant(milliseconds: u64) -> Option<String> {
    let at = i64::try_from(milliseconds).ok().and_then(|at| Timestamp::from_millisecond(at).ok())?;
    Some(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_said_with_few_digits() {
        let sizes = [0, 999, 1_000, 3_249_000, 41_000_000, 2_500_000_000, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "3.2 MB", "41 MB", "2.5 GB", "18446744 TB"]);
        assert_eq!([59, 3_600, 90_000, 260_000].map(age), ["0 min", "1 h", "1 day", "3 days"]);
        assert_eq!(moment(1_774_105_320_000), "2026-03-21 15:02 UTC");
        assert_eq!(moment(u64::MAX), "never");
        assert_eq!(instant(1_774_105_320_000).as_deref(), Some("2026-03-21T15:02:00Z"));
    }
}
