//! Leftovers, and what looks like them.

use fraktalia_docker::leftovers::{Kind, Leftover, Stranger};
use fraktalia_engine::backups::Backup;
use fraktalia_openclaw::Session;
use serde::Serialize;

use super::escape::visible;
use super::json::FORMAT;
use super::line::{Line, shortened};
use super::look::{Detail, Look, Tone};
use super::plan::number;
use super::quantity::{age, bytes};

/// A name takes no more columns; `-v` shows it whole.
const WIDEST: usize = 44;

/// What a leftover is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// What an agent remembers of a conversation.
    Session,
    /// A container that OpenClaw made for an agent.
    Container,
    /// An image of ours.
    Image,
    /// The helper of a realm.
    Helper,
    /// What a run would be taken back with.
    Backup,
}

impl Sort {
    /// As it is said.
    pub fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Container => "container",
            Self::Image => "image",
            Self::Helper => "helper",
            Self::Backup => "backup",
        }
    }
}

/// A leftover.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// What it is.
    pub sort: Sort,
    /// What it is called.
    pub name: String,
    /// The host that it is on, where there may be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its size, where that is known.
    pub bytes: Option<u64>,
    /// How much of a model's attention it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// How long it has not been used, or has been there, in seconds.
    pub age_s: Option<u64>,
    /// Why it is a leftover.
    pub why: String,
}

/// Something that is left alone.
#[derive(Clone, Debug, Serialize)]
pub struct Other {
    /// What it is called.
    pub name: String,
    /// The host that it is on.
    pub host: String,
    /// Why it is left alone.
    pub why: String,
}

/// All that was found.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What can go.
    pub items: Vec<Item>,
    /// What looks like it and is left alone.
    pub strangers: Vec<Other>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// For programs.
#[derive(Serialize)]
pub struct Document<'a> {
    format: u16,
    leftovers: &'a [Item],
    left_alone: &'a [Other],
    notes: &'a [String],
}

/// The page in a document for programs.
pub fn document(page: &Page) -> Document<'_> {
    Document { format: FORMAT, leftovers: &page.items, left_alone: &page.strangers, notes: &page.notes }
}

/// A session.
pub fn session(of: &Session, why: String, now: u64) -> Item {
    Item {
        sort: Sort::Session,
        name: of.key.clone(),
        host: None,
        bytes: None,
        tokens: of.total_tokens,
        age_s: of.updated_at.map(|at| now.saturating_sub(at / 1000)),
        why,
    }
}

/// A thing of a Docker engine.
pub fn docker(of: &Leftover, host: &str, now: u64) -> Item {
    let sort = match of.kind {
        Kind::Sandbox => Sort::Container,
        Kind::Image => Sort::Image,
        Kind::Helper { .. } => Sort::Helper,
    };
    Item {
        sort,
        name: of.name.clone(),
        host: Some(host.into()),
        bytes: of.bytes,
        tokens: None,
        age_s: of.made.map(|at| now.saturating_sub(at)),
        why: of.why.clone(),
    }
}

/// The backup of a run.
pub fn backup(of: &Backup, kept: usize) -> Item {
    let why = if of.at.is_empty() {
        "its removal was cut short".into()
    } else {
        format!("older than the last {}; without it that run cannot be taken back", number(kept, "run"))
    };
    let at = of.at.parse::<jiff::Timestamp>().ok();
    let age = at.and_then(|at| u64::try_from(jiff::Timestamp::now().as_second() - at.as_second()).ok());
    Item {
        sort: Sort::Backup,
        name: of.run.clone(),
        host: None,
        bytes: Some(of.bytes),
        tokens: None,
        age_s: age,
        why,
    }
}

/// A thing of a Docker engine that is left alone.
pub fn stranger(of: &Stranger, host: &str) -> Other {
    Other { name: of.name.clone(), host: host.into(), why: of.why.clone() }
}

