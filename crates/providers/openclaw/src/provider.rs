//! The effectful half: one write, confirmed by the gateway, or taken back.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use fraktalia_engine::{Ask, Follow, Landed, ObserveError, Provider, StepCx, StepError, Survey};
use fraktalia_model::manifest::Dialect;
use fraktalia_model::{AccountId, Living, Outputs, id};
use fraktalia_plan::Observed;
use serde_json::Value as Json;

use crate::dialect::{self, Config};
use crate::document::Document;
use crate::error::FileError;
use crate::gateway::{Confirmed, Doubt, Gateway, GatewayError};
use crate::op::{Edit, Known, OpenClawOp};
use crate::spec::{OpenClawSpec, OpenClawState};
use crate::system::OpenClaw;
use crate::undo::{OpenClawUndo, edited, put_back};
use crate::{discover, observe, validate, watch, write};

/// How long we wait for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the OpenClaw program to check a file.
    pub validate: Duration,
    /// For a gateway to be there before anything is written. It may be restarting on somebody's last edit.
    pub reachable: Duration,
    /// For a gateway to take over a new file; some changes restart it, which takes half a minute.
    pub applied: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            validate: validate::DEADLINE,
            reachable: Duration::from_mins(1),
            applied: Duration::from_secs(90),
        }
    }
}

impl From<FileError> for StepError {
    /// A [`FileError`] means that nothing was changed.
    fn from(error: FileError) -> Self {
        let hint = error.hint();
        Self::refused("openclaw.json was not written").with_hint(hint).because(error)
    }
}

#[async_trait]
impl Provider for OpenClaw {
    type Undo = OpenClawUndo;

    fn looks_last(&self) -> bool {
        true
    }

    async fn observe(&self, ask: &Ask<'_, OpenClawSpec>) -> Result<Observed<OpenClawState>, ObserveError> {
        Ok(observe::observe(self, ask).await?)
    }

    async fn discover(&self, _survey: Survey<'_>) -> Result<Living, ObserveError> {
        discover::discover(self)
    }

    async fn prepare(&self, op: &OpenClawOp, cx: &StepCx<'_>) -> Result<OpenClawUndo, StepError> {
        let original = write::read(&self.config)?;
        original.writable()?;
        // Whatever keeps the edits from being made is found now, before anything is written. Late values are not
        // known to differ in this.
        let wish = self.wish(op, &original.text).await?;
        edited(&original.text, &known(op, cx)?, wish)?;
        if let Some(gateway) = self.gateway(cx).await? {
            self.ready(&gateway).await?;
        }
        let backup = cx.backup.join(format!("openclaw-{}.json", cx.step));
        write::back_up(&original, &backup)?;
        Ok(OpenClawUndo { path: self.config.clone(), backup, hash: original.hash })
    }

    async fn perform(&self, op: &OpenClawOp, cx: &StepCx<'_>) -> Result<Outputs, StepError> {
        let edits = known(op, cx)?;
        let original = write::read(&self.config)?;
        original.writable()?;
        let wish = self.wish(op, &original.text).await?;
        let gateway = self.gateway(cx).await?;
        if let Some(text) = edited(&original.text, &edits, wish)? {
            let candidate = original.candidate(&text)?;
            if let Some(program) = &self.cli {
                cx.say("checking the new openclaw.json");
                validate::validate(program, candidate.path(), self.patience.validate).await?;
            }
            original.replace(candidate)?;
        }
        if let Some(gateway) = gateway {
            cx.say("waiting for the gateway to take openclaw.json over");
            if let Err(why) = self.confirm(&gateway, &edits, cx).await {
                put_back(&self.config, &original.text, &edits, wish).map_err(|error| {
                    StepError::in_doubt(format!("the gateway did not take openclaw.json over: {why}"))
                        .because(error)
                })?;
                return Err(FileError::NotTaken { why: why.to_string() }.into());
            }
        }
        Ok(outputs(op))
    }

    async fn landed(
        &self,
        op: &OpenClawOp,
        undo: &OpenClawUndo,
        cx: &StepCx<'_>,
    ) -> Result<Landed, StepError> {
        let now = write::read(&self.config)?;
        if now.hash == undo.hash {
            return Ok(Landed::No);
        }
        let edits = known(op, cx)?;
        let old = read_backup(undo)?;
        let (before, after) = (value(&old)?, value(&now.text)?);
        let (before, after) = (Config::read(&before), Config::read(&after));
        let due: Vec<&Known> = edits.iter().filter(|edit| !edit.in_effect(&before)).collect();
        let done = due.iter().filter(|edit| edit.in_effect(&after)).count();
        if edits.iter().all(|edit| edit.in_effect(&after)) {
            if let Some(gateway) = self.gateway(cx).await?
                && let Err(why) = self.confirm(&gateway, &edits, cx).await
            {
                return Ok(Landed::Torn {
                    why: format!("the gateway has not taken openclaw.json over: {why}"),
                });
            }
            return Ok(Landed::Yes(outputs(op)));
        }
        if done == 0 {
            return Ok(Landed::No);
        }
        let why =
            format!("{done} of {} changes are in openclaw.json, which others have written to", due.len());
        Ok(Landed::Torn { why })
    }

    async fn revert(&self, op: &OpenClawOp, undo: &OpenClawUndo, cx: &StepCx<'_>) -> Result<(), StepError> {
        // Only a step that ran to its write knows all values; one that did not has nothing to take back.
        let Ok(edits) = known(op, cx) else { return Ok(()) };
        let old = read_backup(undo)?;
        let wish = self.wish(op, &old).await?;
        put_back(&undo.path, &old, &edits, wish)?;
        if let Some(gateway) = self.gateway(cx).await? {
            self.confirm_back(&gateway, &edits, &old, cx).await?;
        }
        Ok(())
    }

