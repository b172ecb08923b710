//! The page `docs/bench/fleet.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fraktalia_testkit::real::cache::workspace_root;

use super::Figures;
use super::calls::Calls;
use super::idle::Idle;
use super::measure::Taken;
use super::stats::{number, range};
use super::table::{middle, rows, short};
use super::{plot, stats};
use crate::error::{Context as _, TaskError};
use crate::say;

/// Around what people write; a new run keeps it.
const BEGIN: &str = "<!-- By hand from here; a new run keeps it. -->";
/// See [`BEGIN`].
const END: &str = "<!-- By hand to here. -->";
/// Where nobody has written anything yet.
const NOTHING: &str = "Nobody has said yet what holds back what is not reached.";

/// Writes page and plots into `folder`, or where the others are.
pub fn write(folder: Option<&Path>, figures: &Figures) -> Result<(), TaskError> {
    let folder: PathBuf = folder.map_or_else(|| workspace_root().join("docs/bench"), Path::to_owned);
    std::fs::create_dir_all(&folder).context(|| format!("create {}", folder.display()))?;
    let path = folder.join("fleet.md");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let mut plots = Vec::new();
    for (name, title, picture) in plot::all(figures)? {
        let file = folder.join(&name);
        std::fs::write(&file, picture).context(|| format!("write {}", file.display()))?;
        plots.push((name, title));
    }
    let page = render(figures, &plots, by_hand(&before));
    say::plain(&page);
    std::fs::write(&path, page).context(|| format!("write {}", path.display()))
}

/// What people wrote into an earlier page.
fn by_hand(page: &str) -> &str {
    let inside = page.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    inside.map_or(NOTHING, |(text, _)| text.trim())
}

fn render(figures: &Figures, plots: &[(String, String)], by_hand: &str) -> String {
    let mut text = String::from(
        "# A thousand fractals, measured\n\nWritten by `cargo xtask bench fleet`. All take turns in each round; each figure is the \
         median of all rounds, each ratio that of the ratios within a round.\n\n\
         | what | target | measured | of what is allowed | reached |\n|--|--|--|--|--|\n",
    );
    for row in rows(figures) {
        let _ = writeln!(text, "{}", row.line());
    }
    let _ = writeln!(text, "\n{BEGIN}\n\n{by_hand}\n\n{END}");
    for (file, title) in plots {
        let _ = writeln!(text, "\n![{title}]({file})");
    }
    for idle in &figures.idle {
        side_by_side(&mut text, idle);
    }
    applies(&mut text, figures);
    calls(&mut text, figures);
    let _ = writeln!(text, "\n## The machine\n\n| | |\n|--|--|");
    for (what, is) in &figures.machine {
        let _ = writeln!(text, "| {what} | {is} |");
    }
    let rounds = figures.idle.first().map_or(0, |idle| idle.rounds.len());
    let _ = writeln!(text, "| rounds | {rounds}, of applies {} |", figures.applies.rounds.len());
    if !figures.absent.is_empty() {
        let _ = writeln!(text, "\nNot measured: {}.", figures.absent.join("; "));
    }
    text.push_str(NOTES);
    text
}

