//! `cargo xtask install`.

use fraktalia_testkit::real::Cache;
use fraktalia_testkit::real::install::{Component, Progress, install};

use crate::error::TaskError;
use crate::say;

/// Installs what is missing and says what that is.
pub fn run(cache: &Cache, debian: bool) -> Result<(), TaskError> {
    let mut wanted = Component::USUAL.to_vec();
    if debian {
        wanted.push(Component::Debian);
    }
    components(cache, &wanted)?;
    say::plain(&format!("Everything is in {}.", cache.root().display()));
    Ok(())
}

/// Installs what is missing of `wanted`; silent when nothing is.
pub fn components(cache: &Cache, wanted: &[Component]) -> Result<(), TaskError> {
    let mut first = true;
    install(cache, wanted, &mut |progress| match progress {
        Progress::Waiting => say::line("Another process is installing; waiting for it."),
        Progress::Started(component) => {
            if std::mem::take(&mut first) {
                say::line(&format!("Installing into {}, once:", cache.root().display()));
            }
            say::begun(&component.title());
        }
        Progress::Finished(component, took) => say::tick(&component.title(), Some(took)),
    })?;
    Ok(())
}
