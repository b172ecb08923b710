//! Files that come with messages: small text from our own homeserver, and nothing else.

use std::io::{Cursor, Read as _};
use std::time::Duration;

use fraktalia_desk::found::MESSAGE;
use matrix_sdk::ruma::events::room::EncryptedFile;
use matrix_sdk::ruma::{MxcUri, ServerName};
use matrix_sdk_base::crypto::AttachmentDecryptor;

use crate::error::RoomError;
use crate::read::{File, Source};
use crate::room::Room;
use crate::server;

const DOWNLOAD: Duration = Duration::from_secs(30);

/// What came of a file.
pub(crate) enum Fetched {
    /// Its text. One that is larger than the desk looks into is not fetched, and stands as a text that is too long as well.
    Text(String),
    /// It cannot be had, however often it is tried.
    Not(String),
}

/// Fetches a file.
///
/// # Errors
/// When the homeserver is away: then it is to be tried again.
pub(crate) async fn fetch(room: &Room, file: &File) -> Result<Fetched, RoomError> {
    if file.size.is_some_and(|size| size > MESSAGE as u64) {
        return Ok(Fetched::Text(too_long()));
    }
    let (address, keys) = match &file.source {
        Source::Plain(address) => (address.clone(), None),
        Source::Encrypted(description) => {
            match serde_json::from_value::<EncryptedFile>(description.clone()) {
                Ok(keys) => (keys.url.to_string(), Some(keys)),
                Err(error) => return Ok(Fetched::Not(format!("its description is wrong: {error}"))),
            }
        }
    };
    let Some(media) = own_media(&address, room.server()) else {
        return Ok(Fetched::Not("it lies on another server".into()));
    };
    let bytes = match download(room, media).await {
        Ok(bytes) => bytes,
        Err(error) if error.may_pass() => return Err(error),
        Err(RoomError::SignedOut) => return Err(RoomError::SignedOut),
        Err(error) => return Ok(Fetched::Not(error.to_string())),
    };
    if bytes.len() > MESSAGE {
        return Ok(Fetched::Text(too_long()));
    }
    Ok(match keys.map_or(Ok(bytes.clone()), |keys| decrypt(bytes, keys)) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_or_else(|_| Fetched::Not("it is no text in UTF-8".into()), Fetched::Text),
        Err(why) => Fetched::Not(why),
    })
}

fn too_long() -> String {
    " ".repeat(MESSAGE + 1)
}

/// The id of a file on our own homeserver. Others are not asked for: whoever writes could make it wait for any server.
fn own_media<'a>(address: &'a str, server: &ServerName) -> Option<&'a str> {
    let (of, media) = <&MxcUri>::from(address).parts().ok()?;
    (of == server).then_some(media)
}

async fn download(room: &Room, media: &str) -> Result<Vec<u8>, RoomError> {
    let what = "download a file of the room".to_owned();
    let path = ["_matrix", "client", "v1", "media", "download", room.server().as_str(), media];
    let url = server::url(&room.client().homeserver(), &path)?;
    let token = room.client().access_token().unwrap_or_default();
    let unreachable = |source| RoomError::Unreachable { what: what.clone(), source };
    let request = room.http().get(url).bearer_auth(token).timeout(DOWNLOAD);
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    if status.as_u16() == 401 {
        return Err(RoomError::SignedOut);
    }
    if !status.is_success() {
        let (code, message) = (String::new(), "no file".to_owned());
        return Err(RoomError::Refused {
            what,
            status: status.as_u16(),
            code,
            message,
            hint: "send it again",
        });
    }
    server::up_to(answer, MESSAGE).await.map_err(unreachable)
}

fn decrypt(bytes: Vec<u8>, keys: EncryptedFile) -> Result<Vec<u8>, String> {
    let mut bytes = Cursor::new(bytes);
    let mut text = Vec::new();
    let mut reader = AttachmentDecryptor::new(&mut bytes, keys.into()).map_err(|error| error.to_string())?;
    reader.read_to_end(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::server_name;

    use super::*;

    #[test]
    fn only_files_of_our_own_homeserver_are_fetched() {
        let ours = server_name!("chat.test");
        assert_eq!(own_media("mxc://chat.test/abc", ours), Some("abc"));
        for other in
            ["mxc://evil.test/abc", "https://chat.test/abc", "mxc://chat.test/../x", "mxc://chat.test", ""]
        {
            assert_eq!(own_media(other, ours), None, "{other}");
        }
    }
}