/// Who takes what to find nothing to do.
fn side_by_side(text: &mut String, idle: &Idle) {
    let Idle { fractals, resources, counted, rounds, .. } = idle;
    let sandboxes = if idle.docker { "all in a sandbox on one closed network" } else { "without Docker" };
    let _ = writeln!(
        text,
        "\n## Nothing to do: {fractals} fractals, {resources} resources ({counted} with each member and each file), {sandboxes}\n\n\
         | | wall s (least to most) | own CPU s | Synapse CPU s | memory MB | calls |\n|--|--|--|--|--|--|"
    );
    let mut line = |who: &str, of: &dyn Fn(usize) -> Option<Cells>| {
        let cells: Vec<Cells> = (0..rounds.len()).filter_map(of).collect();
        if !cells.is_empty() {
            let _ = writeln!(text, "| {who} | {} |", Cells::middle(&cells));
        }
    };
    line("`fraktalia plan`", &|round| {
        let planned = &rounds[round].warm;
        Some(Cells::of(planned.taken, Some(planned.asked.cpu), planned.asked.calls.total()))
    });
    line("`fraktalia plan`, its cache lost", &|round| {
        let planned = &rounds[round].cold;
        Some(Cells::of(planned.taken, Some(planned.asked.cpu), planned.asked.calls.total()))
    });
    line("`fraktalia plan --refresh`", &|round| {
        let planned = &rounds[round].refreshed;
        Some(Cells::of(planned.taken, Some(planned.asked.cpu), planned.asked.calls.total()))
    });
    line("bare: one sliding sync of all rooms", &|round| Some(Cells::bare(&rounds[round].sliding)));
    line("bare: `/state` of each room, 8 at once", &|round| Some(Cells::bare(&rounds[round].each_room)));
    line("`terraform plan`, as many `terraform_data`", &|round| {
        Some(Cells::of(rounds[round].terraform?, None, 0))
    });
    if let Some(played) = &idle.ansible {
        let cells = Cells::of(played.taken, Some(played.asked.cpu), played.asked.calls.total());
        let who = format!("Ansible, {} fractals only, once", played.fractals);
        let _ = writeln!(text, "| {who} | {} |", Cells::middle(&[cells]));
        let ours = middle(rounds, |round| round.warm.taken.cpu).unwrap_or(f64::NAN) / number(*fractals);
        let its = played.taken.cpu / number(played.fractals);
        let _ = writeln!(
            text,
            "\nCPU for one fractal: Ansible {} s, `fraktalia plan` {} s. That is {} times as much.",
            short(its),
            short(ours),
            short(its / ours)
        );
    }
}

/// A line of the table of who takes what.
#[derive(Clone, Copy, Debug)]
struct Cells {
    wall: f64,
    cpu: Option<f64>,
    synapse: Option<f64>,
    megabytes: Option<f64>,
    calls: usize,
}

impl Cells {
    fn of(taken: Taken, synapse: Option<f64>, calls: usize) -> Self {
        Self { wall: taken.wall, cpu: Some(taken.cpu), synapse, megabytes: Some(taken.megabytes), calls }
    }

    fn bare(read: &super::reads::Read) -> Self {
        let (synapse, calls) = (Some(read.asked.cpu), read.asked.calls.total());
        Self { wall: read.wall, cpu: None, synapse, megabytes: None, calls }
    }

    fn middle(all: &[Self]) -> String {
        let of = |cell: fn(&Self) -> Option<f64>| {
            stats::median(all.iter().filter_map(cell)).map_or_else(|| "-".to_owned(), short)
        };
        let (least, most) = range(all.iter().map(|cells| cells.wall)).unwrap_or_default();
        let calls = stats::median(all.iter().map(|cells| number(cells.calls))).unwrap_or_default();
        let calls = if calls == 0.0 { "-".to_owned() } else { format!("{calls:.0}") };
        let wall = of(|cells| Some(cells.wall));
        format!(
            "{wall} ({} to {}) | {} | {} | {} | {calls}",
            short(least),
            short(most),
            of(|cells| cells.cpu),
            of(|cells| cells.synapse),
            of(|cells| cells.megabytes)
        )
    }
}

fn applies(text: &mut String, figures: &Figures) {
    let _ = writeln!(
        text,
        "\n## Applies\n\n| | wall s | own CPU s | Synapse CPU s | memory MB | calls | that may write | writes of openclaw.json |\n\
         |--|--|--|--|--|--|--|--|"
    );
    let mut line = |who: &str, wall: Option<f64>, cells: [String; 6]| {
        let _ = writeln!(text, "| {who} | {} | {} |", wall.map(short).unwrap_or_default(), cells.join(" | "));
    };
    let of = |applied: &super::world::Applied| {
        let calls = &applied.asked.calls;
        [
            short(applied.taken.cpu),
            short(applied.asked.cpu),
            short(applied.taken.megabytes),
            calls.total().to_string(),
            calls.writes().to_string(),
            applied.config_writes.to_string(),
        ]
    };
    for idle in &figures.idle {
        let who = format!("{} fractals, once", idle.fractals);
        line(&who, Some(idle.populated.taken.wall), of(&idle.populated));
    }
    let applies = &figures.applies;
    if let Some((ours, bare)) = applies.rounds.first() {
        let who = format!("{} fractals without a sandbox (but for wall: the first round)", applies.fractals);
        line(&who, middle(&applies.rounds, |(ours, _)| ours.taken.wall), of(ours));
        let who = format!("the same calls by a bare client, {} at once", super::reads::AT_ONCE);
        let (all, writes) = (bare.asked.calls.total(), bare.asked.calls.writes());
        let dash = || "-".to_owned();
        let cells = [dash(), short(bare.asked.cpu), dash(), all.to_string(), writes.to_string(), dash()];
        line(&who, middle(&applies.rounds, |(_, bare)| bare.wall), cells);
        let different: usize = applies.rounds.iter().map(|(_, bare)| bare.different).sum();
        let all: usize = applies.rounds.len() * applies.calls;
        let _ = writeln!(
            text,
            "\nOf {all} calls that the bare client made again, {different} were answered with another status."
        );
    }
    if let Some((taken, syncs)) = &applies.syncs {
        let _ = writeln!(
            text,
            "\nWaiting for the disk in an apply under strace ({} s): {} times {} s in all for the journal, {} times {} s for \
             everything else.",
            short(taken.wall),
            syncs.journal.count,
            short(syncs.journal.seconds),
            syncs.others.count,
            short(syncs.others.seconds)
        );
    }
}