    async fn watch(&self, follow: &Follow<'_, OpenClawSpec>) -> Result<(), ObserveError> {
        watch::follow(self, follow.bell).await
    }

    fn by_hand(&self, _op: &OpenClawOp, undo: &OpenClawUndo) -> Vec<String> {
        // `cat` rather than `cp`: mode and owner of the file stay.
        vec![format!("cat '{}' > '{}'", undo.backup.display(), undo.path.display())]
    }
}

impl OpenClaw {
    /// The dialect for a text that does not show one.
    async fn wish(&self, op: &OpenClawOp, text: &str) -> Result<Option<Dialect>, FileError> {
        match op.dialect {
            Some(dialect) => Ok(Some(dialect)),
            None => Ok(self.dialect_for(&value(text)?).await),
        }
    }

    /// The dialect of a file: its own, that of the manifest, or that of the installed version.
    pub(crate) async fn dialect_for(&self, config: &Json) -> Option<Dialect> {
        let known = dialect::detect(config).dialect().or(self.dialect);
        let (None, Some(program)) = (known, &self.cli) else { return known };
        let version = validate::version(program, self.patience.validate).await.ok()?;
        dialect::of_version(&version)
    }

    async fn gateway(&self, cx: &StepCx<'_>) -> Result<Option<Gateway>, StepError> {
        let Some(gateway) = &self.gateway else { return Ok(None) };
        let token =
            match &gateway.token {
                None => None,
                Some(source) => Some(cx.secrets.resolve(source).await.map_err(|error| {
                    StepError::refused("the gateway's token cannot be had").because(error)
                })?),
            };
        Ok(Some(Gateway { url: gateway.url.clone(), token }))
    }

    /// That the gateway is there and content with the file as it is: then what it says later is about our edits.
    async fn ready(&self, gateway: &Gateway) -> Result<(), StepError> {
        let seen = gateway.reachable(self.patience.reachable).await.map_err(|error| {
            StepError::refused(format!("the gateway cannot be asked what it runs on: {error}")).with_hint(
                "start the gateway, correct `openclaw.gateway`, or leave that out to write without a confirmation",
            )
        })?;
        if seen.valid {
            return Ok(());
        }
        let issues = validate::issues(&seen.issues).join("; ");
        Err(StepError::refused(format!("the gateway finds openclaw.json invalid as it is: {issues}"))
            .with_hint("repair the file, or have `openclaw doctor --fix` repair it, and apply again"))
    }

    async fn confirm(&self, gateway: &Gateway, edits: &[Known], cx: &StepCx<'_>) -> Result<(), GatewayError> {
        let is_ours = |parsed: &Json| {
            let config = Config::of_gateway(parsed);
            edits.iter().all(|edit| edit.in_effect(&config))
        };
        if gateway.confirm(self.patience.applied, Doubt::OursIsInvalid, is_ours).await? == Confirmed::Read {
            cx.say("the gateway has read openclaw.json and finds it valid; this version cannot say whether it runs on it");
        }
        Ok(())
    }

    /// After a way back. The file is as it was, and a gateway that is away will start with it; one that is there has
    /// to run on it.
    async fn confirm_back(
        &self,
        gateway: &Gateway,
        edits: &[Known],
        old: &str,
        cx: &StepCx<'_>,
    ) -> Result<(), StepError> {
        if let Err(why) = gateway.reachable(self.patience.reachable).await {
            cx.say(format!("openclaw.json is as it was; the gateway is away: {why}"));
            return Ok(());
        }
        let before = value(old)?;
        let before = Config::read(&before);
        let due: Vec<&Known> = edits.iter().filter(|edit| !edit.in_effect(&before)).collect();
        let is_back = |parsed: &Json| {
            let config = Config::of_gateway(parsed);
            !due.iter().any(|edit| edit.in_effect(&config))
        };
        gateway.confirm(self.patience.applied, Doubt::WaitForMore, is_back).await.map(drop).map_err(|why| {
            StepError::refused(format!(
                "openclaw.json is as it was, but the gateway does not run on it: {why}"
            ))
            .with_hint("restart the gateway")
        })
    }
}

pub(crate) fn value(text: &str) -> Result<Json, FileError> {
    Ok(Document::parse_with_value(text)?.1)
}

fn read_backup(undo: &OpenClawUndo) -> Result<String, StepError> {
    let backup = write::read(&undo.backup)?;
    if backup.hash != undo.hash {
        return Err(StepError::refused(format!(
            "the backup {} is not what was saved",
            undo.backup.display()
        )));
    }
    Ok(backup.text)
}

/// The accounts that are there now.
fn outputs(op: &OpenClawOp) -> Outputs {
    let mut outputs = Outputs::new();
    for edit in &op.edits {
        if let Edit::PutAccount(account) = edit {
            outputs.set(&id::account(&account.name), &AccountId(account.name.clone()));
        }
    }
    outputs
}

/// The edits with everything filled in that was not known while planning.
fn known(op: &OpenClawOp, cx: &StepCx<'_>) -> Result<Vec<Known>, StepError> {
    let token = |name: &str| -> PathBuf { cx.paths.account_token(name) };
    let known = op.edits.iter().map(|edit| edit.known(cx.outputs, &token));
    known
        .collect::<Result<_, _>>()
        .map_err(|error| StepError::refused("openclaw.json cannot be edited").because(error))
}
