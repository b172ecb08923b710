//! Reading the closing lines of test runners.

use std::fmt;

/// How many tests did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Ran and held.
    pub passed: u64,
    /// Ran and did not.
    pub failed: u64,
    /// Did not run.
    pub skipped: u64,
}

/// Who writes the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// `cargo nextest`. It also passes on what the failing tests wrote, which may look like closing lines of Rust's own runner.
    Nextest,
    /// Rust's own, one closing line for each test program.
    Libtest,
}

impl Count {
    /// Adds what a line reports, if it is a closing line of `runner`.
    pub fn read(&mut self, runner: Runner, line: &str) {
        let line = anstream::adapter::strip_str(line).to_string();
        let line = line.trim_start();
        let (prefix, before_counts, separator) = match runner {
            Runner::Nextest => ("Summary [", "run:", ','),
            Runner::Libtest => ("test result: ", ". ", ';'),
        };
        if let Some((_, counts)) = line.strip_prefix(prefix).and_then(|rest| rest.split_once(before_counts)) {
            self.add(counts, separator);
        }
    }

    fn add(&mut self, counts: &str, separator: char) {
        for part in counts.split(separator) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                // `2 failed`, and `1 timed out` and `1 exec failed` of nextest
                "failed" | "timed" | "exec" => self.failed += number,
                "skipped" | "ignored" | "filtered" => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(formatter, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(runner: Runner, lines: &[&str]) -> String {
        let mut count = Count::default();
        for line in lines {
            count.read(runner, line);
        }
        count.to_string()
    }

    #[test]
    fn the_summary_of_nextest_is_read_with_and_without_colour() {
        let plain =
            "     Summary [  31.118s] 17 tests run: 15 passed (1 slow), 1 failed, 1 timed out, 2 skipped";
        let coloured = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m3\u{1b}[0m tests run: \
                        \u{1b}[1m3\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped";
        assert_eq!(count(Runner::Nextest, &[plain, coloured]), "18 passed, 2 failed, 2 skipped");
    }

    #[test]
    fn results_of_several_programs_are_added_up() {
        let lines = [
            "test a ... ok",
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s",
            "test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ];
        assert_eq!(count(Runner::Libtest, &lines), "5 passed, 3 failed, 3 skipped");
    }

    #[test]
    fn the_output_of_a_failing_test_is_not_counted_a_second_time() {
        let lines = [
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 16 filtered out",
            "     Summary [   1.0s] 2 tests run: 1 passed, 1 failed, 0 skipped",
        ];
        assert_eq!(count(Runner::Nextest, &lines), "1 passed, 1 failed, 0 skipped");
    }
}