/// Which calls, in the largest installation.
fn calls(text: &mut String, figures: &Figures) {
    let Some(idle) = figures.idle.last() else { return };
    let Some(round) = idle.rounds.last() else { return };
    let columns: [&Calls; 4] = [
        &round.warm.asked.calls,
        &round.cold.asked.calls,
        &round.refreshed.asked.calls,
        &idle.populated.asked.calls,
    ];
    let mut kinds: Vec<&String> = columns.iter().flat_map(|calls| calls.0.keys()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let _ = writeln!(
        text,
        "\n## Calls of Synapse, {} fractals\n\n| | plan | cache lost | plan --refresh | apply |\n|--|--|--|--|--|",
        idle.fractals
    );
    for kind in kinds {
        let counts =
            columns.map(|calls| calls.0.get(kind).map_or_else(|| "-".to_owned(), ToString::to_string));
        let _ = writeln!(text, "| `{kind}` | {} |", counts.join(" | "));
    }
}

const NOTES: &str = "
## How it is measured, and what is not comparable

- Everything is on one machine: what the program, Synapse and the measuring need they take from each other. On a network, with
  a homeserver that others use as well, more is waiting and less is work. Compare ratios.
- Wall, CPU (user and system, with children) and memory (the largest resident set) are what the kernel counts for the whole
  process, from its start to its end. A small process in between starts it: the kernel hands the largest memory of a parent on.
- Calls are counted in Synapse's own log, its CPU in `/proc`; nothing stands in between.
- Warm is `plan` as people run it, cold the same after our cache was removed. Synapse's own caches are as the runs before left
  them.
- The bare reads parse JSON and do nothing else with it. The whole process is held against them, with Docker, `openclaw.json` and
  workspaces read besides.
- A fractal is five resources here, as a plan shows them: room, workspace, agent, replies, binding. The program has each member
  and each file as a resource of its own; by that number, its CPU for each would be a third of what stands here.
- Terraform's `terraform_data` is a record in its own state file: it looks at no live system, and fetches nothing. It has an
  block for each of these five: with `for_each`, which is shorter, its time grows with the square of the instances. But for the
  first of each kind they are copies in its state file, since its own apply of thousands takes longer than all else here.
- Ansible's playbook does the job by hand, without `openclaw.json`: rooms, topics and members by `uri`, workspaces by `file`,
  `template` and `copy`. It runs once, on a few fractals.
- The floor of an apply: the calls of an apply were written down on their way to a homeserver, and are made again by a bare client
  on a fresh one, with other room ids, eight at once, each after those about the same room that it came after. The reads of
  planning and verifying are among them. The bare client writes no file and no journal, and has its plan beforehand.
- Waiting for the disk is the sum of all `fsync` and `fdatasync`, in an apply of its own under strace. Some of it passes while
  Synapse works, so that its share of the wall clock is at most this.
- Many agents: the same installation beside one other agent and beside many; what an apply that changes one agent takes longer
  is reading (to plan, to write, to verify), editing and writing the larger file together. No gateway reads it.
- No gateway runs. What reloading costs OpenClaw is not in these figures; it reloads once for each write of the file.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_is_kept_and_the_rest_is_not() {
        let page = format!("old\n{BEGIN}\n\nSynapse needs 3 s for it.\n\n{END}\nold\n");
        assert_eq!(by_hand(&page), "Synapse needs 3 s for it.");
        assert_eq!(by_hand("a page of an earlier time"), NOTHING);
    }
}
