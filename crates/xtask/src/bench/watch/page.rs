//! The page `docs/bench/watch.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fraktalia_testkit::real::cache::workspace_root;

use super::Figure;
use crate::bench::fleet::stats::{median, range};
use crate::bench::machine;
use crate::error::{Context as _, TaskError};
use crate::say;

/// Writes it into `folder`, or where the others are.
pub fn write(folder: Option<&Path>, fractals: usize, figures: &[Figure]) -> Result<(), TaskError> {
    let folder: PathBuf = folder.map_or_else(|| workspace_root().join("docs/bench"), Path::to_owned);
    std::fs::create_dir_all(&folder).context(|| format!("create {}", folder.display()))?;
    let path = folder.join("watch.md");
    let page = render(fractals, figures);
    say::plain(&page);
    std::fs::write(&path, page).context(|| format!("write {}", path.display()))
}

fn render(fractals: usize, figures: &[Figure]) -> String {
    let mut text = format!(
        "# How soon a watch notices, measured\n\n\
         Written by `cargo xtask bench watch`: an installation of {fractals} fractals with a real Synapse, a real Docker engine and 50 \
         agents of somebody else in `openclaw.json`, which a `fraktalia watch` looks after. The clock runs from the moment that a \
         change is done until the line is read that names it.\n\n\
         | what is done | target, ms | middle, ms | least to most, ms | rounds | reached |\n|--|--|--|--|--|--|\n"
    );
    for Figure { deed, milliseconds } in figures {
        let middle = median(milliseconds.iter().copied()).unwrap_or(f64::NAN);
        let (least, most) = range(milliseconds.iter().copied()).unwrap_or((f64::NAN, f64::NAN));
        let reached = if most < deed.allowed() {
            "yes, each time"
        } else if middle < deed.allowed() {
            "by the middle"
        } else {
            "**no**"
        };
        let _ = writeln!(
            text,
            "| {} | < {:.0} | {middle:.0} | {least:.0} to {most:.0} | {} | {reached} |",
            deed.name(),
            deed.allowed(),
            milliseconds.len()
        );
    }
    text.push_str(
        "\nPart of each is on purpose: the watch waits until it has been quiet for 100 ms, since many things come in many parts. \
         The rest is a look at every system and a plan.\n\n## The machine\n\n| | |\n|--|--|\n",
    );
    for (what, is) in machine() {
        let _ = writeln!(text, "| {what} | {is} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Deed;
    use super::*;

    #[test]
    fn one_late_round_is_not_hidden_by_the_middle() {
        let figure =
            |milliseconds: &[f64]| Figure { deed: Deed::SaveManifest, milliseconds: milliseconds.to_vec() };
        assert!(
            render(1, &[figure(&[100.0, 110.0, 120.0])])
                .contains("| 110 | 100 to 120 | 3 | yes, each time |")
        );
        assert!(render(1, &[figure(&[100.0, 110.0, 900.0])]).contains("| by the middle |"));
        assert!(render(1, &[figure(&[400.0, 410.0, 900.0])]).contains("| **no** |"));
    }
}
