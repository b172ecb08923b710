//! `cargo xtask docs`: reference pages are what the program says about itself, never written by hand.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use fraktalia_testkit::real::cache::workspace_root;
use similar::TextDiff;

use crate::error::{Context as _, TaskError};
use crate::{say, test};

/// A page and what prints it.
struct Page {
    file: &'static str,
    by: By,
}

/// What prints a page.
enum By {
    /// The program, with these arguments.
    Program(&'static [&'static str]),
    /// An example of a crate: crate and name.
    Example(&'static str, &'static str),
}

const PAGES: &[Page] = &[
    Page { file: "docs/reference/cli.md", by: By::Program(&["reference", "cli"]) },
    Page { file: "docs/reference/manifest.md", by: By::Program(&["reference", "manifest"]) },
    Page { file: "docs/reference/exit-codes.md", by: By::Program(&["reference", "exit-codes"]) },
    Page { file: "docs/reference/manifest.schema.json", by: By::Program(&["reference", "manifest-schema"]) },
    Page { file: "docs/reference/plan.schema.json", by: By::Program(&["reference", "plan-schema"]) },
    Page { file: "docs/reference/openapi.json", by: By::Example("fraktalia-door", "openapi") },
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
    let (what, mut command) = match page.by {
        By::Program(args) => {
            let mut command = Command::new(program);
            command.args(args);
            (format!("fraktalia {}", args.join(" ")), command)
        }
        By::Example(package, name) => {
            let mut command = test::cargo();
            command.args(["run", "--quiet", "--package", package, "--example", name]);
            (format!("the example {name} of {package}"), command)
        }
    };
    let output = command.env("NO_COLOR", "1").stdin(Stdio::null()).output();
    let output = output.context(|| format!("start {what}"))?;
    if !output.status.success() {
        let status = format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        return Err(TaskError::Ended { what, status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