/// The list: one line for each thing, its reason below it.
pub fn page(of: &Page, look: &Look) -> String {
    let mut page = String::new();
    if of.items.is_empty() {
        Line::new().plain("Nothing is left over.").write(look, &mut page);
    }
    let short = |name: &str| match look.detail {
        Detail::Full => visible(name),
        Detail::Brief => shortened(&visible(name), WIDEST),
    };
    for item in &of.items {
        let host = item.host.as_deref().filter(|host| *host != "local");
        let name = host.map_or_else(|| short(&item.name), |host| format!("{} on {host}", short(&item.name)));
        Line::indented(2)
            .text(Tone::Remove, "-")
            .space(1)
            .plain(item.sort.word())
            .to_column(15, 2)
            .text(Tone::Strong, &name)
            .to_column(15 + WIDEST + 1, 2)
            .plain(&measures(item))
            .write(look, &mut page);
        Line::indented(15).text(Tone::Faint, &item.why).write(look, &mut page);
    }
    if !of.strangers.is_empty() {
        page.push('\n');
        Line::new().plain("Left alone:").write(look, &mut page);
    }
    for other in &of.strangers {
        let line = Line::indented(2).text(Tone::Faint, "=").space(1).plain(&other.name).hang();
        line.text(Tone::Faint, &format!(": {}", other.why)).write(look, &mut page);
    }
    for note in &of.notes {
        Line::new().text(Tone::Faint, note).write(look, &mut page);
    }
    page.push_str(&sum(of, look));
    page
}

fn measures(item: &Item) -> String {
    let size = item.bytes.map(bytes);
    let tokens = item.tokens.map(|tokens| number(usize::try_from(tokens).unwrap_or(usize::MAX), "token"));
    let age = item.age_s.map(|seconds| format!("{} old", age(seconds)));
    [size, tokens, age].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn sum(of: &Page, look: &Look) -> String {
    let mut page = String::new();
    if of.items.len() > 1 {
        let all: u64 = of.items.iter().filter_map(|item| item.bytes).sum();
        let text = format!("{}, up to {} in all.", number(of.items.len(), "leftover"), bytes(all));
        Line::new().plain(&text).write(look, &mut page);
        page.insert(0, '\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::plain;

    fn found() -> Page {
        let session: Session = serde_json::from_value(serde_json::json!({
            "key": "agent:cook:matrix:channel:!oQCMYaYxiQ_M07Z0TBzvMZNRVo5I9gOmSiFWI7d8hEM",
            "totalTokens": 1, "updatedAt": 1_000_000_000_u64,
        }))
        .expect("a session");
        let leftover = |kind, name: &str, why: &str| Leftover {
            kind,
            name: name.into(),
            id: "id".into(),
            why: why.into(),
            bytes: Some(3_200_000),
            made: Some(820_000),
        };
        let container = leftover(Kind::Sandbox, "openclaw-sbx-\u{1b}[2Jx", "its agent `cook` is gone");
        let image =
            leftover(Kind::Image, "sha256:0123456789ab", "an earlier build of `standard`; nothing uses it");
        Page {
            items: vec![
                super::session(&session, "its agent `cook` is gone".into(), 1_090_000),
                docker(&container, "local", 1_090_000),
                docker(&image, "mox", 1_090_000),
            ],
            strangers: vec![Other {
                name: "fraktalia-helper-lab".into(),
                host: "local".into(),
                why: "it is of the realm `lab`, of which others may know".into(),
            }],
            notes: vec!["Sessions were not looked at.".into()],
        }
    }

    #[test]
    fn each_leftover_has_a_size_an_age_and_a_reason_and_nothing_of_it_steers_the_terminal() {
        insta::assert_snapshot!(format!(
            "{}\n{}",
            page(&found(), &plain(100)),
            page(&Page::default(), &plain(100))
        ));
    }

    #[test]
    fn programs_get_the_same_as_people() {
        insta::assert_json_snapshot!(document(&found()));
    }
}
