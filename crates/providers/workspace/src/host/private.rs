//! What is private on purpose, and stays so.
//!
//! Rather too much than too little: a file that wrongly stays private is noticed by whoever cannot read it, and a key
//! that wrongly became readable is noticed by nobody.

/// Names of directories and files that hold secrets, in small letters; so does all that is in such a directory.
const NAMES: [&str; 20] = [
    ".ssh",
    ".gnupg",
    ".git",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".password-store",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".my.cnf",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".htpasswd",
    ".vault-token",
    "authorized_keys",
    "known_hosts",
    "shadow",
];
/// Beginnings of such names.
const PREFIXES: [&str; 2] = ["id_", ".env"];
/// Ends of such names.
const SUFFIXES: [&str; 13] = [
    ".key",
    ".pem",
    ".p12",
    ".pfx",
    ".jks",
    ".keystore",
    ".kdbx",
    ".ppk",
    ".gpg",
    ".age",
    "_rsa",
    "_ecdsa",
    "_ed25519",
];
/// Words that no name of something public has in it.
const WORDS: [&str; 4] = ["secret", "password", "credential", "token"];
/// Ours, while we write: it gets its mode when it is complete.
const OURS: &str = ".fraktalia-";

/// Beginnings of files that are a key whatever their name is.
const KEYS: [&[u8]; 4] = [b"PuTTY-User-Key-File", b"AGE-SECRET-KEY-", b"# created: ", b"age-encryption.org/"];
/// So many bytes of a file say whether it is a key.
pub(super) const HEAD: usize = 64;

/// Whether what has this name, and all that is below it, is private.
pub(super) fn is_private_name(name: &str) -> bool {
    let name = name.to_lowercase();
    NAMES.contains(&name.as_str())
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        || WORDS.iter().any(|word| name.contains(word))
        || name.contains(OURS)
}

/// Whether a file that begins like this is a private key.
pub(super) fn is_key(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    let pem = head.starts_with(b"-----BEGIN ") && head.windows(11).any(|part| part == b"PRIVATE KEY");
    // The PGP header is longer than the words that tell it apart.
    pem || KEYS.iter().any(|key| head.starts_with(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_passwords_are_known_by_their_names() {
        for name in [
            ".ssh",
            ".SSH",
            ".git",
            "id_ed25519",
            "id_rsa.pub",
            "server.key",
            "Server.PEM",
            "deploy_rsa",
            ".env",
            ".env.local",
            "my-Secrets.yaml",
            "access-token.txt",
            ".netrc",
            ".x.fraktalia-20260101",
        ] {
            assert!(is_private_name(name), "{name}");
        }
        for name in
            ["AGENTS.md", "memory", "notes.txt", ".learnings", "keyboard.md", "idea.md", "plan.env.md"]
        {
            assert!(!is_private_name(name), "{name}");
        }
    }

    #[test]
    fn a_key_is_known_by_how_it_begins() {
        for head in [
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl",
            "\n-----BEGIN PRIVATE KEY-----\n",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----",
            "PuTTY-User-Key-File-3: ssh-ed25519",
            "AGE-SECRET-KEY-1QQ",
            "# created: 2026-01-01T00:00:00Z\n# public key: age1",
        ] {
            assert!(is_key(head.as_bytes()), "{head}");
        }
        for head in ["", "# Notes", "-----BEGIN CERTIFICATE-----", "see PRIVATE KEY"] {
            assert!(!is_key(head.as_bytes()), "{head}");
        }
    }
}
