//! The pure planner, by its own micro-benchmark: how long, and how that grows.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::super::forward;
use super::table::{Row, short};
use crate::error::TaskError;
use crate::say;

/// The median time of each benchmark by the number of resources, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planner(BTreeMap<String, BTreeMap<usize, f64>>);

/// Runs the benchmark.
pub fn run() -> Result<Planner, TaskError> {
    say::begun("the pure planner, alone");
    let mut bench = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    bench
        .args(["bench", "--quiet", "--package", "fraktalia-plan", "--bench", "planner", "--"])
        .args(SITUATIONS);
    let planner = Planner::read(&forward::output(bench.stderr(Stdio::inherit()))?);
    match SITUATIONS.iter().find(|name| !planner.0.contains_key(**name)) {
        Some(name) => Err(TaskError::Found(format!("the benchmark of the planner says nothing of `{name}`"))),
        None => Ok(planner),
    }
}

/// What the planner is measured in: functions of `benches/planner.rs`.
const SITUATIONS: [&str; 2] = ["nothing_to_do", "everything_to_make"];

/// The size that has a target.
const LARGEST: usize = 100_000;

impl Planner {
    /// Reads divan's tree: a line with a name, then one for each size with fastest, slowest, median and mean.
    fn read(printed: &str) -> Self {
        let mut read = Self::default();
        let mut name = "";
        for line in printed.lines() {
            let cells = line.split('│').map(|cell| cell.trim_matches([' ', '├', '╰', '─']));
            let cells: Vec<&str> = cells.filter(|cell| !cell.is_empty()).collect();
            let Some((first, figures)) = cells.split_first() else { continue };
            let mut words = first.split_whitespace();
            let Some(head) = words.next() else { continue };
            match (head.parse::<usize>(), figures) {
                (Ok(size), [_, median, ..]) => {
                    if let Some(seconds) = seconds(median) {
                        read.0.entry(name.to_owned()).or_default().insert(size, seconds);
                    }
                }
                _ => name = head,
            }
        }
        read
    }

    /// The lines of the table of targets.
    pub fn rows(&self) -> Vec<Row> {
        SITUATIONS.iter().filter_map(|name| Some(row(name, self.0.get(*name)?))).collect()
    }
}

fn row(name: &str, sizes: &BTreeMap<usize, f64>) -> Row {
    let growth = sizes
        .iter()
        .zip(sizes.iter().skip(1))
        .map(|((less, quick), (more, slow))| format!("{less} to {more}: {}x", short(slow / quick)));
    let growth = growth.collect::<Vec<_>>().join(", ");
    let what = format!("pure planner, {LARGEST} resources, {}", name.replace('_', " "));
    Row::at_most(what, 1.0, sizes.get(&LARGEST).copied(), " s").note(&format!("({growth})"))
}

/// `12.5 ms`
fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let scale = match unit.trim() {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
Timer precision: 20 ns
planner                fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ everything_to_make                │               │               │               │         │
│  ├─ 1000             5.1 ms        │ 7.2 ms        │ 5.5 ms        │ 5.6 ms        │ 10      │ 10
│  ╰─ 100000           1.4 s         │ 1.7 s         │ 1.5 s         │ 1.5 s         │ 10      │ 10
╰─ nothing_to_do                     │               │               │               │         │
   ├─ 1000             900 µs        │ 2 ms          │ 1000 µs       │ 1.1 ms        │ 10      │ 10
   ╰─ 100000           0.8 s         │ 1 s           │ 0.9 s         │ 0.9 s         │ 10      │ 10
";

    #[test]
    fn the_median_of_each_size_is_read_from_the_tree() {
        let planner = Planner::read(PRINTED);
        assert_eq!(planner.0["nothing_to_do"], [(1000, 1e-3), (100_000, 0.9)].into());
        assert_eq!(planner.0["everything_to_make"], [(1000, 5.5e-3), (100_000, 1.5)].into());
    }

    #[test]
    fn the_row_says_how_it_grows() {
        let rows = Planner::read(PRINTED).rows();
        assert_eq!(rows[0].measured, "0.900 s (1000 to 100000: 900x)");
        assert_eq!(rows[0].reached(), "yes");
        assert_eq!(rows[1].reached(), "**no**");
    }
}
