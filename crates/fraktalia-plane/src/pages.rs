//! A few pages over HTTP, for those who watch a service: no more of the protocol than that takes.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How long somebody may take to ask and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at one time.
const AT_ONCE: usize = 32;
/// A longer question makes no sense.
const LONGEST: usize = 8 << 10;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// What kind of text it is.
    pub mime: &'static str,
    /// The text.
    pub body: String,
}

impl Page {
    /// Plain text.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, mime: "text/plain; charset=utf-8", body: body.into() }
    }

    /// Metrics in the text format of Prometheus.
    pub fn metrics(body: String) -> Self {
        Self { status: 200, mime: "text/plain; version=0.0.4", body }
    }

    fn head(&self) -> String {
        let reason = match self.status {
            200 => "OK",
            404 => "Not Found",
            405 => "Method Not Allowed",
            _ => "Service Unavailable",
        };
        format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.status,
            self.mime,
            self.body.len()
        )
    }
}

/// Answers whoever asks; `page` is given the path.
pub async fn serve<F>(listener: TcpListener, page: impl Fn(String) -> F + Clone + Send + 'static)
where
    F: Future<Output = Page> + Send,
{
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // Whoever asks slowly takes a place, and not everybody's.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = page.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(PATIENCE, answer(stream, page)).await;
                    drop(place);
                });
            }
            // Out of descriptors: give them time to come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer<F: Future<Output = Page>>(
    mut stream: TcpStream,
    page: impl Fn(String) -> F,
) -> io::Result<()> {
    let page = match asked(&mut stream).await? {
        Some(path) => page(path).await,
        None => Page::text(405, "only GET\n"),
    };
    stream.write_all((page.head() + &page.body).as_bytes()).await?;
    stream.shutdown().await
}

/// The path that somebody wants to read; `None` when they want something else.
async fn asked(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut question = Vec::new();
    let mut piece = [0; 1024];
    while !question.windows(4).any(|end| end == b"\r\n\r\n") && question.len() < LONGEST {
        match stream.read(&mut piece).await? {
            0 => break,
            length => question.extend_from_slice(&piece[..length]),
        }
    }
    let text = String::from_utf8_lossy(&question);
    let path = text.strip_prefix("GET ").and_then(|rest| rest.split([' ', '?', '\r', '\n']).next());
    Ok(path.map(ToOwned::to_owned))
}

/// Metrics in the text format of Prometheus, one family after the other.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a family: its name, `gauge` or `counter`, and what it is.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One value. No label breaks out of its quotes.
    pub fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escaped(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    /// All of it.
    pub fn text(self) -> String {
        self.0
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said_to(question: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server =
            tokio::spawn(serve(listener, |path| async move { Page::text(200, format!("you want {path}")) }));
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(question).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        server.abort();
        text
    }

    #[tokio::test]
    async fn a_path_is_answered_and_anything_else_is_refused() {
        let page = said_to(b"GET /metrics?x=1 HTTP/1.1\r\nHost: here\r\n\r\n").await;
        assert!(
            page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("\r\n\r\nyou want /metrics"),
            "{page}"
        );
        assert!(page.contains("Content-Length: 17\r\n"), "{page}");
        assert!(said_to(b"POST / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
        assert!(said_to(b"\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
    }

    #[test]
    fn a_label_stays_in_its_quotes() {
        let mut metrics = Exposition::default();
        metrics.family("a", "gauge", "What it is.");
        metrics.value("a", &[], 1);
        metrics.value("a", &[("x", "q\"b\\n\n"), ("y", "z")], 0.5);
        let lines = "# HELP a What it is.\n# TYPE a gauge\na 1\na{x=\"q\\\"b\\\\n\\n\",y=\"z\"} 0.5\n";
        assert_eq!(metrics.text(), lines);
    }
}
