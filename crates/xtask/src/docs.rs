//! `cargo xtask docs`: reference pages are what the program says about itself, never written by hand.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use fraktalia_testkit::real::cache::workspace_root;
use similar::TextDiff;

use crate::error::{Context as _, TaskError};
use crate::{say, test};

/// A page and the arguments that make the program print it.
struct Page {
    file: &'static str,
    args: &'static [&'static str],
}

const PAGES: &[Page] = &[
    Page { file: "docs/reference/cli.md", args: &["reference", "cli"] },
    Page { file: "docs/reference/manifest.md", args: &["reference", "manifest"] },
    Page { file: "docs/reference/exit-codes.md", args: &["reference", "exit-codes"] },
    Page { file: "docs/reference/manifest.schema.json", args: &["reference", "manifest-schema"] },
    Page { file: "docs/reference/plan.schema.json", args: &["reference", "plan-schema"] },
];

/// Writes every page, or with `check` only says which ones the program would write differently.
pub fn run(check: bool) -> Result<(), TaskError> {
    let program = test::build_program()?;
    let mut stale = Vec::new();
    for page in PAGES {
        let path = workspace_root().join(page.file);
        let text = generate(&program, page)?;
        let current = std::fs::read_to_string(&path).unwrap_or_default();
        if current == text {
            continue;
        }
        if check {
            let diff = TextDiff::from_lines(&current, &text);
            say::plain(
                &diff.unified_diff().context_radius(1).header(page.file, "as it would be").to_string(),
            );
            stale.push(PathBuf::from(page.file));
        } else {
            let folder = path.parent().unwrap_or(&path);
            std::fs::create_dir_all(folder).context(|| format!("create {}", folder.display()))?;
            std::fs::write(&path, text).context(|| format!("write {}", path.display()))?;
            say::plain(&format!("wrote {}", page.file));
        }
    }
    if stale.is_empty() {
        say::plain(&format!("{} generated pages are up to date.", PAGES.len()));
        return Ok(());
    }
    Err(TaskError::OutOfDate(stale))
}

fn generate(program: &std::path::Path, page: &Page) -> Result<String, TaskError> {
    let what = format!("fraktalia {}", page.args.join(" "));
    let output = Command::new(program).args(page.args).env("NO_COLOR", "1").stdin(Stdio::null()).output();
    let output = output.context(|| format!("start {what}"))?;
    if !output.status.success() {
        let status = format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        return Err(TaskError::Ended { what, status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
