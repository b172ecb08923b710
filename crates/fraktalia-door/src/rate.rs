//! How often a token may ask: so many at once, and so many in a minute.

use std::collections::HashMap;

use tokio::time::Instant;

/// What each token has left.
#[derive(Debug, Default)]
pub(crate) struct Rates(HashMap<String, Bucket>);

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    /// Takes one request of a token; otherwise the seconds until there is one again.
    pub(crate) fn take(&mut self, token: &str, per_minute: u32, now: Instant) -> Result<(), u64> {
        let most = f64::from(per_minute.max(1));
        let bucket = self.0.entry(token.into()).or_insert(Bucket { left: most, at: now });
        let each_second = most / 60.0;
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * each_second).min(most);
        bucket.at = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        // At most a minute.
        let wait = std::time::Duration::from_secs_f64((1.0 - bucket.left) / each_second);
        Err(wait.as_secs() + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn so_many_at_once_and_then_as_time_goes() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        for _ in 0..6 {
            assert_eq!(rates.take("a", 6, start), Ok(()));
        }
        assert_eq!(rates.take("a", 6, start), Err(11));
        assert_eq!(rates.take("b", 6, start), Ok(()), "each has its own");
        let later = start + Duration::from_secs(11);
        assert_eq!(rates.take("a", 6, later), Ok(()), "what was said to be enough is");
        assert!(rates.take("a", 6, later).is_err());
        let much_later = start + Duration::from_mins(150);
        assert_eq!(
            (0..10).filter(|_| rates.take("a", 6, much_later).is_ok()).count(),
            6,
            "nothing is saved up"
        );
    }
}
