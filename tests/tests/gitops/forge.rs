//! The part of a forge that keeps the comments of one request, as GitHub, Forgejo and GitLab have it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a job has to show.
pub const TOKEN: &str = "token-of-the-forge";

#[derive(Default)]
struct Kept {
    comments: Vec<String>,
    strangers: usize,
}

/// A server on loopback. It ends with the test.
pub struct Forge {
    url: String,
    kept: Arc<Mutex<Kept>>,
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Forge {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let kept = Arc::<Mutex<Kept>>::default();
        let shared = Arc::clone(&kept);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&shared);
                tokio::spawn(async move { answer(stream, &kept).await });
            }
        });
        Self { url, kept }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn comments(&self) -> Vec<String> {
        lock(&self.kept).comments.clone()
    }

    pub fn was_asked_without_token(&self) -> bool {
        lock(&self.kept).strangers > 0
    }
}

async fn answer(stream: TcpStream, kept: &Mutex<Kept>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let (mut length, mut known) = (0, false);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => known = value == format!("Bearer {TOKEN}"),
            "private-token" => known = value == TOKEN,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?.split('?').next()?);
    let (status, answer) = reply(method, path, &body, known, &mut lock(kept));
    let answer = answer.to_string();
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    stream.write_all((head + &answer).as_bytes()).await.ok()
}

fn reply(method: &str, path: &str, body: &[u8], known: bool, kept: &mut Kept) -> (u16, Json) {
    if !known {
        kept.strangers += 1;
        return (401, json!({}));
    }
    let text = || -> Option<String> {
        let body: Json = serde_json::from_slice(body).ok()?;
        body["body"].as_str().map(str::to_owned)
    };
    // Ids begin with 100, so that nobody takes a position for one.
    let at =
        path.rsplit('/').next().and_then(|id| id.parse::<usize>().ok()).and_then(|id| id.checked_sub(100));
    let place = at.and_then(|at| kept.comments.get_mut(at));
    match (method, place, text()) {
        ("GET", _, _) => {
            let all = kept.comments.iter().enumerate();
            (200, all.map(|(at, body)| json!({ "id": at + 100, "body": body })).collect())
        }
        ("POST", _, Some(text)) if path.ends_with("/7/comments") || path.ends_with("/7/notes") => {
            kept.comments.push(text);
            (201, json!({}))
        }
        ("PATCH" | "PUT", Some(place), Some(text)) => {
            *place = text;
            (200, json!({}))
        }
        _ => (404, json!({})),
    }
}
