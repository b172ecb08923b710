//! The calls that a homeserver was asked, from its own log: counted without standing in between.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::error::{Context as _, TaskError};

/// How often each kind of call came, as `GET /_matrix/client/v3/rooms/{}/state`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls(pub BTreeMap<String, usize>);

impl Calls {
    /// Of what a log has from `offset` on, without those whose path contains `but`.
    pub fn read(log: &Path, offset: u64, but: &str) -> Result<Self, TaskError> {
        let what = || format!("read {}", log.display());
        let mut file = std::fs::File::open(log).context(what)?;
        file.seek(SeekFrom::Start(offset)).context(what)?;
        let mut text = String::new();
        file.read_to_string(&mut text).context(what)?;
        Ok(text.lines().filter_map(request).filter(|(_, path)| !path.contains(but)).fold(
            Self::default(),
            |mut calls, (method, path)| {
                calls.add(method, path);
                calls
            },
        ))
    }

    fn add(&mut self, method: &str, path: &str) {
        *self.0.entry(format!("{method} {}", kind(path))).or_default() += 1;
    }

    /// All together.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// Those that may change something.
    pub fn writes(&self) -> usize {
        self.0.iter().filter(|(kind, _)| !kind.starts_with("GET ")).map(|(_, count)| count).sum()
    }
}

/// Method and path of the request that a line of Synapse's access log is about.
fn request(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once("Processed request:")?;
    let mut words = rest.split('"').nth(1)?.split(' ');
    Some((words.next()?, words.next()?))
}

/// A path without what is different in each call: ids, aliases and the query.
fn kind(path: &str) -> String {
    let path = path.split('?').next().unwrap_or(path);
    let is_id = |segment: &str| {
        ["%21", "%23", "%40", "!", "#", "@"].iter().any(|sign| segment.starts_with(sign))
            || segment.starts_with('$')
            || segment.starts_with("%24")
    };
    let segments: Vec<&str> =
        path.split('/').map(|segment| if is_id(segment) { "{}" } else { segment }).collect();
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026-05-05 10:00:00,000 INFO synapse.access.http.8008 GET-7 127.0.0.1 - 8008 - {@admin:chat.bench} \
         Processed request: 0.004sec/0.000sec ru=(0.003sec, 0.000sec) db=(0.000sec/0.001sec/2) 1234B 200 \
         \"GET /_synapse/admin/v1/rooms/%21abc/state?x=1 HTTP/1.1\" \"fraktalia\" [0 dbevts]";

    #[test]
    fn calls_of_one_kind_are_one_entry_and_the_probe_of_the_measuring_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let probe =
            LINE.replace("/_synapse/admin/v1/rooms/%21abc/state?x=1", "/_matrix/client/versions?probe=7");
        let other = LINE.replace("%21abc", "%21xyz");
        let post =
            LINE.replace("GET /_synapse/admin/v1/rooms/%21abc/state", "POST /_synapse/admin/v1/join/%21abc");
        let text = [LINE, LINE, "no request", &other, &post, &probe].join("\n");
        std::fs::write(&log, text).expect("written");
        let calls = Calls::read(&log, u64::try_from(LINE.len()).expect("small"), "probe=").expect("read");
        let expected = [
            ("GET /_synapse/admin/v1/rooms/{}/state".to_owned(), 2),
            ("POST /_synapse/admin/v1/join/{}".to_owned(), 1),
        ];
        assert_eq!(calls.0, BTreeMap::from(expected), "from the offset on");
        assert_eq!((calls.total(), calls.writes()), (3, 1));
    }
}
