//! Pictures of rooms: uploaded once, known by their SHA-256.

use fraktalia_engine::StepError;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::client::Client;
use crate::op::PICTURE_SHA;
use crate::spec::Picture;

/// Larger pictures are refused before Synapse would do it.
const MAX_BYTES: usize = 20 * 1024 * 1024;

/// The content of `m.room.avatar`. Uploads the picture unless an upload of our own has the same bytes; an upload is
/// never taken back, so that the next try finds it.
pub(crate) async fn content(client: &Client, server_name: &str, file: &Picture) -> Result<Json, StepError> {
    let path = file.path.display();
    let bytes = tokio::fs::read(&file.path)
        .await
        .map_err(|error| StepError::refused(format!("cannot read the picture {path}")).because(error))?;
    if bytes.len() > MAX_BYTES {
        return Err(StepError::refused(format!("the picture {path} is larger than 20 MiB")));
    }
    if sha256(&bytes) != file.sha256 {
        return Err(StepError::refused(format!("the picture {path} changed since the plan was made"))
            .with_hint("plan again"));
    }
    let mime = mime(&bytes);
    let url = match client.own_media(server_name, &file.sha256).await? {
        Some(url) => url,
        None => client.upload(mime, &bytes).await?,
    };
    Ok(json!({
        "url": url,
        "info": {"mimetype": mime, "size": bytes.len()},
        PICTURE_SHA: file.sha256,
    }))
}

fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// By the first bytes, as browsers do; a file name proves nothing.
fn mime(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xFF, 0xD8, 0xFF, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::mime;

    #[test]
    fn a_picture_is_known_by_its_first_bytes() {
        assert_eq!(mime(b"\x89PNG\r\n"), "image/png");
        assert_eq!(mime(b"RIFF0000WEBPVP8 "), "image/webp");
        assert_eq!(mime(b"<svg>"), "application/octet-stream");
    }
}
