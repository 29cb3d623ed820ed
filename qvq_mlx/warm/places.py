"""The folder of the sockets of running servers, one for each process.

Law: the folder is this user's own and has mode 0700, and a socket in it 0600, at any umask; a
folder of anybody else is not used, neither to listen nor to ask. A peer has to be the same user.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_LONGEST_BYTES = 100
"""A socket's whole path, on macOS with its final 0, has 104 bytes."""
_NAME_BYTES = len("/1234567890.sock")


def folder_for(cache_folder: Path) -> Path:
    """Return the folder of the servers that share `cache_folder`.

    Where its path is too long for a socket it is a folder in /tmp that is named after it; there is
    a folder `warm` in `cache_folder` all the same, so that one look tells whether there are any.
    """
    folder = cache_folder / "warm"
    if len(os.fsencode(folder)) + _NAME_BYTES <= _LONGEST_BYTES:
        return folder
    from hashlib import sha256

    named = sha256(os.fsencode(cache_folder)).hexdigest()[:12]
    return Path(f"/tmp/qvq-{os.getuid()}-{named}")  # noqa: S108  owner and mode are checked


def is_private(folder: Path) -> bool:
    """True if the folder is this user's own, no link, and closed to everybody else."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return is_ours and not found.st_mode & 0o077


def sockets(folder: Path) -> list[Path]:
    """Return what may be sockets of servers, the highest process id first; none where there is no
    folder, or where it is not private.
    """
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    found = [name for name in names if name.endswith(".sock") and name[:-5].isdigit()]
    if not found or not is_private(folder):
        return []
    return [folder / name for name in sorted(found, key=lambda name: -int(name[:-5]))]
