//! `cargo xtask bench isolation`: what gets through while the rules are exchanged under load.

use std::process::{Command, Stdio};

use serde::Deserialize;

use super::machine;
use crate::error::{Context as _, TaskError};
use crate::say;

/// The test that makes the figures and prints them as one line.
const TEST: &str = "nothing_gets_through_while_rules_are_replaced_under_load";
const PAGE: &str = "docs/bench/isolation.md";

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Round {
    sent: u64,
    leaked: u64,
    allowed: u64,
    arrived: u64,
    replaced: u64,
}

/// Runs the test `rounds` times and writes the page.
pub fn run(rounds: usize) -> Result<(), TaskError> {
    let mut all = Vec::new();
    for number in 1..=rounds {
        let round = measure()?;
        say::done("round", &format!("{number} of {rounds}: {} of {} leaked", round.leaked, round.sent), None);
        all.push(round);
    }
    std::fs::write(PAGE, page(&all)).context(|| format!("write {PAGE}"))?;
    say::line(&format!("Written to {PAGE}."));
    Ok(())
}

fn measure() -> Result<Round, TaskError> {
    let mut test = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    test.args(["test", "--quiet", "--package", "fraktalia-plane", "--test", "isolation", TEST, "--"]);
    test.args(["--nocapture", "--test-threads", "1"]).env("FRAKTALIA_REAL", "1");
    let output = test.stderr(Stdio::inherit()).output().context(|| "start cargo test".to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| Some(&line[line.find("{\"bench\":\"isolation\"")?..]));
    let missing = || TaskError::Found("the test printed no figures; it needs root and nftables".to_owned());
    let line = line.ok_or_else(missing)?;
    let mut figures = serde_json::Deserializer::from_str(line).into_iter::<Round>();
    figures.next().and_then(Result::ok).ok_or_else(missing)
}

fn page(rounds: &[Round]) -> String {
    let sum = |of: fn(&Round) -> u64| rounds.iter().map(of).sum::<u64>();
    let rows: Vec<String> = rounds
        .iter()
        .enumerate()
        .map(|(number, round)| {
            let Round { sent, leaked, allowed, arrived, replaced } = round;
            format!("| {} | {replaced} | {sent} | **{leaked}** | {allowed} | {arrived} |", number + 1)
        })
        .collect();
    let lines: Vec<String> = machine().into_iter().map(|(what, is)| format!("| {what} | {is} |")).collect();
    let (rows, machine) = (rows.join("\n"), lines.join("\n"));
    format!(
        "# Isolation under load, measured\n\n\
         Written by `cargo xtask bench isolation`. A container on a closed network sends packets to closed destinations and to an \
         open one, while the rules are exchanged without pause. **{} of {} packets to closed destinations got through.**\n\n\
         | round | exchanges of the rules | to closed destinations | got through | to an open one | arrived |\n\
         |--|--|--|--|--|--|\n{rows}\n\n\
         The networks are namespaces with bridges as Docker makes them; each packet is counted where it would arrive. The page says \
         nothing about a table that somebody else removed: until the helper has put it back, packets pass.\n\n\
         ## The machine\n\n| | |\n|--|--|\n{machine}\n",
        sum(|round| round.leaked),
        sum(|round| round.sent),
    )
}
