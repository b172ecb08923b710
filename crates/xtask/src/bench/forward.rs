//! `cargo xtask bench forward`: ours, what others have made, and the kernel, in turns.

pub mod client;
mod report;
pub mod server;
mod stage;
mod ways;

use std::path::{Path, PathBuf};

use fraktalia_testkit::real::cache::workspace_root;

use super::build_release;
use crate::error::{Context as _, TaskError};
use crate::say;
use client::{Part, Sample};
use report::Row;
use stage::Stage;
pub use stage::output;
use ways::Way;

/// Measures all ways in turns and writes the page.
pub fn run(rounds: usize) -> Result<(), TaskError> {
    say::title("Forwarded ports, side by side");
    let missing = ways::install();
    let (program, fixed) = build()?;
    super::process::raise_file_limit();
    let folder = std::env::temp_dir().join(format!("fkt-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).context(|| format!("create {}", folder.display()))?;
    let rows = measure(&program, &fixed, &folder, rounds, &missing);
    let _ = std::fs::remove_dir_all(&folder);
    let rows = rows?;
    let page = report::render(&rows, rounds, &machine(&rows));
    say::plain(&page);
    let path = workspace_root().join("docs/bench/forward.md");
    std::fs::create_dir_all(path.parent().unwrap_or(&path)).context(|| "create docs/bench".into())?;
    std::fs::write(&path, page).context(|| format!("write {}", path.display()))
}

fn measure(
    program: &Path,
    fixed: &Path,
    folder: &Path,
    rounds: usize,
    missing: &[Way],
) -> Result<Vec<Row>, TaskError> {
    let mut stage = Stage::set_up(program)?;
    let mut rows = Vec::new();
    for way in Way::ALL.into_iter().filter(|way| !missing.contains(way)) {
        let pid = way.start(&mut stage, folder, fixed)?;
        rows.push((Row { way, samples: Vec::new(), refusal_ms: None }, pid));
    }
    for round in 1..=rounds {
        for (row, _) in &mut rows {
            row.samples.push(Sample::default());
        }
        for part in Part::ROUND {
            say::begun(&format!("round {round} of {rounds}: {}", part.name()));
            for (row, pid) in &mut rows {
                let sample = clients(&stage, program, &row.way.address(), part, *pid, row.way.idle())?;
                row.samples[round - 1].take(part, &sample);
            }
        }
    }
    for (row, _) in &mut rows {
        row.way.start_without_container(&mut stage, folder, fixed)?;
        if row.way.idle() > 0 {
            say::begun(&format!("without a container: {}", row.way.title()));
            let address = row.way.address_without_container();
            row.refusal_ms = clients(&stage, program, &address, Part::Refusal, None, 0)?.refusal_ms;
        }
    }
    Ok(rows.into_iter().map(|(row, _)| row).collect())
}

fn clients(
    stage: &Stage,
    program: &Path,
    address: &str,
    part: Part,
    pid: Option<u32>,
    idle: usize,
) -> Result<Sample, TaskError> {
    let mut clients = stage.on_host(program);
    clients.args(["bench", "forward-client", address, "--part", part.name(), "--idle", &idle.to_string()]);
    if let Some(pid) = pid {
        clients.args(["--pid", &pid.to_string()]);
    }
    let printed = output(&mut clients)?;
    serde_json::from_str(printed.trim())
        .map_err(|error| TaskError::Found(format!("the clients said `{}`: {error}", printed.trim())))
}

/// Everything that runs while it is measured is built for that: this program and the forwarder.
fn build() -> Result<(PathBuf, PathBuf), TaskError> {
    say::begun("Building");
    Ok((
        build_release(&["--package", "xtask"])?,
        build_release(&["--package", "fraktalia-plane", "--example", "fixed"])?,
    ))
}

/// What the figures depend on, and what was measured.
fn machine(rows: &[Row]) -> Vec<(String, String)> {
    let versions = rows.iter().filter_map(|row| Some((row.way.title().to_owned(), row.way.version()?)));
    super::machine().into_iter().chain(versions).collect()
}
