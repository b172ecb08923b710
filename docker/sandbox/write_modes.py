"""OpenClaw's write tool makes files that obey the umask: 0664 instead of 0600.

The tool runs `python3 -c SCRIPT write ROOT DIRECTORY NAME ...` in the container. The script makes a temporary file of
mode 0600 and renames it over its target; whoever is not the sandbox's user cannot read it then. Python imports this
module when it starts (see write_modes.pth), and does nothing unless it was started like that. What is private by its
name keeps 0600, as does a file that was there before and has another mode.
"""

import os
import sys

_PRIVATE = {
    ".ssh", ".gnupg", ".git", ".aws", ".azure", ".kube", ".docker", ".password-store", ".netrc", "_netrc", ".pgpass",
    ".my.cnf", ".npmrc", ".pypirc", ".git-credentials", ".htpasswd", ".vault-token", "authorized_keys", "known_hosts",
    "shadow",
}
_PREFIXES = ("id_", ".env")
_SUFFIXES = (
    ".key", ".pem", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk", ".gpg", ".age", "_rsa", "_ecdsa", "_ed25519",
)
_WORDS = ("secret", "password", "credential", "token")


def _is_private(path):
    for name in path.lower().split("/"):
        if name in _PRIVATE or name.startswith(_PREFIXES) or name.endswith(_SUFFIXES):
            return True
        if any(word in name for word in _WORDS):
            return True
    return False


def _wrap(real):
    def wrapped(path, flags, mode=0o777, *, dir_fd=None):
        if mode == 0o600 and dir_fd is not None and flags & os.O_CREAT and flags & os.O_EXCL:
            mode = 0o666
        return real(path, flags, mode, dir_fd=dir_fd)

    return wrapped


def _install():
    argv = getattr(sys, "orig_argv", [])
    if len(argv) < 6 or argv[1] != "-c" or ".openclaw-" not in argv[2]:
        return
    # After the root come a directory and, for files, a name in it.
    if _is_private("/".join(argv[5:7])):
        return
    # Directories that it makes on the way are 0775 with this.
    os.umask(0o002)
    if argv[3] in ("write", "create") and len(argv) > 6:
        os.open = _wrap(os.open)


_install()
