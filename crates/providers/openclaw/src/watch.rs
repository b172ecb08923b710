//! Hears when somebody writes `openclaw.json`. OpenClaw itself does, and so do people with editors.

use std::collections::BTreeSet;

use fraktalia_engine::ObserveError;
use fraktalia_engine::watch::Bell;
use fraktalia_engine::watch::files::{self, Target};

use crate::system::OpenClaw;

/// Rings for each write until files cannot be followed any more.
pub(crate) async fn follow(openclaw: &OpenClaw, bell: &Bell) -> Result<(), ObserveError> {
    files::follow(BTreeSet::from([Target::Path(openclaw.config.clone())]), bell).await
}
